//! How a deploy stands, in words: the same on the command line and on the server's page.

use super::Account;
use super::timeline::pause_words;
use crate::base::{Code, count, span};
use crate::saga::event::{DeployOutcome, Direction, Trigger};
use crate::saga::summary::{TenantStatus, stands_still};

/// How it stands, in a sentence that its name comes before: "is under way".
#[must_use]
pub fn headline(account: &Account) -> String {
    let took =
        account.finished_at.map(|end| format!(" after {}", span(account.created_at.until(end)))).unwrap_or_default();
    match (account.outcome, account.direction) {
        (Some(_), _) if account.has_untold() => {
            format!("has ended{took}, and a human must bring the ledger of some tenants in line before the next one")
        }
        (Some(DeployOutcome::Completed), _) => match &account.trigger {
            Trigger::Rollback { of } => {
                format!("completed{took}: what deploy {of} had changed is taken back")
            }
            _ => format!("completed{took}: every tenant is on the release"),
        },
        (Some(DeployOutcome::Unwound), _) => format!("was unwound{took}: the fleet is as it was before"),
        (Some(DeployOutcome::CompletedWithQuarantine), _) => {
            format!("completed{took}; some tenants were set aside")
        }
        (Some(DeployOutcome::EndedByHand), _) => {
            format!("was unwound{took}, and some tenants were left as they are by decision")
        }
        (None, _) if let Some(pause) = &account.paused => format!("is paused {}", pause_words(pause)),
        (None, _) if waits_for_human(account) => {
            let stuck = account.census.get(&TenantStatus::Stuck).copied().unwrap_or_default();
            format!("waits for a human: {} stuck, and nothing else moves", count(stuck, "tenant"))
        }
        (None, Direction::Unwind) => "is being unwound".to_owned(),
        (None, _) => "is under way".to_owned(),
    }
}

/// Whether nothing moves any more until a human decides.
#[must_use]
pub fn waits_for_human(account: &Account) -> bool {
    account.outcome.is_none() && stands_still(account.census.keys().copied(), account.direction)
}

/// The command that comes next, if one does.
#[must_use]
pub fn next_words(account: &Account) -> Option<String> {
    let id = account.deploy;
    let stuck = account.census.contains_key(&TenantStatus::Stuck);
    let irreversible = account.failures.iter().all(|group| group.code == Code::Irreversible);
    match account.outcome {
        Some(_) if account.has_untold() => Some(format!(
            "bring these ledgers in line by hand, as docs/errors/{}.md says; then deploy again",
            Code::LedgerUntold
        )),
        None if account.paused.is_some() => Some(format!("windlass resume {id}")),
        None if stuck && irreversible => Some(format!(
            "leave it in effect: windlass resolve TENANT --as applied --deploy {id} --reason … (--all --yes for TENANT: all of them)"
        )),
        None if stuck => Some(format!(
            "mend what the message says, then: windlass retry {id}; or settle it: windlass resolve TENANT --as undone|applied --deploy {id} --reason …"
        )),
        None => Some(format!("windlass resume {}", account.deploy)),
        Some(DeployOutcome::Unwound) if !account.failures.is_empty() => Some(match account.trigger {
            Trigger::Rollback { of } => format!("mend the cause, then: windlass rollback {of}"),
            _ => "mend the cause, then: windlass deploy".to_owned(),
        }),
        Some(_) => None,
    }
}
