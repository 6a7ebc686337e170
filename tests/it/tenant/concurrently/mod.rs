//! What PostgreSQL leaves in the middle when a session, or the server, dies in a statement that commits by itself; and what becomes of
//! it when its step is carried on, or taken back.

mod doubt;
mod killed;
mod settings;
mod steps;

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinHandle;
use windlass::release::Dialect;
use windlass::release::sql::split;
use windlass::release::stepwise::facts;
use windlass::tenant::course::{self, Course, Halted};
use windlass::tenant::{Applied, Outcome, Probe, Session, SetsSession, Stride, Unit};

use super::subject::Subject;
use crate::support::postgres::Admin;

/// A step that goes statement by statement.
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
