//! The tenant machine against what is written down about it: the moves of one step, the rules between steps, and what comes next.

mod moves;
mod next;
mod rules;

use super::*;
use crate::base::{Attempt, Timestamp};
use crate::saga::event::{Direction, Evidence, Found};
use crate::saga::failure::Retry;
use crate::saga::testing::*;

fn legal(plan: &Plan, events: &[TenantEvent]) -> TenantState {
    TenantState::fold(plan, &[&[planned(&[0])], events].concat()).unwrap()
}

/// Why the last event is refused; those before it are not.
fn refused(plan: &Plan, before: &[TenantEvent], event: &TenantEvent) -> String {
    let mut state = legal(plan, before);
    let kept = state.clone();
    let error = state.apply(plan, event).expect_err("the event was taken");
    assert_eq!(state, kept, "a refused event leaves no trace");
    assert_eq!(error.seq, kept.seq().next());
    error.reason
}

fn done(step: &str) -> [TenantEvent; 2] {
    [started(step, 1), succeeded(step)]
}

fn undo(step: &str) -> [TenantEvent; 2] {
    [undo_started(step, 1), undone(step)]
}
