//! The sweep: every small plan × everything that can go wrong in it × a turn of the deploy at every moment × a crash at every
//! moment. Exhaustive; the counts are printed (`cargo test sweep -- --nocapture`).
//!
//! "At every moment" is literal: before and after each append, between an effect in the database and its append, and between two
//! effects of a step whose statements commit one by one.

use crate::saga::event::{Direction, Half, TenantEvent};
use crate::saga::plan::Plan;
use crate::saga::sim::{Choose, Draw, Fate, Luck, Odometer, Tenant};
use crate::saga::summary::{DeploySummary, TenantStatus};
use crate::saga::tenant::TenantState;
use crate::saga::testing::plan;

/// Small steps of one run. The longest of the runs below needs about half of them.
const SMALL_STEPS_MAX: usize = 200;

/// How much a sweep tries.
#[derive(Clone, Copy)]
struct Reach {
    crashes: u32,
    /// Human decisions about a stuck step.
    decisions: u32,
}

/// How a run ended, and what was drawn on the way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    status: TenantStatus,
    effects: Vec<(usize, u32)>,
    /// For each step: how its commits, their undos and a look for evidence went, as far as it came to that.
    luck: Vec<[Vec<Option<Fate>>; 3]>,
}

impl End {
    /// Only a crash makes a worker look for evidence, so only a crash can end in the want of it.
    fn waits_for_lost_evidence(&self) -> bool {
        matches!(self.status, TenantStatus::Stuck | TenantStatus::Abandoned)
            && self.luck.iter().any(|[_, _, look]| look[0] == Some(Fate::Fails))
    }

    /// The same end, under acts and undos that may have gone the same way.
    fn is_like(&self, other: &Self) -> bool {
        let agree =
            |a: &[Option<Fate>], b: &[Option<Fate>]| a.iter().zip(b).all(|(a, b)| a.is_none() || b.is_none() || a == b);
        self.status == other.status
            && self.effects == other.effects
            && self.luck.iter().zip(&other.luck).all(|(a, b)| agree(&a[0], &b[0]) && agree(&a[1], &b[1]))
    }
}

/// One run, to where nothing moves any more.
fn run(tenant: &mut Tenant<'_>, mut reach: Reach, choose: &mut dyn Choose) -> End {
    let mut deploy = DeploySummary { open: Some((0, 0)), ..DeploySummary::default() };
    for _ in 0..SMALL_STEPS_MAX {
        // A turn matters to the machine only where it is about to be asked, or has decided on a start.
        let may_turn = deploy.direction == Direction::Forward && (!tenant.is_midway() || tenant.is_about_to_start());
        let may_crash = reach.crashes > 0 && tenant.is_midway();
        let chosen = choose.pick(1 + usize::from(may_turn) + usize::from(may_crash));
        if chosen == 2 || (chosen == 1 && !may_turn) {
            reach.crashes -= 1;
            tenant.crash();
        } else if chosen == 1 {
            deploy.direction = Direction::Unwind;
        }
        if tenant.step(&deploy, choose) || tenant.is_held() {
            continue;
        }
        let forward = deploy.direction == Direction::Forward;
        match tenant.status() {
            TenantStatus::Stuck if reach.decisions > 0 && (!forward || choose.pick(2) == 1) => {
                reach.decisions -= 1;
                tenant.resolve(choose);
            }
            // The workflow's policy: whatever fails for good turns the deploy.
            TenantStatus::Stuck | TenantStatus::Failed if forward => deploy.direction = Direction::Unwind,
            _ => {
                let fates = |draws: &[Draw]| draws.iter().map(|draw| draw.fate).collect();
                let luck = |luck: &Luck| [fates(&luck.acts), fates(&luck.undos), fates(&[luck.look])];
                let luck = tenant.luck.iter().map(luck).collect();
                return End { status: tenant.status(), effects: tenant.effects.clone(), luck };
            }
        }
    }
    panic!("no end after {SMALL_STEPS_MAX} small steps: {:#?}", tenant.history);
}

/// What an end claims must be so in the database, and in the history.
fn check_end(tenant: &Tenant<'_>, end: &End) {
    let all = (0..tenant.plan.steps().len()).flat_map(|step| (0..tenant.commits(step)).map(move |of| (step, of)));
    let ever_started = tenant.history.iter().any(TenantEvent::is_forward_start);
    let after_turn = tenant.history.iter().skip_while(|event| !matches!(event, TenantEvent::TenantTurned { .. }));
    assert!(!after_turn.clone().any(TenantEvent::is_forward_start), "P5: {:#?}", tenant.history);
    let has_turned = after_turn.count() > 0;
    match end.status {
        TenantStatus::Completed => {
            let mut effects = end.effects.clone();
            effects.sort_unstable();
            assert_eq!(effects, all.collect::<Vec<_>>());
            assert!(!has_turned);
        }
        TenantStatus::Unwound => assert!(end.effects.is_empty() && ever_started && has_turned),
        TenantStatus::Untouched => assert!(end.effects.is_empty() && !ever_started && has_turned),
        TenantStatus::Stuck => {
            let (half, step) = tenant.stuck().unwrap();
            let no_evidence = end.luck[step][2][0] == Some(Fate::Fails);
            let undo_failed = half == Half::Undo && end.luck[step][1].contains(&Some(Fate::Fails));
            assert!(no_evidence || undo_failed, "stuck without a reason: {:#?}", tenant.history);
        }
        TenantStatus::Abandoned => assert!(
            tenant.history.iter().any(|event| matches!(event, TenantEvent::TenantResolved { .. })),
            "only a human abandons"
        ),
        other => panic!("{other} is no end: {:#?}", tenant.history),
    }
}

/// Every distinct prefix of every history, as a tree; each is looked at once.
#[derive(Default)]
struct Prefixes {
    nodes: Vec<Vec<(TenantEvent, usize)>>,
}

impl Prefixes {
    fn add(&mut self, plan: &Plan, history: &[TenantEvent]) {
        if self.nodes.is_empty() {
            self.nodes.push(Vec::new());
        }
        let mut node = 0;
        for (length, event) in (1..).zip(history) {
            let known = self.nodes[node].iter().find(|(of, _)| of == event).map(|(_, to)| *to);
            node = known.unwrap_or_else(|| {
                check_prefix(plan, &history[..length]);
                self.nodes.push(Vec::new());
                let new = self.nodes.len() - 1;
                self.nodes[node].push((event.clone(), new));
                new
            });
        }
    }
}

/// Every prefix folds, whole or event by event, and something is to be done next on it, whichever way the deploy goes.
fn check_prefix(plan: &Plan, history: &[TenantEvent]) {
    let whole = TenantState::fold(plan, history).unwrap();
    let (last, before) = history.split_last().unwrap();
    let mut by_one = TenantState::fold(plan, before).unwrap();
    by_one.apply(plan, last).unwrap();
    assert_eq!(whole, by_one);
    assert_eq!(whole.seq().0, history.len() as u64);
    let row = whole.summary(plan);
    assert!(row.step.is_none_or(|step| plan.step(&step).is_some()));
    for direction in [Direction::Forward, Direction::ForwardOnly, Direction::Unwind] {
        for open in [None, Some((0, 0))] {
            let next = whole.next(plan, direction, open);
            assert_eq!(next, by_one.next(plan, direction, open));
        }
    }
}

/// How many runs there were.
#[derive(Debug, Clone, Copy, Default)]
struct Runs {
    all: u64,
    /// Those in which a step was begun to be undone of which only the first statements were in effect.
    parts_undone: u64,
}

/// Every run within reach; the distinct ends, and how many runs there were.
fn every_run(plan: &Plan, reach: Reach, prefixes: &mut Prefixes) -> (std::collections::BTreeSet<End>, Runs) {
    let mut choices = Odometer::default();
    let (mut ends, mut runs) = (std::collections::BTreeSet::new(), Runs::default());
    loop {
        let mut tenant = Tenant::new(plan, &[0]);
        let end = run(&mut tenant, reach, &mut choices);
        check_end(&tenant, &end);
        prefixes.add(plan, &tenant.history);
        ends.insert(end);
        runs.all += 1;
        runs.parts_undone += u64::from(tenant.parts_undone > 0);
        if !choices.advance() {
            return (ends, runs);
        }
    }
}

/// Sweeps a plan, and holds every end against those that are reached without a crash. Returns how many runs there were.
fn sweep(name: &str, plan: &Plan, reach: Reach) -> Runs {
    let began = std::time::Instant::now();
    let mut prefixes = Prefixes::default();
    let mut uncrashed = std::collections::BTreeSet::new();
    let mut alone = Runs::default();
    for decisions in 0..=reach.decisions {
        let (ends, runs) = every_run(plan, Reach { crashes: 0, decisions }, &mut prefixes);
        uncrashed.extend(ends);
        alone.all += runs.all;
        alone.parts_undone += runs.parts_undone;
    }
    let (ends, crashed) = every_run(plan, reach, &mut prefixes);
    for end in ends.iter().filter(|end| !end.waits_for_lost_evidence()) {
        assert!(uncrashed.iter().any(|other| other.is_like(end)), "only a crash leads to {end:?}");
    }
    let all = Runs { all: alone.all + crashed.all, parts_undone: alone.parts_undone + crashed.parts_undone };
    println!(
        "sweep of {name}: {} runs ({} without a crash), a part undone in {}, {} ends, {} prefixes, {:?}",
        all.all,
        alone.all,
        all.parts_undone,
        ends.len(),
        prefixes.nodes.len() - 1,
        began.elapsed()
    );
    all
}

#[test]
fn the_sweep_of_a_single_step_finds_nothing() {
    let runs = sweep("a single step", &plan(&["a"]), Reach { crashes: 2, decisions: 2 });
    assert!(runs.all > 9_000 && runs.parts_undone == 0, "{runs:?}");
}

#[test]
fn the_sweep_of_a_chain_with_a_step_without_effect_finds_nothing() {
    let chain = plan(&["a", "check: a", "c: check"]);
    assert!(sweep("a chain of three", &chain, Reach { crashes: 1, decisions: 1 }).all > 25_000);
}

#[test]
fn the_sweep_of_a_diamond_finds_nothing() {
    let diamond = plan(&["a", "b: a", "check: a", "d: b check"]);
    assert!(sweep("a diamond", &diamond, Reach { crashes: 1, decisions: 0 }).all > 10_000);
}

#[test]
fn the_sweep_of_a_step_with_two_statements_finds_nothing() {
    let two = plan(&["a2"]);
    let decided = sweep("two statements, with decisions", &two, Reach { crashes: 1, decisions: 2 });
    assert!(decided.all > 15_000 && decided.parts_undone > 4_000, "{decided:?}");
    let crashed = sweep("two statements, crashed twice", &two, Reach { crashes: 2, decisions: 0 });
    assert!(crashed.all > 30_000 && crashed.parts_undone > 10_000, "{crashed:?}");
}

#[test]
fn the_sweep_of_a_step_with_three_statements_finds_nothing() {
    let runs = sweep("three statements", &plan(&["a3"]), Reach { crashes: 1, decisions: 0 });
    assert!(runs.all > 30_000 && runs.parts_undone > 11_000, "{runs:?}");
}

#[test]
fn the_sweep_of_a_step_with_two_statements_after_another_finds_nothing() {
    let runs = sweep("two statements after another", &plan(&["a", "b2: a"]), Reach { crashes: 1, decisions: 0 });
    assert!(runs.all > 30_000 && runs.parts_undone > 10_000, "{runs:?}");
}

#[test]
#[ignore = "a minute in a debug build: run it after a change of the machine"]
fn the_wide_sweeps_of_steps_with_statements_find_nothing() {
    let between = sweep("two between others", &plan(&["a", "b2: a", "c: b2"]), Reach { crashes: 1, decisions: 0 });
    assert!(between.all > 160_000 && between.parts_undone > 10_000, "{between:?}");
    let both = sweep("two after two", &plan(&["a2", "b2: a2"]), Reach { crashes: 1, decisions: 0 });
    assert!(both.all > 100_000 && both.parts_undone > 10_000, "{both:?}");
    let two = sweep("two statements", &plan(&["a2"]), Reach { crashes: 2, decisions: 1 });
    assert!(two.all > 170_000 && two.parts_undone > 50_000, "{two:?}");
}

#[test]
#[ignore = "a minute in a debug build: run it after a change of the machine"]
fn the_wide_sweep_of_a_diamond_finds_nothing() {
    let diamond = plan(&["a", "b: a", "c: a", "d: b c"]);
    assert!(sweep("a wide diamond", &diamond, Reach { crashes: 1, decisions: 1 }).all > 500_000);
}
