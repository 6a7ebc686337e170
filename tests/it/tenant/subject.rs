//! A tenant to be tested upon, whatever its engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use windlass::base::{DeployId, Digest, Epoch, LogId, StepId, SystemClock, TenantId, WorkerId};
use windlass::fleet::{Entry, FleetError, RereadSource, SecretResolver, Source, SourceUrl, Variables};
use windlass::saga::event::Half;
use windlass::tenant::{
    Conn, Effect, FenceState, ForeignKeys, LedgerKey, Opening, Session, SessionError, SetsSession, Survey, Surveying,
    Unit, open, survey,
};

use crate::support::mariadb::{self, Admin};
use crate::support::postgres::{Db, shared};

/// The kinds of tenants there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    PostgresDatabase,
    PostgresSchema,
    Sqlite,
    MariaDb,
}

/// What holds the data.
pub enum Store {
    Postgres(Db),
    Sqlite(tempfile::TempDir),
    MariaDb(mariadb::Db),
}

/// On MariaDB a unit cannot hold DDL, so what its statements make is a row in `made` here, and the tables are there beforehand.
const PLAYGROUND: &str = "CREATE TABLE made (name varchar(100) CHARACTER SET utf8mb4 NOT NULL);
    CREATE TABLE a (id int); CREATE TABLE b (id int)";

/// A statement of the suite in the words of a unit on MariaDB.
fn as_dml(statement: &str) -> String {
    let words: Vec<&str> =
        statement.split_whitespace().filter(|word| !["IF", "NOT", "EXISTS"].contains(word)).collect();
    match words.as_slice() {
        ["CREATE", "TABLE", name, "(id", "int)", rest @ ..] => {
            format!("INSERT INTO made VALUES ('{name}') {}", rest.join(" "))
        }
        ["DROP", "TABLE", name] => format!("DELETE FROM made WHERE name = '{name}'"),
        ["ALTER", "TABLE", name, ..] => format!("UPDATE {name} SET id = id"),
        _ => statement.to_owned(),
    }
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
            Kind::MariaDb => {
                let db = mariadb::shared().await.database().await;
                Admin::to(&db).await.execute_all(PLAYGROUND).await;
                let conn = conn_to("acme", &db.url, None).await;
                (Store::MariaDb(db), conn)
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
            Store::Sqlite(_) | Store::MariaDb(_) => panic!("not on PostgreSQL"),
        }
    }

    pub fn my(&self) -> &mariadb::Db {
        match &self.store {
            Store::MariaDb(db) => db,
            Store::Postgres(_) | Store::Sqlite(_) => panic!("not on MariaDB"),
        }
    }

    pub fn file(&self) -> std::path::PathBuf {
        match &self.store {
            Store::Sqlite(dir) => dir.path().join("acme.db"),
            Store::Postgres(_) | Store::MariaDb(_) => panic!("not on SQLite"),
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
            statements: statements
                .iter()
                .map(|&text| if self.kind == Kind::MariaDb { as_dml(text) } else { text.to_owned() })
                .collect(),
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
        if self.kind == Kind::MariaDb {
            // The suite's tables are there already.
            let sql = sql.replace("CREATE TABLE a ", "CREATE OR REPLACE TABLE a ");
            return self.mariadb().await.execute_all(&sql).await;
        }
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.store {
            Store::MariaDb(_) => unreachable!("above"),
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
            Store::MariaDb(_) => self.mariadb().await.number(sql).await,
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
            Store::MariaDb(_) => match name {
                "windlass_ledger" => unreachable!("not asked for here"),
                _ => self.number(&format!("SELECT count(*) FROM made WHERE name = '{name}'")).await,
            },
        }
    }

    /// Everything that is there, as one text.
    pub async fn catalog(&self) -> String {
        match &self.store {
            Store::MariaDb(db) => {
                let of = "SELECT CAST(coalesce(group_concat(concat(table_name, ifnull(create_time, ''), ifnull(update_time, '')) \
                          ORDER BY table_name), '') AS CHAR) FROM information_schema.tables WHERE table_schema = ";
                let tables = self.mariadb().await.text(&format!("{of}'{}'", db.name)).await;
                format!("{tables} {}", mariadb::shared().await.dump(&db.name, &[]))
            }
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

    /// A connection of somebody who is not Windlass, with the rights of the tenant's own user.
    pub async fn mariadb(&self) -> Admin {
        Admin(mariadb::plain(&self.my().url).connect().await.unwrap())
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
