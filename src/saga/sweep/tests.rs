//! The families that are swept: a share of each in every run of the tests, and the whole by
//! `cargo test --release --lib saga::sweep -- --ignored --nocapture`.

use std::collections::BTreeSet;

use super::families::*;
use super::*;
use crate::saga::plan::Plan;
use crate::saga::sim::Fate;
use crate::saga::testing::plan;

/// Two deaths of the one tenant's worker.
const TWO_DEATHS: Reach = Reach { deaths: &[2], ..ONE_DEATH };
/// Of both tenants' workers one each: also of a process that drove both, at every pair of moments.
const BOTH_DIE: Reach = Reach { deaths: &[1, 1], ..ONE_DEATH };
const STOPS: Reach = Reach { deaths: &[0, 1], by_hand: false, order: Order::SecondStops, ..ONE_DEATH };
/// How the only step of a tenant goes that another one sees fail, or complete.
const EITHER: &[Fate] = &[Fate::Works, Fate::Fails];
const FAILS: &[Fate] = &[Fate::Fails];

/// All plans of one step to so many.
fn plans_up_to(steps: usize) -> Vec<Plan> {
    (1..=steps).flat_map(every_plan).collect()
}

/// Each plan with each, in either place.
fn pairs(plans: &[Plan]) -> Vec<(&Plan, &Plan)> {
    plans.iter().flat_map(|first| plans.iter().map(move |second| (first, second))).collect()
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

#[test]
fn the_sweep_of_one_tenant_finds_nothing() {
    let known = [(1, [35, 72, 16]), (2, [140, 290, 104]), (3, [960, 1984, 864]), (4, [11_840, 24_384, 11_776])];
    for (steps, deaths) in known {
        let name = format!("one tenant, every plan of {steps}");
        assert_eq!(one_tenant(&name, &every_plan(steps), Weather::Any, ONE_DEATH).deaths, deaths);
    }
    for (name, plan) in five_steps() {
        one_tenant(&format!("one tenant, five steps: {name}"), [&plan], Weather::Any, ONE_DEATH);
    }
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_of_one_tenant_finds_nothing() {
    one_tenant("one tenant, every plan of 5", &every_plan(5), Weather::Any, ONE_DEATH);
}

/// What a transient failure leaves behind once its step has worked is nothing: remembering it finds the same courses.
fn remembers_in_vain(plans: &[Plan], name: &str) {
    let whole = Reach { memory: Memory::Whole, ..ONE_DEATH };
    let whole = one_tenant(&format!("{name}, every fate remembered"), plans, Weather::Any, whole);
    let future = one_tenant(&format!("{name}, as above"), plans, Weather::Any, ONE_DEATH);
    assert_eq!(whole.courses, future.courses);
    assert!(whole.states > future.states);
}

#[test]
fn the_sweep_forgets_nothing_that_matters() {
    remembers_in_vain(&plans_up_to(2), "one tenant, every plan up to 2");
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_forgets_nothing_that_matters() {
    remembers_in_vain(&plans_up_to(4), "one tenant, every plan up to 4");
}

#[test]
fn the_sweep_of_tries_that_run_out_finds_nothing() {
    one_tenant("one tenant, tries run out, every plan up to 2", &plans_up_to(2), Weather::Tiring, ONE_DEATH);
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_of_tries_that_run_out_finds_nothing() {
    one_tenant("one tenant, tries run out, every plan up to 3", &plans_up_to(3), Weather::Tiring, ONE_DEATH);
}

#[test]
fn the_sweep_of_a_worker_that_dies_twice_finds_nothing() {
    one_tenant("one tenant, two deaths, every plan up to 2", &plans_up_to(2), Weather::Any, TWO_DEATHS);
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_of_a_worker_that_dies_twice_finds_nothing() {
    one_tenant("one tenant, two deaths, every plan up to 4", &plans_up_to(4), Weather::Any, TWO_DEATHS);
}

#[test]
fn the_sweep_of_two_stages_finds_nothing() {
    let plans: Vec<_> = (1..=2).flat_map(every_plan_in_two_stages).collect();
    one_tenant("one tenant, two stages, every plan up to 2", &plans, Weather::Any, ONE_DEATH);
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_of_two_stages_finds_nothing() {
    let plans: Vec<_> = (1..=4).flat_map(every_plan_in_two_stages).collect();
    one_tenant("one tenant, two stages, every plan up to 4", &plans, Weather::Any, ONE_DEATH);
}

#[test]
fn the_sweep_of_steps_with_several_statements_or_none_finds_nothing() {
    let kinds: Vec<_> = (1..=2).flat_map(every_kind).collect();
    one_tenant("one tenant, 0 to 2 commits a step, chains up to 2", &kinds, Weather::Any, ONE_DEATH);
    one_tenant("one tenant, a step of 3 commits", [&plan(&["a3"])], Weather::Any, ONE_DEATH);
}

#[test]
fn the_sweep_without_evidence_and_with_a_human_finds_nothing() {
    let weather = Weather::NoEvidence;
    let human = |decisions| Reach { decisions, ..ONE_DEATH };
    let one = every_kind(1);
    one_tenant("one tenant, no evidence, 2 decisions, a step of 0 to 2 commits", &one, weather, human(2));
    one_tenant("one tenant, no evidence, two deaths, a step of 0 to 2 commits", &one, weather, TWO_DEATHS);
    let chain = plan(&["a", "check: a", "c: check"]);
    one_tenant("one tenant, no evidence, 1 decision, a chain of 3", [&chain], weather, human(1));
    let diamond = plan(&["a", "b: a", "check: a", "d: b check"]);
    one_tenant("one tenant, no evidence, a diamond", [&diamond], weather, ONE_DEATH);
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_without_evidence_and_with_a_human_finds_nothing() {
    let weather = Weather::NoEvidence;
    let kinds: Vec<_> = (1..=3).flat_map(every_kind).collect();
    one_tenant("one tenant, no evidence, 0 to 2 commits a step, chains up to 3", &kinds, weather, ONE_DEATH);
    let human = Reach { decisions: 1, ..ONE_DEATH };
    let kinds: Vec<_> = (1..=2).flat_map(every_kind).collect();
    one_tenant("one tenant, no evidence, 1 decision, chains up to 2", &kinds, weather, human);
    let human = Reach { decisions: 2, ..ONE_DEATH };
    one_tenant("one tenant, no evidence, 2 decisions, every plan up to 3", &plans_up_to(3), weather, human);
    let human = Reach { decisions: 2, ..TWO_DEATHS };
    one_tenant("one tenant, no evidence, two deaths, 2 decisions, one step", &every_kind(1), weather, human);
}

#[test]
fn the_sweep_of_two_tenants_in_every_interleaving_finds_nothing() {
    let one = &every_plan(1)[0];
    two_tenants("two tenants, every interleaving, 1 step each", [(one, one)], Waves::Same, Weather::Any, BOTH_DIE);
    let later = "two tenants, every interleaving, 1 step each, in two waves";
    two_tenants(later, [(one, one)], Waves::SecondLater, Weather::Any, BOTH_DIE);
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_of_two_tenants_in_every_interleaving_finds_nothing() {
    let plans = plans_up_to(2);
    let all = pairs(&plans);
    // Which of two tenants of one wave comes first is a matter of names.
    let unordered = all.iter().filter(|(first, second)| first.to_bytes() <= second.to_bytes()).copied();
    two_tenants("two tenants, every interleaving, up to 2 steps", unordered, Waves::Same, Weather::Any, BOTH_DIE);
    let later = "two tenants, every interleaving, up to 3 steps together, in two waves";
    let few = all.iter().filter(|(first, second)| first.steps().len() + second.steps().len() < 4).copied();
    two_tenants(later, few, Waves::SecondLater, Weather::Any, BOTH_DIE);
}

/// Where the second tenant stops at each of its moments, and the first goes on to its end, the deploy ends in all the ways in which it ends in any
/// interleaving.
fn stops_where_it_matters(first: &Plan, second: &Plan, waves: Waves) {
    let dies = Reach { deaths: &[1, 1], by_hand: false, ..ONE_DEATH };
    let any = ends_of_two([first, second], waves, dies);
    let stops = Reach { order: Order::SecondStops, ..dies };
    let mut stopped = ends_of_two([first, second], waves, stops);
    if waves == Waves::Same {
        stopped.extend(ends_of_two([second, first], waves, stops).into_iter().map(ends::Seen::reversed));
    }
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
    let plans = plans_up_to(2);
    for (first, second) in pairs(&plans) {
        stops_where_it_matters(first, second, Waves::Same);
        if first.steps().len() + second.steps().len() < 4 {
            stops_where_it_matters(first, second, Waves::SecondLater);
        }
    }
}

#[test]
fn the_sweep_of_a_turn_at_every_moment_of_the_other_tenant_finds_nothing() {
    let two = every_plan(2);
    let same = two.iter().map(|plan| (plan, plan));
    two_tenants("two tenants, the second stops, 2 steps each", same, Waves::Same, Weather::Any, STOPS);
    after_another("a tenant beside one that fails or completes, every plan of 2", &two, EITHER, Weather::Any);
    let (_, chain) = &five_steps()[0];
    after_another("a tenant beside one that fails, five steps: chain", [chain], FAILS, Weather::Any);
}

#[test]
#[ignore = "minutes in a release build: ./test --long"]
fn the_wide_sweep_of_a_turn_at_every_moment_of_the_other_tenant_finds_nothing() {
    let plans = plans_up_to(3);
    two_tenants("two tenants, the second stops, every pair up to 3", pairs(&plans), Waves::Same, Weather::Any, STOPS);
    let later = "two tenants, the second stops, every pair up to 3, in two waves";
    two_tenants(later, pairs(&plans), Waves::SecondLater, Weather::Any, STOPS);
    let staged: Vec<_> = (1..=2).flat_map(every_plan_in_two_stages).collect();
    let name = "two tenants, the second stops, every pair up to 2, in two stages and two waves";
    two_tenants(name, pairs(&staged), Waves::SecondLater, Weather::Any, STOPS);
    after_another(
        "a tenant beside one that fails or completes, every plan up to 4",
        &plans_up_to(4),
        EITHER,
        Weather::Any,
    );
    after_another("a tenant beside one that fails, every plan of 5", &every_plan(5), FAILS, Weather::Any);
}
