//! A deploy killed at one passage after the other.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use windlass::base::crash::Point;

use super::fleet::{Template, Way};
use super::home::{Engine, Home};
use super::judge::Undisturbed;
use crate::support::oracle::Account;
use crate::support::project::Ran;

/// Deploys of one sweep that run side by side. Two sweeps run at a time on two cores.
const SIDE_BY_SIDE: usize = 2;
/// Every so many-th kill is followed by a second one, of the process that takes the deploy up.
const KILLED_AGAIN_EVERY: usize = 3;
/// Failures that are shown in full.
const SHOWN_MAX: usize = 5;
const KILL: i32 = 9;

/// Which passages a process is killed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    All,
    /// Of every point the first, the middle and the last; all with `WINDLASS_LONG=1`.
    FirstMiddleLast,
    /// So many, drawn; all with `WINDLASS_LONG=1`.
    Drawn(usize),
}

/// The n-th passage of a point.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Passage {
    point: String,
    nth: usize,
}

impl Passage {
    fn setting(&self) -> String {
        format!("{}:{}", self.point, self.nth)
    }
}

/// One fate of a deploy.
#[derive(Debug)]
struct Case {
    kill: Passage,
    /// Where the process that takes it up is killed.
    again: Option<Passage>,
}

/// How often what happened.
#[derive(Debug, Default)]
struct Tally {
    killed: usize,
    killed_again: usize,
    killed_again_at: BTreeMap<String, usize>,
    not_reached: usize,
    as_undisturbed: usize,
    stuck: usize,
    faults: Vec<String>,
}

/// Kills a deploy at passages of crash points, and judges where it is once it has been taken up again.
pub(super) fn sweep(engine: Engine, way: Way, concurrency: usize, chosen: Chosen) {
    let begun = Instant::now();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (template, undisturbed) = runtime().block_on(async {
        let template = Template::new(Home::of(engine).await, way, concurrency, "sweep").await;
        let undisturbed = Undisturbed::run(&template).await;
        (template, undisturbed)
    });
    assert_points_are_passed(way, &undisturbed);
    let cases = cases(&undisturbed.passages, chosen);
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                runtime().block_on(async {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(case) = cases.get(at) else { return };
                        run(&template, &undisturbed, at, case, &tally).await;
                    }
                });
            });
        }
    });
    runtime().block_on(template.remove());
    let tally = tally.into_inner().unwrap();
    report(engine, way, concurrency, &cases, &tally, begun);
    let shown = tally.faults.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(tally.faults.is_empty(), "{} of {} went wrong:\n{shown}", tally.faults.len(), cases.len());
    assert!(tally.killed > 0, "no process was killed");
    assert_eq!(tally.as_undisturbed, cases.len());
    if concurrency == 1 {
        assert!(tally.killed_again_at.contains_key(Point::AfterProbe.name()), "no resume was killed after a probe");
    }
}

/// Every point is passed by an undisturbed run in its direction, but for one: what is looked for has been announced by a process that
/// is no more, so a probe takes a second process. That point is where resumes are killed.
fn assert_points_are_passed(way: Way, undisturbed: &Undisturbed) {
    for point in Point::of_deploys() {
        let passed = undisturbed.passages.iter().any(|name| name == point.name());
        let expected = match point {
            Point::AfterProbe => false,
            Point::BeforeUndoEffect | Point::InsideUndoEffect | Point::AfterUndoEffect => way == Way::Unwind,
            _ => true,
        };
        assert_eq!(passed, expected, "{}: {:?}", point.name(), undisturbed.passages);
    }
}

/// The passages in their order, numbered, and cut down to the chosen ones.
fn cases(passages: &[String], chosen: Chosen) -> Vec<Case> {
    let nth = |upto: usize| passages[..=upto].iter().filter(|point| **point == passages[upto]).count();
    let chosen = if std::env::var_os("WINDLASS_LONG").is_some() { Chosen::All } else { chosen };
    let mut draw = Draw(0x005e_ed0f_77ad_1a55);
    let wanted: Vec<usize> = match chosen {
        Chosen::All => (0..passages.len()).collect(),
        Chosen::FirstMiddleLast => (0..passages.len())
            .filter(|at| {
                let of = passages.iter().filter(|point| **point == passages[*at]).count();
                [1, of.div_ceil(2), of].contains(&nth(*at))
            })
            .collect(),
        Chosen::Drawn(number) => (0..number).map(|_| draw.below(passages.len())).collect(),
    };
    let case = |(number, at): (usize, usize)| {
        let kill = Passage { point: passages[at].clone(), nth: nth(at) };
        let leaves_doubt = kill.point.ends_with("effect") || kill.point == Point::AfterOpen.name();
        let again = if leaves_doubt {
            Some(Passage { point: Point::AfterProbe.name().to_owned(), nth: 1 })
        } else {
            (number % KILLED_AGAIN_EVERY == 0).then(|| {
                // Roughly what is still ahead: the process that goes on passes much of what the first would have passed.
                let to = at + draw.below(passages.len() - at);
                let ahead = passages[at..=to].iter().filter(|point| **point == passages[to]).count();
                Passage { point: passages[to].clone(), nth: ahead }
            })
        };
        Case { kill, again }
    };
    wanted.into_iter().enumerate().map(case).collect()
}

async fn run(template: &Template, undisturbed: &Undisturbed, at: usize, case: &Case, tally: &Mutex<Tally>) {
    let fleet = template.copy(&format!("n{at}")).await;
    let mut story = Vec::new();
    let killed = kill(fleet.command(template.way.command()), &case.kill, &mut story);
    let mut ended = !killed;
    let mut killed_again = false;
    if let Some(again) = case.again.as_ref().filter(|_| killed) {
        let command = fleet.command(undisturbed.goes_on(&fleet).await);
        killed_again = kill(command, again, &mut story);
        ended = !killed_again;
    }
    if !ended {
        let command = undisturbed.goes_on(&fleet).await;
        let ran = fleet.run(command);
        story.push(format!("{command:?}: {ran:?}"));
    }
    // However many processes it took, the last one answers as one that was never disturbed.
    let answered = story.last().is_some_and(|told| told.contains(&format!("code: Some({})", template.way.exit())));
    let mut wrong = undisturbed.faults(&fleet).await;
    if !answered {
        wrong.push(format!("the last process did not end with {}", template.way.exit()));
    }
    let stuck = Account::read(&fleet.log()).await.statuses.values().any(|status| status == "stuck");
    fleet.remove().await;
    let mut tally = tally.lock().unwrap();
    tally.stuck += usize::from(stuck);
    tally.killed += usize::from(killed);
    tally.not_reached += usize::from(!killed);
    if let Some(again) = case.again.as_ref().filter(|_| killed_again) {
        tally.killed_again += 1;
        *tally.killed_again_at.entry(again.point.clone()).or_default() += 1;
    }
    if wrong.is_empty() {
        tally.as_undisturbed += 1;
    } else {
        tally.faults.push(format!("{case:?}\n{}\n{}", wrong.join("\n"), story.join("\n")));
    }
}

/// Runs a command that dies at a passage; whether it did.
fn kill(mut command: Command, at: &Passage, story: &mut Vec<String>) -> bool {
    let output = command.env("WINDLASS_CRASH_AT", at.setting()).output().unwrap();
    let killed = output.status.signal() == Some(KILL);
    story.push(format!("killed at {}: {:?}", at.setting(), Ran::of(output)));
    killed
}

/// Straight to the file descriptor, since a test's own output is shown only when it fails.
fn report(engine: Engine, way: Way, concurrency: usize, cases: &[Case], tally: &Tally, begun: Instant) {
    let mut points: Vec<&str> = cases.iter().map(|case| case.kill.point.as_str()).collect();
    points.extend(tally.killed_again_at.keys().map(String::as_str));
    points.sort_unstable();
    points.dedup();
    let side_by_side = if concurrency > 1 { format!(", {concurrency} tenants at a time") } else { String::new() };
    let what = format!("{engine:?} {way:?}").to_lowercase();
    let _ = writeln!(
        std::io::stderr(),
        "crash points: {what}{side_by_side}: {} points, {} passages, {} killed ({} not reached), {} killed again while resuming, \
         {} ended as an undisturbed run, {} stuck, {:.0} s",
        points.len(),
        cases.len(),
        tally.killed,
        tally.not_reached,
        tally.killed_again,
        tally.as_undisturbed,
        tally.stuck,
        begun.elapsed().as_secs_f64(),
    );
}

/// A reproducible draw: `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound as u64).unwrap()
    }
}
