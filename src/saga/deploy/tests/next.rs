//! What is decided, over direction, census and waves.

use super::*;
use TenantStatus as S;

/// Tenants by status, stage and wave.
type Rows<'a> = &'a [(TenantStatus, u32, u32)];

fn census(rows: Rows<'_>) -> Census {
    let mut census = Census::default();
    for row in rows {
        *census.groups.entry(*row).or_default() += 1;
    }
    census
}

/// Two stages, of two waves and one.
fn deploy(events: &[DeployEvent]) -> DeployState {
    let all: Vec<DeployEvent> = [&[created(&[2, 1], 2)], events].concat();
    DeployState::fold(&all).unwrap()
}

fn append(event: DeployEvent) -> Decision {
    Decision::Append(Box::new(event))
}

fn finish(outcome: DeployOutcome, account: &[(TenantOutcome, u64)]) -> Decision {
    append(DeployEvent::DeployFinished { outcome, account: account.iter().copied().collect() })
}

fn up_to(waves: usize) -> Vec<DeployEvent> {
    let all = [entered(0), opened(0, 0), opened(0, 1), entered(1), opened(1, 0)];
    all[..waves].to_vec()
}

fn check(state: &DeployState, then: Then, rows: Rows<'_>, expected: &Decision) {
    let census = census(rows);
    assert_eq!(&state.next(&census, &policy(then)), expected, "{:?}, {rows:?}, {then}", state.summary());
    if let Decision::Append(event) = expected {
        state.clone().apply(event).unwrap();
    }
}

#[test]
fn a_deploy_goes_forward_stage_by_stage_and_wave_by_wave() {
    let all_done: Rows<'_> = &[(S::Completed, 1, 0), (S::Completed, 1, 0)];
    let completed = finish(DeployOutcome::Completed, &[(TenantOutcome::Completed, 2)]);
    for then in [Then::Unwind, Then::Halt] {
        for turn in [vec![], vec![set(Direction::ForwardOnly)]] {
            let at = |count| deploy(&[turn.clone(), up_to(count)].concat());
            let waiting: Rows<'_> = &[(S::Pending, 0, 0), (S::Pending, 0, 1)];
            check(&at(0), then, waiting, &append(entered(0)));
            check(&at(1), then, waiting, &append(opened(0, 0)));
            check(&at(2), then, waiting, &Decision::Wait);
            check(&at(2), then, &[(S::Running, 0, 0), (S::Pending, 0, 1)], &Decision::Wait);
            // The tenant of the first wave now waits for the second stage: the second wave goes first.
            check(&at(2), then, &[(S::Running, 1, 0), (S::Pending, 0, 1)], &append(opened(0, 1)));
            check(&at(3), then, &[(S::Running, 1, 0), (S::Pending, 0, 1)], &Decision::Wait);
            check(&at(3), then, &[(S::Running, 1, 0), (S::Running, 1, 0)], &append(entered(1)));
            check(&at(4), then, &[(S::Running, 1, 0), (S::Running, 1, 0)], &append(opened(1, 0)));
            check(&at(5), then, &[(S::Completed, 1, 0), (S::Running, 1, 0)], &Decision::Wait);
            check(&at(5), then, all_done, &completed);
            // Waves are opened to the end also where nobody is left to go: the stream says that there was nobody.
            check(&at(2), then, all_done, &append(opened(0, 1)));
        }
    }
}

#[test]
fn a_failure_turns_the_deploy_where_the_workflow_says_unwind_and_it_still_can() {
    for trouble in [S::Failed, S::Stuck] {
        let rows: Rows<'_> = &[(trouble, 0, 0), (S::Running, 0, 0)];
        let open = deploy(&up_to(2));
        let pivoted = deploy(&[up_to(2), vec![set(Direction::ForwardOnly)]].concat());
        check(&open, Then::Unwind, rows, &Decision::Unwind);
        for (state, then) in [(&open, Then::Halt), (&pivoted, Then::Unwind), (&pivoted, Then::Halt)] {
            check(state, then, rows, &Decision::Wait);
            check(state, then, &[(trouble, 0, 0), (S::Unwinding, 0, 0)], &Decision::Wait);
            // Nothing new is opened: the second wave waits.
            check(state, then, &[(trouble, 0, 0), (S::Pending, 0, 1)], &Decision::WaitForHuman);
            check(state, then, &[(trouble, 0, 0), (S::Completed, 0, 0)], &Decision::WaitForHuman);
        }
    }
}

#[test]
fn after_the_turn_nothing_is_opened_and_everybody_is_waited_for() {
    for waves in 0..=5 {
        let state = deploy(&[up_to(waves), vec![set(Direction::Unwind)]].concat());
        for then in [Then::Unwind, Then::Halt] {
            for moving in [S::Pending, S::Running, S::Failed, S::Unwinding, S::Completed] {
                check(&state, then, &[(moving, 1, 0), (S::Unwound, 0, 0)], &Decision::Wait);
                check(&state, then, &[(moving, 1, 0), (S::Stuck, 0, 0)], &Decision::Wait);
            }
            check(&state, then, &[(S::Unwound, 0, 0), (S::Stuck, 0, 0)], &Decision::WaitForHuman);
            let account = [(TenantOutcome::Unwound, 1), (TenantOutcome::Untouched, 1)];
            check(&state, then, &[(S::Unwound, 0, 0), (S::Untouched, 0, 0)], &finish(DeployOutcome::Unwound, &account));
            let account = [(TenantOutcome::Unwound, 1), (TenantOutcome::Abandoned, 1)];
            check(
                &state,
                then,
                &[(S::Unwound, 0, 0), (S::Abandoned, 0, 0)],
                &finish(DeployOutcome::EndedByHand, &account),
            );
        }
    }
}

#[test]
fn a_tenant_in_a_wave_that_does_not_exist_is_for_a_human_and_not_passed_over() {
    for lost in [S::Pending, S::Running] {
        check(&deploy(&up_to(5)), Then::Unwind, &[(S::Completed, 1, 0), (lost, 1, 7)], &Decision::WaitForHuman);
    }
}

#[test]
fn while_a_deploy_is_paused_nothing_is_decided_and_afterwards_what_would_have_been() {
    let turns = [vec![], vec![set(Direction::Unwind)], vec![set(Direction::ForwardOnly)]];
    for (waves, turn) in (0..=5).flat_map(|waves| turns.iter().map(move |turn| (waves, turn))) {
        let before = deploy(&[up_to(waves), turn.clone()].concat());
        let during = deploy(&[up_to(waves), turn.clone(), vec![paused()]].concat());
        let after = deploy(&[up_to(waves), turn.clone(), vec![paused(), resumed()]].concat());
        let (first, second) = (S::ALL.iter(), S::ALL.iter());
        for (first, second) in first.flat_map(|first| second.clone().map(move |second| (*first, *second))) {
            let rows: Rows<'_> = &[(first, 0, 0), (second, 1, 0)];
            for then in [Then::Unwind, Then::Halt] {
                // Not even its end, where every tenant has one.
                check(&during, then, rows, &Decision::Paused);
                assert_eq!(after.next(&census(rows), &policy(then)), before.next(&census(rows), &policy(then)));
            }
        }
    }
}

#[test]
fn nobody_is_taken_up_while_a_deploy_is_paused() {
    for turn in [vec![], vec![set(Direction::Unwind)], vec![set(Direction::ForwardOnly)]] {
        let during = deploy(&[up_to(5), turn, vec![paused()]].concat());
        assert!(S::ALL.iter().all(|status| !during.summary().admits(*status, 0, 0)));
    }
}

#[test]
fn after_an_end_nothing_is_left() {
    let account = BTreeMap::from([(TenantOutcome::Completed, 2)]);
    let end = DeployEvent::DeployFinished { outcome: DeployOutcome::Completed, account };
    let rows: Rows<'_> = &[(S::Completed, 1, 0), (S::Completed, 1, 0)];
    check(&deploy(&[up_to(5), vec![end.clone()]].concat()), Then::Unwind, rows, &Decision::Rest);
    check(&deploy(&[up_to(5), vec![end, sealed()]].concat()), Then::Unwind, rows, &Decision::Rest);
    assert_eq!(DeployState::default().next(&census(rows), &policy(Then::Unwind)), Decision::Rest);
}
