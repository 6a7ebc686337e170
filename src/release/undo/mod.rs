//! How each statement of a stepwise migration is undone by itself.
//!
//! When statement *k* of a migration fails for good, the first *k* − 1 are in effect and the undo script, which takes back the whole,
//! does not fit. So an undo is kept for each statement: what its author wrote under it in `-- undo:` lines, else what the simple
//! forms say of themselves, else the statement of the undo script that can only be meant for it. What is not clearly understood has
//! none: an undo that takes away what was there before is worse than one that is missing.

mod derive;
mod mysql;
mod pair;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;
mod written;

use serde::Serialize;

use super::sql::{Statement, split};
use super::{Dialect, ReleaseError, Script};
use derive::{Derived, derive};

/// Where the undo of a statement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Its author wrote it under the statement.
    Written,
    /// The statement says it of itself.
    Derived,
    /// It is the statement of the undo script that belongs to this one.
    Paired,
}

/// The undo of one statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementUndo {
    /// Where it comes from.
    pub origin: Origin,
    /// What to run, in order. Nothing, where the statement left nothing to take back.
    pub statements: Vec<Statement>,
}

/// Whether a migration that has stopped after some of its statements can be brought back to its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "can")]
pub enum FromTheMiddle {
    /// Wherever it stops.
    Yes,
    /// Not everywhere.
    No {
        /// The first statement that stands in the way: `statement 2 (…) has no undo of its own`.
        because: String,
    },
}

/// The undo of each statement of a stepwise script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undos {
    /// In the order of the script.
    pub(super) each: Vec<Option<StatementUndo>>,
    /// Whether they take it back from the middle.
    pub(super) verdict: FromTheMiddle,
}

/// Finds the undo of each of `statements`, which are those of `script`. `down` are the statements of the undo script.
///
/// # Errors
/// When an `-- undo:` line belongs to no statement, or cannot be read.
pub(super) fn undos(
    dialect: Dialect,
    script: &Script,
    statements: &[Statement],
    down: &[Statement],
) -> Result<Undos, ReleaseError> {
    let mut written = written::read(dialect, script, statements)?;
    let paired = pair::pair(dialect, statements, down);
    let mut each = Vec::with_capacity(statements.len());
    let mut obstacle = None;
    for (at, statement) in statements.iter().enumerate() {
        let by_author = written.get_mut(at).and_then(Option::take);
        let (undo, reason) = match by_author {
            Some(statements) => (Some(StatementUndo { origin: Origin::Written, statements }), None),
            None => match derive(dialect, statement) {
                Derived::Nothing => (Some(StatementUndo { origin: Origin::Derived, statements: Vec::new() }), None),
                Derived::Statement(text) => (derived(dialect, &text), None),
                Derived::None(reason) => (None, reason),
            },
        };
        let undo = undo.or_else(|| {
            let down = down.get((*paired.get(at)?)?)?;
            Some(StatementUndo { origin: Origin::Paired, statements: vec![down.clone()] })
        });
        // When the last one is done, so is the migration, and its undo script takes it back.
        if undo.is_none() && obstacle.is_none() && at + 1 < statements.len() {
            obstacle = Some(obstacle_at(at, statement, reason));
        }
        each.push(undo);
    }
    let verdict = obstacle.map_or(FromTheMiddle::Yes, |because| FromTheMiddle::No { because });
    Ok(Undos { each, verdict })
}

fn obstacle_at(at: usize, statement: &Statement, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("statement {} (`{}`) has no undo of its own{reason}", at + 1, statement.beginning())
}

/// A derived text that is not one statement, by our own reading, is none of which we are sure.
fn derived(dialect: Dialect, text: &str) -> Option<StatementUndo> {
    let statements = split(dialect, text).ok()?;
    (statements.len() == 1).then_some(StatementUndo { origin: Origin::Derived, statements })
}

/// Refuses `-- undo:` lines in an undo script, where they would be passed over in silence.
///
/// # Errors
/// When there is one.
pub(super) fn refuse_lines(script: &Script) -> Result<(), ReleaseError> {
    written::refuse_lines(script)
}
