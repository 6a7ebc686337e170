//! A log to try things on, with a clock that stands still, and the shortest words for what is done to it.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use windlass::base::time::ManualClock;
use windlass::base::{DeployId, Digest, Epoch, Seq, TenantId, Timestamp, WorkerId};
use windlass::log::{
    Append, AppendError, Blob, Claim, LeaseAfter, Log, MemoryLog, NewDeploy, NewTenant, SqliteLog, TenantQuery,
    TenantRecord,
};
use windlass::saga::event::{
    Actor, Cause, DeployEvent, DeployOutcome, Direction, Event, Previous, StreamId, TenantEvent, TenantOutcome, Trigger,
};
use windlass::saga::summary::{Place, TenantStatus, TenantSummary};

pub const LEASE: Duration = Duration::from_secs(15);
pub const START: Timestamp = Timestamp(1_800_000_000_000);

/// A fresh log and the clock it reads. What it needs to live is kept with it.
pub struct Bench {
    pub log: Arc<dyn Log>,
    pub clock: Arc<ManualClock>,
    _keep: Box<dyn Any + Send + Sync>,
}

pub fn memory() -> Bench {
    let clock = Arc::new(ManualClock::at(START));
    Bench { log: Arc::new(MemoryLog::new(clock.clone())), clock, _keep: Box::new(()) }
}

pub async fn sqlite() -> Bench {
    let (folder, path) = folder();
    let clock = Arc::new(ManualClock::at(START));
    let log = SqliteLog::open(path, clock.clone()).await.unwrap();
    Bench { log: Arc::new(log), clock, _keep: Box::new(folder) }
}

/// The same, with the desk in the same file.
pub async fn desk() -> (Bench, Arc<SqliteLog>) {
    let (folder, path) = folder();
    let clock = Arc::new(ManualClock::at(START));
    let log = Arc::new(SqliteLog::open(path, clock.clone()).await.unwrap());
    (Bench { log: Arc::clone(&log) as Arc<dyn Log>, clock, _keep: Box::new(folder) }, log)
}

/// A temporary folder, and the path of a log in it that is not there yet.
pub fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("windlass.db");
    (folder, path)
}

pub fn worker(name: &str) -> WorkerId {
    WorkerId::from(name)
}

pub fn tenant_id(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub fn summary(status: TenantStatus, stage: u32, wave: u32) -> TenantSummary {
    TenantSummary { status, stage, wave, step: None, ready_at: None, code: None, message: None }
}

pub fn actor() -> Actor {
    Actor { name: "ada".into(), host: "ci-1".into() }
}

pub fn planned() -> TenantEvent {
    TenantEvent::TenantPlanned { plan: digest("plan"), waves: vec![0], from: None }
}

pub fn started() -> TenantEvent {
    TenantEvent::StepStarted { step: "migrate".into(), attempt: windlass::base::Attempt(1) }
}

pub fn succeeded() -> TenantEvent {
    TenantEvent::StepSucceeded { step: "migrate".into(), evidence: windlass::saga::event::Evidence::default() }
}

pub fn turned() -> TenantEvent {
    TenantEvent::TenantTurned { cause: Cause::DeployTurned }
}

pub fn ended(outcome: TenantOutcome) -> TenantEvent {
    TenantEvent::TenantFinished { outcome, reason: "because".into(), code: None }
}

pub fn unwind() -> DeployEvent {
    DeployEvent::DirectionSet {
        direction: Direction::Unwind,
        cause: Cause::Operator { actor: actor(), reason: "second thoughts".into() },
    }
}

pub fn paused() -> DeployEvent {
    DeployEvent::DeployPaused { actor: actor(), reason: "lunch".into() }
}

pub fn resumed() -> DeployEvent {
    DeployEvent::DeployResumed { actor: actor() }
}

pub fn finished() -> DeployEvent {
    DeployEvent::DeployFinished { outcome: DeployOutcome::Completed, account: std::collections::BTreeMap::new() }
}

pub fn new_tenant(name: &str) -> NewTenant {
    NewTenant {
        id: tenant_id(name),
        spec: format!("{{\"id\":\"{name}\"}}"),
        target: digest("target"),
        epoch: Epoch(0),
        events: vec![planned()],
        summary: summary(TenantStatus::Pending, 0, 0),
        place: Place::Unchanged,
    }
}

/// A pending tenant whose next step lies in this stage and wave.
pub fn tenant_at(name: &str, stage: u32, wave: u32) -> NewTenant {
    NewTenant { summary: summary(TenantStatus::Pending, stage, wave), ..new_tenant(name) }
}

pub fn new_deploy(fleet: &str, tenants: Vec<NewTenant>) -> NewDeploy {
    let created = DeployEvent::DeployCreated {
        release: digest("release"),
        release_name: "r1".into(),
        workflow: digest("workflow"),
        workflow_name: "all-or-nothing".into(),
        tenants: digest("tenants"),
        tenant_count: tenants.len() as u64,
        changing: 0,
        fleet: fleet.into(),
        waves: vec![1],
        trigger: Box::new(Trigger::Command),
        actor: actor(),
        previous: None,
        overrides: None,
    };
    let blobs = vec![Blob::new(b"release".to_vec()), Blob::new(b"plan".to_vec())];
    NewDeploy { id: DeployId::fresh(), fleet: fleet.into(), created, blobs, tenants, by: worker("creator") }
}

/// An append to a tenant's stream by the holder of a claim.
pub fn append_for(claim: &Claim, expect: u64, event: TenantEvent, status: TenantStatus) -> Append {
    Append {
        stream: claim.stream.clone(),
        expect: Seq(expect),
        epoch: claim.epoch,
        events: vec![event.into()],
        summary: Some(summary(status, 0, 0)),
        place: Place::Unchanged,
        lease: LeaseAfter::Keep,
        by: worker("a"),
    }
}

pub fn append_to_deploy(deploy: DeployId, expect: u64, event: DeployEvent) -> Append {
    Append {
        stream: StreamId::deploy(deploy),
        expect: Seq(expect),
        epoch: Epoch(0),
        events: vec![Event::Deploy(event)],
        summary: None,
        place: Place::Unchanged,
        lease: LeaseAfter::Keep,
        by: worker("coordinator"),
    }
}

impl Bench {
    /// A deploy of fleet `f` with pending tenants, its first wave open.
    pub async fn open(&self, tenants: &[&str]) -> DeployId {
        let deploy = self.create("f", tenants.iter().copied().map(new_tenant).collect()).await;
        self.open_wave(deploy, 0, 0).await;
        deploy
    }

    pub async fn create(&self, fleet: &str, tenants: Vec<NewTenant>) -> DeployId {
        let new = self.after_newest(new_deploy(fleet, tenants)).await;
        let id = new.id;
        self.log.create_deploy(new).await.unwrap();
        id
    }

    /// The same deploy, planned after the fleet's newest one.
    pub async fn after_newest(&self, mut new: NewDeploy) -> NewDeploy {
        let newest = self.log.deploys(Some(&new.fleet), 1).await.unwrap().pop();
        if let DeployEvent::DeployCreated { previous, .. } = &mut new.created {
            *previous = newest.map(|row| Box::new(Previous { deploy: row.id, seal: row.summary.seal }));
        }
        new
    }

    pub async fn open_wave(&self, deploy: DeployId, stage: u32, wave: u32) {
        self.deploy_event(deploy, DeployEvent::WaveOpened { stage, wave }).await;
    }

    /// Appends to the deploy's own stream, wherever it stands.
    pub async fn deploy_event(&self, deploy: DeployId, event: DeployEvent) {
        let row = self.log.deploy(deploy).await.unwrap();
        self.log.append(append_to_deploy(deploy, row.last_seq.0, event)).await.unwrap();
    }

    pub async fn claim(&self, deploy: DeployId, name: &str, limit: usize) -> Vec<Claim> {
        self.log.claim(deploy, &worker(name), limit, LEASE).await.unwrap().tenants
    }

    /// The names that a claim hands out.
    pub async fn claimed(&self, deploy: DeployId, name: &str, limit: usize) -> Vec<String> {
        self.claim(deploy, name, limit).await.into_iter().map(|claim| claim.tenant.to_string()).collect()
    }

    pub async fn take(&self, deploy: DeployId, name: &str, tenant: &str) -> Claim {
        let stream = StreamId::tenant(deploy, tenant_id(tenant));
        self.log.claim_one(&stream, &worker(name), LEASE).await.unwrap().unwrap()
    }

    /// Claims a tenant, writes one event and the status it leads to, and lets go.
    pub async fn settle(&self, deploy: DeployId, tenant: &str, event: TenantEvent, status: TenantStatus) {
        let claim = self.take(deploy, "settler", tenant).await;
        let append = append_for(&claim, claim.events.len() as u64, event, status);
        self.log.append(Append { lease: LeaseAfter::Release, ..append }).await.unwrap();
    }

    pub async fn length(&self, stream: &StreamId) -> u64 {
        self.log.read(stream).await.unwrap().len() as u64
    }

    pub async fn record(&self, fleet: &str, tenant: &str) -> TenantRecord {
        self.log.records(fleet).await.unwrap().remove(&tenant_id(tenant)).unwrap()
    }

    pub async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        self.log.append(append).await
    }
}

pub fn all() -> TenantQuery {
    TenantQuery { limit: 1_000, ..TenantQuery::default() }
}

pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.collect()
}
