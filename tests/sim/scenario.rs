//! What a seed stands for: a fleet, its releases, what the databases will refuse, and how rough the sea is.

use std::collections::{BTreeMap, BTreeSet};

use windlass::base::{Digest, TenantId};
use windlass::fleet::{Engine, Target, Tenant, UrlTemplate};
use windlass::release::{Directives, Migration, Release, Script, Undo};
use windlass::saga::event::Half;

use crate::rng::Rng;

/// One statement of a migration, by what it does to the model database: it makes something, or adds one to a number. Either has one
/// right value before and one after, so that what happens twice shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `CREATE TABLE`: commits by itself on MySQL, and fails where the table is there.
    Make,
    /// `UPDATE … + 1`: never fails by itself; twice is two.
    Count,
}

/// A migration.
#[derive(Debug, Clone)]
pub struct MigrationDef {
    pub statements: Vec<Verb>,
    pub irreversible: bool,
}

/// What a tenant's server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poison {
    pub migration: usize,
    pub half: Half,
    /// From 0; in the order of the act.
    pub statement: usize,
    /// How often; for ever where it is none.
    pub times: Option<u32>,
}

/// A tenant.
#[derive(Debug, Clone)]
pub struct TenantDef {
    pub name: String,
    pub engine: Engine,
    pub poison: Vec<Poison>,
}

/// What is asked of Windlass, one deploy after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// The release with so many migrations.
    Release(usize),
    /// To undo the deploy before.
    Rollback,
}

/// What of a scenario is left out, to see whether it fails all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cuts {
    pub tenants: BTreeSet<usize>,
    pub migrations_max: Option<usize>,
    pub jobs_max: Option<usize>,
    pub workers_max: Option<usize>,
    pub faults: BTreeSet<usize>,
    pub calm_pace: bool,
    pub no_pauses: bool,
}

/// Somebody pauses the deploy that is then under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PauseDef {
    /// At this call to the log or a database, of all that are made.
    pub at_call: u64,
    /// How long they then wait before they say that it may go on.
    pub lasts_ms: u64,
}

/// All that is drawn before the first step.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub tenants: Vec<TenantDef>,
    pub migrations: Vec<MigrationDef>,
    pub jobs: Vec<Job>,
    pub workers: usize,
    pub wave_size: Option<u64>,
    pub attempts: u64,
    pub concurrency: usize,
    /// How long a statement takes at least, in milliseconds, by its nature.
    pub statement_ms: u64,
    /// Of a thousand calls to the log or to a database, so many go wrong in some way.
    pub roughness: u64,
    /// How many faults there are at most.
    pub faults_max: usize,
    /// Whether tenants that the log knows are taken at its word before a deploy.
    pub trusts_log: bool,
    /// Whether somebody mends the databases between two deploys, so that they refuse nothing for good any more.
    pub mends_between: bool,
    /// When somebody pauses a deploy. In a stream of their own, so that the other seeds stand for what they stood for without.
    pub pauses: Vec<PauseDef>,
    pub cuts: Cuts,
}

/// What tenants are called.
pub const NAMES: [&str; 5] = ["acme", "bolt", "crow", "dune", "echo"];

impl Scenario {
    pub fn draw(seed: u64, cuts: &Cuts) -> Self {
        let mut rng = Rng::of(seed, "scenario");
        let count = usize::try_from(rng.between(1, 4)).expect("small");
        let mut migrations: Vec<MigrationDef> = (0..count).map(|_| migration(&mut rng)).collect();
        let of = usize::try_from(rng.between(1, 5)).expect("small");
        let tenants: Vec<TenantDef> = NAMES[..of].iter().map(|name| tenant(&mut rng, name, &migrations)).collect();
        let first = usize::try_from(rng.between(1, count as u64)).expect("small");
        let mut jobs = vec![Job::Release(first)];
        let (all, back) = (Job::Release(count), Job::Rollback);
        jobs.extend(match rng.below(10) {
            0 | 1 => vec![all],
            2 => vec![all, all],
            3 | 4 => vec![back],
            5 => vec![back, all],
            6 => vec![all, back],
            7 => vec![back, back],
            _ => vec![],
        });
        let mut scenario = Self {
            seed,
            tenants,
            jobs,
            workers: usize::try_from(rng.pick(&[1, 1, 2, 2, 3])).expect("small"),
            wave_size: rng.pick(&[None, None, Some(1), Some(2)]),
            attempts: rng.between(1, 4),
            concurrency: usize::try_from(rng.between(1, 4)).expect("small"),
            statement_ms: rng.pick(&[0, 0, 0, 0, 2_000, 20_000]),
            roughness: rng.pick(&[0, 10, 30, 30, 60, 60, 120]),
            faults_max: usize::try_from(rng.between(1, 14)).expect("small"),
            trusts_log: rng.one_in(3),
            mends_between: rng.one_in(2),
            migrations: Vec::new(),
            pauses: if cuts.no_pauses { Vec::new() } else { pauses(seed) },
            cuts: cuts.clone(),
        };
        scenario.tenants = scenario
            .tenants
            .into_iter()
            .enumerate()
            .filter(|(at, _)| !cuts.tenants.contains(at))
            .map(|(_, tenant)| tenant)
            .collect();
        migrations.truncate(cuts.migrations_max.unwrap_or(usize::MAX));
        for job in &mut scenario.jobs {
            if let Job::Release(count) = job {
                *count = (*count).min(migrations.len());
            }
        }
        scenario.jobs.truncate(cuts.jobs_max.unwrap_or(usize::MAX));
        scenario.workers = scenario.workers.min(cuts.workers_max.unwrap_or(usize::MAX));
        scenario.migrations = migrations;
        scenario
    }

    /// How the deploys are done.
    pub fn workflow(&self) -> String {
        let wave = self
            .wave_size
            .map_or(String::new(), |size| format!("  [[stage.wave]]\n  select = \"*\"\n  size = \"{size}\"\n"));
        format!(
            r#"name = "sim"
[on_failure]
then = "unwind"
retry = {{ attempts = {}, first = "500ms", max = "4s" }}
[[stage]]
name = "one"
{wave}
  [[stage.step]]
  id = "preflight"
  uses = "preflight"
  [[stage.step]]
  id = "migrate"
  uses = "migrate"
  needs = ["preflight"]
  with = {{ lock_timeout = "1s", statement_timeout = "20s" }}
  [[stage.step]]
  id = "switch"
  uses = "switch"
  needs = ["migrate"]
"#,
            self.attempts
        )
    }

    /// The first so many migrations.
    pub fn release(&self, count: usize) -> Release {
        let migrations = self.migrations.iter().take(count).enumerate().map(|(at, def)| written(at, def));
        Release::new(None, migrations.collect()).expect("versions differ")
    }

    /// The things that a migration makes.
    pub fn subjects(&self, migration: usize) -> impl Iterator<Item = String> {
        let verbs = self.migrations[migration].statements.iter().copied().enumerate();
        verbs.map(move |(at, verb)| subject(migration, at, verb))
    }

    /// The tenants, as a source would give them.
    pub fn fleet(&self) -> Vec<Tenant> {
        let tenant = |def: &TenantDef| {
            let scheme = if def.engine == Engine::Mysql { "mysql" } else { "postgres" };
            Tenant {
                id: TenantId::new(&*def.name).expect("a tenant's id"),
                target: Target {
                    engine: def.engine,
                    url: UrlTemplate::new(format!("{scheme}://app@{}.sim/db", def.name)).expect("a url"),
                    schema: None,
                    ledger_schema: None,
                },
                labels: BTreeMap::new(),
            }
        };
        self.tenants.iter().map(tenant).collect()
    }
}

fn pauses(seed: u64) -> Vec<PauseDef> {
    let mut rng = Rng::of(seed, "paused");
    let count = if rng.one_in(4) { rng.between(1, 4) } else { 0 };
    let pause = |_| PauseDef { at_call: rng.between(10, 400), lasts_ms: rng.pick(&[500, 5_000, 40_000, 120_000]) };
    (0..count).map(pause).collect()
}

fn migration(rng: &mut Rng) -> MigrationDef {
    let statements = (0..rng.between(1, 3)).map(|_| rng.pick(&[Verb::Make, Verb::Count])).collect();
    MigrationDef { statements, irreversible: rng.one_in(20) }
}

fn tenant(rng: &mut Rng, name: &str, migrations: &[MigrationDef]) -> TenantDef {
    let engine = if rng.one_in(3) { Engine::Mysql } else { Engine::Postgres };
    let mut poison = Vec::new();
    for (at, migration) in migrations.iter().enumerate() {
        let statement = usize::try_from(rng.below(migration.statements.len() as u64)).expect("small");
        let times = rng.pick(&[None, Some(1), Some(2), None]);
        if rng.one_in(7) {
            poison.push(Poison { migration: at, half: Half::Act, statement, times });
        }
        if rng.one_in(12) {
            poison.push(Poison { migration: at, half: Half::Undo, statement, times });
        }
    }
    TenantDef { name: name.to_owned(), engine, poison }
}

/// What a statement changes: `t1_2` is the thing that the second statement of the first migration makes, `c1_2` the number it counts.
pub fn subject(migration: usize, statement: usize, verb: Verb) -> String {
    let kind = if verb == Verb::Make { 't' } else { 'c' };
    format!("{kind}{}_{}", migration + 1, statement + 1)
}

/// A migration's name in plans and ledgers.
pub fn label(migration: usize) -> String {
    format!("{:04}_m", migration + 1)
}

fn written(at: usize, def: &MigrationDef) -> Migration {
    let (mut up, mut down) = (String::new(), Vec::new());
    for (number, verb) in def.statements.iter().enumerate() {
        let name = subject(at, number, *verb);
        match verb {
            Verb::Make => {
                up.push_str(&format!("CREATE TABLE {name} (id int);\n"));
                down.push(format!("DROP TABLE {name};\n"));
            }
            Verb::Count => {
                up.push_str(&format!("UPDATE tally SET {name} = {name} + 1;\n"));
                up.push_str(&format!("-- undo: UPDATE tally SET {name} = {name} - 1;\n"));
                down.push(format!("UPDATE tally SET {name} = {name} - 1;\n"));
            }
        }
    }
    down.reverse();
    let script = |kind: &str, text: String| Script {
        file: format!("{}.{kind}.sql", label(at)),
        digest: Digest::of(text.as_bytes()),
        text,
        directives: Directives::default(),
    };
    let undo = if def.irreversible { Undo::Irreversible } else { Undo::Written(script("down", down.concat())) };
    Migration::new(&format!("{:04}", at + 1), "m".to_owned(), script("up", up), undo).expect("a version")
}
