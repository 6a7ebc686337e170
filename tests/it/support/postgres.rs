//! A PostgreSQL server of the tests' own.
//!
//! Started from the installed binaries on a free port, in a temporary folder, as an unprivileged user where the tests run as root.
//! See [`super::server`] for who cleans up.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

pub use super::server::{APP_PASSWORD, Durability};
use super::server::{
    KNOCK, PORTS_TRIED_MAX, READY_WITHIN, children_of, dismiss, give_to, is_running, keep, log_of, program_folders,
    signal, unprivileged_command, wait_until_gone,
};

/// Who the server runs as.
const USER: &str = "postgres";

/// The password of the role `postgres`.
pub const SUPERUSER_PASSWORD: &str = "super-secret";

/// A running server.
pub struct PrivatePostgres {
    dir: PathBuf,
    binaries: PathBuf,
    port: u16,
    server: u32,
    keeper: Child,
    databases: AtomicU32,
}

/// A database of a test's own.
#[derive(Debug, Clone)]
pub struct Db {
    /// For the role `app`, with its password.
    pub url: String,
    /// For the superuser.
    pub superuser_url: String,
    /// Its name.
    pub name: String,
}

static SHARED: OnceCell<PrivatePostgres> = OnceCell::const_new();

/// The server that all tests of this binary share.
pub async fn shared() -> &'static PrivatePostgres {
    SHARED.get_or_init(|| PrivatePostgres::start(Durability::None)).await
}

impl PrivatePostgres {
    /// Makes a cluster and starts its server.
    pub async fn start(durability: Durability) -> Self {
        let binaries = binaries();
        let dir = tempfile::Builder::new().prefix("windlass-pg-").tempdir().unwrap().keep();
        std::fs::write(dir.join("password"), SUPERUSER_PASSWORD).unwrap();
        give_to(USER, &dir);
        give_to(USER, &dir.join("password"));
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).unwrap();
        let mut initdb = unprivileged_command(USER, &binaries.join("initdb"));
        initdb.args(["--no-sync", "--username=postgres", "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8"]);
        initdb.arg(format!("--pwfile={}", dir.join("password").display())).arg("-D").arg(dir.join("data"));
        let made = initdb.current_dir(&dir).output().unwrap();
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));

        // In the file, not on the command line: there it can be changed while the server runs.
        let mut settings = OpenOptions::new().append(true).open(dir.join("data/postgresql.conf")).unwrap();
        writeln!(settings, "fsync = {}", if durability == Durability::Fsync { "on" } else { "off" }).unwrap();

        let (port, server, keeper) = launch(&dir, &binaries).await;
        let it = Self { dir, binaries, port, server, keeper, databases: AtomicU32::new(0) };
        let role = format!("CREATE ROLE app LOGIN PASSWORD '{APP_PASSWORD}'");
        it.admin().await.execute_all(&role).await;
        it
    }

    /// A connection of the superuser, to the database `postgres`.
    pub async fn admin(&self) -> Admin {
        Admin::at(self.port, "postgres").await
    }

    /// The process at the head of the server, and those that it has started and that are there.
    #[allow(dead_code, reason = "the benchmark asks for it")]
    pub fn processes(&self) -> Vec<u32> {
        std::iter::once(self.server).chain(children_of(self.server)).collect()
    }

    /// The port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A fresh database, owned by `app`.
    pub async fn database(&self) -> Db {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.admin().await.execute_all(&format!("CREATE DATABASE {name} OWNER app")).await;
        let url = self.url_of(&name);
        Db { url, superuser_url: superuser_url(self.port, &name), name }
    }

    /// Kills the server and all its processes with SIGKILL, as a power cut would.
    pub fn kill9(&mut self) {
        let children = children_of(self.server);
        // The postmaster first: it would start new ones.
        signal("KILL", &[self.server]);
        signal("KILL", &children);
        dismiss(&mut self.keeper);
        wait_until_gone(&children);
    }

    /// Starts the server again, on another port, after [`PrivatePostgres::kill9`].
    pub async fn restart(&mut self) {
        let (port, server, keeper) = launch(&self.dir, &self.binaries).await;
        (self.port, self.server, self.keeper) = (port, server, keeper);
    }

    /// Starts the server again where it was, for those who go on knocking there.
    #[cfg(feature = "crash-points")]
    pub async fn restart_in_place(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let launched = launch_on(&self.dir, &self.binaries, self.port).await;
            if let Some((server, keeper)) = launched {
                (self.server, self.keeper) = (server, keeper);
                return;
            }
            // Somebody's connection may have been given the port for its own end meanwhile.
            assert!(Instant::now() < deadline, "the port is not free again: {}", log_of(&self.dir));
        }
    }

    /// The URL of a database made before a restart.
    pub fn url_of(&self, name: &str) -> String {
        url_at(self.port, name)
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A superuser's connection.
pub struct Admin(pub PgConnection);

impl Admin {
    /// A connection to a database of the server on a port.
    pub async fn at(port: u16, database: &str) -> Self {
        Self(PgConnection::connect(&superuser_url(port, database)).await.unwrap())
    }

    /// A connection to a database.
    pub async fn to(db: &Db) -> Self {
        Self(PgConnection::connect(&db.superuser_url).await.unwrap())
    }

    /// Runs statements.
    pub async fn execute_all(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await.unwrap();
    }

    /// The one text that a query gives.
    pub async fn text(&mut self, sql: &str) -> String {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.0).await.unwrap()
    }

    /// The texts that a query gives.
    #[cfg(feature = "crash-points")]
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.0).await.unwrap()
    }

    /// Asks until the answer is `true`: how a test waits for what another session does.
    pub async fn until(&mut self, sql: &str) {
        let deadline = Instant::now() + READY_WITHIN;
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.0).await.unwrap() {
            assert!(Instant::now() < deadline, "never true: {sql}");
            tokio::task::yield_now().await;
        }
    }
}

/// The superuser's URL of a database of the server on a port.
pub fn superuser_url(port: u16, database: &str) -> String {
    format!("postgres://postgres:{SUPERUSER_PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable")
}

/// The URL of a database for the role `app`, with its password.
pub fn url_at(port: u16, database: &str) -> String {
    format!("postgres://app:{APP_PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable")
}

/// Starts a server on a cluster, on a free port, and waits until it answers.
async fn launch(dir: &Path, binaries: &Path) -> (u16, u32, Child) {
    for _ in 0..PORTS_TRIED_MAX {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if let Some((server, keeper)) = launch_on(dir, binaries, port).await {
            return (port, server, keeper);
        }
    }
    panic!("the private PostgreSQL does not start: {}", log_of(dir));
}

/// The same on a given port; none where the server ends at once, as it does when the port is taken.
async fn launch_on(dir: &Path, binaries: &Path, port: u16) -> Option<(u32, Child)> {
    let (server, mut keeper) = spawn(dir, binaries, port);
    let deadline = Instant::now() + READY_WITHIN;
    while is_running(server) {
        if PgConnection::connect(&superuser_url(port, "postgres")).await.is_ok() {
            return Some((server, keeper));
        }
        assert!(Instant::now() < deadline, "the private PostgreSQL does not answer: {}", log_of(dir));
        tokio::time::sleep(KNOCK).await;
    }
    dismiss(&mut keeper);
    None
}

fn spawn(dir: &Path, binaries: &Path, port: u16) -> (u32, Child) {
    let mut server = unprivileged_command(USER, &binaries.join("postgres"));
    server.arg("-D").arg(dir.join("data")).arg("-p").arg(port.to_string());
    for setting in
        ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300", "shared_buffers=64MB"]
    {
        server.arg("-c").arg(setting);
    }
    keep(dir, "QUIT", &server)
}

/// A program of the server's or of its clients', which may be in different packages.
pub fn program(name: &str) -> PathBuf {
    program_folders("/usr/lib/postgresql/*/bin")
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is needed: apt-get install -y postgresql"))
}

/// The folder of the installed server's programs. Debian keeps them out of the path.
pub fn binaries() -> PathBuf {
    program_folders("/usr/lib/postgresql/*/bin")
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .expect("these tests need a PostgreSQL server: apt-get install -y postgresql")
}
