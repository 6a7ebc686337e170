//! What must hold between steps, and between a step and its tenant.

use super::*;

/// a → b, a → c; then d, which needs both.
fn diamond() -> Plan {
    plan(&["a", "b: a", "c: a", "d: b c"])
}

#[test]
fn a_stream_begins_with_one_plan() {
    let plan = plan(&["a"]);
    let error = TenantState::new(&plan).apply(&plan, &started("a", 1)).unwrap_err();
    assert_eq!(error.to_string(), "event 1 (step_started a) does not fit: a stream begins with tenant_planned, once");
    assert_eq!(refused(&plan, &[], &planned(&[0])), "a stream begins with tenant_planned, once");
    assert_eq!(refused(&plan, &done("a"), &planned(&[0])), "a stream begins with tenant_planned, once");
}

#[test]
fn a_step_that_the_plan_does_not_know_is_refused() {
    assert_eq!(refused(&plan(&["a"]), &[], &started("b", 1)), "the plan has no step b");
}

#[test]
fn a_step_starts_only_after_what_it_needs() {
    let plan = diamond();
    let unmet = "a step that it needs has not succeeded";
    assert_eq!(refused(&plan, &[], &started("b", 1)), unmet);
    assert_eq!(refused(&plan, &[], &skipped("b")), unmet);
    assert_eq!(refused(&plan, &[done("a"), done("b")].concat(), &started("d", 1)), unmet);
    legal(&plan, &[skipped("a"), started("b", 1)]);
}

#[test]
fn a_step_does_not_start_while_another_is_open() {
    let plan = diamond();
    for open in [vec![], vec![looked("b", Half::Act, unknown(AGAIN))]] {
        let before = [&done("a")[..], &[started("b", 1)], &open].concat();
        assert_eq!(refused(&plan, &before, &started("c", 1)), "another step is under way");
        assert_eq!(refused(&plan, &before, &skipped("c")), "another step is under way");
        assert_eq!(refused(&plan, &before, &turned()), "a step is under way");
    }
}

#[test]
fn nothing_starts_beside_a_step_that_failed_for_good_or_is_stuck() {
    let plan = diamond();
    for end in [failed("b", Retry::No), looked("b", Half::Act, unknown(Retry::No))] {
        let before = [&done("a")[..], &[started("b", 1), end]].concat();
        assert_eq!(refused(&plan, &before, &started("c", 1)), "another step has failed for good");
        assert_eq!(refused(&plan, &before, &skipped("c")), "another step has failed for good");
    }
}

#[test]
fn a_turned_tenant_starts_and_skips_nothing() {
    let plan = plan(&["a", "b: a"]);
    let before = [&done("a")[..], &[turned()]].concat();
    assert_eq!(refused(&plan, &before, &started("b", 1)), "the tenant has turned");
    assert_eq!(refused(&plan, &before, &skipped("b")), "the tenant has turned");
    let paused = [started("a", 1), failed("a", AGAIN), turned()];
    assert_eq!(refused(&plan, &paused, &started("a", 2)), "the tenant has turned");
}

#[test]
fn a_tenant_turns_once_and_from_every_rest() {
    let plan = plan(&["a", "b: a"]);
    assert_eq!(refused(&plan, &[turned()], &turned()), "the tenant has turned already");
    legal(&plan, &[started("a", 1), failed("a", AGAIN), turned()]);
    legal(&plan, &[started("a", 1), failed("a", Retry::No), turned()]);
    let complete = [&done("a")[..], &done("b"), &[finished(TenantOutcome::Completed)]].concat();
    let again = legal(&plan, &[complete, vec![turned()]].concat());
    assert_eq!((again.finished(), again.turned()), (None, Some(&Cause::DeployTurned)));
}

#[test]
fn a_tenant_that_ended_otherwise_than_completed_does_not_turn() {
    let plan = plan(&["a"]);
    let stuck = [started("a", 1), looked("a", Half::Act, unknown(Retry::No)), finished(TenantOutcome::Stuck)];
    assert_eq!(refused(&plan, &stuck, &turned()), "the tenant has ended as Stuck");
    let quarantined = [started("a", 1), failed("a", Retry::No), finished(TenantOutcome::Quarantined)];
    assert_eq!(refused(&plan, &quarantined, &turned()), "the tenant has ended as Quarantined");
}

#[test]
fn nothing_is_undone_before_the_turn() {
    assert_eq!(refused(&plan(&["a"]), &done("a"), &undo_started("a", 1)), "the tenant has not turned");
    assert_eq!(refused(&plan(&["check"]), &done("check"), &undo_skipped("check")), "the tenant has not turned");
    for retry in [AGAIN, Retry::No] {
        let part = [started("a", 1), failed_after("a", retry, 1)];
        assert_eq!(refused(&plan(&["a"]), &part, &undo_started("a", 1)), "the tenant has not turned");
    }
}

#[test]
fn a_part_of_a_step_is_undone_in_its_place_and_never_skipped() {
    let plan = plan(&["a", "b: a"]);
    let half = looked("b", Half::Act, Found::Partial { statements: 1 });
    for part in [failed_after("b", AGAIN, 1), failed_after("b", Retry::No, 1), half] {
        let up = [&done("a")[..], &[started("b", 1), part, turned()]].concat();
        assert_eq!(refused(&plan, &up, &undo_started("a", 1)), "a later step is still in effect");
        let skip = "an undo is skipped exactly where there is nothing to undo";
        assert_eq!(refused(&plan, &up, &undo_skipped("b")), skip);
        legal(&plan, &[&up[..], &undo("b"), &undo("a")].concat());
    }
}

#[test]
fn a_step_without_effect_has_no_part_in_effect() {
    let plan = plan(&["check"]);
    let half = looked("check", Half::Act, Found::Partial { statements: 1 });
    for part in [failed_after("check", AGAIN, 1), failed_after("check", Retry::No, 1), half] {
        let reason = refused(&plan, &[started("check", 1)], &part);
        assert_eq!(reason, "a step without effect has no statements in effect");
    }
}

#[test]
fn steps_are_undone_in_the_reverse_order() {
    let plan = plan(&["a", "check: a", "c: check"]);
    let up = [&done("a")[..], &done("check"), &done("c"), &[turned()]].concat();
    let later = "a later step is still in effect";
    assert_eq!(refused(&plan, &up, &undo_started("a", 1)), later);
    assert_eq!(refused(&plan, &up, &undo_skipped("check")), later);
    let one_down = [&up[..], &undo("c")].concat();
    assert_eq!(refused(&plan, &one_down, &undo_started("a", 1)), later);
    legal(&plan, &[&one_down[..], &[undo_skipped("check")], &undo("a")].concat());
}

#[test]
fn nothing_is_undone_beneath_a_step_that_is_not_down_itself() {
    let plan = plan(&["a", "b: a"]);
    let up = [&done("a")[..], &done("b"), &[turned(), undo_started("b", 1)]].concat();
    let stuck = undo_failed("b", Retry::No);
    for (then, reason) in [
        (vec![], "another step is under way"),
        (vec![looked("b", Half::Undo, unknown(AGAIN))], "another step is under way"),
        (vec![undo_failed("b", AGAIN)], "a later step is still in effect"),
        (vec![stuck.clone()], "a later step is still in effect"),
        (vec![stuck, decided("b", Resolution::Applied)], "a later step is still in effect"),
    ] {
        assert_eq!(refused(&plan, &[up.clone(), then].concat(), &undo_started("a", 1)), reason);
    }
}

#[test]
fn an_undo_is_skipped_exactly_where_the_step_has_no_effect() {
    let plan = plan(&["a", "check"]);
    let up = [&done("a")[..], &done("check"), &[turned()]].concat();
    let reason = "an undo is skipped exactly where there is nothing to undo";
    assert_eq!(refused(&plan, &up, &undo_started("check", 1)), reason);
    assert_eq!(refused(&plan, &[&up[..], &[undo_skipped("check")]].concat(), &undo_skipped("a")), reason);
}

#[test]
fn an_ended_tenant_takes_no_step_event_and_no_second_end() {
    let plan = plan(&["a"]);
    let complete = [&done("a")[..], &[finished(TenantOutcome::Completed)]].concat();
    for event in
        [undo_started("a", 1), started("a", 1), decided("a", Resolution::Retry), finished(TenantOutcome::Completed)]
    {
        assert_eq!(refused(&plan, &complete, &event), "the tenant has ended as Completed");
    }
    let unwound = [&done("a")[..], &[turned()], &undo("a"), &[finished(TenantOutcome::Unwound)]].concat();
    for event in [undo_started("a", 1), turned(), finished(TenantOutcome::Unwound)] {
        assert!(!refused(&plan, &unwound, &event).is_empty());
    }
}

#[test]
fn a_human_resolves_only_what_is_stuck_and_the_tenant_then_goes_on() {
    let plan = plan(&["a"]);
    assert!(refused(&plan, &done("a"), &decided("a", Resolution::Undone)).starts_with("step a is Succeeded"));
    assert!(
        refused(&plan, &[started("a", 1), failed("a", Retry::No)], &decided("a", Resolution::Retry))
            .starts_with("step a is Failed")
    );
    let stuck = [started("a", 1), looked("a", Half::Act, unknown(Retry::No))];
    for ended in [vec![], vec![finished(TenantOutcome::Stuck)]] {
        let before = [&stuck[..], &ended].concat();
        let state = legal(&plan, &[before, vec![decided("a", Resolution::Retry)]].concat());
        assert_eq!(state.finished(), None);
    }
}

#[test]
fn a_tenant_ends_only_as_its_steps_say() {
    use TenantOutcome as O;
    let all = [O::Completed, O::Unwound, O::Untouched, O::Stuck, O::Abandoned];
    let plan = plan(&["a", "b: a"]);
    let up = [&done("a")[..], &done("b")].concat();
    let down = |events: &[TenantEvent]| [&up[..], &[turned(), undo_started("b", 1)], events].concat();
    let stuck = undo_failed("b", Retry::No);
    for (name, events, fits) in [
        ("planned", vec![], &[][..]),
        ("half way up", done("a").to_vec(), &[]),
        ("open", vec![started("a", 1)], &[]),
        ("paused", vec![started("a", 1), failed("a", AGAIN)], &[]),
        ("failed", vec![started("a", 1), failed("a", Retry::No)], &[]),
        ("turned with a part", vec![started("a", 1), failed_after("a", AGAIN, 1), turned()], &[]),
        ("turned with a part that failed", vec![started("a", 1), failed_after("a", Retry::No, 1), turned()], &[]),
        (
            "its part is undone",
            [&[started("a", 1), failed_after("a", Retry::No, 1), turned()][..], &undo("a")].concat(),
            &[O::Unwound],
        ),
        (
            "a part stays, by decision",
            vec![
                started("a", 1),
                failed_after("a", Retry::No, 1),
                turned(),
                undo_started("a", 1),
                undo_failed("a", Retry::No),
                decided("a", Resolution::Applied),
            ],
            &[O::Abandoned],
        ),
        ("up", up.clone(), &[O::Completed]),
        ("skipped", vec![skipped("a"), skipped("b")], &[O::Completed]),
        ("turned at once", vec![turned()], &[O::Untouched]),
        ("skipped and turned", vec![skipped("a"), turned()], &[O::Untouched]),
        ("turned, in effect", [&done("a")[..], &[turned()]].concat(), &[]),
        ("turned after a try", vec![started("a", 1), failed("a", AGAIN), turned()], &[O::Unwound]),
        ("undoing", down(&[]), &[]),
        ("undo in doubt", down(&[looked("b", Half::Undo, unknown(AGAIN))]), &[]),
        ("undo to be tried again", down(&[undo_failed("b", AGAIN)]), &[]),
        ("half way down", down(&[undone("b")]), &[]),
        ("down", down(&[&[undone("b")][..], &undo("a")].concat()), &[O::Unwound]),
        ("undo stuck", down(std::slice::from_ref(&stuck)), &[O::Stuck]),
        ("left", down(&[stuck.clone(), decided("b", Resolution::Applied)]), &[O::Abandoned]),
        (
            "the last one left",
            down(&[undone("b"), undo_started("a", 1), undo_failed("a", Retry::No), decided("a", Resolution::Applied)]),
            &[O::Abandoned],
        ),
        ("act stuck", vec![started("a", 1), looked("a", Half::Act, unknown(Retry::No))], &[O::Stuck]),
    ] {
        let state = legal(&plan, &events);
        for outcome in all {
            let taken = state.clone().apply(&plan, &finished(outcome)).is_ok();
            assert_eq!(taken, fits.contains(&outcome), "{name}: {outcome:?}");
        }
    }
}

#[test]
fn only_a_tenant_at_rest_and_going_nowhere_is_set_aside() {
    let plan = plan(&["a"]);
    legal(&plan, &[started("a", 1), failed("a", Retry::No), finished(TenantOutcome::Quarantined)]);
    let open = refused(&plan, &[started("a", 1)], &finished(TenantOutcome::Quarantined));
    assert_eq!(open, "its steps do not say Quarantined");
    for part in [failed_after("a", Retry::No, 1), looked("a", Half::Act, Found::Partial { statements: 1 })] {
        let half = refused(&plan, &[started("a", 1), part], &finished(TenantOutcome::Quarantined));
        assert_eq!(half, "its steps do not say Quarantined");
    }
    for retry in [AGAIN, Retry::No] {
        let stopped = [&done("a")[..], &[turned(), undo_started("a", 1), undo_failed("a", retry)]].concat();
        let half = refused(&plan, &stopped, &finished(TenantOutcome::Quarantined));
        assert_eq!(half, "its steps do not say Quarantined");
    }
}
