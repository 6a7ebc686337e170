//! The judge is judged: each thing that it looks for, done by hand to a fleet that is as it should be, is found.

use super::fleet::{Template, Way};
use super::home::Home;
use super::judge::Undisturbed;

/// What is done to which file, and what is said of it.
const HARMS: [(&str, &str, &str); 9] = [
    ("tenants/acme.db", "UPDATE customers SET visits = visits + 1 WHERE id = 2", "+ acme: row of customers: 2"),
    ("tenants/bolt.db", "INSERT INTO journal SELECT max(id) + 1, '0002' FROM journal", "+ bolt: row of journal"),
    ("tenants/bolt.db", "ALTER TABLE orders ADD COLUMN more INTEGER", "+ bolt: table orders"),
    ("tenants/crow.db", "DROP TABLE journal", "- crow: table journal"),
    ("tenants/crow.db", "CREATE INDEX extra ON orders (amount)", "+ crow: index extra"),
    (
        "tenants/crow.db",
        "DELETE FROM windlass_ledger WHERE position = 1; DELETE FROM windlass_ledger WHERE effect = 'revert'",
        "+ crow: in force",
    ),
    ("windlass.db", "UPDATE tenants SET owner = 'somebody' WHERE tenant = 'acme'", "a lease is left: acme by somebody"),
    ("windlass.db", "UPDATE tenants SET status = 'stuck' WHERE tenant = 'bolt'", "bolt is stuck"),
    (
        "windlass.db",
        "INSERT INTO events SELECT (SELECT max(position) FROM events) + 1, deploy, tenant, seq + 1000, body, hash
         FROM events WHERE body ->> '$.event.type' = 'step_started' ORDER BY position DESC LIMIT 1",
        "started after the turn",
    ),
];

#[tokio::test]
async fn the_judge_finds_what_is_wrong() {
    let template = Template::new(Home::Files, Way::Unwind, 1, "judged").await;
    let undisturbed = Undisturbed::run(&template).await;
    let fleet = template.copy("n").await;
    fleet.run(&["deploy"]).ends_with(3);
    undisturbed.assert_same_end(&fleet).await;
    for (file, harm, expected) in HARMS {
        let kept = std::fs::read(fleet.project.at(file)).unwrap();
        fleet.project.sql(file, harm).await.unwrap();
        let faults = undisturbed.faults(&fleet).await.join("\n");
        assert!(faults.contains(expected), "{harm}: {faults}");
        std::fs::write(fleet.project.at(file), kept).unwrap();
        undisturbed.assert_same_end(&fleet).await;
    }
}
