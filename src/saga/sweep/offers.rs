//! What the fold would take: at every rest it is offered every event with which a step could be started or undone, a tenant turned or ended,
//! also those that the machine does not propose there. Whatever it takes must be true in the database. A worker that is wrong about
//! what comes next is then stopped by the fold, and a fold that is too free is found although no worker makes use of it.

use crate::base::{Attempt, StepId};
use crate::saga::event::{Found, TenantEvent, TenantOutcome};
use crate::saga::failure::Retry;
use crate::saga::plan::{PlannedStep, UndoSource};
use crate::saga::sim::Tenant;
use crate::saga::tenant::StepState;
use crate::saga::testing::{finished, started, turned, undo_skipped, undo_started};

/// What a tenant's history says without the machine.
struct Account {
    turned: bool,
    /// A step is announced, and its end is not known.
    open: bool,
    /// A step has failed for good, or nobody can tell what became of it.
    stopped: bool,
}

impl Account {
    fn of(tenant: &Tenant<'_>) -> Self {
        use TenantEvent as E;
        let mut account = Self { turned: false, open: false, stopped: false };
        for event in &tenant.history {
            match &**event {
                E::StepStarted { .. } | E::UndoStarted { .. } => account.open = true,
                E::StepProbed { found: Found::Unknown { retry, .. }, .. } => {
                    account.open = *retry != Retry::No;
                    account.stopped |= *retry == Retry::No;
                }
                E::StepFailed { retry, .. } | E::UndoFailed { retry, .. } => {
                    account.open = false;
                    account.stopped |= *retry == Retry::No;
                }
                // Whoever decides says how it goes on: "retry" is a step in doubt again.
                E::TenantResolved { .. } => account.stopped = false,
                E::StepProbed { .. } | E::StepSucceeded { .. } | E::UndoSucceeded { .. } => account.open = false,
                E::TenantTurned { .. } => account.turned = true,
                E::TenantPlanned { .. } | E::StepSkipped { .. } | E::UndoSkipped { .. } | E::TenantFinished { .. } => {}
            }
        }
        account
    }
}

/// Offers a tenant everything.
pub(super) fn check(tenant: &Tenant<'_>) {
    let account = Account::of(tenant);
    let takes = |event: &TenantEvent| tenant.state.clone().apply(tenant.plan, event).is_ok();
    let hold = |event: &TenantEvent, truth: bool| {
        assert!(truth || !takes(event), "the fold takes {event:?}, after {:#?}", tenant.history);
    };
    let rests = !account.open;
    hold(&turned(), rests && !account.turned);
    for ((at, step), (_, state)) in (0..).zip(tenant.plan.steps()).zip(tenant.state.steps(tenant.plan)) {
        let (there, id) = (tenant.in_effect(at), step.id.as_str());
        let may_start = rests && !account.turned && !account.stopped && is_ready(tenant, at, step);
        hold(&started(id, next_try(state)), may_start);
        let is_last = tenant.effects.last().is_some_and(|(last, _)| *last == at);
        let told = tenant.state.is_undone_by_hand(&step.id);
        hold(&undo_started(id, next_try(state)), rests && account.turned && (is_last || told));
        let nothing_after = tenant.effects.last().is_none_or(|(last, _)| *last < at);
        let none = step.undo == UndoSource::NoEffect && there == 0;
        hold(&undo_skipped(id), rests && account.turned && none && nothing_after);
    }
    let as_it_was = rests && account.turned && tenant.effects.is_empty();
    let whole = |(at, step): (usize, u32)| step == 0 || tenant.in_effect(at) == step;
    let all = (0..tenant.plan.steps().len()).map(|at| (at, tenant.commits(at)));
    let in_part = all.clone().any(|(at, commits)| tenant.in_effect(at) > 0 && !whole((at, commits)));
    let by_hand = tenant.is_settled_by_hand();
    hold(&finished(TenantOutcome::Completed), rests && !account.turned && all.clone().all(whole));
    hold(&finished(TenantOutcome::Unwound), as_it_was);
    hold(&finished(TenantOutcome::Untouched), as_it_was);
    hold(&finished(TenantOutcome::Quarantined), rests && (!in_part || by_hand));
    hold(&finished(TenantOutcome::Stuck), account.stopped);
    hold(&finished(TenantOutcome::Abandoned), by_hand);
}

/// The step is not in effect as a whole, and all that it needs is.
fn is_ready(tenant: &Tenant<'_>, at: usize, step: &PlannedStep) -> bool {
    let has = |at: usize| tenant.in_effect(at) == tenant.commits(at);
    let place = |id: &StepId| tenant.plan.steps().iter().position(|step| step.id == *id).expect("a step of the plan");
    (tenant.commits(at) == 0 || !has(at)) && step.needs.iter().all(|needs| has(place(needs)))
}

/// The number of the try that would come next.
fn next_try(state: &StepState) -> u32 {
    match state {
        StepState::Ready { attempt: Attempt(last), .. } | StepState::UndoReady { attempt: Attempt(last), .. } => {
            last + 1
        }
        _ => 1,
    }
}
