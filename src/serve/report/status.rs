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

#[cfg(test)]
mod tests {
    use ReportState::{Error, Failure, InProgress};

    use super::super::story::tests::eventful;
    use super::*;

    #[test]
    fn a_sender_is_told_each_state_and_who_waits_for_whom() {
        let story = eventful();
        let told: Vec<_> = story.moments.iter().filter_map(|moment| status(&story, moment)).collect();
        let states: Vec<_> = told.iter().map(|(state, _)| *state).collect();
        // Taken up by another process: nothing. Then paused, resumed, turned.
        let expected = [InProgress, InProgress, InProgress, InProgress, Error, InProgress, Error, InProgress, Failure];
        assert_eq!(states, expected);
        let words: Vec<_> = told.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(words[1], "paused by ada@desk: so");
        assert!(words[4].starts_with("waits for a human: tenant acme is stuck: "), "{}", words[4]);
        assert_eq!(words[8], "unwound, but 1 tenant left by decision");
    }
}
