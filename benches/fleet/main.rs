//! What a deploy costs: Windlass beside the bare work, in the same run, over fleets that are alike.
//!
//! `cargo bench --bench fleet` runs all of it; `cargo bench --bench fleet -- --help` says how to run less.

// Panicking is how a benchmark says that there is nothing to measure.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod engine;
mod floor;
mod noop;
mod project;
mod release;

use std::time::Duration;

use clap::Parser;

use engine::{Fleet, Sqlite};

/// Measures deploys: floor, Windlass, floor, Windlass …
#[derive(Debug, Parser)]
struct Arguments {
    /// Tenants of a fleet; 50 and 200 where nothing is said
    #[arg(long)]
    tenants: Vec<usize>,
    /// Pairs of runs per fleet size
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What the tenants are; both where nothing is said
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
    Sqlite,
}

/// One line of the table.
struct Line {
    engine: &'static str,
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
    let sqlite = Sqlite::new().await;
    for tenants in sizes {
        lines.push(compare(&sqlite, tenants, &arguments).await);
    }
    let noop = if arguments.noop > 0 { Some(noop::measure(&sqlite, &arguments).await) } else { None };
    report(&lines, noop.as_ref());
}

async fn compare(sqlite: &Sqlite, tenants: usize, arguments: &Arguments) -> Line {
    let mut line = Line { engine: "SQLite", tenants, floor: Vec::new(), windlass: Vec::new(), first: Vec::new() };
    for round in 0..arguments.rounds {
        // Whoever goes second finds a warmer machine, or one that is still writing: they take turns.
        for side in 0..2 {
            let fleet = sqlite.fleet(tenants);
            if (round + side) % 2 == 0 {
                line.floor.push(floor::run(&fleet.urls, arguments.concurrency).await);
            } else {
                windlass(&fleet, arguments, &mut line).await;
            }
            fleet.prove().await;
        }
        let (floor, windlass) = (line.floor[round], line.windlass[round]);
        eprintln!("{}, {tenants} tenants, round {}: {} ms, {} ms", line.engine, round + 1, ms(floor), ms(windlass));
    }
    line
}

async fn windlass(fleet: &Fleet, arguments: &Arguments, line: &mut Line) {
    project::write(fleet, arguments.concurrency);
    let ran = project::windlass(fleet.folder.path(), &["deploy"], "");
    line.windlass.push(ran.took);
    line.first.push(ran.until_first_move(fleet.folder.path()).await);
}

fn report(lines: &[Line], noop: Option<&noop::Noop>) {
    println!("\n| | tenants | floor | Windlass | ratio | first tenant moves after |");
    println!("|---|--:|--:|--:|--:|--:|");
    for Line { engine, tenants, floor, windlass, first } in lines {
        let (floor, windlass, first) = (median(floor), median(windlass), median(first));
        let ratio = windlass.as_secs_f64() / floor.as_secs_f64();
        println!("| {engine} | {tenants} | {} ms | {} ms | {ratio:.2} | {} ms |", ms(floor), ms(windlass), ms(first));
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
pub fn median(of: &[Duration]) -> Duration {
    let mut sorted = of.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// Whole milliseconds.
pub fn ms(of: Duration) -> u128 {
    of.as_millis()
}
