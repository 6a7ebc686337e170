//! Takes a deploy to its end: decides, claims, drives, and waits. A fresh deploy and one found after a crash are the same to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};

use super::drive::{Driver, LetGo};
use super::error::EngineError;
use super::gateway::Gateway;
use super::prepare::dialect;
use super::worker::is_dead;
use crate::base::crash::{Point, lease, point};
use crate::base::limits::{HEARTBEAT, LEASE, POLL};
use crate::base::{DeployId, Digest, Epoch, TenantId, WorkerId};
use crate::fleet::Engine as Database;
use crate::log::{Append, AppendError, LeaseAfter, Log, LogError, TenantQuery};
use crate::release::{Dialect, Release};
use crate::saga::chain;
use crate::saga::deploy::{Decision, DeployState};
use crate::saga::event::{Cause, DeployEvent, DeployOutcome, Direction, Event, StreamId};
use crate::saga::failure::{ErrorClass, Failure};
use crate::saga::plan::Plan;
use crate::saga::summary::{DeploySummary, Place, TenantStatus};
use crate::saga::workflow::Workflow;
use crate::step::{LOCK_TIMEOUT, MigrateWith, STATEMENT_TIMEOUT, Scripts};

/// What an engine may use.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Tenants driven at a time.
    pub concurrency: usize,
    /// How long a tenant is owned without a sign of life; [`LEASE`] but in tests.
    pub lease: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { concurrency: 16, lease: lease(LEASE) }
    }
}

/// What an operator has asked for at the keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Nothing.
    Run,
    /// Start nothing more, let running steps end, leave the deploy to be resumed.
    Drain,
    /// Let go at once; what is under way is looked for when the deploy is resumed.
    Now,
}

/// How an engine came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The deploy has ended.
    Finished(DeployOutcome),
    /// Nothing moves until a human decides.
    Waiting,
    /// It was asked to stop; the deploy is as it was left.
    Stopped,
}

/// One worker process's engine.
pub struct Engine {
    log: Arc<dyn Log>,
    gateway: Arc<dyn Gateway>,
    worker: WorkerId,
    settings: Settings,
}

/// What all drivers of one deploy share. Everything in it comes from the log.
pub(super) struct Shared {
    pub(super) log: Arc<dyn Log>,
    pub(super) gateway: Arc<dyn Gateway>,
    pub(super) worker: WorkerId,
    pub(super) workflow: Workflow,
    /// How many tenants the deploy set out to change.
    pub(super) changing: u64,
    deploy: DeployId,
    release: Release,
    stop: watch::Receiver<Stop>,
    view: RwLock<DeploySummary>,
    plans: Mutex<BTreeMap<Digest, Arc<Plan>>>,
    scripts: Mutex<BTreeMap<Dialect, Arc<Scripts>>>,
}

/// How long locks and statements may take, as the plan says.
pub(super) struct Limits {
    pub(super) lock_timeout: Duration,
    pub(super) statement_timeout: Duration,
}

impl Shared {
    pub(super) fn view(&self) -> DeploySummary {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the deploy's row again.
    pub(super) async fn refresh(&self) -> Result<(), LogError> {
        let summary = self.log.deploy(self.deploy).await?.summary;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = summary;
        Ok(())
    }

    pub(super) fn stopping(&self) -> bool {
        *self.stop.borrow() >= Stop::Drain
    }

    pub(super) async fn plan(&self, digest: &Digest) -> Result<Arc<Plan>, LogError> {
        if let Some(plan) = self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(digest) {
            return Ok(Arc::clone(plan));
        }
        let plan = Plan::from_bytes(&self.log.blob(digest).await?)
            .map_err(|error| LogError::Corrupt { place: format!("plan {digest}"), reason: error.to_string() })?;
        let plan = Arc::new(plan);
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest, Arc::clone(&plan));
        Ok(plan)
    }

    pub(super) fn scripts(&self, database: Database) -> Result<Arc<Scripts>, String> {
        let dialect = dialect(database).ok_or_else(|| format!("{database} tenants are not supported"))?;
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = scripts.get(&dialect) {
            return Ok(Arc::clone(of));
        }
        let of = Arc::new(Scripts::of(&self.release, dialect).map_err(|error| error.to_string())?);
        scripts.insert(dialect, Arc::clone(&of));
        Ok(of)
    }
}

/// One session carries all steps of a tenant, so its limits are those of the first step that names any.
pub(super) fn limits(plan: &Plan) -> Limits {
    let with = plan.steps().iter().find_map(|step| MigrateWith::of(step).ok());
    let (lock, statement) = with.map_or((LOCK_TIMEOUT, STATEMENT_TIMEOUT), |with| {
        (Duration::from_millis(with.lock_timeout_ms), Duration::from_millis(with.statement_timeout_ms))
    });
    Limits { lock_timeout: lock, statement_timeout: statement }
}

/// The tenants in hand.
#[derive(Default)]
struct InHand {
    tasks: JoinSet<Result<LetGo, LogError>>,
    of: BTreeMap<Id, TenantId>,
    held: BTreeMap<TenantId, (Epoch, AbortHandle)>,
}

impl InHand {
    fn take(
        &mut self,
        tenant: TenantId,
        epoch: Epoch,
        driver: impl Future<Output = Result<LetGo, LogError>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(driver);
        self.of.insert(handle.id(), tenant.clone());
        // A process that slept past its lease may be handed a tenant that it still has in hand: the old driver's epoch is over.
        if let Some((_, before)) = self.held.insert(tenant, (epoch, handle)) {
            before.abort();
        }
    }

    fn ended(&mut self, id: Id) {
        if let Some(tenant) = self.of.remove(&id)
            && self.held.get(&tenant).is_some_and(|(_, handle)| handle.id() == id)
        {
            self.held.remove(&tenant);
        }
    }

    fn abort_all(&mut self) {
        self.tasks.abort_all();
    }
}

impl Engine {
    /// An engine that writes to `log` as `worker`.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, gateway: Arc<dyn Gateway>, worker: WorkerId, settings: Settings) -> Self {
        Self { log, gateway, worker, settings }
    }

    /// Takes a deploy to its end, or to where a human must decide, or until `stop` says so.
    ///
    /// # Errors
    /// When the log fails, or does not read as one. The deploy is then as it was left, and can be resumed.
    pub async fn run(&self, deploy: DeployId, stop: watch::Receiver<Stop>) -> Result<Ending, EngineError> {
        for holder in self.log.holders(deploy).await? {
            if holder != self.worker && is_dead(&holder) {
                self.log.expel(deploy, &holder).await?;
            }
        }
        let shared = Arc::new(self.share(deploy, stop.clone()).await?);
        let mut hand = InHand::default();
        let ending = self.drive_all(&shared, deploy, stop, &mut hand).await;
        // Whatever made us leave: no driver outlives its engine. Dropped sessions are ended by the servers, and found by the next
        // holder before it acts.
        hand.abort_all();
        while hand.tasks.join_next().await.is_some() {}
        ending
    }

    /// Reads what the deploy runs on out of the log.
    async fn share(&self, deploy: DeployId, stop: watch::Receiver<Stop>) -> Result<Shared, EngineError> {
        let events = deploy_events(&*self.log, deploy).await?;
        let Some(DeployEvent::DeployCreated { release, workflow, workflow_name, changing, .. }) = events.first() else {
            let reason = "the stream does not begin with deploy_created".to_owned();
            return Err(LogError::Corrupt { place: format!("deploy {deploy}"), reason }.into());
        };
        let text = String::from_utf8_lossy(&self.log.blob(workflow).await?).into_owned();
        Ok(Shared {
            workflow: Workflow::parse(workflow_name, &text)?,
            release: Release::from_bytes(&self.log.blob(release).await?)?,
            changing: *changing,
            log: Arc::clone(&self.log),
            gateway: Arc::clone(&self.gateway),
            worker: self.worker.clone(),
            deploy,
            stop,
            view: RwLock::new(DeployState::fold(&events)?.summary().clone()),
            plans: Mutex::default(),
            scripts: Mutex::default(),
        })
    }

    async fn drive_all(
        &self,
        shared: &Arc<Shared>,
        deploy: DeployId,
        mut stop: watch::Receiver<Stop>,
        hand: &mut InHand,
    ) -> Result<Ending, EngineError> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT.min(self.settings.lease / 3));
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut alive = Instant::now();
        let mut must_decide = true;
        loop {
            if must_decide {
                if let Some(ending) = self.decide(shared, deploy, hand.tasks.is_empty()).await? {
                    return Ok(ending);
                }
                must_decide = false;
            }
            let order = *stop.borrow();
            if order == Stop::Now || (order == Stop::Drain && hand.tasks.is_empty()) {
                return Ok(Ending::Stopped);
            }
            let starved = order == Stop::Run && self.claim(shared, deploy, hand).await? == 0;
            let pause = if starved && hand.tasks.is_empty() { self.pause(deploy).await? } else { POLL };
            tokio::select! {
                biased;
                Some(ended) = hand.tasks.join_next_with_id(), if !hand.tasks.is_empty() => {
                    must_decide |= settle(hand, ended)?;
                    while let Some(ended) = hand.tasks.try_join_next_with_id() {
                        must_decide |= settle(hand, ended)?;
                    }
                    must_decide |= hand.tasks.is_empty();
                }
                _ = heartbeat.tick() => {
                    self.beat(deploy, hand, &mut alive).await;
                }
                // The sender lives as long as the process; should it go, nobody can ask us to stop any more.
                Ok(()) = stop.changed() => {}
                () = tokio::time::sleep(pause) => must_decide = true,
            }
        }
    }

    /// Claims as many tenants as there is room for; so many were got.
    async fn claim(&self, shared: &Arc<Shared>, deploy: DeployId, hand: &mut InHand) -> Result<usize, EngineError> {
        let room = self.settings.concurrency.saturating_sub(hand.tasks.len());
        if room == 0 {
            return Ok(0);
        }
        let claims = self.log.claim(deploy, &self.worker, room, self.settings.lease).await?;
        let got = claims.len();
        for claim in claims {
            let shared = Arc::clone(shared);
            let (tenant, epoch) = (claim.tenant.clone(), claim.epoch);
            hand.take(tenant, epoch, async move { Driver::new(shared, claim).await?.run().await });
        }
        Ok(got)
    }

    /// How long to wait when there is nothing to do: until the next retry is due, but never without looking what others wrote.
    async fn pause(&self, deploy: DeployId) -> Result<Duration, EngineError> {
        let now = self.log.clock().now();
        let next = self.log.next_ready(deploy).await?;
        Ok(next.map_or(POLL, |at| now.until(at).clamp(Duration::from_millis(5), POLL)))
    }

    /// Prolongs our leases, and drops the tenants that are no longer ours. A worker that cannot reach the log for most of a lease
    /// drops everything: its successor may be at work already.
    async fn beat(&self, deploy: DeployId, hand: &mut InHand, alive: &mut Instant) {
        let before: Vec<(TenantId, Epoch)> =
            hand.held.iter().map(|(tenant, (epoch, _))| (tenant.clone(), *epoch)).collect();
        match self.log.heartbeat(deploy, &self.worker, self.settings.lease).await {
            Ok(held) => {
                *alive = Instant::now();
                for (tenant, epoch) in before {
                    let Some((_, handle)) = hand.held.get(&tenant).filter(|_| held.get(&tenant) != Some(&epoch)) else {
                        continue;
                    };
                    if !handle.is_finished() {
                        tracing::warn!(%tenant, %epoch, "the lease is lost; letting go");
                        handle.abort();
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no heartbeat");
                if alive.elapsed() > self.settings.lease * 2 / 3 {
                    hand.abort_all();
                }
            }
        }
    }

    /// Appends whatever the deploy machine decides, until it waits. `Some`: the engine's work is over.
    async fn decide(&self, shared: &Shared, deploy: DeployId, idle: bool) -> Result<Option<Ending>, EngineError> {
        loop {
            let state = DeployState::fold(&deploy_events(&*self.log, deploy).await?)?;
            *shared.view.write().unwrap_or_else(PoisonError::into_inner) = state.summary().clone();
            let census = self.log.census(deploy).await?;
            let event = match state.next(&census, &shared.workflow.on_failure) {
                Decision::Wait => return Ok(None),
                Decision::WaitForHuman => return Ok(idle.then_some(Ending::Waiting)),
                Decision::Rest => return Ok(state.summary().outcome.map(Ending::Finished)),
                Decision::Append(event) => *event,
                Decision::Unwind => {
                    let cause = self.first_failure(deploy).await?;
                    DeployEvent::DirectionSet { direction: Direction::Unwind, cause }
                }
                Decision::Seal => self.seal(deploy, &state).await?,
            };
            if matches!(event, DeployEvent::DeployFinished { .. }) {
                point(Point::BeforeFinish);
            }
            append_to_deploy(&*self.log, deploy, &self.worker, &state, event).await?;
        }
    }

    /// Why the deploy turns: the first tenant, in its order, that failed for good.
    async fn first_failure(&self, deploy: DeployId) -> Result<Cause, EngineError> {
        let statuses = vec![TenantStatus::Failed, TenantStatus::Stuck];
        let rows = self.log.tenants(deploy, &TenantQuery { statuses, after: None, limit: 1 }).await?;
        let corrupt = |reason: &str| LogError::Corrupt { place: format!("deploy {deploy}"), reason: reason.to_owned() };
        let row = rows.into_iter().next().ok_or_else(|| corrupt("the census counts a failure that no tenant has"))?;
        let step = row.summary.step.ok_or_else(|| corrupt("a tenant has failed at no step"))?;
        let code = row.summary.code.unwrap_or(crate::base::Code::StepFailed);
        let failure = Failure::new(ErrorClass::Permanent, code, row.summary.message.unwrap_or_default());
        Ok(Cause::TenantFailed { tenant: row.tenant, step, failure })
    }

    async fn seal(&self, deploy: DeployId, state: &DeployState) -> Result<DeployEvent, EngineError> {
        let mut heads = self.log.heads(deploy).await?.into_iter();
        let own = heads.next().map(|(_, seq, head)| (seq, head));
        let tenants: Vec<_> = heads.filter_map(|(tenant, seq, head)| Some((tenant?, seq, head))).collect();
        match own {
            Some(own) if own.0 == state.seq() => Ok(DeployEvent::Sealed { root: chain::seal(deploy, own, &tenants) }),
            _ => {
                let reason = "the deploy's stream has grown after its end".to_owned();
                Err(LogError::Corrupt { place: format!("deploy {deploy}"), reason }.into())
            }
        }
    }
}

/// What the end of a driver means: whether something must be decided. An error of the log ends the engine.
fn settle(
    hand: &mut InHand,
    ended: Result<(Id, Result<LetGo, LogError>), tokio::task::JoinError>,
) -> Result<bool, EngineError> {
    match ended {
        Ok((id, result)) => {
            hand.ended(id);
            Ok(match result? {
                LetGo::At(status) => {
                    matches!(status, TenantStatus::Failed | TenantStatus::Stuck | TenantStatus::Abandoned)
                }
                LetGo::Fenced => true,
            })
        }
        // Aborted by a lost lease, or a defect of ours: either way the lease runs out, and whoever has it next probes.
        Err(error) => {
            hand.ended(error.id());
            if error.is_panic() {
                tracing::error!(%error, "a driver has panicked; its tenant will be taken up again");
            }
            Ok(true)
        }
    }
}

/// A deploy's own stream.
pub(super) async fn deploy_events(log: &dyn Log, deploy: DeployId) -> Result<Vec<DeployEvent>, LogError> {
    let events = log.read(&StreamId::deploy(deploy)).await?;
    let own = |event| match event {
        Event::Deploy(event) => Some(event),
        Event::Tenant(_) => None,
    };
    Ok(events.into_iter().filter_map(|recorded| own(recorded.event)).collect())
}

/// Appends to a deploy's own stream, if nothing has been appended since `state`; `false` if something has.
pub(super) async fn append_to_deploy(
    log: &dyn Log,
    deploy: DeployId,
    by: &WorkerId,
    state: &DeployState,
    event: DeployEvent,
) -> Result<bool, EngineError> {
    let mut after = state.clone();
    after.apply(&event)?;
    point(Point::BeforeAppend);
    let append = Append {
        stream: StreamId::deploy(deploy),
        expect: state.seq(),
        epoch: Epoch(0),
        events: vec![Event::Deploy(event)],
        summary: None,
        place: Place::Unchanged,
        lease: LeaseAfter::Keep,
        by: by.clone(),
    };
    match log.append(append).await {
        Ok(_) => {
            point(Point::AfterAppend);
            Ok(true)
        }
        Err(AppendError::Log(error)) => Err(error.into()),
        Err(_) => Ok(false),
    }
}
