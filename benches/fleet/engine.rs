//! The three databases that tenants live in, and fleets in them.

use std::path::PathBuf;

use futures_util::future::join_all;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::mariadb::{PrivateMariaDb, plain};
use crate::postgres::{Db, PrivatePostgres};
use crate::project::PASSWORD_VARIABLE;
use crate::release::{FOUNDING, MADE, Release};
use crate::server::Durability;

/// Sessions that make and remove databases at a time.
const FOUNDERS: usize = 4;

/// How the floor reaches a tenant.
#[derive(Clone)]
pub enum Url {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
    MariaDb(Box<MySqlConnectOptions>),
}

impl Url {
    /// Makes sure that the release's last migration is in.
    async fn prove(&self, release: Release) {
        let proof = AssertSqlSafe(release.proof());
        let made: i64 = match self {
            Url::Sqlite(path) => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                sqlx::query_scalar(proof).fetch_one(&mut connection).await.unwrap()
            }
            Url::Postgres(options) => {
                let mut connection = options.connect().await.unwrap();
                sqlx::query_scalar(proof).fetch_one(&mut connection).await.unwrap()
            }
            Url::MariaDb(options) => {
                let mut connection = options.connect().await.unwrap();
                sqlx::query_scalar(proof).fetch_one(&mut connection).await.unwrap()
            }
        };
        assert_eq!(made, MADE, "a tenant has not got the release");
    }
}

/// A fleet, founded and not yet migrated.
pub struct Fleet {
    /// For the project and, on SQLite, the tenants; goes with the fleet.
    pub folder: TempDir,
    /// For the floor.
    pub urls: Vec<Url>,
    /// For Windlass: the same tenants as its configuration names them.
    pub templates: Vec<String>,
    /// The processes of the tenants' server, where there is one.
    pub server: Vec<u32>,
}

impl Fleet {
    /// Makes sure that every tenant has the release.
    pub async fn prove(&self, release: Release) {
        for url in &self.urls {
            url.prove(release).await;
        }
    }
}

/// Where fleets come from: copies of one founded tenant, or, where a server makes no copies, tenants founded one by one.
pub enum Engine {
    Sqlite { founded: TempDir },
    Postgres { server: Box<PrivatePostgres>, founded: Db, fleets: usize },
    MariaDb { server: Box<PrivateMariaDb>, fleets: usize },
}

impl Engine {
    pub async fn sqlite() -> Self {
        let founded = folder();
        let options = SqliteConnectOptions::new().filename(founded.path().join("founded.db")).create_if_missing(true);
        // A write-ahead log, as whoever serves customers from SQLite has; the file keeps that setting.
        let options = options.journal_mode(SqliteJournalMode::Wal);
        let mut connection: SqliteConnection = options.connect().await.unwrap();
        sqlx::raw_sql(FOUNDING).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self::Sqlite { founded }
    }

    /// On a private server that keeps what it commits: `fsync` and `synchronous_commit` are on.
    pub async fn postgres() -> Self {
        let server = Box::new(PrivatePostgres::start(Durability::Fsync).await);
        let founded = server.database().await;
        let options: PgConnectOptions = founded.url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(FOUNDING).execute(&mut connection).await.unwrap();
        sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self::Postgres { server, founded, fleets: 0 }
    }

    /// On a private server that keeps what it commits: `innodb_flush_log_at_trx_commit` is 1.
    pub async fn mariadb() -> Self {
        let server = Box::new(PrivateMariaDb::start(Durability::Fsync).await);
        server.admin().await.execute_all("GRANT ALL ON `f%\\_t%`.* TO app@'%'").await;
        Self::MariaDb { server, fleets: 0 }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::MariaDb { .. } => "MariaDB",
            Self::Sqlite { .. } => "SQLite",
            Self::Postgres { .. } => "PostgreSQL",
        }
    }

    pub async fn fleet(&mut self, tenants: usize) -> Fleet {
        match self {
            Self::Sqlite { founded } => sqlite_fleet(founded, tenants),
            Self::Postgres { server, founded, fleets } => {
                *fleets += 1;
                postgres_fleet(server, founded, *fleets, tenants).await
            }
            Self::MariaDb { server, fleets } => {
                *fleets += 1;
                mariadb_fleet(server, *fleets, tenants).await
            }
        }
    }

    /// Removes a fleet.
    pub async fn raze(&self, fleet: Fleet) {
        let names = fleet.urls.iter().filter_map(|url| match url {
            Url::Sqlite(_) => None,
            Url::Postgres(options) => options.get_database(),
            Url::MariaDb(options) => options.get_database(),
        });
        let drops: Vec<_> = names.map(|name| format!("DROP DATABASE {name}")).collect();
        match self {
            Self::Sqlite { .. } => {}
            Self::Postgres { server, .. } => {
                durable(server, "off").await;
                on_postgres(server, &drops).await;
            }
            Self::MariaDb { server, .. } => {
                flushed_at_commit(server, false).await;
                on_mariadb(server, &drops).await;
            }
        }
    }
}

fn sqlite_fleet(founded: &TempDir, tenants: usize) -> Fleet {
    let folder = folder();
    let home = folder.path().join("tenants");
    std::fs::create_dir(&home).unwrap();
    let paths: Vec<_> = (1..=tenants).map(|number| home.join(format!("t{number:04}.db"))).collect();
    for path in &paths {
        std::fs::copy(founded.path().join("founded.db"), path).unwrap();
    }
    settle();
    let templates = paths.iter().map(|path| format!("sqlite://{}", path.display())).collect();
    Fleet { folder, urls: paths.into_iter().map(Url::Sqlite).collect(), templates, server: Vec::new() }
}

async fn postgres_fleet(server: &PrivatePostgres, founded: &Db, fleet: usize, tenants: usize) -> Fleet {
    let names: Vec<_> = (1..=tenants).map(|number| format!("f{fleet}_t{number:04}")).collect();
    let create = |name: &String| format!("CREATE DATABASE {name} TEMPLATE {} OWNER app", founded.name);
    durable(server, "off").await;
    on_postgres(server, &names.iter().map(create).collect::<Vec<_>>()).await;
    server.admin().await.execute_all("CHECKPOINT").await;
    settle();
    durable(server, "on").await;
    let port = server.port();
    let options: PgConnectOptions = server.url_of(&founded.name).parse().unwrap();
    let template =
        |name| format!("postgres://app:${{env:{PASSWORD_VARIABLE}}}@127.0.0.1:{port}/{name}?sslmode=disable");
    let urls = names.iter().map(|name| Url::Postgres(Box::new(options.clone().database(name)))).collect();
    let templates = names.iter().map(template).collect();
    Fleet { folder: folder(), urls, templates, server: server.processes() }
}

/// Whether the server waits for its disk. It need not while databases come and go, which would take minutes; it does whenever
/// something is measured.
async fn durable(server: &PrivatePostgres, fsync: &str) {
    let mut admin = server.admin().await;
    admin.execute_all(&format!("ALTER SYSTEM SET fsync = {fsync}")).await;
    admin.execute_all("SELECT pg_reload_conf()").await;
    admin
        .until(&format!("SELECT current_setting('fsync') = '{fsync}' AND current_setting('synchronous_commit') = 'on'"))
        .await;
}

async fn mariadb_fleet(server: &PrivateMariaDb, fleet: usize, tenants: usize) -> Fleet {
    let names: Vec<_> = (1..=tenants).map(|number| format!("f{fleet}_t{number:04}")).collect();
    let found = |name: &String| format!("CREATE DATABASE {name} CHARACTER SET utf8mb4; USE {name}; {FOUNDING}");
    flushed_at_commit(server, false).await;
    on_mariadb(server, &names.iter().map(found).collect::<Vec<_>>()).await;
    settle();
    flushed_at_commit(server, true).await;
    let port = server.port();
    let url = |name: &String| Url::MariaDb(Box::new(plain(&server.url_of(name))));
    let template = |name| format!("mysql://app:${{env:{PASSWORD_VARIABLE}}}@127.0.0.1:{port}/{name}?ssl-mode=disabled");
    let urls = names.iter().map(url).collect();
    let templates = names.iter().map(template).collect();
    Fleet { folder: folder(), urls, templates, server: server.processes() }
}

/// Whether the server waits for its disk at every commit: as [`durable`].
async fn flushed_at_commit(server: &PrivateMariaDb, flushed: bool) {
    let flush = format!("SET GLOBAL innodb_flush_log_at_trx_commit = {}", i32::from(flushed));
    server.admin().await.execute_all(&flush).await;
}

/// Runs texts, some at a time, each share of them in a session of its own.
async fn side_by_side<Admin>(texts: &[String], admin: impl AsyncFn() -> Admin, run: impl AsyncFn(&mut Admin, &String)) {
    let run_all = async |share: &[String]| {
        let mut admin = admin().await;
        for text in share {
            run(&mut admin, text).await;
        }
    };
    join_all(texts.chunks(texts.len().div_ceil(FOUNDERS).max(1)).map(run_all)).await;
}

async fn on_postgres(server: &PrivatePostgres, texts: &[String]) {
    side_by_side(texts, async || server.admin().await, async |admin, text| admin.execute_all(text).await).await;
}

async fn on_mariadb(server: &PrivateMariaDb, texts: &[String]) {
    side_by_side(texts, async || server.admin().await, async |admin, text| admin.execute_all(text).await).await;
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("windlass-bench-").tempdir().unwrap()
}

/// Lets the disk finish what making a fleet has given it to do: that is nobody's share of the deploy.
fn settle() {
    assert!(std::process::Command::new("sync").status().unwrap().success());
}
