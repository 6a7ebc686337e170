//! The judge of MariaDB tenants is judged: each thing that it looks for, done by hand to a fleet that is as it should be, is found.

use crate::crash::fleet::{Template, Way};
use crate::crash::home::{Engine, Home};
use crate::crash::judge::Undisturbed;
use crate::support::mariadb::{Admin, shared};

/// What is done to which tenant, what takes it back, and what is said of it.
const HARMS: [(&str, &str, &str, &str); 6] = [
    (
        "acme",
        "UPDATE customers SET visits = visits + 1 WHERE id = 2",
        "UPDATE customers SET visits = visits - 1 WHERE id = 2",
        "+ acme: (2,'bob'",
    ),
    ("bolt", "ALTER TABLE orders ADD COLUMN more INT", "ALTER TABLE orders DROP COLUMN more", "+ bolt:   `more` int"),
    ("bolt", "CREATE INDEX extra ON orders (amount)", "DROP INDEX extra ON orders", "+ bolt:   KEY `extra`"),
    ("crow", "CREATE TABLE half (id INT)", "DROP TABLE half", "+ crow: CREATE TABLE `half`"),
    (
        "crow",
        "UPDATE windlass_ledger SET effect = 'void' WHERE position = 1",
        "UPDATE windlass_ledger SET effect = 'apply' WHERE position = 1",
        "- crow: in force: 1 0001_orders",
    ),
    (
        "acme",
        "INSERT INTO windlass_statement VALUES (UUID(), 'migrate:0004', 'act', 7, 'intent', '', '', 1, NOW())",
        "DELETE FROM windlass_statement WHERE number = 7",
        "+ acme: in doubt: migrate:0004 act 7",
    ),
];

#[tokio::test]
async fn the_judge_finds_what_is_wrong_on_mariadb() {
    let template = Template::new(Home::of(Engine::MariaDb).await, Way::Unwind, 1, "judged").await;
    let undisturbed = Undisturbed::run(&template).await;
    let fleet = template.copy("n").await;
    fleet.run(&["deploy"]).ends_with(3);
    undisturbed.assert_same_end(&fleet).await;
    for (tenant, harm, mended, expected) in HARMS {
        let mut admin = Admin::at(shared().await.port(), &fleet.place(tenant).database).await;
        admin.execute_all(harm).await;
        let faults = undisturbed.faults(&fleet).await.join("\n");
        assert!(faults.contains(expected), "{harm}: {faults}");
        admin.execute_all(mended).await;
        undisturbed.assert_same_end(&fleet).await;
    }
    fleet.remove().await;
    template.remove().await;
}
