//! Takes a deploy to its end: decides, claims, drives, and waits. A fresh deploy and one found after a crash are the same to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::time::Instant;

use super::drive::{Driver, LetGo};
use super::error::EngineError;
use super::gateway::Gateway;
use super::hands::{Ended, Hands};
use super::seal::with_seal;
use super::worker::is_dead;
use crate::base::crash::{Point, lease, point};
use crate::base::limits::{LEASE, LEASE_AHEAD_MAX, PANICS_MAX, POLL};
use crate::base::measure;
use crate::base::{DeployId, Digest, Epoch, Seq, SigningKey, WorkerId};
use crate::fleet::Engine as Database;
use crate::log::{Append, AppendError, LeaseAfter, Log, LogError, TenantQuery};
use crate::release::{Dialect, Release};
use crate::saga::deploy::{Decision, DeployState};
use crate::saga::event::{Cause, DeployEvent, DeployOutcome, Direction, Event, StreamId};
use crate::saga::failure::{ErrorClass, Failure};
use crate::saga::plan::Plan;
use crate::saga::summary::{DeploySummary, Place, TenantStatus};
use crate::saga::workflow::Workflow;
use crate::step::{Kinds, LOCK_TIMEOUT, MigrateWith, STATEMENT_TIMEOUT, Scripts};
use crate::tenant::dialect;

/// How often what several readings of the log say may fail to fit before it counts as damage.
const MISFITS_MAX: u32 = 10;

/// What an engine may use.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Tenants driven at a time.
    pub concurrency: usize,
    /// How long a tenant is owned without a sign of life; [`LEASE`] but in tests. Half of [`LEASE_AHEAD_MAX`] at most: a longer one would be
    /// taken for one that was written before the clock was set back.
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
    /// Somebody has paused it, and what this engine had under way has ended. It goes on when it is resumed.
    Paused,
    /// It was asked to stop; the deploy is as it was left.
    Stopped,
}

/// One worker process's engine.
pub struct Engine {
    log: Arc<dyn Log>,
    gateway: Arc<dyn Gateway>,
    worker: WorkerId,
    settings: Settings,
    kinds: Kinds,
    signer: Option<Arc<SigningKey>>,
}

/// What all drivers of one deploy share. Everything in it comes from the log.
pub(super) struct Shared {
    pub(super) log: Arc<dyn Log>,
    pub(super) gateway: Arc<dyn Gateway>,
    pub(super) worker: WorkerId,
    pub(super) workflow: Workflow,
    pub(super) kinds: Kinds,
    /// How many tenants the deploy set out to change.
    pub(super) changing: u64,
    pub(super) deploy: DeployId,
    release: Release,
    stop: watch::Receiver<Stop>,
    /// How the deploy stands, and after how many events of its own stream.
    view: RwLock<(Seq, DeploySummary)>,
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
        self.view.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Takes note of how the deploy stands after so many events. What several readers bring may arrive out of order: a direction is
    /// never taken back, and a pause only by a later event.
    fn see(&self, last_seq: Seq, summary: DeploySummary) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if last_seq >= view.0 {
            *view = (last_seq, summary);
        }
    }

    /// Reads the deploy's row again.
    pub(super) async fn refresh(&self) -> Result<(), LogError> {
        let row = self.log.deploy(self.deploy).await?;
        self.see(row.last_seq, row.summary);
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
        let dialect = dialect(database);
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = scripts.get(&dialect) {
            return Ok(Arc::clone(of));
        }
        let of = Arc::new(Scripts::of(&self.release, dialect).map_err(|error| error.to_string())?);
        scripts.insert(dialect, Arc::clone(&of));
        Ok(of)
    }
}

/// A program that lacks a kind of step would fail that step for good on every tenant, and so turn a deploy that another program can end:
/// it keeps its hands off.
fn refuse_unknown_kinds(deploy: DeployId, workflow: &Workflow, kinds: &Kinds) -> Result<(), EngineError> {
    let unknown: BTreeSet<&str> =
        workflow.steps().map(|(_, step)| step.uses.as_str()).filter(|uses| kinds.get(uses).is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let missing = unknown.into_iter().collect::<Vec<_>>().join(", ");
    let known = kinds.names().collect::<Vec<_>>().join(", ");
    Err(EngineError::UnknownKinds { deploy, missing, known })
}

/// Refuses to drive a deploy on whose workflow uses kinds of step that are not among `kinds`, before anything is done or said to it.
///
/// # Errors
/// [`EngineError::UnknownKinds`]; when the log fails, or does not read as one.
pub async fn refuse_foreign(log: &dyn Log, deploy: DeployId, kinds: &Kinds) -> Result<(), EngineError> {
    let events = deploy_events(log, deploy).await?;
    let Some(DeployEvent::DeployCreated { workflow, workflow_name, .. }) = events.first() else { return Ok(()) };
    let text = String::from_utf8_lossy(&log.blob(workflow).await?).into_owned();
    refuse_unknown_kinds(deploy, &Workflow::parse(workflow_name, &text)?, kinds)
}

/// One session carries all steps of a tenant, so its limits are those of the first step that names any.
pub(super) fn limits(plan: &Plan) -> Limits {
    let with = plan.steps().iter().find_map(|step| MigrateWith::of(step).ok());
    let (lock, statement) = with.map_or((LOCK_TIMEOUT, STATEMENT_TIMEOUT), |with| {
        (Duration::from_millis(with.lock_timeout_ms), Duration::from_millis(with.statement_timeout_ms))
    });
    Limits { lock_timeout: lock, statement_timeout: statement }
}

impl Engine {
    /// An engine that writes to `log` as `worker`.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, gateway: Arc<dyn Gateway>, worker: WorkerId, settings: Settings) -> Self {
        let settings = Settings { lease: settings.lease.min(LEASE_AHEAD_MAX / 2), ..settings };
        Self { log, gateway, worker, settings, kinds: Kinds::default(), signer: None }
    }

    /// The same, knowing these kinds of step.
    #[must_use]
    pub fn knowing(self, kinds: Kinds) -> Self {
        Self { kinds, ..self }
    }

    /// The same, signing the seal of a deploy that it brings to its end.
    #[must_use]
    pub fn signing_with(self, signer: Option<Arc<SigningKey>>) -> Self {
        Self { signer, ..self }
    }

    /// Takes a deploy to its end, or to where a human must decide, or until it is paused or `stop` says so.
    ///
    /// # Errors
    /// When the log fails, or does not read as one. The deploy is then as it was left, and can be resumed.
    pub async fn run(&self, deploy: DeployId, stop: watch::Receiver<Stop>) -> Result<Ending, EngineError> {
        for holder in self.log.holders(deploy).await? {
            // What stands under our own name is left over from an earlier run of this process.
            if holder == self.worker || is_dead(&holder) {
                self.log.expel(deploy, &holder).await?;
            }
        }
        let shared = Arc::new(self.share(deploy, stop.clone()).await?);
        let mut hands = Hands::new(Arc::clone(&self.log), deploy, self.worker.clone(), self.settings.lease);
        let ending = self.drive_all(&shared, deploy, stop, &mut hands).await;
        // Whatever made us leave: no driver outlives its engine.
        hands.let_go().await;
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
        let workflow = Workflow::parse(workflow_name, &text)?;
        refuse_unknown_kinds(deploy, &workflow, &self.kinds)?;
        let state = DeployState::fold(&events)?;
        Ok(Shared {
            workflow,
            release: Release::from_bytes(&self.log.blob(release).await?)?,
            kinds: self.kinds.clone(),
            changing: *changing,
            log: Arc::clone(&self.log),
            gateway: Arc::clone(&self.gateway),
            worker: self.worker.clone(),
            deploy,
            stop,
            view: RwLock::new((state.seq(), state.summary().clone())),
            plans: Mutex::default(),
            scripts: Mutex::default(),
        })
    }

    async fn drive_all(
        &self,
        shared: &Arc<Shared>,
        deploy: DeployId,
        mut stop: watch::Receiver<Stop>,
        hands: &mut Hands,
    ) -> Result<Ending, EngineError> {
        let mut look = Look::default();
        let mut known = None;
        let mut panics = 0;
        loop {
            let decided = look.is_due();
            if decided {
                let began = Instant::now();
                match self.decide(shared, deploy, &mut known, hands.is_empty()).await {
                    Ok(Some(ending)) => return Ok(ending),
                    Ok(None) => {}
                    Err(error) => wait_if_busy(error)?,
                }
                look.done(began.elapsed());
            }
            let order = *stop.borrow();
            if order == Stop::Now || (order == Stop::Drain && hands.is_empty()) {
                return Ok(Ending::Stopped);
            }
            hands.give_back().await;
            let starved = order == Stop::Run && self.claim(shared, deploy, hands).await? == 0;
            if starved && hands.is_empty() && !decided {
                // Nothing to do and nothing under way: what comes next is for the deploy to decide.
                look.now();
                continue;
            }
            let room = hands.len() < self.settings.concurrency;
            let wake = if starved && room { self.next_try(deploy).await? } else { look.at };
            // In this order and not in a drawn one: the same events make the same run. `stop` is looked at in every round anyhow, so
            // that tenants which end without pause cannot drown it.
            tokio::select! {
                biased;
                Some(ended) = hands.ended(), if !hands.is_empty() => {
                    let mut next = Some(ended);
                    while let Some(ended) = next {
                        match ended? {
                            Ended::LetGo(let_go) if calls_for_decision(let_go, shared.view().direction) => look.now(),
                            Ended::LetGo(_) | Ended::Lost => {}
                            Ended::Panicked(tenant) => {
                                panics += 1;
                                if panics >= PANICS_MAX {
                                    return Err(EngineError::DriverPanicked { tenant });
                                }
                            }
                        }
                        next = hands.try_ended();
                    }
                }
                // The sender lives as long as the process; should it go, nobody can ask us to stop any more.
                Ok(()) = stop.changed() => {}
                () = tokio::time::sleep_until(wake.min(look.at)) => {}
            }
        }
    }

    /// Claims as many tenants as there is room for; so many were got. Drivers start under the direction that the log had in the
    /// transaction of the claim: under an older one they would find nothing to do, let go, and be claimed again.
    async fn claim(&self, shared: &Arc<Shared>, deploy: DeployId, hands: &mut Hands) -> Result<usize, EngineError> {
        let room = self.settings.concurrency.saturating_sub(hands.len());
        if room == 0 {
            return Ok(0);
        }
        let claims = match self.log.claim(deploy, &self.worker, room, self.settings.lease).await {
            Ok(claims) => claims,
            Err(error) => return wait_if_busy(error.into()).map(|()| 0),
        };
        shared.see(claims.last_seq, claims.summary);
        let got = claims.tenants.len();
        for claim in claims.tenants {
            let shared = Arc::clone(shared);
            let (tenant, epoch) = (claim.tenant.clone(), claim.epoch);
            hands.take(tenant, epoch, async move { Driver::new(shared, claim).await?.run().await });
        }
        Ok(got)
    }

    /// When the next tenant can be claimed, where nothing can be now.
    async fn next_try(&self, deploy: DeployId) -> Result<Instant, EngineError> {
        let now = self.log.clock().now();
        let next = match self.log.next_ready(deploy).await {
            Ok(next) => next,
            Err(error) => wait_if_busy(error.into()).map(|()| None)?,
        };
        // Not at once, even where its time has come meanwhile: a claim that gives nothing is not to be repeated without pause.
        Ok(Instant::now() + next.map_or(POLL, |at| now.until(at)).max(Duration::from_millis(5)))
    }

    /// Appends whatever the deploy machine decides, until it waits. `Some`: the engine's work is over.
    ///
    /// Stream, census and heads are read one after the other, and others write meanwhile. An append says which end of the stream it
    /// was decided on and is refused if there is a later one; what is put together from several readings and does not fit is put
    /// together again, and counts as damage only when it stays so.
    ///
    /// `known` is the fold as far as it was read: a stream that has not grown since is not read again.
    async fn decide(
        &self,
        shared: &Shared,
        deploy: DeployId,
        known: &mut Option<DeployState>,
        idle: bool,
    ) -> Result<Option<Ending>, EngineError> {
        let mut misfits = 0;
        loop {
            let state = self.fold(deploy, known.take()).await?;
            shared.see(state.seq(), state.summary().clone());
            let census = self.log.census(deploy).await?;
            let events = match state.next(&census, &shared.workflow.on_failure) {
                Decision::Wait => {
                    *known = Some(state);
                    return Ok(None);
                }
                Decision::WaitForHuman => return Ok(idle.then_some(Ending::Waiting)),
                // Drivers let go at their next step boundary; until the last of them has, there is an end to be recorded.
                Decision::Paused => {
                    *known = Some(state);
                    return Ok(idle.then_some(Ending::Paused));
                }
                Decision::Rest => return Ok(state.summary().outcome.map(Ending::Finished)),
                Decision::Append(event) => with_seal(shared, self.signer.as_deref(), &state, *event).await?,
                Decision::Unwind => self.first_failure(deploy).await?,
            };
            match events {
                Ok(events) => {
                    let end = match events[..] {
                        [DeployEvent::DeployFinished { outcome, .. }, ..] => Some(outcome),
                        _ => None,
                    };
                    if end.is_some() {
                        point(Point::BeforeFinish);
                    }
                    *known = append_to_deploy(&*self.log, deploy, &self.worker, &state, events).await?;
                    if let (Some(outcome), true) = (end, known.is_some()) {
                        counter!(measure::DEPLOYS, "outcome" => outcome.as_str()).increment(1);
                    }
                }
                // What takes its time, the reading before a signature, lets itself be stopped.
                Err(_) if shared.stopping() => return Ok(None),
                Err(reason) => {
                    misfits += 1;
                    if misfits > MISFITS_MAX {
                        let (place, reason) = (format!("deploy {deploy}"), reason.to_owned());
                        return Err(LogError::Corrupt { place, reason }.into());
                    }
                }
            }
        }
    }

    /// The deploy's stream, folded; read only where it has grown since it was.
    async fn fold(&self, deploy: DeployId, known: Option<DeployState>) -> Result<DeployState, EngineError> {
        match known {
            Some(state) if state.seq() == self.log.deploy(deploy).await?.last_seq => Ok(state),
            _ => Ok(DeployState::fold(&deploy_events(&*self.log, deploy).await?)?),
        }
    }

    /// Why the deploy turns: the first tenant, in its order, that failed for good. The inner error: what does not fit.
    async fn first_failure(&self, deploy: DeployId) -> Result<Result<Vec<DeployEvent>, &'static str>, LogError> {
        let statuses = vec![TenantStatus::Failed, TenantStatus::Stuck];
        let rows = self.log.tenants(deploy, &TenantQuery { statuses, after: None, limit: 1 }).await?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(Err("the census counts a failure that no tenant has"));
        };
        let Some(step) = row.summary.step else { return Ok(Err("a tenant has failed at no step")) };
        let code = row.summary.code.unwrap_or(crate::base::Code::StepFailed);
        let failure = Failure::new(ErrorClass::Permanent, code, row.summary.message.unwrap_or_default());
        let cause = Cause::TenantFailed { tenant: row.tenant, step, failure };
        Ok(Ok(vec![DeployEvent::DirectionSet { direction: Direction::Unwind, cause }]))
    }
}

/// When the deploy machine is asked again.
///
/// It reads the deploy's stream and counts its tenants, which grows with the fleet: it is given a small part of the time only, however
/// large the fleet is.
struct Look {
    at: Instant,
}

impl Default for Look {
    fn default() -> Self {
        Self { at: Instant::now() }
    }
}

impl Look {
    /// A decision may take this part of the time: one in twenty.
    const SHARE: u32 = 20;

    fn is_due(&self) -> bool {
        self.at <= Instant::now()
    }

    fn now(&mut self) {
        self.at = Instant::now();
    }

    fn done(&mut self, took: Duration) {
        // Not longer than a lease, whatever it took: a log that was busy for its whole limit says nothing of the next time.
        self.at = Instant::now() + (took * Self::SHARE).clamp(POLL, LEASE);
    }
}

/// A tenant that failed may turn the deploy, and nothing must start between its failure and the turn that can be helped. Once the
/// deploy has turned, one more failure changes nothing that cannot wait for the next look.
fn calls_for_decision(let_go: LetGo, direction: Direction) -> bool {
    match let_go {
        LetGo::At(status) => {
            direction != Direction::Unwind && matches!(status, TenantStatus::Failed | TenantStatus::Stuck)
        }
        LetGo::Fenced => false,
    }
}

/// A log that was busy for longer than its limit is asked again; any other error of the log ends the engine.
fn wait_if_busy(error: EngineError) -> Result<(), EngineError> {
    match error {
        EngineError::Log(error @ LogError::Busy { .. }) => {
            tracing::warn!(%error, "trying again");
            Ok(())
        }
        error => Err(error),
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

/// Appends to a deploy's own stream, if nothing has been appended since `state`, and gives the state after it; none if something has.
pub(super) async fn append_to_deploy(
    log: &dyn Log,
    deploy: DeployId,
    by: &WorkerId,
    state: &DeployState,
    events: Vec<DeployEvent>,
) -> Result<Option<DeployState>, EngineError> {
    let mut after = state.clone();
    events.iter().try_for_each(|event| after.apply(event))?;
    point(Point::BeforeAppend);
    let append = Append {
        stream: StreamId::deploy(deploy),
        expect: state.seq(),
        epoch: Epoch(0),
        events: events.into_iter().map(Event::Deploy).collect(),
        summary: None,
        place: Place::Unchanged,
        lease: LeaseAfter::Keep,
        by: by.clone(),
    };
    match log.append(append).await {
        Ok(_) => {
            point(Point::AfterAppend);
            Ok(Some(after))
        }
        Err(AppendError::Log(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}
