//! What the sender of a webhook is told: a state and a line for people.

use super::story::{Begun, Moment, Story, What};
use crate::base::count;
use crate::log::Settled;
use crate::saga::event::{DeployOutcome, TenantOutcome};
use crate::serve::webhook::ReportState;

/// A state, as far as a moment changes it.
pub(super) fn status(story: &Story, moment: &Moment) -> Option<(ReportState, String)> {
    let begun = story.begun.as_ref();
    Some(match &moment.what {
        What::Asked => (ReportState::Queued, "accepted; it waits for its turn".to_owned()),
        What::Settled(settled) => settled_words(settled)?,
        What::Created => (ReportState::InProgress, begun.map(under_way).unwrap_or_default()),
        What::Turned { why } => (ReportState::InProgress, format!("unwinding: {why}")),
        What::Paused { by, reason } => (ReportState::InProgress, format!("paused by {by}: {reason}")),
        What::Resumed { by, paused: true } => (ReportState::InProgress, format!("resumed by {by}")),
        // Another process drives it, which is nobody's business but ours.
        What::Resumed { paused: false, .. } => return None,
        What::Stuck { tenant, reason, .. } => {
            (ReportState::Error, format!("waits for a human: tenant {tenant} is stuck: {reason}"))
        }
        What::Unstuck => (ReportState::InProgress, "goes on: a human has decided".to_owned()),
        What::Finished { outcome, account } => {
            let of = |outcome| account.get(&outcome).copied().unwrap_or_default();
            let tenants = |outcome| count(of(outcome), "tenant");
            match outcome {
                DeployOutcome::Completed => {
                    (ReportState::Success, format!("completed: {} on the release", tenants(TenantOutcome::Completed)))
                }
                DeployOutcome::Unwound => {
                    let line = format!("unwound: the fleet is as it was; {} undone", tenants(TenantOutcome::Unwound));
                    (ReportState::Failure, line)
                }
                DeployOutcome::CompletedWithQuarantine => {
                    (ReportState::Failure, format!("completed, but {} set aside", tenants(TenantOutcome::Quarantined)))
                }
                DeployOutcome::EndedByHand => {
                    let line = format!("unwound, but {} left by decision", tenants(TenantOutcome::Abandoned));
                    (ReportState::Failure, line)
                }
            }
        }
    })
}

fn under_way(begun: &Begun) -> String {
    format!("under way: release {} to {}, {} to change", begun.release, count(begun.tenants, "tenant"), begun.changing)
}

/// None where another deploy is told of in its place.
fn settled_words(settled: &Settled) -> Option<(ReportState, String)> {
    match settled {
        Settled::Refused { code, message, .. } => Some((ReportState::Error, format!("refused [{code}]: {message}"))),
        Settled::NothingToDo { .. } => {
            Some((ReportState::Success, "nothing to do: every tenant was there already".to_owned()))
        }
        Settled::Cancelled { actor, reason } => {
            Some((ReportState::Failure, format!("called off by {} before it began: {reason}", actor.name)))
        }
        Settled::Created | Settled::Same { .. } => None,
    }
}
