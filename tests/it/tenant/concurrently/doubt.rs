//! What is taken for evidence, and what is left alone.

use windlass::release::stepwise::Middle;
use windlass::saga::event::Half;
use windlass::saga::failure::ErrorClass;
use windlass::tenant::course::{self, Progress};
use windlass::tenant::{Applied, Outcome};

use super::super::subject::{Kind, Subject};
use super::{Script, TABLE, begun, carried_on, carry_on, hang, holder, indexes, invalid, killed, let_go, terminate};
use crate::support::postgres::Admin;

/// A script of which each statement is in doubt in turn: first it was never sent, then it ran to its end.
#[tokio::test]
async fn what_was_never_sent_is_run_and_what_ran_to_its_end_is_not_run_again() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TABLE).await;
    it.outside(
        "CREATE INDEX k ON t (b); CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE one PARTITION OF p FOR VALUES IN (1)",
    )
    .await;
    let script = Script::up(
        &it,
        "CREATE INDEX CONCURRENTLY i ON t (b); CREATE INDEX CONCURRENTLY ON t (b, a); DROP INDEX CONCURRENTLY k;
         ALTER TABLE p DETACH PARTITION one CONCURRENTLY; SELECT 1",
    );
    let doubts = script.strides[..4].iter().flat_map(|stride| [(stride, false), (stride, true)]);
    for (doubt, (stride, sent)) in (1..).zip(doubts) {
        let text = &stride.texts[0];
        let mut session = it.open(2 * doubt - 1).await;
        assert_eq!(
            course::progress(&mut *session, &script.course()).await.unwrap(),
            Progress::Strides(stride.number - 1)
        );
        let print = session.print(&stride.facts).await.unwrap();
        assert!(print.proves, "{print:?}");
        session.intend(&script.unit.key, stride.number, &print.text).await.unwrap();
        if sent {
            session.run_alone(Half::Act, text).await.unwrap();
        }
        drop(session);
        if !matches!(&stride.facts.middle, Middle::InvalidIndex { index: None, .. }) {
            // What comes and goes by other hands is no evidence of it.
            it.outside(&format!(
                "DROP INDEX IF EXISTS other_{}; CREATE INDEX other_{doubt} ON t (a, b); CREATE TABLE part_{doubt} PARTITION OF p FOR VALUES IN (-{doubt})",
                doubt - 1
            ))
            .await;
        }
        let mut later = it.open(2 * doubt).await;
        let expected = if sent { stride.number } else { stride.number - 1 };
        let found = course::progress(&mut *later, &script.course()).await.unwrap();
        assert_eq!(found, Progress::Strides(expected), "{text}, sent: {sent}");
    }
    let mut last = it.open(100).await;
    assert_eq!(carry_on(&mut *last, &script).await.unwrap(), Applied::Now);
    assert_eq!(begun(&it).await.len(), 5);
}

#[tokio::test]
async fn an_invalid_index_that_was_there_before_is_only_dropped_for_a_statement_that_asks_for_it() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TABLE).await;
    it.outside("INSERT INTO t VALUES (101, 1)").await;
    invalid(&it, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (b)").await;
    it.outside("DELETE FROM t WHERE a = 101").await;
    let mut session = it.open(1).await;
    for (refused, server_code) in [
        ("CREATE INDEX CONCURRENTLY i ON t (b)", "42P07"),
        ("CREATE UNIQUE INDEX CONCURRENTLY ON t ((b / 1000))", "23505"),
    ] {
        let halted = carry_on(&mut *session, &Script::up(&it, refused)).await.unwrap_err();
        assert_eq!(halted.error.failure.server_code.as_deref(), Some(server_code), "{}", halted.error);
        assert_eq!(halted.error.outcome, Outcome::NoEffect);
        assert_eq!(indexes(&it, "t").await, ["i invalid", "t_pkey"]);
        assert!(begun(&it).await.is_empty());
    }
    let script = Script::up(&it, "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (b)");
    assert_eq!(carry_on(&mut *session, &script).await.unwrap(), Applied::Now);
    assert_eq!(indexes(&it, "t").await, ["i", "t_pkey"]);
}

#[tokio::test]
async fn an_index_that_somebody_else_is_building_is_left_to_him() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TABLE).await;
    let script = Script::up(&it, "CREATE INDEX CONCURRENTLY ON t (b)");
    let mut session = it.open(1).await;
    let before = session.print(&script.strides[0].facts).await.unwrap().text;
    session.intend(&script.unit.key, 1, &before).await.unwrap();
    drop(session);
    let holder = holder(&it, "INSERT INTO t VALUES (0, 0)").await;
    let mut builder = it.postgres().await;
    let building = tokio::spawn(async move {
        sqlx::raw_sql("CREATE INDEX CONCURRENTLY theirs ON t (a, b)").execute(&mut builder).await.unwrap();
    });
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%')";
    Admin::to(it.db()).await.until(waits).await;
    let mut later = it.open(2).await;
    let error = course::progress(&mut *later, &script.course()).await.unwrap_err();
    assert_eq!((error.failure.class, error.outcome), (ErrorClass::Transient, Outcome::NoEffect), "{error}");
    assert!(error.to_string().contains("public.theirs"), "{error}");
    let_go(holder).await;
    building.await.unwrap();
    assert_eq!(indexes(&it, "t").await, ["t_pkey", "theirs"]);
}

#[tokio::test]
async fn what_was_half_done_by_somebody_else_is_not_brought_to_an_end_in_his_stead() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TABLE).await;
    it.outside("CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE one PARTITION OF p FOR VALUES IN (1)").await;
    // A detachment of theirs that was killed; an index of theirs that was never valid.
    let theirs = Script::up(&it, "ALTER TABLE p DETACH PARTITION one CONCURRENTLY");
    killed(&it, &theirs, "SELECT FROM p").await;
    it.outside("DELETE FROM windlass_statement; INSERT INTO t VALUES (101, 1)").await;
    invalid(&it, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (b)").await;
    let mut session = it.open(2).await;
    let halted = carry_on(&mut *session, &theirs).await.unwrap_err();
    assert_eq!(halted.error.failure.server_code.as_deref(), Some("55000"), "{}", halted.error);
    assert_eq!(halted.error.outcome, Outcome::NoEffect);
    assert_eq!(it.number("SELECT count(*) FROM pg_inherits WHERE inhdetachpending").await, 1);
    // A drop that was never sent leaves the index as it was.
    let script = Script::up(&it, "DROP INDEX CONCURRENTLY i");
    let mut session = it.open(3).await;
    let before = session.print(&script.strides[0].facts).await.unwrap().text;
    session.intend(&script.unit.key, 1, &before).await.unwrap();
    let mut later = it.open(4).await;
    assert_eq!(course::progress(&mut *later, &script.course()).await.unwrap(), Progress::Strides(0));
    assert_eq!(indexes(&it, "t").await, ["i invalid", "t_pkey"]);
    // And one that was killed is carried out.
    drop(later);
    let holder = holder(&it, "SELECT FROM t").await;
    let task = hang(&it, it.open(5).await, &script).await;
    terminate(&it).await;
    task.await.unwrap().unwrap_err();
    let_go(holder).await;
    let mut last = it.open(6).await;
    assert_eq!(carry_on(&mut *last, &script).await.unwrap(), Applied::Now);
    assert_eq!(indexes(&it, "t").await, ["t_pkey"]);
}

#[tokio::test]
async fn a_vacuum_in_doubt_is_run_again() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TABLE).await;
    let script = Script::up(&it, "INSERT INTO t VALUES (0, 0); VACUUM FULL t; INSERT INTO t VALUES (-1, 0)");
    let holder = holder(&it, "SELECT FROM t").await;
    // A plain INSERT does not wait for a reader, and VACUUM FULL does.
    let task = hang(&it, it.open(1).await, &script).await;
    terminate(&it).await;
    assert_eq!(task.await.unwrap().unwrap_err().error.outcome, Outcome::Unknown);
    let_go(holder).await;
    carried_on(&it, &script).await;
    assert_eq!(it.number("SELECT count(*) FROM t").await, 102);
}
