//! The kinds of step: how each acts, is undone, and is looked for.
//!
//! A kind is one file here and one line in [`Kinds`], or a type of somebody else that is given to [`Kinds::with`]. It is told to act only after the start is durable in the log, and may act again
//! under the same key after a crash: so whatever it does outside the log, it does in one transaction with the ledger row of its key,
//! or it changes nothing.

mod check;
mod error;
mod expand;
mod kinds;
mod migrate;
mod preflight;
mod scripts;
mod switch;

use async_trait::async_trait;

pub use self::error::StepError;
pub use self::expand::{Change, Expand, Pending, check, expand};
pub use self::kinds::Kinds;
pub use self::migrate::{Halfway, MigrateWith, halfway};
pub(crate) use self::migrate::{LOCK_TIMEOUT, STATEMENT_TIMEOUT};
pub use self::preflight::in_force_digest;
pub use self::scripts::Scripts;
use crate::base::{DeployId, StepId};
use crate::saga::event::{Evidence, Half};
use crate::saga::failure::Failure;
use crate::saga::plan::{Plan, PlannedStep};
use crate::saga::workflow::StepDef;
use crate::tenant::{LedgerKey, Outcome, Session, SessionError};

/// What a step is carried out with.
pub struct StepContext<'a> {
    /// The deploy.
    pub deploy: DeployId,
    /// The tenant's plan, of which the step is one.
    pub plan: &'a Plan,
    /// The statements of the release, for this tenant's dialect.
    pub scripts: &'a Scripts,
    /// How undos are carried out.
    pub undoing: Undoing,
    /// The open session.
    pub session: &'a mut dyn Session,
}

/// How an undo is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undoing {
    /// By its script.
    Scripted,
    /// A human has done it: the ledger is told, and nothing else is sent.
    ByHand,
    /// By its script. That there is something to undo is a human's word: the ledger is told first, where it does not know.
    Believed,
}

impl StepContext<'_> {
    /// The ledger key of a step of this deploy.
    #[must_use]
    pub fn key(&self, step: &StepId, half: Half) -> LedgerKey {
        LedgerKey { deploy: self.deploy, step: step.clone(), half }
    }
}

/// Why an act or an undo did not succeed.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What happened.
    pub failure: Failure,
    /// Whether it may have taken effect.
    pub outcome: Outcome,
    /// How many of its statements took effect before, and stay, where they commit one by one. Of an act.
    pub in_effect: u32,
}

impl From<SessionError> for Trouble {
    fn from(error: SessionError) -> Self {
        Self { failure: error.failure, outcome: error.outcome, in_effect: 0 }
    }
}

impl From<Failure> for Trouble {
    /// A failure that Windlass itself has seen before anything was sent.
    fn from(failure: Failure) -> Self {
        Self { failure, outcome: Outcome::NoEffect, in_effect: 0 }
    }
}

/// What a look for evidence found; an error means that it could not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It took effect.
    Applied,
    /// It did not.
    NotApplied,
    /// Of an act whose statements commit one by one: so many of them did, the first ones.
    Partial(u32),
}

/// What becomes of a step that is found not to have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It will be tried again.
    Repeat,
    /// It never will: a late packet of the earlier try must not bring it about.
    Forgo,
}

/// What a human has said of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It is in effect, and stays.
    InEffect,
    /// It is not, whatever evidence it left.
    Undone,
}

/// One kind of step.
#[async_trait]
pub trait StepKind: Send + Sync {
    /// The name used in `uses`.
    fn name(&self) -> &'static str;

    /// One line for `windlass workflow show`.
    fn summary(&self) -> &'static str;

    /// The steps that a workflow's step becomes for one tenant, in order, each waiting for the one before; their ids start with the
    /// workflow's. Refuses parameters that it does not know.
    fn expand(&self, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError>;

    /// Acts.
    async fn act(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble>;

    /// Undoes. Called only for steps whose undo is not [`crate::saga::plan::UndoSource::NoEffect`].
    async fn undo(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let _ = (step, cx);
        Ok(Evidence::default())
    }

    /// Tells the tenant what only a human's word says of a step, and nothing that is still to come will: the next deploy goes by what
    /// the tenant knows. The word is in the log; told again, it is the same.
    async fn tell(&self, step: &PlannedStep, said: Said, cx: &mut StepContext<'_>) -> Result<(), Trouble> {
        let _ = (step, said, cx);
        Ok(())
    }

    /// Looks for evidence of an act or an undo that was announced and has no known end.
    ///
    /// The default is for kinds without an effect: having done nothing, they can be done again.
    async fn probe(
        &self,
        step: &PlannedStep,
        half: Half,
        afterwards: Afterwards,
        cx: &mut StepContext<'_>,
    ) -> Result<Seen, Trouble> {
        let _ = (step, half, afterwards, cx);
        Ok(Seen::NotApplied)
    }
}
