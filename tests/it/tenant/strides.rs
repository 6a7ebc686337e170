//! What every session does with a step whose statements go one by one. One function per behaviour.

use windlass::base::{Code, Coded as _, Epoch};
use windlass::saga::event::Half;
use windlass::saga::failure::ErrorClass;
use windlass::tenant::{
    Applied, Begun, Effect, FenceState, LedgerKey, Outcome, Outcomes, Probe, Session, State, Unit, Written,
};

use super::subject::{Kind, Store, Subject};

/// A table that takes rows, where a subject has none of its own.
const TABLE: &str = "CREATE TABLE a (id int)";
const ROW: &str = "INSERT INTO a VALUES (1)";

fn key(it: &Subject) -> LedgerKey {
    it.key("migrate:1", Half::Act)
}

fn texts(statements: &[&str]) -> Vec<String> {
    statements.iter().map(|&text| text.to_owned()).collect()
}

fn row(number: u32, state: State, before: &str, after: &str, epoch: u64) -> Begun {
    Begun { number, state, before: before.to_owned(), after: after.to_owned(), epoch: Epoch(epoch) }
}

/// The unit that ends the step.
fn end(it: &Subject) -> Unit {
    Unit { fence: FenceState::Done, ..it.up("1", &[]) }
}

async fn state_of_fence(it: &Subject) -> FenceState {
    it.survey().await.fence.unwrap().state
}

async fn rows(it: &Subject) -> i64 {
    it.number("SELECT count(*) FROM a").await
}

pub async fn a_step_that_begins_nothing_makes_no_table(it: &Subject) {
    let mut session = it.open(1).await;
    let before = it.catalog().await;
    assert_eq!(session.begun(&key(it)).await.unwrap(), []);
    session.apply(&it.up("2", &[])).await.unwrap();
    session.close().await;
    if it.kind != Kind::MariaDb {
        // There it comes with the others: making it later would cost a commit of its own each time.
        assert_eq!(it.tables("windlass_statement").await, 0);
    }
    let mut again = it.open(1).await;
    assert_eq!(again.begun(&key(it)).await.unwrap(), []);
    if it.kind == Kind::PostgresDatabase {
        assert_eq!(it.catalog().await, before);
    }
}

pub async fn an_intent_is_found_by_the_next_worker_who_settles_it(it: &Subject) {
    let (mut session, key) = (it.open(1).await, key(it));
    let before = r"it's \' a print";
    assert_eq!(session.intend(&key, 1, before).await.unwrap(), Written::Now);
    assert_eq!(session.intend(&key, 1, "another").await.unwrap(), Written::Before);
    session.run_alone(Half::Act, "CREATE TABLE b2 (id int)").await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM b2").await, 0);

    let mut later = it.open(2).await;
    assert_eq!(later.begun(&key).await.unwrap(), [row(1, State::Intent, before, "", 1)]);
    later.settle(&key, 1, "after").await.unwrap();
    let done = row(1, State::Done, before, "after", 2);
    assert_eq!(later.begun(&key).await.unwrap(), std::slice::from_ref(&done));
    assert_eq!(it.open(3).await.begun(&key).await.unwrap(), [done]);
    let other = it.key("migrate:1", Half::Undo);
    assert_eq!(it.open(4).await.begun(&other).await.unwrap(), []);
}

pub async fn what_is_forgotten_can_be_intended_again(it: &Subject) {
    let (mut session, key) = (it.open(1).await, key(it));
    session.intend(&key, 1, "x").await.unwrap();
    session.intend(&key, 2, "y").await.unwrap();
    session.forget(&key, 1).await.unwrap();
    assert_eq!(session.begun(&key).await.unwrap(), [row(2, State::Intent, "y", "", 1)]);
    assert_eq!(session.intend(&key, 1, "z").await.unwrap(), Written::Now);
    let expected = [row(1, State::Intent, "z", "", 1), row(2, State::Intent, "y", "", 1)];
    assert_eq!(session.begun(&key).await.unwrap(), expected);
}

pub async fn a_row_that_is_not_there_cannot_be_settled(it: &Subject) {
    let (mut session, key) = (it.open(1).await, key(it));
    session.intend(&key, 1, "x").await.unwrap();
    let error = session.settle(&key, 2, "y").await.unwrap_err();
    assert_eq!((error.code(), error.failure.class), (Code::LedgerDamaged, ErrorClass::Permanent));
    assert_eq!(session.begun(&key).await.unwrap(), [row(1, State::Intent, "x", "", 1)]);
}

pub async fn an_effect_and_its_outcome_come_together_and_once(it: &Subject) {
    it.outside(TABLE).await;
    let (mut session, key) = (it.open(1).await, key(it));
    let statements = texts(&[ROW, "INSERT INTO a VALUES (2) -- the last"]);
    assert_eq!(session.run_with_outcome(&key, 1, &statements).await.unwrap(), Written::Now);
    assert_eq!(session.run_with_outcome(&key, 1, &statements).await.unwrap(), Written::Before);
    let mut later = it.open(2).await;
    assert_eq!(later.run_with_outcome(&key, 1, &statements).await.unwrap(), Written::Before);
    assert_eq!(later.begun(&key).await.unwrap(), [row(1, State::Done, "", "", 1)]);
    assert_eq!(rows(it).await, 2);
}

pub async fn a_stride_that_fails_leaves_neither_row_nor_effect(it: &Subject) {
    it.outside(TABLE).await;
    let (mut session, key) = (it.open(1).await, key(it));
    for wrong in ["INSERT INTO nowhere VALUES (1)", "INSERT INTO INTO a"] {
        let error = session.run_with_outcome(&key, 7, &texts(&[ROW, wrong])).await.unwrap_err();
        assert_eq!((error.code(), error.failure.class), (Code::StepFailed, ErrorClass::Permanent), "{error}");
        assert_eq!((error.failure.statement, error.outcome), (Some(7), Outcome::NoEffect));
    }
    assert_eq!(rows(it).await, 0);
    assert_eq!(session.begun(&key).await.unwrap(), []);
    assert_eq!(session.run_with_outcome(&key, 7, &texts(&[ROW])).await.unwrap(), Written::Now);
    assert_eq!(rows(it).await, 1);
}

pub async fn a_statement_that_fails_by_itself_is_told_as_the_server_tells_it(it: &Subject) {
    it.outside(TABLE).await;
    let (mut session, key) = (it.open(1).await, key(it));
    session.intend(&key, 1, "x").await.unwrap();
    let error = session.run_alone(Half::Act, "CREATE TABLE a (id int)").await.unwrap_err();
    assert_eq!((error.code(), error.outcome), (Code::StepFailed, Outcome::NoEffect));
    let server_code = match it.kind {
        Kind::Sqlite => "1",
        Kind::MariaDb => "ER_TABLE_EXISTS_ERROR 1050",
        Kind::PostgresDatabase | Kind::PostgresSchema => "42P07",
    };
    assert_eq!(error.failure.server_code.as_deref(), Some(server_code));
    session.forget(&key, 1).await.unwrap();
    assert_eq!(session.run_with_outcome(&key, 1, &texts(&[ROW])).await.unwrap(), Written::Now);
}

pub async fn a_commit_inside_a_stride_is_caught_and_its_row_does_not_stay(it: &Subject) {
    it.outside(TABLE).await;
    let (mut session, key) = (it.open(1).await, key(it));
    for after in [&["COMMIT"][..], &["COMMIT", "INSERT INTO nowhere VALUES (1)"], &["ROLLBACK"]] {
        let error = session.run_with_outcome(&key, 3, &texts(&[&[ROW], after].concat())).await.unwrap_err();
        assert_eq!(error.code(), Code::TransactionBroken, "{after:?}: {error}");
        assert_eq!(session.begun(&key).await.unwrap(), []);
    }
    // SQLite refuses the commit itself; the others can only say that it happened.
    assert_eq!(rows(it).await, if it.kind == Kind::Sqlite { 0 } else { 2 });
}

pub async fn a_worker_whose_fence_was_raised_writes_nothing(it: &Subject) {
    it.outside(TABLE).await;
    let (mut fresh, key) = (it.open(1).await, key(it));
    it.outside("UPDATE windlass_fence SET epoch = 8").await;
    let mut errors = vec![
        fresh.intend(&key, 1, "x").await.unwrap_err(),
        fresh.run_with_outcome(&key, 1, &texts(&[ROW])).await.unwrap_err(),
    ];
    if it.kind != Kind::MariaDb {
        assert_eq!(it.tables("windlass_statement").await, 0);
    }
    let mut session = it.open(9).await;
    session.intend(&key, 1, "x").await.unwrap();
    it.outside("UPDATE windlass_fence SET epoch = 10").await;
    errors.extend([
        session.intend(&key, 1, "x").await.unwrap_err(),
        session.intend(&key, 2, "x").await.unwrap_err(),
        session.settle(&key, 1, "y").await.unwrap_err(),
        session.forget(&key, 1).await.unwrap_err(),
        session.run_with_outcome(&key, 2, &texts(&[ROW])).await.unwrap_err(),
        session.finish(&end(it), Outcomes::Due).await.unwrap_err(),
    ]);
    for error in errors {
        assert_eq!((error.code(), error.outcome), (Code::TenantFenced, Outcome::NoEffect), "{error}");
    }
    let untouched = "SELECT count(*) FROM windlass_statement WHERE number = 1 AND state = 'intent' AND epoch = 9";
    assert_eq!(it.number(&quoted(it, untouched)).await, 1);
    assert_eq!(it.number("SELECT count(*) FROM windlass_statement").await, 1);
    assert_eq!(rows(it).await + it.number("SELECT count(*) FROM windlass_ledger").await, 0);
}

/// `number` is a word of MariaDB's own.
fn quoted(it: &Subject, sql: &str) -> String {
    if it.kind == Kind::MariaDb { sql.replace("number", "`number`") } else { sql.to_owned() }
}

pub async fn the_end_brings_ledger_row_fence_and_last_outcome_together(it: &Subject) {
    let (mut session, key) = (it.open(1).await, key(it));
    session.run_with_outcome(&key, 1, &texts(&["SELECT 1"])).await.unwrap();
    session.intend(&key, 2, "x").await.unwrap();
    assert_eq!(session.finish(&end(it), Outcomes::Due).await.unwrap(), Applied::Now);
    assert_eq!(session.finish(&end(it), Outcomes::Due).await.unwrap(), Applied::Before);
    assert_eq!(session.in_force().len(), 1);
    session.close().await;
    assert_eq!(state_of_fence(it).await, FenceState::Done);
    assert_eq!(it.survey().await.in_force[0].version, "1");
    let mut later = it.open(2).await;
    assert!(matches!(later.probe(&key), Probe::Applied(row) if row.effect == Effect::Apply));
    let expected = [row(1, State::Done, "", "", 1), row(2, State::Done, "x", "", 1)];
    assert_eq!(later.begun(&key).await.unwrap(), expected);
}

pub async fn an_end_that_is_refused_brings_none_of_the_three(it: &Subject) {
    let (mut session, key) = (it.open(1).await, key(it));
    session.intend(&key, 1, "x").await.unwrap();
    session.void(&key).await.unwrap();
    let error = session.finish(&end(it), Outcomes::Due).await.unwrap_err();
    assert_eq!((error.failure.class, error.outcome), (ErrorClass::Permanent, Outcome::NoEffect));
    assert_eq!(session.begun(&key).await.unwrap(), [row(1, State::Intent, "x", "", 1)]);
    assert_eq!(state_of_fence(it).await, FenceState::Open);
    assert!(it.survey().await.in_force.is_empty());
}

pub async fn a_part_keeps_the_fence_open_until_its_undo_is_in(it: &Subject) {
    it.outside(TABLE).await;
    let (mut session, key) = (it.open(1).await, key(it));
    session.run_with_outcome(&key, 1, &texts(&[ROW])).await.unwrap();
    session.close().await;
    assert_eq!(state_of_fence(it).await, FenceState::Open);
    let mut session = it.open(2).await;
    session.void(&key).await.unwrap();
    // The tombstone is there, and the part still is.
    session.close().await;
    assert_eq!(state_of_fence(it).await, FenceState::Open);
    let mut session = it.open(3).await;
    let undo = it.down("1", &[]);
    session.run_with_outcome(&undo.key, 1, &texts(&["DELETE FROM a"])).await.unwrap();
    session.finish(&undo, Outcomes::Written).await.unwrap();
    session.close().await;
    assert_eq!(state_of_fence(it).await, FenceState::Undone);
}

pub async fn an_intent_that_was_forgotten_does_not_keep_the_fence_open(it: &Subject) {
    let (mut session, key) = (it.open(1).await, key(it));
    session.intend(&key, 1, "x").await.unwrap();
    session.forget(&key, 1).await.unwrap();
    session.close().await;
    assert_eq!(state_of_fence(it).await, FenceState::Undone);
}

pub async fn what_lives_in_the_session_lasts_until_it_is_renewed(it: &Subject) {
    let (mut session, key) = (it.open(1).await, key(it));
    let table = texts(&["CREATE TEMPORARY TABLE kept (id int)"]);
    let fills = texts(&["INSERT INTO kept VALUES (1)"]);
    session.run_with_outcome(&key, 1, &table).await.unwrap();
    session.run_with_outcome(&key, 2, &fills).await.unwrap();
    session.renew().await;
    assert_eq!(session.begun(&key).await.unwrap().len(), 2);
    let gone = session.run_with_outcome(&key, 3, &fills).await.unwrap_err();
    assert_eq!((gone.code(), gone.outcome), (Code::StepFailed, Outcome::NoEffect), "{gone}");
    session.say_again(&table[0]).await.unwrap();
    assert_eq!(session.run_with_outcome(&key, 3, &fills).await.unwrap(), Written::Now);
}

pub async fn a_lock_that_is_held_is_waited_for_and_then_told(it: &Subject) {
    it.outside(TABLE).await;
    let opening = windlass::tenant::Opening { lock_timeout: std::time::Duration::from_millis(50), ..it.opening(1) };
    let mut session: Box<dyn Session> = windlass::tenant::open(&it.conn, &opening).await.unwrap();
    let alter = "ALTER TABLE a ADD COLUMN b int";
    session.intend(&key(it), 1, "x").await.unwrap();
    let error = match &it.store {
        Store::Postgres(_) => {
            let mut holder = it.postgres().await;
            sqlx::raw_sql("BEGIN; LOCK TABLE a").execute(&mut holder).await.unwrap();
            session.run_alone(Half::Act, alter).await.unwrap_err()
        }
        Store::Sqlite(_) => {
            let mut holder = it.sqlite().await;
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
            session.run_alone(Half::Act, alter).await.unwrap_err()
        }
        Store::MariaDb(_) => {
            let mut holder = it.mariadb().await;
            holder.execute_all("LOCK TABLES a WRITE").await;
            session.run_alone(Half::Act, alter).await.unwrap_err()
        }
    };
    assert_eq!((error.code(), error.failure.class), (Code::TenantTimeout, ErrorClass::Transient), "{error}");
    assert_eq!(error.outcome, Outcome::NoEffect);
    session.run_alone(Half::Act, alter).await.unwrap();
}
