//! What `PostgreSQL` does outside of transactions. Behaviours as measured on version 15.

use super::{Commit, Facts, Middle, Object, ObjectKind};
use crate::release::Dialect;
use crate::release::sql::{Sentence, Statement, Words, name_at};

pub(super) fn facts(s: Sentence<'_>, commit: Commit) -> Option<Facts> {
    let none = || Facts::unknown(commit).touching(Vec::new());
    if commit == Commit::WithLedger {
        // Set again, it is the same.
        let sets = s.is_any(0, &["SET", "RESET", "LISTEN", "UNLISTEN", "LOAD"])
            || (s.is(0, "SELECT") && s.name(1).eq_ignore_ascii_case("set_config"));
        return sets.then(|| none().harmless());
    }
    match s.word(0)?.as_str() {
        "VACUUM" | "CLUSTER" => Some(none().harmless()),
        "CREATE" => create_index(s, commit),
        "DROP" => drop_index(s, commit),
        "REINDEX" => reindex(s, commit),
        "ALTER" => detach(s, commit),
        _ => None,
    }
}

fn object(kind: ObjectKind, s: Sentence<'_>, at: usize) -> Option<(Object, usize)> {
    let name = name_at(Dialect::Postgres, s, at)?;
    let end = name.end;
    Some((Object::new(kind, name)?, end))
}

/// `CREATE [UNIQUE] INDEX CONCURRENTLY [[IF NOT EXISTS] name] ON [ONLY] table …`.
fn create_index(s: Sentence<'_>, commit: Commit) -> Option<Facts> {
    let at = s.skip(1, &["UNIQUE"]);
    if !s.reads(at, &["INDEX", "CONCURRENTLY"]) {
        return None;
    }
    let name = s.skip(at + 2, &["IF", "NOT", "EXISTS"]);
    let (index, on) = if s.is(name, "ON") {
        (None, name)
    } else {
        let (index, end) = object(ObjectKind::Index, s, name)?;
        (Some(index), end)
    };
    if !s.is(on, "ON") {
        return None;
    }
    let (table, _) = object(ObjectKind::Table, s, s.skip(on + 1, &["ONLY"]))?;
    // An index lives in the schema of its table.
    let index = index.map(|index| Object { schema: table.schema.clone(), ..index });
    let objects = index.iter().chain([&table]).cloned().collect();
    let facts = Facts::unknown(commit).touching(objects).harmless_if(name > at + 2);
    Some(facts.leaving(Middle::InvalidIndex { index, table: Some(table) }))
}

/// `DROP INDEX CONCURRENTLY [IF EXISTS] name [RESTRICT]`: the server takes one name only.
fn drop_index(s: Sentence<'_>, commit: Commit) -> Option<Facts> {
    if !s.starts(&["DROP", "INDEX", "CONCURRENTLY"]) {
        return None;
    }
    let name = s.skip_if_exists(3);
    let (index, _) = object(ObjectKind::Index, s, name)?;
    let facts = Facts::unknown(commit).touching(vec![index.clone()]).harmless_if(name > 3);
    Some(facts.leaving(Middle::InvalidIndex { index: Some(index), table: None }))
}

/// `REINDEX [(…)] {INDEX | TABLE | SCHEMA | DATABASE | SYSTEM} [CONCURRENTLY] [name]`.
fn reindex(s: Sentence<'_>, commit: Commit) -> Option<Facts> {
    let what = if s.symbol(1, b'(') { s.behind_parentheses(1) } else { 1 };
    let kind = match s.word(what)?.as_str() {
        "INDEX" => Some(ObjectKind::Index),
        "TABLE" => Some(ObjectKind::Table),
        _ => None,
    };
    let object = match kind {
        Some(kind) => Some(object(kind, s, s.skip(what + 1, &["CONCURRENTLY"]))?.0),
        None => None,
    };
    Some(Facts::unknown(commit).touching(Vec::new()).harmless().leaving(Middle::ReindexTwin { object }))
}

/// `ALTER TABLE [IF EXISTS] parent DETACH PARTITION partition CONCURRENTLY`.
fn detach(s: Sentence<'_>, commit: Commit) -> Option<Facts> {
    if !s.starts(&["ALTER", "TABLE"]) {
        return None;
    }
    let (parent, end) = object(ObjectKind::Table, s, s.skip(2, &["IF", "EXISTS"]))?;
    if !s.reads(end, &["DETACH", "PARTITION"]) {
        return None;
    }
    let (partition, end) = object(ObjectKind::Table, s, end + 2)?;
    if !(s.is(end, "CONCURRENTLY") && end + 1 == s.len()) {
        return None;
    }
    let facts = Facts::unknown(commit).touching(vec![parent.clone(), partition.clone()]);
    Some(facts.leaving(Middle::DetachPending { parent, partition }))
}

/// The first statement that uses a value which an earlier `ALTER TYPE … ADD VALUE` of the same script adds: it cannot see it
/// before the transaction of that one has committed (55P04).
pub(super) fn use_of_new_value(statements: &[Statement]) -> Option<(usize, String)> {
    let mut added: Vec<(usize, String)> = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        // A literal, or a literal in the body of a block; not seen are values that are put together when the statement runs.
        let used = added.iter().find(|(_, value)| statement.text.contains(value.as_str()));
        let adds = new_value(&statement.text);
        if let (Some((by, value)), None) = (used, &adds) {
            let by = by + 1;
            return Some((
                at,
                format!(
                    "it uses {value}, which statement {by} adds, and PostgreSQL refuses that before the transaction of {by} has ended (55P04)"
                ),
            ));
        }
        added.extend(adds.map(|value| (at, value)));
    }
    None
}

/// The literal that `ALTER TYPE name ADD VALUE [IF NOT EXISTS] 'value' …` adds, with its quotes.
fn new_value(text: &str) -> Option<String> {
    let words = Words::of(Dialect::Postgres, text)?;
    let s = words.sentence();
    let name = if s.starts(&["ALTER", "TYPE"]) { name_at(Dialect::Postgres, s, 2)? } else { return None };
    let value = s.skip(name.end + 2, &["IF", "NOT", "EXISTS"]);
    let written = s.written(value);
    (s.reads(name.end, &["ADD", "VALUE"]) && written.starts_with('\'')).then(|| written.to_owned())
}
