//! What everything in a simulation shares: the clock, chance, what was seen, and the databases. One thread, so nothing here ever waits
//! for a lock; the mutex is there because the engine asks for things that could be sent elsewhere.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use windlass::base::{Clock, DeployId, TenantId, Timestamp};
use windlass::log::MemoryLog;

use crate::coverage::{self, Seen};
use crate::database::Database;
use crate::oracle::Oracle;
use crate::process::Process;
use crate::rng::Rng;
use crate::scenario::{Job, Scenario};

/// When every simulation begins: 2026-01-01 00:00 UTC.
const BEGINNING: Timestamp = Timestamp(1_767_225_600_000);
/// Calls that one simulation may make: a healthy one makes some hundreds, or some thousands where a human is waited for.
const CALLS_MAX: u64 = 100_000;

/// The runtime's clock, which stands still until every task waits for it.
pub struct SimClock(Instant);

impl SimClock {
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        BEGINNING.plus(self.elapsed())
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub promise: &'static str,
    pub what: String,
}

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before it has sent anything.
    CrashBefore,
    /// The process dies with the call under way, which may or may not arrive.
    CrashDuring,
    /// The process dies when all is done and before it has heard of it.
    CrashAfter,
    /// The process stands still for so many milliseconds, and its leases run out meanwhile.
    Pause(u64),
    /// Somebody takes the process for dead and ends its leases; it is not.
    TakenForDead,
    /// The operator says stop, and the running steps end.
    Drain,
    /// The operator says stop twice.
    StopNow,
    /// The operator turns the deploy.
    Unwind,
    /// The operator says `retry` of whatever is stuck, though nobody asked.
    Retry,
    /// It takes so many milliseconds longer.
    Slow(u64),
    /// It is refused, and had no effect; a further try may go better.
    Refused,
    /// It never arrives, and the caller learns only that the connection is gone.
    Lost,
    /// It is done, and the caller learns only that the connection is gone.
    ReplyLost,
    /// The caller gives up waiting; it is done at some moment or other.
    Hang,
    /// The log is not there: it is not done, and whoever asks gives up. With the effect: it is done all the same.
    Gone { with_effect: bool },
    /// The server goes down, with whatever was under way in it, and is back after so many milliseconds.
    Down(u64),
    /// The text ended its own transaction: a part of it stays, without a ledger row.
    Torn,
}

/// What may go wrong at a call.
pub struct Menu {
    /// How much likelier than at others it is that something does.
    pub rough: u64,
    /// By how likely each is.
    pub faults: Vec<(u64, Fault)>,
}

/// What goes wrong, and when.
pub struct Faults {
    rng: Rng,
    roughness: u64,
    max: usize,
    seen: usize,
    pub taken: Vec<(usize, Fault, String)>,
}

impl Faults {
    /// Perhaps one of these. What is drawn does not depend on what has been cut off, up to the first that was.
    fn draw(&mut self, Menu { rough, faults: menu }: &Menu, cut: &dyn Fn(usize) -> bool) -> Option<(usize, Fault)> {
        if self.seen >= self.max || self.rng.below(1000) >= self.roughness * rough {
            return None;
        }
        let mut left = self.rng.below(menu.iter().map(|(weight, _)| weight).sum());
        let (_, fault) = menu.iter().find(|(weight, _)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        })?;
        let at = self.seen;
        self.seen += 1;
        (!cut(at)).then_some((at, *fault))
    }
}

/// What there is but the log.
pub struct Inner {
    pub faults: Faults,
    pub chance: Rng,
    pub oracle: Oracle,
    pub databases: BTreeMap<TenantId, Database>,
    history: Option<Vec<String>>,
    broken: Option<Broken>,
    /// What was come past that the log does not tell of.
    met: Seen,
    /// The faults that had their effect.
    struck: Seen,
    calls: u64,
    pub board: Board,
}

impl Inner {
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    pub const fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }
}

/// What the workers are to do now, and how it went.
#[derive(Debug, Default)]
pub struct Board {
    /// What is asked for.
    pub job: Option<Job>,
    /// The deploys of that job have come to their end, or there was nothing to do.
    pub done: bool,
    /// It was refused, not for want of an answer.
    pub refused: Option<String>,
    /// How many deploys there were, and which was the last, when the job began.
    pub before: (usize, Option<DeployId>),
    /// The last deploy that was asked for, by its number.
    pub asked: u128,
}

/// The world.
pub struct World {
    pub scenario: Scenario,
    pub clock: Arc<SimClock>,
    pub log: Arc<MemoryLog>,
    inner: Mutex<Inner>,
}

/// Whether a history is kept for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Kept,
    Silent,
}

impl World {
    /// A world before its first moment. Must be called within a runtime whose clock stands still.
    pub fn new(scenario: Scenario, telling: Telling) -> Arc<Self> {
        let clock = Arc::new(SimClock(Instant::now()));
        let faults = Faults {
            rng: Rng::of(scenario.seed, "faults"),
            roughness: scenario.roughness,
            max: scenario.faults_max,
            seen: 0,
            taken: Vec::new(),
        };
        let databases = scenario.fleet().into_iter().zip(&scenario.tenants);
        let databases = databases.map(|(tenant, def)| (tenant.id, Database::new(def, &scenario.migrations))).collect();
        let inner = Inner {
            faults,
            chance: Rng::of(scenario.seed, "pace"),
            oracle: Oracle::new(&scenario),
            databases,
            history: (telling == Telling::Kept).then(Vec::new),
            broken: None,
            met: Seen::new(),
            struck: Seen::new(),
            calls: 0,
            board: Board::default(),
        };
        let log = Arc::new(MemoryLog::new(Arc::clone(&clock) as Arc<dyn Clock>));
        Arc::new(Self { scenario, clock, log, inner: Mutex::new(inner) })
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells people what happened.
    pub fn tell(&self, who: &dyn Display, what: impl FnOnce() -> String) {
        let at = self.clock.elapsed();
        if let Some(history) = &mut self.inner().history {
            history.push(format!("{:>9.3} s  {who:<10} {}", at.as_secs_f64(), what()));
        }
    }

    pub fn take_history(&self) -> Vec<String> {
        self.inner().history.take().unwrap_or_default()
    }

    /// Notes what the log does not tell of.
    pub fn met(&self, what: &'static str) {
        *self.inner().met.entry(what).or_default() += 1;
    }

    pub fn take_met(&self) -> Seen {
        std::mem::take(&mut self.inner().met)
    }

    /// Notes that a fault had its effect. Not every one that is drawn has one: there may be nobody stuck to say `retry` of.
    pub fn struck(&self, fault: Fault) {
        *self.inner().struck.entry(coverage::of_fault(fault)).or_default() += 1;
    }

    pub fn take_struck(&self) -> Seen {
        std::mem::take(&mut self.inner().struck)
    }

    /// A promise was broken; the first one counts.
    pub fn broke(&self, promise: &'static str, what: String) {
        if self.inner().oracle.is_beyond_evidence {
            return;
        }
        self.tell(&"ORACLE", || format!("{promise} is broken: {what}"));
        self.inner().broken.get_or_insert(Broken { promise, what });
    }

    /// Passes on what an oracle found.
    pub fn judge(&self, found: Result<(), Broken>) {
        if let Err(Broken { promise, what }) = found {
            self.broke(promise, what);
        }
    }

    /// Whether nothing more is to be seen here.
    pub fn is_over(&self) -> bool {
        let inner = self.inner();
        inner.broken.is_some() || inner.oracle.is_beyond_evidence
    }

    /// Lets nothing more happen once a promise is broken.
    pub async fn goes_on(&self) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }

    pub fn broken(&self) -> Option<Broken> {
        self.inner().broken.clone()
    }

    /// Counts a call, and draws what goes wrong with it.
    pub fn fault(&self, process: &Process, menu: &Menu, place: &str) -> Option<Fault> {
        let drawn = {
            let mut inner = self.inner();
            inner.calls += 1;
            let (cut, inner) = (&self.scenario.cuts.faults, &mut *inner);
            let drawn = inner.faults.draw(menu, &|at| cut.contains(&at));
            if let Some((at, fault)) = drawn {
                inner.faults.taken.push((at, fault, format!("{process} {place}")));
            }
            drawn.map(|(_, fault)| fault)
        };
        if self.inner().calls == CALLS_MAX {
            self.broke("P7", format!("it goes round and round: {CALLS_MAX} calls, and no end"));
        }
        if let Some(fault) = drawn {
            self.tell(process, || format!("FAULT {fault:?} at {place}"));
        }
        drawn
    }

    /// The pauses that begin with the call that was just counted, by how long they last.
    pub fn pauses_due(&self) -> Vec<Duration> {
        let calls = self.inner().calls;
        let due = self.scenario.pauses.iter().filter(|pause| pause.at_call == calls);
        due.map(|pause| Duration::from_millis(pause.lasts_ms)).collect()
    }

    /// How long a message takes.
    pub fn pace(&self) -> Duration {
        if self.scenario.cuts.calm_pace {
            return Duration::from_millis(1);
        }
        let mut inner = self.inner();
        let ms = match inner.chance.below(20) {
            0..6 => 0,
            6..18 => inner.chance.between(1, 5),
            18 => inner.chance.between(5, 40),
            _ => inner.chance.between(40, 400),
        };
        Duration::from_millis(ms)
    }

    /// True in half of the cases.
    pub fn either_way(&self) -> bool {
        self.inner().chance.one_in(2)
    }
}
