//! The two databases that tenants live in, and fleets in them.

use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::postgres::{APP_PASSWORD, Db, Durability, PrivatePostgres};
use crate::project::PASSWORD_VARIABLE;
use crate::release::{FOUNDING, MADE, Release};

/// Sessions that make and remove databases at a time.
const FOUNDERS: usize = 4;

/// How the floor reaches a tenant.
#[derive(Clone)]
pub enum Url {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
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

/// Where fleets come from: copies of one founded tenant.
pub enum Engine {
    Sqlite { founded: TempDir },
    Postgres { server: Box<PrivatePostgres>, founded: Db, fleets: usize },
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

    pub fn name(&self) -> &'static str {
        match self {
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
        }
    }

    /// Removes a fleet.
    pub async fn raze(&self, fleet: Fleet) {
        let Self::Postgres { server, .. } = self else { return };
        let drop_database = |name: &str| format!("DROP DATABASE {name}");
        let names = fleet.urls.iter().filter_map(|url| match url {
            Url::Sqlite(_) => None,
            Url::Postgres(options) => options.get_database().map(drop_database),
        });
        durable(server, "off").await;
        in_parallel(server, names.collect()).await;
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
    in_parallel(server, names.iter().map(create).collect()).await;
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

/// Runs statements that need a session of their own each, some at a time.
async fn in_parallel(server: &PrivatePostgres, statements: Vec<String>) {
    let share = statements.len().div_ceil(FOUNDERS).max(1);
    let mut founders = tokio::task::JoinSet::new();
    for share in statements.chunks(share).map(<[String]>::to_vec) {
        let mut admin = server.admin().await;
        founders.spawn(async move {
            for statement in share {
                admin.execute_all(&statement).await;
            }
        });
    }
    while let Some(ended) = founders.join_next().await {
        ended.unwrap();
    }
}

/// The password of the tenants' role.
pub const PASSWORD: &str = APP_PASSWORD;

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("windlass-bench-").tempdir().unwrap()
}

/// Lets the disk finish what making a fleet has given it to do: that is nobody's share of the deploy.
fn settle() {
    assert!(std::process::Command::new("sync").status().unwrap().success());
}
