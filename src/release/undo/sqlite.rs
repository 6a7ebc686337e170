//! Inverses on `SQLite`.

use super::derive::{Inverse, PERHAPS_THERE, plain, swapped, written};
use crate::release::Dialect::Sqlite;
use crate::release::sql::Sentence;

pub(super) fn inverse(s: Sentence<'_>) -> Inverse {
    if s.is(0, "CREATE") {
        let at = s.skip_any(1, &["UNIQUE", "VIRTUAL"]);
        let kind =
            s.word(at).filter(|kind| matches!(kind.as_str(), "TABLE" | "INDEX" | "VIEW" | "TRIGGER")).ok_or(None)?;
        if s.reads(at + 1, &["IF", "NOT", "EXISTS"]) {
            return Err(Some(PERHAPS_THERE));
        }
        return Ok(format!("DROP {kind} {}", written(Sqlite, s, at + 1)?.whole));
    }
    if !s.starts(&["ALTER", "TABLE"]) {
        return Err(None);
    }
    let table = written(Sqlite, s, 2)?;
    let at = table.end;
    if s.reads(at, &["RENAME", "TO"]) {
        let new = plain(Sqlite, s, at + 2)?;
        if new.end != s.len() {
            return Err(None);
        }
        return Ok(format!("ALTER TABLE {}{} RENAME TO {}", table.qualifiers, new.last, table.last));
    }
    if s.is(at, "RENAME") {
        let (old, new) = swapped(Sqlite, s, s.skip(at + 1, &["COLUMN"]))?;
        return Ok(format!("ALTER TABLE {} RENAME COLUMN {} TO {}", table.whole, new.whole, old.whole));
    }
    if s.is(at, "ADD") {
        let column = plain(Sqlite, s, s.skip(at + 1, &["COLUMN"]))?;
        return Ok(format!("ALTER TABLE {} DROP COLUMN {}", table.whole, column.whole));
    }
    Err(None)
}
