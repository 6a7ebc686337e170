//! The contract of a desk.

use async_trait::async_trait;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Listed, NewRequest, NewToken, Report, Request, RequestState, Settled, TakenIn, Token};
use crate::base::{Code, Coded, DeployId, Digest, TenantId, Timestamp, WorkerId};
use crate::log::{Blob, LogError, TailEvent, TenantRecord, TenantRow};
use crate::saga::summary::TenantStatus;

/// A request was not taken in. Nothing of it is in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TakeError {
    /// The fleet has a deploy under way, or one that waits, and requests are not to wait.
    #[error(
        "fleet {fleet} has a deploy under way: {deploy}, and this server does not let others wait. Nothing was started"
    )]
    Busy {
        /// Which fleet.
        fleet: String,
        /// The deploy.
        deploy: DeployId,
    },
    /// As many wait as may.
    #[error("{waiting} requests wait for fleet {fleet}, which is as many as may. Nothing was started")]
    QueueFull {
        /// Which fleet.
        fleet: String,
        /// How many.
        waiting: u64,
    },
    /// The name of this delivery was used before, with other contents.
    #[error("the delivery {id} came before with other contents, and became deploy {deploy}. Nothing was started")]
    Reused {
        /// The delivery.
        id: String,
        /// What it became.
        deploy: DeployId,
    },
    /// The log failed. It may have been taken in: the same delivery again is answered with the same deploy.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Coded for TakeError {
    fn code(&self) -> Code {
        match self {
            TakeError::Busy { .. } => Code::FleetBusy,
            TakeError::QueueFull { .. } => Code::QueueFull,
            TakeError::Reused { .. } => Code::DeliveryReused,
            TakeError::Log(error) => error.code(),
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            TakeError::Busy { deploy, .. } => Some(format!("windlass watch {deploy}")),
            TakeError::QueueFull { .. } => Some("windlass status --all".to_owned()),
            TakeError::Reused { deploy, .. } => Some(format!("windlass status {deploy}")),
            TakeError::Log(error) => error.next(),
        }
    }
}

/// A release that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PushedRelease {
    /// Of which fleet.
    pub fleet: String,
    /// Its digest.
    pub digest: Digest,
    /// Its name: that of its last migration.
    pub name: String,
    /// How many migrations it has.
    pub migrations: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was first pushed.
    pub pushed_at: Timestamp,
    /// By whom.
    pub pushed_by: String,
}

/// A server on this log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerRow {
    /// Its process.
    pub worker: WorkerId,
    /// How it is reached.
    pub url: String,
    /// The fleets that it serves.
    pub fleets: Vec<String>,
    /// Since when.
    pub started_at: Timestamp,
    /// When it last gave a sign of life.
    pub seen_at: Timestamp,
}

/// What a server keeps in the log beside the events. Each method is one transaction, durable when it answers.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Takes a request in; or answers with what it is the same as. Two that come at the same instant are one after the other here.
    async fn take_in(&self, new: NewRequest) -> Result<TakenIn, TakeError>;

    /// The request whose deploy has this id; none for a deploy that was not asked of a server.
    async fn request(&self, id: DeployId) -> Result<Option<Request>, LogError>;

    /// Requests, the newest first: of one fleet or all, in one state or any, before a place in the order.
    async fn requests(
        &self,
        fleet: Option<&str>,
        state: Option<RequestState>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Request>, LogError>;

    /// What of a fleet was asked for or made: by id, the greatest first, those below `before`. An id never changes its place in this
    /// order, so whoever goes on after the last one that they were given gets none twice, and misses none that was there.
    async fn listed(&self, fleet: &str, before: Option<DeployId>, limit: usize) -> Result<Vec<Listed>, LogError>;

    /// The request of this fleet whose turn it is.
    async fn next_queued(&self, fleet: &str) -> Result<Option<Request>, LogError>;

    /// The release of a queued request has been found: its bytes are kept. `Some`: an earlier request asked for the same, and this one
    /// is settled as that one.
    async fn found(&self, id: DeployId, release: Blob) -> Result<Option<DeployId>, LogError>;

    /// Settles a queued request. `false`: it had been settled already.
    async fn settle(&self, id: DeployId, how: Settled) -> Result<bool, LogError>;

    /// What a revision of a fleet is: the release it was when it was first seen, which is this one if it has not been seen before.
    async fn see_revision(&self, fleet: &str, revision: &str, release: Digest) -> Result<Digest, LogError>;

    /// The release that a revision was when it was first seen.
    async fn revision(&self, fleet: &str, revision: &str) -> Result<Option<Digest>, LogError>;

    /// Keeps a pushed release. `false`: it was there.
    async fn push_release(&self, release: PushedRelease, bytes: Vec<u8>) -> Result<bool, LogError>;

    /// The pushed release of a fleet with this digest.
    async fn pushed(&self, fleet: &str, digest: &Digest) -> Result<Option<PushedRelease>, LogError>;

    /// Whether a fleet has to do with a release: it was pushed to it, found for one of its revisions, or deployed to it.
    async fn has_release(&self, fleet: &str, digest: &Digest) -> Result<bool, LogError>;

    /// Pushed releases of a fleet, the newest first: those behind this one in that order, where one is given.
    async fn releases(
        &self,
        fleet: &str,
        behind: Option<(Timestamp, Digest)>,
        limit: usize,
    ) -> Result<Vec<PushedRelease>, LogError>;

    /// What is known of a fleet's tenants across deploys, by tenant: those after this one, where one is given.
    async fn known_tenants(
        &self,
        fleet: &str,
        after: Option<&TenantId>,
        limit: usize,
    ) -> Result<Vec<(TenantId, TenantRecord)>, LogError>;

    /// Keeps a token.
    async fn add_token(&self, token: NewToken) -> Result<(), LogError>;

    /// The token whose secret has this digest.
    async fn token(&self, hash: &Digest) -> Result<Option<Token>, LogError>;

    /// All tokens but the page's sessions, by age.
    async fn tokens(&self) -> Result<Vec<Token>, LogError>;

    /// Ends a token, and the sessions that were opened with it. `false`: there is none that was good.
    async fn revoke_token(&self, id: &str) -> Result<bool, LogError>;

    /// Notes that a token was used.
    async fn token_used(&self, id: &str) -> Result<(), LogError>;

    /// Sees to it that somebody is told of a deploy, from its beginning. Does nothing where that is so already.
    async fn open_report(&self, deploy: DeployId, target: &str) -> Result<(), LogError>;

    /// Reports that are open and whose time has come, the longest waiting first.
    async fn due_reports(&self, limit: usize) -> Result<Vec<Report>, LogError>;

    /// The reports of a deploy.
    async fn reports(&self, deploy: DeployId) -> Result<Vec<Report>, LogError>;

    /// Takes a report in hand until a moment, so that no other server on this log tells the same at the same time. `false`: it does not
    /// stand any more as it was read. Whoever dies with it in hand leaves it due at that moment.
    async fn claim_report(&self, report: &Report, until: Timestamp) -> Result<bool, LogError>;

    /// Takes down how a report stands now.
    async fn note_report(&self, report: Report) -> Result<(), LogError>;

    /// How many reports are open, and how many of them have failed at least once; how many were given up.
    async fn reports_standing(&self) -> Result<(u64, u64, u64), LogError>;

    /// A sign of life of a server.
    async fn server_seen(&self, server: ServerRow) -> Result<(), LogError>;

    /// A server has ended.
    async fn server_gone(&self, worker: &WorkerId) -> Result<(), LogError>;

    /// The servers that have given a sign of life since this moment.
    async fn servers(&self, since: Timestamp) -> Result<Vec<ServerRow>, LogError>;

    /// The tenants of a deploy in its order, so many to a cell: how many of which status are in each.
    async fn cells(&self, deploy: DeployId, per_cell: u64) -> Result<Vec<(u64, TenantStatus, u64)>, LogError>;

    /// Events of a deploy, the newest first: those before a place in the log, where one is given.
    async fn latest(&self, deploy: DeployId, before: Option<u64>, limit: usize) -> Result<Vec<TailEvent>, LogError>;

    /// One tenant's header row within a deploy.
    async fn tenant(&self, deploy: DeployId, tenant: &TenantId) -> Result<TenantRow, LogError>;
}
