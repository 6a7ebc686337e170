//! From a statement's text to its [`Class`].

use super::sentence::{Sentence, tokens};
use super::{Class, Dialect, class::Kind, postgres, sqlite};

/// What is known of one statement from its text. A text that cannot be read as tokens is unknown in every respect.
#[must_use]
pub fn classify(dialect: Dialect, statement: &str) -> Class {
    match tokens(dialect, statement) {
        Ok(tokens) => classify_sentence(dialect, Sentence::new(statement, &tokens)),
        Err(reason) => Class::plain(Kind::Unknown).unclear(reason.to_string()).changes_session(),
    }
}

pub(super) fn classify_sentence(dialect: Dialect, sentence: Sentence<'_>) -> Class {
    match dialect {
        Dialect::Postgres => postgres::classify(sentence),
        Dialect::Sqlite => sqlite::classify(sentence),
    }
}

/// The verb behind the common table expressions of a `WITH`, and where it stands. An expression may bear a verb's name:
/// `WITH update AS (…)`.
pub(super) fn main_verb(sentence: Sentence<'_>) -> Option<usize> {
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "VALUES", "TABLE"];
    let names_expression = |at: usize| {
        let list = if sentence.symbol(at + 1, b'(') { sentence.behind_parentheses(at + 1) } else { at + 1 };
        sentence.is(list, "AS")
            && (sentence.symbol(list + 1, b'(') || sentence.is_any(list + 1, &["MATERIALIZED", "NOT"]))
    };
    sentence.top().skip(1).find(|at| sentence.is_any(*at, &verbs) && !names_expression(*at))
}
