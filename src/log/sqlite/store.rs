//! [`SqliteLog`]: the contract, handed to the writer or to a reader.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use metrics::histogram;
use sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot};

use super::fault::Site;
use super::lease::{self, Holder};
use super::open::{self, Missing, Opened, SqliteOptions};
use super::read;
use super::writer::{Command, Reply, Writer};
use crate::base::limits::LOG_QUEUE_MAX;
use crate::base::measure;
use crate::base::{Clock, DeployId, Digest, Epoch, LogId, Seq, TenantId, Timestamp, WorkerId};
use crate::log::{
    Append, AppendError, Claim, Claims, CreateError, DeployRow, Log, LogError, NewDeploy, RawStream, TailEvent,
    TenantQuery, TenantRecord, TenantRow, rules,
};
use crate::saga::event::{Recorded, StreamId};
use crate::saga::summary::Census;

/// A log in an SQLite file.
///
/// Dropping it lets the writer finish what it has been given. What was not yet acknowledged then is in the log or not, whole.
pub struct SqliteLog {
    id: LogId,
    pub(super) site: Site,
    clock: Arc<dyn Clock>,
    pub(super) readers: SqlitePool,
    writer: mpsc::Sender<Command>,
    commits: Arc<AtomicU64>,
}

impl SqliteLog {
    /// Opens the log, and makes it where there is no file yet. The folder must be there.
    ///
    /// Must be called within a Tokio runtime, which the writer's task then belongs to.
    ///
    /// # Errors
    /// [`LogError::Newer`] for a log of a later version; [`LogError::Unavailable`] for a file that is not a log, or cannot be
    /// opened. Neither touches the file.
    pub async fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, LogError> {
        Self::start(path.as_ref(), Missing::Create, SqliteOptions::default(), clock).await
    }

    /// The same, with settings.
    pub async fn open_with(
        path: impl AsRef<Path>,
        settings: SqliteOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LogError> {
        Self::start(path.as_ref(), Missing::Create, settings, clock).await
    }

    /// Opens a log that must be there already: for commands that only look.
    pub async fn open_existing(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, LogError> {
        Self::start(path.as_ref(), Missing::Refuse, SqliteOptions::default(), clock).await
    }

    async fn start(
        path: &Path,
        missing: Missing,
        settings: SqliteOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LogError> {
        let Opened { site, id, writer: connection, readers } = open::open(path, missing, settings, &*clock).await?;
        let (writer, commands) = mpsc::channel(LOG_QUEUE_MAX);
        let commits = Arc::new(AtomicU64::new(0));
        let task = Writer { connection, clock: clock.clone(), site: site.clone(), commits: commits.clone() };
        tokio::spawn(task.serve(commands));
        Ok(Self { id, site, clock, readers, writer, commits })
    }

    /// Transactions committed through this handle: beside the number of appends, how well group commit works.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// What time it is, for the log.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hands a command to the writer and waits for its answer.
    pub(super) async fn ask<T, E: From<LogError>>(&self, command: impl FnOnce(Reply<T, E>) -> Command) -> Result<T, E> {
        let stopped = || {
            E::from(
                self.site
                    .unavailable("its writer has stopped, or met a defect: what was asked of it may be written or not"),
            )
        };
        let (reply, answer) = oneshot::channel();
        self.writer.send(command(reply)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// One read transaction around a question.
macro_rules! question {
    ($log:expr, |$connection:ident| $question:expr) => {{
        $log.site.check_place()?;
        let failed = |error: sqlx::Error| $log.site.sql(&error);
        let mut transaction = $log.readers.begin().await.map_err(failed)?;
        let $connection = &mut *transaction;
        let answer = $question.await.map_err(|fault| $log.site.error(fault));
        // Nothing was written: however it ends, the answer stands.
        let _ = transaction.rollback().await;
        answer
    }};
}

pub(super) use question;

#[async_trait]
impl Log for SqliteLog {
    fn id(&self) -> LogId {
        self.id
    }

    fn url(&self) -> &str {
        &self.site.url
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    async fn create_deploy(&self, new: NewDeploy) -> Result<(), CreateError> {
        rules::well_formed_deploy(&new)?;
        self.ask(|reply| Command::Create(Box::new(new), reply)).await
    }

    async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        let began = Instant::now();
        let answer = self.ask(|reply| Command::Append(append, reply)).await;
        histogram!(measure::LOG_APPEND_SECONDS).record(began.elapsed());
        answer
    }

    async fn claim(
        &self,
        deploy: DeployId,
        worker: &WorkerId,
        limit: usize,
        lease: Duration,
    ) -> Result<Claims, LogError> {
        let holder = Holder { worker: worker.clone(), lease };
        self.ask(|reply| Command::Claim { deploy, holder, limit, reply }).await
    }

    async fn claim_one(
        &self,
        stream: &StreamId,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claim>, LogError> {
        let (stream, holder) = (stream.clone(), Holder { worker: worker.clone(), lease });
        self.ask(|reply| Command::ClaimOne { stream, holder, reply }).await
    }

    async fn heartbeat(
        &self,
        deploy: DeployId,
        worker: &WorkerId,
        held: &BTreeMap<TenantId, Epoch>,
        lease: Duration,
    ) -> Result<BTreeMap<TenantId, Epoch>, LogError> {
        let (held, holder) = (held.clone(), Holder { worker: worker.clone(), lease });
        self.ask(|reply| Command::Heartbeat { deploy, holder, held, reply }).await
    }

    async fn release(&self, stream: &StreamId, epoch: Epoch) -> Result<(), LogError> {
        let stream = stream.clone();
        self.ask(|reply| Command::Release { stream, epoch, reply }).await
    }

    async fn holders(&self, deploy: DeployId) -> Result<Vec<WorkerId>, LogError> {
        question!(self, |connection| read::holders(connection, deploy))
    }

    async fn expel(&self, deploy: DeployId, worker: &WorkerId) -> Result<u64, LogError> {
        let worker = worker.clone();
        self.ask(|reply| Command::Expel { deploy, worker, reply }).await
    }

    async fn next_ready(&self, deploy: DeployId) -> Result<Option<Timestamp>, LogError> {
        let now = self.clock.now();
        question!(self, |connection| read::next_ready(connection, deploy, now))
    }

    async fn read(&self, stream: &StreamId) -> Result<Vec<Recorded>, LogError> {
        question!(self, |connection| read::stream(connection, stream))
    }

    async fn end(&self, deploy: DeployId) -> Result<u64, LogError> {
        question!(self, |connection| read::end(connection, deploy))
    }

    async fn tail(&self, deploy: DeployId, after: u64, limit: usize) -> Result<Vec<TailEvent>, LogError> {
        question!(self, |connection| read::tail(connection, deploy, after, limit))
    }

    async fn census(&self, deploy: DeployId) -> Result<Census, LogError> {
        question!(self, |connection| read::census(connection, deploy))
    }

    async fn deploy(&self, deploy: DeployId) -> Result<DeployRow, LogError> {
        let stored = question!(self, |connection| lease::deploy(connection, deploy));
        stored.map(|stored| stored.row)
    }

    async fn deploys(&self, fleet: Option<&str>, limit: usize) -> Result<Vec<DeployRow>, LogError> {
        question!(self, |connection| read::deploys(connection, fleet, limit))
    }

    async fn tenants(&self, deploy: DeployId, query: &TenantQuery) -> Result<Vec<TenantRow>, LogError> {
        question!(self, |connection| read::tenants(connection, deploy, query))
    }

    async fn records(&self, fleet: &str) -> Result<BTreeMap<TenantId, TenantRecord>, LogError> {
        question!(self, |connection| read::records(connection, fleet))
    }

    async fn blob(&self, digest: &Digest) -> Result<Vec<u8>, LogError> {
        question!(self, |connection| read::blob(connection, digest))
    }

    async fn fleets(&self) -> Result<BTreeSet<String>, LogError> {
        question!(self, |connection| read::fleets(connection))
    }

    async fn blobs(&self) -> Result<Vec<Digest>, LogError> {
        question!(self, |connection| read::blobs(connection))
    }

    async fn heads(&self, deploy: DeployId) -> Result<Vec<(Option<TenantId>, Seq, Digest)>, LogError> {
        question!(self, |connection| read::heads(connection, deploy))
    }

    async fn raw(&self, deploy: DeployId) -> Result<Vec<RawStream>, LogError> {
        question!(self, |connection| read::raw(connection, deploy))
    }
}
