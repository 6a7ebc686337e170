//! What the fleet that is killed holds at first, and the release that it gets, whose every statement would show if it took effect
//! twice: each counts, multiplies or adds a row.

use super::fleet::{ACT, GATED, UNDO};
use super::home::Engine;

/// One migration.
pub(super) struct Migration {
    pub(super) name: &'static str,
    pub(super) up: String,
    pub(super) down: String,
}

pub(super) const FOUNDATION: &str =
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR(40) NOT NULL, visits INTEGER NOT NULL);
CREATE TABLE journal (id INTEGER PRIMARY KEY, what VARCHAR(40) NOT NULL);
INSERT INTO customers VALUES (1, 'ann', 2), (2, 'bob', 5);";

/// What makes a tenant refuse the unique index.
pub(super) const TWICE: &str = "INSERT INTO customers VALUES (3, 'bob', 11);";

/// Name, up, down.
type Text = (&'static str, &'static str, &'static str);

/// With these the tenants are founded: one has all of them, one two, one the first.
const FIRST: [Text; 3] = [
    (
        "0001_orders",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers (id),
            amount INTEGER NOT NULL CHECK (amount >= 0));
        INSERT INTO orders (id, customer, amount) SELECT id, id, 100 * id FROM customers;",
        "DROP TABLE orders;",
    ),
    (
        "0002_points",
        "ALTER TABLE customers ADD COLUMN points INTEGER NOT NULL DEFAULT 7;
        INSERT INTO journal (id, what) SELECT coalesce(max(id), 0) + 1, '0002' FROM journal;",
        "DELETE FROM journal WHERE id = (SELECT max(id) FROM journal WHERE what = '0002');
        ALTER TABLE customers DROP COLUMN points;",
    ),
    (
        "0003_visits",
        "UPDATE customers SET visits = visits + 1;
        INSERT INTO journal (id, what) SELECT coalesce(max(id), 0) + 1, '0003' FROM journal;",
        "DELETE FROM journal WHERE id = (SELECT max(id) FROM journal WHERE what = '0003');
        UPDATE customers SET visits = visits - 1;",
    ),
];

/// The rest, where a migration is one transaction.
const TRANSACTIONS: [Text; 3] = [
    (
        GATED,
        "CREATE TABLE tripled (id INTEGER PRIMARY KEY, visits INTEGER NOT NULL);
        INSERT INTO tripled SELECT id, visits FROM customers;
        UPDATE customers SET visits = visits * 3;",
        "UPDATE customers SET visits = visits / 3;
        DROP TABLE tripled;",
    ),
    (
        "0005_unique_email",
        "UPDATE orders SET amount = amount + 5;
        CREATE UNIQUE INDEX customers_email ON customers (email);",
        "DROP INDEX customers_email;
        UPDATE orders SET amount = amount - 5;",
    ),
    (
        "0006_regulars",
        "CREATE VIEW regulars AS SELECT id, email FROM customers WHERE visits > 8;
        INSERT INTO orders (id, customer, amount) SELECT max(id) + 1, min(customer), 1 FROM orders;",
        "DELETE FROM orders WHERE id = (SELECT max(id) FROM orders);
        DROP VIEW regulars;",
    ),
];

/// The rest, where definitions commit by themselves: both kinds of statements in one file, definitions alone, a file that stops in
/// its middle on one tenant, and rows alone.
const STEPS: [Text; 4] = [
    (
        GATED,
        "CREATE TABLE tripled (id INTEGER PRIMARY KEY, visits INTEGER NOT NULL);
        INSERT INTO tripled SELECT id, visits FROM customers;
        -- undo: DELETE FROM tripled;
        ALTER TABLE tripled ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
        UPDATE customers SET visits = visits * 3;",
        "UPDATE customers SET visits = visits / 3;
        DROP TABLE tripled;",
    ),
    (
        "0005_regulars",
        "CREATE TABLE tags (id INTEGER PRIMARY KEY, label VARCHAR(20) NOT NULL);
        ALTER TABLE orders ADD COLUMN tag INTEGER;
        CREATE VIEW regulars AS SELECT id, email FROM customers WHERE visits > 8;",
        "DROP VIEW regulars;
        ALTER TABLE orders DROP COLUMN tag;
        DROP TABLE tags;",
    ),
    (
        "0006_unique_email",
        "UPDATE orders SET amount = amount + 5;
        -- undo: UPDATE orders SET amount = amount - 5;
        CREATE UNIQUE INDEX customers_email ON customers (email);
        ALTER TABLE journal ADD COLUMN weight INTEGER NOT NULL DEFAULT 1;",
        "ALTER TABLE journal DROP COLUMN weight;
        DROP INDEX customers_email ON customers;
        UPDATE orders SET amount = amount - 5;",
    ),
    (
        "0007_gifts",
        "INSERT INTO orders (id, customer, amount) SELECT max(id) + 1, min(customer), 1 FROM orders;
        INSERT INTO journal (id, what) SELECT coalesce(max(id), 0) + 1, '0007' FROM journal;",
        "DELETE FROM journal WHERE id = (SELECT max(id) FROM journal WHERE what = '0007');
        DELETE FROM orders WHERE id = (SELECT max(id) FROM orders);",
    ),
];

/// The release, as tenants of this kind can take it.
pub(super) fn migrations(engine: Engine) -> Vec<Migration> {
    let rest = if engine == Engine::MariaDb { STEPS.as_slice() } else { &TRANSACTIONS };
    let migration = |(name, up, down): &Text| {
        let gated = engine == Engine::Postgres && *name == GATED;
        let (up, down) =
            if gated { (ACT.before(up), UNDO.before(down)) } else { ((*up).to_owned(), (*down).to_owned()) };
        Migration { name, up, down }
    };
    FIRST.iter().chain(rest).map(migration).collect()
}
