//! The simulator: the real engine over a simulated log, simulated tenants, a simulated clock and network, in one thread. A seed decides
//! everything, so a seed that fails does so every time. See `docs/reliability/simulator.md`.

// Panicking is how a test speaks, and a test's own helpers are part of it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod belief;
mod chaos;
mod coverage;
mod database;
mod gateway;
mod human;
mod log;
mod oracle;
mod planted;
mod process;
mod rng;
mod run;
mod scenario;
mod session;
mod shrink;
mod tally;
mod worker;
mod world;

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use run::simulate;
use scenario::Cuts;
use tally::{Share, run_all};
use windlass::base::Digest;
use world::Telling;

/// Seeds of an ordinary run of the tests: the same ones each time.
const SEEDS: u64 = 2_000;
/// How long a long run tries seeds that nobody has tried.
const LONG: Duration = Duration::from_mins(20);
/// Seeds whose histories are compared.
const COMPARED: std::ops::RangeInclusive<u64> = 1..=40;

/// Seeds that find what the simulator once found, were it to come back, each with what that was.
const REGRESSIONS: &[(u64, &str)] = &[
    (
        92,
        "of two that roll a deploy back at once, the slower one blames the tenants for what the quicker one does to them",
    ),
    (267, "an act in doubt that was taken back by hand and resolved as undone stays in the ledger"),
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// A seed that nobody has tried.
fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_secs() * 1_000_000
}

/// The usual seeds, or those that `WINDLASS_SIM_FROM` and `WINDLASS_SIM_SEEDS` name, or new ones for as long as `WINDLASS_SIM_SECONDS`
/// or a long run of the tests says.
fn share() -> Share {
    let long = std::env::var_os("WINDLASS_LONG").map(|_| LONG.as_secs());
    let seconds = number("WINDLASS_SIM_SECONDS").or(long);
    let (from, seeds) = (number("WINDLASS_SIM_FROM"), number("WINDLASS_SIM_SEEDS"));
    let terse = std::env::var_os("WINDLASS_SIM_TERSE").is_some();
    if from.is_some() || seeds.is_some() || seconds.is_none() {
        return Share { from: from.unwrap_or(1), seeds: seeds.unwrap_or(SEEDS), lasts: None, terse };
    }
    let lasts = seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
    Share { from: new_seed(), seeds: u64::MAX, lasts, terse }
}

#[test]
fn seeds_keep_every_promise() {
    let share = share();
    println!("seeds from {} on", share.from);
    let tally = run_all(share);
    if let Some(first) = tally.failed.iter().min() {
        assert!(!share.terse, "seed {first} fails");
        panic!("{}", shrink::told(*first));
    }
    // A few chosen seeds need not come past everything, nor need code that a defect was put into.
    if tally.seeds >= SEEDS && !share.terse {
        assert_eq!(tally.missing(), Vec::<&str>::new(), "in {} seeds this was never come past", tally.seeds);
    }
}

#[test]
fn seeds_that_once_found_something_keep_every_promise() {
    for (seed, found) in REGRESSIONS {
        let run = simulate(*seed, &Cuts::default(), Telling::Silent);
        assert!(run.broken.is_none(), "{found}\n{}", shrink::told(*seed));
    }
}

#[test]
fn the_same_seed_gives_the_same_history_byte_for_byte() {
    for seed in COMPARED {
        let [one, two] = [(); 2].map(|()| simulate(seed, &Cuts::default(), Telling::Kept));
        assert_eq!(one.history, two.history, "seed {seed}");
        assert_eq!((one.bytes, one.events, one.calls), (two.bytes, two.events, two.calls), "seed {seed}");
    }
}

/// Of the histories of some seeds.
fn histories() -> Digest {
    let told = COMPARED.map(|seed| simulate(seed, &Cuts::default(), Telling::Kept)).map(|run| {
        assert!(!run.history.is_empty());
        format!("{}\n{}\n", run.bytes, run.history.join("\n"))
    });
    Digest::of(told.collect::<String>().as_bytes())
}

const PRINT: &str = "WINDLASS_SIM_PRINT";

/// Another process has other addresses, other random states of its maps, and threads of its own.
#[test]
fn another_process_gives_the_same_histories() {
    let own = histories().to_string();
    if std::env::var_os(PRINT).is_some() {
        println!("histories: {own}");
        return;
    }
    let this = std::env::current_exe().expect("a test has a program");
    let name = "another_process_gives_the_same_histories";
    let other = Command::new(this).args(["--exact", name, "--nocapture"]).env(PRINT, "1").output().expect("it runs");
    let told = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(told.contains(&format!("histories: {own}")), "{own} here, and there: {told}");
}
