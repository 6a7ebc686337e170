//! The families that are swept: a share of each in every run of the tests, and the whole by `./test --long`.

use std::collections::BTreeSet;

use super::families::*;
use super::report::sweep;
use super::*;
use crate::saga::plan::Plan;
use crate::saga::sim::Fate;
use crate::saga::testing::plan;

/// How the only step of a tenant goes that another one sees fail, or complete.
const EITHER: &[Fate] = &[Fate::Works, Fate::Fails];
const FAILS: &[Fate] = &[Fate::Fails];

/// Of these sizes, all that `of` makes.
fn of_sizes(sizes: std::ops::RangeInclusive<usize>, of: fn(usize) -> Vec<Plan>) -> Vec<Plan> {
    sizes.flat_map(of).collect()
}

/// Each plan with each, in either place.
fn pairs(plans: &[Plan]) -> Vec<(&Plan, &Plan)> {
    plans.iter().flat_map(|first| plans.iter().map(move |second| (first, second))).collect()
}

/// Those with so many steps together, at most.
fn small<'p>(pairs: &[(&'p Plan, &'p Plan)], steps: usize) -> Vec<(&'p Plan, &'p Plan)> {
    pairs.iter().filter(|(first, second)| first.steps().len() + second.steps().len() <= steps).copied().collect()
}

#[test]
fn every_plan_is_there_once_and_keeps_the_order_of_its_steps() {
    for (steps, count) in [(1, 1), (2, 2), (3, 8), (4, 64), (5, 1024)] {
        let plans = every_plan(steps);
        assert_eq!(plans.iter().map(Plan::to_bytes).collect::<BTreeSet<_>>().len(), count);
        let ids = |plan: &Plan| plan.steps().iter().map(|step| step.id.to_string()).collect::<String>();
        assert!(plans.iter().all(|plan| ids(plan) == "abcde"[..steps]));
        assert_eq!(every_plan_in_two_stages(steps).len(), count * steps);
        assert_eq!(every_kind(steps).len(), 3_usize.pow(u32::try_from(steps).unwrap()));
    }
}

/// One tenant, in every run of the tests.
fn share_of_one() -> Vec<Family> {
    let any = Weather::Any;
    let human = |decisions| Reach { decisions, ..ONE_DEATH };
    let no_evidence = |name: &str, plans: &[Plan], reach| {
        one_tenant(&format!("no evidence, {name}"), plans, Weather::NoEvidence, reach)
    };
    let five: Vec<_> = five_steps().into_iter().map(|(_, plan)| plan).collect();
    let chain = plan(&["a", "check: a", "c: check"]);
    let diamond = plan(&["a", "b: a", "check: a", "d: b check"]);
    let mut families: Vec<_> = (1..=3)
        .map(|steps| one_tenant(&format!("every plan of {steps}"), &every_plan(steps), any, ONE_DEATH))
        .collect();
    families.extend([
        one_tenant("chain, fork, join, diamond, levels of 5", &five, any, ONE_DEATH),
        one_tenant("tries run out, every plan up to 2", &of_sizes(1..=2, every_plan), Weather::Tiring, ONE_DEATH),
        one_tenant("two deaths, every plan up to 2", &of_sizes(1..=2, every_plan), any, TWO_DEATHS),
        one_tenant("a pause, every plan up to 2", &of_sizes(1..=2, every_plan), any, PAUSED),
        one_tenant("a pause, a step of 2 commits", &[plan(&["a2"])], any, PAUSED),
        one_tenant("two stages, every plan up to 2", &of_sizes(1..=2, every_plan_in_two_stages), any, ONE_DEATH),
        one_tenant("0 to 2 commits a step, chains up to 2", &of_sizes(1..=2, every_kind), any, ONE_DEATH),
        one_tenant("a step of 3 commits", &[plan(&["a3"])], any, ONE_DEATH),
        no_evidence("2 decisions, a step of 0 to 2 commits", &every_kind(1), human(2)),
        no_evidence("two deaths, a step of 0 to 2 commits", &every_kind(1), TWO_DEATHS),
        no_evidence("1 decision, a chain of 3", &[chain], human(1)),
        no_evidence("a diamond", &[diamond], ONE_DEATH),
    ]);
    families
}

/// Two tenants, in every run of the tests.
fn share_of_two() -> Vec<Family> {
    let (one, two) = (every_plan(1), every_plan(2));
    let chain = plan(&["a", "b: a", "c: b", "d: c", "e: d"]);
    let twins: Vec<_> = two.iter().map(|plan| (plan, plan)).collect();
    vec![
        two_tenants("every interleaving, 1 step each", &pairs(&one), Waves::Same, BOTH_DIE),
        two_tenants("every interleaving, 1 step each, two waves", &pairs(&one), Waves::SecondLater, BOTH_DIE),
        two_tenants("the second stops, 2 steps each", &twins, Waves::Same, STOPS),
        two_tenants("a pause, every interleaving, 1 step each", &pairs(&one), Waves::Same, PAUSED_BESIDE),
        beside_another("fails or completes, every plan of 2", &two, EITHER),
        beside_another("fails, a chain of 5", &[chain], FAILS),
    ]
}

#[test]
fn the_sweep_finds_nothing() {
    let families: Vec<_> = share_of_one().into_iter().chain(share_of_two()).collect();
    let rows = sweep("The sweep, the share of every run:", &families);
    // One that goes through less than it did is not to pass for the same.
    let known = [[35, 72, 16], [140, 290, 104], [960, 1984, 864]];
    assert_eq!(rows.iter().take(known.len()).map(|row| row.count.deaths).collect::<Vec<_>>(), known);
}

/// One tenant: what the share of every run leaves out.
fn whole_of_one() -> Vec<Family> {
    let any = Weather::Any;
    let no_evidence = |name: &str, plans: &[Plan], reach| {
        one_tenant(&format!("no evidence, {name}"), plans, Weather::NoEvidence, reach)
    };
    let one_decision = Reach { decisions: 1, ..ONE_DEATH };
    let two_decisions = Reach { decisions: 2, ..ONE_DEATH };
    let all = Reach { decisions: 2, ..TWO_DEATHS };
    vec![
        one_tenant("every plan of 4", &every_plan(4), any, ONE_DEATH),
        one_tenant("every plan of 5", &every_plan(5), any, ONE_DEATH),
        one_tenant("tries run out, every plan up to 3", &of_sizes(1..=3, every_plan), Weather::Tiring, ONE_DEATH),
        one_tenant("two deaths, every plan up to 4", &of_sizes(1..=4, every_plan), any, TWO_DEATHS),
        one_tenant("a pause, every plan up to 4", &of_sizes(1..=4, every_plan), any, PAUSED),
        one_tenant("two stages, every plan up to 4", &of_sizes(1..=4, every_plan_in_two_stages), any, ONE_DEATH),
        no_evidence("0 to 2 commits a step, chains up to 3", &of_sizes(1..=3, every_kind), ONE_DEATH),
        no_evidence("1 decision, 0 to 2 commits a step, chains up to 2", &of_sizes(1..=2, every_kind), one_decision),
        no_evidence("2 decisions, every plan up to 3", &of_sizes(1..=3, every_plan), two_decisions),
        no_evidence("two deaths, 2 decisions, a step of 0 to 2 commits", &every_kind(1), all),
    ]
}

/// Two tenants: what the share of every run leaves out.
fn whole_of_two() -> Vec<Family> {
    let (two, three) = (of_sizes(1..=2, every_plan), of_sizes(1..=3, every_plan));
    let staged = of_sizes(1..=2, every_plan_in_two_stages);
    // Which of two tenants of one wave comes first is a matter of names.
    let mut unordered = pairs(&two);
    unordered.retain(|(first, second)| first.to_bytes() <= second.to_bytes());
    let few = small(&pairs(&two), 3);
    vec![
        two_tenants("every interleaving, up to 2 steps", &unordered, Waves::Same, BOTH_DIE),
        two_tenants("every interleaving, up to 3 steps together, two waves", &few, Waves::SecondLater, BOTH_DIE),
        // In every interleaving: by a pause the first tenant may stop as well, and with it comes to ends that are else those of the pair
        // the other way round.
        two_tenants("a pause, every interleaving, up to 3 steps together", &few, Waves::Same, PAUSED_BESIDE),
        two_tenants("the second stops, every pair up to 3", &pairs(&three), Waves::Same, STOPS),
        two_tenants("the second stops, every pair up to 3, two waves", &pairs(&three), Waves::SecondLater, STOPS),
        two_tenants(
            "the second stops, pairs up to 2, two stages and waves",
            &pairs(&staged),
            Waves::SecondLater,
            STOPS,
        ),
        beside_another("fails or completes, every plan up to 4", &of_sizes(1..=4, every_plan), EITHER),
        beside_another("fails, every plan of 5", &every_plan(5), FAILS),
    ]
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_finds_nothing() {
    let families: Vec<_> = whole_of_one().into_iter().chain(whole_of_two()).collect();
    sweep("The sweep, the rest of it:", &families);
}

/// At which try something worked that is not met again makes no difference to what follows: remembering it finds the same courses.
fn remembers_in_vain(plans: &[Plan]) {
    let future = one_tenant("", plans, Weather::Any, ONE_DEATH);
    let whole = one_tenant("", plans, Weather::Any, Reach { memory: Memory::Whole, ..ONE_DEATH });
    for (future, whole) in future.deploys.iter().zip(&whole.deploys) {
        let ((future, none), (whole, either)) = (future.sweep(), whole.sweep());
        assert_eq!((none, either), (None, None));
        assert_eq!(whole.courses, future.courses);
        assert!(whole.states > future.states);
    }
}

#[test]
fn the_sweep_forgets_nothing_that_matters() {
    remembers_in_vain(&of_sizes(1..=2, every_plan));
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_forgets_nothing_that_matters() {
    remembers_in_vain(&of_sizes(1..=4, every_plan));
}

/// Where the second tenant stops at each of its moments, and the first goes on to its end, the deploy ends in all the ways in which it ends
/// in any interleaving.
fn stops_where_it_matters(first: &Plan, second: &Plan, waves: Waves) {
    let any = Reach { by_hand: false, ..BOTH_DIE };
    let stops = Reach { order: Order::SecondStops, ..any };
    let ends = |plans: [&Plan; 2], reach| {
        let plans = plans.map(Plan::clone).to_vec();
        Deploy { plans, waves, weather: Weather::Any, reach, first: None }.ends()
    };
    let mut stopped = ends([first, second], stops);
    if waves == Waves::Same {
        stopped.extend(ends([second, first], stops).into_iter().map(ends::Seen::reversed));
    }
    let any = ends([first, second], any);
    assert_eq!(any.len(), stopped.len());
    assert!(any == stopped);
}

#[test]
fn where_the_second_tenant_stops_nothing_that_matters_is_left_out() {
    let one = &every_plan(1)[0];
    stops_where_it_matters(one, one, Waves::Same);
    stops_where_it_matters(one, one, Waves::SecondLater);
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn where_the_second_tenant_stops_nothing_that_matters_is_left_out_in_larger_plans() {
    let plans = of_sizes(1..=2, every_plan);
    for (first, second) in pairs(&plans) {
        stops_where_it_matters(first, second, Waves::Same);
    }
    for (first, second) in small(&pairs(&plans), 3) {
        stops_where_it_matters(first, second, Waves::SecondLater);
    }
}
