//! What is swept: plans, what may go wrong in them, and how many tenants go at once.

use std::collections::BTreeSet;
use std::time::Instant;

use super::ends::Seen;
use super::{Count, Order, Reach, Search};
use crate::saga::plan::Plan;
use crate::saga::sim::{Fate, Fleet, Memory, TIRING, WORKS};
use crate::saga::testing::{plan, planned_step};

/// All plans of so many steps, of one commit each.
pub(super) fn every_plan(steps: usize) -> Vec<Plan> {
    every_graph(steps).map(|needs| staged(&needs, steps)).collect()
}

/// The same with a second stage, from each step on.
pub(super) fn every_plan_in_two_stages(steps: usize) -> Vec<Plan> {
    every_graph(steps).flat_map(|needs| (0..steps).map(move |first| staged(&needs, first))).collect()
}

/// Every graph with edges from lower to higher numbers: what each step needs.
fn every_graph(steps: usize) -> impl Iterator<Item = Vec<Vec<usize>>> {
    let edges: Vec<(usize, usize)> = (0..steps).flat_map(|to| (0..to).map(move |from| (from, to))).collect();
    (0_u32..1 << edges.len()).map(move |chosen| {
        let of = |at| (0..).zip(&edges).filter(move |(bit, (_, to))| chosen >> bit & 1 == 1 && *to == at);
        (0..steps).map(|at| of(at).map(|(_, (from, _))| *from).collect()).collect()
    })
}

/// The plan in which the second stage begins with this step.
fn staged(needs: &[Vec<usize>], second: usize) -> Plan {
    let step = |(at, needs): (usize, &Vec<usize>)| {
        let needs: Vec<_> = needs.iter().map(|at| name(*at).to_string()).collect();
        planned_step(u32::from(at >= second), &format!("{}: {}", name(at), needs.join(" ")))
    };
    Plan::new((0..).zip(needs).map(step).collect()).unwrap()
}

fn name(step: usize) -> char {
    char::from(b'a' + u8::try_from(step).unwrap())
}

/// All chains of so many steps, each of which commits once, commits twice, or has no effect.
pub(super) fn every_kind(steps: usize) -> Vec<Plan> {
    let kinds = |at| [name(at).to_string(), format!("check{}", name(at)), format!("{}2", name(at))];
    let longer = |chains: Vec<Vec<String>>, at| {
        let with = |chain: &Vec<String>| kinds(at).map(|step| [chain.as_slice(), &[step]].concat());
        chains.iter().flat_map(with).collect()
    };
    let chain = |steps: &Vec<String>| {
        let needs = [String::new()].into_iter().chain(steps.iter().cloned());
        let lines: Vec<_> = steps.iter().zip(needs).map(|(step, needs)| format!("{step}: {needs}")).collect();
        plan(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    (0..steps).fold(vec![Vec::new()], longer).iter().map(chain).collect()
}

/// The five-step plans that have a name.
pub(super) fn five_steps() -> Vec<(&'static str, Plan)> {
    vec![
        ("chain", plan(&["a", "b: a", "c: b", "d: c", "e: d"])),
        ("fork", plan(&["a", "b: a", "c: a", "d: a", "e: a"])),
        ("join", plan(&["a", "b", "c", "d", "e: a b c d"])),
        ("diamond", plan(&["a", "b: a", "c: a", "d: a", "e: b c d"])),
        ("two levels", plan(&["a", "b", "c: a b", "d: a b", "e: a b"])),
    ]
}

/// What may go wrong in the databases of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// An act and its undo each work, fail once, or fail for good.
    Any,
    /// Instead of failing for good they fail as often as they are tried.
    Tiring,
    /// Any, and so does a look for evidence.
    NoEvidence,
}

impl Weather {
    fn over(self, fleet: &mut Fleet<'_>) {
        for luck in fleet.tenants.iter_mut().flat_map(|tenant| &mut tenant.luck) {
            if self != Weather::NoEvidence {
                luck.look.of = WORKS;
            }
            if self == Weather::Tiring {
                luck.acts.iter_mut().chain(&mut luck.undos).for_each(|draw| draw.of = TIRING);
            }
        }
    }
}

impl Count {
    /// One line of the table in `docs/reliability.md`.
    fn print(self, family: &str, began: Instant) -> Self {
        let Self { deploys, states, deaths: [before, after, effect], courses } = self;
        let [undisturbed, recovered] = [courses.undisturbed, courses.recovered].map(number);
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "sweep | {family} | {deploys} | {states} | {before} | {after} | {effect} | {undisturbed} | {recovered} | {seconds:.1} |"
        );
        self
    }
}

/// In full as long as it can be read.
fn number(of: u128) -> String {
    match of {
        u128::MAX => "more than 10^38".to_owned(),
        0..1_000_000_000_000 => of.to_string(),
        _ => format!("about 10^{}", of.ilog10()),
    }
}

pub(super) const ONE_DEATH: Reach =
    Reach { deaths: &[1], decisions: 0, by_hand: true, order: Order::Any, memory: Memory::Future };

/// Sweeps deploys of one tenant, one for each plan.
pub(super) fn one_tenant<'p>(
    name: &str,
    plans: impl IntoIterator<Item = &'p Plan>,
    weather: Weather,
    reach: Reach,
) -> Count {
    let began = Instant::now();
    let mut count = Count::default();
    for plan in plans {
        let stages = plan.steps().last().map_or(1, |step| step.stage + 1);
        let mut fleet = Fleet::new(&vec![1; stages as usize], [(plan, vec![0; stages as usize])]);
        weather.over(&mut fleet);
        count += Search::of(fleet, reach, false);
    }
    count.print(name, began)
}

/// Where two tenants stand in the order of waves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waves {
    Same,
    /// The second may begin when the first is through, in every stage.
    SecondLater,
}

/// Sweeps deploys of two tenants, one for each pair of plans.
pub(super) fn two_tenants<'p>(
    name: &str,
    pairs: impl IntoIterator<Item = (&'p Plan, &'p Plan)>,
    waves: Waves,
    weather: Weather,
    reach: Reach,
) -> Count {
    let began = Instant::now();
    let mut count = Count::default();
    for (first, second) in pairs {
        let alike =
            first == second && waves == Waves::Same && reach.order == Order::Any && reach.deaths[0] == reach.deaths[1];
        let mut fleet = pair(first, second, waves);
        weather.over(&mut fleet);
        count += Search::of(fleet, reach, alike);
    }
    count.print(name, began)
}

fn pair<'p>(first: &'p Plan, second: &'p Plan, waves: Waves) -> Fleet<'p> {
    let last = |plan: &Plan| plan.steps().last().map_or(0, |step| step.stage);
    let stages = 1 + last(first).max(last(second)) as usize;
    let wave = u32::from(waves == Waves::SecondLater);
    Fleet::new(&vec![1 + wave; stages], [(first, vec![0; stages]), (second, vec![wave; stages])])
}

/// Every way in which a deploy of two tenants ends, with or without deaths.
pub(super) fn ends_of_two(plans: [&Plan; 2], waves: Waves, reach: Reach) -> BTreeSet<Seen> {
    let mut fleet = pair(plans[0], plans[1], waves);
    Weather::Any.over(&mut fleet);
    let mut search = Search::new(reach, false);
    search.from(fleet);
    search.ends.seen()
}

/// Sweeps deploys of two tenants of which the first has one step, that fails, or that works and whose undo fails or works: all that the
/// second, for each of the plans, can learn of it.
pub(super) fn after_another<'p>(
    name: &str,
    plans: impl IntoIterator<Item = &'p Plan>,
    fates: &'static [Fate],
    weather: Weather,
) -> Count {
    let began = Instant::now();
    let mut count = Count::default();
    let first = plan(&["z"]);
    let reach =
        Reach { deaths: &[0, 1], decisions: 0, by_hand: false, order: Order::SecondStops, memory: Memory::Future };
    for second in plans {
        let mut fleet = pair(&first, second, Waves::Same);
        weather.over(&mut fleet);
        for draw in &mut fleet.tenants[0].luck[0].acts {
            draw.of = fates;
        }
        count += Search::of(fleet, reach, false);
    }
    count.print(name, began)
}
