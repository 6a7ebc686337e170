//! The engine within one process: what the real binary cannot be made to show, or not often enough. SQLite tenants, an SQLite log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use windlass::audit;
use windlass::base::{Code, Coded as _, DeployId, SystemClock, WorkerId};
use windlass::config::Config;
use windlass::engine::{
    self, Ending, Engine, EngineError, Gateway, OpenSession, OutOfOrder, RealGateway, Request, Settings, Stop,
    SurveyMode, Word,
};
use windlass::fleet::Tenant;
use windlass::log::{Log, SqliteLog};
use windlass::release::load;
use windlass::saga::event::{Actor, DeployOutcome, Trigger};
use windlass::saga::summary::TenantStatus;
use windlass::step::Kinds;
use windlass::tenant::{Opening, SessionError, Survey};

use crate::support::project::Project;

const TENANTS: usize = 12;

/// A fleet, its log, and a deploy in it that nobody drives yet.
struct Scene {
    project: Project,
    config: Config,
    log: Arc<dyn Log>,
    deploy: DeployId,
}

/// Whether all tenants can take the release.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fleet {
    Sound,
    OneFails,
}

impl Scene {
    async fn new(fleet: Fleet) -> Self {
        let project = Project::new();
        project.write(
            "windlass.toml",
            "name = \"shop\"\n[fleet]\nsource = { glob = \"tenants/*.db\" }\n[deploy]\nconcurrency = 4\n",
        );
        project.write(
            "migrations/0001_count.up.sql",
            "CREATE TABLE count (n INTEGER NOT NULL); INSERT INTO count VALUES (0);",
        );
        project.write("migrations/0001_count.down.sql", "DROP TABLE count;");
        project.write(
            "migrations/0002_one.up.sql",
            "UPDATE count SET n = n + 1; CREATE UNIQUE INDEX mail ON person (mail);",
        );
        project.write("migrations/0002_one.down.sql", "DROP INDEX mail; UPDATE count SET n = n - 1;");
        for at in 0..TENANTS {
            let doubled = fleet == Fleet::OneFails && at == 7;
            let second = if doubled { "a@x" } else { "b@x" };
            let sql = format!("CREATE TABLE person (mail TEXT); INSERT INTO person VALUES ('a@x'), ('{second}')");
            project.sql(&format!("tenants/t{at:02}.db"), &sql).await.unwrap();
        }
        let config = Config::find(Some(&project.at("windlass.toml"))).unwrap();
        let log = SqliteLog::open(project.at("windlass.db"), Arc::new(SystemClock)).await.unwrap();
        let mut scene = Self { project, config, log: Arc::new(log), deploy: DeployId::fresh() };
        scene.create().await;
        scene
    }

    async fn create(&mut self) {
        let found = self.config.workflow("all-or-nothing").unwrap();
        let request = Request {
            fleet: "shop".to_owned(),
            release: load(&self.project.at("migrations"), None).unwrap(),
            workflow: found.workflow,
            workflow_text: found.text,
            tenants: self.config.source.read(&self.config.resolver(), &self.config.base_dir).await.unwrap(),
            whole_fleet: true,
            survey: SurveyMode::All,
            out_of_order: OutOfOrder::Refuse,
            disowned: std::collections::BTreeSet::new(),
            new_databases: std::collections::BTreeSet::new(),
            concurrency: 4,
            kinds: Kinds::default(),
        };
        let prepared = engine::prepare(&*self.log, &*self.gateway(), request).await.unwrap();
        let new = prepared.into_new_deploy(self.deploy, Trigger::Command, actor(), worker("creator")).unwrap();
        self.log.create_deploy(new).await.unwrap();
    }

    fn gateway(&self) -> Arc<RealGateway> {
        Arc::new(RealGateway::new(self.config.resolver(), Arc::new(self.config.budgets())))
    }

    fn engine(&self, name: &str, gateway: Arc<dyn Gateway>) -> Engine {
        Engine::new(Arc::clone(&self.log), gateway, worker(name), settings())
    }

    /// An engine of a process of its own: with a handle of its own on the log.
    async fn elsewhere(&self, name: &str) -> Engine {
        let log = SqliteLog::open_existing(self.project.at("windlass.db"), Arc::new(SystemClock)).await.unwrap();
        Engine::new(Arc::new(log), self.gateway(), worker(name), settings())
    }

    /// Every tenant stands as `n` says (`None`: the table is not there), and the log proves it.
    async fn ends_with(&self, n: Option<i64>) {
        for at in 0..TENANTS {
            let path = format!("tenants/t{at:02}.db");
            let found = self.project.sql(&path, "SELECT n FROM count").await.ok();
            assert_eq!(found, n.map(|n| vec![n.to_string()]), "tenant {at}");
        }
        let found = audit::verify(&*self.log, self.deploy, &[]).await.unwrap();
        assert!(found.findings.is_empty(), "{:?}", found.findings);
        assert!(self.log.holders(self.deploy).await.unwrap().is_empty(), "a lease is left");
    }
}

fn settings() -> Settings {
    Settings { concurrency: 4, ..Settings::default() }
}

fn worker(name: &str) -> WorkerId {
    WorkerId(format!("test/{name}/1/1"))
}

fn actor() -> Actor {
    Actor { name: "tester".to_owned(), host: "here".to_owned() }
}

fn never() -> (watch::Sender<Stop>, watch::Receiver<Stop>) {
    watch::channel(Stop::Run)
}

/// Panics where a tenant is opened, so many times.
struct Panics {
    real: Arc<RealGateway>,
    left: AtomicUsize,
}

#[async_trait]
impl Gateway for Panics {
    async fn survey(&self, tenant: &Tenant) -> Result<Survey, SessionError> {
        self.real.survey(tenant).await
    }

    async fn open(&self, tenant: &Tenant, opening: &Opening) -> Result<OpenSession, SessionError> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "a defect, planted by the test");
        self.real.open(tenant, opening).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_panics_gives_its_tenant_back_and_the_deploy_goes_on() {
    let scene = Scene::new(Fleet::Sound).await;
    let gateway = Arc::new(Panics { real: scene.gateway(), left: AtomicUsize::new(1) });
    let (_tell, stop) = never();
    let ending = scene.engine("w", gateway).run(scene.deploy, stop).await.unwrap();
    assert_eq!(ending, Ending::Finished(DeployOutcome::Completed));
    scene.ends_with(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_that_comes_back_stops_the_engine_and_leaves_a_deploy_that_another_ends() {
    let scene = Scene::new(Fleet::Sound).await;
    let gateway = Arc::new(Panics { real: scene.gateway(), left: AtomicUsize::new(usize::MAX) });
    let (_tell, stop) = never();
    let error = scene.engine("w", gateway).run(scene.deploy, stop.clone()).await.unwrap_err();
    assert!(matches!(error, EngineError::DriverPanicked { .. }), "{error}");
    assert_eq!(error.code(), Code::Defect);
    assert!(scene.log.holders(scene.deploy).await.unwrap().is_empty(), "a lease is left");
    let ending = scene.engine("v", scene.gateway()).run(scene.deploy, stop).await.unwrap();
    assert_eq!(ending, Ending::Finished(DeployOutcome::Completed));
    scene.ends_with(Some(1)).await;
}

/// Two processes that drive one deploy decide the same things at the same moments: the turn, the end, the seal. Exactly one of
/// each is written, and both come to the same end.
#[tokio::test(flavor = "multi_thread")]
async fn two_engines_bring_one_deploy_to_one_end() {
    for (fleet, outcome, n) in
        [(Fleet::Sound, DeployOutcome::Completed, Some(1)), (Fleet::OneFails, DeployOutcome::Unwound, None)]
    {
        for _ in 0..6 {
            let scene = Scene::new(fleet).await;
            let (_tell, stop) = never();
            let (one, two) = (scene.elsewhere("one").await, scene.elsewhere("two").await);
            let (one, two) = tokio::join!(one.run(scene.deploy, stop.clone()), two.run(scene.deploy, stop));
            assert_eq!(one.unwrap(), Ending::Finished(outcome));
            assert_eq!(two.unwrap(), Ending::Finished(outcome));
            scene.ends_with(n).await;
        }
    }
}

/// Lets a tenant be opened only when it is told to.
struct Held {
    real: Arc<RealGateway>,
    doors: Semaphore,
    opened: AtomicUsize,
    waiting: Semaphore,
}

#[async_trait]
impl Gateway for Held {
    async fn survey(&self, tenant: &Tenant) -> Result<Survey, SessionError> {
        self.real.survey(tenant).await
    }

    async fn open(&self, tenant: &Tenant, opening: &Opening) -> Result<OpenSession, SessionError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        self.waiting.add_permits(1);
        self.doors.acquire().await.unwrap().forget();
        self.real.open(tenant, opening).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwind_asked_for_elsewhere_is_followed_without_opening_tenants_again_and_again() {
    let scene = Scene::new(Fleet::Sound).await;
    let held = Arc::new(Held {
        real: scene.gateway(),
        doors: Semaphore::new(0),
        opened: AtomicUsize::new(0),
        waiting: Semaphore::new(0),
    });
    let (_tell, stop) = never();
    let engine = scene.engine("w", held.clone());
    let deploy = scene.deploy;
    let running = tokio::spawn(async move { engine.run(deploy, stop).await });
    held.waiting.acquire_many(4).await.unwrap().forget();
    let word = Word { actor: actor(), by: worker("operator"), reason: "second thoughts".to_owned() };
    let other = SqliteLog::open_existing(scene.project.at("windlass.db"), Arc::new(SystemClock)).await.unwrap();
    assert!(engine::turn(&other, deploy, &word).await.unwrap());
    held.doors.add_permits(1_000);
    let ending = tokio::time::timeout(Duration::from_mins(1), running).await.unwrap().unwrap().unwrap();
    assert_eq!(ending, Ending::Finished(DeployOutcome::Unwound));
    scene.ends_with(None).await;
    let census = scene.log.census(deploy).await.unwrap();
    assert_eq!(census.count(TenantStatus::Unwound) + census.count(TenantStatus::Untouched), TENANTS as u64);
    assert!(census.count(TenantStatus::Untouched) >= 8, "forward steps were started after the turn: {census:?}");
    assert_eq!(held.opened.load(Ordering::SeqCst), 4, "only those that were under way are opened, and once");
}

/// Ctrl-C twice, and then the same process goes on: what it held under its own name is free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_engine_holds_nothing_and_the_same_worker_can_go_on() {
    let scene = Scene::new(Fleet::Sound).await;
    let held = Arc::new(Held {
        real: scene.gateway(),
        doors: Semaphore::new(0),
        opened: AtomicUsize::new(0),
        waiting: Semaphore::new(0),
    });
    let (tell, stop) = never();
    let engine = scene.engine("w", held.clone());
    let deploy = scene.deploy;
    let running = tokio::spawn(async move { engine.run(deploy, stop).await });
    held.waiting.acquire_many(4).await.unwrap().forget();
    tell.send(Stop::Now).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Ending::Stopped);
    assert!(scene.log.holders(deploy).await.unwrap().is_empty(), "a lease is left");
    let (_tell, stop) = never();
    let ending = scene.engine("w", scene.gateway()).run(deploy, stop).await.unwrap();
    assert_eq!(ending, Ending::Finished(DeployOutcome::Completed));
    scene.ends_with(Some(1)).await;
}
