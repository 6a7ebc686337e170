//! The desk's tables. Writes share the writer's transactions with the appends; reads are any reader's.

mod releases;
mod reports;
mod requests;
mod tokens;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;

use super::fault::Fault;
use super::read;
use super::store::{SqliteLog, question};
use super::writer::{Command, Work};
use crate::base::{DeployId, Digest, TenantId, Timestamp, WorkerId};
use crate::log::{
    Blob, Desk, Listed, LogError, NewRequest, NewToken, PushedRelease, Report, Request, RequestState, ServerRow,
    Settled, TailEvent, TakeError, TakenIn, TenantRecord, TenantRow, Token, rules,
};
use crate::saga::summary::TenantStatus;

/// What a piece of work on the desk gives: its own answer inside, and outside what costs the whole transaction.
type Done<T, E = LogError> = Result<Result<T, E>, Fault>;

impl SqliteLog {
    /// Has something written to the desk.
    async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection, Timestamp) -> BoxFuture<'c, Done<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<LogError> + Send + 'static,
    {
        self.ask(|reply| Command::Desk(Box::new(Work { work, reply }))).await
    }
}

/// A text of ours in a JSON column.
fn text<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Log(rules::refused("the desk", error.to_string())))
}

/// What a JSON column holds.
fn parsed<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Log(rules::corrupt(column, error.to_string())))
}

/// What is found in a column that does not convert.
fn damaged(column: &str, found: &str) -> Fault {
    Fault::Log(rules::corrupt(&format!("column {column} of the desk"), format!("{found:?} has no place there")))
}

#[async_trait]
impl Desk for SqliteLog {
    async fn take_in(&self, new: NewRequest) -> Result<TakenIn, TakeError> {
        self.write(move |connection, now| Box::pin(requests::take_in(connection, new, now))).await
    }

    async fn request(&self, id: DeployId) -> Result<Option<Request>, LogError> {
        question!(self, |connection| requests::request(connection, id))
    }

    async fn requests(
        &self,
        fleet: Option<&str>,
        state: Option<RequestState>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Request>, LogError> {
        question!(self, |connection| requests::requests(connection, fleet, state, before, limit))
    }

    async fn listed(&self, fleet: &str, before: Option<DeployId>, limit: usize) -> Result<Vec<Listed>, LogError> {
        question!(self, |connection| requests::listed(connection, fleet, before, limit))
    }

    async fn next_queued(&self, fleet: &str) -> Result<Option<Request>, LogError> {
        question!(self, |connection| requests::next_queued(connection, fleet))
    }

    async fn found(&self, id: DeployId, release: Blob) -> Result<Option<DeployId>, LogError> {
        self.write(move |connection, now| Box::pin(requests::found(connection, id, release, now))).await
    }

    async fn settle(&self, id: DeployId, how: Settled) -> Result<bool, LogError> {
        self.write(move |connection, now| {
            Box::pin(async move { Ok(Ok(requests::settle(connection, id, &how, now).await?)) })
        })
        .await
    }

    async fn see_revision(&self, fleet: &str, revision: &str, release: Digest) -> Result<Digest, LogError> {
        let (fleet, revision) = (fleet.to_owned(), revision.to_owned());
        self.write(move |connection, now| {
            Box::pin(async move { releases::see_revision(connection, &fleet, &revision, release, now).await })
        })
        .await
    }

    async fn revision(&self, fleet: &str, revision: &str) -> Result<Option<Digest>, LogError> {
        question!(self, |connection| releases::revision(connection, fleet, revision))
    }

    async fn push_release(&self, release: PushedRelease, bytes: Vec<u8>) -> Result<bool, LogError> {
        self.write(move |connection, now| {
            Box::pin(async move { releases::push(connection, &release, &bytes, now).await })
        })
        .await
    }

    async fn pushed(&self, fleet: &str, digest: &Digest) -> Result<Option<PushedRelease>, LogError> {
        question!(self, |connection| releases::pushed(connection, fleet, digest))
    }

    async fn has_release(&self, fleet: &str, digest: &Digest) -> Result<bool, LogError> {
        question!(self, |connection| releases::has(connection, fleet, digest))
    }

    async fn releases(
        &self,
        fleet: &str,
        behind: Option<(Timestamp, Digest)>,
        limit: usize,
    ) -> Result<Vec<PushedRelease>, LogError> {
        question!(self, |connection| releases::releases(connection, fleet, behind, limit))
    }

    async fn known_tenants(
        &self,
        fleet: &str,
        after: Option<&TenantId>,
        limit: usize,
    ) -> Result<Vec<(TenantId, TenantRecord)>, LogError> {
        question!(self, |connection| releases::known_tenants(connection, fleet, after, limit))
    }

    async fn add_token(&self, token: NewToken) -> Result<(), LogError> {
        self.write(move |connection, now| Box::pin(async move { tokens::add(connection, &token, now).await })).await
    }

    async fn token(&self, hash: &Digest) -> Result<Option<Token>, LogError> {
        question!(self, |connection| tokens::by_hash(connection, hash))
    }

    async fn tokens(&self) -> Result<Vec<Token>, LogError> {
        question!(self, |connection| tokens::all(connection))
    }

    async fn revoke_token(&self, id: &str) -> Result<bool, LogError> {
        let id = id.to_owned();
        self.write(move |connection, now| Box::pin(async move { tokens::revoke(connection, &id, now).await })).await
    }

    async fn token_used(&self, id: &str) -> Result<(), LogError> {
        let id = id.to_owned();
        self.write(move |connection, now| Box::pin(async move { tokens::used(connection, &id, now).await })).await
    }

    async fn open_report(&self, deploy: DeployId, target: &str) -> Result<(), LogError> {
        let target = target.to_owned();
        self.write(move |connection, now| {
            Box::pin(async move { Ok(Ok(reports::open(connection, deploy, &target, now).await?)) })
        })
        .await
    }

    async fn due_reports(&self, limit: usize) -> Result<Vec<Report>, LogError> {
        let now = self.now();
        question!(self, |connection| reports::due(connection, now, limit))
    }

    async fn reports(&self, deploy: DeployId) -> Result<Vec<Report>, LogError> {
        question!(self, |connection| reports::of(connection, deploy))
    }

    async fn claim_report(&self, report: &Report, until: Timestamp) -> Result<bool, LogError> {
        let report = report.clone();
        self.write(move |connection, _| Box::pin(async move { reports::claim(connection, &report, until).await })).await
    }

    async fn note_report(&self, report: Report) -> Result<(), LogError> {
        self.write(move |connection, _| Box::pin(async move { reports::note(connection, &report).await })).await
    }

    async fn reports_standing(&self) -> Result<(u64, u64, u64), LogError> {
        question!(self, |connection| reports::standing(connection))
    }

    async fn server_seen(&self, server: ServerRow) -> Result<(), LogError> {
        self.write(move |connection, _| Box::pin(async move { tokens::server_seen(connection, &server).await })).await
    }

    async fn server_gone(&self, worker: &WorkerId) -> Result<(), LogError> {
        let worker = worker.clone();
        self.write(move |connection, _| Box::pin(async move { tokens::server_gone(connection, &worker).await })).await
    }

    async fn servers(&self, since: Timestamp) -> Result<Vec<ServerRow>, LogError> {
        question!(self, |connection| tokens::servers(connection, since))
    }

    async fn cells(&self, deploy: DeployId, per_cell: u64) -> Result<Vec<(u64, TenantStatus, u64)>, LogError> {
        question!(self, |connection| reports::cells(connection, deploy, per_cell))
    }

    async fn latest(&self, deploy: DeployId, before: Option<u64>, limit: usize) -> Result<Vec<TailEvent>, LogError> {
        question!(self, |connection| read::latest(connection, deploy, before, limit))
    }

    async fn tenant(&self, deploy: DeployId, tenant: &TenantId) -> Result<TenantRow, LogError> {
        question!(self, |connection| read::tenant(connection, deploy, tenant))
    }
}
