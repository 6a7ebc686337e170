//! What is deployed: the tenants as they are founded, and ten migrations for them, in words that both databases understand.

/// How many migrations a release has.
pub const MIGRATIONS: usize = 10;

/// A tenant before the deploy: two tables with rows in them.
pub const FOUNDING: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), total INTEGER NOT NULL);
CREATE INDEX orders_by_customer ON orders (customer_id);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO customers (id, name, email) SELECT i, 'Customer ' || i, 'customer' || i || '@example.org' FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
INSERT INTO orders (id, customer_id, total) SELECT i, 1 + i % 500, 10 * i FROM n;
";

/// What each migration is about.
const SUBJECTS: [&str; MIGRATIONS] = [
    "invoices",
    "payments",
    "addresses",
    "vouchers",
    "deliveries",
    "returns",
    "reviews",
    "contracts",
    "reminders",
    "complaints",
];

/// A migration.
pub struct Migration {
    /// Its number and name: the beginning of its files' names.
    pub label: String,
    /// The statements.
    pub up: String,
    /// Their undo.
    pub down: String,
}

/// The ten: a new table, a column of an old one, an index, new rows and changed ones.
pub fn migrations() -> Vec<Migration> {
    let one = |(at, subject): (usize, &&str)| {
        Migration {
        label: format!("{:04}_{subject}", at + 1),
        up: format!(
            "CREATE TABLE {subject} (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, note TEXT NOT NULL, amount INTEGER NOT NULL);
ALTER TABLE customers ADD COLUMN {subject}_count INTEGER NOT NULL DEFAULT 0;
CREATE INDEX {subject}_by_customer ON {subject} (customer_id);
INSERT INTO {subject} (id, customer_id, note, amount)
SELECT id, customer_id, 'from order ' || id, total FROM orders WHERE id % {MIGRATIONS} = {at};
UPDATE customers SET {subject}_count = 1 WHERE id IN (SELECT customer_id FROM {subject});
"
        ),
        down: format!("ALTER TABLE customers DROP COLUMN {subject}_count;\nDROP TABLE {subject};\n"),
    }
    };
    SUBJECTS.iter().enumerate().map(one).collect()
}

/// Asked of a tenant afterwards: how many rows the last migration has made and marked. Both are [`MADE`].
pub const PROOF: &str =
    "SELECT (SELECT count(*) FROM complaints) + (SELECT count(*) FROM customers WHERE complaints_count = 1)";
/// What [`PROOF`] answers: 100 orders, of 50 customers.
pub const MADE: i64 = 150;
