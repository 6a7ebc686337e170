//! One step: where it can stand, and every legal move.

use crate::base::{Attempt, Timestamp};
use crate::saga::event::{Evidence, Found, Half, Resolution, TenantEvent};
use crate::saga::failure::{Failure, Retry};
use crate::saga::retry::waits_for_predecessor;

/// How often evidence was looked for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looks {
    /// Looks that failed over something that time need not mend: as many as there are tries.
    pub counted: Attempt,
    /// Looks that found an earlier session still at work there, which ends when its statement has had its time: more of these are
    /// given, and not without end.
    pub held: Attempt,
}

impl Looks {
    /// One more, that failed like this.
    #[must_use]
    pub fn after(self, failure: &Failure) -> Self {
        if waits_for_predecessor(failure) {
            Self { held: self.held.next(), ..self }
        } else {
            Self { counted: self.counted.next(), ..self }
        }
    }
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Announced; nobody has said how it ended.
    Started {
        /// Which try.
        attempt: Attempt,
        /// How many of its statements an earlier try is known to have left in effect.
        part: u32,
    },
    /// Known not to be in effect as a whole; may be started again.
    Ready {
        /// The last try.
        attempt: Attempt,
        /// Not to be started before.
        not_before: Timestamp,
        /// What the last try met, where it failed.
        failure: Option<Failure>,
        /// How many of its statements are in effect, where they commit one by one.
        part: u32,
    },
    /// In effect.
    Succeeded(Evidence),
    /// Failed for good.
    Failed {
        /// Why.
        failure: Failure,
        /// How many of its statements are in effect, where they commit one by one.
        part: u32,
    },
    /// Will not be done.
    Skipped,
    /// Its undo is announced; nobody has said how it ended.
    Undoing {
        /// Which try.
        attempt: Attempt,
    },
    /// In effect, whole or in part; its undo failed or never ran to its end, and may be started again.
    UndoReady {
        /// The last try.
        attempt: Attempt,
        /// Not to be started before.
        not_before: Timestamp,
        /// What the last try met, where it failed.
        failure: Option<Failure>,
    },
    /// Undone, or there was nothing to undo.
    Undone,
    /// Act or undo were announced, and the last look for evidence got none.
    Doubt {
        /// Which of them.
        half: Half,
        /// Which try of it.
        attempt: Attempt,
        /// How often evidence was looked for in vain.
        looks: Looks,
        /// Not to be looked for before.
        not_before: Timestamp,
        /// What the last look met.
        failure: Failure,
    },
    /// Only a human decides.
    Stuck {
        /// The act, whose effect is unknown; or the undo, which failed for good and left the step in effect.
        half: Half,
        /// Which try of it.
        attempt: Attempt,
        /// Why.
        failure: Failure,
    },
    /// In effect, and a human decided that it stays.
    Left,
}

impl StepState {
    /// Announced without a known end.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, StepState::Started { .. } | StepState::Undoing { .. } | StepState::Doubt { .. })
    }

    /// Known to be in effect, whole or in part; also where a human decided that it stays so.
    pub(super) const fn in_effect(&self) -> bool {
        matches!(self, StepState::Succeeded(_) | StepState::UndoReady { .. } | StepState::Left) || self.has_part()
    }

    /// Whether its first statements are in effect and the step is not.
    pub(super) const fn has_part(&self) -> bool {
        matches!(self, StepState::Ready { part: 1.., .. } | StepState::Failed { part: 1.., .. })
    }
}

/// Every legal move of one step. `None`: the event does not fit.
///
/// Between steps, and between a step and its tenant, more must hold: see [`super::TenantState::apply`].
pub(super) fn step_after(step: &StepState, event: &TenantEvent) -> Option<StepState> {
    use StepState as S;
    use TenantEvent as E;
    Some(match (step, event) {
        (S::Pending, E::StepStarted { attempt: Attempt(1), .. }) => S::Started { attempt: Attempt(1), part: 0 },
        (S::Ready { attempt: last, part, .. }, E::StepStarted { attempt, .. }) if *attempt == last.next() => {
            S::Started { attempt: *attempt, part: *part }
        }
        (S::Started { .. }, E::StepSucceeded { evidence, .. }) => S::Succeeded(evidence.clone()),
        (S::Started { attempt, part }, E::StepFailed { failure, retry, in_effect, .. }) => {
            // A try never makes less of what stands: one that says less did not come to look.
            let (failure, part) = (failure.clone(), (*part).max(*in_effect));
            match retry {
                Retry::At(at) => S::Ready { attempt: *attempt, not_before: *at, failure: Some(failure), part },
                Retry::No => S::Failed { failure, part },
            }
        }
        (S::Pending, E::StepSkipped { .. }) => S::Skipped,

        (S::Succeeded(_), E::UndoStarted { attempt: Attempt(1), .. }) => S::Undoing { attempt: Attempt(1) },
        (part, E::UndoStarted { attempt: Attempt(1), .. }) if part.has_part() => S::Undoing { attempt: Attempt(1) },
        (S::UndoReady { attempt: last, .. }, E::UndoStarted { attempt, .. }) if *attempt == last.next() => {
            S::Undoing { attempt: *attempt }
        }
        (S::Undoing { .. }, E::UndoSucceeded { .. }) | (S::Succeeded(_), E::UndoSkipped { .. }) => S::Undone,
        (S::Undoing { attempt }, E::UndoFailed { failure, retry: Retry::At(at), .. }) => {
            S::UndoReady { attempt: *attempt, not_before: *at, failure: Some(failure.clone()) }
        }
        (S::Undoing { attempt }, E::UndoFailed { failure, retry: Retry::No, .. }) => {
            S::Stuck { half: Half::Undo, attempt: *attempt, failure: failure.clone() }
        }

        (_, E::StepProbed { half, found, .. }) => probed(step, *half, found)?,
        (S::Stuck { half, failure, .. }, E::TenantResolved { resolution, .. }) => resolved(*half, failure, *resolution),
        _ => return None,
    })
}

/// What a look for evidence makes of a step that is open in that half.
fn probed(step: &StepState, half: Half, found: &Found) -> Option<StepState> {
    let (attempt, looks) = match (step, half) {
        (StepState::Started { attempt, .. }, Half::Act) | (StepState::Undoing { attempt }, Half::Undo) => {
            (*attempt, Looks::default())
        }
        (StepState::Doubt { half: of, attempt, looks, .. }, _) if *of == half => (*attempt, *looks),
        _ => return None,
    };
    // Nothing stands in the way of an immediate new try: what failed was the link, not the step.
    let not_before = Timestamp(0);
    Some(match (found, half) {
        (Found::Applied, Half::Act) => StepState::Succeeded(Evidence { probed: true, ..Evidence::default() }),
        (Found::Applied, Half::Undo) => StepState::Undone,
        (Found::NotApplied, Half::Act) => StepState::Ready { attempt, not_before, failure: None, part: 0 },
        (Found::Partial { statements: part @ 1.. }, Half::Act) => {
            StepState::Ready { attempt, not_before, failure: None, part: *part }
        }
        // An undo that has come half way is not there yet.
        (Found::Partial { .. }, _) => return None,
        (Found::NotApplied, Half::Undo) => StepState::UndoReady { attempt, not_before, failure: None },
        (Found::Unknown { failure, retry: Retry::At(at) }, _) => {
            let looks = looks.after(failure);
            StepState::Doubt { half, attempt, looks, not_before: *at, failure: failure.clone() }
        }
        (Found::Unknown { failure, retry: Retry::No }, _) => {
            StepState::Stuck { half, attempt, failure: failure.clone() }
        }
    })
}

/// What a human's decision makes of a stuck step.
fn resolved(half: Half, failure: &Failure, resolution: Resolution) -> StepState {
    let not_before = Timestamp(0);
    match (resolution, half) {
        // Look again: whoever says "retry" may have mended the database, or even finished the step by hand.
        (Resolution::Retry, _) => StepState::Doubt {
            half,
            attempt: Attempt(0),
            looks: Looks::default(),
            not_before,
            failure: failure.clone(),
        },
        (Resolution::Applied, Half::Act) => StepState::Succeeded(Evidence::default()),
        // Not to be started again: what evidence its statements left still stands in the tenant's ledger.
        (Resolution::Undone, Half::Act) => StepState::Failed { failure: failure.clone(), part: 0 },
        (Resolution::Applied, Half::Undo) => StepState::Left,
        // The tenant's own ledger must say so too: an undo without statements follows (see `TenantState::is_undone_by_hand`).
        (Resolution::Undone, Half::Undo) => StepState::UndoReady { attempt: Attempt(0), not_before, failure: None },
    }
}
