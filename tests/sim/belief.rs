//! What the events of one step say of it.

use windlass::base::Code;
use windlass::saga::event::{Found, Half, Resolution, TenantEvent};
use windlass::saga::failure::Retry;

/// Where a step stands, as far as an outsider can tell from its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Belief {
    /// Nothing was announced.
    #[default]
    Untouched,
    /// Announced, and its end is not known; so many of its statements were in effect before.
    Open(Half, usize),
    /// Not under way, with so many statements in effect.
    Rests(usize),
    /// In effect as a whole.
    Whole,
    /// Failed for good, with so many statements in effect.
    Failed(usize),
    /// Its undo failed and may be tried again: some of it may be undone.
    HalfUndone,
    /// Taken back.
    Gone,
    /// Taken back by hand; the ledger is still to be told.
    GoneByHand,
    /// Only a human decides.
    Stuck { half: Half, torn: bool },
    /// A human decided that it stays.
    Left,
}

impl Belief {
    /// After one more event; none where that cannot follow.
    pub fn after(self, event: &TenantEvent) -> Option<Self> {
        use Belief as B;
        use TenantEvent as E;
        let count = |statements: &u32| usize::try_from(*statements).ok();
        Some(match (self, event) {
            (B::Untouched, E::StepStarted { .. }) => B::Open(Half::Act, 0),
            (B::Rests(part), E::StepStarted { .. }) => B::Open(Half::Act, part),
            (B::Open(Half::Act, _), E::StepSucceeded { .. }) => B::Whole,
            // A try that says less than is there did not come so far as to look.
            (B::Open(Half::Act, part), E::StepFailed { retry, in_effect, .. }) => {
                let part = part.max(count(in_effect)?);
                if matches!(retry, Retry::At(_)) { B::Rests(part) } else { B::Failed(part) }
            }
            (B::Whole | B::Rests(_) | B::Failed(_) | B::HalfUndone | B::GoneByHand, E::UndoStarted { .. }) => {
                B::Open(Half::Undo, 0)
            }
            (B::Untouched, E::StepSkipped { .. })
            | (B::Whole, E::UndoSkipped { .. })
            | (B::Open(Half::Undo, _), E::UndoSucceeded { .. }) => B::Gone,
            (B::Open(Half::Undo, _), E::UndoFailed { retry: Retry::At(_), .. }) => B::HalfUndone,
            (B::Open(Half::Undo, _), E::UndoFailed { .. }) => B::Stuck { half: Half::Undo, torn: false },
            (B::Open(open, _), E::StepProbed { half, found, .. }) if open == *half => match (found, half) {
                (Found::Applied, Half::Act) => B::Whole,
                (Found::Applied, Half::Undo) => B::Gone,
                (Found::NotApplied, Half::Act) => B::Rests(0),
                (Found::NotApplied, Half::Undo) => B::HalfUndone,
                (Found::Partial { statements }, _) => B::Rests(count(statements)?),
                (Found::Unknown { retry: Retry::At(_), .. }, _) => self,
                (Found::Unknown { failure, .. }, half) => {
                    B::Stuck { half: *half, torn: failure.code == Code::TransactionBroken }
                }
            },
            (B::Stuck { half, .. }, E::TenantResolved { resolution, .. }) => match (resolution, half) {
                (Resolution::Retry, half) => B::Open(half, 0),
                (Resolution::Applied, Half::Act) => B::Whole,
                (Resolution::Applied, Half::Undo) => B::Left,
                (Resolution::Undone, Half::Act) => B::Failed(0),
                (Resolution::Undone, Half::Undo) => B::GoneByHand,
            },
            _ => return None,
        })
    }

    /// Whether so many of its statements may be in effect.
    pub fn holds(self, done: usize, all: usize) -> bool {
        match self {
            Belief::Untouched | Belief::Gone | Belief::GoneByHand => done == 0,
            Belief::Rests(part) | Belief::Failed(part) => done == part,
            Belief::Whole | Belief::Left => done == all,
            Belief::HalfUndone | Belief::Open(..) | Belief::Stuck { .. } => true,
        }
    }

    /// P1: whether its statements may take effect. One whose end could not be found out may still come to it.
    pub fn may_take_effect(self, of: Half) -> bool {
        match self {
            Belief::Open(half, _) | Belief::Stuck { half, .. } => half == of,
            _ => false,
        }
    }
}
