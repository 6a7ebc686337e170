//! The log as one process reaches it: the memory log behind messages that take their time and get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use windlass::base::{Clock, DeployId, Digest, Epoch, LogId, Seq, TenantId, Timestamp, WorkerId};
use windlass::log::{
    Append, AppendError, Claim, Claims, CreateError, DeployRow, Log, LogError, MemoryLog, NewDeploy, RawStream,
    TailEvent, TenantQuery, TenantRecord, TenantRow,
};
use windlass::saga::event::{Recorded, StreamId};
use windlass::saga::summary::Census;

use crate::chaos::{Chaos, Unsure};
use crate::human;
use crate::oracle::Holder;
use crate::process::Process;
use crate::world::{Fault, World};

/// One process's way to the log.
pub struct SimLog {
    pub world: Arc<World>,
    pub process: Arc<Process>,
    pub chaos: Chaos,
}

/// Takes a message back whose sender is gone before it arrived.
struct Sent(Option<AbortHandle>);

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(message) = self.0.take() {
            message.abort();
        }
    }
}

fn busy() -> LogError {
    LogError::Busy { url: "sim:".to_owned(), waited_ms: 10_000 }
}

fn gone() -> LogError {
    LogError::Unavailable { url: "sim:".to_owned(), reason: "it is not there".to_owned() }
}

impl SimLog {
    pub fn of(world: &Arc<World>, process: &Arc<Process>) -> Arc<Self> {
        let (world, process) = (Arc::clone(world), Arc::clone(process));
        Arc::new(Self { chaos: Chaos { world: Arc::clone(&world) }, world, process })
    }

    /// Asks the log. `work` is done at one moment, or never.
    async fn ask<T, E, F>(&self, what: &str, unsure: Unsure, work: impl FnOnce(Arc<World>) -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<LogError> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.world.goes_on().await;
        self.process.gate().await;
        let fault = self.chaos.at_log(&self.process, unsure, what).await;
        match fault {
            Some(fault @ Fault::Refused) => {
                self.world.struck(fault);
                return Err(busy().into());
            }
            Some(fault @ Fault::Gone { with_effect: false }) => {
                self.world.struck(fault);
                return Err(gone().into());
            }
            Some(fault @ (Fault::Slow(_) | Fault::CrashDuring)) => self.world.struck(fault),
            _ => {}
        }
        let work = work(Arc::clone(&self.world));
        let slow = Duration::from_millis(if let Some(Fault::Slow(ms)) = fault { ms } else { 0 });
        let (before, after) = (self.world.pace() + slow, self.world.pace());
        let (answer, answered) = oneshot::channel();
        let message = tokio::spawn(async move {
            tokio::time::sleep(before).await;
            let done = work.await;
            tokio::time::sleep(after).await;
            let _ = answer.send(done);
        });
        // Once it is on its way, it may arrive although nobody waits for it any more.
        let arrives = self.world.either_way();
        let sent = Sent((!arrives).then(|| message.abort_handle()));
        if fault == Some(Fault::CrashDuring) {
            self.process.kill();
            std::future::pending::<()>().await;
        }
        let answered = answered.await;
        self.process.gate().await;
        drop(sent);
        // An answer that was no might as well be lost.
        let told = matches!(answered, Ok(Ok(_)));
        if let Some(fault @ (Fault::CrashAfter | Fault::ReplyLost | Fault::Gone { .. })) = fault
            && (told || fault == Fault::CrashAfter)
        {
            self.world.struck(fault);
        }
        match (fault, answered) {
            (Some(Fault::CrashAfter), _) => {
                self.process.kill();
                std::future::pending().await
            }
            (Some(Fault::ReplyLost), _) => Err(busy().into()),
            (Some(Fault::Gone { .. }), _) => Err(gone().into()),
            (_, Ok(done)) => done,
            // The world has ended.
            (_, Err(_)) => std::future::pending().await,
        }
    }

    /// Reads.
    async fn read_with<T, F>(&self, what: &str, work: impl FnOnce(Arc<MemoryLog>) -> F) -> Result<T, LogError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LogError>> + Send + 'static,
    {
        self.ask(what, Unsure::No, |world| work(Arc::clone(&world.log))).await
    }
}

#[async_trait]
impl Log for SimLog {
    fn id(&self) -> LogId {
        LogId(uuid::Uuid::from_u128(u128::from(self.world.scenario.seed)))
    }

    fn url(&self) -> &'static str {
        "sim:"
    }

    fn clock(&self) -> &dyn Clock {
        &*self.world.clock
    }

    async fn create_deploy(&self, new: NewDeploy) -> Result<(), CreateError> {
        self.ask("create_deploy", Unsure::Yes, move |world| async move {
            world.log.create_deploy(new.clone()).await?;
            let found = {
                let inner = &mut *world.inner();
                inner.oracle.created(&new, &inner.databases)
            };
            world.judge(found);
            Ok(())
        })
        .await
    }

    async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        let (what, process) = (format!("append to {:?}", append.stream.tenant), Arc::clone(&self.process));
        self.ask(&what, Unsure::Yes, move |world| async move {
            let done = world.log.append(append.clone()).await;
            for event in &append.events {
                let verdict = done.as_ref().err().map(|error| format!(" REFUSED: {error}")).unwrap_or_default();
                let stream = append.stream.tenant.as_ref().map_or("deploy", TenantId::as_str);
                world.tell(&*process, || format!("log, {stream}: {}{verdict}", crate::run::line(event)));
            }
            match &done {
                Err(AppendError::Fenced { .. }) => world.met("an append under an epoch that is over"),
                Err(AppendError::Turned { .. }) => world.met("a start after the turn is refused"),
                Err(AppendError::Paused { .. }) => world.met("a start during a pause is refused"),
                Err(AppendError::Stale { stream, .. }) if stream.tenant.is_none() => {
                    world.met("two coordinators append at once");
                }
                _ => {}
            }
            if done.is_ok() {
                let found = {
                    let inner = &mut *world.inner();
                    inner.oracle.appended(&append, &inner.databases)
                };
                world.judge(found);
                human::tells(&world, append.stream.deploy);
            }
            done
        })
        .await
    }

    async fn claim(
        &self,
        deploy: DeployId,
        worker: &WorkerId,
        limit: usize,
        lease: Duration,
    ) -> Result<Claims, LogError> {
        let (worker, process) = (worker.clone(), Arc::clone(&self.process));
        self.ask("claim", Unsure::IfGone, move |world| async move {
            let claims = world.log.claim(deploy, &worker, limit, lease).await?;
            for claim in &claims.tenants {
                claimed(&world, claim, &process, lease);
            }
            Ok(claims)
        })
        .await
    }

    async fn claim_one(
        &self,
        stream: &StreamId,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claim>, LogError> {
        let (stream, worker, process) = (stream.clone(), worker.clone(), Arc::clone(&self.process));
        self.ask("claim_one", Unsure::IfGone, move |world| async move {
            let claim = world.log.claim_one(&stream, &worker, lease).await?;
            if let Some(claim) = &claim {
                claimed(&world, claim, &process, lease);
            }
            Ok(claim)
        })
        .await
    }

    async fn heartbeat(
        &self,
        deploy: DeployId,
        worker: &WorkerId,
        held: &BTreeMap<TenantId, Epoch>,
        lease: Duration,
    ) -> Result<BTreeMap<TenantId, Epoch>, LogError> {
        // A process that is held still does not feel its time pass. Its drivers wake where they were, and whether their first deed or
        // the news that they have been succeeded comes first, is open.
        if self.process.is_paused() {
            return Ok(held.clone());
        }
        let (worker, held) = (worker.clone(), held.clone());
        self.ask("heartbeat", Unsure::IfGone, move |world| async move {
            let ours = world.log.heartbeat(deploy, &worker, &held, lease).await?;
            let until = world.clock.now().plus(lease);
            world.inner().oracle.prolonged(deploy, &ours, until);
            Ok(ours)
        })
        .await
    }

    async fn release(&self, stream: &StreamId, epoch: Epoch) -> Result<(), LogError> {
        let stream = stream.clone();
        self.ask("release", Unsure::IfGone, move |world| async move {
            world.log.release(&stream, epoch).await?;
            world.inner().oracle.released(&stream, epoch);
            Ok(())
        })
        .await
    }

    async fn holders(&self, deploy: DeployId) -> Result<Vec<WorkerId>, LogError> {
        self.read_with("holders", move |log| async move { log.holders(deploy).await }).await
    }

    async fn expel(&self, deploy: DeployId, worker: &WorkerId) -> Result<u64, LogError> {
        let worker = worker.clone();
        self.ask("expel", Unsure::IfGone, move |world| async move {
            let count = world.log.expel(deploy, &worker).await?;
            world.inner().oracle.expelled(deploy, &worker);
            Ok(count)
        })
        .await
    }

    async fn next_ready(&self, deploy: DeployId) -> Result<Option<Timestamp>, LogError> {
        self.read_with("next_ready", move |log| async move { log.next_ready(deploy).await }).await
    }

    async fn read(&self, stream: &StreamId) -> Result<Vec<Recorded>, LogError> {
        let stream = stream.clone();
        self.read_with("read", move |log| async move { log.read(&stream).await }).await
    }

    async fn end(&self, deploy: DeployId) -> Result<u64, LogError> {
        self.read_with("end", move |log| async move { log.end(deploy).await }).await
    }

    async fn tail(&self, deploy: DeployId, after: u64, limit: usize) -> Result<Vec<TailEvent>, LogError> {
        self.read_with("tail", move |log| async move { log.tail(deploy, after, limit).await }).await
    }

    async fn census(&self, deploy: DeployId) -> Result<Census, LogError> {
        self.read_with("census", move |log| async move { log.census(deploy).await }).await
    }

    async fn deploy(&self, deploy: DeployId) -> Result<DeployRow, LogError> {
        self.read_with("deploy", move |log| async move { log.deploy(deploy).await }).await
    }

    async fn deploys(&self, fleet: Option<&str>, limit: usize) -> Result<Vec<DeployRow>, LogError> {
        let fleet = fleet.map(str::to_owned);
        self.read_with("deploys", move |log| async move { log.deploys(fleet.as_deref(), limit).await }).await
    }

    async fn tenants(&self, deploy: DeployId, query: &TenantQuery) -> Result<Vec<TenantRow>, LogError> {
        let query = query.clone();
        self.read_with("tenants", move |log| async move { log.tenants(deploy, &query).await }).await
    }

    async fn records(&self, fleet: &str) -> Result<BTreeMap<TenantId, TenantRecord>, LogError> {
        let fleet = fleet.to_owned();
        self.read_with("records", move |log| async move { log.records(&fleet).await }).await
    }

    async fn blob(&self, digest: &Digest) -> Result<Vec<u8>, LogError> {
        let digest = *digest;
        self.read_with("blob", move |log| async move { log.blob(&digest).await }).await
    }

    async fn fleets(&self) -> Result<BTreeSet<String>, LogError> {
        self.read_with("fleets", move |log| async move { log.fleets().await }).await
    }

    async fn blobs(&self) -> Result<Vec<Digest>, LogError> {
        self.read_with("blobs", move |log| async move { log.blobs().await }).await
    }

    async fn heads(&self, deploy: DeployId) -> Result<Vec<(Option<TenantId>, Seq, Digest)>, LogError> {
        self.read_with("heads", move |log| async move { log.heads(deploy).await }).await
    }

    async fn raw(&self, deploy: DeployId) -> Result<Vec<RawStream>, LogError> {
        self.read_with("raw", move |log| async move { log.raw(deploy).await }).await
    }
}

fn claimed(world: &World, claim: &Claim, process: &Arc<Process>, lease: Duration) {
    world.tell(&**process, || format!("claims {} under epoch {}", claim.tenant, claim.epoch));
    let now = world.clock.now();
    let holder = Holder { process: Arc::clone(process), until: now.plus(lease) };
    let found = world.inner().oracle.claimed(&claim.stream, claim.epoch, holder, now);
    world.judge(found);
}
