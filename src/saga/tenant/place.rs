//! What a tenant's stream says of the release that the tenant is on: the log's record of it is this, and nothing else.

use super::{StepState, TenantState};
use crate::base::Digest;
use crate::saga::event::TenantOutcome;
use crate::saga::plan::{PREFLIGHT, Plan, SWITCH};
use crate::saga::summary::Place;

impl TenantState {
    /// What is now known of the tenant's release: exactly this one once it has switched; the one before once it has been unwound;
    /// nothing for sure in between, nor wherever a human has settled a step. A human was believed about that step; whether the
    /// tenant as a whole is what a release says, only its own ledger can tell, so the next deploy asks it.
    #[must_use]
    pub fn place(&self, plan: &Plan) -> Place {
        if self.settled_by_hand {
            return Place::Unknown;
        }
        let mut started = false;
        let mut arrived: Option<Digest> = None;
        let mut verified = false;
        for (step, at) in self.steps(plan) {
            started |= *at != StepState::Pending;
            verified |= step.uses == PREFLIGHT && *at == StepState::Undone;
            if step.uses == SWITCH && matches!(at, StepState::Succeeded(_)) {
                arrived = step.digest;
            }
        }
        match (arrived, self.turned(), self.finished()) {
            (Some(release), None, _) => Place::At(release),
            // The preflight step has seen that it was there, and everything since has been undone.
            (_, Some(_), Some(TenantOutcome::Unwound)) if verified => self.from().map_or(Place::Unknown, Place::At),
            _ if started => Place::Unknown,
            _ => Place::Unchanged,
        }
    }
}
