//! A fleet that the storm goes over: tenants behind proxies, and beside them one of each kind that nobody disturbs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::chronicle::Chronicle;
use super::dice::Dice;
use super::disk::Disk;
use super::release::{FOUNDATION, ITEMS, Kind, MIGRATIONS_MAX, Migration, Speech, draw};
use super::servers::{Engine, Servers};
use crate::support::project::{Project, Ran};
use crate::support::server::APP_PASSWORD;
use crate::support::{mariadb, oracle, postgres};

/// How long a tenant is owned without a sign of life, where the storm goes: long enough for a busy machine, short enough to be slept
/// through.
pub(super) const LEASE_MS: usize = 1500;

/// How the names of the migrations end that a poisoned tenant cannot take.
pub(super) const STRICT: &str = "_strict";
/// Tries enough for anything that the storm does, and hardly any.
const PATIENT: &str = r#"retry = { attempts = 60, first = "100ms", factor = 1.3, max = "1s" }"#;
const IMPATIENT: &str = r#"retry = { attempts = 3, first = "100ms", factor = 2.0, max = "300ms" }"#;
/// Tries of those who have hardly any.
pub(super) const IMPATIENT_TRIES: usize = 3;

/// One tenant's place.
#[derive(Debug, Clone)]
pub(super) struct Tenant {
    pub(super) name: String,
    pub(super) engine: Engine,
    /// The database on its server, or the file.
    pub(super) database: String,
}

/// Everything that the oracle sees in a tenant: its definitions and rows, and what has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) lines: Vec<String>,
    /// Of each migration, how often it came up and went down.
    pub(super) passages: BTreeMap<usize, (u64, u64)>,
}

pub(super) struct Fleet {
    pub(super) name: String,
    pub(super) speech: Speech,
    // Before the project, whose folder it is mounted in.
    pub(super) disk: Disk,
    pub(super) project: Project,
    calm: Project,
    pub(super) tenants: Vec<Tenant>,
    /// One for each engine that the fleet has, deployed to in peace.
    references: Vec<Tenant>,
    pub(super) migrations: Vec<Migration>,
    /// How many of them are in force everywhere.
    pub(super) in_force: usize,
    number: usize,
}

impl Fleet {
    /// Founds the tenants, and deploys a first migration to all of them.
    pub(super) async fn found(name: &str, speech: Speech, most: usize, servers: &Servers, dice: &mut Dice) -> Self {
        let engines: Vec<Engine> = match speech {
            Speech::Postgres => vec![Engine::Postgres],
            Speech::MariaDb => vec![Engine::MariaDb],
            Speech::Sqlite => vec![Engine::Sqlite],
            Speech::Common => vec![Engine::Postgres, Engine::MariaDb, Engine::Sqlite],
        };
        let project = Project::new();
        let disk = Disk::under(&project.at("log"));
        let (mut tenants, mut references) = (Vec::new(), Vec::new());
        for engine in engines {
            let count =
                if speech == Speech::Common { dice.between(2, most.div_ceil(2)) } else { dice.between(4, most) };
            for at in 0..count {
                tenants.push(Tenant::new(name, &format!("{}{at}", engine.short()), engine, &project));
            }
            references.push(Tenant::new(name, &format!("{}_calm", engine.short()), engine, &project));
        }
        for tenant in tenants.iter().chain(&references) {
            tenant.found(servers).await;
        }
        let fleet = Self {
            name: name.to_owned(),
            speech,
            disk,
            project,
            calm: Project::new(),
            tenants,
            references,
            migrations: Vec::new(),
            in_force: 0,
            number: 0,
        };
        fleet.configure(servers, dice);
        fleet
    }

    /// Writes configurations and workflows.
    fn configure(&self, servers: &Servers, dice: &mut Dice) {
        let workflow = include_str!("../../../workflows/all-or-nothing.toml");
        let usual = workflow.lines().find(|line| line.starts_with("retry = ")).unwrap();
        for (name, retry) in [("patient", PATIENT), ("impatient", IMPATIENT)] {
            let text = workflow.replace(usual, retry).replace("all-or-nothing", name);
            self.project.write(&format!("workflows/{name}.toml"), &text);
        }
        let concurrency = dice.between(1, 6);
        self.project.write(
            "windlass.toml",
            &configuration(&self.tenants, concurrency, "log/windlass.db", |engine| servers.stormy_port(engine)),
        );
        self.calm
            .write("windlass.toml", &configuration(&self.references, 4, "windlass.db", |engine| servers.port(engine)));
    }

    /// Adds migrations to the release; the kinds of some are given.
    pub(super) fn extend(&mut self, count: usize, strict_at: Option<usize>, dice: &mut Dice) {
        // What a withdrawn release would have made does not exist.
        let mut tables = self.migrations.last().map(|migration| migration.tables.clone()).unwrap_or_default();
        for at in 0..count {
            self.number += 1;
            // One that takes its time is always among them, so that there is something to befall.
            let kind = match at {
                0 => Some(Kind::Nap),
                _ => (strict_at == Some(at)).then_some(Kind::Strict),
            };
            let migration = draw(self.speech, self.number, kind, &mut tables, dice);
            self.write(&migration);
            self.migrations.push(migration);
        }
    }

    fn write(&self, migration: &Migration) {
        for project in [&self.project, &self.calm] {
            project.write(&format!("migrations/{}.up.sql", migration.name), &migration.up);
            project.write(&format!("migrations/{}.down.sql", migration.name), &migration.down);
        }
    }

    /// Takes what is not in force out of the release.
    pub(super) fn withdraw(&mut self) {
        for migration in self.migrations.drain(self.in_force..) {
            for project in [&self.project, &self.calm] {
                for half in ["up", "down"] {
                    std::fs::remove_file(project.at(&format!("migrations/{}.{half}.sql", migration.name))).unwrap();
                }
            }
        }
    }

    pub(super) fn engines(&self) -> BTreeSet<Engine> {
        self.tenants.iter().map(|tenant| tenant.engine).collect()
    }

    pub(super) fn log(&self) -> PathBuf {
        self.project.at("log/windlass.db")
    }

    /// The binary, ready to be run here.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command();
        command.env("APP_PASSWORD", APP_PASSWORD).env("WINDLASS_TEST_LEASE_MS", LEASE_MS.to_string()).args(arguments);
        command
    }

    /// The same, refused to write beyond a size of file (blocks of 512 bytes).
    pub(super) fn limited_command(&self, blocks: u64, arguments: &[&str]) -> Command {
        let script = format!("ulimit -f {blocks}; exec windlass {}", arguments.join(" "));
        let mut command = self.project.command_of("sh");
        command.env("APP_PASSWORD", APP_PASSWORD).env("WINDLASS_TEST_LEASE_MS", LEASE_MS.to_string());
        command.args(["-c", &script]);
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// The same where nobody disturbs it.
    pub(super) fn run_calm(&self, arguments: &[&str]) -> Ran {
        let mut command = self.calm.command();
        Ran::of(command.env("APP_PASSWORD", APP_PASSWORD).args(arguments).output().unwrap())
    }

    pub(super) async fn sights(&self, servers: &Servers) -> BTreeMap<String, Sight> {
        let mut sights = BTreeMap::new();
        for tenant in &self.tenants {
            sights.insert(tenant.name.clone(), tenant.sight(servers).await);
        }
        sights
    }

    /// What the undisturbed tenants hold.
    pub(super) async fn calm_sights(&self, servers: &Servers) -> BTreeMap<Engine, Sight> {
        let mut sights = BTreeMap::new();
        for tenant in &self.references {
            sights.insert(tenant.engine, tenant.sight(servers).await);
        }
        sights
    }

    /// Removes what is not in the folders.
    pub(super) async fn remove(self, servers: &Servers) {
        for tenant in self.tenants.iter().chain(&self.references) {
            tenant.remove(servers).await;
        }
    }

    /// Leaves the folder where it is, with the log in it and the story.
    pub(super) fn keep(self, chronicle: &Chronicle) -> PathBuf {
        self.disk.keep_in(&self.project.at("kept-log"));
        drop(self.disk);
        self.project.write("chronicle.txt", &chronicle.lines());
        self.project.keep()
    }
}

fn configuration(tenants: &[Tenant], concurrency: usize, log: &str, port: impl Fn(Engine) -> u16) -> String {
    let mut text =
        format!("name = \"storm\"\n[log]\nurl = \"sqlite://{log}\"\n[deploy]\nconcurrency = {concurrency}\n");
    for tenant in tenants {
        let url = tenant.url(port(tenant.engine));
        text.push_str(&format!("\n[[fleet.tenant]]\nid = \"{}\"\nurl = \"{url}\"\n", tenant.name));
    }
    text
}

impl Tenant {
    fn new(fleet: &str, name: &str, engine: Engine, project: &Project) -> Self {
        let database = match engine {
            Engine::Sqlite => project.at(&format!("tenants/{name}.db")).to_str().unwrap().to_owned(),
            _ => format!("{fleet}_{name}"),
        };
        Self { name: name.to_owned(), engine, database }
    }

    fn url(&self, port: u16) -> String {
        let database = &self.database;
        match self.engine {
            Engine::Sqlite => format!("sqlite://{database}"),
            Engine::Postgres => {
                format!("postgres://app:${{env:APP_PASSWORD}}@127.0.0.1:{port}/{database}?sslmode=disable")
            }
            Engine::MariaDb => {
                format!("mysql://app:${{env:APP_PASSWORD}}@127.0.0.1:{port}/{database}?ssl-mode=disabled")
            }
        }
    }

    async fn found(&self, servers: &Servers) {
        let database = &self.database;
        let port = servers.port(self.engine);
        match self.engine {
            Engine::Sqlite => {
                std::fs::create_dir_all(Path::new(database).parent().unwrap()).unwrap();
                std::fs::File::create(database).unwrap();
            }
            Engine::Postgres => {
                let make = format!("CREATE DATABASE {database} OWNER app");
                postgres::Admin::at(port, "postgres").await.execute_all(&make).await;
            }
            Engine::MariaDb => {
                let make =
                    format!("CREATE DATABASE {database} CHARACTER SET utf8mb4; GRANT ALL ON {database}.* TO app@'%'");
                mariadb::Admin::at(port, "").await.execute_all(&make).await;
            }
        }
        let rows: Vec<String> = (1..=ITEMS).map(|id| format!("({id}, 'item {id}', {})", id * 10)).collect();
        let passages: Vec<String> = (1..=MIGRATIONS_MAX).map(|number| format!("({number}, 0, 0)")).collect();
        let (rows, passages) = (rows.join(", "), passages.join(", "));
        let sql = format!("{FOUNDATION}\nINSERT INTO items VALUES {rows};\nINSERT INTO passages VALUES {passages};");
        self.execute(servers, &sql).await;
    }

    /// Runs SQL as the tenant's own user.
    pub(super) async fn execute(&self, servers: &Servers, sql: &str) {
        let port = servers.port(self.engine);
        match self.engine {
            Engine::Sqlite => oracle::execute_in_sqlite(Path::new(&self.database), sql).await,
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&postgres::url_at(port, &self.database)).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Engine::MariaDb => mariadb::Admin::at(port, &self.database).await.execute_all(sql).await,
        }
    }

    pub(super) async fn sight(&self, servers: &Servers) -> Sight {
        let port = servers.port(self.engine);
        let mut lines = match self.engine {
            Engine::Sqlite => {
                let lines = oracle::of_sqlite(Path::new(&self.database)).await;
                // SQLite writes the new name of a table that is renamed in quotes, whatever it was written in before.
                lines
                    .into_iter()
                    .map(|line| if line.starts_with("table ") { line.replace('"', "") } else { line })
                    .collect()
            }
            Engine::Postgres => {
                let mut lines = oracle::of_postgres(&postgres::url_at(port, &self.database)).await;
                lines.extend(definitions_of_postgres(port, &self.database));
                lines
            }
            Engine::MariaDb => oracle::of_mariadb(port, &self.database).await,
        };
        let passages = take_passages(&mut lines);
        Sight { lines, passages }
    }

    async fn remove(&self, servers: &Servers) {
        let (port, database) = (servers.port(self.engine), &self.database);
        match self.engine {
            Engine::Sqlite => {}
            Engine::Postgres => {
                let drop = format!("DROP DATABASE {database} WITH (FORCE)");
                postgres::Admin::at(port, "postgres").await.execute_all(&drop).await;
            }
            Engine::MariaDb => {
                let drop = format!("DROP DATABASE {database}; REVOKE ALL ON {database}.* FROM app@'%'");
                mariadb::Admin::at(port, "").await.execute_all(&drop).await;
            }
        }
    }
}

/// The definitions as `pg_dump` writes them, without Windlass's own tables.
fn definitions_of_postgres(port: u16, database: &str) -> Vec<String> {
    let mut dump = Command::new(postgres::program("pg_dump"));
    dump.args(["--schema-only", "--exclude-table=windlass_*", "--host=127.0.0.1", "--username=postgres"]);
    dump.args([&format!("--port={port}"), database]);
    let said = dump.env("PGPASSWORD", postgres::SUPERUSER_PASSWORD).env("PGSSLMODE", "disable").output().unwrap();
    assert!(said.status.success(), "pg_dump failed: {}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).unwrap();
    // Each dump has a key of its own, against what its rows might say to psql.
    let lines = text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.map(|line| format!("definition: {line}")).collect()
}

/// Takes the rows of `passages` out of the lines of a tenant, in the form that each engine's have, and counts them.
fn take_passages(lines: &mut Vec<String>) -> BTreeMap<usize, (u64, u64)> {
    let mut counts = BTreeMap::new();
    let mut inside = false;
    lines.retain(|line| {
        let row = if let Some(row) = line.strip_prefix("row of passages: ") {
            row
        } else if line.starts_with("INSERT INTO `passages`") {
            inside = true;
            return false;
        } else if inside {
            inside = !line.ends_with(';');
            line
        } else {
            return true;
        };
        let numbers: Vec<u64> =
            row.trim_matches(['(', ')', ',', ';']).split(',').map(|number| number.trim().parse().unwrap()).collect();
        counts.insert(usize::try_from(numbers[0]).unwrap(), (numbers[1], numbers[2]));
        false
    });
    counts
}
