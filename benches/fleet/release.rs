//! What is deployed: the tenants as they are founded, and two releases for them, in words that all three databases understand.

/// How many migrations a release adds.
pub const MIGRATIONS: usize = 10;

/// A tenant before the deploy: two tables with rows in them.
pub const FOUNDING: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), total INTEGER NOT NULL);
CREATE INDEX orders_by_customer ON orders (customer_id);
INSERT INTO customers (id, name, email)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
SELECT i, concat('Customer ', i), concat('customer', i, '@example.org') FROM n;
INSERT INTO orders (id, customer_id, total)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
SELECT i, 1 + i % 500, 10 * i FROM n;
";

/// One of the two releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The tool has never been at these tenants: it has to make its tables there.
    First,
    /// It has been, with the first.
    Next,
}

impl Release {
    pub const BOTH: [Self; 2] = [Self::First, Self::Next];

    pub fn name(self) -> &'static str {
        match self {
            Self::First => "the first",
            Self::Next => "the next",
        }
    }

    /// What each of its migrations is about.
    fn subjects(self) -> [&'static str; MIGRATIONS] {
        match self {
            Self::First => [
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
            ],
            Self::Next => [
                "tickets", "refunds", "coupons", "carriers", "pallets", "audits", "ratings", "offers", "meetings",
                "letters",
            ],
        }
    }

    /// Asked of a tenant afterwards: how many rows the last migration has made and marked, which is [`MADE`].
    pub fn proof(self) -> String {
        let last = self.subjects()[MIGRATIONS - 1];
        format!("SELECT (SELECT count(*) FROM {last}) + (SELECT count(*) FROM customers WHERE {last}_count = 1)")
    }
}

/// What [`Release::proof`] answers: 100 orders, of 50 customers.
pub const MADE: i64 = 150;

/// A migration.
pub struct Migration {
    /// Its number and name: the beginning of its files' names.
    pub label: String,
    /// The statements, each with what ends it.
    pub up: String,
    /// Their undo.
    pub down: String,
}

/// The ten that a release adds: each a new table, a column of an old one, an index, new rows and changed ones.
pub fn migrations(release: Release) -> Vec<Migration> {
    let before = if release == Release::First { 0 } else { MIGRATIONS };
    let one = |(at, subject): (usize, &&str)| {
        Migration {
        label: format!("{:04}_{subject}", before + at + 1),
        up: format!(
            "CREATE TABLE {subject} (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, note TEXT NOT NULL, amount INTEGER NOT NULL);
ALTER TABLE customers ADD COLUMN {subject}_count INTEGER NOT NULL DEFAULT 0;
CREATE INDEX {subject}_by_customer ON {subject} (customer_id);
INSERT INTO {subject} (id, customer_id, note, amount)
SELECT id, customer_id, concat('from order ', id), total FROM orders WHERE id % {MIGRATIONS} = {at};
-- undo: DELETE FROM {subject};
UPDATE customers SET {subject}_count = 1 WHERE id IN (SELECT customer_id FROM {subject});
"
        ),
        down: format!("ALTER TABLE customers DROP COLUMN {subject}_count;\nDROP TABLE {subject};\n"),
    }
    };
    release.subjects().iter().enumerate().map(one).collect()
}
