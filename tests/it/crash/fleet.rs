//! The fleet that is killed in the middle of a deploy: three tenants founded at different releases.

use super::home::{Home, Place, Seed};
use super::release::{FOUNDATION, Migration, TWICE, migrations};
use crate::support::oracle::Sight;
use crate::support::postgres::Admin;
use crate::support::project::{Project, Ran};
use crate::support::server::APP_PASSWORD;

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

/// The migration that can be held up on PostgreSQL, and the two places in it.
pub(super) const GATED: &str = "0004_triple";
pub(super) const ACT: Gate = Gate(41);
pub(super) const UNDO: Gate = Gate(42);

/// A place at which a test can hold a tenant's transaction up: it goes on once nobody holds the advisory lock of this number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate(u32);

impl Gate {
    /// The SQL, behind the gate.
    pub(super) fn before(self, sql: &str) -> String {
        let number = self.0;
        format!(
            "DO $$BEGIN WHILE NOT pg_try_advisory_xact_lock_shared({number}) LOOP PERFORM pg_sleep(0.01); END LOOP; END$$;\n{sql}"
        )
    }
}

/// A fleet ready to be deployed to, of which copies are made.
pub(super) struct Template {
    pub(super) home: Home,
    pub(super) way: Way,
    /// What the tenants held when they had been founded.
    pub(super) founded: Sight,
    concurrency: usize,
    project: Project,
    /// What the names of its databases on the server begin with.
    databases: String,
    /// Of each tenant, in their order.
    seeds: Vec<Seed>,
}

/// A copy, to be deployed to once.
pub(super) struct Fleet {
    pub(super) project: Project,
    databases: String,
    home: Home,
    tenants: Vec<String>,
}

impl Template {
    /// Founds the tenants, each with its own part of the history, by deploys; then writes the rest of the release. `name` keeps fleets
    /// on one server apart.
    pub(super) async fn new(home: Home, way: Way, concurrency: usize, name: &str) -> Self {
        let databases = format!("{name}_{way:?}_{concurrency}").to_lowercase();
        let founding = Fleet::of_three(Project::new(), &databases, home);
        founding.configure(concurrency);
        for (tenant, _) in TENANTS {
            let rows = if way == Way::Unwind && tenant == "crow" { TWICE } else { "" };
            home.found(&founding.project, &founding.place(tenant), &format!("{FOUNDATION}{rows}")).await;
        }
        for (at, migration) in migrations(home.engine()).into_iter().enumerate() {
            founding.add(&migration);
            for (tenant, _) in TENANTS.into_iter().filter(|(_, founded)| *founded == at + 1) {
                founding.run(&["deploy", "--only", tenant]).ends_with(0);
            }
        }
        let founded = founding.sight().await;
        if way == Way::Rollback {
            founding.run(&["deploy"]).ends_with(0);
        }
        let seeds = TENANTS.iter().map(|(tenant, _)| home.seed(&founding.place(tenant))).collect();
        Self { home, way, founded, concurrency, project: founding.project, databases, seeds }
    }

    /// A copy under a name of its own.
    pub(super) async fn copy(&self, name: &str) -> Fleet {
        let project = Project::copy_of(self.project.path().to_str().unwrap());
        let fleet = Fleet::of_three(project, &format!("{}_{name}", self.databases), self.home);
        for ((tenant, _), seed) in TENANTS.iter().zip(&self.seeds) {
            self.home.copy(seed, &fleet.place(tenant)).await;
        }
        fleet.configure(self.concurrency);
        fleet
    }

    /// Removes what is not in the folder.
    pub(super) async fn remove(self) {
        Fleet::of_three(self.project, &self.databases, self.home).remove().await;
    }
}

impl Fleet {
    fn of_three(project: Project, databases: &str, home: Home) -> Self {
        let tenants = TENANTS.map(|(tenant, _)| tenant.to_owned()).to_vec();
        Self { project, databases: databases.to_owned(), home, tenants }
    }

    /// A fleet of other tenants, each holding what this SQL makes; without a release.
    pub(super) async fn found(home: Home, databases: &str, tenants: Vec<String>, sql: &str) -> Self {
        let fleet = Self { project: Project::new(), databases: databases.to_owned(), home, tenants };
        fleet.configure(8);
        for tenant in &fleet.tenants {
            home.found(&fleet.project, &fleet.place(tenant), sql).await;
        }
        fleet
    }

    /// Adds a migration to its release.
    pub(super) fn add(&self, migration: &Migration) {
        self.project.write(&format!("migrations/{}.up.sql", migration.name), &migration.up);
        self.project.write(&format!("migrations/{}.down.sql", migration.name), &migration.down);
    }

    fn configure(&self, concurrency: usize) {
        let mut text = format!("name = \"crash\"\n\n[deploy]\nconcurrency = {concurrency}\n");
        for tenant in &self.tenants {
            let url = self.home.url(&self.place(tenant));
            text.push_str(&format!("\n[[fleet.tenant]]\nid = \"{tenant}\"\nurl = \"{url}\"\n"));
        }
        self.project.write("windlass.toml", &text);
    }

    /// Where a tenant is.
    pub(super) fn place<'a>(&self, tenant: &'a str) -> Place<'a> {
        Place { tenant, database: format!("{}_{tenant}", self.databases) }
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
        let Home::Postgres(port) = self.home else { panic!("there are gates on PostgreSQL alone") };
        let mut admin = Admin::at(port, &self.place(tenant).database).await;
        admin.execute_all(&format!("SELECT pg_advisory_lock({})", gate.0)).await;
        admin
    }

    pub(super) fn log(&self) -> std::path::PathBuf {
        self.project.at("windlass.db")
    }

    /// What the tenants hold.
    pub(super) async fn sight(&self) -> Sight {
        let mut sight = Sight::default();
        for tenant in &self.tenants {
            sight.0.insert(tenant.clone(), self.home.sight(&self.project, &self.place(tenant)).await);
        }
        sight
    }

    /// Removes what is not in the folder.
    pub(super) async fn remove(self) {
        for tenant in &self.tenants {
            self.home.remove(&self.place(tenant)).await;
        }
    }
}
