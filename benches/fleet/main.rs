//! What a deploy costs: Windlass beside the bare work, in the same run, over fleets that are alike.
//!
//! `cargo bench --bench fleet` runs all of it; `cargo bench --bench fleet -- --help` says how to run less.

// Panicking is how a benchmark says that there is nothing to measure.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod engine;
mod floor;
#[path = "../../tests/it/support/mariadb.rs"]
#[allow(dead_code, reason = "the tests, whose server it is, ask more of it")]
mod mariadb;
mod noop;
#[path = "../../tests/it/support/postgres.rs"]
#[allow(dead_code, reason = "the tests, whose server it is, ask more of it")]
mod postgres;
mod project;
mod release;
#[path = "../../tests/it/support/server.rs"]
#[allow(dead_code, reason = "the tests, whose servers it keeps, ask more of it")]
mod server;

use std::time::Duration;

use clap::Parser;

use engine::{Engine, Fleet};
use release::Release;

/// Measures deploys: floor, Windlass, floor, Windlass …
#[derive(Debug, Parser)]
struct Arguments {
    /// Tenants of a fleet; 50 and 200 where nothing is said
    #[arg(long)]
    tenants: Vec<usize>,
    /// Pairs of runs per fleet size
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What the tenants are; all three where nothing is said
    #[arg(long, value_enum)]
    engine: Option<Kind>,
    /// Tenants that are driven at a time, by either side
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Tenants of the fleet that has nothing to do; 0 leaves this part out
    #[arg(long, default_value_t = 1000)]
    noop: usize,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Postgres,
    Mariadb,
    Sqlite,
}

/// One line of the table.
struct Line {
    engine: &'static str,
    release: Release,
    tenants: usize,
    floor: Vec<Duration>,
    windlass: Vec<Duration>,
    first: Vec<Duration>,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let sizes = if arguments.tenants.is_empty() { vec![50, 200] } else { arguments.tenants.clone() };
    let mut lines = Vec::new();
    let wanted = |kind| arguments.engine.is_none_or(|only| only == kind);
    if wanted(Kind::Postgres) {
        let mut engine = Engine::postgres().await;
        for tenants in &sizes {
            lines.extend(compare(&mut engine, *tenants, &arguments).await);
        }
    }
    if wanted(Kind::Mariadb) {
        let mut engine = Engine::mariadb().await;
        for tenants in &sizes {
            lines.extend(compare(&mut engine, *tenants, &arguments).await);
        }
    }
    let mut noop = None;
    if wanted(Kind::Sqlite) {
        let mut engine = Engine::sqlite().await;
        for tenants in &sizes {
            lines.extend(compare(&mut engine, *tenants, &arguments).await);
        }
        if arguments.noop > 0 {
            noop = Some(noop::measure(&mut engine, &arguments).await);
        }
    }
    report(&lines, noop.as_ref());
}

async fn compare(engine: &mut Engine, tenants: usize, arguments: &Arguments) -> [Line; 2] {
    let line = |release| Line {
        engine: engine.name(),
        release,
        tenants,
        floor: Vec::new(),
        windlass: Vec::new(),
        first: Vec::new(),
    };
    let mut lines = Release::BOTH.map(line);
    for round in 0..arguments.rounds {
        // Whoever goes second finds a warmer machine, or one that is still writing: they take turns.
        for turn in 0..2 {
            let fleet = engine.fleet(tenants).await;
            if (round + turn) % 2 == 0 {
                floor(&fleet, arguments, &mut lines).await;
            } else {
                windlass(&fleet, arguments, &mut lines).await;
            }
            engine.raze(fleet).await;
        }
    }
    lines
}

async fn floor(fleet: &Fleet, arguments: &Arguments, lines: &mut [Line; 2]) {
    for line in lines {
        let meter = Meter::start(fleet);
        let took = floor::run(&fleet.urls, line.release, arguments.concurrency).await;
        line.tell("floor", took, meter.read(fleet));
        line.floor.push(took);
        fleet.prove(line.release).await;
    }
}

async fn windlass(fleet: &Fleet, arguments: &Arguments, lines: &mut [Line; 2]) {
    project::write(fleet, arguments.concurrency);
    for line in lines {
        project::add(fleet, line.release);
        let meter = Meter::start(fleet);
        let ran = project::windlass(fleet.folder.path(), &["deploy"]);
        line.tell("Windlass", ran.took, meter.read(fleet));
        line.windlass.push(ran.took);
        line.first.push(ran.until_first_move(fleet.folder.path()).await);
        fleet.prove(line.release).await;
    }
}

impl Line {
    fn tell(&self, who: &str, took: Duration, [client, server]: [Duration; 2]) {
        let Self { engine, release, tenants, .. } = self;
        eprintln!(
            "{engine}, {tenants} tenants, {} release, {who}: {} ms; processor time: client {} ms, server {} ms",
            release.name(),
            ms(took),
            ms(client),
            ms(server)
        );
    }
}

/// Processor time from here to there: of this process and those that it has started and seen end, and of the database server.
struct Meter([Duration; 2]);

impl Meter {
    fn start(fleet: &Fleet) -> Self {
        Self(Self::now(fleet))
    }

    fn read(&self, fleet: &Fleet) -> [Duration; 2] {
        let now = Self::now(fleet);
        [now[0].saturating_sub(self.0[0]), now[1].saturating_sub(self.0[1])]
    }

    fn now(fleet: &Fleet) -> [Duration; 2] {
        let server = fleet.server.iter().map(|process| cpu_time(&process.to_string())).sum();
        [cpu_time("self"), server]
    }
}

/// The processor time of a process and of those that it has started and seen end.
fn cpu_time(process: &str) -> Duration {
    /// The unit of `/proc`: a hundredth of a second on every Linux.
    const TICK: Duration = Duration::from_millis(10);
    // One that has ended meanwhile is in the count of the one that started it.
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return Duration::ZERO };
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(4).map(|field| field.parse::<u32>().unwrap()).sum();
    TICK * ticks
}

fn report(lines: &[Line], noop: Option<&noop::Noop>) {
    println!("\n| | tenants | release | floor | Windlass | ratio | first tenant moves after |");
    println!("|---|--:|---|--:|--:|--:|--:|");
    for Line { engine, release, tenants, floor, windlass, first } in lines {
        let (floor, windlass, first) = (median(floor), median(windlass), median(first));
        let ratio = windlass.as_secs_f64() / floor.as_secs_f64();
        println!(
            "| {engine} | {tenants} | {} | {} ms | {} ms | {ratio:.2} | {} ms |",
            release.name(),
            ms(floor),
            ms(windlass),
            ms(first)
        );
    }
    if let Some(noop) = noop {
        println!("\n{noop}");
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let given = if given.is_empty() { String::new() } else { format!(" -- {}", given.join(" ")) };
    println!("\nMedians, on {cores} cores, by: cargo bench --bench fleet{given}");
}

/// The middle one.
fn median(of: &[Duration]) -> Duration {
    let mut sorted = of.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// Whole milliseconds.
fn ms(of: Duration) -> u128 {
    of.as_millis()
}
