//! What went wrong with a step, in the words that decide what happens next.

use serde::{Deserialize, Serialize};

use crate::base::limits::MESSAGE_BYTES_MAX;
use crate::base::{Code, Timestamp};

/// Whether trying again can help. Decided where the error is seen (the database's error code), acted upon in the pure machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Connection lost, lock timeout, deadlock, serialization failure, too many connections: the same step may succeed later.
    Transient,
    /// Syntax, constraint, missing object, a check that did not hold: trying again gives the same answer.
    Permanent,
}

/// Why a step, or an undo, did not succeed. Kept in the log; holds no secret (promise P9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether trying again can help.
    pub class: ErrorClass,
    /// The page to look it up under.
    pub code: Code,
    /// What the server, or Windlass, said. At most [`MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
    /// The server's own error code: SQLSTATE, or SQLite's extended result code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_code: Option<String>,
    /// Which statement of the migration, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<u32>,
}

impl Failure {
    /// A failure; a long message is cut at a character boundary.
    #[must_use]
    pub fn new(class: ErrorClass, code: Code, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX - '…'.len_utf8()).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(end.unwrap_or(0));
            message.push('…');
        }
        Self { class, code, message, server_code: None, statement: None }
    }

    /// The same with the server's own code.
    #[must_use]
    pub fn with_server_code(mut self, code: impl Into<String>) -> Self {
        self.server_code = Some(code.into());
        self
    }

    /// The same at a statement, counted from 1.
    #[must_use]
    pub fn at_statement(mut self, statement: u32) -> Self {
        self.statement = Some(statement);
        self
    }
}

/// When a failed step is tried again: never, or not before a moment that the log keeps, so that a restart waits as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// This was the last try.
    No,
    /// Not before then.
    At(Timestamp),
}
