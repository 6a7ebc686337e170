//! The few statements of `SQLite` that stand outside transactions.

use super::{Commit, Facts};
use crate::release::sql::Sentence;

pub(super) fn facts(s: Sentence<'_>, commit: Commit) -> Option<Facts> {
    let none = || Facts::unknown(commit).touching(Vec::new());
    let verb = s.word(0)?;
    match verb.as_str() {
        "VACUUM" | "ANALYZE" | "REINDEX" => Some(none().harmless()),
        // Set again, it is the same; a setting of the session has to be set again in the next one.
        "PRAGMA" => Some(none().harmless()),
        // Nothing else commits by itself.
        _ => None,
    }
}
