//! What is to be done with a tenant next: the one place that decides.

use super::{Looks, StepState, TenantState};
use crate::base::{Attempt, Code, Timestamp};
use crate::saga::event::{Cause, Direction, Half, TenantOutcome};
use crate::saga::plan::{Plan, PlannedStep, UndoSource};

/// What a worker does next. Everything it needs to decide is in the log; the clock only tells it when `not_before` has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'p> {
    /// Look for evidence of a step that was announced and has no known end.
    Probe {
        /// Which.
        step: &'p PlannedStep,
        /// Its act or its undo.
        half: Half,
        /// How often evidence was looked for in vain.
        looks: Looks,
        /// Not before.
        not_before: Timestamp,
    },
    /// Announce a step, then act.
    Start {
        /// Which.
        step: &'p PlannedStep,
        /// Which try.
        attempt: Attempt,
        /// Not before.
        not_before: Timestamp,
    },
    /// Record that the tenant turns.
    Turn {
        /// Why.
        cause: Cause,
    },
    /// Announce an undo, then undo.
    Undo {
        /// Of which step.
        step: &'p PlannedStep,
        /// Which try.
        attempt: Attempt,
        /// Not before.
        not_before: Timestamp,
    },
    /// Record that there is nothing to undo.
    SkipUndo {
        /// Of which step.
        step: &'p PlannedStep,
    },
    /// Record the end.
    Finish {
        /// How.
        outcome: TenantOutcome,
        /// In words.
        reason: String,
        /// What went wrong, where something did.
        code: Option<Code>,
    },
    /// The next step's wave is not open.
    AwaitWave,
    /// A step failed for good: the deploy decides what follows.
    AwaitDecision,
    /// Nothing is left to do.
    Rest,
}

/// What is true of a tenant that was brought back from the middle of a migration.
const AS_BEFORE: &str = "the tenant is as it was before this deploy";

impl TenantState {
    /// What is to be done here next, in a deploy that goes this way and has opened the waves up to `open`.
    ///
    /// Doubt comes first, whichever way the deploy goes: what happened must be known before anything is decided upon it (P3).
    #[must_use]
    pub fn next<'p>(&self, plan: &'p Plan, direction: Direction, open: Option<(u32, u32)>) -> Action<'p> {
        if self.planned.is_none() {
            return Action::Rest;
        }
        match self.finished {
            Some(TenantOutcome::Completed) if direction == Direction::Unwind => {
                return Action::Turn { cause: Cause::DeployTurned };
            }
            Some(_) => return Action::Rest,
            None => {}
        }
        if let Some(probe) = self.doubt(plan) {
            return probe;
        }
        if let Some(end) = self.hand_over() {
            return end;
        }
        if self.turned.is_some() {
            return self.next_undo(plan);
        }
        if direction == Direction::Unwind {
            return Action::Turn { cause: Cause::DeployTurned };
        }
        if self.steps.iter().any(|step| matches!(step, StepState::Failed { .. })) {
            return Action::AwaitDecision;
        }
        self.next_start(plan, open)
    }

    fn doubt<'p>(&self, plan: &'p Plan) -> Option<Action<'p>> {
        let at_once = (Looks::default(), Timestamp(0));
        self.steps.iter().zip(plan.steps()).find_map(|(state, step)| {
            let (half, (looks, not_before)) = match state {
                StepState::Started { .. } => (Half::Act, at_once),
                StepState::Undoing { .. } => (Half::Undo, at_once),
                StepState::Doubt { half, looks, not_before, .. } => (*half, (*looks, *not_before)),
                _ => return None,
            };
            Some(Action::Probe { step, half, looks, not_before })
        })
    }

    /// A stuck tenant waits for a human; one that a human decided about ends.
    fn hand_over<'p>(&self) -> Option<Action<'p>> {
        self.steps.iter().find_map(|state| match state {
            StepState::Stuck { failure, .. } => Some(Action::Finish {
                outcome: TenantOutcome::Stuck,
                reason: failure.message.clone(),
                code: Some(failure.code),
            }),
            StepState::Left => Some(Action::Finish {
                outcome: TenantOutcome::Abandoned,
                reason: "left as it is, by decision".to_owned(),
                code: None,
            }),
            _ => None,
        })
    }

    fn next_undo<'p>(&self, plan: &'p Plan) -> Action<'p> {
        for (state, step) in self.steps.iter().zip(plan.steps()).rev() {
            match state {
                StepState::Succeeded(_) if step.undo == UndoSource::NoEffect => return Action::SkipUndo { step },
                at if matches!(at, StepState::Succeeded(_)) || at.has_part() => {
                    return Action::Undo { step, attempt: Attempt(1), not_before: Timestamp(0) };
                }
                StepState::UndoReady { attempt, not_before, .. } => {
                    return Action::Undo { step, attempt: attempt.next(), not_before: *not_before };
                }
                _ => {}
            }
        }
        let code = self.failure().map(|failure| failure.code);
        if self.ever_started {
            let reason = self.unwound_reason();
            Action::Finish { outcome: TenantOutcome::Unwound, reason, code }
        } else {
            Action::Finish { outcome: TenantOutcome::Untouched, reason: "never started".to_owned(), code }
        }
    }

    /// Why the tenant is as it was: what failed for good, and what became of the statements of it that had been committed.
    pub(super) fn unwound_reason(&self) -> String {
        let Some(failure) = self.failure() else { return "undone".to_owned() };
        let message = failure.message.as_str();
        let full_stop = if message.ends_with(['.', '!', '?', '…']) { "" } else { "." };
        match self.failed.as_ref().map_or(0, |failed| failed.part) {
            0 => message.to_owned(),
            1 => format!(
                "{message}{full_stop} Statement 1 was committed by the server and has been undone; {AS_BEFORE}."
            ),
            part => {
                format!(
                    "{message}{full_stop} Statements 1 to {part} were committed by the server and have been undone; {AS_BEFORE}."
                )
            }
        }
    }

    fn next_start<'p>(&self, plan: &'p Plan, open: Option<(u32, u32)>) -> Action<'p> {
        for (state, step) in self.steps.iter().zip(plan.steps()) {
            let (attempt, not_before) = match state {
                StepState::Pending if self.needs_met(plan, step) => (Attempt(1), Timestamp(0)),
                StepState::Ready { attempt, not_before, .. } => (attempt.next(), *not_before),
                _ => continue,
            };
            if open.is_none_or(|open| (step.stage, self.wave(step.stage)) > open) {
                return Action::AwaitWave;
            }
            return Action::Start { step, attempt, not_before };
        }
        Action::Finish { outcome: TenantOutcome::Completed, reason: completed_reason(plan), code: None }
    }
}

fn completed_reason(plan: &Plan) -> String {
    if plan.is_empty() { "already there" } else { "on the release" }.to_owned()
}
