//! Statements that are killed in their middle, which is looked at before it is cleared.

use windlass::base::{Code, Coded as _, DeployId, LogId};
use windlass::tenant::{Applied, Outcome};

use super::super::subject::{Kind, Store, Subject, conn_to};
use super::{Script, TABLE, begun, carried_on, carry_on, hang, holder, indexes, invalid, killed, let_go};
use crate::support::postgres::{Db, Durability, PrivatePostgres};

#[tokio::test]
async fn an_index_whose_build_was_killed_is_dropped_and_built_again() {
    for kind in [Kind::PostgresDatabase, Kind::PostgresSchema] {
        for (statement, name) in [
            ("CREATE INDEX CONCURRENTLY \"I \"\"1\"\"\" ON t (b)", "I \"1\""),
            ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (b)", "i"),
            ("CREATE INDEX CONCURRENTLY ON t (b)", "t_b_idx"),
        ] {
            let it = Subject::new(kind).await;
            it.outside(TABLE).await;
            let script = Script::up(&it, statement);
            killed(&it, &script, "INSERT INTO t VALUES (0, 0)").await;
            assert_eq!(indexes(&it, "t").await, [format!("{name} invalid"), "t_pkey".to_owned()], "{statement}");
            carried_on(&it, &script).await;
            assert_eq!(indexes(&it, "t").await, [name, "t_pkey"], "{statement}");
        }
    }
}

#[tokio::test]
async fn a_build_that_hangs_is_ended_by_the_successor_who_waits_for_what_it_waited_for() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TABLE).await;
    let script = Script::up(&it, "CREATE INDEX CONCURRENTLY i ON t (b)");
    let holder = holder(&it, "INSERT INTO t VALUES (0, 0)").await;
    let task = hang(&it, it.open(1).await, &script).await;
    // The later worker ends the earlier one by opening, and then has the holder in its own way.
    let later = it.open(2).await;
    assert_eq!(task.await.unwrap().unwrap_err().error.outcome, Outcome::Unknown);
    let task = hang(&it, later, &script).await;
    let_go(holder).await;
    assert_eq!(task.await.unwrap().unwrap(), Applied::Now);
    assert_eq!(indexes(&it, "t").await, ["i", "t_pkey"]);
}

#[tokio::test]
async fn a_violation_in_a_concurrent_build_leaves_nothing() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TABLE).await;
    it.outside("INSERT INTO t VALUES (101, 1)").await;
    for statement in ["CREATE UNIQUE INDEX CONCURRENTLY i ON t (b)", "CREATE UNIQUE INDEX CONCURRENTLY ON t (b)"] {
        let script = Script::up(&it, &format!("INSERT INTO t VALUES (200, 200); {statement}"));
        let mut session = it.open(1).await;
        let halted = carry_on(&mut *session, &script).await.unwrap_err();
        assert_eq!((halted.error.code(), halted.error.outcome, halted.done), (Code::StepFailed, Outcome::NoEffect, 1));
        assert_eq!(halted.error.failure.statement, Some(2));
        assert_eq!(halted.error.failure.server_code.as_deref(), Some("23505"), "{}", halted.error);
        assert_eq!(indexes(&it, "t").await, ["t_pkey"]);
        assert_eq!(begun(&it).await, ["act 1 done"]);
        it.outside("DELETE FROM windlass_statement; DELETE FROM t WHERE a = 200").await;
    }
    it.outside("DELETE FROM t WHERE a = 101").await;
    let script = Script::up(&it, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (b)");
    carried_on(&it, &script).await;
}

#[tokio::test]
async fn the_twins_of_a_killed_reindex_are_dropped_and_nothing_else_is() {
    let long = "i".repeat(63);
    for kind in [Kind::PostgresDatabase, Kind::PostgresSchema] {
        for statement in [
            "REINDEX INDEX CONCURRENTLY t_pkey",
            "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
            &format!("REINDEX INDEX CONCURRENTLY {long}"),
            "REINDEX SCHEMA CONCURRENTLY OWN",
        ] {
            let it = Subject::new(kind).await;
            it.outside(TABLE).await;
            it.outside(&format!("CREATE INDEX {long} ON t (b); CREATE TABLE u (a int); INSERT INTO u VALUES (1), (1)"))
                .await;
            it.outside(
                "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.v (a int); INSERT INTO elsewhere.v VALUES (1), (1)",
            )
            .await;
            invalid(&it, "CREATE UNIQUE INDEX CONCURRENTLY bad ON u (a)").await;
            invalid(&it, "CREATE UNIQUE INDEX CONCURRENTLY v_ccnew ON elsewhere.v (a)").await;
            let schema = if kind == Kind::PostgresSchema { "\"tenant \"\"one\"\"\"" } else { "public" };
            let script = Script::up(&it, &statement.replace("OWN", schema));
            killed(&it, &script, "INSERT INTO t VALUES (0, 0)").await;
            let left = indexes(&it, "t").await;
            assert!(left.iter().any(|index| index.contains("_ccnew") && index.contains("invalid")), "{left:?}");
            carried_on(&it, &script).await;
            assert_eq!(indexes(&it, "t").await, [long.as_str(), "t_pkey"], "{statement}");
            assert_eq!(indexes(&it, "u").await, ["bad invalid"]);
            // In another schema of the tenant's own database it is a twin, too, of what has no name in the statement.
            let whole = kind == Kind::PostgresDatabase && statement.contains("SCHEMA");
            assert_eq!(indexes(&it, "elsewhere.v").await.len(), usize::from(!whole), "{statement}");
        }
    }
}

#[tokio::test]
async fn a_partition_whose_detachment_was_killed_is_detached() {
    let it = Subject::new(Kind::PostgresSchema).await;
    it.outside(
        "CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE one PARTITION OF p FOR VALUES FROM (1) TO (2);
         CREATE TABLE two PARTITION OF p FOR VALUES FROM (2) TO (3); INSERT INTO p VALUES (1), (2)",
    )
    .await;
    let script = Script::up(&it, "ALTER TABLE p DETACH PARTITION one CONCURRENTLY; INSERT INTO one VALUES (1)");
    killed(&it, &script, "SELECT FROM p").await;
    assert_eq!(it.number("SELECT count(*) FROM pg_inherits WHERE inhdetachpending").await, 1);
    // A partition that has come since is no evidence, in either direction.
    it.outside("CREATE TABLE three PARTITION OF p FOR VALUES FROM (3) TO (4)").await;
    carried_on(&it, &script).await;
    assert_eq!(it.number("SELECT count(*) FROM pg_inherits WHERE inhparent = 'p'::regclass").await, 2);
    assert_eq!(it.number("SELECT count(*) FROM one").await, 2);
}

#[tokio::test]
async fn an_index_whose_drop_was_killed_is_dropped() {
    for statement in ["DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY IF EXISTS i"] {
        let it = Subject::new(Kind::PostgresSchema).await;
        it.outside(TABLE).await;
        it.outside("CREATE INDEX i ON t (b)").await;
        let script = Script::up(&it, statement);
        killed(&it, &script, "SELECT FROM t").await;
        assert_eq!(indexes(&it, "t").await, ["i invalid", "t_pkey"]);
        carried_on(&it, &script).await;
        assert_eq!(indexes(&it, "t").await, ["t_pkey"]);
    }
}

/// A tenant that is a database of a server of its own.
async fn on(db: Db) -> Subject {
    let conn = conn_to("acme", &db.url, None).await;
    let store = Store::Postgres(db);
    Subject { kind: Kind::PostgresDatabase, store, conn, deploy: DeployId::fresh(), log: LogId::fresh() }
}

#[tokio::test]
async fn a_server_that_was_killed_in_a_build_a_drop_and_a_reindex_leaves_nothing_half_done() {
    let mut server = PrivatePostgres::start(Durability::Fsync).await;
    for (statement, holding, middle, expected) in [
        ("CREATE INDEX CONCURRENTLY j ON t (b)", "INSERT INTO t VALUES (0, 0)", "j invalid", vec!["i", "j", "t_pkey"]),
        ("DROP INDEX CONCURRENTLY i", "SELECT FROM t", "i invalid", vec!["t_pkey"]),
        ("REINDEX INDEX CONCURRENTLY i", "INSERT INTO t VALUES (0, 0)", "i_ccnew invalid", vec!["i", "t_pkey"]),
    ] {
        let (db, port) = (server.database().await, server.port());
        let it = on(db.clone()).await;
        it.outside(TABLE).await;
        it.outside("CREATE INDEX i ON t (b)").await;
        let script = Script::up(&it, statement);
        let _holder = holder(&it, holding).await;
        let task = hang(&it, it.open(1).await, &script).await;
        server.kill9();
        assert_eq!(task.await.unwrap().unwrap_err().error.outcome, Outcome::Unknown);
        server.restart().await;
        let moved = |url: &str| url.replace(&format!(":{port}/"), &format!(":{}/", server.port()));
        let db = Db { url: moved(&db.url), superuser_url: moved(&db.superuser_url), name: db.name };
        let it = Subject { deploy: it.deploy, log: it.log, ..on(db).await };
        let left = indexes(&it, "t").await;
        assert!(left.iter().any(|index| index == middle), "{statement}: {left:?}");
        carried_on(&it, &script).await;
        assert_eq!(indexes(&it, "t").await, expected, "{statement}");
    }
}
