//! The two databases that tenants live in, and fleets in them.

use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::release::{FOUNDING, MADE, PROOF};

/// How the floor reaches a tenant.
#[derive(Clone)]
pub enum Url {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl Url {
    /// Makes sure that the last migration is in.
    async fn prove(&self) {
        let made: i64 = match self {
            Url::Sqlite(path) => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                sqlx::query_scalar(PROOF).fetch_one(&mut connection).await.unwrap()
            }
            Url::Postgres(options) => {
                let mut connection = options.connect().await.unwrap();
                sqlx::query_scalar(PROOF).fetch_one(&mut connection).await.unwrap()
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
}

impl Fleet {
    /// Makes sure that every tenant has the release.
    pub async fn prove(&self) {
        for url in &self.urls {
            url.prove().await;
        }
    }
}

/// Where SQLite fleets come from: copies of one file.
pub struct Sqlite {
    founded: TempDir,
}

impl Sqlite {
    pub async fn new() -> Self {
        let founded = folder();
        let options = SqliteConnectOptions::new().filename(founded.path().join("founded.db")).create_if_missing(true);
        // A write-ahead log, as whoever serves customers from SQLite has; the file keeps that setting.
        let options = options.journal_mode(SqliteJournalMode::Wal);
        let mut connection: SqliteConnection = options.connect().await.unwrap();
        sqlx::raw_sql(FOUNDING).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self { founded }
    }

    pub fn fleet(&self, tenants: usize) -> Fleet {
        let folder = folder();
        let home = folder.path().join("tenants");
        std::fs::create_dir(&home).unwrap();
        let paths: Vec<_> = (1..=tenants).map(|number| home.join(format!("t{number:04}.db"))).collect();
        for path in &paths {
            std::fs::copy(self.founded.path().join("founded.db"), path).unwrap();
        }
        settle();
        let templates = paths.iter().map(|path| format!("sqlite://{}", path.display())).collect();
        Fleet { folder, urls: paths.into_iter().map(Url::Sqlite).collect(), templates }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("windlass-bench-").tempdir().unwrap()
}

/// Lets the disk finish what making a fleet has given it to do: that is nobody's share of the deploy.
fn settle() {
    assert!(std::process::Command::new("sync").status().unwrap().success());
}
