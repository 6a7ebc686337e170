//! The few statements of `SQLite` that stand outside transactions.

use super::{Commit, Facts};
use crate::release::sql::Sentence;

pub(super) fn facts(s: Sentence<'_>, commit: Commit) -> Option<Facts> {
    match s.word(0)?.as_str() {
        // A setting that is set again is the same. One of the session has to be set again in the next one.
        "VACUUM" | "ANALYZE" | "REINDEX" | "PRAGMA" => Some(Facts::unknown(commit).touching(Vec::new()).harmless()),
        // Nothing else commits by itself.
        _ => None,
    }
}
