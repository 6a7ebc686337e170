//! What `MySQL` and `MariaDB` commit by themselves. What a killed server leaves behind was measured on `MariaDB` 10.11; `MySQL` 8
//! drops several tables in one piece, and is treated as if it did not.

use std::collections::BTreeSet;

use super::{Commit, Facts, Middle, Object, ObjectKind, Shown};
use crate::release::Dialect;
use crate::release::sql::mysql::{behind_wait, object};
use crate::release::sql::{Sentence, name_at};

pub(super) fn facts(s: Sentence<'_>, commit: Commit) -> Option<Facts> {
    let facts = || Facts::unknown(commit);
    let none = || facts().touching(Vec::new());
    let verb = s.word(0)?;
    match verb.as_str() {
        // What is set to the same value again is the same. A value may be drawn from somewhere, though.
        "SET" if commit == Commit::WithLedger => Some(none().harmless_if(!has_call(s))),
        "SET" | "GRANT" | "REVOKE" | "PREPARE" | "DEALLOCATE" | "FLUSH" => Some(none().harmless()),
        "ANALYZE" | "CHECK" | "OPTIMIZE" | "REPAIR" | "CACHE" | "LOAD" if commit == Commit::ByItself => {
            Some(none().harmless())
        }
        _ if commit == Commit::WithLedger => None,
        "CREATE" => create(s, facts()).or_else(|| in_database(s, facts())),
        "ALTER" => alter(s, facts()).or_else(|| in_database(s, facts())),
        "DROP" => drop(s, facts()).or_else(|| in_database(s, facts())),
        "RENAME" if s.is_any(1, &["TABLE", "TABLES"]) => rename(s, facts()),
        "TRUNCATE" => {
            let table = one(ObjectKind::Table, s, s.skip(1, &["TABLE"]))?.0;
            Some(facts().touching(vec![table]).shown(Shown::Number))
        }
        _ => None,
    }
}

/// Of a definition in the tenant's database that is not understood: it shows in all of them together. Not of users, servers and
/// functions of libraries, which are not in it.
fn in_database(s: Sentence<'_>, facts: Facts) -> Option<Facts> {
    let word = object(s)?.1;
    let inside = (kind_of(&word).is_some() && !s.has(&["SONAME"])) || word == "INDEX";
    inside.then(|| facts.shown(Shown::Number))
}

fn has_call(s: Sentence<'_>) -> bool {
    (0..s.len()).any(|at| s.symbol(at, b'('))
}

fn one(kind: ObjectKind, s: Sentence<'_>, at: usize) -> Option<(Object, usize)> {
    let name = name_at(Dialect::Mysql, s, at)?;
    let end = name.end;
    Some((Object::new(kind, name)?, end))
}

/// The names between commas from `at` on, up to the end or a word that ends the list.
fn several(kind: ObjectKind, s: Sentence<'_>, mut at: usize) -> Option<Vec<Object>> {
    let mut objects = Vec::new();
    loop {
        let (object, end) = one(kind, s, at)?;
        objects.push(object);
        if !s.symbol(end, b',') {
            let ends = end == s.len() || s.is_any(end, &["RESTRICT", "CASCADE", "WAIT", "NOWAIT"]);
            return ends.then_some(objects);
        }
        at = end + 1;
    }
}

fn kind_of(word: &str) -> Option<ObjectKind> {
    Some(match word {
        "TABLE" => ObjectKind::Table,
        "VIEW" => ObjectKind::View,
        "PROCEDURE" => ObjectKind::Procedure,
        "FUNCTION" => ObjectKind::Function,
        "TRIGGER" => ObjectKind::Trigger,
        "EVENT" => ObjectKind::Event,
        "SEQUENCE" => ObjectKind::Sequence,
        _ => return None,
    })
}

fn create(s: Sentence<'_>, facts: Facts) -> Option<Facts> {
    let (at, word) = object(s)?;
    let replaces = s.reads(1, &["OR", "REPLACE"]);
    let name = s.skip(at + 1, &["IF", "NOT", "EXISTS"]);
    let exists = name > at + 1;
    if word == "INDEX" {
        return index(s, at, facts.harmless_if(replaces || exists));
    }
    let kind = kind_of(&word)?;
    let (created, end) = one(kind, s, name)?;
    // `CREATE FUNCTION … SONAME` is a function of the server, not of a database.
    if kind == ObjectKind::Function && s.is(end, "RETURNS") {
        return None;
    }
    let rows = matches!(kind, ObjectKind::Table | ObjectKind::Sequence);
    let facts = facts.touching(vec![created.clone()]);
    Some(match (replaces, rows) {
        // What was written into it since would be lost.
        (true, true) => facts.shown(Shown::Number).leaving(Middle::ReplaceTable { object: created }),
        (true, false) => facts.harmless(),
        // Whether a table that is there already takes the rows of the query once more depends on the server.
        (false, _) => facts.harmless_if(exists && !(0..s.len()).any(|at| s.is_any(at, &["SELECT", "VALUES", "WITH"]))),
    })
}

/// `CREATE [OR REPLACE] [UNIQUE | FULLTEXT | SPATIAL] INDEX [IF NOT EXISTS] name [USING …] ON table (…)`, `INDEX` at `at`.
fn index(s: Sentence<'_>, at: usize, facts: Facts) -> Option<Facts> {
    let on = (at + 1..s.len().min(at + 10)).find(|at| s.is(*at, "ON"))?;
    let (table, end) = one(ObjectKind::Table, s, on + 1)?;
    s.symbol(end, b'(').then(|| facts.touching(vec![table]))
}

fn drop(s: Sentence<'_>, facts: Facts) -> Option<Facts> {
    let word = s.word(1)?;
    let word = if word == "TABLES" { "TABLE".to_owned() } else { word };
    let name = s.skip(2, &["IF", "EXISTS"]);
    let facts = facts.harmless_if(name > 2);
    if word == "INDEX" {
        let end = name_at(Dialect::Mysql, s, name)?.end;
        let (table, _) = if s.is(end, "ON") { one(ObjectKind::Table, s, end + 1)? } else { return None };
        return Some(facts.touching(vec![table]));
    }
    let objects = several(kind_of(&word)?, s, name)?;
    let facts = facts.touching(objects.clone());
    Some(if objects.len() > 1 { facts.leaving(Middle::DropSeveral { objects }) } else { facts })
}

/// `RENAME TABLE [IF EXISTS] a [WAIT n] TO b, …`: measured to be atomic, however many.
fn rename(s: Sentence<'_>, facts: Facts) -> Option<Facts> {
    let mut objects = Vec::new();
    let mut at = s.skip(2, &["IF", "EXISTS"]);
    loop {
        let (from, end) = one(ObjectKind::Table, s, at)?;
        let to = behind_wait(s, end);
        let (to, end) = if s.is(to, "TO") { one(ObjectKind::Table, s, to + 1)? } else { return None };
        objects.extend([from, to]);
        if end == s.len() {
            // `a TO b, b TO a` would be done and undone; `IF EXISTS` makes no difference to that. Two tables that are defined alike and
            // change places leave every definition as it was.
            let names: BTreeSet<String> = objects.iter().map(|object| object.name.to_lowercase()).collect();
            let shown = if names.len() < objects.len() { Shown::Number } else { Shown::Definition };
            return Some(facts.touching(objects).shown(shown));
        }
        if !s.symbol(end, b',') {
            return None;
        }
        at = end + 1;
    }
}

fn alter(s: Sentence<'_>, facts: Facts) -> Option<Facts> {
    let (at, word) = object(s)?;
    let kind = kind_of(&word)?;
    let name = s.skip(at + 1, &["IF", "EXISTS"]);
    let (altered, end) = one(kind, s, name)?;
    match kind {
        ObjectKind::Table => alter_table(s, altered, behind_wait(s, end), facts),
        // The same definition again, or the same state.
        ObjectKind::View | ObjectKind::Procedure | ObjectKind::Function => {
            Some(facts.touching(vec![altered]).harmless())
        }
        ObjectKind::Event => match (end..s.len()).find(|at| s.reads(*at, &["RENAME", "TO"])) {
            Some(at) => {
                let (renamed, _) = one(kind, s, at + 2)?;
                Some(facts.touching(vec![altered, renamed]))
            }
            None => Some(facts.touching(vec![altered]).harmless()),
        },
        // Where a sequence stands is no part of its definition.
        ObjectKind::Sequence if s.has(&["RESTART"]) => Some(facts.touching(vec![altered]).shown(Shown::Nowhere)),
        ObjectKind::Sequence => Some(facts.touching(vec![altered]).harmless()),
        ObjectKind::Index | ObjectKind::Trigger => None,
    }
}

/// The actions of `ALTER TABLE` from `at` on.
fn alter_table(s: Sentence<'_>, table: Object, at: usize, facts: Facts) -> Option<Facts> {
    let mut objects = vec![table];
    let (mut harmless, mut by_number) = (true, false);
    for action in s.from(at).parts() {
        harmless &= is_repeatable(action);
        // Of partitions, and of tablespaces, no definition may tell.
        by_number |= action.is_any(1, &["PARTITION", "PARTITIONING", "TABLESPACE"]);
        let other = if action.starts(&["RENAME"]) && !action.is_any(1, &["COLUMN", "INDEX", "KEY"]) {
            Some(action.skip_any(1, &["TO", "AS"]))
        } else if action.starts(&["EXCHANGE", "PARTITION"]) {
            Some(action.find(&["WITH", "TABLE"])? + 2)
        } else if action.starts(&["CONVERT"]) && !action.starts(&["CONVERT", "TO"]) {
            // `CONVERT TABLE u TO PARTITION …`, `CONVERT PARTITION … TO TABLE u`: MariaDB makes and takes away tables.
            return None;
        } else {
            None
        };
        if let Some(at) = other {
            objects.push(one(ObjectKind::Table, action, at)?.0);
        }
    }
    let shown = if by_number { Shown::Number } else { Shown::Definition };
    Some(facts.touching(objects).shown(shown).harmless_if(harmless))
}

/// Whether one action of `ALTER TABLE` comes to the same when it is run again.
fn is_repeatable(action: Sentence<'_>) -> bool {
    let object = action.skip_any(1, &["UNIQUE", "FULLTEXT", "SPATIAL", "FOREIGN"]);
    let object = action.skip_any(object, &["COLUMN", "INDEX", "KEY", "CONSTRAINT", "PARTITION"]);
    match action.word(0).unwrap_or_default().as_str() {
        "ADD" => action.reads(object, &["IF", "NOT", "EXISTS"]),
        "DROP" => action.reads(object, &["IF", "EXISTS"]),
        "MODIFY" | "ENGINE" | "COMMENT" | "ROW_FORMAT" | "FORCE" | "ENABLE" | "DISABLE" | "ALGORITHM" | "LOCK"
        | "AUTO_INCREMENT" | "DEFAULT" | "CHARACTER" | "CHARSET" | "COLLATE" | "ORDER" | "ANALYZE" | "OPTIMIZE"
        | "REBUILD" | "CHECK" | "REPAIR" => true,
        "CONVERT" => action.is(1, "TO"),
        // Of a default or of visibility; not `ALTER COLUMN … RENAME`, which there is not.
        "ALTER" => action.has(&["SET"]) || action.has(&["DROP", "DEFAULT"]),
        _ => false,
    }
}
