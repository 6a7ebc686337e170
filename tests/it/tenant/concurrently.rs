//! What PostgreSQL leaves in the middle when a session, or the server, dies in a statement that commits by itself; and what becomes of
//! it when its step is carried on, or taken back.

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinHandle;
use windlass::base::{Code, Coded as _, DeployId, LogId};
use windlass::release::Dialect;
use windlass::release::sql::split;
use windlass::release::stepwise::{Middle, facts};
use windlass::saga::event::Half;
use windlass::saga::failure::ErrorClass;
use windlass::tenant::course::{self, Course, Halted, Progress, TakenBack};
use windlass::tenant::{Applied, FenceState, Opening, Outcome, Probe, Session, SetsSession, Stride, Unit, open};

use super::subject::{Kind, Store, Subject, conn_to};
use crate::support::postgres::{Admin, Db, Durability, PrivatePostgres};

/// A step, and the statements that take back each of its own.
#[derive(Clone)]
struct Script {
    unit: Unit,
    strides: Vec<Stride>,
}

impl Script {
    /// The step that applies a version; without statements in its unit, since each goes by itself.
    fn up(it: &Subject, script: &str) -> Self {
        let unit = Unit { sets_session: SetsSession::Yes, ..it.up("1", &[]) };
        Self { unit, strides: strides(script) }
    }

    fn course(&self) -> Course<'_> {
        Course { unit: &self.unit, strides: &self.strides }
    }
}

fn strides(script: &str) -> Vec<Stride> {
    let statements = split(Dialect::Postgres, script).unwrap();
    let stride = |(number, statement): (u32, &windlass::release::Statement)| Stride {
        number,
        texts: vec![statement.text.clone()],
        facts: facts(Dialect::Postgres, statement),
    };
    (1..).zip(&statements).map(stride).collect()
}

async fn carry_on(session: &mut dyn Session, script: &Script) -> Result<Applied, Halted> {
    course::carry_on(session, &script.course()).await
}

/// A transaction of somebody else's, in whose way nothing may be that commits by itself.
async fn holder(it: &Subject, sql: &str) -> PgConnection {
    let mut holder = it.postgres().await;
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {sql}"))).execute(&mut holder).await.unwrap();
    holder
}

async fn let_go(mut holder: PgConnection) {
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
}

/// Our worker's sessions.
const OURS: &str = "datname = current_database() AND application_name LIKE 'windlass/t:%'";

/// It waits for the transaction of somebody else.
fn waits() -> String {
    format!("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock')")
}

/// Carries a step on in the background, until it waits for somebody else's transaction.
async fn hang(it: &Subject, mut session: Box<dyn Session>, script: &Script) -> JoinHandle<Result<Applied, Halted>> {
    let script = script.clone();
    let task = tokio::spawn(async move { carry_on(&mut *session, &script).await });
    Admin::to(it.db()).await.until(&waits()).await;
    task
}

/// Ends our worker's session, as an administrator does.
async fn terminate(it: &Subject) {
    let cut = format!("SELECT bool_and(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE {OURS}");
    Admin::to(it.db()).await.until(&cut).await;
}

/// Carries a step on, and kills it while somebody else's transaction keeps it from its end.
async fn killed(it: &Subject, script: &Script, holding: &str) {
    let holder = holder(it, holding).await;
    let task = hang(it, it.open(1).await, script).await;
    terminate(it).await;
    let halted = task.await.unwrap().unwrap_err();
    assert_eq!(halted.error.outcome, Outcome::Unknown, "{}", halted.error);
    let_go(holder).await;
}

/// All indexes of a table, and whether they are valid.
async fn indexes(it: &Subject, table: &str) -> Vec<String> {
    let sql = format!(
        "SELECT c.relname::text || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END FROM pg_index i
         JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = '{table}'::regclass ORDER BY 1"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut it.postgres().await).await.unwrap()
}

/// The rows of strides that are there: their numbers and states.
async fn begun(it: &Subject) -> Vec<String> {
    let sql = "SELECT half || ' ' || number || ' ' || state FROM windlass_statement ORDER BY half, number";
    sqlx::query_scalar(sql).fetch_all(&mut it.postgres().await).await.unwrap()
}

/// What the killed session has left, and that the next one carries the step to its end in spite of it.
async fn carried_on(it: &Subject, script: &Script) {
    let mut later = it.open(2).await;
    assert_eq!(carry_on(&mut *later, script).await.unwrap(), Applied::Now);
    assert!(matches!(later.probe(&script.unit.key), Probe::Applied(_)));
    assert_eq!(carry_on(&mut *later, script).await.unwrap(), Applied::Before);
    let done: Vec<String> = script.strides.iter().map(|stride| format!("act {} done", stride.number)).collect();
    assert_eq!(begun(it).await, done);
}

/// Runs a build that fails, and leaves its index.
async fn invalid(it: &Subject, build: &str) {
    sqlx::raw_sql(AssertSqlSafe(build.to_owned())).execute(&mut it.postgres().await).await.unwrap_err();
}

const TABLE: &str =
    "CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t SELECT n, n FROM generate_series(1, 100) n";

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
             CREATE TABLE side.t (a int, b text)"
        ))
        .await;
    let own = "INSERT INTO t SELECT 1, current_user || ' ' || current_setting('search_path') || ' ' || current_setting('synchronous_commit')";
    let script = Script::up(
        &it,
        &format!(
            "SET ROLE {role}; SET search_path = side; SET synchronous_commit = off; {own};
             CREATE INDEX CONCURRENTLY i ON t (a); {own}; DROP INDEX CONCURRENTLY i; {own};
             SET default_transaction_read_only = on; VACUUM t"
        ),
    );
    let unit = Unit { fence: FenceState::Done, ..script.unit };
    let script = Script { unit, ..script };
    let mut session = it.open(1).await;
    assert_eq!(carry_on(&mut *session, &script).await.unwrap(), Applied::Now);
    let as_set = format!("SELECT count(*) FROM side.t WHERE b = '{role} side off'");
    assert_eq!(admin.text(&format!("SELECT ({as_set})::text")).await, "3");
    // And the next step finds nothing of it.
    session.apply(&it.up("2", &["CREATE TABLE who AS SELECT current_user::text AS name"])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM who WHERE name = 'app'").await, 1);
    assert_eq!(it.survey().await.in_force.len(), 2);
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

/// Two schemas with a table of the same name, and the settings by which a script finds the second.
const TWINS: &str = "CREATE SCHEMA side; CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 1);
                     CREATE TABLE side.t (a int PRIMARY KEY, b int)";

#[tokio::test]
async fn a_part_is_taken_back_where_the_settings_of_its_script_had_put_it() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(
        "CREATE SCHEMA side; CREATE TABLE kept (a int); INSERT INTO kept VALUES (1); CREATE TABLE first (a int)",
    )
    .await;
    let act = Script::up(
        &it,
        "ALTER TABLE first ADD COLUMN b int; SET search_path = side; CREATE TABLE kept (a int);
         CREATE INDEX CONCURRENTLY i ON missing (a)",
    );
    let mut undos: Vec<Option<Stride>> =
        strides("ALTER TABLE first DROP COLUMN b; SELECT 1; DROP TABLE kept; SELECT 1").into_iter().map(Some).collect();
    undos[1].as_mut().unwrap().texts.clear();
    let undo = Unit { sets_session: SetsSession::Yes, fence: FenceState::Undone, ..it.down("1", &[]) };
    let mut session = it.open(1).await;
    assert_eq!(carry_on(&mut *session, &act).await.unwrap_err().done, 3);
    let taken = course::take_back(&mut *session, &act.course(), &undos, &undo).await;
    assert_eq!(taken.map_err(|halted| halted.error.to_string()), Ok(TakenBack::Part(3)));
    assert_eq!(it.number("SELECT count(*) FROM kept").await, 1);
    assert_eq!(it.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'side'").await, 0);
    let column = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'first'::regclass AND attname = 'b'";
    assert_eq!(it.number(column).await, 0);
}

#[tokio::test]
async fn a_statement_in_doubt_is_looked_for_where_the_settings_of_its_script_had_put_it() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TWINS).await;
    let script = Script::up(&it, "SET search_path = side; CREATE INDEX CONCURRENTLY i ON t (b)");
    killed(&it, &script, "INSERT INTO side.t VALUES (0, 0)").await;
    assert_eq!(indexes(&it, "side.t").await, ["i invalid", "t_pkey"]);
    carried_on(&it, &script).await;
    assert_eq!(indexes(&it, "side.t").await, ["i", "t_pkey"]);
    assert_eq!(indexes(&it, "t").await, ["t_pkey"]);
}

#[tokio::test]
async fn an_index_that_we_had_cleared_away_to_build_it_anew_is_built() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside("CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 1), (2, 1)").await;
    invalid(&it, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (b)").await;
    it.outside("DELETE FROM t WHERE a = 2").await;
    let script = Script::up(&it, "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (b)");
    let mut session = it.open(1).await;
    let before = session.print(&script.strides[0].facts).await.unwrap().text;
    session.intend(&script.unit.key, 1, &before).await.unwrap();
    // The server has called it done, the invalid one is dropped, and the worker dies.
    it.outside("DROP INDEX i").await;
    session.close().await;
    carried_on(&it, &script).await;
    assert_eq!(indexes(&it, "t").await, ["i", "t_pkey"]);
}
