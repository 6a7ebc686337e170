//! Many seeds, and what they came to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::coverage::{ENDS, FAULTS, Seen};
use crate::run::{Run, simulate};
use crate::scenario::Cuts;
use crate::world::Telling;

/// Failing seeds after which a run of many is given up.
const FAILURES_MAX: usize = 3;
/// How often a run of many says how far it is.
const SHOWN: Duration = Duration::from_mins(1);
/// No seed takes so long, however busy the machine is: one that does goes round without ever asking log or tenant.
const SEED_MAX: Duration = Duration::from_mins(5);

/// Which seeds are run.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub from: u64,
    pub seeds: u64,
    /// No new one is begun after so long.
    pub lasts: Option<Duration>,
    /// One after the other, and no further than the first that fails: for code that a defect was put into, whose coverage says nothing.
    pub terse: bool,
}

/// What many seeds came to.
#[derive(Default)]
pub struct Tally {
    pub seeds: u64,
    events: u64,
    calls: u64,
    lasted: Duration,
    refused: u64,
    /// Faults, whether they had an effect or not.
    drawn: u64,
    /// Those that had one.
    faults: Seen,
    seen: Seen,
    pub failed: Vec<u64>,
}

impl Tally {
    fn take(&mut self, seed: u64, run: &Run) {
        self.seeds += 1;
        self.events += run.events;
        self.calls += run.calls;
        self.lasted += run.lasted;
        self.refused += u64::from(run.refused.is_some());
        self.drawn += run.faults.len() as u64;
        for (fault, count) in &run.struck {
            *self.faults.entry(fault).or_default() += count;
        }
        for (what, count) in &run.seen {
            *self.seen.entry(what).or_default() += count;
        }
        if let Some(broken) = &run.broken {
            println!("seed {seed}: {} is broken: {}", broken.promise, broken.what);
            self.failed.push(seed);
        }
    }

    /// What is never come past, although it should be.
    pub fn missing(&self) -> Vec<&'static str> {
        let ends = ENDS.iter().filter(|what| !self.seen.contains_key(*what));
        ends.chain(FAULTS.iter().filter(|what| !self.faults.contains_key(*what))).copied().collect()
    }

    /// In a line.
    fn show(&self, took: Duration) {
        let faults: u64 = self.faults.values().sum();
        let rate = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64();
        println!(
            "{} seeds in {:.0} s ({:.0} a second): {} events ({:.0} a second), {} calls, {faults} faults ({:.0} a second; \
             {} were drawn), {} hours of simulated time; {} ended at a deploy that was refused; {} failed",
            self.seeds,
            took.as_secs_f64(),
            rate(self.seeds),
            self.events,
            rate(self.events),
            self.calls,
            rate(faults),
            self.drawn,
            self.lasted.as_secs() / 3600,
            self.refused,
            self.failed.len(),
        );
    }

    /// As a table.
    fn show_all(&self, took: Duration) {
        self.show(took);
        for (what, counts) in [("faults that had an effect", &self.faults), ("come past", &self.seen)] {
            println!("{what}:");
            for (name, count) in counts {
                println!("{count:>9}  {name}");
            }
        }
    }
}

/// Runs seeds side by side until they are through, time is up, or too many have failed.
pub fn run_all(share: Share) -> Tally {
    let side_by_side =
        if share.terse { 1 } else { std::thread::available_parallelism().map_or(1, std::num::NonZero::get) };
    let failures_max = if share.terse { 1 } else { FAILURES_MAX };
    let began = Instant::now();
    let (next, tally, shown) = (AtomicU64::new(0), Mutex::new(Tally::default()), Mutex::new(Instant::now()));
    let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(|| {
                loop {
                    let count = next.fetch_add(1, Ordering::SeqCst);
                    let over = share.lasts.is_some_and(|lasts| began.elapsed() >= lasts);
                    if count >= share.seeds || over || lock().failed.len() >= failures_max {
                        return;
                    }
                    let seed = share.from.wrapping_add(count);
                    let run = watched(seed);
                    let tally = &mut *lock();
                    tally.take(seed, &run);
                    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                    if shown.elapsed() >= SHOWN {
                        *shown = Instant::now();
                        tally.show(began.elapsed());
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.show_all(began.elapsed());
    tally
}

/// Runs a seed under the eyes of somebody who would notice if it never came back.
fn watched(seed: u64) -> Run {
    let (done, over) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The other end is dropped at the end, also by a panic.
            if over.recv_timeout(SEED_MAX) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!(
                    "seed {seed} has not come back after {SEED_MAX:?}: it goes round without asking log or tenant"
                );
                std::process::abort();
            }
        });
        let _done = done;
        simulate(seed, &Cuts::default(), Telling::Silent)
    })
}
