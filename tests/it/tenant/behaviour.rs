//! What every session does, whatever its engine. One function per behaviour.

use std::time::Duration;

use windlass::base::{Code, Coded as _, Digest, Epoch, WorkerId};
use windlass::saga::event::Half;
use windlass::saga::failure::ErrorClass;
use windlass::tenant::{Applied, CheckOutcome, FenceState, InForce, Opening, Outcome, Probe, Unit, open, survey};

use super::subject::{Kind, Store, Subject, conn_to, surveying};

pub async fn a_survey_touches_nothing(it: &Subject) {
    it.outside("CREATE TABLE customers (id int)").await;
    let before = it.catalog().await;
    let found = it.survey().await;
    assert_eq!((found.in_force, found.fence), (vec![], None));
    assert_eq!(it.catalog().await, before);

    it.open(1).await.close().await;
    let before = it.catalog().await;
    assert_eq!(it.survey().await.fence.unwrap().epoch, Epoch(1));
    assert_eq!(it.catalog().await, before);
}

pub async fn opening_makes_an_empty_ledger_and_a_survey_sees_the_fence(it: &Subject) {
    let session = it.open(3).await;
    assert!(session.in_force().is_empty());
    assert_eq!(session.probe(&it.key("migrate:1", Half::Act)), Probe::NotApplied);
    let found = it.survey().await;
    assert_eq!(found.server, session.server());
    let engine = match it.kind {
        Kind::Sqlite => "SQLite 3.",
        Kind::MariaDb => "MariaDB 1",
        Kind::PostgresDatabase | Kind::PostgresSchema => "PostgreSQL 1",
    };
    assert!(found.server.starts_with(engine), "{}", found.server);
    let fence = found.fence.unwrap();
    assert_eq!((fence.epoch, fence.log, fence.deploy, fence.tenants), (Epoch(3), it.log, it.deploy, 7));
    assert_eq!(fence.state, FenceState::Open);
    session.close().await;
}

pub async fn an_applied_unit_is_in_force_for_this_session_the_next_and_a_survey(it: &Subject) {
    let mut session = it.open(1).await;
    let unit = it.up("1", &["CREATE TABLE a (id int)", "INSERT INTO a VALUES (1), (2)"]);
    assert_eq!(session.apply(&unit).await.unwrap(), Applied::Now);
    assert_eq!(session.apply(&it.up("2", &["ALTER TABLE a ADD COLUMN b int"])).await.unwrap(), Applied::Now);
    let expected: Vec<InForce> = ["1", "2"]
        .into_iter()
        .map(|version| InForce {
            version: version.to_owned(),
            name: format!("{version}_name"),
            digest: Digest::of(version.as_bytes()),
            deploy: it.deploy,
        })
        .collect();
    assert_eq!(session.in_force(), expected);
    session.close().await;

    assert_eq!(it.number("SELECT count(*) FROM a").await, 2);
    assert_eq!(it.survey().await.in_force, expected);
    let again = it.open(2).await;
    assert_eq!(again.in_force(), expected);
    let Probe::Applied(row) = again.probe(&unit.key) else { panic!("not applied") };
    assert_eq!((row.position, row.epoch, &row.key), (1, Epoch(1), &unit.key));
    assert!(row.at.0 > 1_700_000_000_000, "{}", row.at);
    again.close().await;
}

pub async fn a_unit_applied_twice_takes_effect_once(it: &Subject) {
    let unit = it.up("1", &["CREATE TABLE IF NOT EXISTS a (id int)", "INSERT INTO a VALUES (1)"]);
    let mut session = it.open(1).await;
    assert_eq!(session.apply(&unit).await.unwrap(), Applied::Now);
    assert_eq!(session.apply(&unit).await.unwrap(), Applied::Before);
    let mut next = it.open(2).await;
    assert_eq!(next.apply(&unit).await.unwrap(), Applied::Before);
    assert_eq!(it.number("SELECT count(*) FROM a").await, 1);
}

/// A row that stands in the ledger as if a late packet had written it.
fn foreign_row(it: &Subject, unit: &Unit, position: u64, effect: &str) -> String {
    let at = if it.kind == Kind::Sqlite { "1700000000000" } else { "now()" };
    format!(
        "INSERT INTO windlass_ledger (position, deploy_id, step_id, half, version, name, digest, effect, epoch, at) \
         VALUES ({position}, '{}', '{}', 'act', '{}', '{}', '{}', '{effect}', 1, {at})",
        unit.key.deploy, unit.key.step, unit.version, unit.name, unit.digest
    )
}

pub async fn a_row_that_somebody_else_wrote_settles_the_unit(it: &Subject) {
    let (applied, voided) = (it.up("1", &["CREATE TABLE a (id int)"]), it.up("2", &["CREATE TABLE b (id int)"]));
    let mut session = it.open(1).await;
    it.outside(&foreign_row(it, &applied, 11, "apply")).await;
    it.outside(&foreign_row(it, &voided, 12, "void")).await;
    assert_eq!(session.apply(&applied).await.unwrap(), Applied::Before);
    assert_eq!(session.in_force().len(), 1);
    let refused = session.apply(&voided).await.unwrap_err();
    assert_eq!((refused.failure.class, refused.outcome), (ErrorClass::Permanent, Outcome::NoEffect));
    assert_eq!(it.tables("a").await + it.tables("b").await, 0);
    // The next row goes behind those that were found.
    assert_eq!(session.apply(&it.up("3", &["CREATE TABLE c (id int)"])).await.unwrap(), Applied::Now);
    assert_eq!(it.number("SELECT position FROM windlass_ledger WHERE version = '3'").await, 13);
}

pub async fn a_failing_second_statement_leaves_nothing_and_is_named(it: &Subject) {
    let mut session = it.open(1).await;
    let unit = it.up("1", &["CREATE TABLE a (id int)", "INSERT INTO nowhere VALUES (1)", "CREATE TABLE b (id int)"]);
    let error = session.apply(&unit).await.unwrap_err();
    assert_eq!((error.code(), error.failure.class), (Code::StepFailed, ErrorClass::Permanent));
    assert_eq!((error.failure.statement, error.outcome), (Some(2), Outcome::NoEffect));
    let server_code = match it.kind {
        Kind::Sqlite => "1",
        Kind::MariaDb => "ER_NO_SUCH_TABLE 1146",
        Kind::PostgresDatabase | Kind::PostgresSchema => "42P01",
    };
    assert_eq!(error.failure.server_code.as_deref(), Some(server_code));
    assert!(error.failure.message.contains("nowhere"), "{}", error.failure.message);
    assert_eq!(it.tables("a").await, 0);
    assert_eq!(session.probe(&unit.key), Probe::NotApplied);
    // The session is as good as before.
    let mended = it.up("1", &["CREATE TABLE a (id int)"]);
    assert_eq!(session.apply(&mended).await.unwrap(), Applied::Now);
}

pub async fn a_syntax_error_is_named_by_its_statement(it: &Subject) {
    let mut session = it.open(1).await;
    let unit = it.up("1", &["CREATE TABLE é (id int)", "CREATE TABLE b (id int)", "CREATE TABEL c (id int)"]);
    let error = session.apply(&unit).await.unwrap_err();
    assert_eq!((error.failure.statement, error.outcome), (Some(3), Outcome::NoEffect));
    assert_eq!(error.code(), Code::StepFailed);
    assert_eq!(it.tables("b").await, 0);
    assert_eq!(session.apply(&it.up("1", &["CREATE TABLE b (id int)"])).await.unwrap(), Applied::Now);
}

pub async fn an_undone_migration_is_not_in_force(it: &Subject) {
    let mut session = it.open(1).await;
    session.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap();
    let undo = it.down("1", &["DROP TABLE a"]);
    assert_eq!(session.apply(&undo).await.unwrap(), Applied::Now);
    assert_eq!(session.apply(&undo).await.unwrap(), Applied::Before);
    assert!(session.in_force().is_empty());
    assert_eq!(it.tables("a").await, 0);
    assert!(it.survey().await.in_force.is_empty());
}

pub async fn the_fence_says_done_and_undone_with_the_unit_that_made_it_so(it: &Subject) {
    let mut session = it.open(1).await;
    let last = Unit { fence: FenceState::Done, ..it.up("1", &["CREATE TABLE a (id int)"]) };
    session.apply(&last).await.unwrap();
    assert_eq!(it.survey().await.fence.unwrap().state, FenceState::Done);
    // A later worker of the same deploy finds it as it was, and moves it on.
    let mut next = it.open(2).await;
    assert_eq!(it.survey().await.fence.unwrap().state, FenceState::Done);
    let undo = Unit { fence: FenceState::Undone, ..it.down("1", &["DROP TABLE a"]) };
    next.apply(&undo).await.unwrap();
    assert_eq!(it.survey().await.fence.unwrap().state, FenceState::Undone);
    next.close().await;
    // Another deploy begins anew.
    let opening = Opening { deploy: windlass::base::DeployId::fresh(), ..it.opening(3) };
    let _anew = open(&it.conn, &opening).await.unwrap();
    assert_eq!(it.survey().await.fence.unwrap().state, FenceState::Open);
}

pub async fn a_session_that_ends_with_nothing_done_says_so_in_the_fence(it: &Subject) {
    let state = async || it.survey().await.fence.unwrap().state;
    it.open(1).await.close().await;
    assert_eq!(state().await, FenceState::Undone);
    let mut session = it.open(2).await;
    assert_eq!(state().await, FenceState::Undone);
    session.apply(&it.up("1", &["SELECT 1 FROM nowhere"])).await.unwrap_err();
    session.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap();
    session.close().await;
    assert_eq!(state().await, FenceState::Open);
    let mut session = it.open(3).await;
    session.apply(&it.down("1", &["DROP TABLE a"])).await.unwrap();
    session.close().await;
    assert_eq!(state().await, FenceState::Undone);
}

pub async fn a_fence_that_is_anothers_is_not_written_to(it: &Subject) {
    let earlier = it.open(1).await;
    it.outside("UPDATE windlass_fence SET epoch = 2").await;
    earlier.close().await;
    let fence = it.survey().await.fence.unwrap();
    assert_eq!((fence.epoch, fence.state), (Epoch(2), FenceState::Open));
    let mut zombie = it.open(3).await;
    let raises = it.up("1", &["UPDATE windlass_fence SET epoch = 4, state = 'open'"]);
    zombie.apply(&Unit { fence: FenceState::Done, ..raises }).await.unwrap();
    let fence = it.survey().await.fence.unwrap();
    assert_eq!((fence.epoch, fence.state), (Epoch(4), FenceState::Open));
}

pub async fn a_voided_step_can_never_be_applied(it: &Subject) {
    let unit = it.up("1", &["CREATE TABLE a (id int)"]);
    let mut session = it.open(1).await;
    session.void(&unit.key).await.unwrap();
    session.void(&unit.key).await.unwrap();
    assert_eq!(session.probe(&unit.key), Probe::Void);
    let mut next = it.open(2).await;
    assert_eq!(next.probe(&unit.key), Probe::Void);
    let error = next.apply(&unit).await.unwrap_err();
    assert_eq!((error.failure.class, error.outcome), (ErrorClass::Permanent, Outcome::NoEffect));
    assert_eq!(it.tables("a").await, 0);
    assert!(it.survey().await.in_force.is_empty());
}

pub async fn an_applied_step_cannot_be_voided(it: &Subject) {
    let (known, unknown) = (it.up("1", &["CREATE TABLE a (id int)"]), it.up("2", &[]));
    let mut session = it.open(1).await;
    session.apply(&known).await.unwrap();
    assert_eq!(session.void(&known.key).await.unwrap_err().failure.class, ErrorClass::Permanent);
    it.outside(&foreign_row(it, &unknown, 5, "apply")).await;
    assert_eq!(session.void(&unknown.key).await.unwrap_err().failure.class, ErrorClass::Permanent);
    assert_eq!(session.in_force().len(), 2);
}

pub async fn a_later_worker_fences_an_earlier_one(it: &Subject) {
    let mut earlier = it.open(1).await;
    earlier.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap();
    let later = it.open(2).await;
    assert_eq!(later.in_force().len(), 1);
    earlier.apply(&it.up("2", &["CREATE TABLE b (id int)"])).await.unwrap_err();
    earlier.void(&it.key("migrate:2", Half::Act)).await.unwrap_err();
    assert_eq!(it.tables("b").await, 0);
    let refused = it.try_open(1).await.err().unwrap();
    assert_eq!((refused.code(), refused.failure.class), (Code::TenantFenced, ErrorClass::Permanent));
    assert!(refused.to_string().contains("epoch 2"), "{refused}");
    assert_eq!(it.survey().await.fence.unwrap().epoch, Epoch(2));
}

pub async fn a_raised_fence_alone_stops_a_unit(it: &Subject) {
    // As if the later worker had not been able to end the session.
    let mut session = it.open(1).await;
    it.outside("UPDATE windlass_fence SET epoch = 9").await;
    let unit = it.up("1", &["CREATE TABLE a (id int)"]);
    let error = session.apply(&unit).await.unwrap_err();
    assert_eq!((error.code(), error.outcome), (Code::TenantFenced, Outcome::NoEffect));
    assert_eq!(session.void(&unit.key).await.unwrap_err().code(), Code::TenantFenced);
    assert_eq!(it.tables("a").await + it.number("SELECT count(*) FROM windlass_ledger").await, 0);
}

pub async fn the_same_worker_may_open_again_and_another_of_the_same_epoch_may_not(it: &Subject) {
    it.open(1).await.close().await;
    it.open(1).await.close().await;
    let other = Opening { worker: WorkerId("another".to_owned()), ..it.opening(1) };
    assert_eq!(open(&it.conn, &other).await.err().unwrap().code(), Code::TenantFenced);
}

pub async fn a_commit_inside_the_text_is_caught(it: &Subject) {
    let mut session = it.open(1).await;
    let quiet = it.up("1", &["CREATE TABLE sneaky (id int)", "COMMIT", "SELECT 1"]);
    let loud = it.up("2", &["CREATE TABLE sneaky2 (id int)", "COMMIT", "INSERT INTO nowhere VALUES (1)"]);
    for unit in [quiet, loud] {
        let error = session.apply(&unit).await.unwrap_err();
        assert_eq!((error.code(), error.failure.class), (Code::TransactionBroken, ErrorClass::Permanent), "{error}");
        assert_eq!(error.outcome, if it.kind == Kind::Sqlite { Outcome::NoEffect } else { Outcome::Torn });
        assert_eq!(session.probe(&unit.key), Probe::NotApplied);
        assert_eq!(it.number("SELECT count(*) FROM windlass_ledger").await, 0);
    }
    // SQLite refuses the commit itself; PostgreSQL can only say that it happened.
    let left = it.tables("sneaky").await + it.tables("sneaky2").await;
    assert_eq!(left, if it.kind == Kind::Sqlite { 0 } else { 2 });
    assert_eq!(session.apply(&it.up("3", &["CREATE TABLE c (id int)"])).await.unwrap(), Applied::Now);
}

pub async fn a_commit_and_a_begin_inside_the_text_are_caught(it: &Subject) {
    let mut session = it.open(1).await;
    let unit = it.up("1", &["CREATE TABLE a (id int)", "COMMIT", "BEGIN", "CREATE TABLE b (id int)"]);
    assert_eq!(session.apply(&unit).await.unwrap_err().code(), Code::TransactionBroken);
    assert_eq!(it.tables("b").await + it.number("SELECT count(*) FROM windlass_ledger").await, 0);
    assert!(it.survey().await.in_force.is_empty());
}

pub async fn a_rollback_inside_the_text_is_caught(it: &Subject) {
    let mut session = it.open(1).await;
    for (at, after) in [vec!["ROLLBACK"], vec!["ROLLBACK", "BEGIN"]].into_iter().enumerate() {
        let mut statements = vec!["CREATE TABLE a (id int)"];
        statements.extend(after);
        statements.push("CREATE TABLE b (id int)");
        let error = session.apply(&it.up(&at.to_string(), &statements)).await.unwrap_err();
        assert_eq!(error.code(), Code::TransactionBroken, "{error}");
        assert_eq!(it.tables("a").await + it.tables("b").await, 0);
    }
    let last = it.up("last", &["CREATE TABLE a (id int)", "ROLLBACK"]);
    assert_eq!(session.apply(&last).await.unwrap_err().code(), Code::TransactionBroken);
    assert!(session.in_force().is_empty());
}

pub async fn a_statement_that_ends_in_a_comment_does_not_swallow_what_follows(it: &Subject) {
    let mut session = it.open(1).await;
    let unit = it.up("1", &["CREATE TABLE a (id int) -- the first", "INSERT INTO a VALUES (1)"]);
    session.apply(&unit).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM a").await, 1);
}

pub async fn a_check_holds_fails_or_errs_and_never_writes(it: &Subject) {
    let mut session = it.open(1).await;
    session.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap();
    assert_eq!(session.check("SELECT count(*) = 0 FROM a -- none").await.unwrap(), CheckOutcome::Holds);
    for (sql, answer) in [
        ("SELECT count(*) > 0 FROM a", if matches!(it.kind, Kind::Sqlite | Kind::MariaDb) { "0" } else { "f" }),
        ("SELECT 1 UNION ALL SELECT 1", "more than one row"),
        ("SELECT 1 WHERE 1 = 0", "no row"),
        ("SELECT NULL", "NULL"),
        ("SELECT 1, 2", "2 columns"),
    ] {
        assert_eq!(session.check(sql).await.unwrap(), CheckOutcome::Fails { answer: answer.to_owned() }, "{sql}");
    }
    for wrong in [
        "SELECT nothing FROM nowhere",
        "INSERT INTO a VALUES (1)",
        "INSERT INTO a VALUES (1) RETURNING 1",
        "COMMIT; INSERT INTO a VALUES (1); SELECT 1",
        "SELECT 1; SELECT 1",
    ] {
        let error = session.check(wrong).await.unwrap_err();
        assert_eq!((error.failure.class, error.outcome), (ErrorClass::Permanent, Outcome::NoEffect), "{wrong}");
    }
    assert_eq!(it.number("SELECT count(*) FROM a").await, 0);
    // And after a check a migration may write again.
    session.apply(&it.up("2", &["INSERT INTO a VALUES (1)"])).await.unwrap();
}

pub async fn a_lock_that_is_held_is_a_transient_timeout(it: &Subject) {
    it.outside("CREATE TABLE a (id int)").await;
    let opening = Opening { lock_timeout: Duration::from_millis(50), ..it.opening(1) };
    let mut session = open(&it.conn, &opening).await.unwrap();
    let unit = it.up("1", &["ALTER TABLE a ADD COLUMN b int"]);
    let error = match &it.store {
        Store::Postgres(_) => {
            let mut holder = it.postgres().await;
            sqlx::raw_sql("BEGIN; LOCK TABLE a").execute(&mut holder).await.unwrap();
            session.apply(&unit).await.unwrap_err()
        }
        Store::Sqlite(_) => {
            let mut holder = it.sqlite().await;
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
            session.apply(&unit).await.unwrap_err()
        }
        Store::MariaDb(_) => {
            let mut holder = it.mariadb().await;
            holder.execute_all("LOCK TABLES a WRITE").await;
            session.apply(&unit).await.unwrap_err()
        }
    };
    assert_eq!((error.code(), error.failure.class), (Code::TenantTimeout, ErrorClass::Transient), "{error}");
    let server_code = match it.kind {
        Kind::Sqlite => "5",
        Kind::MariaDb => "ER_LOCK_WAIT_TIMEOUT 1205",
        Kind::PostgresDatabase | Kind::PostgresSchema => "55P03",
    };
    assert_eq!((error.failure.server_code.as_deref(), error.outcome), (Some(server_code), Outcome::NoEffect));
    assert_eq!(session.apply(&unit).await.unwrap(), Applied::Now);
}

pub async fn a_statement_that_takes_too_long_is_a_permanent_timeout(it: &Subject) {
    let opening = Opening { statement_timeout: Duration::from_millis(100), ..it.opening(1) };
    let mut session = open(&it.conn, &opening).await.unwrap();
    let endless = match it.kind {
        Kind::Sqlite => {
            "INSERT INTO a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        }
        Kind::PostgresDatabase | Kind::PostgresSchema => "SELECT pg_sleep(60)",
        Kind::MariaDb => "SELECT SLEEP(60)",
    };
    let error = session.apply(&it.up("1", &["CREATE TABLE a (id int)", endless])).await.unwrap_err();
    assert_eq!((error.code(), error.failure.class), (Code::TenantTimeout, ErrorClass::Permanent), "{error}");
    assert_eq!((error.failure.statement, error.outcome), (Some(2), Outcome::NoEffect));
    assert_eq!(it.tables("a").await, 0);
    assert_eq!(session.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap(), Applied::Now);
}

pub async fn a_ledger_row_that_cannot_be_read_is_damage(it: &Subject) {
    let mut session = it.open(1).await;
    session.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap();
    session.close().await;
    it.outside("UPDATE windlass_ledger SET digest = 'lost'").await;
    assert_eq!(it.try_open(2).await.err().unwrap().code(), Code::LedgerDamaged);
    let error = survey(&it.conn, &surveying()).await.unwrap_err();
    assert_eq!((error.code(), error.failure.class), (Code::LedgerDamaged, ErrorClass::Permanent));
    it.outside("DROP TABLE windlass_fence").await;
    assert_eq!(survey(&it.conn, &surveying()).await.unwrap_err().code(), Code::LedgerDamaged);
}

pub async fn a_missing_database_is_named_as_missing(it: &Subject) {
    let missing = match &it.store {
        Store::Sqlite(dir) => {
            conn_to("ghost", &format!("sqlite://{}", dir.path().join("ghost.db").display()), None).await
        }
        Store::Postgres(db) if it.kind == Kind::PostgresDatabase => {
            let url = db.url.replace(&format!("/{}?", db.name), "/ghost?");
            conn_to("ghost", &url, None).await
        }
        Store::Postgres(db) => conn_to("ghost", &db.url, Some("ghost")).await,
        // To a user without rights on it the server says that it may not be used, whether it is there or not.
        Store::MariaDb(db) => {
            let url = db.superuser_url.replace(&format!("/{}?", db.name), "/ghost?");
            conn_to("ghost", &url, None).await
        }
    };
    let errors =
        [open(&missing, &it.opening(1)).await.err().unwrap(), survey(&missing, &surveying()).await.unwrap_err()];
    for error in errors {
        assert_eq!((error.code(), error.failure.class), (Code::TenantMissing, ErrorClass::Permanent), "{error}");
        assert_eq!((error.tenant.as_str(), error.outcome), ("ghost", Outcome::NoEffect));
    }
    if let Store::Sqlite(dir) = &it.store {
        assert!(!dir.path().join("ghost.db").exists(), "a survey or an opening made the file");
    }
}

pub async fn names_may_hold_quotes_and_backslashes(it: &Subject) {
    let mut session = it.open(1).await;
    let version = r"it's \' a -- /* $$ ; 1";
    session.apply(&it.up(version, &["CREATE TABLE a (id int)"])).await.unwrap();
    session.close().await;
    assert_eq!(it.survey().await.in_force[0].version, version);
}
