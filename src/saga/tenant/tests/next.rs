//! What is done next, and the row that the log keeps beside the stream.

use super::*;

/// An action in a few words.
fn brief(action: &Action<'_>) -> String {
    match action {
        Action::Probe { step, half, looks, not_before } => {
            format!("probe {half:?} {}, {} looks @{}", step.id, looks.counted, not_before.0)
        }
        Action::Start { step, attempt, not_before } => format!("start {} {attempt} @{}", step.id, not_before.0),
        Action::Turn { .. } => "turn".to_owned(),
        Action::Undo { step, attempt, not_before } => format!("undo {} {attempt} @{}", step.id, not_before.0),
        Action::SkipUndo { step } => format!("skip undo {}", step.id),
        Action::Finish { outcome, reason, .. } => format!("finish {outcome:?}: {reason}"),
        Action::AwaitWave => "await wave".to_owned(),
        Action::AwaitDecision => "await decision".to_owned(),
        Action::Rest => "rest".to_owned(),
    }
}

#[test]
fn what_comes_next_follows_from_the_stream_and_the_direction() {
    use TenantOutcome as O;
    let plan = plan(&["a", "check: a", "c: check"]);
    let up = [&done("a")[..], &done("check"), &done("c")].concat();
    let stuck_act = vec![started("a", 1), looked("a", Half::Act, unknown(Retry::No))];
    let undoing = [&up[..], &[turned(), undo_started("c", 1)]].concat();
    let and = |events: &[TenantEvent], more: &[TenantEvent]| [events, more].concat();
    // forward; forward only; unwind
    for (name, events, expected) in [
        ("planned", vec![], ["start a 1 @0", "start a 1 @0", "turn"]),
        ("started", vec![started("a", 1)], ["probe Act a, 0 looks @0"; 3]),
        ("in doubt", vec![started("a", 1), looked("a", Half::Act, unknown(AGAIN))], ["probe Act a, 1 looks @9000"; 3]),
        ("to try again", vec![started("a", 1), failed("a", AGAIN)], ["start a 2 @9000", "start a 2 @9000", "turn"]),
        ("failed", vec![started("a", 1), failed("a", Retry::No)], ["await decision", "await decision", "turn"]),
        ("act stuck", stuck_act.clone(), ["finish Stuck: new"; 3]),
        ("waits for a human", and(&stuck_act, &[finished(O::Stuck)]), ["rest"; 3]),
        ("to be tried again", and(&stuck_act, &[decided("a", Resolution::Retry)]), ["probe Act a, 0 looks @0"; 3]),
        (
            "said undone",
            and(&stuck_act, &[decided("a", Resolution::Undone)]),
            ["await decision", "await decision", "turn"],
        ),
        (
            "said undone and turned",
            and(&stuck_act, &[decided("a", Resolution::Undone), turned()]),
            ["finish Unwound: new"; 3],
        ),
        (
            "said applied",
            and(&stuck_act, &[decided("a", Resolution::Applied)]),
            ["start check 1 @0", "start check 1 @0", "turn"],
        ),
        ("up", up.clone(), ["finish Completed: on the release", "finish Completed: on the release", "turn"]),
        ("completed", and(&up, &[finished(O::Completed)]), ["rest", "rest", "turn"]),
        ("turned", and(&up, &[turned()]), ["undo c 1 @0"; 3]),
        ("undo under way", undoing.clone(), ["probe Undo c, 0 looks @0"; 3]),
        ("undo to try again", and(&undoing, &[undo_failed("c", AGAIN)]), ["undo c 2 @9000"; 3]),
        ("one down", and(&undoing, &[undone("c")]), ["skip undo check"; 3]),
        ("two down", and(&undoing, &[undone("c"), undo_skipped("check")]), ["undo a 1 @0"; 3]),
        ("undo stuck", and(&undoing, &[undo_failed("c", Retry::No)]), ["finish Stuck: new"; 3]),
        (
            "left",
            and(&undoing, &[undo_failed("c", Retry::No), decided("c", Resolution::Applied)]),
            ["finish Abandoned: left as it is, by decision"; 3],
        ),
        (
            "part to try again",
            vec![started("a", 1), failed_after("a", AGAIN, 2)],
            ["start a 2 @9000", "start a 2 @9000", "turn"],
        ),
        ("part found", vec![started("a", 1), part_of("a", 2)], ["start a 2 @0", "start a 2 @0", "turn"]),
        (
            "part failed",
            vec![started("a", 1), failed_after("a", Retry::No, 2)],
            ["await decision", "await decision", "turn"],
        ),
        (
            "turned in a pause over a part",
            vec![started("a", 1), failed_after("a", AGAIN, 2), turned()],
            ["undo a 1 @0"; 3],
        ),
        ("turned over a part found", vec![started("a", 1), part_of("a", 2), turned()], ["undo a 1 @0"; 3]),
        (
            "a part comes before what lies beneath it",
            and(&done("a"), &[started("check", 1), succeeded("check"), started("c", 1), part_of("c", 1), turned()]),
            ["undo c 1 @0"; 3],
        ),
        (
            "undo of a part to try again",
            vec![started("a", 1), part_of("a", 2), turned(), undo_started("a", 1), undo_failed("a", AGAIN)],
            ["undo a 2 @9000"; 3],
        ),
        (
            "undo of a part stuck",
            vec![started("a", 1), part_of("a", 2), turned(), undo_started("a", 1), undo_failed("a", Retry::No)],
            ["finish Stuck: new"; 3],
        ),
        (
            "part undone that nothing failed over",
            and(&[started("a", 1), part_of("a", 2), turned()], &undo("a")),
            ["finish Unwound: undone"; 3],
        ),
        ("turned at once", vec![turned()], ["finish Untouched: never started"; 3]),
        ("turned in a pause", vec![started("a", 1), failed("a", AGAIN), turned()], ["finish Unwound: undone"; 3]),
        ("turned after failing", vec![started("a", 1), failed("a", Retry::No), turned()], ["finish Unwound: new"; 3]),
    ] {
        let state = legal(&plan, &events);
        for (direction, expected) in
            [Direction::Forward, Direction::ForwardOnly, Direction::Unwind].into_iter().zip(expected)
        {
            assert_eq!(brief(&state.next(&plan, direction, Some((0, 0)))), expected, "{name}, {direction:?}");
        }
    }
}

fn part_of(step: &str, statements: u32) -> TenantEvent {
    looked(step, Half::Act, Found::Partial { statements })
}

#[test]
fn why_a_step_failed_outlives_the_undo_of_its_part() {
    let plan = plan(&["a", "b: a"]);
    let unwound = |message: &str, parts: &[(Retry, u32)]| {
        let tries = (1..).zip(parts).flat_map(|(attempt, (retry, in_effect))| {
            let failed = TenantEvent::StepFailed {
                step: "b".into(),
                failure: failure(message),
                retry: *retry,
                in_effect: *in_effect,
            };
            [started("b", attempt), failed]
        });
        let up = [done("a").to_vec(), tries.collect()].concat();
        let state = legal(&plan, &[&up[..], &[turned()], &undo("b"), &undo("a")].concat());
        assert_eq!(state.failure(), Some(&failure(message)));
        let row = state.summary(&plan);
        assert_eq!((row.step, row.code, row.message), (Some("b".into()), Some(Code::StepFailed), Some(message.into())));
        let Action::Finish { outcome: TenantOutcome::Unwound, reason, code: Some(Code::StepFailed) } =
            state.next(&plan, Direction::Unwind, None)
        else {
            panic!("{state:?}")
        };
        reason
    };
    assert_eq!(
        unwound("no such table", &[(Retry::No, 1)]),
        "no such table. Statement 1 was committed by the server and has been undone; the tenant is as it was before this deploy."
    );
    assert_eq!(
        unwound("No such table.", &[(Retry::No, 2)]),
        "No such table. Statements 1 to 2 were committed by the server and have been undone; the tenant is as it was before this deploy."
    );
    // The last try did not even reach the database: what the first left is there all the same.
    assert_eq!(
        unwound("unreachable", &[(AGAIN, 3), (Retry::No, 0)]),
        "unreachable. Statements 1 to 3 were committed by the server and have been undone; the tenant is as it was before this deploy."
    );
}

#[test]
fn a_stream_without_its_plan_decides_nothing() {
    let plan = plan(&["a"]);
    for direction in [Direction::Forward, Direction::Unwind] {
        assert_eq!(TenantState::new(&plan).next(&plan, direction, Some((0, 0))), Action::Rest);
    }
}

#[test]
fn a_step_waits_for_its_own_stage_and_the_tenants_wave_in_it() {
    let plan = Plan::new(vec![planned_step(0, "a"), planned_step(1, "b: a")]).unwrap();
    let next = |events: &[TenantEvent], open| {
        let state = TenantState::fold(&plan, &[&[planned(&[2, 1])], events].concat()).unwrap();
        let summary = state.summary(&plan);
        (brief(&state.next(&plan, Direction::Forward, open)), (summary.stage, summary.wave))
    };
    let await_wave = |at| ("await wave".to_owned(), at);
    assert_eq!(next(&[], None), await_wave((0, 2)));
    assert_eq!(next(&[], Some((0, 1))), await_wave((0, 2)));
    assert_eq!(next(&[], Some((0, 2))), ("start a 1 @0".to_owned(), (0, 2)));
    assert_eq!(next(&done("a"), Some((0, 2))), await_wave((1, 1)));
    assert_eq!(next(&done("a"), Some((1, 0))), await_wave((1, 1)));
    assert_eq!(next(&done("a"), Some((1, 1))), ("start b 1 @0".to_owned(), (1, 1)));
}

#[test]
fn a_plan_without_steps_is_there_already_and_untouched_when_the_deploy_turns() {
    let plan = plan(&[]);
    let state = legal(&plan, &[]);
    assert_eq!(brief(&state.next(&plan, Direction::Forward, None)), "finish Completed: already there");
    let turned = legal(&plan, &[finished(TenantOutcome::Completed), turned()]);
    assert_eq!(brief(&turned.next(&plan, Direction::Unwind, None)), "finish Untouched: never started");
}

#[test]
fn the_row_says_where_the_tenant_stands() {
    use TenantStatus as S;
    let plan = plan(&["a", "b: a"]);
    let up = [&done("a")[..], &done("b")].concat();
    let undoing = [&up[..], &[turned(), undo_started("b", 1)]].concat();
    let and = |events: &[TenantEvent], more: &[TenantEvent]| [events, more].concat();
    for (events, status, step, ready_at, message) in [
        (vec![], S::Pending, Some("a"), None, None),
        (vec![started("a", 1)], S::Running, Some("a"), None, None),
        (vec![started("a", 1), failed("a", AGAIN)], S::Running, Some("a"), Some(9_000), Some("new")),
        (vec![started("a", 1), failed("a", AGAIN), turned()], S::Unwinding, Some("a"), None, None),
        (
            vec![started("a", 1), looked("a", Half::Act, unknown(AGAIN))],
            S::Running,
            Some("a"),
            Some(9_000),
            Some("new"),
        ),
        (vec![started("a", 1), failed("a", Retry::No)], S::Failed, Some("a"), None, Some("new")),
        (vec![started("a", 1), failed_after("a", Retry::No, 1), turned()], S::Unwinding, Some("a"), None, Some("new")),
        (vec![started("a", 1), failed_after("a", AGAIN, 1), turned()], S::Unwinding, Some("a"), None, None),
        (vec![started("a", 1), looked("a", Half::Act, unknown(Retry::No))], S::Stuck, Some("a"), None, Some("new")),
        (done("a").to_vec(), S::Running, Some("b"), None, None),
        (up.clone(), S::Running, None, None, None),
        (and(&up, &[finished(TenantOutcome::Completed)]), S::Completed, None, None, None),
        (and(&up, &[finished(TenantOutcome::Completed), turned()]), S::Unwinding, None, None, None),
        (and(&undoing, &[undo_failed("b", AGAIN)]), S::Unwinding, Some("b"), Some(9_000), Some("new")),
        (and(&undoing, &[undo_failed("b", Retry::No)]), S::Stuck, Some("b"), None, Some("new")),
        (vec![turned(), finished(TenantOutcome::Untouched)], S::Untouched, Some("a"), None, None),
    ] {
        let row = legal(&plan, &events).summary(&plan);
        assert_eq!(
            (row.status, row.step.as_ref().map(StepId::as_str), row.ready_at, row.message.as_deref()),
            (status, step, ready_at.map(Timestamp), message),
            "{events:?}"
        );
    }
}
