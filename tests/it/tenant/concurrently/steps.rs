//! Whole steps: carried out under what they set, and taken back from their middle.

use windlass::base::{Code, Coded as _};
use windlass::tenant::course::{self, Halted, TakenBack};
use windlass::tenant::{Applied, FenceState, Opening, Outcome, Probe, Session, SetsSession, Stride, Unit, open};

use super::super::subject::{Kind, Subject, conn_to};
use super::{Script, TABLE, begun, carry_on, holder, indexes, let_go, strides, terminate, waits};
use crate::support::postgres::Admin;

#[tokio::test]
async fn a_new_value_of_a_type_is_used_by_the_next_statement_and_a_table_is_vacuumed() {
    for kind in [Kind::PostgresDatabase, Kind::PostgresSchema] {
        let it = Subject::new(kind).await;
        it.outside("CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE m (mood mood)").await;
        let script = Script::up(
            &it,
            "ALTER TYPE mood ADD VALUE 'ok'; INSERT INTO m VALUES ('ok'), ('sad'); VACUUM (ANALYZE) m; DELETE FROM m WHERE mood = 'sad'",
        );
        let mut session = it.open(1).await;
        assert_eq!(carry_on(&mut *session, &script).await.unwrap(), Applied::Now);
        assert_eq!(it.number("SELECT count(*) FROM m WHERE mood = 'ok'").await, 1);
        assert_eq!(it.number("SELECT reltuples::bigint FROM pg_class WHERE oid = 'm'::regclass").await, 2);
        assert_eq!(begun(&it).await, ["act 1 done", "act 2 done", "act 3 done", "act 4 done"]);
    }
}

/// What takes back an act of which the second statement fails.
struct Part {
    act: Script,
    undos: Vec<Option<Stride>>,
    undo: Unit,
}

impl Part {
    fn of(it: &Subject) -> Self {
        let act = Script::up(
            it,
            "CREATE INDEX CONCURRENTLY i ON t (b); INSERT INTO t VALUES (101, 1); CREATE UNIQUE INDEX CONCURRENTLY j ON t (b)",
        );
        let undos = strides("DROP INDEX CONCURRENTLY i; DELETE FROM t WHERE a = 101; DROP INDEX CONCURRENTLY j");
        let undo = Unit { fence: FenceState::Undone, ..it.down("1", &[]) };
        Self { act, undos: undos.into_iter().map(Some).collect(), undo }
    }

    async fn take_back(&self, session: &mut dyn Session) -> Result<TakenBack, Halted> {
        course::take_back(session, &self.act.course(), &self.undos, &self.undo).await
    }
}

#[tokio::test]
async fn a_part_is_taken_back_last_first_under_a_tombstone() {
    for kind in [Kind::PostgresDatabase, Kind::PostgresSchema] {
        let it = Subject::new(kind).await;
        it.outside(TABLE).await;
        let part = Part::of(&it);
        let mut session = it.open(1).await;
        let halted = carry_on(&mut *session, &part.act).await.unwrap_err();
        assert_eq!((halted.done, halted.error.outcome), (2, Outcome::NoEffect), "{}", halted.error);
        session.close().await;
        assert_eq!(it.survey().await.fence.unwrap().state, FenceState::Open);
        let mut session = it.open(2).await;
        assert_eq!(part.take_back(&mut *session).await.unwrap(), TakenBack::Part(2));
        assert_eq!(indexes(&it, "t").await, ["t_pkey"]);
        assert_eq!(it.number("SELECT count(*) FROM t").await, 100);
        assert_eq!(begun(&it).await, ["act 1 done", "act 2 done", "undo 1 done", "undo 2 done"]);
        assert_eq!(session.probe(&part.act.unit.key), Probe::Void);
        assert!(session.in_force().is_empty());
        assert_eq!(it.survey().await.fence.unwrap().state, FenceState::Undone);
    }
}

#[tokio::test]
async fn a_part_whose_taking_back_was_killed_is_taken_back() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TABLE).await;
    let part = Part::of(&it);
    let mut session = it.open(1).await;
    carry_on(&mut *session, &part.act).await.unwrap_err();
    let holder = holder(&it, "SELECT FROM t").await;
    let (task, again) = (Part::of(&it), part);
    let task = tokio::spawn(async move { task.take_back(&mut *session).await.map(|_| ()) });
    Admin::to(it.db()).await.until(&waits()).await;
    assert_eq!(indexes(&it, "t").await, ["i invalid", "t_pkey"]);
    terminate(&it).await;
    assert_eq!(task.await.unwrap().unwrap_err().error.outcome, Outcome::Unknown);
    let_go(holder).await;
    let mut later = it.open(2).await;
    assert_eq!(again.take_back(&mut *later).await.unwrap(), TakenBack::Part(2));
    assert_eq!(indexes(&it, "t").await, ["t_pkey"]);
    assert_eq!(it.number("SELECT count(*) FROM t").await, 100);
}

#[tokio::test]
async fn what_a_script_sets_holds_for_its_own_statements_and_keeps_us_from_none_of_ours() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let role = format!("owner_{}", it.db().name);
    let mut admin = Admin::to(it.db()).await;
    admin
        .execute_all(&format!(
            "CREATE ROLE {role}; GRANT {role} TO app; CREATE SCHEMA side AUTHORIZATION {role}; SET ROLE {role};
             CREATE TABLE side.t (a int, b text); RESET ROLE"
        ))
        .await;
    let as_superuser = conn_to("acme", &it.db().superuser_url, None).await;
    // A role that one may act as, and a login that one may take on.
    for (at, (conn, become_it)) in
        [(&it.conn, "SET ROLE"), (&as_superuser, "SET SESSION AUTHORIZATION")].into_iter().enumerate()
    {
        let (epoch, version) = (10 * at as u64 + 1, format!("v{at}"));
        let own = "INSERT INTO t SELECT 1, current_user || ' ' || current_setting('search_path')";
        let script = format!(
            "{become_it} {role}; SET search_path = side; SET synchronous_commit = off; {own};
             CREATE INDEX CONCURRENTLY i ON t (a); {own}; DROP INDEX CONCURRENTLY i; {own};
             SET default_transaction_read_only = on; VACUUM t"
        );
        let unit = Unit { sets_session: SetsSession::Yes, ..it.up(&version, &[]) };
        let script = Script { unit, strides: strides(&script) };
        let mut session = open(conn, &it.opening(epoch)).await.unwrap();
        assert_eq!(carry_on(&mut *session, &script).await.unwrap(), Applied::Now, "{become_it}");
        let as_set = format!("SELECT count(*)::text FROM side.t WHERE b = '{role} side'");
        assert_eq!(admin.text(&as_set).await, (3 * (at + 1)).to_string());
        // And the next step finds nothing of it.
        let next = format!("CREATE TABLE who_{at} AS SELECT current_user::text AS name");
        session.apply(&it.up(&format!("next {at}"), &[&next])).await.unwrap();
        let who = admin.text(&format!("SELECT name FROM who_{at}")).await;
        assert_eq!(who, if at == 0 { "app" } else { "postgres" });
        session.close().await;
    }
    assert_eq!(it.survey().await.in_force.len(), 4);
}

#[tokio::test]
async fn where_the_table_may_not_be_made_that_is_said_and_where_it_was_made_beforehand_it_is_used() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let mut admin = Admin::to(it.db()).await;
    admin.execute_all("CREATE SCHEMA ops; GRANT USAGE, CREATE ON SCHEMA ops TO app").await;
    let opening = |epoch| Opening { ledger_schema: Some("ops".to_owned()), ..it.opening(epoch) };
    open(&it.conn, &opening(1)).await.unwrap().close().await;
    admin.execute_all("REVOKE CREATE ON SCHEMA ops FROM app").await;
    let script = Script::up(&it, "SELECT 1; VACUUM");
    let mut session = open(&it.conn, &opening(2)).await.unwrap();
    let halted = carry_on(&mut *session, &script).await.unwrap_err();
    assert_eq!((halted.error.code(), halted.error.outcome), (Code::TenantDenied, Outcome::NoEffect));
    assert!(halted.error.to_string().contains("windlass_statement"), "{}", halted.error);
    admin
        .execute_all(
            "CREATE TABLE ops.windlass_statement (deploy_id uuid, step_id text, half text, number bigint, state text,
                 before_print text, after_print text, epoch bigint, at timestamptz, PRIMARY KEY (deploy_id, step_id, half, number));
             GRANT SELECT, INSERT, UPDATE, DELETE ON ops.windlass_statement TO app",
        )
        .await;
    assert_eq!(carry_on(&mut *session, &script).await.unwrap(), Applied::Now);
    assert_eq!(admin.text("SELECT count(*)::text FROM ops.windlass_statement WHERE state = 'done'").await, "2");
}
