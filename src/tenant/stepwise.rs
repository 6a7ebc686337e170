//! What a session offers for scripts whose statements commit by themselves. [`super::course`] puts it in order.

use async_trait::async_trait;

use super::error::SessionError;
use super::session::{Applied, LedgerKey, Unit};
use crate::base::Epoch;
use crate::release::stepwise::{Facts, Middle};
use crate::saga::event::Half;

/// What of a script goes in one piece: a statement that commits by itself, or statements that share a transaction with the row that
/// says they are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stride {
    /// Its number, by which the ledger knows it: of the statement in its script, from 1; of an undo, that of the statement undone.
    pub number: u32,
    /// What is sent, one message each; exactly one where it commits by itself.
    pub texts: Vec<String>,
    /// What is known of it.
    pub facts: Facts,
}

/// How far a stride has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was about to be run.
    Intent,
    /// It is in effect.
    Done,
}

/// A stride that was begun, as `windlass_statement` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its number.
    pub number: u32,
    /// How far it came.
    pub state: State,
    /// The print of what it touches, before; empty where it was not taken.
    pub before: String,
    /// The same, after, where it was the evidence that settled an intent; empty otherwise.
    pub after: String,
    /// Who wrote this.
    pub epoch: Epoch,
}

/// What became of a stride's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was inserted.
    Now,
    /// There was one: nothing was done.
    Before,
}

/// A fingerprint of what a statement touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    /// One line, for comparison and for people.
    pub text: String,
    /// Whether an equal print before and after proves that the statement did not take effect. It does not where a witness that the
    /// statement needs could not be read, for want of a privilege.
    pub proves: bool,
}

/// Whether rows of a step's strides still say that they are about to be run, when all of them are in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcomes {
    /// None does.
    Written,
    /// Some do: they are to say what is.
    Due,
}

/// When a known middle is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// The statement's end is not known: a half of it is brought to either side.
    InDoubt,
    /// The server has refused it: what it left all the same is cleared away. What cannot be cleared stays, and the print shows it.
    AfterError,
}

/// What was done about a known middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// Nothing was found in the middle: the print tells.
    Nothing,
    /// It is to be run, as if it never had been.
    ToRun,
    /// It is in effect now.
    InEffect,
}

/// The primitives. Each is one act, durable when it returns; what a crash between two of them means stands in [`super::course`].
///
/// Each that writes first makes sure that the fence is still this session's, and gives [`SessionError::fenced`] where it is not.
#[async_trait]
pub trait Stepwise: Send {
    /// The strides of a step that were begun, in order of number.
    async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError>;

    /// Writes that a stride is about to be run.
    async fn intend(&mut self, key: &LedgerKey, number: u32, before: &str) -> Result<Written, SessionError>;

    /// Runs a statement by itself. An error whose outcome is `NoEffect` is the server's word; what a statement may leave in spite of it
    /// (`DROP TABLE a, b`, an index that was not built), only a print tells.
    async fn run_alone(&mut self, half: Half, statement: &str) -> Result<(), SessionError>;

    /// Writes that a stride that was intended has taken effect.
    async fn settle(&mut self, key: &LedgerKey, number: u32, after: &str) -> Result<(), SessionError>;

    /// Takes out the row of a stride that has not taken effect.
    async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError>;

    /// Runs statements in one transaction with the row that says they are done; that row first.
    async fn run_with_outcome(
        &mut self,
        key: &LedgerKey,
        number: u32,
        statements: &[String],
    ) -> Result<Written, SessionError>;

    /// Runs a statement whose effect lives in the session once more, in a new session.
    async fn say_again(&mut self, statement: &str) -> Result<(), SessionError>;

    /// Ends a step: its ledger row, the fence, and the outcomes that are due, all in one transaction. `unit` has no statements of its
    /// own.
    async fn finish(&mut self, unit: &Unit, outcomes: Outcomes) -> Result<Applied, SessionError>;

    /// The fingerprint of what a statement touches. Changes nothing.
    async fn print(&mut self, facts: &Facts) -> Result<Print, SessionError>;

    /// Looks for a known middle, and clears it. `before` is the print before the statement. Safe to repeat after a crash in it.
    async fn mend(&mut self, middle: &Middle, before: &str, when: Mend) -> Result<Mended, SessionError>;

    /// Ends the server's session, so that nothing that was set, locked or made in it outlives this; the next act opens another.
    async fn renew(&mut self);
}
