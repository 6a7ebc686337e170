//! What is swept: plans, what may go wrong in them, and how many tenants go at once.

use std::collections::BTreeSet;

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
    /// Instead of failing for good they fail as often as they are tried, and so does a look for evidence.
    Tiring,
    /// Any, and so does a look for evidence.
    NoEvidence,
}

impl Weather {
    fn over(self, fleet: &mut Fleet<'_>) {
        for luck in fleet.tenants.iter_mut().flat_map(|tenant| &mut tenant.luck) {
            match self {
                Weather::Any => luck.look.of = WORKS,
                Weather::Tiring => {
                    let all = luck.acts.iter_mut().chain(&mut luck.undos).chain([&mut luck.look, &mut luck.reach]);
                    all.for_each(|draw| draw.of = TIRING);
                }
                Weather::NoEvidence => {}
            }
        }
    }
}

/// One death of the one tenant's worker, and a turn by hand.
pub(super) const ONE_DEATH: Reach =
    Reach { deaths: &[1], decisions: 0, by_hand: true, pauses: false, order: Order::Any, memory: Memory::Future };
/// Two of them.
pub(super) const TWO_DEATHS: Reach = Reach { deaths: &[2], ..ONE_DEATH };
/// One death, and a pause.
pub(super) const PAUSED: Reach = Reach { pauses: true, ..ONE_DEATH };
/// Of both tenants' workers one each: also of a process that drove both, at every pair of moments.
pub(super) const BOTH_DIE: Reach = Reach { deaths: &[1, 1], ..ONE_DEATH };
/// A pause, and a death of the second of two tenants' workers.
pub(super) const PAUSED_BESIDE: Reach = Reach { deaths: &[0, 1], by_hand: false, ..PAUSED };
/// The second tenant stops at each of its moments, and dies at any.
pub(super) const STOPS: Reach = Reach { deaths: &[0, 1], by_hand: false, order: Order::SecondStops, ..ONE_DEATH };

/// Where two tenants stand in the order of waves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waves {
    Same,
    /// The second may begin when the first is through, in every stage.
    SecondLater,
}

/// One deploy to be swept.
#[derive(Debug, Clone)]
pub(super) struct Deploy {
    /// Of each tenant.
    pub plans: Vec<Plan>,
    pub waves: Waves,
    pub weather: Weather,
    pub reach: Reach,
    /// How the acts of the first tenant may go, where that is not as the weather is.
    pub first: Option<&'static [Fate]>,
}

impl Deploy {
    pub(super) fn sweep(&self) -> (Count, Option<String>) {
        Search::of(self.fleet(), self.reach, self.is_alike())
    }

    /// Every way in which it ends, with or without deaths.
    pub(super) fn ends(&self) -> BTreeSet<Seen> {
        let mut search = Search::new(self.reach, false);
        search.from(self.fleet());
        search.ends.seen()
    }

    fn fleet(&self) -> Fleet<'_> {
        let last = |plan: &Plan| plan.steps().last().map_or(0, |step| step.stage);
        let stages = 1 + self.plans.iter().map(last).max().unwrap_or(0) as usize;
        let later = u32::from(self.waves == Waves::SecondLater);
        let tenants = self.plans.iter().zip(0..).map(|(plan, at)| (plan, vec![at * later; stages]));
        let mut fleet = Fleet::new(&vec![1 + later; stages], tenants);
        self.weather.over(&mut fleet);
        if let Some(fates) = self.first {
            fleet.tenants[0].luck.iter_mut().flat_map(|luck| &mut luck.acts).for_each(|draw| draw.of = fates);
        }
        fleet
    }

    /// Its tenants can be told apart by their order only.
    fn is_alike(&self) -> bool {
        let Reach { deaths, order, .. } = self.reach;
        let [first, second] = self.plans.as_slice() else { return false };
        let same = first == second && deaths[0] == deaths[1] && self.first.is_none();
        same && self.waves == Waves::Same && order == Order::Any
    }
}

/// Deploys that are counted together: one line of the table.
pub(super) struct Family {
    pub name: String,
    pub deploys: Vec<Deploy>,
}

/// Deploys of one tenant, one for each plan.
pub(super) fn one_tenant(name: &str, plans: &[Plan], weather: Weather, reach: Reach) -> Family {
    let deploy = |plan: &Plan| Deploy { plans: vec![plan.clone()], waves: Waves::Same, weather, reach, first: None };
    Family { name: format!("one tenant, {name}"), deploys: plans.iter().map(deploy).collect() }
}

/// Deploys of two tenants, one for each pair of plans.
pub(super) fn two_tenants(name: &str, pairs: &[(&Plan, &Plan)], waves: Waves, reach: Reach) -> Family {
    let deploy = |(first, second): &(&Plan, &Plan)| Deploy {
        plans: vec![(*first).clone(), (*second).clone()],
        waves,
        weather: Weather::Any,
        reach,
        first: None,
    };
    Family { name: format!("two tenants, {name}"), deploys: pairs.iter().map(deploy).collect() }
}

/// Deploys of two tenants of which the first has one step, that goes in one of these ways: all that the second, for each of the plans, can
/// learn of it is whether it failed or completed, and how its undo went.
pub(super) fn beside_another(name: &str, plans: &[Plan], fates: &'static [Fate]) -> Family {
    let deploy = |second: &Plan| Deploy {
        plans: vec![plan(&["z"]), second.clone()],
        waves: Waves::Same,
        weather: Weather::Any,
        reach: STOPS,
        first: Some(fates),
    };
    Family { name: format!("a tenant beside one that {name}"), deploys: plans.iter().map(deploy).collect() }
}
