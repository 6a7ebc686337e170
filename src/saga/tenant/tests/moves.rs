//! One step: every state × every event, written down a second time as a table that owes nothing to the code.

use super::*;

/// Every legal move. The steps stand at their second try with a failure "old" behind them, or wait until 5000; the events bring a
/// failure "new" and say "again" for 9000. "part 2" is a step whose first two statements are in effect. A pair that is not in this
/// table is illegal.
const MOVES: &str = "
pending                       | start 1              | started 1
pending                       | skip                 | skipped

ready 2 @5000                 | start 3              | started 3

ready 2 @5000, part 2         | start 3              | started 3, part 2
ready 2 @5000, part 2         | undo 1               | undoing 1

started 2                     | succeeds             | succeeded
started 2                     | fails, again         | ready 2 @9000
started 2                     | fails for good       | failed: new
started 2                     | fails at 2, again    | ready 2 @9000, part 1
started 2                     | fails at 4 for good  | failed: new, part 3
started 2                     | act: applied         | succeeded, probed
started 2                     | act: not applied     | ready 2 @0
started 2                     | act: partial 1       | ready 2 @0, part 1
started 2                     | act: unknown, again  | doubt Act 2, 1 looks @9000: new
started 2                     | act: unknown         | stuck Act 2: new

started 2, part 2             | succeeds             | succeeded
started 2, part 2             | fails, again         | ready 2 @9000, part 2
started 2, part 2             | fails for good       | failed: new, part 2
started 2, part 2             | fails at 2, again    | ready 2 @9000, part 2
started 2, part 2             | fails at 4 for good  | failed: new, part 3
started 2, part 2             | act: applied         | succeeded, probed
started 2, part 2             | act: not applied     | ready 2 @0
started 2, part 2             | act: partial 1       | ready 2 @0, part 1
started 2, part 2             | act: unknown, again  | doubt Act 2, 1 looks @9000: new
started 2, part 2             | act: unknown         | stuck Act 2: new

failed: old, part 2           | undo 1               | undoing 1

doubt Act 2, 1 looks @5000: old  | act: applied         | succeeded, probed
doubt Act 2, 1 looks @5000: old  | act: not applied     | ready 2 @0
doubt Act 2, 1 looks @5000: old  | act: partial 1       | ready 2 @0, part 1
doubt Act 2, 1 looks @5000: old  | act: unknown, again  | doubt Act 2, 2 looks @9000: new
doubt Act 2, 1 looks @5000: old  | act: unknown         | stuck Act 2: new

succeeded                     | undo 1               | undoing 1
succeeded                     | undo skipped         | undone

undo ready 2 @5000            | undo 3               | undoing 3

undoing 2                     | undo succeeds        | undone
undoing 2                     | undo fails, again    | undo ready 2 @9000
undoing 2                     | undo fails for good  | stuck Undo 2: new
undoing 2                     | undo: applied        | undone
undoing 2                     | undo: not applied    | undo ready 2 @0
undoing 2                     | undo: unknown, again | doubt Undo 2, 1 looks @9000: new
undoing 2                     | undo: unknown        | stuck Undo 2: new

doubt Undo 2, 1 looks @5000: old | undo: applied        | undone
doubt Undo 2, 1 looks @5000: old | undo: not applied    | undo ready 2 @0
doubt Undo 2, 1 looks @5000: old | undo: unknown, again | doubt Undo 2, 2 looks @9000: new
doubt Undo 2, 1 looks @5000: old | undo: unknown        | stuck Undo 2: new

stuck Act 2: old              | resolve: retry       | doubt Act 0, 0 looks @0: old
stuck Act 2: old              | resolve: applied     | succeeded
stuck Act 2: old              | resolve: undone      | failed: old
stuck Undo 2: old             | resolve: retry       | doubt Undo 0, 0 looks @0: old
stuck Undo 2: old             | resolve: applied     | left
stuck Undo 2: old             | resolve: undone      | undo ready 0 @0
";

fn every_state() -> Vec<StepState> {
    let (attempt, not_before) = (Attempt(2), Timestamp(5_000));
    let doubt = |half| StepState::Doubt {
        half,
        attempt,
        looks: Looks { counted: Attempt(1), ..Looks::default() },
        not_before,
        failure: failure("old"),
    };
    let stuck = |half| StepState::Stuck { half, attempt, failure: failure("old") };
    vec![
        StepState::Pending,
        StepState::Started { attempt, part: 0 },
        StepState::Started { attempt, part: 2 },
        StepState::Ready { attempt, not_before, failure: None, part: 0 },
        StepState::Ready { attempt, not_before, failure: None, part: 2 },
        StepState::Succeeded(Evidence::default()),
        StepState::Failed { failure: failure("old"), part: 0 },
        StepState::Failed { failure: failure("old"), part: 2 },
        StepState::Skipped,
        StepState::Undoing { attempt },
        StepState::UndoReady { attempt, not_before, failure: None },
        StepState::Undone,
        doubt(Half::Act),
        doubt(Half::Undo),
        stuck(Half::Act),
        stuck(Half::Undo),
        StepState::Left,
    ]
}

/// A state as the table writes it, with everything that is in it.
fn written(state: &StepState) -> String {
    let of = |part: &u32| if *part == 0 { String::new() } else { format!(", part {part}") };
    match state {
        StepState::Pending => "pending".to_owned(),
        StepState::Started { attempt, part } => format!("started {attempt}{}", of(part)),
        StepState::Ready { attempt, not_before, part, .. } => format!("ready {attempt} @{}{}", not_before.0, of(part)),
        StepState::Succeeded(evidence) if evidence.probed => "succeeded, probed".to_owned(),
        StepState::Succeeded(_) => "succeeded".to_owned(),
        StepState::Failed { failure, part } => format!("failed: {}{}", failure.message, of(part)),
        StepState::Skipped => "skipped".to_owned(),
        StepState::Undoing { attempt } => format!("undoing {attempt}"),
        StepState::UndoReady { attempt, not_before, .. } => format!("undo ready {attempt} @{}", not_before.0),
        StepState::Undone => "undone".to_owned(),
        StepState::Doubt { half, attempt, looks, not_before, failure } => {
            format!("doubt {half:?} {attempt}, {} looks @{}: {}", looks.counted, not_before.0, failure.message)
        }
        StepState::Stuck { half, attempt, failure } => format!("stuck {half:?} {attempt}: {}", failure.message),
        StepState::Left => "left".to_owned(),
    }
}

fn every_event() -> Vec<(&'static str, TenantEvent)> {
    use Half::{Act, Undo};
    vec![
        ("start 1", started("s", 1)),
        ("start 2", started("s", 2)),
        ("start 3", started("s", 3)),
        ("start 4", started("s", 4)),
        ("succeeds", succeeded("s")),
        ("fails, again", failed("s", AGAIN)),
        ("fails for good", failed("s", Retry::No)),
        ("fails at 2, again", failed_after("s", AGAIN, 1)),
        ("fails at 4 for good", failed_after("s", Retry::No, 3)),
        ("skip", skipped("s")),
        ("act: applied", looked("s", Act, Found::Applied)),
        ("act: not applied", looked("s", Act, Found::NotApplied)),
        ("act: partial 0", looked("s", Act, Found::Partial { statements: 0 })),
        ("act: partial 1", looked("s", Act, Found::Partial { statements: 1 })),
        ("act: unknown, again", looked("s", Act, unknown(AGAIN))),
        ("act: unknown", looked("s", Act, unknown(Retry::No))),
        ("undo 1", undo_started("s", 1)),
        ("undo 2", undo_started("s", 2)),
        ("undo 3", undo_started("s", 3)),
        ("undo 4", undo_started("s", 4)),
        ("undo succeeds", undone("s")),
        ("undo fails, again", undo_failed("s", AGAIN)),
        ("undo fails for good", undo_failed("s", Retry::No)),
        ("undo skipped", undo_skipped("s")),
        ("undo: applied", looked("s", Undo, Found::Applied)),
        ("undo: not applied", looked("s", Undo, Found::NotApplied)),
        ("undo: partial 1", looked("s", Undo, Found::Partial { statements: 1 })),
        ("undo: unknown, again", looked("s", Undo, unknown(AGAIN))),
        ("undo: unknown", looked("s", Undo, unknown(Retry::No))),
        ("resolve: retry", decided("s", Resolution::Retry)),
        ("resolve: applied", decided("s", Resolution::Applied)),
        ("resolve: undone", decided("s", Resolution::Undone)),
        ("planned", planned(&[0])),
        ("turned", turned()),
        ("finished", finished(TenantOutcome::Completed)),
    ]
}

#[test]
fn a_step_makes_the_moves_in_the_table_and_no_others() {
    let mut table = std::collections::BTreeMap::new();
    for row in MOVES.lines().filter(|row| !row.is_empty()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [state, event, after] = cells[..] else { panic!("{row}") };
        assert!(table.insert((state.to_owned(), event.to_owned()), after.to_owned()).is_none(), "twice: {row}");
    }
    let mut wrong = Vec::new();
    for state in every_state() {
        for (event_name, event) in every_event() {
            let expected = table.remove(&(written(&state), event_name.to_owned()));
            let actual = step_after(&state, &event).map(|after| written(&after));
            if expected != actual {
                wrong.push(format!("{} | {event_name}: expected {expected:?}, got {actual:?}", written(&state)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(table.is_empty(), "rows that name no state or event: {:?}", table.keys());
}

#[test]
fn an_outcome_keeps_its_evidence() {
    let evidence = Evidence { statements: 3, note: Some("3 rows".into()), ..Evidence::default() };
    let event = TenantEvent::StepSucceeded { step: "s".into(), evidence: evidence.clone() };
    assert_eq!(
        step_after(&StepState::Started { attempt: Attempt(1), part: 0 }, &event),
        Some(StepState::Succeeded(evidence))
    );
}
