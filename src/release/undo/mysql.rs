//! Inverses on `MySQL` and `MariaDB`.

use super::derive::{Inverse, PERHAPS_THERE, mentions, plain, swapped, written};
use crate::release::Dialect::Mysql;
use crate::release::sql::mysql::{behind_wait, object};
use crate::release::sql::{Sentence, name_at};

const NO_CHANGE: &str = "it may have found nothing to change";
const UNNAMED: &str = "the server gives it a name";

pub(super) fn inverse(s: Sentence<'_>) -> Inverse {
    match s.word(0).unwrap_or_default().as_str() {
        "CREATE" => create(s),
        "ALTER" => match object(s) {
            Some((at, kind)) if kind == "TABLE" => alter_table(s, at + 1),
            _ => Err(None),
        },
        "RENAME" if s.is_any(1, &["TABLE", "TABLES"]) => rename(s),
        _ => Err(None),
    }
}

fn create(s: Sentence<'_>) -> Inverse {
    if s.reads(1, &["OR", "REPLACE"]) {
        return Err(Some(PERHAPS_THERE));
    }
    let (at, kind) = object(s).ok_or(None)?;
    if s.reads(at + 1, &["IF", "NOT", "EXISTS"]) {
        return Err(Some(PERHAPS_THERE));
    }
    let name = written(Mysql, s, at + 1)?;
    match kind.as_str() {
        "TABLE" | "VIEW" | "SEQUENCE" | "PROCEDURE" | "TRIGGER" | "EVENT" => Ok(format!("DROP {kind} {}", name.whole)),
        // Without a list of parameters, it is a function of the server.
        "FUNCTION" if s.symbol(name.end, b'(') => Ok(format!("DROP FUNCTION {}", name.whole)),
        "INDEX" => {
            let on = (name.end..s.len().min(name.end + 3)).find(|at| s.is(*at, "ON")).ok_or(None)?;
            Ok(format!("DROP INDEX {} ON {}", name.whole, written(Mysql, s, on + 1)?.whole))
        }
        _ => Err(None),
    }
}

/// `RENAME TABLE a TO b, c TO d`: the last one first, so that a swap over a third name comes back.
fn rename(s: Sentence<'_>) -> Inverse {
    if s.reads(2, &["IF", "EXISTS"]) {
        return Err(Some(NO_CHANGE));
    }
    let pairs: Vec<String> = s.from(2).parts().into_iter().rev().map(renaming).collect::<Result<_, _>>()?;
    Ok(format!("RENAME TABLE {}", pairs.join(", ")))
}

fn renaming(s: Sentence<'_>) -> Inverse {
    let old = written(Mysql, s, 0)?;
    let to = behind_wait(s, old.end);
    let new = if s.is(to, "TO") { written(Mysql, s, to + 1)? } else { return Err(None) };
    // A name without its database is looked for in the session's, whichever the other one is in.
    if new.end == s.len() { Ok(format!("{} TO {}", new.whole, old.whole)) } else { Err(None) }
}

/// `ALTER [ONLINE] TABLE name [WAIT n] action, …`, the name at `at`: the inverses in reverse order, in one statement.
fn alter_table(s: Sentence<'_>, at: usize) -> Inverse {
    if s.reads(at, &["IF", "EXISTS"]) {
        return Err(Some(NO_CHANGE));
    }
    if s.is(1, "IGNORE") || s.is(2, "IGNORE") {
        return Err(None);
    }
    let table = written(Mysql, s, at)?;
    let mut target = table.whole.to_owned();
    let mut inverses = Vec::new();
    let mut names = Vec::new();
    for action in s.from(behind_wait(s, table.end)).parts() {
        if action.is(0, "RENAME") && !action.is_any(1, &["COLUMN", "INDEX", "KEY"]) {
            let new = plain(Mysql, action, action.skip_any(1, &["TO", "AS"]))?;
            if !table.qualifiers.is_empty() || new.end != action.len() {
                return Err(Some("it may move the table to another database"));
            }
            new.whole.clone_into(&mut target);
            inverses.insert(0, format!("RENAME TO {}", table.whole));
            continue;
        }
        // How the change is made is no part of it, and may not fit the way back.
        if action.is_any(0, &["ALGORITHM", "LOCK"]) {
            continue;
        }
        names.extend(columns(action));
        inverses.insert(0, self::action(action)?);
    }
    names.sort_unstable();
    // `RENAME COLUMN a TO b, ADD COLUMN a INT`: the order would matter, and within one statement there is none.
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Some("it names a column twice"));
    }
    if inverses.is_empty() { Err(None) } else { Ok(format!("ALTER TABLE {target} {}", inverses.join(", "))) }
}

/// The columns that an action adds or renames, by their names as the server compares them.
fn columns(s: Sentence<'_>) -> Vec<String> {
    let name = |at: usize| name_at(Mysql, s, at).and_then(|mut name| name.parts.pop()).map(|name| name.to_lowercase());
    if s.starts(&["RENAME", "COLUMN"]) {
        return [name(2), name(4)].into_iter().flatten().collect();
    }
    if s.is(0, "ADD") { name(s.skip(1, &["COLUMN"])).into_iter().collect() } else { Vec::new() }
}

fn action(s: Sentence<'_>) -> Inverse {
    if s.is(0, "RENAME") {
        let what = s.word(1).unwrap_or_default();
        if s.reads(2, &["IF", "EXISTS"]) {
            return Err(Some(NO_CHANGE));
        }
        let (old, new) = swapped(Mysql, s, 2)?;
        return Ok(format!("RENAME {what} {} TO {}", new.whole, old.whole));
    }
    if !s.is(0, "ADD") {
        return Err(None);
    }
    match s.word(1).unwrap_or_default().as_str() {
        "INDEX" | "KEY" => index(s, 2),
        "UNIQUE" | "FULLTEXT" | "SPATIAL" => index(s, s.skip_any(2, &["INDEX", "KEY"])),
        "CONSTRAINT" => constraint(s),
        "PRIMARY" => Err(Some("a primary key makes its columns NOT NULL, and they would stay so without it")),
        "FOREIGN" | "CHECK" => Err(Some(UNNAMED)),
        "PARTITION" | "SYSTEM" | "PERIOD" | "VECTOR" => Err(None),
        _ => column(s, s.skip(1, &["COLUMN"])),
    }
}

/// `ADD … INDEX name …`, the name at `at`.
fn index(s: Sentence<'_>, at: usize) -> Inverse {
    if s.reads(at, &["IF", "NOT", "EXISTS"]) {
        return Err(Some(PERHAPS_THERE));
    }
    if s.symbol(at, b'(') || s.is(at, "USING") {
        return Err(Some(UNNAMED));
    }
    let name = plain(Mysql, s, at)?;
    if s.symbol(name.end, b'(') || s.is(name.end, "USING") {
        Ok(format!("DROP INDEX {}", name.whole))
    } else {
        Err(None)
    }
}

fn constraint(s: Sentence<'_>) -> Inverse {
    if s.reads(2, &["IF", "NOT", "EXISTS"]) {
        return Err(Some(PERHAPS_THERE));
    }
    if s.is_any(2, &["CHECK", "UNIQUE", "FOREIGN", "PRIMARY"]) {
        return Err(Some(UNNAMED));
    }
    let name = plain(Mysql, s, 2)?;
    match s.word(name.end).unwrap_or_default().as_str() {
        "CHECK" => Ok(format!("DROP CONSTRAINT {}", name.whole)),
        // With a name of its own, the index has that one.
        "UNIQUE" if s.symbol(s.skip_any(name.end + 1, &["INDEX", "KEY"]), b'(') => {
            Ok(format!("DROP INDEX {}", name.whole))
        }
        "FOREIGN" => Err(Some("a foreign key may bring an index with it, which would stay without it")),
        "PRIMARY" => Err(Some("a primary key makes its columns NOT NULL, and they would stay so without it")),
        _ => Err(None),
    }
}

/// `ADD [COLUMN] name definition`, the name at `at`.
fn column(s: Sentence<'_>, at: usize) -> Inverse {
    if s.reads(at, &["IF", "NOT", "EXISTS"]) {
        return Err(Some(PERHAPS_THERE));
    }
    if s.symbol(at, b'(') {
        return Err(Some("it adds several columns in parentheses"));
    }
    let column = plain(Mysql, s, at)?;
    if column.end == s.len() {
        return Err(None);
    }
    if mentions(s, &["REFERENCES", "CHECK", "PRIMARY"]) {
        return Err(Some("the constraint in its definition may outlive the column, or keep it"));
    }
    Ok(format!("DROP COLUMN {}", column.whole))
}
