//! A deploy in one process: a log in memory, tenants in SQLite files, and a gateway that can make a session say what a real server
//! says only in the rarest of hours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};
use tokio::sync::watch;
use windlass::base::{DeployId, SystemClock, TenantId, WorkerId};
use windlass::engine::{
    Ending, Engine, EngineError, Gateway, OutOfOrder, Prepared, RealGateway, Request, Settings, Stop, SurveyMode, Word,
    prepare,
};
use windlass::fleet::{Entry, SecretResolver, ServerBudgets, Source, SourceUrl, Variables};
use windlass::log::{Log, MemoryLog, TenantQuery};
use windlass::release::load;
use windlass::saga::event::{Actor, Event, StreamId, TenantEvent, Trigger};
use windlass::saga::summary::TenantSummary;
use windlass::saga::workflow::Workflow;
use windlass::step::Kinds;
use windlass::tenant::{Opening, SessionError, Unit};
use windlass::testing::{Between, Call, Go, WatchedGateway};

/// Decides what a unit's end looks like; `None` lets the real session run it.
pub type OnApply = dyn Fn(&TenantId, &Unit) -> Option<SessionError> + Send + Sync;
/// Decides whether a session can be opened.
pub type OnOpen = dyn Fn(&Opening) -> Option<SessionError> + Send + Sync;

/// Asks them.
#[derive(Default)]
pub struct Deciding {
    applying: Mutex<Option<Arc<OnApply>>>,
    opening: Mutex<Option<Arc<OnOpen>>>,
    /// Decides what is heard of a unit that the real session has run.
    applied: Mutex<Option<Arc<OnApply>>>,
}

#[async_trait]
impl Between for Deciding {
    async fn opening(&self, opening: &Opening) -> Result<(), SessionError> {
        let on_open = self.opening.lock().unwrap().clone();
        on_open.and_then(|decide| decide(opening)).map_or(Ok(()), Err)
    }

    async fn before(&self, tenant: &TenantId, call: &Call<'_>) -> Result<Go, SessionError> {
        let Call::Apply(unit) = call else { return Ok(Go::Ahead) };
        let on_apply = self.applying.lock().unwrap().clone();
        on_apply.and_then(|decide| decide(tenant, unit)).map_or(Ok(Go::Ahead), Err)
    }

    async fn after(&self, tenant: &TenantId, call: &Call<'_>) -> Result<(), SessionError> {
        let Call::Apply(unit) = call else { return Ok(()) };
        let on_applied = self.applied.lock().unwrap().clone();
        on_applied.and_then(|decide| decide(tenant, unit)).map_or(Ok(()), Err)
    }
}

pub const WORKFLOW: &str = r#"
name = "t"
[on_failure]
then = "unwind"
retry = { attempts = 2, first = "1ms", max = "2ms" }
[[stage]]
name = "one"
  [[stage.step]]
  id = "preflight"
  uses = "preflight"
  [[stage.step]]
  id = "migrate"
  uses = "migrate"
  needs = ["preflight"]
  [[stage.step]]
  id = "switch"
  uses = "switch"
  needs = ["migrate"]
"#;

/// A project: a folder of migrations, tenants, a log.
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub log: Arc<dyn Log>,
    pub gateway: Arc<dyn Gateway>,
    deciding: Arc<Deciding>,
    pub workflow: String,
    pub kinds: Kinds,
    names: Vec<&'static str>,
}

impl Rig {
    /// Tenants of these names, and migrations of these texts: `(up, down)`; without a down, irreversible.
    pub fn new(names: &[&'static str], migrations: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("migrations")).unwrap();
        for name in names {
            std::fs::write(dir.path().join(format!("{name}.db")), b"").unwrap();
        }
        let resolver = SecretResolver::new(Variables::Process);
        let real = RealGateway::new(resolver, Arc::new(ServerBudgets::new(8, [])));
        let deciding = Arc::new(Deciding::default());
        let gateway = Arc::new(WatchedGateway::new(real, Arc::clone(&deciding) as Arc<dyn Between>));
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        let rig = Self {
            dir,
            log,
            gateway,
            deciding,
            workflow: WORKFLOW.to_owned(),
            kinds: Kinds::default(),
            names: names.to_vec(),
        };
        for (number, (up, down)) in (1..).zip(migrations) {
            rig.migration(number, up, down);
        }
        rig
    }

    pub fn migration(&self, number: u32, up: &str, down: &str) {
        let of = |kind: &str| self.dir.path().join(format!("migrations/{number:04}_m.{kind}.sql"));
        if down.is_empty() {
            std::fs::write(of("up"), format!("-- windlass: irreversible\n{up}")).unwrap();
        } else {
            std::fs::write(of("up"), up).unwrap();
            std::fs::write(of("down"), down).unwrap();
        }
    }

    pub async fn request(&self) -> Request {
        let entry = |name: &&str| Entry {
            id: TenantId::new(*name).unwrap(),
            url: SourceUrl::from(format!("sqlite://{}/{name}.db", self.dir.path().display()).as_str()),
            schema: None,
            labels: BTreeMap::new(),
        };
        let source = Source::List(self.names.iter().map(entry).collect());
        Request {
            fleet: "shop".to_owned(),
            release: load(&self.dir.path().join("migrations"), None).unwrap(),
            workflow: Workflow::parse("t.toml", &self.workflow).unwrap(),
            workflow_text: self.workflow.clone(),
            tenants: source.read(&SecretResolver::new(Variables::Process), self.dir.path()).await.unwrap(),
            whole_fleet: true,
            survey: SurveyMode::Unknown,
            out_of_order: OutOfOrder::Refuse,
            disowned: BTreeSet::new(),
            new_databases: BTreeSet::new(),
            concurrency: 4,
            kinds: self.kinds.clone(),
        }
    }

    pub async fn prepare(&self) -> Result<Prepared, EngineError> {
        prepare(&*self.log, &*self.gateway, self.request().await).await
    }

    pub async fn create(&self) -> DeployId {
        let prepared = self.prepare().await.unwrap();
        self.create_from(prepared, Trigger::Command).await
    }

    pub async fn create_from(&self, prepared: Prepared, trigger: Trigger) -> DeployId {
        let id = DeployId::fresh();
        let Word { actor, by, .. } = word("");
        self.log.create_deploy(prepared.into_new_deploy(id, trigger, actor, by).unwrap()).await.unwrap();
        id
    }

    pub fn engine(&self, worker: &str) -> Engine {
        let gateway = Arc::clone(&self.gateway);
        let settings = Settings { concurrency: 4, lease: Duration::from_secs(30) };
        Engine::new(Arc::clone(&self.log), gateway, WorkerId(worker.to_owned()), settings).knowing(self.kinds.clone())
    }

    pub async fn run(&self, deploy: DeployId) -> Ending {
        let (_keep, stop) = watch::channel(Stop::Run);
        let run = self.engine("w");
        tokio::time::timeout(Duration::from_mins(1), run.run(deploy, stop)).await.unwrap().unwrap()
    }

    pub async fn deploy(&self) -> (DeployId, Ending) {
        let deploy = self.create().await;
        (deploy, self.run(deploy).await)
    }

    /// Where a tenant stands.
    pub async fn at(&self, deploy: DeployId, tenant: &str) -> TenantSummary {
        let query = TenantQuery { statuses: Vec::new(), after: None, limit: usize::MAX };
        let rows = self.log.tenants(deploy, &query).await.unwrap();
        rows.into_iter().find(|row| row.tenant.as_str() == tenant).unwrap().summary
    }

    pub async fn events(&self, deploy: DeployId, tenant: &str) -> Vec<TenantEvent> {
        let stream = StreamId::tenant(deploy, TenantId::new(tenant).unwrap());
        let own = |event| if let Event::Tenant(event) = event { Some(event) } else { None };
        self.log.read(&stream).await.unwrap().into_iter().filter_map(|recorded| own(recorded.event)).collect()
    }

    /// Runs SQL in a tenant's file; the first column of the rows.
    pub async fn sql(&self, tenant: &str, sql: &'static str) -> Vec<String> {
        let file = SqliteConnectOptions::new().filename(self.dir.path().join(format!("{tenant}.db")));
        let mut connection = file.connect().await.unwrap();
        let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub fn on_apply(&self, decide: impl Fn(&TenantId, &Unit) -> Option<SessionError> + Send + Sync + 'static) {
        *self.deciding.applying.lock().unwrap() = Some(Arc::new(decide));
    }

    pub fn on_applied(&self, decide: impl Fn(&TenantId, &Unit) -> Option<SessionError> + Send + Sync + 'static) {
        *self.deciding.applied.lock().unwrap() = Some(Arc::new(decide));
    }

    pub fn on_open(&self, decide: impl Fn(&Opening) -> Option<SessionError> + Send + Sync + 'static) {
        *self.deciding.opening.lock().unwrap() = Some(Arc::new(decide));
    }
}

pub fn word(reason: &str) -> Word {
    let actor = Actor { name: "tester".to_owned(), host: "here".to_owned() };
    Word { actor, by: WorkerId("operator".to_owned()), reason: reason.to_owned() }
}
