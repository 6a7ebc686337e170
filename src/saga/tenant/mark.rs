//! What tells two states of a tenant apart, as bytes, for the tests that go through all of them.

use super::{FailedForGood, Looks, StepState, TenantState};
use crate::base::{Attempt, Timestamp};
use crate::saga::event::{Half, TenantOutcome};
use crate::saga::failure::Failure;

impl TenantState {
    /// Appends the bytes. Left out are the length of the stream, which only messages name, why the tenant turned, and what evidence a
    /// step left, which no decision reads. The rest is taken apart in full, so that a new field cannot be forgotten here.
    pub(in crate::saga) fn mark(&self, mark: &mut Vec<u8>) {
        let Self {
            seq: _,
            planned,
            from: _,
            steps,
            turned,
            finished,
            ever_started,
            undone_by_hand,
            applied_by_word,
            settled_by_hand,
            failed,
            untold,
        } = self;
        mark.extend([u8::from(planned.is_some()), u8::from(turned.is_some()), u8::from(*ever_started)]);
        mark.extend([u8::from(*settled_by_hand), finished.map_or(0, outcome), u8::from(untold.is_some())]);
        for ids in [undone_by_hand, applied_by_word] {
            mark.extend(ids.iter().flat_map(|id| id.as_str().bytes()));
            mark.push(0);
        }
        if let Some(FailedForGood { index, failure, part }) = failed {
            mark.extend([small(*index), small(*part)]);
            of_failure(Some(failure), mark);
        }
        for step in steps {
            step.mark(mark);
        }
    }
}

impl StepState {
    fn mark(&self, mark: &mut Vec<u8>) {
        match self {
            StepState::Pending => mark.push(100),
            StepState::Started { attempt, part } => mark.extend([101, tries(*attempt), small(*part)]),
            StepState::Ready { attempt, not_before, failure, part } => {
                mark.extend([102, tries(*attempt), small(*part), waits(*not_before)]);
                of_failure(failure.as_ref(), mark);
            }
            StepState::Succeeded(_) => mark.push(103),
            StepState::Failed { failure, part } => {
                mark.extend([104, small(*part)]);
                of_failure(Some(failure), mark);
            }
            StepState::Skipped => mark.push(105),
            StepState::Undoing { attempt } => mark.extend([106, tries(*attempt)]),
            StepState::UndoReady { attempt, not_before, failure } => {
                mark.extend([107, tries(*attempt), waits(*not_before)]);
                of_failure(failure.as_ref(), mark);
            }
            StepState::Undone => mark.push(108),
            StepState::Doubt { half, attempt, looks, not_before, failure } => {
                let Looks { counted, held } = looks;
                mark.extend([109, of_half(*half), tries(*attempt), tries(*counted), tries(*held), waits(*not_before)]);
                of_failure(Some(failure), mark);
            }
            StepState::Stuck { half, attempt, failure } => {
                mark.extend([110, of_half(*half), tries(*attempt)]);
                of_failure(Some(failure), mark);
            }
            StepState::Left => mark.push(111),
        }
    }
}

fn small(number: impl TryInto<u8>) -> u8 {
    number.try_into().unwrap_or_else(|_| panic!("too large for a byte"))
}

fn tries(attempt: Attempt) -> u8 {
    small(attempt.0)
}

fn waits(not_before: Timestamp) -> u8 {
    u8::from(not_before > Timestamp(0))
}

fn of_half(half: Half) -> u8 {
    match half {
        Half::Act => 1,
        Half::Undo => 2,
    }
}

fn outcome(outcome: TenantOutcome) -> u8 {
    1 + outcome as u8
}

/// By its text: those of one model differ in nothing else.
fn of_failure(failure: Option<&Failure>, mark: &mut Vec<u8>) {
    mark.extend(failure.iter().flat_map(|failure| failure.message.bytes()));
    mark.push(0);
}
