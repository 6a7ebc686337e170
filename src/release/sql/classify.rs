//! From a statement's text to its [`Class`].

use super::class::{Kind, Loss, SessionState, Transactional};
use super::lexer::Token;
use super::sentence::{Sentence, tokens};
use super::{Class, Dialect, mysql, postgres, sqlite};

/// What is known of one statement from its text. A text that cannot be read as tokens is unknown in every respect.
#[must_use]
pub fn classify(dialect: Dialect, statement: &str) -> Class {
    match tokens(dialect, statement) {
        Ok(tokens) => classify_tokens(dialect, statement, &tokens),
        Err(reason) => Class::plain(Kind::Unknown).unclear(reason.to_string()).changes_session(),
    }
}

/// What stands in a conditional comment is executed by some servers and skipped by others: the statement is what it is for either,
/// whichever is worse.
pub(super) fn classify_tokens(dialect: Dialect, text: &str, tokens: &[Token]) -> Class {
    let whole = classify_sentence(dialect, Sentence::new(text, tokens));
    let skipped: Vec<Token> = tokens.iter().filter(|token| !token.conditional).copied().collect();
    if skipped.is_empty() || skipped.len() == tokens.len() {
        return whole;
    }
    either(whole, classify_sentence(dialect, Sentence::new(text, &skipped)))
}

fn either(left: Class, right: Class) -> Class {
    Class {
        kind: if left.kind == right.kind { left.kind } else { Kind::Unknown },
        transactional: if matches!(left.transactional, Transactional::No { .. }) {
            left.transactional
        } else {
            right.transactional
        },
        control: left.control.or(right.control),
        loss: match (&left.loss, &right.loss) {
            (Loss::Destroys { .. }, _) | (_, Loss::None) => left.loss,
            _ => right.loss,
        },
        session: if left.session == SessionState::Changed { left.session } else { right.session },
    }
}

fn classify_sentence(dialect: Dialect, sentence: Sentence<'_>) -> Class {
    match dialect {
        Dialect::Postgres => postgres::classify(sentence),
        Dialect::Mysql => mysql::classify(sentence),
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
