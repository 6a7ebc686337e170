//! Windlass as somebody would run it: a folder with a configuration, and the program.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::engine::Fleet;
use crate::release::{Release, migrations};
use crate::server::APP_PASSWORD;

/// The variable that the tenants' password is in.
pub const PASSWORD_VARIABLE: &str = "WINDLASS_BENCH_PASSWORD";

/// Adds a release's migrations to a project.
pub fn add(fleet: &Fleet, release: Release) {
    let folder = fleet.folder.path().join("migrations");
    std::fs::create_dir_all(&folder).unwrap();
    for migration in migrations(release) {
        std::fs::write(folder.join(format!("{}.up.sql", migration.label)), migration.up).unwrap();
        std::fs::write(folder.join(format!("{}.down.sql", migration.label)), migration.down).unwrap();
    }
}

/// Writes the configuration of a fleet into its folder.
pub fn write(fleet: &Fleet, concurrency: usize) {
    let folder = fleet.folder.path();
    let mut config = format!(
        "name = \"bench\"\n[deploy]\nconcurrency = {concurrency}\n[server.default]\nconnections = {concurrency}\n"
    );
    for (at, template) in fleet.templates.iter().enumerate() {
        let _ = write!(config, "[[fleet.tenant]]\nid = \"t{:04}\"\nurl = \"{template}\"\n", at + 1);
    }
    std::fs::write(folder.join("windlass.toml"), config).unwrap();
}

/// How a command went.
pub struct Ran {
    /// From the start of the process to its end.
    pub took: Duration,
    /// What it said.
    pub said: String,
    /// Milliseconds since 1970 at which it was started.
    begun_ms: i64,
}

/// Runs the program in a project; it must succeed.
pub fn windlass(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.current_dir(folder).args(arguments).env(PASSWORD_VARIABLE, APP_PASSWORD).env_remove("WINDLASS_LOG");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let begun = Instant::now();
    let Output { status, stdout, stderr } = command.output().unwrap();
    let took = begun.elapsed();
    let said = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "windlass {arguments:?} failed:\n{said}\n{}", String::from_utf8_lossy(&stderr));
    Ran { took, said, begun_ms: i64::try_from(since.as_millis()).unwrap() }
}

impl Ran {
    /// How long after the start of the process the first migration was announced in the log: a tenant moved right after that.
    pub async fn until_first_move(&self, folder: &Path) -> Duration {
        let options = SqliteConnectOptions::new().filename(folder.join("windlass.db")).read_only(true);
        let mut log = options.connect().await.unwrap();
        let first = "SELECT min(body ->> '$.at') FROM events JOIN (SELECT max(key) AS newest FROM deploys) ON deploy = newest \
                     WHERE body ->> '$.event.type' = 'step_started' AND body ->> '$.event.step' LIKE 'migrate:%'";
        let at: i64 = sqlx::query_scalar(first).fetch_one(&mut log).await.unwrap();
        Duration::from_millis(u64::try_from(at - self.begun_ms).unwrap())
    }
}
