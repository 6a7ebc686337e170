//! What must hold, told from the events of the log and from the databases alone, by a fold of its own: nothing here asks the machines of
//! the engine what they make of an event. (At the end of a run `audit verify`, which does ask them, is another look besides.)

pub mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use windlass::base::{Code, DeployId, Epoch, StepId, TenantId, Timestamp, WorkerId};
use windlass::log::{Append, LeaseAfter, NewDeploy};
use windlass::saga::event::{
    Cause, DeployEvent, DeployOutcome, Direction, Event, Found, Half, StreamId, TenantEvent, TenantOutcome, Trigger,
};
use windlass::saga::failure::{ErrorClass, Retry};

use crate::belief::Belief;
use crate::database::{Change, Database, Key};
use crate::process::Process;
use crate::scenario::{MigrationDef, Scenario, label, subject};
use crate::world::Broken;

/// A step that waits for the human.
#[derive(Debug, Clone)]
pub struct Stuck {
    pub deploy: DeployId,
    pub step: StepId,
    pub half: Half,
    /// A part of it may stand that no ledger tells of.
    pub torn: bool,
}

/// Who has a tenant, and until when if it gives no more signs of life.
#[derive(Debug)]
pub struct Holder {
    pub process: Arc<Process>,
    pub until: Timestamp,
}

/// One tenant within one deploy.
#[derive(Debug, Default)]
struct Stream {
    seq: u64,
    epoch: Epoch,
    holder: Option<Holder>,
    steps: BTreeMap<StepId, Belief>,
    /// What this deploy changed here and has not taken back, the latest last.
    changes: Vec<Change>,
    outcome: Option<TenantOutcome>,
    /// What was there before the deploy.
    before: BTreeSet<String>,
}

/// One deploy.
#[derive(Debug)]
struct Deploy {
    streams: BTreeMap<TenantId, Stream>,
    turned: bool,
    paused: bool,
    outcome: Option<DeployOutcome>,
    /// What each tenant has once it has completed.
    goal: BTreeMap<TenantId, BTreeSet<String>>,
    reverts: bool,
    /// The deploy that it rolls back.
    of: Option<DeployId>,
}

/// The oracle.
#[derive(Default)]
pub struct Oracle {
    migrations: Vec<MigrationDef>,
    deploys: BTreeMap<DeployId, Deploy>,
    by_hand: BTreeSet<TenantId>,
    /// Tenants whose end says that their ledger could not be told what a human had said of them.
    untold: BTreeSet<TenantId>,
    /// Transactions that their own text ended, and nobody has recorded it yet.
    torn: BTreeSet<(TenantId, Key)>,
    /// One of these was never heard of: nothing in log or database tells of it, and nothing more can be said of this world.
    pub is_beyond_evidence: bool,
    retrying: bool,
    pub events: u64,
}

fn broken(promise: &'static str, what: String) -> Result<(), Broken> {
    Err(Broken { promise, what })
}

impl Oracle {
    pub fn new(scenario: &Scenario) -> Self {
        let migrations = scenario.migrations.clone();
        Self { migrations, ..Self::default() }
    }

    /// The things that a migration makes.
    fn subjects(&self, migration: usize) -> impl Iterator<Item = String> {
        let def = self.migrations.get(migration);
        let verbs = def.into_iter().flat_map(|def| def.statements.iter().copied().enumerate());
        verbs.map(move |(at, verb)| subject(migration, at, verb))
    }

    fn migration_of(&self, step: &StepId) -> Option<usize> {
        let name = step.as_str().strip_prefix("migrate:")?;
        (0..self.migrations.len()).find(|at| label(*at) == name)
    }

    /// A deploy is in the log.
    pub fn created(&mut self, new: &NewDeploy, databases: &BTreeMap<TenantId, Database>) -> Result<(), Broken> {
        let DeployEvent::DeployCreated { trigger, release_name, .. } = &new.created else { return Ok(()) };
        let of = if let Trigger::Rollback { of } = **trigger { Some(of) } else { None };
        let allowed = of.map_or(Ok(()), |of| self.may_be_rolled_back(of));
        let mut goal = BTreeMap::new();
        let rolled_back = of.and_then(|of| self.deploys.get(&of));
        let last = (0..self.migrations.len()).find(|at| label(*at) == *release_name);
        let mut streams = BTreeMap::new();
        for tenant in &new.tenants {
            let before = databases[&tenant.id].present();
            let wanted = match rolled_back {
                Some(of) => of.streams.get(&tenant.id).map(|stream| stream.before.clone()).unwrap_or_default(),
                None => (0..=last.unwrap_or_default()).flat_map(|at| self.subjects(at)).collect(),
            };
            goal.insert(tenant.id.clone(), wanted);
            let ended = tenant.events.iter().find_map(|event| match event {
                TenantEvent::TenantFinished { outcome, .. } => Some(*outcome),
                _ => None,
            });
            let seq = tenant.events.len() as u64;
            streams.insert(tenant.id.clone(), Stream { seq, before, outcome: ended, ..Stream::default() });
        }
        self.events += 1 + new.tenants.iter().map(|tenant| tenant.events.len() as u64).sum::<u64>();
        let reverts = rolled_back.is_some_and(|of| !of.reverts);
        self.deploys.insert(new.id, Deploy { streams, turned: false, paused: false, outcome: None, goal, reverts, of });
        allowed
    }

    fn stream(&mut self, id: &StreamId) -> Option<&mut Stream> {
        self.deploys.get_mut(&id.deploy)?.streams.get_mut(id.tenant.as_ref()?)
    }

    /// P6: a tenant is handed out while nobody holds it, under an epoch that nobody had before, and not away from somebody whom nothing
    /// has befallen, whatever may have befallen others. And, but for a human's word, not while the deploy is paused.
    pub fn claimed(&mut self, id: &StreamId, epoch: Epoch, by: Holder, now: Timestamp) -> Result<(), Broken> {
        let highest = self
            .deploys
            .values()
            .filter_map(|deploy| deploy.streams.get(id.tenant.as_ref()?))
            .map(|stream| stream.epoch)
            .max()
            .unwrap_or_default();
        if self.deploys.get(&id.deploy).is_some_and(|deploy| deploy.paused) && !by.process.is_human() {
            return broken("pause", format!("{id} was handed out, and the deploy is paused"));
        }
        let Some(stream) = self.stream(id) else { return Ok(()) };
        let successor = Arc::clone(&by.process);
        let held = stream.holder.replace(by);
        stream.epoch = epoch;
        if epoch <= highest {
            return broken("P6", format!("{id} was handed out under epoch {epoch}, and {highest} had been before"));
        }
        let Some(Holder { process, until }) = held else { return Ok(()) };
        if until > now {
            return broken("P6", format!("{id} was handed out to {successor} while {process} held it until {until}"));
        }
        if process.is_unharmed() && !Arc::ptr_eq(&process, &successor) {
            return broken("P6", format!("{id} was taken from {process} ({until}), which nothing has befallen"));
        }
        Ok(())
    }

    pub fn prolonged(&mut self, deploy: DeployId, ours: &BTreeMap<TenantId, Epoch>, until: Timestamp) {
        for (tenant, epoch) in ours {
            if let Some(stream) = self.stream(&StreamId::tenant(deploy, tenant.clone()))
                && stream.epoch == *epoch
                && let Some(Holder { until: held, .. }) = &mut stream.holder
            {
                *held = until.max(*held);
            }
        }
    }

    /// Whether it has a lease at this moment, of any tenant.
    pub fn holds_any(&self, process: &Arc<Process>) -> bool {
        let mut streams = self.deploys.values().flat_map(|deploy| deploy.streams.values());
        streams.any(|stream| stream.holder.as_ref().is_some_and(|of| Arc::ptr_eq(&of.process, process)))
    }

    pub fn released(&mut self, id: &StreamId, epoch: Epoch) {
        if let Some(stream) = self.stream(id).filter(|stream| stream.epoch == epoch) {
            stream.holder = None;
        }
    }

    pub fn expelled(&mut self, deploy: DeployId, worker: &WorkerId) {
        let streams = self.deploys.get_mut(&deploy).into_iter().flat_map(|deploy| deploy.streams.values_mut());
        for stream in streams.filter(|stream| stream.holder.as_ref().is_some_and(|of| of.process.worker() == *worker)) {
            stream.holder = None;
        }
    }

    /// A text has ended its own transaction.
    pub fn tore(&mut self, tenant: &TenantId, key: Key) {
        self.torn.insert((tenant.clone(), key));
    }

    /// Whether what is recorded of a torn step is that it was torn.
    fn hears(&mut self, id: &StreamId, tenant: &TenantId, event: &TenantEvent) {
        let (step, half) = match event {
            TenantEvent::StepProbed { step, half, found } => {
                let torn = matches!(found, Found::Unknown { failure, .. } if failure.code == Code::TransactionBroken);
                if torn {
                    self.torn.remove(&(tenant.clone(), (id.deploy, step.clone(), *half)));
                }
                (step, *half)
            }
            TenantEvent::StepSucceeded { step, .. } | TenantEvent::StepFailed { step, .. } => (step, Half::Act),
            TenantEvent::UndoSucceeded { step, .. } | TenantEvent::UndoFailed { step, .. } => (step, Half::Undo),
            _ => return,
        };
        self.is_beyond_evidence |= self.torn.contains(&(tenant.clone(), (id.deploy, step.clone(), half)));
    }

    /// Events are durable: P2, P5, P6 and P7 over them, and what they say against what is in the database.
    pub fn appended(&mut self, append: &Append, databases: &BTreeMap<TenantId, Database>) -> Result<(), Broken> {
        self.events += append.events.len() as u64;
        let id = &append.stream;
        let Some(deploy) = self.deploys.get_mut(&id.deploy) else { return Ok(()) };
        if deploy.outcome.is_some() {
            return broken("P7", format!("{id}: written to after the end"));
        }
        let Some(tenant) = &id.tenant else {
            for event in &append.events {
                let Event::Deploy(event) = event else { continue };
                self.deploy_event(id.deploy, event, databases)?;
            }
            return Ok(());
        };
        let (turned, paused) = (deploy.turned, deploy.paused);
        let Some(stream) = deploy.streams.get_mut(tenant) else { return Ok(()) };
        if append.epoch != stream.epoch {
            return broken("P6", format!("{id}: epoch {} wrote, and {} has it", append.epoch, stream.epoch));
        }
        if append.expect.0 != stream.seq {
            return broken("P6", format!("{id}: written behind event {}, and there are {}", append.expect, stream.seq));
        }
        stream.seq += append.events.len() as u64;
        for event in &append.events {
            let Event::Tenant(event) = event else { continue };
            self.hears(id, tenant, event);
            if matches!(event, TenantEvent::TenantFinished { reason, .. } if reason.contains("could not be told")) {
                self.untold.insert(tenant.clone());
            }
        }
        let Some(stream) = self.stream(id) else { return Ok(()) };
        for event in &append.events {
            let Event::Tenant(event) = event else { continue };
            if turned && event.is_forward_start() {
                return broken("P5", format!("{id}: a step started after the turn: {event:?}"));
            }
            if paused && event.is_start() {
                return broken("pause", format!("{id}: in a paused deploy there started: {event:?}"));
            }
            if let Some(what) = tried_in_vain(event) {
                return broken("retries", format!("{id}: {what}"));
            }
            stream.take(event).map_err(|what| Broken { promise: "P2", what: format!("{id}: {what}") })?;
        }
        if append.lease == LeaseAfter::Release {
            stream.holder = None;
        }
        self.compare(id.deploy, tenant, databases)
    }

    /// What the log says of steps that nobody is at work on is so in the database.
    fn compare(
        &self,
        deploy: DeployId,
        tenant: &TenantId,
        databases: &BTreeMap<TenantId, Database>,
    ) -> Result<(), Broken> {
        let Some(of) = self.deploys.get(&deploy) else { return Ok(()) };
        let (Some(stream), Some(db)) = (of.streams.get(tenant), databases.get(tenant)) else { return Ok(()) };
        for (step, belief) in &stream.steps {
            let Some(migration) = self.migration_of(step) else { continue };
            let all: Vec<String> = self.subjects(migration).collect();
            let is_there = |name: &&String| db.things.get(*name).copied().unwrap_or_default() != 0;
            let present = all.iter().filter(is_there).count();
            let done = if of.reverts { all.len() - present } else { present };
            if !belief.holds(done, all.len()) {
                let what =
                    format!("{tenant}: {done} of {} changes of {step} are there, and it is {belief:?}", all.len());
                return broken("P3", what);
            }
        }
        Ok(())
    }

    fn deploy_event(
        &mut self,
        id: DeployId,
        event: &DeployEvent,
        databases: &BTreeMap<TenantId, Database>,
    ) -> Result<(), Broken> {
        let Some(deploy) = self.deploys.get_mut(&id) else { return Ok(()) };
        let word = match event {
            DeployEvent::DeployResumed { .. } => true,
            DeployEvent::DirectionSet { cause, .. } => matches!(cause, Cause::Operator { .. }),
            _ => false,
        };
        if deploy.paused && !word {
            return broken("pause", format!("in a paused deploy it was decided: {event:?}"));
        }
        deploy.paused = matches!(event, DeployEvent::DeployPaused { .. });
        match event {
            DeployEvent::DirectionSet { direction: Direction::Unwind, .. } => deploy.turned = true,
            DeployEvent::DeployFinished { outcome, account } => {
                let mut counted: BTreeMap<TenantOutcome, u64> = BTreeMap::new();
                for (tenant, stream) in &deploy.streams {
                    let Some(outcome) = stream.outcome.filter(|outcome| *outcome != TenantOutcome::Stuck) else {
                        return broken("P7", format!("the deploy has ended, and {tenant} has not"));
                    };
                    *counted.entry(outcome).or_default() += 1;
                }
                if counted != *account {
                    return broken("P7", format!("the account says {account:?}, and the tenants {counted:?}"));
                }
                deploy.outcome = Some(*outcome);
                return self.finished(id, databases);
            }
            _ => {}
        }
        Ok(())
    }

    /// Every tenant's database, and its ledger, are what its outcome says.
    pub fn finished(&self, id: DeployId, databases: &BTreeMap<TenantId, Database>) -> Result<(), Broken> {
        let Some(deploy) = self.deploys.get(&id) else { return Ok(()) };
        for (tenant, stream) in &deploy.streams {
            let Some(said) = stream.outcome else { continue };
            let present = databases[tenant].present();
            let wanted = match said {
                TenantOutcome::Completed => Some(("P3", &deploy.goal[tenant])),
                TenantOutcome::Unwound | TenantOutcome::Untouched => Some(("P4", &stream.before)),
                // As a human has left it.
                _ => None,
            };
            if let Some((promise, wanted)) = wanted.filter(|(_, wanted)| **wanted != present) {
                return broken(promise, format!("{tenant} is {said:?}: it has {present:?} and should have {wanted:?}"));
            }
            let told: BTreeSet<String> = (0..self.migrations.len())
                .filter(|at| databases[tenant].in_force().iter().any(|row| row.name == label(*at)))
                .flat_map(|at| self.subjects(at))
                .collect();
            if told != present && !self.untold.contains(tenant) {
                let what = format!("{tenant} is {said:?}: its ledger tells of {told:?}, and there is {present:?}");
                return broken("P3", what);
            }
        }
        Ok(())
    }

    /// Tenants whose ledgers somebody has to write by hand, once.
    pub fn untold(&mut self, deploy: DeployId) -> BTreeSet<TenantId> {
        if self.is_finished(deploy) { std::mem::take(&mut self.untold) } else { BTreeSet::new() }
    }

    /// P1, P3 and P4 of one committed change, after which there are `count` of its thing.
    pub fn changed(&mut self, tenant: &TenantId, change: &Change, count: i64) -> Result<(), Broken> {
        let (deploy, step, half) = &change.key;
        let at = |what: &str| format!("{tenant}, {step} {half:?}, {}: {what}", change.subject);
        if !(0..=1).contains(&count) {
            return broken("P3", at(&format!("it took effect again: {count}")));
        }
        let Some(stream) = self.stream(&StreamId::tenant(*deploy, tenant.clone())) else {
            return broken("P1", at("the log knows nothing of it"));
        };
        if !stream.steps.get(step).is_some_and(|belief| belief.may_take_effect(*half)) {
            let belief = stream.steps.get(step);
            return broken("P1", at(&format!("it took effect, and in the log it stands at {belief:?}")));
        }
        match half {
            Half::Act => stream.changes.push(change.clone()),
            Half::Undo => match stream.changes.pop() {
                Some(last) if last.subject == change.subject && last.by == -change.by && last.key.1 == *step => {}
                last => return broken("P4", at(&format!("it was undone, and the last that was done is {last:?}"))),
            },
        }
        Ok(())
    }

    pub fn is_finished(&self, deploy: DeployId) -> bool {
        self.deploys.get(&deploy).is_some_and(|deploy| deploy.outcome.is_some())
    }

    /// What waits for the human at a tenant, unless an operator is just about to say something.
    pub fn stuck(&mut self, deploy: DeployId, tenant: &TenantId) -> Option<Stuck> {
        if self.retrying {
            return None;
        }
        let stream = self.stream(&StreamId::tenant(deploy, tenant.clone()))?;
        let (step, half, torn) = stream.stuck()?;
        Some(Stuck { deploy, step, half, torn })
    }

    /// A tenant that somebody may say `retry` of.
    pub fn may_be_retried(&mut self, deploy: DeployId) -> Option<TenantId> {
        let streams = &self.deploys.get(&deploy)?.streams;
        let fits = |(tenant, stream): &(&TenantId, &Stream)| {
            stream.stuck().is_some_and(|(_, _, torn)| !torn) && !self.by_hand.contains(*tenant)
        };
        let found = streams.iter().find(fits).map(|(tenant, _)| tenant.clone());
        self.retrying |= found.is_some();
        found
    }

    pub fn operator_is_done(&mut self) {
        self.retrying = false;
    }

    /// By hand: the changes that are missing of a step.
    pub fn complete(&mut self, tenant: &TenantId, stuck: &Stuck) -> Vec<Change> {
        self.by_hand.insert(tenant.clone());
        let Some(migration) = self.migration_of(&stuck.step) else { return Vec::new() };
        let mut subjects: Vec<String> = self.subjects(migration).collect();
        let reverts = self.deploys.get(&stuck.deploy).is_some_and(|deploy| deploy.reverts);
        if reverts {
            subjects.reverse();
        }
        let Some(stream) = self.stream(&StreamId::tenant(stuck.deploy, tenant.clone())) else { return Vec::new() };
        let mut missing = Vec::new();
        for subject in subjects {
            if !stream.changes.iter().any(|change| change.subject == subject) {
                let key = (stuck.deploy, stuck.step.clone(), Half::Act);
                missing.push(Change { key, subject, by: if reverts { -1 } else { 1 } });
            }
        }
        stream.changes.extend(missing.iter().cloned());
        missing
    }

    /// By hand: the changes of a step that are to be taken back.
    pub fn take_back(&mut self, tenant: &TenantId, stuck: &Stuck) -> Vec<Change> {
        self.by_hand.insert(tenant.clone());
        let Some(stream) = self.stream(&StreamId::tenant(stuck.deploy, tenant.clone())) else { return Vec::new() };
        let (back, kept) = stream.changes.drain(..).partition(|change| change.key.1 == stuck.step);
        stream.changes = kept;
        back
    }
}

/// What failed for good is not tried again.
fn tried_in_vain(event: &TenantEvent) -> Option<String> {
    let (TenantEvent::StepFailed { step, failure, retry, .. } | TenantEvent::UndoFailed { step, failure, retry }) =
        event
    else {
        return None;
    };
    let in_vain = failure.class == ErrorClass::Permanent && matches!(retry, Retry::At(_));
    in_vain.then(|| format!("{step} failed for good and is to be tried again: {}", failure.message))
}

impl Stream {
    /// One more event.
    fn take(&mut self, event: &TenantEvent) -> Result<(), String> {
        match event {
            TenantEvent::TenantFinished { outcome, .. } => self.outcome = Some(*outcome),
            TenantEvent::TenantTurned { .. } => self.outcome = None,
            TenantEvent::TenantPlanned { .. } => return Err("planned twice".to_owned()),
            TenantEvent::StepStarted { step, .. }
            | TenantEvent::StepProbed { step, .. }
            | TenantEvent::StepSucceeded { step, .. }
            | TenantEvent::StepFailed { step, .. }
            | TenantEvent::StepSkipped { step, .. }
            | TenantEvent::UndoStarted { step, .. }
            | TenantEvent::UndoSucceeded { step, .. }
            | TenantEvent::UndoFailed { step, .. }
            | TenantEvent::UndoSkipped { step, .. }
            | TenantEvent::TenantResolved { step, .. } => {
                let belief = self.steps.entry(step.clone()).or_default();
                let next = belief.after(event).ok_or_else(|| format!("{event:?} does not follow {belief:?}"))?;
                *belief = next;
                if matches!(event, TenantEvent::TenantResolved { .. }) {
                    self.outcome = None;
                }
            }
        }
        Ok(())
    }

    fn stuck(&self) -> Option<(StepId, Half, bool)> {
        self.steps.iter().find_map(|(step, belief)| match belief {
            Belief::Stuck { half, torn } => Some((step.clone(), *half, *torn)),
            _ => None,
        })
    }
}
