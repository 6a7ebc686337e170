//! The vocabulary of the log: everything that can happen to a deploy and to a tenant in it.
//!
//! A deploy is one deploy stream and one tenant stream per tenant, each numbered from 1. State is never stored, only folded from
//! these events. The written form (JSON, internally tagged by `type`) is a contract with every log that exists: a variant or a
//! field may be added with a default, never renamed or given another meaning; [`FORMAT`] grows when an older Windlass could no
//! longer fold what is written, and with any new field of `deploy_finished` or `sealed`: no hash of a later event covers those two, so
//! the auditor takes them only as this vocabulary writes them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::failure::{Failure, Retry};
use crate::base::{Attempt, Code, DeployId, Digest, Epoch, Seq, Signature, StepId, TenantId, Timestamp, WorkerId};

/// The version of this vocabulary, kept in the log. A log with a higher one is refused (`WL0502`).
///
/// 2: a deploy can be paused, and be set off by a webhook or over the API.
pub const FORMAT: u32 = 2;

/// Names one stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The deploy.
    pub deploy: DeployId,
    /// The tenant; `None` for the deploy stream.
    pub tenant: Option<TenantId>,
}

impl StreamId {
    /// The deploy's own stream.
    #[must_use]
    pub const fn deploy(deploy: DeployId) -> Self {
        Self { deploy, tenant: None }
    }

    /// A tenant's stream within a deploy.
    #[must_use]
    pub const fn tenant(deploy: DeployId, tenant: TenantId) -> Self {
        Self { deploy, tenant: Some(tenant) }
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tenant {
            None => write!(f, "deploy {}", self.deploy),
            Some(tenant) => write!(f, "deploy {}, tenant {tenant}", self.deploy),
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The operating-system user, API principal or webhook sender.
    pub name: String,
    /// The machine it came from.
    pub host: String,
}

/// What set a deploy off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Somebody typed a command.
    Command,
    /// The undoing of a finished deploy.
    Rollback {
        /// The deploy that is undone.
        of: DeployId,
    },
    /// A webhook that was delivered to a server, and proved its origin.
    Webhook {
        /// Its name in the server's configuration.
        webhook: String,
        /// The kind of sender: `github`, `gitlab` and so on.
        sender: String,
        /// The sender's own id of the delivery.
        delivery: String,
        /// What the sender calls what happened.
        event: String,
        /// The revision that it asked for, as it named it.
        revision: String,
        /// Where to, as the sender names it; none where it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<String>,
    },
    /// A request to a server's API.
    Api {
        /// The revision that was asked for, as it was named; none where the release itself was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<String>,
    },
}

impl Trigger {
    /// Whether the deploy leads to its release: all but a rollback, which leads away from one.
    #[must_use]
    pub const fn leads_to_release(&self) -> bool {
        !matches!(self, Trigger::Rollback { .. })
    }
}

/// What an actor has to answer for because only they can know it: a deploy that would have been refused otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// Unfinished deploys of logs that are gone for good (`--disown`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disowned: BTreeSet<DeployId>,
    /// Tenants whose database was made anew (`--new-database`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub new_databases: BTreeSet<TenantId>,
}

impl Overrides {
    /// None where there is nothing to answer for.
    #[must_use]
    pub fn new(disowned: BTreeSet<DeployId>, new_databases: BTreeSet<TenantId>) -> Option<Box<Self>> {
        let none = disowned.is_empty() && new_databases.is_empty();
        (!none).then(|| Box::new(Self { disowned, new_databases }))
    }
}

/// The deploy before, as it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Which.
    pub deploy: DeployId,
    /// Its seal.
    pub seal: Option<Digest>,
}

/// Which way a deploy goes. Written in the deploy's row too, because every start is conditional on it (promise P5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Up to the release; may still turn.
    Forward,
    /// Down again: no forward step may start any more.
    Unwind,
    /// Up to the release; beyond the pivot, so it cannot turn.
    ForwardOnly,
}

impl Direction {
    /// Whether a forward step may start.
    #[must_use]
    pub const fn admits_starts(self) -> bool {
        !matches!(self, Direction::Unwind)
    }
}

/// Why a deploy, or one tenant in it, turned round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A tenant failed for good and the workflow says unwind.
    TenantFailed {
        /// Which.
        tenant: TenantId,
        /// At which step.
        step: StepId,
        /// Why.
        failure: Failure,
    },
    /// The deploy turned, so this tenant does.
    DeployTurned,
    /// Somebody said so.
    Operator {
        /// Who.
        actor: Actor,
        /// In their words.
        reason: String,
    },
}

/// How a deploy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployOutcome {
    /// Every tenant is on the release.
    Completed,
    /// Every tenant is as it was.
    Unwound,
    /// The rest are on the release; some were set aside, consistent.
    CompletedWithQuarantine,
    /// It was unwound, but for tenants that a human decided to leave as they are.
    EndedByHand,
}

impl DeployOutcome {
    /// The word, as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DeployOutcome::Completed => "completed",
            DeployOutcome::Unwound => "unwound",
            DeployOutcome::CompletedWithQuarantine => "completed_with_quarantine",
            DeployOutcome::EndedByHand => "ended_by_hand",
        }
    }
}

/// How a tenant ended in a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantOutcome {
    /// On the release. While the deploy is open it may still be turned; once the deploy has finished, this is the end.
    Completed,
    /// This deploy's steps there were undone.
    Unwound,
    /// Nothing was ever started there.
    Untouched,
    /// Set aside, consistent, by policy.
    Quarantined,
    /// A human must decide; nothing further happens here until then.
    Stuck,
    /// A human decided to leave it as it is.
    Abandoned,
}

/// The deploy stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeployEvent {
    /// The first event: everything the deploy will ever need is in the log.
    DeployCreated {
        /// The release's bytes, by digest.
        release: Digest,
        /// Its name, for people.
        release_name: String,
        /// The workflow's bytes, by digest.
        workflow: Digest,
        /// Its name, for people.
        workflow_name: String,
        /// The digest of the tenant list.
        tenants: Digest,
        /// How many tenants there are.
        tenant_count: u64,
        /// How many of them have something to do.
        changing: u64,
        /// The fleet's name.
        fleet: String,
        /// How many waves each stage has, in order of the stages.
        waves: Vec<u32>,
        /// What set it off.
        trigger: Box<Trigger>,
        /// Who.
        actor: Actor,
        /// The fleet's deploy before this one, which this one was planned after; none for the first. It binds the deploys of a fleet
        /// together, so that one that is taken out whole is missed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Box<Previous>>,
        /// What the actor answers for; none, most of the time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overrides: Option<Box<Overrides>>,
    },
    /// Somebody took the unfinished deploy up again, after a crash, a stop or a pause. It is paused no longer.
    DeployResumed {
        /// Who.
        actor: Actor,
    },
    /// Somebody paused the unfinished deploy. From here on no step and no undo starts, no wave opens and nothing is decided, until it is
    /// resumed or turned by hand; what had started before ends, and its end is recorded.
    DeployPaused {
        /// Who.
        actor: Actor,
        /// In their words.
        reason: String,
    },
    /// The deploy has reached a stage; its waves open one by one.
    StageEntered {
        /// Which, from 0.
        stage: u32,
    },
    /// The tenants of a wave may start.
    WaveOpened {
        /// The stage, from 0.
        stage: u32,
        /// The wave within it, from 0.
        wave: u32,
    },
    /// The direction changed. Never back to forward.
    DirectionSet {
        /// The new one.
        direction: Direction,
        /// Why.
        cause: Cause,
    },
    /// The end: every tenant has an outcome.
    DeployFinished {
        /// How.
        outcome: DeployOutcome,
        /// How many tenants ended how.
        account: BTreeMap<TenantOutcome, u64>,
    },
    /// After the end, and written together with it: the Merkle root over the end and the heads of all streams.
    Sealed {
        /// The root.
        root: Digest,
        /// By whoever wrote the end, where they had a key to sign with ([`super::chain::signed`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<Box<Signature>>,
    },
}

/// Which half of a step: its act or its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The step itself.
    Act,
    /// Its compensation.
    Undo,
}

impl Half {
    /// The word, as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Half::Act => "act",
            Half::Undo => "undo",
        }
    }
}

/// What a probe found in the tenant database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// It took effect.
    Applied,
    /// It did not, and cannot any more.
    NotApplied,
    /// Its first statements took effect, the others did not. Only of an act whose statements commit one by one.
    Partial {
        /// How many took effect; at least one.
        statements: u32,
    },
    /// The evidence could not be had this time, or cannot settle it.
    Unknown {
        /// Why not.
        failure: Failure,
        /// Whether to look again.
        retry: Retry,
    },
}

/// What a step left behind that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// SHA-256 of what was run, where something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Statements run.
    #[serde(default)]
    pub statements: u32,
    /// Milliseconds it took, by the worker's clock; for people.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// Whether the outcome was read from the tenant's ledger rather than seen.
    #[serde(default)]
    pub probed: bool,
    /// One line for people: "8 columns checked".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a human settled what evidence could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Try again: the attempts count from zero.
    Retry,
    /// Nothing of it is in effect; go on. A step in doubt: it has failed, and is not started again in this deploy, because the
    /// tenant's ledger may hold evidence that says otherwise. An undo that failed: the ledger is told.
    Undone,
    /// It is in effect. A step in doubt: it took effect, and what becomes of it is the deploy's way; an unwind undoes it with the
    /// rest. An undo that failed: the step stays in effect, with all that the deploy did here before it.
    Applied,
}

/// What serde asks of a number that is left out where it says nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A tenant's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TenantEvent {
    /// The first event: the frozen step graph, and where in the order of waves the tenant stands.
    TenantPlanned {
        /// The plan's bytes, by digest. Tenants with the same pending set share one.
        plan: Digest,
        /// For each stage, the tenant's wave in it, from 0.
        waves: Vec<u32>,
        /// The release it was on exactly, by its stored bytes, where that is known: the one it is on again once unwound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Digest>,
    },
    /// A step is about to act; nothing has been done yet.
    StepStarted {
        /// Which.
        step: StepId,
        /// Which try.
        attempt: Attempt,
    },
    /// A step found started without an end was looked for.
    StepProbed {
        /// Which.
        step: StepId,
        /// Its act or its undo.
        half: Half,
        /// What was found.
        found: Found,
    },
    /// It took effect.
    StepSucceeded {
        /// Which.
        step: StepId,
        /// The proof.
        evidence: Evidence,
    },
    /// It failed. What it did before that is taken back by the server, but for statements that commit one by one.
    StepFailed {
        /// Which.
        step: StepId,
        /// Why.
        failure: Failure,
        /// Whether it is tried again.
        retry: Retry,
        /// How many of its statements took effect and stay, where they commit one by one: the first so many. What is known of an
        /// earlier try is not taken back by a try that came less far, because its session could not be opened for instance.
        #[serde(default, skip_serializing_if = "is_zero")]
        in_effect: u32,
    },
    /// It will not be done here.
    StepSkipped {
        /// Which.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// The tenant turned: from here on only undo.
    TenantTurned {
        /// Why.
        cause: Cause,
    },
    /// An undo is about to act; nothing has been undone yet.
    UndoStarted {
        /// Of which step.
        step: StepId,
        /// Which try.
        attempt: Attempt,
    },
    /// The step's effect is gone.
    UndoSucceeded {
        /// Of which step.
        step: StepId,
        /// The proof.
        evidence: Evidence,
    },
    /// The undo failed, and the step counts as in effect. Where statements commit one by one some may be undone; which, the tenant's own
    /// ledger knows, and a further try goes on from there.
    UndoFailed {
        /// Of which step.
        step: StepId,
        /// Why.
        failure: Failure,
        /// Whether it is tried again.
        retry: Retry,
    },
    /// There was nothing to undo.
    UndoSkipped {
        /// Of which step.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// A human settled a stuck step.
    TenantResolved {
        /// Which step.
        step: StepId,
        /// As what.
        resolution: Resolution,
        /// Who.
        actor: Actor,
        /// In their words.
        reason: String,
    },
    /// The tenant has ended in this deploy, or waits for a human (`stuck`).
    TenantFinished {
        /// How.
        outcome: TenantOutcome,
        /// Why, in a line for people.
        reason: String,
        /// The code behind it, where something went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Code>,
    },
}

impl TenantEvent {
    /// Whether this announces a forward step: the one kind of event that is refused once the deploy has turned.
    #[must_use]
    pub const fn is_forward_start(&self) -> bool {
        matches!(self, TenantEvent::StepStarted { .. })
    }

    /// Whether this announces a step or an undo: what is refused while the deploy is paused.
    #[must_use]
    pub const fn is_start(&self) -> bool {
        matches!(self, TenantEvent::StepStarted { .. } | TenantEvent::UndoStarted { .. })
    }
}

/// Either kind of event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// In a deploy stream.
    Deploy(DeployEvent),
    /// In a tenant stream.
    Tenant(TenantEvent),
}

impl From<DeployEvent> for Event {
    fn from(event: DeployEvent) -> Self {
        Event::Deploy(event)
    }
}

impl From<TenantEvent> for Event {
    fn from(event: TenantEvent) -> Self {
        Event::Tenant(event)
    }
}

/// An event as it stands in its stream. Its JSON, byte for byte as stored, is what the hash chain covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its place, from 1.
    pub seq: Seq,
    /// When it was written, by the log's clock; for people.
    pub at: Timestamp,
    /// Which worker wrote it.
    pub by: WorkerId,
    /// Under which epoch of the stream's lease.
    pub epoch: Epoch,
    /// What happened.
    pub event: Event,
}

#[cfg(test)]
mod tests;
