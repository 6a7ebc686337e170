//! The undo that a statement says of itself.

use super::{mysql, postgres, sqlite};
use crate::release::Dialect;
use crate::release::sql::{Kind, Loss, Sentence, SessionState, Statement, Words, name_at};

/// What can be said of the undo of a statement from its text alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Derived {
    /// It leaves nothing behind that would have to be taken back.
    Nothing,
    /// This takes it back, exactly.
    Statement(String),
    /// Nothing, with the reason where it is not plain to see.
    None(Option<&'static str>),
}

/// `None` where it does not know: there may have been one of this name before.
pub(super) const PERHAPS_THERE: &str = "it may have found what it makes there already";

pub(super) fn derive(dialect: Dialect, statement: &Statement) -> Derived {
    let class = &statement.class;
    let reads = matches!(class.kind, Kind::Query | Kind::Maintenance | Kind::Session);
    if reads && class.loss == Loss::None {
        return Derived::Nothing;
    }
    if class.kind != Kind::Ddl {
        return Derived::None(None);
    }
    let Some(words) = Words::of(dialect, &statement.text) else {
        return Derived::None(Some("some servers skip what stands in its comments"));
    };
    let s = words.sentence();
    if class.session == SessionState::Changed && is_temporary(s) {
        return Derived::Nothing;
    }
    let inverse = match dialect {
        Dialect::Postgres => postgres::inverse(s),
        Dialect::Mysql => mysql::inverse(s),
        Dialect::Sqlite => sqlite::inverse(s),
    };
    match inverse {
        Ok(text) => Derived::Statement(text),
        Err(reason) => Derived::None(reason),
    }
}

/// It ends with the session, or is in nobody's way.
fn is_temporary(s: Sentence<'_>) -> bool {
    let at = s.skip_any(s.skip(1, &["OR", "REPLACE"]), &["LOCAL", "GLOBAL"]);
    s.is(0, "CREATE") && s.is_any(at, &["TEMP", "TEMPORARY"])
}

/// Why there is no inverse: nothing to add, or a reason.
pub(super) type Inverse = Result<String, Option<&'static str>>;

/// A name as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written<'a> {
    /// With its qualifiers and quotes.
    pub(super) whole: &'a str,
    /// The qualifiers, with the last dot; empty where there are none.
    pub(super) qualifiers: &'a str,
    /// The last part, with its quotes.
    pub(super) last: &'a str,
    /// The position behind it.
    pub(super) end: usize,
}

/// The name that begins at `at`.
pub(super) fn written(dialect: Dialect, s: Sentence<'_>, at: usize) -> Result<Written<'_>, Option<&'static str>> {
    let name = name_at(dialect, s, at).ok_or(None)?;
    let end = name.end;
    Ok(Written { whole: s.between(at, end), qualifiers: s.between(at, end - 1), last: s.written(end - 1), end })
}

/// `RENAME` with one name in the place of another, `old` at `at`: the two swapped. Both end the statement, or the action.
pub(super) fn swapped(
    dialect: Dialect,
    s: Sentence<'_>,
    at: usize,
) -> Result<(Written<'_>, Written<'_>), Option<&'static str>> {
    let old = plain(dialect, s, at)?;
    let new = if s.is(old.end, "TO") { plain(dialect, s, old.end + 1)? } else { return Err(None) };
    if new.end == s.len() { Ok((old, new)) } else { Err(None) }
}

/// A name without qualifiers.
pub(super) fn plain(dialect: Dialect, s: Sentence<'_>, at: usize) -> Result<Written<'_>, Option<&'static str>> {
    let name = written(dialect, s, at)?;
    if name.qualifiers.is_empty() { Ok(name) } else { Err(None) }
}

/// Whether one of `words` stands anywhere, in parentheses too.
pub(super) fn mentions(s: Sentence<'_>, words: &[&str]) -> bool {
    (0..s.len()).any(|at| s.is_any(at, words))
}
