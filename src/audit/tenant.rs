//! One tenant of a deploy: where each of its steps stands, what went wrong there, and who has it in hand.

use serde::Serialize;
use utoipa::ToSchema;

use crate::base::limits::LEASE_AHEAD_MAX;
use crate::base::{Attempt, Code, DeployId, Digest, Seq, StepId, TenantId, Timestamp, WorkerId};
use crate::log::{Log, LogError, TenantRow};
use crate::saga::event::{Event, Evidence, Half, Recorded, StreamId, TenantEvent};
use crate::saga::failure::Failure;
use crate::saga::plan::{Plan, UndoSource};
use crate::saga::summary::TenantStatus;
use crate::saga::tenant::{StepState, TenantState};

use super::timeline::what;

/// How one tenant of a deploy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TenantAccount {
    /// The deploy.
    pub deploy: DeployId,
    /// The tenant.
    pub tenant: TenantId,
    /// Where it stands.
    pub status: TenantStatus,
    /// What went wrong last, where something did.
    pub code: Option<Code>,
    /// The same in words.
    pub message: Option<String>,
    /// Not to be taken up before then.
    pub ready_at: Option<Timestamp>,
    /// Who has it in hand.
    pub lease: Option<Lease>,
    /// Its steps in the order in which they are run.
    pub steps: Vec<StepAccount>,
    /// What happened to it, from the first event on.
    pub events: Vec<Moment>,
}

/// Who has a tenant in hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Lease {
    /// The worker.
    pub owner: WorkerId,
    /// Until when, unless it gives a sign of life.
    pub until: Timestamp,
    /// Whether that is past: anybody may take the tenant over.
    pub over: bool,
}

/// Where a step of a tenant stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepAccount {
    /// Which.
    pub step: StepId,
    /// The kind that carries it out.
    pub uses: String,
    /// Its stage, from 0.
    pub stage: u32,
    /// SHA-256 of what it runs, where it runs something.
    pub digest: Option<Digest>,
    /// How it is taken back.
    pub undo: UndoSource,
    /// How it stands, in words.
    pub stands: String,
    /// Where a tenant stands whose only step this is.
    pub status: TenantStatus,
    /// How often it was started.
    pub starts: u32,
    /// How often its undo was started.
    pub undo_starts: u32,
    /// What it left behind that proves it, once it has succeeded.
    pub evidence: Option<Evidence>,
    /// What its undo left behind, once that has succeeded.
    pub undo_evidence: Option<Evidence>,
    /// What it took, in milliseconds, where it succeeded and that is known.
    pub elapsed_ms: Option<u64>,
    /// What went wrong last, in full.
    pub failure: Option<Failure>,
}

/// One event of a stream, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Moment {
    /// Its place in the tenant's stream, from 1.
    pub seq: Seq,
    /// When it was written.
    pub at: Timestamp,
    /// By which worker.
    pub by: WorkerId,
    /// What happened, in words.
    pub what: String,
    /// What happened, as stored.
    pub event: Event,
}

/// Reads how a tenant stands, given its row.
pub async fn tenant_account(log: &dyn Log, deploy: DeployId, row: TenantRow) -> Result<TenantAccount, LogError> {
    let stream = StreamId::tenant(deploy, row.tenant.clone());
    let recorded = log.read(&stream).await?;
    let corrupt = |reason: String| LogError::Corrupt { place: stream.to_string(), reason };
    let events: Vec<&TenantEvent> = recorded
        .iter()
        .filter_map(|of| match &of.event {
            Event::Tenant(event) => Some(event),
            Event::Deploy(_) => None,
        })
        .collect();
    let Some(TenantEvent::TenantPlanned { plan, .. }) = events.first() else {
        return Err(corrupt("the stream does not begin with tenant_planned".to_owned()));
    };
    let plan = Plan::from_bytes(&log.blob(plan).await?).map_err(|error| corrupt(error.to_string()))?;
    let state = TenantState::fold(&plan, events.iter().copied()).map_err(|error| corrupt(error.to_string()))?;
    let steps = state.steps(&plan).map(|(step, at)| {
        let (stands, status, failure) = stands(at);
        let counted = |half| u32::try_from(events.iter().filter(|of| starts(of, &step.id, half)).count());
        StepAccount {
            step: step.id.clone(),
            uses: step.uses.clone(),
            stage: step.stage,
            digest: step.digest,
            undo: step.undo,
            stands,
            status,
            starts: counted(Half::Act).unwrap_or(u32::MAX),
            undo_starts: counted(Half::Undo).unwrap_or(u32::MAX),
            evidence: events.iter().rev().find_map(|of| proof(of, &step.id, Half::Act)),
            undo_evidence: events.iter().rev().find_map(|of| proof(of, &step.id, Half::Undo)),
            elapsed_ms: events.iter().rev().find_map(|of| took(of, &step.id)),
            failure,
        }
    });
    let steps = steps.collect();
    let now = log.clock().now();
    let over = row.lease_until.believed(now, LEASE_AHEAD_MAX) <= now;
    let lease = row.owner.map(|owner| Lease { owner, until: row.lease_until, over });
    let moment = |Recorded { seq, at, by, event, .. }: Recorded| Moment { seq, at, by, what: what(&event), event };
    Ok(TenantAccount {
        deploy,
        tenant: row.tenant,
        status: row.summary.status,
        code: row.summary.code,
        message: row.summary.message,
        ready_at: row.summary.ready_at,
        lease,
        steps,
        events: recorded.into_iter().map(moment).collect(),
    })
}

fn starts(event: &TenantEvent, id: &StepId, half: Half) -> bool {
    match (event, half) {
        (TenantEvent::StepStarted { step, .. }, Half::Act) | (TenantEvent::UndoStarted { step, .. }, Half::Undo) => {
            step == id
        }
        _ => false,
    }
}

/// What the act or the undo of a step left behind.
fn proof(event: &TenantEvent, id: &StepId, half: Half) -> Option<Evidence> {
    match (event, half) {
        (TenantEvent::StepSucceeded { step, evidence }, Half::Act)
        | (TenantEvent::UndoSucceeded { step, evidence }, Half::Undo)
            if step == id =>
        {
            Some(evidence.clone())
        }
        _ => None,
    }
}

/// What a step took, where that was seen and not read back from the tenant's ledger.
fn took(event: &TenantEvent, id: &StepId) -> Option<u64> {
    match event {
        TenantEvent::StepSucceeded { step, evidence } if step == id && !evidence.probed => Some(evidence.elapsed_ms),
        _ => None,
    }
}

/// How a step stands in words, as what it makes a tenant stand, and what went wrong.
fn stands(at: &StepState) -> (String, TenantStatus, Option<Failure>) {
    let again = |what: &str, at: Timestamp, failure: &Option<Failure>| match failure {
        Some(_) => format!("{what} failed, to be tried again at {at}"),
        None => format!("{what} to be started again"),
    };
    let half = |half: &Half| match half {
        Half::Act => "the step",
        Half::Undo => "its undo",
    };
    let number = |attempt: &Attempt| attempt.0;
    match at {
        StepState::Pending => ("not begun".to_owned(), TenantStatus::Pending, None),
        StepState::Started { attempt, .. } => {
            (format!("under way, try {}", number(attempt)), TenantStatus::Running, None)
        }
        StepState::Ready { not_before, failure, .. } => {
            (again("the step", *not_before, failure), TenantStatus::Running, failure.clone())
        }
        StepState::Succeeded(_) => ("in effect".to_owned(), TenantStatus::Completed, None),
        StepState::Failed { failure, part } => {
            let part = super::part_words(*part);
            (format!("failed{part}"), TenantStatus::Failed, Some(failure.clone()))
        }
        StepState::Skipped => ("not done".to_owned(), TenantStatus::Untouched, None),
        StepState::Undoing { attempt } => {
            (format!("being undone, try {}", number(attempt)), TenantStatus::Unwinding, None)
        }
        StepState::UndoReady { not_before, failure, .. } => {
            (again("its undo", *not_before, failure), TenantStatus::Unwinding, failure.clone())
        }
        StepState::Undone => ("undone".to_owned(), TenantStatus::Unwound, None),
        StepState::Doubt { half: of, failure, .. } => {
            let words = format!("whether {} took effect is not known, and looked for", half(of));
            (words, TenantStatus::Running, Some(failure.clone()))
        }
        StepState::Stuck { half: of, failure, .. } => {
            (format!("stuck: a human decides what became of {}", half(of)), TenantStatus::Stuck, Some(failure.clone()))
        }
        StepState::Left => ("left in effect by decision".to_owned(), TenantStatus::Abandoned, None),
    }
}
