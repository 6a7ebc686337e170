//! The storm: real deploys to real tenants, while everything that they stand on fails at random.
//!
//! Fleets on PostgreSQL, MariaDB, SQLite and all three get one deploy after the other, driven by one to four processes of the real
//! binary that share one log. Meanwhile workers are killed and put to sleep, connections cut, servers killed, the log's disk filled and
//! its file locked (`faults`). When the weather is fair again each deploy has to come to an end, and every tenant has to be what that
//! end says, beside a tenant of its kind that nobody disturbed (`judge`).
//!
//! What is drawn comes from one seed, which is printed: the releases, the fleets, the faults and their order. When they strike depends on
//! the machine as well, so a seed repeats the kind of weather, not each drop.

mod cause;
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

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chronicle::{Chronicle, Count};
use course::Course;
use crew::AT_A_POINT;
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

/// What the proxies count.
const CUT: &str = "connections cut";
const LOST: &str = "answers lost on their way";

/// The kinds of fault that have not come up yet, or have had no effect where that can be counted.
fn missing(chronicle: &Chronicle) -> Vec<&'static str> {
    let faults = Fault::ALL.iter().map(|fault| (Count::Faults, fault.name()));
    let all = faults.chain([(Count::Faults, AT_A_POINT), (Count::Checks, CUT), (Count::Checks, LOST)]);
    all.filter(|(of, name)| chronicle.counted(*of, name) == 0).map(|(_, name)| name).collect()
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
    let mut fleets = Fleets { size, servers: &servers, founded: 0, under_way: BTreeMap::new() };
    let begun = Instant::now();
    let goes_on = || {
        let time = begun.elapsed();
        (time < size.seconds || (time < size.at_most && !missing(chronicle).is_empty()))
            && chronicle.findings().len() < FINDINGS_MAX
    };
    let (mut reported, mut felt) = (Instant::now(), (0, 0));
    for speech in SPEECHES.into_iter().cycle() {
        if !goes_on() {
            break;
        }
        if reported.elapsed() > REPORT_EVERY {
            reported = Instant::now();
            say(&chronicle.account(seed));
        }
        let known = chronicle.findings().len();
        let course = fleets.next_of(speech, &mut dice).await;
        course.deploy(&servers, &mut deck, size.faults, chronicle, &mut dice).await;
        let (cut, lost) = servers.seen();
        chronicle.count(Count::Checks, CUT, cut - felt.0);
        chronicle.count(Count::Checks, LOST, lost - felt.1);
        felt = (cut, lost);
        if chronicle.findings().len() > known {
            fleets.keep(speech, chronicle);
        }
    }
}

/// The fleets that take turns, each with the deploys that it has had.
struct Fleets<'a> {
    size: &'a Size,
    servers: &'a Servers,
    founded: usize,
    under_way: BTreeMap<Speech, (Course, usize)>,
}

impl Fleets<'_> {
    /// The fleet whose turn it is; founded anew where it has had its time, or is not there.
    async fn next_of(&mut self, speech: Speech, dice: &mut Dice) -> &mut Course {
        if self.under_way.get(&speech).is_none_or(|(_, deploys)| *deploys >= DEPLOYS_OF_A_FLEET) {
            if let Some((old, _)) = self.under_way.remove(&speech) {
                old.fleet.remove(self.servers).await;
            }
            self.founded += 1;
            let fleet =
                Fleet::found(&format!("s{}", self.founded), speech, self.size.tenants, self.servers, dice).await;
            self.under_way.insert(speech, (Course::found(fleet, self.servers, dice).await, 0));
        }
        let (course, deploys) = self.under_way.get_mut(&speech).unwrap();
        *deploys += 1;
        course
    }

    /// Puts a fleet aside that is not what it should be: nothing more is to be learned from deploys to it.
    fn keep(&mut self, speech: Speech, chronicle: &Chronicle) {
        if let Some((course, _)) = self.under_way.remove(&speech) {
            say(&format!("storm: the files of what was found are kept in {}", course.fleet.keep(chronicle).display()));
        }
    }
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
