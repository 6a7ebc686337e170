//! A MariaDB server of the tests' own.
//!
//! Started from the installed binaries on a free port, in a temporary folder, as an unprivileged user where the tests run as root.
//! See [`super::server`] for who cleans up.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, MySqlConnection};
use tokio::sync::OnceCell;

pub use super::server::APP_PASSWORD;
use super::server::{
    Durability, KNOCK, PORTS_TRIED_MAX, READY_WITHIN, dismiss, give_to, is_running, keep, log_of, program_folders,
    signal, unprivileged_command, wait_until_gone,
};

/// Who the server runs as.
const USER: &str = "mysql";

/// The password of the user `super`.
pub const SUPERUSER_PASSWORD: &str = "super-secret";

/// A running server.
pub struct PrivateMariaDb {
    dir: PathBuf,
    durability: Durability,
    port: u16,
    server: u32,
    keeper: Child,
    databases: AtomicU32,
}

/// A database of a test's own.
#[derive(Debug, Clone)]
pub struct Db {
    /// For the user `app`, with its password.
    pub url: String,
    /// For the superuser.
    pub superuser_url: String,
    /// Its name.
    pub name: String,
}

static SHARED: OnceCell<PrivateMariaDb> = OnceCell::const_new();

/// The server that all tests of this binary share.
pub async fn shared() -> &'static PrivateMariaDb {
    SHARED.get_or_init(|| PrivateMariaDb::start(Durability::None)).await
}

impl PrivateMariaDb {
    /// Makes a data folder and starts its server.
    pub async fn start(durability: Durability) -> Self {
        let dir = tempfile::Builder::new().prefix("windlass-my-").tempdir().unwrap().keep();
        give_to(USER, &dir);
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).unwrap();
        let mut install = unprivileged_command(USER, &program("mariadb-install-db"));
        // `normal`: root without a password, at the socket; nobody else can reach the folder that it is in.
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.args(["--skip-name-resolve", "--innodb-log-file-size=16M"]);
        install.arg(format!("--datadir={}", dir.join("data").display()));
        install.arg(format!("--tmpdir={}", dir.display()));
        let made = install.current_dir(&dir).output().unwrap();
        assert!(made.status.success(), "mariadb-install-db failed: {}", String::from_utf8_lossy(&made.stderr));

        let (port, server, keeper) = launch(&dir, durability).await;
        let it = Self { dir, durability, port, server, keeper, databases: AtomicU32::new(0) };
        let mut root = Admin(it.root().connect().await.unwrap());
        root.execute_all(&format!(
            "DROP USER IF EXISTS ''@localhost, ''@'{host}';
             CREATE USER super@'%' IDENTIFIED BY '{SUPERUSER_PASSWORD}'; GRANT ALL ON *.* TO super@'%' WITH GRANT OPTION;
             CREATE USER app@'%' IDENTIFIED BY '{APP_PASSWORD}'",
            host = hostname(),
        ))
        .await;
        it
    }

    fn root(&self) -> MySqlConnectOptions {
        root_at(&self.dir)
    }

    /// A connection of the superuser, to no database.
    pub async fn admin(&self) -> Admin {
        Admin(plain(&self.superuser_url("")).connect().await.unwrap())
    }

    /// The port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its processes: one.
    #[allow(dead_code, reason = "the benchmark asks for it")]
    pub fn processes(&self) -> Vec<u32> {
        vec![self.server]
    }

    /// The folder in which a database has its tables' files.
    pub fn files_of(&self, name: &str) -> PathBuf {
        self.dir.join("data").join(name)
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("mysqld.sock")
    }

    /// A fresh database, in which `app` may do anything.
    pub async fn database(&self) -> Db {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let make = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4; GRANT ALL ON {name}.* TO app@'%'");
        self.admin().await.execute_all(&make).await;
        Db { url: self.url_of(&name), superuser_url: self.superuser_url(&name), name }
    }

    /// Kills the server with SIGKILL, as a power cut would.
    pub fn kill9(&mut self) {
        signal("KILL", &[self.server]);
        dismiss(&mut self.keeper);
        wait_until_gone(&[self.server]);
    }

    /// Starts the server again, on another port, after [`PrivateMariaDb::kill9`].
    pub async fn restart(&mut self) {
        let (port, server, keeper) = launch(&self.dir, self.durability).await;
        (self.port, self.server, self.keeper) = (port, server, keeper);
    }

    /// Starts the server again where it was, for those who go on knocking there.
    pub async fn restart_in_place(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some((server, keeper)) = launch_on(&self.dir, self.durability, self.port).await {
                (self.server, self.keeper) = (server, keeper);
                return;
            }
            // Somebody's connection may have been given the port for its own end meanwhile.
            assert!(Instant::now() < deadline, "the port is not free again: {}", log_of(&self.dir));
        }
    }

    /// The URL of a database for `app`, also after a restart.
    pub fn url_of(&self, name: &str) -> String {
        format!("mysql://app:{APP_PASSWORD}@127.0.0.1:{}/{name}?ssl-mode=disabled", self.port)
    }

    fn superuser_url(&self, name: &str) -> String {
        superuser_url(self.port, name)
    }

    /// As [`dump_at`], of a database of this server.
    pub fn dump(&self, name: &str, ignored: &[&str]) -> String {
        dump_at(self.port, name, ignored)
    }
}

/// Definitions and rows of a database of the server at a port, as `mariadb-dump` writes them, without the tables in `ignored`. Two
/// dumps of the same content are the same, byte for byte, whatever the names of the databases.
pub fn dump_at(port: u16, name: &str, ignored: &[&str]) -> String {
    let mut dump = Command::new(program("mariadb-dump"));
    dump.args(["--no-defaults", "--user=super", "--host=127.0.0.1", "--skip-ssl"]);
    dump.args(["--routines", "--events", "--triggers", "--order-by-primary", "--hex-blob"]);
    dump.args(["--skip-comments", "--skip-dump-date"]);
    dump.arg(format!("--port={port}")).env("MYSQL_PWD", SUPERUSER_PASSWORD);
    dump.args(ignored.iter().map(|table| format!("--ignore-table={name}.{table}"))).arg(name);
    let said = dump.output().unwrap();
    assert!(said.status.success(), "mariadb-dump failed: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

impl Drop for PrivateMariaDb {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A connection that speaks under the server's own modes, whatever the driver would like to set.
pub fn plain(url: &str) -> MySqlConnectOptions {
    let options: MySqlConnectOptions = url.parse().unwrap();
    options.pipes_as_concat(false).no_engine_substitution(false).timezone(None)
}

/// The superuser's URL of a database of the server at a port.
pub fn superuser_url(port: u16, name: &str) -> String {
    format!("mysql://super:{SUPERUSER_PASSWORD}@127.0.0.1:{port}/{name}?ssl-mode=disabled")
}

/// A connection, for whatever a test wants to ask.
pub struct Admin(pub MySqlConnection);

impl Admin {
    /// The superuser's connection to a database of the server at a port, or to none where its name is empty.
    pub async fn at(port: u16, name: &str) -> Self {
        Self(plain(&superuser_url(port, name)).connect().await.unwrap())
    }

    /// The superuser's connection to a database.
    pub async fn to(db: &Db) -> Self {
        Self(plain(&db.superuser_url).connect().await.unwrap())
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
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.0).await.unwrap()
    }

    /// The one number that a query gives.
    pub async fn number(&mut self, sql: &str) -> i64 {
        let query = AssertSqlSafe(format!("SELECT CAST(({sql}) AS SIGNED)"));
        sqlx::query_scalar(query).fetch_one(&mut self.0).await.unwrap()
    }

    /// Asks until the answer is not 0: how a test waits for what another session does.
    pub async fn until(&mut self, sql: &str) {
        let deadline = Instant::now() + READY_WITHIN;
        while self.number(sql).await == 0 {
            assert!(Instant::now() < deadline, "never true: {sql}");
            tokio::task::yield_now().await;
        }
    }
}

fn root_at(dir: &Path) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new().username("root").socket(dir.join("mysqld.sock"));
    options.ssl_mode(MySqlSslMode::Disabled)
}

/// Starts a server on a data folder, on a free port, and waits until it answers.
async fn launch(dir: &Path, durability: Durability) -> (u16, u32, Child) {
    for _ in 0..PORTS_TRIED_MAX {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if let Some((server, keeper)) = launch_on(dir, durability, port).await {
            return (port, server, keeper);
        }
    }
    panic!("the private MariaDB does not start: {}", log_of(dir));
}

/// The same on a given port; none where the server ends at once, as it does when the port is taken.
async fn launch_on(dir: &Path, durability: Durability, port: u16) -> Option<(u32, Child)> {
    let (server, mut keeper) = spawn(dir, durability, port);
    let deadline = Instant::now() + READY_WITHIN;
    while is_running(server) {
        if root_at(dir).connect().await.is_ok() {
            return Some((server, keeper));
        }
        assert!(Instant::now() < deadline, "the private MariaDB does not answer: {}", log_of(dir));
        tokio::time::sleep(KNOCK).await;
    }
    dismiss(&mut keeper);
    None
}

fn spawn(dir: &Path, durability: Durability, port: u16) -> (u32, Child) {
    let mut server = unprivileged_command(USER, &program("mariadbd"));
    // First: it must come before all others.
    server.arg("--no-defaults");
    for (setting, file) in [("datadir", "data"), ("socket", "mysqld.sock"), ("tmpdir", ""), ("pid-file", "mysqld.pid")]
    {
        server.arg(format!("--{setting}={}", dir.join(file).display()));
    }
    server.arg(format!("--port={port}"));
    server.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin", "--max-connections=300"]);
    server.args(["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--key-buffer-size=1M"]);
    server.args(["--aria-pagecache-buffer-size=8M", "--innodb-use-native-aio=0", "--performance-schema=0"]);
    server.args(match durability {
        Durability::Fsync => ["--innodb-flush-log-at-trx-commit=1", "--innodb-doublewrite=1"],
        Durability::None => ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"],
    });
    keep(dir, "KILL", &server)
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// A program of the installed server's.
pub fn program(name: &str) -> PathBuf {
    program_folders("/usr/sbin")
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .expect("these tests need a MariaDB server: apt-get install -y mariadb-server")
}
