//! The migrations that the storm deploys: drawn, each with its undo, and each with a mark of every passage.
//!
//! A migration writes a row into `passages` whenever it takes effect, and its undo writes another. No undo takes such a row away, so
//! that an effect had twice is seen although it was taken back.

use super::dice::Dice;

/// Which words the migrations may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Speech {
    Postgres,
    MariaDb,
    Sqlite,
    /// What all three understand.
    Common,
}

/// What every tenant is founded with.
pub(super) const FOUNDATION: &str = "
    CREATE TABLE items (id INTEGER PRIMARY KEY, label VARCHAR(40) NOT NULL, score BIGINT NOT NULL);
    CREATE TABLE marks (id INTEGER PRIMARY KEY, mark VARCHAR(20) NOT NULL);
    CREATE TABLE passages (migration INTEGER NOT NULL, way VARCHAR(4) NOT NULL);
    INSERT INTO marks VALUES (1, 'one'), (2, 'two'), (3, 'three');";
/// Rows of `items`.
pub(super) const ITEMS: usize = 120;

/// A row that the migrations of the kind [`Kind::Strict`] cannot take, and what takes it away.
pub(super) const POISON: &str = "INSERT INTO marks VALUES (99, 'one')";
pub(super) const ANTIDOTE: &str = "DELETE FROM marks WHERE id = 99";

#[derive(Debug, Clone)]
pub(super) struct Migration {
    pub(super) number: usize,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) up: String,
    pub(super) down: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows alone.
    Rows,
    /// A table with rows.
    Table,
    /// Two tables, that are dropped by one statement.
    Pair,
    /// A column of a table with rows.
    Column,
    /// An index, made beside the traffic where the server can.
    Index,
    View,
    /// Another name for a table.
    Rename,
    /// Something that takes its time.
    Nap,
    /// A table that refuses a tenant's rows where it is poisoned.
    Strict,
}

impl Speech {
    fn kinds(self) -> &'static [Kind] {
        use Kind::{Column, Index, Nap, Pair, Rename, Rows, Strict, Table, View};
        match self {
            Self::Postgres | Self::MariaDb => &[Rows, Table, Pair, Column, Index, View, Rename, Nap, Nap, Strict],
            Self::Sqlite => &[Rows, Table, Column, Index, View, Rename, Nap, Nap, Strict],
            Self::Common => &[Rows, Table, Column, View, Rename, Strict],
        }
    }

    fn nap(self, number: usize, way: &str, dice: &mut Dice) -> String {
        let other = if way == "up" { "down" } else { "up" };
        let undo = format!("-- undo: INSERT INTO passages VALUES ({number}, '{other}');\n");
        let hundredths = dice.between(10, 80);
        match self {
            Self::Postgres => {
                format!("SELECT pg_sleep(0.{hundredths});\nINSERT INTO passages VALUES ({number}, '{way}');\n")
            }
            Self::MariaDb => format!(
                "INSERT INTO passages SELECT {number}, '{way}' FROM (SELECT SLEEP(0.{hundredths})) AS nap;\n{undo}"
            ),
            _ => format!(
                "INSERT INTO passages SELECT {number}, '{way}' FROM (WITH RECURSIVE s (x) AS \
                 (SELECT 1 UNION ALL SELECT x + 1 FROM s WHERE x < {hundredths}0000) SELECT max(x) FROM s);\n{undo}"
            ),
        }
    }
}

/// Writes that a migration has passed, and how one statement of it is taken back by itself.
fn mark(number: usize, way: &str, other: &str) -> String {
    format!(
        "INSERT INTO passages VALUES ({number}, '{way}');\n-- undo: INSERT INTO passages VALUES ({number}, '{other}');\n"
    )
}

/// Draws a migration. `tables` are those that a rename may take, and is kept as they are afterwards.
pub(super) fn draw(speech: Speech, number: usize, kind: Option<Kind>, tables: &mut Vec<String>, dice: &mut Dice) -> Migration {
    let kind = kind.unwrap_or_else(|| *dice.pick(speech.kinds()));
    let kind = if kind == Kind::Rename && tables.is_empty() { Kind::Table } else { kind };
    let n = number;
    let (body, back) = match kind {
        Kind::Rows => {
            let add = format!("UPDATE items SET score = score + {};", 7 * n);
            let take = format!("UPDATE items SET score = score - {};", 7 * n);
            (format!("{add}\n-- undo: {take}\n"), format!("{take}\n-- undo: {add}\n"))
        }
        Kind::Table => {
            tables.push(format!("t_{n}"));
            (
                format!(
                    "CREATE TABLE t_{n} (id INTEGER PRIMARY KEY, label VARCHAR(40) NOT NULL);\n\
                     INSERT INTO t_{n} SELECT id, label FROM items WHERE id <= 20;\n-- undo: DELETE FROM t_{n};\n"
                ),
                format!("DROP TABLE t_{n};\n"),
            )
        }
        Kind::Pair => (
            format!("CREATE TABLE a_{n} (id INTEGER PRIMARY KEY);\nCREATE TABLE b_{n} (id INTEGER PRIMARY KEY);\n"),
            format!("DROP TABLE a_{n}, b_{n};\n"),
        ),
        Kind::Column => {
            let copy = if speech == Speech::MariaDb && dice.chance(50) { ", ALGORITHM=COPY" } else { "" };
            (
                format!(
                    "ALTER TABLE items ADD COLUMN c_{n} INTEGER NOT NULL DEFAULT {n}{copy};\n\
                     UPDATE items SET c_{n} = c_{n} + id WHERE id > 20;\n\
                     -- undo: UPDATE items SET c_{n} = c_{n} - id WHERE id > 20;\n"
                ),
                format!("ALTER TABLE items DROP COLUMN c_{n}{copy};\n"),
            )
        }
        Kind::Index => {
            let at_once = if speech == Speech::Postgres { " CONCURRENTLY" } else { "" };
            let of = if speech == Speech::MariaDb { " ON items" } else { "" };
            (
                format!("CREATE INDEX{at_once} i_{n} ON items (score, label);\n"),
                format!("DROP INDEX{at_once} i_{n}{of};\n"),
            )
        }
        Kind::View => (
            format!("CREATE VIEW v_{n} AS SELECT id, label FROM items WHERE score > {n};\n"),
            format!("DROP VIEW v_{n};\n"),
        ),
        Kind::Rename => {
            let at = dice.between(0, tables.len() - 1);
            let (old, new) = (tables[at].clone(), format!("t_{n}"));
            tables[at].clone_from(&new);
            let rename = |from: &str, to: &str| match speech {
                Speech::MariaDb => format!("RENAME TABLE {from} TO {to};\n"),
                _ => format!("ALTER TABLE {from} RENAME TO {to};\n"),
            };
            (rename(&old, &new), rename(&new, &old))
        }
        Kind::Nap => (String::new(), String::new()),
        Kind::Strict => (
            format!(
                "CREATE TABLE p_{n} (mark VARCHAR(20) NOT NULL PRIMARY KEY);\n\
                 INSERT INTO p_{n} SELECT mark FROM marks;\n-- undo: DELETE FROM p_{n};\n"
            ),
            format!("DROP TABLE p_{n};\n"),
        ),
    };
    let (up, down) = match kind {
        Kind::Nap => (speech.nap(n, "up", dice), speech.nap(n, "down", dice)),
        // A statement that loses rows has no undo of its own, so it comes last.
        _ => {
            let before = dice.chance(50) || kind == Kind::Strict;
            let passed = mark(n, "up", "down");
            let up = if before { format!("{passed}{body}") } else { format!("{body}{passed}") };
            (up, format!("{}{back}", mark(n, "down", "up")))
        }
    };
    let name = format!("{n:04}_{}", format!("{kind:?}").to_lowercase());
    Migration { number, kind, name, up, down }
}
