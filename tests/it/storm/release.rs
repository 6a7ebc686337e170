//! The migrations that the storm deploys: drawn, each with its undo, and each with a mark of every passage.
//!
//! A migration counts in `passages` that it took effect, and its undo counts that it was undone. No undo counts backwards, so that an
//! effect had twice is seen although it was taken back. Each script is written so that what stops in its middle can be taken back, a
//! rollback's as well: the statements of the undo are the opposites of the others, in reverse order.

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
    CREATE TABLE passages (migration INTEGER PRIMARY KEY, ups INTEGER NOT NULL, downs INTEGER NOT NULL);
    INSERT INTO marks VALUES (1, 'one'), (2, 'two'), (3, 'three');";
/// Rows of `items`: enough that to copy them takes its time.
pub(super) const ITEMS: usize = 1500;
/// Migrations that a fleet may be given: rows of `passages`.
pub(super) const MIGRATIONS_MAX: usize = 100;

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
    /// The tables that a rename may take, once this one and all before it are in force.
    pub(super) tables: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows alone.
    Rows,
    /// A table with rows.
    Table,
    /// Two tables, that are dropped by one statement. The only kind that does not count its passages.
    Pair,
    /// A column of a table with rows.
    Column,
    /// Two indexes, made beside the traffic where the server can.
    Index,
    View,
    /// Another name for a table.
    Rename,
    /// Something that takes its time.
    Nap,
    /// A table that refuses a tenant's rows where it is poisoned, at the last of several statements.
    Strict,
}

impl Speech {
    fn kinds(self) -> &'static [Kind] {
        use Kind::{Column, Index, Nap, Pair, Rename, Rows, Strict, Table, View};
        match self {
            Self::Postgres | Self::MariaDb => &[Rows, Table, Pair, Column, Index, View, Rename, Nap, Nap, Strict],
            Self::Sqlite => &[Rows, Table, Column, Index, View, Rename, Nap, Nap, Strict],
            Self::Common => &[Rows, Table, Column, View, Rename, Nap, Nap, Strict],
        }
    }

    /// How an index is made, and dropped.
    fn index(self, name: &str, table: &str, columns: &str, unique: bool) -> (String, String) {
        let unique = if unique { " UNIQUE" } else { "" };
        let beside = if self == Self::Postgres { " CONCURRENTLY" } else { "" };
        let of = if self == Self::MariaDb { format!(" ON {table}") } else { String::new() };
        (
            format!("CREATE{unique} INDEX{beside} {name} ON {table} ({columns});\n"),
            format!("DROP INDEX{beside} {name}{of};\n"),
        )
    }

    /// Counts a passage, and takes a while.
    fn nap(self, number: usize, column: &str, dice: &mut Dice) -> String {
        let hundredths = dice.between(10, 80);
        let counted = format!("UPDATE passages SET {column} = {column} + 1");
        match self {
            Self::Postgres => format!("SELECT pg_sleep(0.{hundredths});\n{counted} WHERE migration = {number};\n"),
            // Asleep it gives 0, and 1 if somebody wakes it.
            Self::MariaDb => format!("{counted} + SLEEP(0.{hundredths}) WHERE migration = {number};\n"),
            Self::Common => format!(
                "{counted} WHERE migration = {number} AND (SELECT count(*) FROM items a, items b, items c \
                 WHERE a.id <= 120 AND b.id <= 120 AND c.id <= {hundredths}) > 0;\n"
            ),
            Self::Sqlite => format!(
                "{counted} WHERE migration = {number} AND (WITH RECURSIVE s (x) AS \
                 (SELECT 1 UNION ALL SELECT x + 1 FROM s WHERE x < {hundredths}0000) SELECT max(x) FROM s) > 0;\n"
            ),
        }
    }
}

/// Counts a passage.
fn mark(number: usize, column: &str) -> String {
    format!("UPDATE passages SET {column} = {column} + 1 WHERE migration = {number};\n")
}

/// Draws a migration. `tables` are those that a rename may take, and are kept up to date.
pub(super) fn draw(
    speech: Speech,
    number: usize,
    kind: Option<Kind>,
    tables: &mut Vec<String>,
    dice: &mut Dice,
) -> Migration {
    let kind = kind.unwrap_or_else(|| *dice.pick(speech.kinds()));
    let kind = if kind == Kind::Rename && tables.is_empty() { Kind::Table } else { kind };
    let n = number;
    let (body, back) = match kind {
        Kind::Rows => rows(n),
        Kind::Table => table(n, tables),
        Kind::Pair => (
            format!("CREATE TABLE a_{n} (id INTEGER PRIMARY KEY);\nCREATE TABLE b_{n} (id INTEGER PRIMARY KEY);\n"),
            format!("DROP TABLE a_{n}, b_{n};\n"),
        ),
        Kind::Column => column(speech, n, dice),
        Kind::Index => {
            let (make, drop) = speech.index(&format!("i_{n}"), "items", "score, label", false);
            let (make_other, drop_other) = speech.index(&format!("j_{n}"), "items", "id, score", true);
            (format!("{make}{make_other}"), format!("{drop_other}{drop}"))
        }
        Kind::View => (
            format!("CREATE VIEW v_{n} AS SELECT id, label FROM items WHERE score > {n};\n"),
            format!("DROP VIEW v_{n};\n"),
        ),
        Kind::Rename => rename(speech, n, tables, dice),
        Kind::Nap => (speech.nap(n, "ups", dice), speech.nap(n, "downs", dice)),
        Kind::Strict => strict(speech, n),
    };
    let (up, down) = match kind {
        // The one counts by itself. One statement that drops two things has no opposite: alone, it has no middle either.
        Kind::Nap | Kind::Pair => (body, back),
        _ => {
            let undo = format!("-- undo: {}", mark(n, "downs"));
            (format!("{}{undo}{body}", mark(n, "ups")), format!("{back}{}", mark(n, "downs")))
        }
    };
    let name = format!("{n:04}_{}", format!("{kind:?}").to_lowercase());
    Migration { number, kind, name, up, down, tables: tables.clone() }
}

fn rows(n: usize) -> (String, String) {
    let add = format!("UPDATE items SET score = score + {};", 7 * n);
    let take = format!("UPDATE items SET score = score - {};", 7 * n);
    (format!("{add}\n-- undo: {take}\n"), format!("{take}\n"))
}

fn table(n: usize, tables: &mut Vec<String>) -> (String, String) {
    tables.push(format!("t_{n}"));
    (
        format!(
            "CREATE TABLE t_{n} (id INTEGER PRIMARY KEY, label VARCHAR(40) NOT NULL);\n\
             INSERT INTO t_{n} SELECT id, label FROM items WHERE id <= 20;\n-- undo: DELETE FROM t_{n};\n"
        ),
        format!("DELETE FROM t_{n};\nDROP TABLE t_{n};\n"),
    )
}

fn column(speech: Speech, n: usize, dice: &mut Dice) -> (String, String) {
    let copy = if speech == Speech::MariaDb && dice.chance(50) { ", ALGORITHM=COPY" } else { "" };
    let take = format!("UPDATE items SET c_{n} = c_{n} - id WHERE id > 20;\n");
    (
        format!(
            "ALTER TABLE items ADD COLUMN c_{n} INTEGER NOT NULL DEFAULT {n}{copy};\n\
             UPDATE items SET c_{n} = c_{n} + id WHERE id > 20;\n-- undo: {take}"
        ),
        format!("{take}ALTER TABLE items DROP COLUMN c_{n}{copy};\n"),
    )
}

fn rename(speech: Speech, n: usize, tables: &mut [String], dice: &mut Dice) -> (String, String) {
    let at = dice.between(0, tables.len() - 1);
    let (old, new) = (tables[at].clone(), format!("t_{n}"));
    tables[at].clone_from(&new);
    let rename = |from: &str, to: &str| match speech {
        Speech::MariaDb => format!("RENAME TABLE {from} TO {to};\n"),
        _ => format!("ALTER TABLE {from} RENAME TO {to};\n"),
    };
    (rename(&old, &new), rename(&new, &old))
}

fn strict(speech: Speech, n: usize) -> (String, String) {
    let fill = format!("INSERT INTO p_{n} SELECT mark FROM marks;\n-- undo: DELETE FROM p_{n};\n");
    let away = format!("DELETE FROM p_{n};\nDROP TABLE p_{n};\n");
    // What all three understand has no word for dropping an index.
    if speech == Speech::Common {
        return (format!("CREATE TABLE p_{n} (mark VARCHAR(20) NOT NULL PRIMARY KEY);\n{fill}"), away);
    }
    let (make, drop) = speech.index(&format!("i_{n}"), "items", "label, score", false);
    let (refuse, allow) = speech.index(&format!("u_{n}"), &format!("p_{n}"), "mark", true);
    (format!("{make}CREATE TABLE p_{n} (mark VARCHAR(20) NOT NULL);\n{fill}{refuse}"), format!("{allow}{away}{drop}"))
}
