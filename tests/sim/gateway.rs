//! How a simulated process reaches the model databases: messages that take their time, get lost, and go on without who sent them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use windlass::base::limits::PREDECESSOR_TIMEOUT;
use windlass::base::{Code, DeployId, Epoch, StepId, TenantId, Timestamp};
use windlass::engine::{Gateway, OpenSession};
use windlass::fleet::Tenant;
use windlass::release::Migration;
use windlass::saga::event::Half;
use windlass::saga::failure::{ErrorClass, Failure};
use windlass::tenant::{
    Effect, FenceMark, FenceState, InForce, LedgerKey, LedgerRow, Opening, Outcome, SessionError, Survey,
};

use crate::chaos::Chaos;
use crate::database::{Change, Database, Key};
use crate::oracle::{Oracle, Stuck};
use crate::process::Process;
use crate::session::Link;
use crate::world::{Broken, Fault, World};

/// How long an answer is waited for: longer than a statement may take.
const PATIENCE: Duration = Duration::from_secs(31);
/// How often a server looks whether a session that was told to end is gone.
const LOOK: Duration = Duration::from_millis(50);

/// The way of one process to all databases.
pub struct SimGateway {
    pub world: Arc<World>,
    pub process: Arc<Process>,
    pub chaos: Chaos,
}

/// Where a message does its work.
pub struct Site<'a> {
    pub db: &'a mut Database,
    pub now: Timestamp,
    tenant: &'a TenantId,
    oracle: &'a mut Oracle,
    broken: Option<Broken>,
    notes: Vec<String>,
}

impl Site<'_> {
    /// A change that has been committed.
    pub fn changed(&mut self, change: &Change) {
        let count = self.db.things.entry(change.subject.clone()).or_default();
        *count += change.by;
        let count = *count;
        self.notes
            .push(format!("{} {:+} (now {count}), {} {:?}", change.subject, change.by, change.key.1, change.key.2));
        if let Err(broken) = self.oracle.changed(self.tenant, change, count) {
            self.broken.get_or_insert(broken);
        }
    }

    /// Several of them, in order.
    pub fn changed_all(&mut self, changes: &[Change]) {
        for change in changes {
            self.changed(change);
        }
    }

    /// A text has ended its own transaction.
    pub fn tore(&mut self, key: Key) {
        self.notes.push(format!("{} {:?} is torn", key.1, key.2));
        self.oracle.tore(self.tenant, key);
    }

    /// Brings by hand what is missing of a step.
    pub fn complete(&mut self, stuck: &Stuck) {
        for change in self.oracle.complete(self.tenant, stuck) {
            *self.db.things.entry(change.subject.clone()).or_default() += change.by;
            self.notes.push(format!("by hand: {} {:+}", change.subject, change.by));
        }
    }

    /// Takes back by hand what is there of a step.
    pub fn take_back(&mut self, stuck: &Stuck) {
        for change in self.oracle.take_back(self.tenant, stuck) {
            *self.db.things.entry(change.subject.clone()).or_default() -= change.by;
            self.notes.push(format!("by hand: {} {:+}", change.subject, -change.by));
        }
    }

    /// Brings a migration's line in the ledger in line with what is there.
    pub fn write_by_hand(&mut self, deploy: DeployId, migration: &Migration, is_there: bool) {
        let version = migration.version.as_str();
        let told = self.db.in_force().iter().any(|row| row.version == version);
        if told == is_there {
            return;
        }
        let name = migration.label().to_owned();
        self.notes.push(format!("by hand, in the ledger: {name} is in force: {is_there}"));
        if !is_there {
            return self.db.ledger.retain(|row| row.version != version);
        }
        let key = LedgerKey { deploy, step: StepId(format!("hand:{name}")), half: Half::Act };
        let (version, digest, epoch) = (version.to_owned(), migration.digest(), Epoch(0));
        let row = LedgerRow { position: 0, key, version, name, digest, effect: Effect::Apply, epoch, at: Timestamp(0) };
        self.db.write(row, self.now);
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// An error that had no effect.
    pub fn refused(&self, failure: Failure) -> SessionError {
        SessionError { tenant: self.tenant.clone(), failure, outcome: Outcome::NoEffect }
    }
}

/// Set where whoever sent a message is gone.
struct Sender(Arc<AtomicBool>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a message makes the server do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Read, or write a row of ours.
    Row,
    /// A migration's statement, by itself or with a row.
    Statement,
    /// All statements of a migration, which may leave a part of themselves behind.
    Unit,
}

/// What a message is about.
pub struct Message<'a> {
    pub what: String,
    pub tenant: &'a TenantId,
    /// The session that it comes over; none where it asks for one.
    pub session: Option<u64>,
    pub kind: Kind,
}

impl SimGateway {
    fn lost(tenant: &TenantId, session: Option<u64>) -> SessionError {
        let failure = Failure::new(ErrorClass::Transient, Code::TenantUnreachable, "the connection is gone");
        // Whoever could not connect knows that nothing of the step was sent.
        let outcome = if session.is_some() { Outcome::Unknown } else { Outcome::NoEffect };
        SessionError { tenant: tenant.clone(), failure, outcome }
    }

    fn goes_down(&self, tenant: &TenantId, lasts: Duration) {
        at_site(&self.world, &self.process, tenant, |site| {
            let until = site.now.plus(lasts);
            site.db.goes_down(until);
        });
    }

    /// Sends a message, has `work` done with it, and waits for the answer. `work` is done at one moment, or never.
    pub async fn say<T: Send + 'static>(
        &self,
        message: Message<'_>,
        work: impl FnOnce(&mut Site<'_>, bool) -> Result<T, SessionError> + Send + 'static,
    ) -> Result<T, SessionError> {
        let Message { what, tenant, session, kind } = message;
        let (may_tear, works) = (kind == Kind::Unit, kind != Kind::Row);
        self.world.goes_on().await;
        self.process.gate().await;
        let fault = self.chaos.at_tenant(&self.process, may_tear, &format!("{what} at {tenant}")).await;
        match fault {
            Some(fault @ Fault::Refused) => {
                self.world.struck(fault);
                let failure = Failure::new(ErrorClass::Transient, Code::TenantTimeout, "a deadlock was found");
                return Err(SessionError { tenant: tenant.clone(), failure, outcome: Outcome::NoEffect });
            }
            Some(fault @ Fault::Lost) => {
                self.world.struck(fault);
                return Err(Self::lost(tenant, session));
            }
            Some(fault @ Fault::Down(ms)) => {
                if !is_down(&self.world, tenant) {
                    self.world.struck(fault);
                }
                self.goes_down(tenant, Duration::from_millis(ms));
            }
            _ => {}
        }
        if is_down(&self.world, tenant) {
            tokio::time::sleep(self.world.pace()).await;
            return Err(Self::lost(tenant, session));
        }
        if let Some(fault @ (Fault::Slow(_) | Fault::CrashDuring)) = fault {
            self.world.struck(fault);
        }
        let sender = Sender(Arc::default());
        let (answer, answered) = oneshot::channel();
        let handling = Handling {
            world: Arc::clone(&self.world),
            process: Arc::clone(&self.process),
            tenant: tenant.clone(),
            session,
            abandoned: Arc::clone(&sender.0),
            goes_on: self.world.either_way(),
            takes: if let Some(Fault::Slow(ms)) = fault { ms } else { 0 }
                + if works { self.world.scenario.statement_ms } else { 0 },
            tears: fault == Some(Fault::Torn),
        };
        tokio::spawn(async move {
            let world = Arc::clone(&handling.world);
            let done = handling.handle(work).await;
            match (fault, &done) {
                (Some(fault @ Fault::Torn), Some(Err(error))) if error.outcome == Outcome::Torn => world.struck(fault),
                // An answer that was no might as well be lost.
                (Some(fault @ Fault::ReplyLost), Some(Ok(_))) | (Some(fault @ Fault::Hang), _) => world.struck(fault),
                _ => {}
            }
            if fault == Some(Fault::Hang) {
                // Nobody will ever hear of it.
                std::future::pending::<()>().await;
            }
            let _ = answer.send(done);
        });
        if fault == Some(Fault::CrashDuring) {
            self.process.kill();
            std::future::pending::<()>().await;
        }
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        self.process.gate().await;
        drop(sender);
        match (answered, fault) {
            (_, Some(fault @ Fault::CrashAfter)) => {
                self.world.struck(fault);
                self.process.kill();
                std::future::pending().await
            }
            (Ok(Ok(Some(done))), fault) if fault != Some(Fault::ReplyLost) => done,
            _ => Err(Self::lost(tenant, session)),
        }
    }
}

/// Whether a tenant's server is down at this moment.
fn is_down(world: &World, tenant: &TenantId) -> bool {
    let now = windlass::base::Clock::now(&*world.clock);
    world.inner().databases.get(tenant).is_some_and(|db| db.down_until > now)
}

/// A message on the server's side.
struct Handling {
    world: Arc<World>,
    process: Arc<Process>,
    tenant: TenantId,
    session: Option<u64>,
    abandoned: Arc<AtomicBool>,
    /// Whether the server goes on with it when its client is gone.
    goes_on: bool,
    /// Milliseconds.
    takes: u64,
    tears: bool,
}

impl Handling {
    /// None where nothing was done and nobody is told.
    async fn handle<T>(
        self,
        work: impl FnOnce(&mut Site<'_>, bool) -> Result<T, SessionError>,
    ) -> Option<Result<T, SessionError>> {
        tokio::time::sleep(self.world.pace()).await;
        if self.is_given_up() || !self.arrives() {
            return None;
        }
        tokio::time::sleep(self.world.pace() + Duration::from_millis(self.takes)).await;
        if !self.may_commit() {
            return None;
        }
        let done = self.at_site(|site| work(site, self.tears));
        tokio::time::sleep(self.world.pace()).await;
        Some(done)
    }

    fn is_given_up(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst) && !self.goes_on
    }

    fn arrives(&self) -> bool {
        if is_down(&self.world, &self.tenant) {
            return false;
        }
        let Some(session) = self.session else { return true };
        let mut inner = self.world.inner();
        let db = inner.databases.get_mut(&self.tenant).expect("a tenant's database");
        match db.connected.get_mut(&session) {
            Some(connected) if !connected.ended => {
                connected.busy += 1;
                true
            }
            _ => false,
        }
    }

    fn may_commit(&self) -> bool {
        let given_up = self.is_given_up();
        let Some(session) = self.session else { return !given_up && !is_down(&self.world, &self.tenant) };
        let mut inner = self.world.inner();
        let db = inner.databases.get_mut(&self.tenant).expect("a tenant's database");
        let Some(connected) = db.connected.get_mut(&session) else { return false };
        connected.busy -= 1;
        !given_up && (!connected.ended || connected.stubborn)
    }

    fn at_site<T>(&self, work: impl FnOnce(&mut Site<'_>) -> T) -> T {
        at_site(&self.world, &self.process, &self.tenant, work)
    }
}

/// Does something in a database, at this moment.
pub fn at_site<T>(world: &World, process: &Process, tenant: &TenantId, work: impl FnOnce(&mut Site<'_>) -> T) -> T {
    let now = windlass::base::Clock::now(&*world.clock);
    let (done, broken, notes) = {
        let inner = &mut *world.inner();
        let db = inner.databases.get_mut(tenant).expect("a tenant's database");
        let mut site = Site { db, now, tenant, oracle: &mut inner.oracle, broken: None, notes: Vec::new() };
        let done = work(&mut site);
        (done, site.broken, site.notes)
    };
    for note in notes {
        world.tell(process, || format!("at {tenant}: {note}"));
    }
    world.judge(broken.map_or(Ok(()), Err));
    done
}

/// What an opening reads.
pub struct Opened {
    pub session: u64,
    pub fence: FenceState,
    pub ledger: Vec<LedgerRow>,
}

/// Raises the fence and tells all earlier sessions to end.
fn raise(site: &mut Site<'_>, opening: &Opening, stubborn: bool) -> Result<u64, SessionError> {
    let held = site.db.fence.as_ref();
    if let Some(held) = held.filter(|held| held.epoch > opening.epoch) {
        return Err(SessionError::fenced(&opening.tenant, opening.epoch, held.epoch));
    }
    let state = held.filter(|held| held.deploy == opening.deploy).map_or(FenceState::Open, |held| held.state);
    let Opening { epoch, log, deploy, tenants, .. } = opening.clone();
    site.db.fence = Some(FenceMark { epoch, log, deploy, tenants, state });
    let session = site.db.connect(epoch, stubborn);
    site.db.end_others(session, epoch);
    site.note(format!("session {session} of epoch {epoch} opened"));
    Ok(session)
}

/// Waits until they have ended.
async fn see_gone(world: &World, tenant: &TenantId, session: u64, opening: &Opening) -> Result<(), SessionError> {
    let mut waited = Duration::ZERO;
    loop {
        let alive = world.inner().databases.get(tenant).is_some_and(|db| db.others_at_work(session, opening.epoch));
        if !alive {
            return Ok(());
        }
        if waited.is_zero() {
            world.met("a successor waits for an earlier session");
        }
        if waited >= PREDECESSOR_TIMEOUT {
            let (class, code) = (ErrorClass::Transient, Code::PredecessorAlive);
            return Err(SessionError::no_effect(tenant, class, code, "an earlier session is still at work"));
        }
        waited += LOOK;
        tokio::time::sleep(LOOK).await;
    }
}

#[async_trait]
impl Gateway for SimGateway {
    async fn survey(&self, tenant: &Tenant) -> Result<Survey, SessionError> {
        let id = tenant.id.clone();
        let message = Message { what: "survey".to_owned(), tenant: &tenant.id, session: None, kind: Kind::Row };
        let look = move |site: &mut Site<'_>, _| {
            let in_force = site.db.in_force().into_iter().map(in_force).collect();
            let fence = site.db.fence.clone();
            Ok(Survey { server: "Model 1".to_owned(), identity: format!("model:{id}"), in_force, fence })
        };
        self.say(message, look).await
    }

    async fn open(&self, tenant: &Tenant, opening: &Opening) -> Result<OpenSession, SessionError> {
        let id = &tenant.id;
        let (asked, stubborn) = (opening.clone(), self.world.either_way());
        let message = Message { what: "open".to_owned(), tenant: id, session: None, kind: Kind::Row };
        let raised = self.say(message, move |site, _| raise(site, &asked, stubborn)).await;
        if raised.as_ref().is_err_and(|error| error.failure.code == Code::TenantFenced) {
            self.world.met("a session under an epoch that is over");
        }
        let session = raised?;
        see_gone(&self.world, id, session, opening).await?;
        let message = Message { what: "ledger".to_owned(), tenant: id, session: Some(session), kind: Kind::Row };
        let read = move |site: &mut Site<'_>, _| {
            let fence = site.db.fence.as_ref().map_or(FenceState::Open, |fence| fence.state);
            Ok(Opened { session, fence, ledger: site.db.ledger.clone() })
        };
        let opened = self.say(message, read).await.map_err(|error| SessionError {
            // Nothing of a step was sent.
            outcome: Outcome::NoEffect,
            ..error
        })?;
        let gateway =
            Self { world: Arc::clone(&self.world), process: Arc::clone(&self.process), chaos: self.chaos.clone() };
        Ok(OpenSession { session: Box::new(Link::new(gateway, opening.clone(), opened)), permit: None })
    }
}

pub fn in_force(row: &LedgerRow) -> InForce {
    InForce { version: row.version.clone(), name: row.name.clone(), digest: row.digest, deploy: row.key.deploy }
}
