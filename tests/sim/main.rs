//! The simulator: the real engine over a simulated log, simulated tenants, a simulated clock and network, in one thread. A seed decides
//! everything, so a seed that fails does so every time. See `docs/reliability-simulator.md`.

mod belief;
mod chaos;
mod database;
mod gateway;
mod human;
mod log;
mod oracle;
mod process;
mod rng;
mod run;
mod scenario;
mod session;
mod shrink;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use run::{Run, simulate};
use scenario::Cuts;
use world::Telling;

/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 2_000;
/// Seeds of a long one.
const SEEDS_LONG: u64 = 50_000;
/// Seeds that are run side by side.
const SIDE_BY_SIDE: usize = 2;
/// Failing seeds after which a run of many is given up.
const FAILURES_MAX: usize = 3;

/// Seeds that once found something, each with what it found.
const REGRESSIONS: &[(u64, &str)] = &[];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// What many seeds came to.
#[derive(Default)]
struct Tally {
    seeds: u64,
    events: u64,
    calls: u64,
    lasted: Duration,
    faults: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, u64>,
    refused: u64,
    failed: Vec<u64>,
}

impl Tally {
    fn take(&mut self, seed: u64, run: &Run) {
        self.seeds += 1;
        self.events += run.events;
        self.calls += run.calls;
        self.lasted += run.lasted;
        for (_, fault, _) in &run.faults {
            let name: String = format!("{fault:?}").chars().take_while(char::is_ascii_alphabetic).collect();
            *self.faults.entry(name).or_default() += 1;
        }
        for outcome in &run.outcomes {
            *self.outcomes.entry(format!("{outcome:?}")).or_default() += 1;
        }
        self.refused += u64::from(run.refused.is_some());
        if run.broken.is_some() {
            self.failed.push(seed);
        }
    }

    fn show(&self, took: Duration) {
        let faults: u64 = self.faults.values().sum();
        let rate = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64();
        println!(
            "{} seeds in {:.1} s ({:.0} a second): {} events ({:.0} a second), {} calls, {faults} faults, {} hours of simulated time",
            self.seeds,
            took.as_secs_f64(),
            rate(self.seeds),
            self.events,
            rate(self.events),
            self.calls,
            self.lasted.as_secs() / 3600,
        );
        println!("deploys: {:?}; {} were refused before they began", self.outcomes, self.refused);
        println!("faults: {:?}", self.faults);
    }
}

/// Whether the first failure is enough, told in a line: for whoever looks for planted defects.
fn is_terse() -> bool {
    std::env::var_os("WINDLASS_SIM_TERSE").is_some()
}

/// Runs seeds side by side until they are through, or too many have failed.
fn run_all(from: u64, count: u64) -> Tally {
    let failures_max = if is_terse() { 1 } else { FAILURES_MAX };
    let began = Instant::now();
    let (next, tally) = (AtomicU64::new(from), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..if is_terse() { 1 } else { SIDE_BY_SIDE } {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed - from >= count || tally.lock().unwrap().failed.len() >= failures_max {
                        return;
                    }
                    let run = simulate(seed, &Cuts::default(), Telling::Silent);
                    let mut tally = tally.lock().unwrap();
                    tally.take(seed, &run);
                    if tally.seeds.is_multiple_of(SEEDS) {
                        tally.show(began.elapsed());
                    }
                    if let Some(broken) = &run.broken {
                        println!("seed {seed}: {} is broken: {}", broken.promise, broken.what);
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    tally.show(began.elapsed());
    tally
}

/// `WINDLASS_SIM_FROM` and `WINDLASS_SIM_SEEDS` choose others; so many as 0 are run until somebody stops it.
#[test]
fn seeds_keep_every_promise() {
    let from = number("WINDLASS_SIM_FROM").unwrap_or(1);
    let usual = if std::env::var_os("WINDLASS_LONG").is_some() { SEEDS_LONG } else { SEEDS };
    let count = number("WINDLASS_SIM_SEEDS").map_or(usual, |count| if count == 0 { u64::MAX } else { count });
    let tally = run_all(from, count);
    if let Some(first) = tally.failed.iter().min() {
        assert!(!is_terse(), "seed {first} fails");
        panic!("{}", shrink::told(*first));
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
    for seed in 1..=40 {
        let [one, two] = [(); 2].map(|()| simulate(seed, &Cuts::default(), Telling::Kept));
        assert_eq!(one.history, two.history, "seed {seed}");
        assert_eq!((one.bytes, one.events, one.calls), (two.bytes, two.events, two.calls), "seed {seed}");
    }
}
