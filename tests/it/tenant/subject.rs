//! A tenant to be tested upon, whatever its engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use windlass::base::{DeployId, Digest, Epoch, LogId, StepId, SystemClock, TenantId, WorkerId};
use windlass::fleet::{Entry, FleetError, RereadSource, SecretResolver, Source, SourceUrl, Variables};
use windlass::saga::event::Half;
use windlass::tenant::{
    Conn, Effect, FenceState, ForeignKeys, LedgerKey, Opening, Session, SessionError, SetsSession, Survey, Surveying,
    Unit, open, survey,
};

use crate::support::postgres::{Db, shared};

/// The kinds of tenants there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    PostgresDatabase,
    PostgresSchema,
    Sqlite,
}

/// What holds the data.
pub enum Store {
    Postgres(Db),
    Sqlite(tempfile::TempDir),
}

/// The way to a tenant, as a fleet's source would give it.
pub async fn conn_to(tenant: &str, url: &str, schema: Option<&str>) -> Conn {
    try_conn_to(tenant, url, schema).await.unwrap()
}

/// The same, where the URL may be refused.
pub async fn try_conn_to(tenant: &str, url: &str, schema: Option<&str>) -> Result<Conn, FleetError> {
    let id = TenantId::new(tenant).unwrap();
    let (url, schema, labels) = (SourceUrl::from(url), schema.map(str::to_owned), BTreeMap::new());
    let source = Source::List(vec![Entry { id: id.clone(), url, schema, labels }]);
    let plain = SecretResolver::new(Variables::Process);
    let dir = std::path::Path::new("/").to_owned();
    let tenant = source.read(&plain, &dir).await?.remove(0);
    let source = RereadSource::new(source, plain.clone(), dir, Arc::new(SystemClock));
    Ok(Conn::new(id, plain.with_source(Arc::new(source)).resolve(&tenant).await?))
}

/// A tenant of a test's own, and the deploy that works on it.
pub struct Subject {
    pub kind: Kind,
    pub store: Store,
    pub conn: Conn,
    pub deploy: DeployId,
    pub log: LogId,
}

impl Subject {
    pub async fn new(kind: Kind) -> Self {
        let (store, conn) = match kind {
            Kind::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("acme.db");
                std::fs::write(&path, b"").unwrap();
                let conn = conn_to("acme", &format!("sqlite://{}", path.display()), None).await;
                (Store::Sqlite(dir), conn)
            }
            Kind::PostgresDatabase | Kind::PostgresSchema => {
                let db = shared().await.database().await;
                let schema = (kind == Kind::PostgresSchema).then_some("tenant \"one\"");
                let conn = conn_to("acme", &db.url, schema).await;
                (Store::Postgres(db), conn)
            }
        };
        let subject = Self { kind, store, conn, deploy: DeployId::fresh(), log: LogId::fresh() };
        if kind == Kind::PostgresSchema {
            subject.outside("CREATE SCHEMA \"tenant \"\"one\"\"\"").await;
        }
        subject
    }

    pub fn db(&self) -> &Db {
        match &self.store {
            Store::Postgres(db) => db,
            Store::Sqlite(_) => panic!("not on PostgreSQL"),
        }
    }

    pub fn file(&self) -> std::path::PathBuf {
        match &self.store {
            Store::Sqlite(dir) => dir.path().join("acme.db"),
            Store::Postgres(_) => panic!("not on SQLite"),
        }
    }

    pub fn opening(&self, epoch: u64) -> Opening {
        Opening {
            tenant: self.conn.tenant.clone(),
            deploy: self.deploy,
            log: self.log,
            tenants: 7,
            worker: WorkerId(format!("worker {epoch}")),
            epoch: Epoch(epoch),
            lock_timeout: Duration::from_secs(20),
            statement_timeout: Duration::from_secs(30),
            ledger_schema: None,
        }
    }

    pub async fn open(&self, epoch: u64) -> Box<dyn Session> {
        self.try_open(epoch).await.unwrap()
    }

    pub async fn try_open(&self, epoch: u64) -> Result<Box<dyn Session>, SessionError> {
        open(&self.conn, &self.opening(epoch)).await
    }

    pub async fn survey(&self) -> Survey {
        survey(&self.conn, &surveying()).await.unwrap()
    }

    pub fn key(&self, step: &str, half: Half) -> LedgerKey {
        LedgerKey { deploy: self.deploy, step: StepId(step.to_owned()), half }
    }

    /// The unit that applies a version.
    pub fn up(&self, version: &str, statements: &[&str]) -> Unit {
        Unit {
            key: self.key(&format!("migrate:{version}"), Half::Act),
            effect: Effect::Apply,
            version: version.to_owned(),
            name: format!("{version}_name"),
            digest: Digest::of(version.as_bytes()),
            statements: statements.iter().map(|&text| text.to_owned()).collect(),
            sets_session: SetsSession::No,
            foreign_keys: ForeignKeys::Unchecked,
            fence: FenceState::Open,
        }
    }

    /// The unit that takes a version back.
    pub fn down(&self, version: &str, statements: &[&str]) -> Unit {
        let key = self.key(&format!("migrate:{version}"), Half::Undo);
        Unit { key, effect: Effect::Revert, ..self.up(version, statements) }
    }

    /// Runs SQL as somebody who is not Windlass.
    pub async fn outside(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.store {
            Store::Postgres(_) => {
                sqlx::raw_sql(sql).execute(&mut self.postgres().await).await.unwrap();
            }
            Store::Sqlite(_) => {
                sqlx::raw_sql(sql).execute(&mut self.sqlite().await).await.unwrap();
            }
        }
    }

    /// The one number that a query gives.
    pub async fn number(&self, sql: &str) -> i64 {
        let query = AssertSqlSafe(sql.to_owned());
        match &self.store {
            Store::Postgres(_) => sqlx::query_scalar(query).fetch_one(&mut self.postgres().await).await.unwrap(),
            Store::Sqlite(_) => sqlx::query_scalar(query).fetch_one(&mut self.sqlite().await).await.unwrap(),
        }
    }

    /// How many tables of a name there are.
    pub async fn tables(&self, name: &str) -> i64 {
        match &self.store {
            Store::Postgres(_) => {
                self.number(&format!("SELECT count(*) FROM pg_class WHERE oid = to_regclass('{name}')")).await
            }
            Store::Sqlite(_) => self.number(&format!("SELECT count(*) FROM sqlite_master WHERE name = '{name}'")).await,
        }
    }

    /// Everything that is there, as one text.
    pub async fn catalog(&self) -> String {
        match &self.store {
            Store::Postgres(_) => {
                let sql = "SELECT coalesce(string_agg(relname || relkind::text || oid::text, ',' ORDER BY oid), '') || \
                           (SELECT string_agg(nspname, ',' ORDER BY oid) FROM pg_namespace) FROM pg_class";
                sqlx::query_scalar(sql).fetch_one(&mut self.postgres().await).await.unwrap()
            }
            Store::Sqlite(_) => {
                let sql = "SELECT coalesce(group_concat(type || name || coalesce(sql, '')), '') FROM sqlite_master";
                let schema: String = sqlx::query_scalar(sql).fetch_one(&mut self.sqlite().await).await.unwrap();
                format!("{schema} {}", Digest::of(&std::fs::read(self.file()).unwrap()))
            }
        }
    }

    /// A connection of somebody who is not Windlass.
    pub async fn postgres(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.db().url).await.unwrap();
        if self.kind == Kind::PostgresSchema {
            let path = "SET search_path = \"tenant \"\"one\"\"\"";
            sqlx::raw_sql(path).execute(&mut connection).await.unwrap();
        }
        connection
    }

    /// The same, on SQLite.
    pub async fn sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite://{}", self.file().display())).await.unwrap()
    }
}

/// How the tests survey.
pub fn surveying() -> Surveying {
    Surveying { lock_timeout: Duration::from_secs(20), statement_timeout: Duration::from_secs(30), ledger_schema: None }
}
