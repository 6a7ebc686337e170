//! What only PostgreSQL can do: sessions that outlive their clients, roles, settings, servers that die.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use windlass::base::{Code, Coded as _};
use windlass::saga::event::Half;
use windlass::saga::failure::ErrorClass;
use windlass::tenant::{
    Applied, FenceState, Opening, Outcome, Probe, Session, SessionError, SetsSession, Surveying, Unit, open, survey,
};

use super::subject::{Kind, Subject, conn_to, surveying};
use crate::support::postgres::{APP_PASSWORD, Admin, Durability, PrivatePostgres, shared};

/// A unit that gets as far as `last`, and stays there.
fn hanging(it: &Subject, last: &str) -> Unit {
    it.up("1", &["CREATE TABLE a (id int)", "INSERT INTO a VALUES (1)", last])
}

/// Applies in the background, and waits until the server hangs in it.
async fn hang(
    it: &Subject,
    mut session: Box<dyn Session>,
    unit: Unit,
    waits: &str,
) -> tokio::task::JoinHandle<Result<Applied, SessionError>> {
    let task = tokio::spawn(async move { session.apply(&unit).await });
    let hangs = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{}' AND {waits} AND query LIKE 'BEGIN;%')",
        it.db().name
    );
    shared().await.admin().await.until(&hangs).await;
    task
}

const SLEEPS: &str = "wait_event = 'PgSleep'";

/// The later worker finds nothing done, does it, and it is done once.
async fn takes_over(it: &Subject, zombie: tokio::task::JoinHandle<Result<Applied, SessionError>>) {
    let began = Instant::now();
    let mut later = it.open(2).await;
    assert!(began.elapsed() < Duration::from_secs(5), "the zombie was waited for: {:?}", began.elapsed());
    let lost = zombie.await.unwrap().unwrap_err();
    assert_eq!((lost.outcome, lost.failure.class), (Outcome::Unknown, ErrorClass::Transient), "{lost}");
    assert_eq!(later.probe(&it.key("migrate:1", Half::Act)), Probe::NotApplied);
    later.apply(&it.up("1", &["CREATE TABLE a (id int)", "INSERT INTO a VALUES (1)"])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM a").await, 1);
}

#[tokio::test]
async fn a_worker_that_is_in_a_long_statement_is_ended_by_its_successor() {
    for kind in [Kind::PostgresDatabase, Kind::PostgresSchema] {
        let it = Subject::new(kind).await;
        let zombie = hang(&it, it.open(1).await, hanging(&it, "SELECT pg_sleep(60)"), SLEEPS).await;
        takes_over(&it, zombie).await;
    }
}

#[tokio::test]
async fn a_worker_that_waits_for_a_lock_is_ended_by_its_successor() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside("CREATE TABLE held (id int)").await;
    let mut holder = it.postgres().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE held").execute(&mut holder).await.unwrap();
    let unit = hanging(&it, "ALTER TABLE held ADD COLUMN b int");
    let zombie = hang(&it, it.open(1).await, unit, "wait_event_type = 'Lock'").await;
    takes_over(&it, zombie).await;
}

#[tokio::test]
async fn a_worker_that_has_changed_its_name_is_ended_by_its_successor() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let unit = hanging(&it, "SET application_name = 'nobody'; SELECT pg_sleep(60)");
    let zombie = hang(&it, it.open(1).await, unit, SLEEPS).await;
    takes_over(&it, zombie).await;
}

#[tokio::test]
async fn a_worker_that_hangs_with_the_fence_row_in_its_hands_is_ended_by_its_successor() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let unit = hanging(&it, "UPDATE windlass_fence SET tenants = 8; SELECT pg_sleep(60)");
    let zombie = hang(&it, it.open(1).await, unit, SLEEPS).await;
    let opening = Opening { lock_timeout: Duration::from_millis(50), ..it.opening(2) };
    let later = open(&it.conn, &opening).await.unwrap();
    assert_eq!(later.probe(&it.key("migrate:1", Half::Act)), Probe::NotApplied);
    assert_eq!(zombie.await.unwrap().unwrap_err().outcome, Outcome::Unknown);
}

#[tokio::test]
async fn after_a_cut_connection_the_same_worker_opens_again_and_knows() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let unit = hanging(&it, "SELECT pg_sleep(60)");
    let task = hang(&it, it.open(1).await, unit, SLEEPS).await;
    let cut = format!(
        "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}' AND {SLEEPS}",
        it.db().name
    );
    shared().await.admin().await.until(&cut).await;
    let error = task.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.outcome), (Code::TenantUnreachable, Outcome::Unknown));
    let mut again = it.open(1).await;
    assert_eq!(again.probe(&it.key("migrate:1", Half::Act)), Probe::NotApplied);
    assert_eq!(again.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap(), Applied::Now);
}

#[tokio::test]
async fn a_predecessor_that_cannot_be_ended_is_named() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let session = it.open(1).await;
    let mut admin = Admin::to(it.db()).await;
    let name = admin.text("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'windlass/t:%' AND datname = current_database()").await;
    session.close().await;
    // A superuser's session: ours may not end it.
    admin.execute_all(&format!("SET application_name = '{name}'")).await;
    let error = it.try_open(2).await.err().unwrap();
    assert_eq!((error.code(), error.failure.class), (Code::PredecessorAlive, ErrorClass::Permanent), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
    admin.execute_all("SET application_name = 'somebody else'").await;
    it.open(2).await.close().await;
}

#[tokio::test]
async fn two_workers_that_meet_at_a_fresh_database_leave_one_holder() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let (one, two) = tokio::join!(it.try_open(1), it.try_open(2));
    if let Err(error) = one {
        assert!(matches!(error.code(), Code::TenantFenced | Code::TenantUnreachable), "{error}");
    }
    let mut two = two.unwrap();
    assert_eq!(two.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap(), Applied::Now);
}

#[tokio::test]
async fn settings_that_a_migration_makes_do_not_outlive_it_and_do_not_move_the_ledger() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let role = format!("owner_{}", it.db().name);
    let mut admin = Admin::to(it.db()).await;
    admin
        .execute_all(&format!("CREATE ROLE {role}; GRANT {role} TO app; CREATE SCHEMA side AUTHORIZATION {role}"))
        .await;
    let mut session = it.open(1).await;
    let setting = it.up("1", &[&format!("SET ROLE {role}"), "SET search_path = side", "CREATE TABLE a (id int)"]);
    session.apply(&Unit { sets_session: SetsSession::Yes, ..setting }).await.unwrap();
    session.apply(&it.up("2", &["CREATE TABLE public.b AS SELECT current_user::text AS who"])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM side.a").await, 0);
    assert_eq!(it.number("SELECT count(*) FROM b WHERE who = 'app'").await, 1);
    // As pg_dump does it, where nobody saw that it is a setting.
    session.apply(&it.up("3", &["SELECT pg_catalog.set_config('search_path', '', false)"])).await.unwrap();
    session.apply(&it.up("4", &["CREATE TABLE public.c (id int)"])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM windlass_ledger").await, 4);
}

/// What a session may keep, as rows that should not be there for the next migration.
const KEPT: &str = "CREATE TABLE public.kept AS
    SELECT 'a temporary table' AS what FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)
    UNION ALL SELECT 'a lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'a prepared statement' FROM pg_prepared_statements
    UNION ALL SELECT 'a cursor' FROM pg_cursors WHERE is_holdable
    UNION ALL SELECT 'a channel' FROM pg_listening_channels()
    UNION ALL SELECT 'a role' WHERE current_user <> 'app'
    UNION ALL SELECT 'a setting' WHERE current_setting('x.y', true) <> ''
    UNION ALL SELECT 'a search path' WHERE current_schema() <> 'public'";

#[tokio::test]
async fn nothing_of_a_session_outlives_a_migration_that_may_have_changed_it() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let mut session = it.open(1).await;
    let leaving = [
        "DO $$ BEGIN CREATE TEMP TABLE t (id int); PERFORM pg_advisory_lock(7); END $$",
        "PREPARE p AS SELECT 1",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "LISTEN here",
        "CREATE SCHEMA side",
        "SELECT set_config('search_path', 'side', false), set_config('x.y', 'z', false)",
    ];
    let unit = |version: &str, more: &str| {
        let statements = [&leaving[..], &[more]].concat();
        Unit { sets_session: SetsSession::Yes, ..it.up(version, &statements) }
    };
    session.apply(&unit("1", "SELECT 1")).await.unwrap();
    session.apply(&it.up("2", &[KEPT])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM kept").await, 0);
    // A migration that fails leaves what no rollback takes back: locks, prepared statements.
    it.outside("DROP TABLE kept; DROP SCHEMA side").await;
    session.apply(&unit("3", "SELECT 1 / 0")).await.unwrap_err();
    session.apply(&it.up("4", &[KEPT])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM kept").await, 0);
    // And so does a check.
    it.outside("DROP TABLE kept").await;
    session.check("SELECT pg_try_advisory_lock(7)").await.unwrap();
    session.apply(&it.up("5", &[KEPT])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM kept").await, 0);
    assert_eq!(it.survey().await.in_force.len(), 4);
}

#[tokio::test]
async fn what_a_trigger_sets_behind_everybodys_back_does_not_reach_the_ledger_or_the_next_migration() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let role = format!("owner_{}", it.db().name);
    let mut admin = Admin::to(it.db()).await;
    admin.execute_all(&format!("CREATE ROLE {role}; GRANT {role} TO app")).await;
    it.outside(&format!(
        "CREATE SCHEMA side; CREATE TABLE side.windlass_ledger (a int); CREATE TABLE t (id int);
         CREATE FUNCTION sets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM set_config('search_path', 'side', false), set_config('role', '{role}', false); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER now AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION sets();
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sets()"
    ))
    .await;
    let mut session = it.open(1).await;
    let unit = Unit { fence: FenceState::Done, ..it.up("1", &["INSERT INTO t VALUES (1)"]) };
    session.apply(&unit).await.unwrap();
    session.apply(&it.up("2", &[KEPT])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM kept").await, 0);
    assert_eq!(it.survey().await.in_force.len(), 2);
}

#[tokio::test]
async fn a_login_that_acts_as_another_role_is_refused_by_the_survey() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let login = format!("odd_{}", it.db().name);
    let mut admin = Admin::to(it.db()).await;
    admin
        .execute_all(&format!(
            "CREATE ROLE {login} LOGIN PASSWORD 'odd'; GRANT app TO {login}; ALTER ROLE {login} SET role = 'app'"
        ))
        .await;
    let (_, place) = it.db().url.split_once('@').unwrap();
    let conn = conn_to("acme", &format!("postgres://{login}:odd@{place}"), None).await;
    let error = survey(&conn, &surveying()).await.unwrap_err();
    assert_eq!(error.failure.code, Code::TenantDenied);
    assert!(error.failure.message.contains(&format!("{login} acts as app")), "{}", error.failure.message);
    admin.execute_all(&format!("ALTER ROLE {login} RESET role")).await;
    survey(&conn, &surveying()).await.unwrap();
}

#[tokio::test]
async fn a_constraint_that_is_checked_at_the_commit_fails_the_unit() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let mut session = it.open(1).await;
    let unit = it.up(
        "1",
        &[
            "CREATE TABLE a (id int PRIMARY KEY, other int REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
            "INSERT INTO a VALUES (1, 2)",
        ],
    );
    let error = session.apply(&unit).await.unwrap_err();
    assert_eq!((error.code(), error.outcome, error.failure.statement), (Code::StepFailed, Outcome::NoEffect, None));
    assert_eq!(error.failure.server_code.as_deref(), Some("23503"));
    assert_eq!(it.tables("a").await + it.number("SELECT count(*) FROM windlass_ledger").await, 0);
}

#[tokio::test]
async fn the_ledger_lives_in_the_schema_that_was_named_and_makes_it() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let ledger_schema = Some("ops \"x\"".to_owned());
    let opening = Opening { ledger_schema: ledger_schema.clone(), ..it.opening(1) };
    let mut session = open(&it.conn, &opening).await.unwrap();
    session.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM \"ops \"\"x\"\"\".windlass_ledger").await, 1);
    assert_eq!(it.tables("windlass_ledger").await, 0);
    let found = survey(&it.conn, &Surveying { ledger_schema, ..surveying() }).await.unwrap();
    assert_eq!(found.in_force.len(), 1);

    let it = Subject::new(Kind::PostgresSchema).await;
    let opening = Opening { ledger_schema: Some("shared".to_owned()), ..it.opening(1) };
    assert_eq!(open(&it.conn, &opening).await.err().unwrap().code(), Code::ConfigInvalid);
}

#[tokio::test]
async fn what_cannot_be_reached_says_why_and_keeps_the_password() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = shared().await.port();
    for (url, code, class) in [
        (it.db().url.replace(APP_PASSWORD, "wr0ng-s3cret"), Code::TenantDenied, ErrorClass::Permanent),
        (it.db().url.replace(&port.to_string(), &closed.to_string()), Code::TenantUnreachable, ErrorClass::Transient),
    ] {
        let conn = conn_to("acme", &url, None).await;
        let error = open(&conn, &it.opening(1)).await.err().unwrap();
        assert_eq!((error.code(), error.failure.class, error.outcome), (code, class, Outcome::NoEffect), "{error}");
        let told = format!("{error} {error:?} {conn:?}");
        assert!(!told.contains(APP_PASSWORD) && !told.contains("wr0ng-s3cret"), "{told}");
    }
    // Nor does a server's own message give it away.
    let mut session = it.open(1).await;
    let telling = format!("SELECT '{APP_PASSWORD}'::int");
    let error = session.apply(&it.up("1", &[&telling])).await.unwrap_err();
    assert!(error.to_string().contains("***") && !format!("{error:?}").contains(APP_PASSWORD), "{error:?}");
}

#[tokio::test]
async fn a_database_is_itself_by_any_url_and_its_schemas_are_not_each_other() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside("CREATE SCHEMA one; CREATE SCHEMA two").await;
    let mut found = Vec::new();
    for (url, schema) in [
        (it.db().url.clone(), None),
        (it.db().superuser_url.clone(), None),
        (it.db().url.clone(), Some("one")),
        (it.db().url.clone(), Some("two")),
        (shared().await.database().await.url, None),
    ] {
        let conn = conn_to("acme", &url, schema).await;
        found.push(survey(&conn, &surveying()).await.unwrap().identity);
    }
    assert_eq!(found[0], found[1]);
    found.remove(0);
    let different: std::collections::BTreeSet<_> = found.iter().collect();
    assert_eq!(different.len(), 4, "{found:?}");
}

#[tokio::test]
async fn tenants_that_share_a_ledger_are_one_whatever_their_search_paths() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside("CREATE SCHEMA one; CREATE SCHEMA two; CREATE SCHEMA three").await;
    let conn = async |path: &str| {
        let join = if it.db().url.contains('?') { '&' } else { '?' };
        conn_to("acme", &format!("{}{join}options=-csearch_path%3D{path}", it.db().url), None).await
    };
    let identity = async |path: &str, ledger: Option<&str>| {
        let surveying = Surveying { ledger_schema: ledger.map(str::to_owned), ..surveying() };
        survey(&conn(path).await, &surveying).await.unwrap().identity
    };
    assert_ne!(identity("one", None).await, identity("two", None).await);
    assert_eq!(identity("one", Some("three")).await, identity("two", Some("three")).await);
    assert_ne!(identity("one,two", None).await, identity("two", None).await);
    // Once the tables are in the second schema of the path, they are found there.
    open(&conn("two").await, &it.opening(1)).await.unwrap().close().await;
    assert_eq!(identity("one,two", None).await, identity("two", None).await);
    assert_ne!(identity("one", None).await, identity("two", None).await);
}

#[tokio::test]
async fn a_server_with_the_identifier_of_another_is_not_that_one() {
    // As two servers made of one image have it: the same data directory, started twice.
    let mut server = PrivatePostgres::start(Durability::Fsync).await;
    let db = server.database().await;
    let identity = async |url: &str| survey(&conn_to("acme", url, None).await, &surveying()).await.unwrap().identity;
    let first = identity(&db.url).await;
    assert_eq!(identity(&db.url).await, first);
    server.kill9();
    server.restart().await;
    assert_ne!(identity(&server.url_of(&db.name)).await, first);
}

#[tokio::test]
async fn what_was_applied_is_there_after_the_server_was_killed() {
    let mut server = PrivatePostgres::start(Durability::Fsync).await;
    let db = server.database().await;
    let it = Subject::new(Kind::PostgresDatabase).await;
    let mut session = open(&conn_to("acme", &db.url, None).await, &it.opening(1)).await.unwrap();
    session.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap();
    server.kill9();
    let lost = session.apply(&it.up("2", &["CREATE TABLE b (id int)"])).await.unwrap_err();
    assert_eq!((lost.outcome, lost.failure.class), (Outcome::Unknown, ErrorClass::Transient));
    server.restart().await;
    let again = open(&conn_to("acme", &server.url_of(&db.name), None).await, &it.opening(1)).await.unwrap();
    let in_force: Vec<_> = again.in_force().iter().map(|migration| migration.version.as_str()).collect();
    assert_eq!(in_force, ["1"]);
    assert!(PgConnection::connect(&server.url_of(&db.name)).await.is_ok());
}
