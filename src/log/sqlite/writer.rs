//! The one task that writes.
//!
//! It takes what waits, up to [`GROUP_COMMIT_APPENDS_MAX`] commands, applies them in one transaction, commits, and only then answers
//! everyone: an answer means that the disk has it (promise P1). A crash before the commit loses the group and nobody was told; a
//! crash after it loses only the answers, and the callers' successors read what is there.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use metrics::{counter, histogram};
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::fault::{Fault, Site};
use super::lease::Holder;
use super::{append, create, lease};
use crate::base::crash::{self, Point};
use crate::base::limits::GROUP_COMMIT_APPENDS_MAX;
use crate::base::measure;
use crate::base::{Clock, DeployId, Epoch, Seq, TenantId, Timestamp, WorkerId};
use crate::log::{Append, AppendError, Claim, Claims, CreateError, LogError, NewDeploy};
use crate::saga::event::StreamId;

/// Where an answer goes.
pub(super) type Reply<T, E = LogError> = oneshot::Sender<Result<T, E>>;

/// Something to be written.
pub(super) enum Command {
    Append(Append, Reply<Seq, AppendError>),
    Create(Box<NewDeploy>, Reply<(), CreateError>),
    Claim {
        deploy: DeployId,
        holder: Holder,
        limit: usize,
        reply: Reply<Claims>,
    },
    ClaimOne {
        stream: StreamId,
        holder: Holder,
        reply: Reply<Option<Claim>>,
    },
    Heartbeat {
        deploy: DeployId,
        holder: Holder,
        held: BTreeMap<TenantId, Epoch>,
        reply: Reply<BTreeMap<TenantId, Epoch>>,
    },
    Release {
        stream: StreamId,
        epoch: Epoch,
        reply: Reply<()>,
    },
    Expel {
        deploy: DeployId,
        worker: WorkerId,
        reply: Reply<u64>,
    },
    /// Something on the desk.
    Desk(Box<dyn DeskWork>),
}

/// What is done to the desk's tables, with the answer that it gives.
///
/// As everything that shares a transaction, it answers with an error of its own only before its first write.
pub(super) trait DeskWork: Send {
    /// Does it; the error abandons the whole group.
    fn apply<'a>(
        self: Box<Self>,
        connection: &'a mut SqliteConnection,
        site: &'a Site,
        now: Timestamp,
        answers: &'a mut Answers,
    ) -> BoxFuture<'a, Result<(), LogError>>;

    /// Answers with an error, without having been done.
    fn fail(self: Box<Self>, error: &LogError);
}

/// Work on the desk as a function with the place where its answer goes.
pub(super) struct Work<F, T, E> {
    pub(super) work: F,
    pub(super) reply: Reply<T, E>,
}

impl<F, T, E> DeskWork for Work<F, T, E>
where
    F: for<'c> FnOnce(&'c mut SqliteConnection, Timestamp) -> BoxFuture<'c, Result<Result<T, E>, Fault>>
        + Send
        + 'static,
    T: Send + 'static,
    E: From<LogError> + Send + 'static,
{
    fn apply<'a>(
        self: Box<Self>,
        connection: &'a mut SqliteConnection,
        site: &'a Site,
        now: Timestamp,
        answers: &'a mut Answers,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        let Work { work, reply } = *self;
        Box::pin(async move {
            match work(connection, now).await {
                Ok(answer) => {
                    answers.add(reply, answer);
                    Ok(())
                }
                Err(Fault::Log(error)) => {
                    answers.add(reply, Err(error.into()));
                    Ok(())
                }
                Err(Fault::Sql(error)) => {
                    let error = site.sql(&error);
                    answers.add(reply, Err(error.clone().into()));
                    Err(error)
                }
            }
        })
    }

    fn fail(self: Box<Self>, error: &LogError) {
        // Who no longer listens reads the log.
        let _ = self.reply.send(Err(error.clone().into()));
    }
}

/// An answer that waits for the commit.
trait Answer: Send {
    /// Sends it; or the error, if the group failed.
    fn settle(self: Box<Self>, failed: Option<&LogError>);
}

struct Pending<T, E> {
    reply: Reply<T, E>,
    answer: Result<T, E>,
}

impl<T: Send, E: From<LogError> + Send> Answer for Pending<T, E> {
    fn settle(self: Box<Self>, failed: Option<&LogError>) {
        let answer = match failed {
            Some(error) => Err(error.clone().into()),
            None => self.answer,
        };
        // A caller that no longer listens reads the log when it comes back.
        let _ = self.reply.send(answer);
    }
}

/// The answers of a group. All of them go out, or the group's error to all of them.
#[derive(Default)]
pub(super) struct Answers(Vec<Box<dyn Answer>>);

impl Answers {
    fn add<T, E>(&mut self, reply: Reply<T, E>, answer: Result<T, E>)
    where
        T: Send + 'static,
        E: From<LogError> + Send + 'static,
    {
        self.0.push(Box::new(Pending { reply, answer }));
    }

    /// Adds an answer; hands a fault on that costs the whole transaction.
    fn add_or_abandon<T: Send + 'static>(
        &mut self,
        site: &Site,
        reply: Reply<T>,
        outcome: Result<T, Fault>,
    ) -> Result<(), LogError> {
        match outcome {
            Ok(value) => self.add(reply, Ok(value)),
            Err(Fault::Log(error)) => self.add(reply, Err(error)),
            Err(Fault::Sql(error)) => {
                let error = site.sql(&error);
                self.add(reply, Err(error.clone()));
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The writer: the write connection, and what it needs to know.
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) site: Site,
    pub(super) commits: Arc<AtomicU64>,
}

impl Writer {
    /// Serves until the last sender is gone. A failed group is answered and forgotten: when room has been made, the next one
    /// succeeds. So it is with a group in which a defect of ours is met: nobody is answered, as if the process had died there, and who
    /// is not answered looks into the log.
    pub(super) async fn serve(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.recv().await {
            let mut waiting = VecDeque::from([first]);
            while waiting.len() < GROUP_COMMIT_APPENDS_MAX {
                let Ok(next) = commands.try_recv() else { break };
                waiting.push_back(next);
            }
            while !waiting.is_empty() {
                let group = next_group(&mut waiting);
                // What a defect leaves behind is on the disk or is not: there is no state in memory that it could have broken.
                if AssertUnwindSafe(self.transaction(group)).catch_unwind().await.is_err() {
                    counter!(measure::LOG_FAILURES).increment(1);
                    tracing::error!(
                        "a defect has ended a transaction of the log; whoever waited for it is not answered"
                    );
                    self.roll_back().await;
                }
            }
        }
    }

    async fn transaction(&mut self, mut group: VecDeque<Command>) {
        let mut answers = Answers::default();
        histogram!(measure::LOG_GROUP).record(u32::try_from(group.len()).unwrap_or(u32::MAX));
        let outcome = self.commit(&mut group, &mut answers).await;
        if outcome.is_err() {
            counter!(measure::LOG_FAILURES).increment(1);
            self.roll_back().await;
        }
        let failed = outcome.err();
        for answer in answers.0 {
            answer.settle(failed.as_ref());
        }
        if let Some(error) = failed {
            for command in group {
                command.fail(&error);
            }
        }
    }

    /// Where SQLite has rolled back by itself, or has committed, there is nothing to roll back, and it says so.
    async fn roll_back(&mut self) {
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await;
    }

    async fn commit(&mut self, group: &mut VecDeque<Command>, answers: &mut Answers) -> Result<(), LogError> {
        self.site.check_place()?;
        self.sql("BEGIN IMMEDIATE").await?;
        let mut writes_events = false;
        while !group.is_empty() {
            writes_events |= matches!(group.front(), Some(Command::Append(..) | Command::Create(..)));
            self.apply_next(group, answers).await?;
        }
        if writes_events {
            crash::point(Point::BeforeLogCommit);
        }
        self.sql("COMMIT").await?;
        if writes_events {
            crash::point(Point::AfterLogCommit);
        }
        // An answer means that whoever opens the log finds it.
        self.site.check_place()?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn sql(&mut self, statement: &'static str) -> Result<(), LogError> {
        let done = sqlx::raw_sql(statement).execute(&mut self.connection).await;
        done.map(drop).map_err(|error| self.site.sql(&error))
    }

    /// Applies the next command, or the next run of appends. Each command taken off the group has its answer in `answers`.
    async fn apply_next(&mut self, group: &mut VecDeque<Command>, answers: &mut Answers) -> Result<(), LogError> {
        let now = self.clock.now();
        let (connection, site) = (&mut self.connection, &self.site);
        let Some(command) = group.pop_front() else { return Ok(()) };
        match command {
            Command::Append(first, reply) => {
                let (mut appends, mut replies) = (vec![first], vec![reply]);
                while let Some(Command::Append(append, reply)) =
                    group.pop_front_if(|next| matches!(next, Command::Append(..)))
                {
                    appends.push(append);
                    replies.push(reply);
                }
                match append::apply(connection, &appends, now).await {
                    Ok(results) => {
                        let fenced = results.iter().filter(|of| matches!(of, Err(AppendError::Fenced { .. }))).count();
                        if fenced > 0 {
                            counter!(measure::FENCED).increment(fenced as u64);
                        }
                        replies.into_iter().zip(results).for_each(|(to, result)| answers.add(to, result));
                    }
                    Err(fault) => {
                        let error = site.error(fault);
                        for to in replies {
                            answers.add(to, Err(error.clone().into()));
                        }
                        return Err(error);
                    }
                }
                Ok(())
            }
            Command::Create(new, reply) => match create::apply(connection, &new, now).await {
                Ok(result) => {
                    answers.add(reply, result);
                    Ok(())
                }
                Err(fault) => {
                    let error = site.error(fault);
                    answers.add(reply, Err(error.clone().into()));
                    Err(error)
                }
            },
            Command::Claim { deploy, holder, limit, reply } => {
                let claims = lease::claim(connection, deploy, &holder, limit, now).await;
                answers.add_or_abandon(site, reply, claims)
            }
            Command::ClaimOne { stream, holder, reply } => {
                let claim = lease::claim_one(connection, &stream, &holder, now).await;
                answers.add_or_abandon(site, reply, claim)
            }
            Command::Heartbeat { deploy, holder, held, reply } => {
                let held = lease::heartbeat(connection, deploy, &holder, &held, now).await;
                answers.add_or_abandon(site, reply, held)
            }
            Command::Release { stream, epoch, reply } => {
                let released = lease::release(connection, &stream, epoch).await;
                answers.add_or_abandon(site, reply, released)
            }
            Command::Expel { deploy, worker, reply } => {
                let ended = lease::expel(connection, deploy, &worker).await;
                answers.add_or_abandon(site, reply, ended)
            }
            Command::Desk(work) => work.apply(connection, site, now, answers).await,
        }
    }
}

/// What goes into the next transaction: everything up to a creation, or a creation alone, which may be large enough to fail where
/// the others would not.
fn next_group(waiting: &mut VecDeque<Command>) -> VecDeque<Command> {
    let is_create = |command: &Command| matches!(command, Command::Create(..));
    let end = match waiting.iter().position(is_create) {
        Some(0) => 1,
        Some(at) => at,
        None => waiting.len(),
    };
    waiting.drain(..end).collect()
}

impl Command {
    /// Answers with an error, without having been applied.
    fn fail(self, error: &LogError) {
        // As above: who no longer listens reads the log.
        match self {
            Command::Append(_, reply) => drop(reply.send(Err(error.clone().into()))),
            Command::Create(_, reply) => drop(reply.send(Err(error.clone().into()))),
            Command::Claim { reply, .. } => drop(reply.send(Err(error.clone()))),
            Command::ClaimOne { reply, .. } => drop(reply.send(Err(error.clone()))),
            Command::Heartbeat { reply, .. } => drop(reply.send(Err(error.clone()))),
            Command::Release { reply, .. } => drop(reply.send(Err(error.clone()))),
            Command::Expel { reply, .. } => drop(reply.send(Err(error.clone()))),
            Command::Desk(work) => work.fail(error),
        }
    }
}
