//! Every legal move of a deploy of one tenant, with two waves in its first stage and one in its second.

use super::*;

fn ended(outcome: DeployOutcome, tenant: TenantOutcome) -> DeployEvent {
    DeployEvent::DeployFinished { outcome, account: BTreeMap::from([(tenant, 1)]) }
}

fn every_event() -> Vec<(&'static str, DeployEvent)> {
    vec![
        ("create", created(&[2, 1], 1)),
        ("enter 0", entered(0)),
        ("enter 1", entered(1)),
        ("enter 2", entered(2)),
        ("open 0.0", opened(0, 0)),
        ("open 0.1", opened(0, 1)),
        ("open 0.2", opened(0, 2)),
        ("open 1.0", opened(1, 0)),
        ("open 1.1", opened(1, 1)),
        ("open 2.0", opened(2, 0)),
        ("set forward", set(Direction::Forward)),
        ("set unwind", set(Direction::Unwind)),
        ("set forward only", set(Direction::ForwardOnly)),
        ("completed", ended(DeployOutcome::Completed, TenantOutcome::Completed)),
        ("unwound", ended(DeployOutcome::Unwound, TenantOutcome::Unwound)),
        ("resume", resumed()),
        ("pause", paused()),
        ("turn by itself", DeployEvent::DirectionSet { direction: Direction::Unwind, cause: Cause::DeployTurned }),
        ("seal", sealed()),
    ]
}

/// What has happened | what may happen next. Everything else is illegal.
const MOVES: &str = "
                                                             | create
create                                                       | enter 0, set unwind, turn by itself, set forward only, ENDS, resume, pause
create, enter 0                                              | open 0.0, set unwind, turn by itself, set forward only, ENDS, resume, pause
create, enter 0, open 0.0                                    | open 0.1, set unwind, turn by itself, set forward only, ENDS, resume, pause
create, enter 0, open 0.0, open 0.1                          | enter 1, set unwind, turn by itself, set forward only, ENDS, resume, pause
create, enter 0, open 0.0, open 0.1, enter 1                 | open 1.0, set unwind, turn by itself, set forward only, ENDS, resume, pause
create, enter 0, open 0.0, open 0.1, enter 1, open 1.0       | set unwind, turn by itself, set forward only, ENDS, resume, pause
create, set unwind                                           | unwound, resume, pause
create, enter 0, set unwind                                  | unwound, resume, pause
create, enter 0, open 0.0, set unwind                        | unwound, resume, pause
create, enter 0, open 0.0, open 0.1, set unwind              | unwound, resume, pause
create, set forward only                                     | enter 0, ENDS, resume, pause
create, enter 0, open 0.0, set forward only                  | open 0.1, ENDS, resume, pause
create, enter 0, open 0.0, open 0.1, set forward only        | enter 1, ENDS, resume, pause
create, resume, enter 0, resume                              | open 0.0, set unwind, turn by itself, set forward only, ENDS, resume, pause
create, pause                                                | set unwind, resume
create, enter 0, open 0.0, open 0.1, pause                   | set unwind, resume
create, set unwind, pause                                    | resume
create, set forward only, pause                              | resume
create, enter 0, pause, resume                               | open 0.0, set unwind, turn by itself, set forward only, ENDS, resume, pause
create, enter 0, pause, set unwind                           | unwound, resume, pause
create, completed                                            | seal
create, set unwind, unwound                                  | seal
create, set unwind, unwound, seal                            |
";

#[test]
fn a_deploy_makes_the_moves_in_the_table_and_no_others() {
    let named: BTreeMap<&str, DeployEvent> = every_event().into_iter().collect();
    for row in MOVES.lines().filter(|row| !row.is_empty()) {
        let (before, legal) = row.split_once('|').unwrap();
        let words = |text: &str| -> Vec<String> {
            let text = text.replace("ENDS", "completed, unwound");
            text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        };
        let state = DeployState::fold(words(before).iter().map(|word| &named[word.as_str()])).unwrap();
        let legal = words(legal);
        assert!(legal.iter().all(|word| named.contains_key(word.as_str())), "{row}");
        for (name, event) in &named {
            let mut after = state.clone();
            let taken = after.apply(event);
            assert_eq!(taken.is_ok(), legal.iter().any(|word| word == name), "after {before}: {name}: {taken:?}");
            assert_eq!(after == state, taken.is_err(), "a refused event leaves no trace, one that is taken does");
        }
    }
}

#[test]
fn a_stage_without_waves_is_passed_through() {
    DeployState::fold(&[created(&[0, 1], 0), entered(0), entered(1), opened(1, 0)]).unwrap();
}

#[test]
fn a_refusal_names_the_event_its_place_and_the_reason() {
    let error = DeployState::fold(&[created(&[2, 1], 1), entered(0), opened(0, 1)]).unwrap_err();
    assert_eq!(error.to_string(), "event 3 (wave_opened) does not fit: Some((0, 0)) comes next");
}

#[test]
fn the_cause_of_the_turn_is_kept() {
    let cause = Cause::Operator { actor: operator(), reason: "so".into() };
    let state = DeployState::fold(&[created(&[1], 1), set(Direction::Unwind)]).unwrap();
    assert_eq!(state.cause(), Some(&cause));
}

#[test]
fn who_paused_a_deploy_is_known_until_it_goes_on() {
    let pause = Pause { actor: operator(), reason: "so".into() };
    let of = |events: &[DeployEvent]| {
        let state = DeployState::fold(&[&[created(&[1], 1)], events].concat()).unwrap();
        assert_eq!(state.pause().is_some(), state.summary().paused);
        state.pause().cloned()
    };
    assert_eq!(of(&[paused()]), Some(pause));
    assert_eq!(of(&[paused(), resumed()]), None);
    assert_eq!(of(&[paused(), set(Direction::Unwind)]), None);
}

#[test]
fn a_deploy_ends_only_with_every_tenant_accounted_for_and_as_the_account_says() {
    use DeployOutcome as D;
    use TenantOutcome as T;
    let forward = DeployState::fold(&[created(&[1], 3)]).unwrap();
    let turned = DeployState::fold(&[created(&[1], 3), set(Direction::Unwind)]).unwrap();
    for (account, outcome, may_forward, may_turned) in [
        (vec![(T::Completed, 3)], D::Completed, true, false),
        (vec![(T::Completed, 3)], D::Unwound, false, false),
        (vec![(T::Unwound, 1), (T::Untouched, 2)], D::Unwound, true, true),
        (vec![(T::Unwound, 1), (T::Untouched, 2)], D::Completed, false, false),
        (vec![(T::Completed, 2), (T::Unwound, 1)], D::Unwound, false, false),
        (vec![(T::Completed, 2), (T::Quarantined, 1)], D::CompletedWithQuarantine, true, false),
        (vec![(T::Completed, 2), (T::Quarantined, 1)], D::Completed, false, false),
        (vec![(T::Unwound, 2), (T::Abandoned, 1)], D::EndedByHand, true, true),
        (vec![(T::Unwound, 2), (T::Abandoned, 1)], D::Unwound, false, false),
        (vec![(T::Unwound, 2), (T::Stuck, 1)], D::Unwound, false, false),
        (vec![(T::Completed, 2)], D::Completed, false, false),
        (vec![(T::Unwound, 4)], D::Unwound, false, false),
        (vec![], D::Completed, false, false),
    ] {
        let event = DeployEvent::DeployFinished { outcome, account: account.iter().copied().collect() };
        assert_eq!(forward.clone().apply(&event).is_ok(), may_forward, "forward: {account:?} as {outcome:?}");
        assert_eq!(turned.clone().apply(&event).is_ok(), may_turned, "turned: {account:?} as {outcome:?}");
    }
}

#[test]
fn an_account_that_lacks_a_tenant_is_refused_in_numbers() {
    let end = DeployEvent::DeployFinished {
        outcome: DeployOutcome::Completed,
        account: BTreeMap::from([(TenantOutcome::Completed, 2)]),
    };
    let error = DeployState::fold(&[created(&[1], 3), end]).unwrap_err();
    assert_eq!(error.reason, "the account holds 2 of 3 tenants");
}
