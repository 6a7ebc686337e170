//! The floor: the least that a tool for this could do, on the same driver. Connect, make a ledger, run each migration in one
//! transaction with its ledger row, close; so many tenants at a time. It remembers nothing, asks nothing and undoes nothing. On
//! MariaDB, where a definition commits by itself, the row simply follows: killed in between, it would not know where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::task::JoinSet;

use crate::engine::Url;
use crate::release::{Migration, Release, migrations};

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS floor_ledger (version VARCHAR(100) PRIMARY KEY, name TEXT NOT NULL)";

/// As long as Windlass waits for a lock unless it is told otherwise.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// Takes a release's ten migrations to all tenants, and answers with how long that took.
pub async fn run(urls: &[Url], release: Release, concurrency: usize) -> Duration {
    let urls: Arc<[Url]> = urls.into();
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        let (urls, next) = (Arc::clone(&urls), Arc::clone(&next));
        workers.spawn(async move {
            while let Some(url) = urls.get(next.fetch_add(1, Ordering::Relaxed)) {
                match url {
                    Url::Sqlite(path) => sqlite(SqliteConnectOptions::new().filename(path), release).await,
                    Url::Postgres(options) => postgres(options, release).await,
                    Url::MariaDb(options) => mariadb(options, release).await,
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    begun.elapsed()
}

/// One message, or one call, per migration: no loop could send less.
fn transactions(release: Release, begin: &str) -> impl Iterator<Item = String> {
    migrations(release)
        .into_iter()
        .map(move |migration| format!("{begin};\n{};\n{}COMMIT", row(&migration), migration.up))
}

fn row(Migration { label, .. }: &Migration) -> String {
    format!("INSERT INTO floor_ledger (version, name) VALUES ('{label}', '{label}')")
}

/// With what Windlass's sessions have: a write-ahead log where the file has one, `synchronous = FULL`, foreign keys off.
async fn sqlite(options: SqliteConnectOptions, release: Release) {
    let options = options.busy_timeout(LOCK_TIMEOUT).foreign_keys(false).disable_statement_logging();
    let mut connection: SqliteConnection = options.connect().await.unwrap();
    sqlx::raw_sql(LEDGER).execute(&mut connection).await.unwrap();
    for text in transactions(release, "BEGIN IMMEDIATE") {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn postgres(options: &PgConnectOptions, release: Release) {
    let options = options.clone().statement_cache_capacity(0).disable_statement_logging();
    let mut connection: PgConnection = options.connect().await.unwrap();
    sqlx::raw_sql(LEDGER).execute(&mut connection).await.unwrap();
    for text in transactions(release, "BEGIN") {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn mariadb(options: &MySqlConnectOptions, release: Release) {
    // Of what the driver would set by itself, nothing is needed here.
    let options = options.clone().set_names(false).statement_cache_capacity(0).disable_statement_logging();
    let mut connection: MySqlConnection = options.connect().await.unwrap();
    sqlx::raw_sql(LEDGER).execute(&mut connection).await.unwrap();
    for migration in migrations(release) {
        let text = format!("{}{}", migration.up, row(&migration));
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}
