//! Inverses on `PostgreSQL`.

use super::derive::{Inverse, PERHAPS_THERE, mentions, plain, swapped, written};
use crate::release::Dialect::Postgres;
use crate::release::sql::Sentence;

pub(super) fn inverse(s: Sentence<'_>) -> Inverse {
    match s.word(0).unwrap_or_default().as_str() {
        "CREATE" => create(s),
        "ALTER" => alter(s),
        _ => Err(None),
    }
}

fn create(s: Sentence<'_>) -> Inverse {
    if s.reads(1, &["OR", "REPLACE"]) {
        return Err(Some(PERHAPS_THERE));
    }
    let at = s.skip_any(1, &["UNIQUE", "UNLOGGED", "RECURSIVE", "MATERIALIZED", "CONSTRAINT"]);
    let kind = s.word(at).ok_or(None)?;
    let name = s.skip(at + 1, &["CONCURRENTLY"]);
    if s.reads(name, &["IF", "NOT", "EXISTS"]) {
        return Err(Some(PERHAPS_THERE));
    }
    match kind.as_str() {
        "INDEX" => index(s, at, name),
        "VIEW" if s.is(1, "MATERIALIZED") => {
            Ok(format!("DROP MATERIALIZED VIEW {}", written(Postgres, s, name)?.whole))
        }
        "TABLE" | "VIEW" | "SEQUENCE" | "TYPE" | "DOMAIN" => {
            let named = written(Postgres, s, name)?;
            // A shell type, which another statement fills.
            if kind == "TYPE" && named.end == s.len() {
                return Err(None);
            }
            Ok(format!("DROP {kind} {}", named.whole))
        }
        "SCHEMA" => {
            let schema = plain(Postgres, s, name)?;
            if schema.end == s.len() { Ok(format!("DROP SCHEMA {}", schema.whole)) } else { Err(None) }
        }
        "FUNCTION" | "PROCEDURE" => routine(s, &kind, name),
        "TRIGGER" => {
            let trigger = plain(Postgres, s, name)?;
            let on = s.find(&["ON"]).ok_or(None)?;
            Ok(format!("DROP TRIGGER {} ON {}", trigger.whole, written(Postgres, s, on + 1)?.whole))
        }
        _ => Err(None),
    }
}

/// `CREATE [UNIQUE] INDEX [CONCURRENTLY] name ON [ONLY] table`: it lives in the schema of its table.
fn index(s: Sentence<'_>, at: usize, name: usize) -> Inverse {
    if s.is(name, "ON") {
        return Err(Some("the server gives it a name"));
    }
    let index = plain(Postgres, s, name)?;
    if !s.is(index.end, "ON") {
        return Err(None);
    }
    let table = written(Postgres, s, s.skip(index.end + 1, &["ONLY"]))?;
    let concurrently = if name > at + 1 { "CONCURRENTLY " } else { "" };
    Ok(format!("DROP INDEX {concurrently}{}{}", table.qualifiers, index.whole))
}

/// Its arguments tell it from others of its name. `DROP` takes them as they are written, but for their defaults.
fn routine(s: Sentence<'_>, kind: &str, name: usize) -> Inverse {
    let named = written(Postgres, s, name)?;
    if !s.symbol(named.end, b'(') {
        return Err(None);
    }
    let end = s.behind_parentheses(named.end);
    if (named.end..end).any(|at| s.is(at, "DEFAULT") || s.symbol(at, b'=')) {
        return Err(Some("its arguments have defaults"));
    }
    Ok(format!("DROP {kind} {}{}", named.whole, s.between(named.end, end)))
}

fn alter(s: Sentence<'_>) -> Inverse {
    match s.word(1).unwrap_or_default().as_str() {
        "TABLE" => alter_table(s),
        "TYPE" => alter_type(s),
        kind @ ("INDEX" | "VIEW" | "SEQUENCE" | "SCHEMA" | "DOMAIN") => rename(s, kind, 2),
        "MATERIALIZED" if s.is(2, "VIEW") => rename(s, "MATERIALIZED VIEW", 3),
        _ => Err(None),
    }
}

/// `ALTER kind name RENAME TO new`, the name at `at`.
fn rename(s: Sentence<'_>, kind: &str, at: usize) -> Inverse {
    if s.reads(at, &["IF", "EXISTS"]) {
        return Err(Some("it may have found nothing to change"));
    }
    let name = written(Postgres, s, at)?;
    if !s.reads(name.end, &["RENAME", "TO"]) {
        return Err(None);
    }
    let new = plain(Postgres, s, name.end + 2)?;
    if new.end != s.len() {
        return Err(None);
    }
    Ok(format!("ALTER {kind} {}{} RENAME TO {}", name.qualifiers, new.last, name.last))
}

fn alter_type(s: Sentence<'_>) -> Inverse {
    let name = written(Postgres, s, 2)?;
    if !s.reads(name.end, &["RENAME", "VALUE"]) {
        return rename(s, "TYPE", 2);
    }
    let (old, to, new) = (s.written(name.end + 2), name.end + 3, s.written(name.end + 4));
    let literals = old.starts_with('\'') && new.starts_with('\'');
    if !(literals && s.is(to, "TO") && s.len() == to + 2) {
        return Err(None);
    }
    Ok(format!("ALTER TYPE {} RENAME VALUE {new} TO {old}", name.whole))
}

/// `ALTER TABLE [ONLY] name action, …`: the inverses in reverse order, in one statement.
fn alter_table(s: Sentence<'_>) -> Inverse {
    if s.reads(2, &["IF", "EXISTS"]) {
        return Err(Some("it may have found nothing to change"));
    }
    let at = s.skip(2, &["ONLY"]);
    let table = written(Postgres, s, at)?;
    let target = s.between(2, table.end);
    let actions = s.from(table.end);
    // Renamings stand alone.
    if actions.starts(&["RENAME", "TO"]) {
        return rename(s, "TABLE", at);
    }
    if actions.is(0, "RENAME") {
        let constraint = actions.is(1, "CONSTRAINT");
        let (old, new) = swapped(Postgres, actions, actions.skip_any(1, &["COLUMN", "CONSTRAINT"]))?;
        let what = if constraint { "CONSTRAINT" } else { "COLUMN" };
        return Ok(format!("ALTER TABLE {target} RENAME {what} {} TO {}", new.whole, old.whole));
    }
    let inverses: Vec<String> = actions.parts().into_iter().rev().map(action).collect::<Result<_, _>>()?;
    Ok(format!("ALTER TABLE {target} {}", inverses.join(", ")))
}

fn action(s: Sentence<'_>) -> Inverse {
    if !s.is(0, "ADD") {
        return Err(None);
    }
    if s.is(1, "CONSTRAINT") {
        let name = plain(Postgres, s, 2)?;
        if s.is(name.end, "PRIMARY") {
            return Err(Some("a primary key makes its columns NOT NULL, and they would stay so without it"));
        }
        if s.has(&["USING", "INDEX"]) {
            return Err(Some("a constraint takes over the index that it uses"));
        }
        return Ok(format!("DROP CONSTRAINT {}", name.whole));
    }
    if s.is_any(1, &["PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE", "NOT"]) {
        return Err(Some("the server gives the constraint a name"));
    }
    let at = s.skip(1, &["COLUMN"]);
    if s.reads(at, &["IF", "NOT", "EXISTS"]) {
        return Err(Some(PERHAPS_THERE));
    }
    let column = plain(Postgres, s, at)?;
    // With neither type nor anything else behind it, it is no column.
    if column.end == s.len() || mentions(s.from(column.end), &["TABLE"]) {
        return Err(None);
    }
    Ok(format!("DROP COLUMN {}", column.whole))
}
