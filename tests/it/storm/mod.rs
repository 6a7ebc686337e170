//! The storm: real deploys to real tenants, while everything that they stand on fails at random.
//!
//! Fleets on PostgreSQL, MariaDB, SQLite and all three get one deploy after the other, driven by one to four processes of the real
//! binary that share one log. Meanwhile workers are killed and put to sleep, connections cut, servers killed, the log's disk filled and
//! its file locked (`faults`). When the weather is fair again each deploy has to come to an end, and every tenant has to be what that
//! end says, beside a tenant of its kind that nobody disturbed (`judge`).
//!
//! What is drawn comes from one seed, which is printed: the releases, the fleets, the faults and their order. When they strike depends on
//! the machine as well, so a seed repeats the kind of weather, not each drop.

mod chronicle;
mod course;
mod crew;
mod dice;
mod disk;
mod faults;
mod fleet;
mod judge;
mod judged;
mod proxy;
mod release;
mod servers;

use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chronicle::{Chronicle, Count};
use course::Course;
use dice::Dice;
use faults::{Deck, Fault};
use fleet::Fleet;
use release::Speech;
use servers::Servers;

/// What is set from outside.
const SEED: &str = "WINDLASS_STORM_SEED";
const SECONDS: &str = "WINDLASS_STORM_SECONDS";
/// The large storm, where nothing else is said.
const LARGE_SECONDS: u64 = 3600;
/// The small one blows as long as this, and on until every kind of fault has come up, but no longer than that.
const SMALL: Duration = Duration::from_mins(1);
const SMALL_MAX: Duration = Duration::from_mins(4);
/// Deploys to one fleet, before it is founded anew.
const DEPLOYS_OF_A_FLEET: usize = 10;
const SPEECHES: [Speech; 4] = [Speech::Postgres, Speech::MariaDb, Speech::Sqlite, Speech::Common];
/// How often a long storm says how far it has come.
const REPORT_EVERY: Duration = Duration::from_mins(10);
/// Findings after which it is enough.
const FINDINGS_MAX: usize = 5;

/// How much is done.
struct Size {
    tenants: usize,
    faults: usize,
    seconds: Duration,
    /// Until when it goes on if a kind of fault has not come up.
    at_most: Duration,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a whole number")))
}

fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    setting(SEED).unwrap_or_else(|| u64::try_from(now() % 1_000_000_000).unwrap())
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The kinds of fault that have not come up yet.
fn missing(chronicle: &Chronicle) -> Vec<&'static str> {
    Fault::ALL.iter().map(|fault| fault.name()).filter(|name| chronicle.counted(Count::Faults, name) == 0).collect()
}

/// One storm. Its findings are printed with its seed and told where the files are.
fn storm(size: &Size) -> Chronicle {
    let seed = seed();
    let chronicle = Chronicle::new();
    say(&format!("storm: seed {seed}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let blown = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(blow(size, seed, &chronicle))));
    let told = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("storm-{seed}.txt"));
    std::fs::write(&told, chronicle.lines()).unwrap();
    say(&format!("{}  told in {}", chronicle.account(seed), told.display()));
    if let Err(panic) = blown {
        say("storm: the test itself has failed");
        std::panic::resume_unwind(panic);
    }
    let findings = chronicle.findings();
    assert!(findings.is_empty(), "with {SEED}={seed}:\n{}", findings.join("\n\n"));
    chronicle
}

async fn blow(size: &Size, seed: u64, chronicle: &Chronicle) {
    let mut dice = Dice::new(seed);
    let servers = Servers::start().await;
    let mut deck = Deck::new();
    let begun = Instant::now();
    let goes_on = || {
        let time = begun.elapsed();
        (time < size.seconds || (time < size.at_most && !missing(chronicle).is_empty()))
            && chronicle.findings().len() < FINDINGS_MAX
    };
    let mut fleets: Vec<(Course, usize)> = Vec::new();
    let mut founded = 0;
    let mut reported = Instant::now();
    for round in 0.. {
        let at: usize = round % SPEECHES.len();
        if !goes_on() {
            break;
        }
        if fleets.len() <= at {
            fleets.push((course(&mut founded, SPEECHES[at], size, &servers, &mut dice).await, 0));
        } else if fleets[at].1 >= DEPLOYS_OF_A_FLEET {
            let new = course(&mut founded, SPEECHES[at], size, &servers, &mut dice).await;
            let (old, _) = std::mem::replace(&mut fleets[at], (new, 0));
            old.fleet.remove(&servers).await;
        }
        if reported.elapsed() > REPORT_EVERY {
            reported = Instant::now();
            say(&chronicle.account(seed));
        }
        let (course, deploys) = &mut fleets[at];
        *deploys += 1;
        let known = chronicle.findings().len();
        course.deploy(&servers, &mut deck, size.faults, chronicle, &mut dice).await;
        if chronicle.findings().len() > known {
            // It is not what it should be, so nothing more is to be learned from it.
            let new = self::course(&mut founded, SPEECHES[at], size, &servers, &mut dice).await;
            let (old, _) = std::mem::replace(&mut fleets[at], (new, 0));
            say(&format!("storm: the files of what was found are kept in {}", old.fleet.keep(chronicle).display()));
        }
    }
    let (cut, lost) = servers.seen();
    chronicle.count(Count::Checks, "connections cut", cut);
    chronicle.count(Count::Checks, "answers lost on their way", lost);
}

/// A fleet that is founded now.
async fn course(founded: &mut usize, speech: Speech, size: &Size, servers: &Servers, dice: &mut Dice) -> Course {
    *founded += 1;
    let fleet = Fleet::found(&format!("s{founded}"), speech, size.tenants, servers, dice).await;
    Course::found(fleet, servers, dice).await
}

#[test]
fn a_small_storm_leaves_every_tenant_as_its_outcome_says() {
    let chronicle = storm(&Size { tenants: 5, faults: 8, seconds: SMALL, at_most: SMALL_MAX });
    assert_eq!(missing(&chronicle), Vec::<&str>::new(), "these faults have not come up");
}

/// An hour of it, or as long as `WINDLASS_STORM_SECONDS` says. It is asked for by name, so that it has the machine to itself.
#[test]
#[ignore = "the large storm runs alone: ./test --storm"]
fn a_large_storm_leaves_every_tenant_as_its_outcome_says() {
    let seconds = Duration::from_secs(setting(SECONDS).unwrap_or(LARGE_SECONDS));
    storm(&Size { tenants: 12, faults: 14, seconds, at_most: seconds });
}
