//! The fleet that is killed in the middle of a deploy: three tenants founded at different releases, and a release whose every
//! migration would show if it took effect twice.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::oracle::{self, Sight};
use crate::support::postgres::{APP_PASSWORD, Admin, shared, url_at};
use crate::support::project::{Project, Ran};

/// What the tenants are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

/// Where the release takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// All of them take it.
    Forward,
    /// `crow` refuses the last migration but one, and everyone is lowered.
    Unwind,
    /// All of them have taken it, and it is taken back as a deploy of its own.
    Rollback,
}

impl Way {
    /// The command that is killed.
    pub(super) fn command(self) -> &'static [&'static str] {
        match self {
            Self::Forward | Self::Unwind => &["deploy"],
            Self::Rollback => &["rollback", "latest"],
        }
    }

    pub(super) fn exit(self) -> i32 {
        match self {
            Self::Forward | Self::Rollback => 0,
            Self::Unwind => 3,
        }
    }

    pub(super) fn outcome(self) -> &'static str {
        match self {
            Self::Forward | Self::Rollback => "completed",
            Self::Unwind => "unwound",
        }
    }
}

/// The tenants, in the order in which they are driven, and how many migrations each was founded with.
pub(super) const TENANTS: [(&str, usize); 3] = [("acme", 3), ("bolt", 2), ("crow", 1)];

/// Name, up, down. Each counts, multiplies or adds a row, so that no effect can be had twice, or left out, unseen.
const MIGRATIONS: [(&str, &str, &str); 6] = [
    (
        "0001_orders",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers (id),
            amount INTEGER NOT NULL CHECK (amount >= 0));
        INSERT INTO orders (id, customer, amount) SELECT id, id, 100 * id FROM customers;",
        "DROP TABLE orders;",
    ),
    (
        "0002_points",
        "ALTER TABLE customers ADD COLUMN points INTEGER NOT NULL DEFAULT 7;
        INSERT INTO journal (id, what) SELECT coalesce(max(id), 0) + 1, '0002' FROM journal;",
        "DELETE FROM journal WHERE id = (SELECT max(id) FROM journal WHERE what = '0002');
        ALTER TABLE customers DROP COLUMN points;",
    ),
    (
        "0003_visits",
        "UPDATE customers SET visits = visits + 1;
        INSERT INTO journal (id, what) SELECT coalesce(max(id), 0) + 1, '0003' FROM journal;",
        "DELETE FROM journal WHERE id = (SELECT max(id) FROM journal WHERE what = '0003');
        UPDATE customers SET visits = visits - 1;",
    ),
    (
        "0004_triple",
        "CREATE TABLE tripled (id INTEGER PRIMARY KEY, visits INTEGER NOT NULL);
        INSERT INTO tripled SELECT id, visits FROM customers;
        UPDATE customers SET visits = visits * 3;",
        "UPDATE customers SET visits = visits / 3;
        DROP TABLE tripled;",
    ),
    (
        "0005_unique_email",
        "UPDATE orders SET amount = amount + 5;
        CREATE UNIQUE INDEX customers_email ON customers (email);",
        "DROP INDEX customers_email;
        UPDATE orders SET amount = amount - 5;",
    ),
    (
        "0006_regulars",
        "CREATE VIEW regulars AS SELECT id, email FROM customers WHERE visits > 8;
        INSERT INTO orders (id, customer, amount) SELECT max(id) + 1, min(customer), 1 FROM orders;",
        "DELETE FROM orders WHERE id = (SELECT max(id) FROM orders);
        DROP VIEW regulars;",
    ),
];

const FOUNDATION: &str =
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL, visits INTEGER NOT NULL);
CREATE TABLE journal (id INTEGER PRIMARY KEY, what TEXT NOT NULL);
INSERT INTO customers VALUES (1, 'ann', 2), (2, 'bob', 5);";

/// What makes `crow` refuse the unique index.
const TWICE: &str = "INSERT INTO customers VALUES (3, 'bob', 11);";

/// The migration that can be held up on PostgreSQL, and the two places in it.
pub(super) const GATED: &str = "0004_triple";
pub(super) const ACT: Gate = Gate(41);
pub(super) const UNDO: Gate = Gate(42);

/// A place at which a test can hold a tenant's transaction up: it goes on once nobody holds the advisory lock of this number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate(u32);

impl Gate {
    fn before(self, sql: &str) -> String {
        let number = self.0;
        format!(
            "DO $$BEGIN WHILE NOT pg_try_advisory_xact_lock_shared({number}) LOOP PERFORM pg_sleep(0.01); END LOOP; END$$;\n{sql}"
        )
    }
}

/// A fleet ready to be deployed to, of which copies are made.
pub(super) struct Template {
    pub(super) engine: Engine,
    pub(super) way: Way,
    /// What the tenants held when they had been founded.
    pub(super) founded: Sight,
    concurrency: usize,
    project: Project,
    /// What the names of its databases on the server begin with.
    databases: String,
    /// The port of their server, where they have one.
    server: Option<u16>,
}

/// A copy, to be deployed to once.
pub(super) struct Fleet {
    pub(super) project: Project,
    databases: String,
    /// The port of their server, where they have one.
    server: Option<u16>,
}

impl Template {
    /// Founds the tenants, each with its own part of the history, by deploys; then writes the rest of the release.
    pub(super) async fn new(engine: Engine, way: Way, concurrency: usize) -> Self {
        let server = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(shared().await.port()),
        };
        Self::on(server, way, concurrency, "sweep").await
    }

    /// The same on the server of this port, or in files; `name` keeps fleets on one server apart.
    pub(super) async fn on(server: Option<u16>, way: Way, concurrency: usize, name: &str) -> Self {
        let engine = if server.is_some() { Engine::Postgres } else { Engine::Sqlite };
        let databases = format!("{name}_{way:?}_{concurrency}").to_lowercase();
        let founding = Fleet { project: Project::new(), databases: databases.clone(), server };
        founding.configure(concurrency);
        for (tenant, _) in TENANTS {
            let rows = if way == Way::Unwind && tenant == "crow" { TWICE } else { "" };
            founding.found(tenant, &format!("{FOUNDATION}{rows}")).await;
        }
        for (at, (name, up, down)) in MIGRATIONS.into_iter().enumerate() {
            let gated = engine == Engine::Postgres && name == GATED;
            let (up, down) = if gated { (ACT.before(up), UNDO.before(down)) } else { (up.to_owned(), down.to_owned()) };
            founding.project.write(&format!("migrations/{name}.up.sql"), &up);
            founding.project.write(&format!("migrations/{name}.down.sql"), &down);
            for (tenant, _) in TENANTS.into_iter().filter(|(_, founded)| *founded == at + 1) {
                founding.run(&["deploy", "--only", tenant]).ends_with(0);
            }
        }
        let founded = founding.sight().await;
        if way == Way::Rollback {
            founding.run(&["deploy"]).ends_with(0);
        }
        Self { engine, way, founded, concurrency, project: founding.project, databases, server }
    }

    /// A copy under a name of its own.
    pub(super) async fn copy(&self, name: &str) -> Fleet {
        let project = Project::copy_of(self.project.path().to_str().unwrap());
        let fleet = Fleet { project, databases: format!("{}_{name}", self.databases), server: self.server };
        if let Some(port) = self.server {
            let mut admin = Admin::at(port, "postgres").await;
            for (tenant, _) in TENANTS {
                let (new, old) = (fleet.database(tenant), format!("{}_{tenant}", self.databases));
                admin.execute_all(&format!("CREATE DATABASE {new} OWNER app TEMPLATE {old}")).await;
            }
            fleet.configure(self.concurrency);
        }
        fleet
    }
}

impl Template {
    /// Removes what is not in the folder.
    pub(super) async fn remove(self) {
        Fleet { project: self.project, databases: self.databases, server: self.server }.remove().await;
    }
}

impl Fleet {
    fn configure(&self, concurrency: usize) {
        let mut text = format!("name = \"crash\"\n\n[deploy]\nconcurrency = {concurrency}\n");
        for (tenant, _) in TENANTS {
            let url = match self.server {
                None => format!("sqlite://tenants/{tenant}.db"),
                Some(port) => {
                    let database = self.database(tenant);
                    format!("postgres://app:${{env:APP_PASSWORD}}@127.0.0.1:{port}/{database}?sslmode=disable")
                }
            };
            text.push_str(&format!("\n[[fleet.tenant]]\nid = \"{tenant}\"\nurl = \"{url}\"\n"));
        }
        self.project.write("windlass.toml", &text);
    }

    fn database(&self, tenant: &str) -> String {
        format!("{}_{tenant}", self.databases)
    }

    async fn found(&self, tenant: &str, sql: &str) {
        match self.server {
            None => drop(self.project.sql(&format!("tenants/{tenant}.db"), sql).await.unwrap()),
            Some(port) => {
                let database = self.database(tenant);
                Admin::at(port, "postgres").await.execute_all(&format!("CREATE DATABASE {database} OWNER app")).await;
                let mut connection = PgConnection::connect(&url_at(port, &database)).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// The binary, ready to be run here.
    pub(super) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.project.command();
        command.env("APP_PASSWORD", APP_PASSWORD).args(arguments);
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Closes a gate of a tenant, until what is returned is dropped or its server dies.
    pub(super) async fn close(&self, tenant: &str, gate: Gate) -> Admin {
        let mut admin = Admin::at(self.server.unwrap(), &self.database(tenant)).await;
        admin.execute_all(&format!("SELECT pg_advisory_lock({})", gate.0)).await;
        admin
    }

    pub(super) fn log(&self) -> std::path::PathBuf {
        self.project.at("windlass.db")
    }

    /// What the tenants hold.
    pub(super) async fn sight(&self) -> Sight {
        let mut sight = Sight::default();
        for (tenant, _) in TENANTS {
            let lines = match self.server {
                None => oracle::of_sqlite(&self.project.at(&format!("tenants/{tenant}.db"))).await,
                Some(port) => oracle::of_postgres(&url_at(port, &self.database(tenant))).await,
            };
            sight.0.insert(tenant.to_owned(), lines);
        }
        sight
    }

    /// Removes what is not in the folder.
    pub(super) async fn remove(self) {
        let Some(port) = self.server else { return };
        let mut admin = Admin::at(port, "postgres").await;
        for (tenant, _) in TENANTS {
            admin.execute_all(&format!("DROP DATABASE {} WITH (FORCE)", self.database(tenant))).await;
        }
    }
}
