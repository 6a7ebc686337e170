//! Fifty tenants, one of which cannot take the second of three statements of the last migration: all of them are as they were.
//!
//! What is said is printed: `./test a_fleet_on_mariadb -- --nocapture` shows it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Text, migration};
use crate::crash::fleet::Fleet;
use crate::crash::home::Home;
use crate::support::mariadb::{Admin, shared};
use crate::support::oracle::{Account, dump_of_mariadb};

const TENANTS: usize = 50;
/// It holds two orders with one number.
const CULPRIT: &str = "cafe43";

const FOUNDING: &str = "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL);
    INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cid');";

pub(super) const RELEASE: [Text; 3] = [
    migration(
        "0001_orders",
        "CREATE TABLE orders (id INT PRIMARY KEY, number INT NOT NULL, customer INT NOT NULL);
INSERT INTO orders SELECT id, 1000 + id, id FROM customers;
",
        "DROP TABLE orders;\n",
    ),
    migration(
        "0002_order_state",
        "ALTER TABLE orders ADD COLUMN state VARCHAR(10) NOT NULL DEFAULT 'open';
CREATE INDEX orders_by_state ON orders (state);
",
        "DROP INDEX orders_by_state ON orders;\nALTER TABLE orders DROP COLUMN state;\n",
    ),
    migration(
        "0003_invoices",
        "CREATE TABLE invoices (id INT PRIMARY KEY, order_number INT NOT NULL);
CREATE UNIQUE INDEX orders_by_number ON orders (number);
ALTER TABLE orders ADD COLUMN invoice INT;
",
        "ALTER TABLE orders DROP COLUMN invoice;\nDROP INDEX orders_by_number ON orders;\nDROP TABLE invoices;\n",
    ),
];

/// Everything in each tenant's database but Windlass's own tables.
fn dumps(port: u16, fleet: &Fleet, tenants: &[String]) -> BTreeMap<String, String> {
    tenants.iter().map(|tenant| (tenant.clone(), dump_of_mariadb(port, &fleet.place(tenant).database))).collect()
}

/// The tenants that had a migration whole before it was taken back.
async fn had(fleet: &Fleet, step: &str) -> BTreeSet<String> {
    let account = Account::read(&fleet.log()).await;
    let ended = account.entries.iter().filter(|entry| entry.kind() == "step_succeeded" && entry.body["step"] == step);
    ended.filter_map(|entry| entry.tenant.clone()).collect()
}

/// Runs a command, and prints it with what it says.
fn show(fleet: &Fleet, arguments: &str, code: i32) -> String {
    let ran = fleet.run(&arguments.split(' ').collect::<Vec<_>>()).ends_with(code);
    println!("$ windlass {arguments}\n{}(exit code {code})\n", ran.stdout);
    ran.stdout
}

#[tokio::test]
async fn a_fleet_on_mariadb_in_which_one_tenant_fails_between_two_definitions_is_as_it_was() {
    let port = shared().await.port();
    let tenants: Vec<String> = (1..=TENANTS).map(|number| format!("cafe{number:02}")).collect();
    let fleet = Fleet::found(Home::MariaDb(port), "show", tenants.clone(), FOUNDING).await;
    fleet.add(&RELEASE[0].of());
    fleet.run(&["deploy"]).ends_with(0);
    let mut culprit = Admin::at(port, &fleet.place(CULPRIT).database).await;
    culprit.execute_all("INSERT INTO orders VALUES (4, 1002, 1)").await;
    let before = dumps(port, &fleet, &tenants);

    fleet.add(&RELEASE[1].of());
    fleet.add(&RELEASE[2].of());
    show(&fleet, "plan", 0);
    let said = show(&fleet, "deploy", 3);
    let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        &format!("{CULPRIT} failed: migration 0003_invoices failed at statement 2 of 3"),
        "CREATE UNIQUE INDEX orders_by_number ON orders (number)",
        "1062",
        "Duplicate entry '1002'",
        "the fleet is as it was before",
    ] {
        assert!(one_line.contains(told), "{told} is not in:\n{said}");
    }
    let all_of_it = had(&fleet, "migrate:0003_invoices").await;
    assert!(all_of_it.len() > TENANTS / 2 && !all_of_it.contains(CULPRIT), "{all_of_it:?}");
    let after = dumps(port, &fleet, &tenants);
    for (tenant, dump) in &before {
        assert_eq!(*dump, after[tenant], "{tenant}");
    }
    println!(
        "{} of {TENANTS} tenants had taken all of it; {} dumps are as before, byte for byte\n",
        all_of_it.len(),
        after.len()
    );

    culprit.execute_all("UPDATE orders SET number = 1004 WHERE id = 4").await;
    show(&fleet, "deploy", 0);
    fleet.remove().await;
}
