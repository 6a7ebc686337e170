//! The account of a deploy: how many tenants stand where, what went wrong, and what it was for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::limits::TENANTS_PAGE;
use crate::base::{Code, DeployId, Digest, TenantId, Timestamp};
use crate::log::{Log, LogError, TenantQuery};
use crate::saga::deploy::Pause;
use crate::saga::event::{Actor, Cause, DeployEvent, DeployOutcome, Direction, Event, StreamId, Trigger};
use crate::saga::summary::TenantStatus;

/// Tenants named in a group of failures; the rest are counted.
const GROUP_TENANTS_MAX: usize = 10;

/// How a deploy stands, in one object: what `windlass status` shows and `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The deploy.
    pub deploy: DeployId,
    /// Its fleet.
    pub fleet: String,
    /// Its release, by name.
    pub release: String,
    /// Its workflow, by name.
    pub workflow: String,
    /// What set it off.
    pub trigger: Trigger,
    /// Who.
    pub actor: Actor,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended, if it has.
    pub finished_at: Option<Timestamp>,
    /// Which way it goes, or went.
    pub direction: Direction,
    /// Why it turned, if it did.
    pub cause: Option<Cause>,
    /// Who has paused it, and why, while it is paused.
    pub paused: Option<Pause>,
    /// How it ended, if it has.
    pub outcome: Option<DeployOutcome>,
    /// The seal, once it has ended.
    pub seal: Option<Digest>,
    /// How many tenants it set out with.
    pub tenants: u64,
    /// How many of them had something to do.
    pub changing: u64,
    /// How many stand where; none is zero.
    pub census: BTreeMap<TenantStatus, u64>,
    /// Failures, the most frequent cause first.
    pub failures: Vec<FailureGroup>,
}

/// Tenants that failed for the same cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureGroup {
    /// The page to look it up under.
    pub code: Code,
    /// In words.
    pub message: String,
    /// How many tenants.
    pub count: u64,
    /// The first of them.
    pub tenants: Vec<TenantId>,
}

impl Account {
    /// Whether the ledger of some tenant does not know what a human decided there, so that the next deploy would go by what is not so.
    #[must_use]
    pub fn has_untold(&self) -> bool {
        self.failures.iter().any(|group| group.code == Code::LedgerUntold)
    }
}

/// Reads the account of a deploy.
pub async fn account(log: &dyn Log, deploy: DeployId) -> Result<Account, LogError> {
    let row = log.deploy(deploy).await?;
    let events = log.read(&StreamId::deploy(deploy)).await?;
    let mut cause = None;
    let (mut paused, mut finished_at) = (None, None);
    for recorded in &events {
        match &recorded.event {
            Event::Deploy(DeployEvent::DirectionSet { cause: why, .. }) => cause = Some(why.clone()),
            Event::Deploy(DeployEvent::DeployPaused { actor, reason }) => {
                paused = Some(Pause { actor: actor.clone(), reason: reason.clone() });
            }
            Event::Deploy(DeployEvent::DeployFinished { .. }) => finished_at = Some(recorded.at),
            _ => {}
        }
    }
    let Some(Event::Deploy(DeployEvent::DeployCreated {
        release_name,
        workflow_name,
        trigger,
        actor,
        tenant_count,
        changing,
        ..
    })) = events.into_iter().next().map(|recorded| recorded.event)
    else {
        let reason = "the stream does not begin with deploy_created".to_owned();
        return Err(LogError::Corrupt { place: format!("deploy {deploy}"), reason });
    };
    let census = log.census(deploy).await?;
    let counts = TenantStatus::ALL.iter().map(|status| (*status, census.count(*status)));
    Ok(Account {
        deploy,
        fleet: row.fleet,
        release: release_name,
        workflow: workflow_name,
        trigger: *trigger,
        actor,
        created_at: row.created_at,
        finished_at,
        direction: row.summary.direction,
        cause,
        paused: paused.filter(|_| row.summary.paused),
        outcome: row.summary.outcome,
        seal: row.summary.seal,
        tenants: tenant_count,
        changing,
        census: counts.filter(|(_, count)| *count > 0).collect(),
        failures: failures(log, deploy).await?,
    })
}

/// Groups what went wrong by its cause.
async fn failures(log: &dyn Log, deploy: DeployId) -> Result<Vec<FailureGroup>, LogError> {
    let statuses = vec![
        TenantStatus::Failed,
        TenantStatus::Unwinding,
        TenantStatus::Stuck,
        TenantStatus::Unwound,
        TenantStatus::Quarantined,
        TenantStatus::Abandoned,
    ];
    let mut rows = log.tenants(deploy, &TenantQuery { statuses, after: None, limit: usize::MAX }).await?;
    // Nothing went wrong on the others, but that the ledger of one may not know what a human decided.
    let ended = vec![TenantStatus::Completed, TenantStatus::Untouched];
    let mut query = TenantQuery { statuses: ended, after: None, limit: TENANTS_PAGE };
    loop {
        let page = log.tenants(deploy, &query).await?;
        let Some(last) = page.last() else { break };
        query.after = Some(last.ordinal);
        rows.extend(page.into_iter().filter(|row| row.summary.code.is_some()));
    }
    let mut groups: BTreeMap<(Code, String), FailureGroup> = BTreeMap::new();
    for row in rows {
        let (Some(code), Some(message)) = (row.summary.code, row.summary.message) else { continue };
        let group = groups.entry((code, message.clone())).or_insert_with(|| FailureGroup {
            code,
            message,
            count: 0,
            tenants: Vec::new(),
        });
        group.count += 1;
        if group.tenants.len() < GROUP_TENANTS_MAX {
            group.tenants.push(row.tenant);
        }
    }
    let mut groups: Vec<FailureGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    Ok(groups)
}
