//! The contract of a log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use super::error::{AppendError, CreateError, LogError};
use crate::base::{Clock, DeployId, Digest, Epoch, LogId, Seq, TenantId, Timestamp, WorkerId};
use crate::saga::event::{DeployEvent, Event, Recorded, StreamId, TenantEvent};
use crate::saga::summary::{Census, DeploySummary, Place, TenantStatus, TenantSummary};

/// Bytes stored once, under their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of `bytes`.
    pub digest: Digest,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// Names the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { digest: Digest::of(&bytes), bytes }
    }
}

/// A deploy to be created: all of it becomes durable in one transaction, or nothing.
#[derive(Debug, Clone)]
pub struct NewDeploy {
    /// Its id, made by the caller, so that a lost answer can be looked up.
    pub id: DeployId,
    /// The fleet; at most one unfinished deploy each.
    pub fleet: String,
    /// The `deploy_created` event.
    pub created: DeployEvent,
    /// Everything it refers to.
    pub blobs: Vec<Blob>,
    /// Its tenants in the order in which they are to be taken up.
    pub tenants: Vec<NewTenant>,
    /// Who creates it.
    pub by: WorkerId,
}

/// One tenant of a deploy to be created.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// How to reach it (JSON, without secrets; the log does not read it).
    pub spec: String,
    /// A digest of what it is reached by: a record made under another one does not count.
    pub target: Digest,
    /// The epoch of its last known holder; the first claim takes the next one. The log takes the higher of this and its own record.
    pub epoch: Epoch,
    /// `tenant_planned`, and `tenant_finished` where there is nothing to do.
    pub events: Vec<TenantEvent>,
    /// The fold of those.
    pub summary: TenantSummary,
    /// What is known of the tenant's release from now on.
    pub place: Place,
}

/// What becomes of the writer's lease after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAfter {
    /// Kept.
    Keep,
    /// Given back, in the same transaction.
    Release,
}

/// A conditional append: written whole, if the stream still has `expect` events and the lease still has `epoch`; else not at all.
#[derive(Debug, Clone)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// How many events the writer has seen.
    pub expect: Seq,
    /// The writer's epoch, never 0 for a tenant stream; 0 for a deploy stream, which is guarded by `expect` alone.
    pub epoch: Epoch,
    /// What happened, in order. At least one.
    pub events: Vec<Event>,
    /// The fold after them; `Some` for a tenant stream, `None` for a deploy stream, whose row the log folds itself.
    pub summary: Option<TenantSummary>,
    /// What is now known of the tenant's release.
    pub place: Place,
    /// What becomes of the lease.
    pub lease: LeaseAfter,
    /// Who writes.
    pub by: WorkerId,
}

/// A tenant, claimed: nobody else may append to its stream until the lease has run out or been given back.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The deploy and the tenant.
    pub stream: StreamId,
    /// The tenant.
    pub tenant: TenantId,
    /// The new epoch.
    pub epoch: Epoch,
    /// How to reach it.
    pub spec: String,
    /// Its stream so far, read in the transaction of the claim.
    pub events: Vec<Recorded>,
}

/// What a worker was given.
#[derive(Debug, Clone)]
pub struct Claims {
    /// How the deploy stood in the transaction of the claim: the drivers act under nothing older.
    pub summary: DeploySummary,
    /// How many events the deploy's own stream had then: of two readings of a deploy, that with more is the later one.
    pub last_seq: Seq,
    /// The tenants, in the deploy's order. None while it is paused.
    pub tenants: Vec<Claim>,
}

/// A deploy's header row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployRow {
    /// Its id.
    pub id: DeployId,
    /// Its fleet.
    pub fleet: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Events in its own stream.
    pub last_seq: Seq,
    /// The fold of its own stream.
    pub summary: DeploySummary,
}

/// A tenant's header row within a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    /// The tenant.
    pub tenant: TenantId,
    /// How to reach it.
    pub spec: String,
    /// Its place in the deploy's order, from 0.
    pub ordinal: u64,
    /// Events in its stream.
    pub last_seq: Seq,
    /// The epoch of its last holder.
    pub epoch: Epoch,
    /// Who holds it; none, or a past holder, where `lease_until` is past.
    pub owner: Option<WorkerId>,
    /// Until when.
    pub lease_until: Timestamp,
    /// The fold of its stream.
    pub summary: TenantSummary,
}

/// Which tenants of a deploy to list.
#[derive(Debug, Clone, Default)]
pub struct TenantQuery {
    /// Of these statuses; all where empty.
    pub statuses: Vec<TenantStatus>,
    /// After this ordinal, where given.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// What the log knows of a tenant across deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// The digest of what it was reached by.
    pub target: Digest,
    /// The release it is on, where known without asking it.
    pub release: Option<Digest>,
    /// The epoch of its last holder, over all deploys.
    pub epoch: Epoch,
    /// When a deploy last wrote about it.
    pub seen_at: Timestamp,
}

/// An event with its place in the log as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailEvent {
    /// Grows with every event of the log; gaps mean nothing.
    pub position: u64,
    /// Its stream.
    pub stream: StreamId,
    /// The event.
    pub recorded: Recorded,
}

/// An event as stored, unchecked: for the auditor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// Its place.
    pub seq: Seq,
    /// The JSON of a [`Recorded`], byte for byte.
    pub body: String,
    /// The head of the chain after it.
    pub hash: Digest,
    /// Its place in the log as a whole, as stored; none outside of one.
    pub position: Option<i64>,
}

/// A stream as stored, unchecked: for the auditor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawStream {
    /// Which.
    pub stream: StreamId,
    /// What the header says of its length.
    pub last_seq: Seq,
    /// What the header says of its head.
    pub head: Digest,
    /// The fold that the header holds, for a tenant stream.
    pub summary: Option<TenantSummary>,
    /// The events, ordered by `seq`.
    pub events: Vec<RawEvent>,
}

/// A durable, append-only log of deploys with leases.
///
/// Every method is one transaction. A method that failed with [`LogError`] may have taken effect only where it says so; the caller
/// reads before it repeats.
#[async_trait]
pub trait Log: Send + Sync {
    /// The log's own identity.
    fn id(&self) -> LogId;

    /// Where it is, for people; without secrets.
    fn url(&self) -> &str;

    /// The clock that leases and `at` are read from.
    fn clock(&self) -> &dyn Clock;

    /// Makes a deploy durable: header, blobs, tenants, first events. Refused while its fleet has an unfinished one.
    async fn create_deploy(&self, new: NewDeploy) -> Result<(), CreateError>;

    /// Appends under the conditions of [`Append`]; gives the stream's new length. For a tenant stream, the tenant's record
    /// ([`TenantRecord`]) is written in the same transaction. Appends that wait together share one commit.
    async fn append(&self, append: Append) -> Result<Seq, AppendError>;

    /// Claims up to `limit` tenants that [`DeploySummary::admits`], whose `ready_at` has come and which nobody holds, in the
    /// deploy's order (stage, wave, then ordinal), each under a new epoch. A damaged stream among them fails the whole claim.
    ///
    /// A tenant whose last holder is this very worker is not among them, however long ago its lease ran out: the worker still has
    /// it in hand, and gives it back ([`Log::release`]) before it takes it anew.
    async fn claim(
        &self,
        deploy: DeployId,
        worker: &WorkerId,
        limit: usize,
        lease: Duration,
    ) -> Result<Claims, LogError>;

    /// Claims one tenant whatever its status, also of a paused deploy, unless somebody holds it or the deploy has finished: for a human's
    /// decision.
    async fn claim_one(&self, stream: &StreamId, worker: &WorkerId, lease: Duration)
    -> Result<Option<Claim>, LogError>;

    /// Prolongs the leases that a worker names, as far as they have not been taken over or given back; gives those. Never
    /// shortens one. A lease that the worker has forgotten runs out.
    async fn heartbeat(
        &self,
        deploy: DeployId,
        worker: &WorkerId,
        held: &BTreeMap<TenantId, Epoch>,
        lease: Duration,
    ) -> Result<BTreeMap<TenantId, Epoch>, LogError>;

    /// Gives a lease back without an event. Does nothing if the epoch is no longer in force.
    async fn release(&self, stream: &StreamId, epoch: Epoch) -> Result<(), LogError>;

    /// The workers that hold a lease in this deploy, run out or not.
    async fn holders(&self, deploy: DeployId) -> Result<Vec<WorkerId>, LogError>;

    /// Ends all leases of a worker that is known to be dead. Epochs still fence it, should it not be.
    async fn expel(&self, deploy: DeployId, worker: &WorkerId) -> Result<u64, LogError>;

    /// When the next tenant becomes claimable that is not so only because of its `ready_at` or of another's lease.
    async fn next_ready(&self, deploy: DeployId) -> Result<Option<Timestamp>, LogError>;

    /// A whole stream; checked against its header's length and head.
    async fn read(&self, stream: &StreamId) -> Result<Vec<Recorded>, LogError>;

    /// The position of a deploy's last event: where [`Log::tail`] has nothing more to give.
    async fn end(&self, deploy: DeployId) -> Result<u64, LogError>;

    /// Events of a deploy after a position, in the order of the log.
    async fn tail(&self, deploy: DeployId, after: u64, limit: usize) -> Result<Vec<TailEvent>, LogError>;

    /// Counts the tenants of a deploy.
    async fn census(&self, deploy: DeployId) -> Result<Census, LogError>;

    /// A deploy's header.
    async fn deploy(&self, deploy: DeployId) -> Result<DeployRow, LogError>;

    /// The newest deploys first, by the order in which they were created and not by any clock; of one fleet or of all.
    async fn deploys(&self, fleet: Option<&str>, limit: usize) -> Result<Vec<DeployRow>, LogError>;

    /// Tenants of a deploy, in its order.
    async fn tenants(&self, deploy: DeployId, query: &TenantQuery) -> Result<Vec<TenantRow>, LogError>;

    /// What is known of a fleet's tenants across deploys.
    async fn records(&self, fleet: &str) -> Result<BTreeMap<TenantId, TenantRecord>, LogError>;

    /// Stored bytes; checked against their digest.
    async fn blob(&self, digest: &Digest) -> Result<Vec<u8>, LogError>;

    /// The fleets that the log has deploys or records of.
    async fn fleets(&self) -> Result<BTreeSet<String>, LogError>;

    /// The digests of all stored blobs.
    async fn blobs(&self) -> Result<Vec<Digest>, LogError>;

    /// Length and head of all streams of a deploy, its own first, then the tenants' by id: what a seal covers.
    async fn heads(&self, deploy: DeployId) -> Result<Vec<(Option<TenantId>, Seq, Digest)>, LogError>;

    /// All streams of a deploy as stored, its own first, then the tenants' by id.
    async fn raw(&self, deploy: DeployId) -> Result<Vec<RawStream>, LogError>;
}
