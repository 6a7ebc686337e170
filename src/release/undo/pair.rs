//! Which statement of an undo script belongs to which statement of the up script.
//!
//! Only where there is no other way to read the two scripts: each statement of the undo script must be the opposite of exactly one
//! of the others, about the same things by name, and together they must be in reverse order. Otherwise nothing is paired.

use crate::release::Dialect;
use crate::release::sql::mysql::object;
use crate::release::sql::{Sentence, Statement, Transactional, Words, name_at};

/// What a statement does, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Deed {
    verb: Verb,
    /// `TABLE`, `INDEX`; empty for rows.
    kind: String,
    /// The name, without its qualifiers.
    name: String,
    /// The columns, indexes and constraints of an `ALTER TABLE`, sorted.
    parts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Create,
    Drop,
    Alter,
    Insert,
    Delete,
    Update,
}

impl Verb {
    fn opposite(self) -> Self {
        match self {
            Self::Create => Self::Drop,
            Self::Drop => Self::Create,
            Self::Insert => Self::Delete,
            Self::Delete => Self::Insert,
            same @ (Self::Alter | Self::Update) => same,
        }
    }
}

/// For each statement of `up`, the place in `down` of the one that belongs to it.
pub(super) fn pair(dialect: Dialect, up: &[Statement], down: &[Statement]) -> Vec<Option<usize>> {
    let mut pairs = vec![None; up.len()];
    let deeds: Vec<Option<Deed>> = up.iter().map(|statement| deed(dialect, statement)).collect();
    let mut last = up.len();
    for (place, statement) in down.iter().enumerate() {
        let Some(wanted) = deed(dialect, statement).map(|deed| Deed { verb: deed.verb.opposite(), ..deed }) else {
            return vec![None; up.len()];
        };
        let mut matching = (0..up.len()).filter(|at| deeds.get(*at).and_then(Option::as_ref) == Some(&wanted));
        match (matching.next(), matching.next()) {
            (Some(at), None) if at < last => {
                pairs[at] = up.get(at).is_some_and(|of| does_something(dialect, of)).then_some(place);
                last = at;
            }
            _ => return vec![None; up.len()],
        }
    }
    pairs
}

/// Whether a statement, when it ran, did what it says, or Windlass sees that it did nothing: it sees so of one that commits by itself and
/// has one thing to do. Of another with `IF NOT EXISTS`, and of any `OR REPLACE`, the undo might take away what was there before.
fn does_something(dialect: Dialect, statement: &Statement) -> bool {
    let Some(words) = Words::of(dialect, &statement.text) else { return false };
    let s = words.sentence();
    let defines = s.is_any(0, &["CREATE", "ALTER", "DROP"]);
    let asks = |s: Sentence<'_>| s.has(&["IF", "NOT", "EXISTS"]) || s.has(&["IF", "EXISTS"]);
    let by_itself = statement.class.transactional != Transactional::Yes;
    if s.reads(1, &["OR", "REPLACE"]) {
        return false;
    }
    !(defines && asks(s)) || (by_itself && !(s.is(0, "ALTER") && s.parts().len() > 1))
}

fn deed(dialect: Dialect, statement: &Statement) -> Option<Deed> {
    let words = Words::of(dialect, &statement.text)?;
    let s = words.sentence();
    let rows = |verb, at: usize| {
        let mut name = name_at(dialect, s, at)?.parts;
        Some(Deed { verb, kind: String::new(), name: name.pop()?, parts: Vec::new() })
    };
    match s.word(0)?.as_str() {
        "INSERT" => rows(Verb::Insert, s.skip(s.skip(1, &["IGNORE"]), &["INTO"])),
        "DELETE" if s.is(1, "FROM") => rows(Verb::Delete, s.skip(2, &["ONLY"])),
        "UPDATE" => rows(Verb::Update, s.skip(1, &["ONLY"])),
        "CREATE" => defined(dialect, s, Verb::Create),
        "DROP" => defined(dialect, s, Verb::Drop),
        "ALTER" if s.is(1, "TABLE") => altered(dialect, s),
        _ => None,
    }
}

/// `CREATE` or `DROP` of one thing.
fn defined(dialect: Dialect, s: Sentence<'_>, verb: Verb) -> Option<Deed> {
    let (at, kind) = object(s)?;
    let name = s.skip_if_exists(s.skip(at + 1, &["CONCURRENTLY"]));
    let named = name_at(dialect, s, name)?;
    // `DROP TABLE a, b`.
    if verb == Verb::Drop && s.symbol(named.end, b',') {
        return None;
    }
    Some(Deed { verb, kind, name: named.parts.last()?.clone(), parts: Vec::new() })
}

fn altered(dialect: Dialect, s: Sentence<'_>) -> Option<Deed> {
    let table = name_at(dialect, s, s.skip(s.skip_if_exists(2), &["ONLY"]))?;
    let mut parts = Vec::new();
    for action in s.from(table.end).parts() {
        if !action.is_any(0, &["ADD", "DROP", "MODIFY", "ALTER"]) {
            return None;
        }
        let at = action.skip_any(1, &["UNIQUE", "FULLTEXT", "FOREIGN"]);
        let at = action.skip_any(at, &["COLUMN", "INDEX", "KEY", "CONSTRAINT"]);
        parts.push(name_at(dialect, action, action.skip_if_exists(at))?.parts.pop()?.to_lowercase());
    }
    parts.sort();
    Some(Deed { verb: Verb::Alter, kind: "TABLE".to_owned(), name: table.parts.last()?.clone(), parts })
}
