use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::DeployId;

fn raw(position: u64, step: &str, half: Half, version: &str, effect: Effect) -> RawRow {
    RawRow {
        position: position.to_string(),
        deploy: DeployId(uuid::Uuid::nil()).to_string(),
        step: step.to_owned(),
        half: half_text(half).to_owned(),
        version: version.to_owned(),
        name: version.to_owned(),
        digest: Digest::of(version.as_bytes()).to_string(),
        effect: effect_text(effect).to_owned(),
        epoch: 1.to_string(),
        at_ms: 1_700_000_000_000_i64.to_string(),
    }
}

fn versions(ledger: &Ledger) -> Vec<&str> {
    ledger.in_force().iter().map(|migration| migration.version.as_str()).collect()
}

#[test]
fn what_was_reverted_and_applied_again_came_into_force_last() {
    let ledger = Ledger::read([
        raw(1, "a", Half::Act, "1", Effect::Apply),
        raw(2, "b", Half::Act, "2", Effect::Apply),
        raw(3, "a", Half::Undo, "1", Effect::Revert),
        raw(4, "a2", Half::Act, "1", Effect::Apply),
    ])
    .unwrap();
    assert_eq!(versions(&ledger), ["2", "1"]);
}

#[test]
fn a_tombstone_changes_nothing_that_is_in_force() {
    let ledger =
        Ledger::read([raw(1, "a", Half::Act, "1", Effect::Apply), raw(2, "b", Half::Act, "1", Effect::Void)]).unwrap();
    assert_eq!(versions(&ledger), ["1"]);
    let key = LedgerKey { deploy: DeployId(uuid::Uuid::nil()), step: "b".into(), half: Half::Act };
    assert_eq!(ledger.probe(&key), Probe::Void);
    assert_eq!(ledger.probe(&LedgerKey { half: Half::Undo, ..key }), Probe::NotApplied);
}

#[test]
fn a_row_that_cannot_be_read_names_itself_and_its_column() {
    let good = raw(1, "a", Half::Act, "1", Effect::Apply);
    for (broken, column) in [
        (RawRow { digest: "abc".into(), ..good.clone() }, "digest"),
        (RawRow { effect: "applied".into(), ..good.clone() }, "effect"),
        (RawRow { half: "up".into(), ..good.clone() }, "half"),
        (RawRow { epoch: "-1".into(), ..good.clone() }, "epoch"),
        (RawRow { deploy: "x".into(), ..good.clone() }, "deploy_id"),
    ] {
        match Ledger::read([broken]) {
            Err(Damage::Column { row, column: found, .. }) => assert_eq!((row.as_str(), found), ("1", column)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(Ledger::read([good.clone(), good]).unwrap_err(), Damage::Order { row: 1, after: 1 });
}

proptest! {
    #[test]
    fn rows_taken_in_one_by_one_give_the_ledger_that_reading_them_gives(
        acts in proptest::collection::vec((0_u8..6, 0_u8..3), 0..40)
    ) {
        let rows: Vec<RawRow> = acts
            .iter()
            .enumerate()
            .map(|(at, (version, effect))| {
                let effect = [Effect::Apply, Effect::Revert, Effect::Void][usize::from(*effect)];
                raw(at as u64 + 1, &format!("s{at}"), Half::Act, &version.to_string(), effect)
            })
            .collect();
        let read = Ledger::read(rows.clone()).unwrap();
        let mut pushed = Ledger::default();
        let mut last: BTreeMap<String, Effect> = BTreeMap::new();
        for row in rows {
            let row = row.parse().unwrap();
            if row.effect != Effect::Void {
                last.insert(row.version.clone(), row.effect);
            }
            pushed.push(row);
        }
        prop_assert_eq!(read.in_force(), pushed.in_force());
        prop_assert_eq!(read.next_position(), pushed.next_position());
        let mut found = versions(&read);
        found.sort_unstable();
        let expected: Vec<&str> =
            last.iter().filter(|(_, effect)| **effect == Effect::Apply).map(|(version, _)| version.as_str()).collect();
        prop_assert_eq!(found, expected);
    }
}
