//! What only MariaDB and MySQL do: sessions that outlive their clients, DDL that commits, tables that do not roll back.

use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;
use windlass::base::{Code, Coded as _};
use windlass::fleet::{SecretResolver, Source, Variables};
use windlass::saga::event::Half;
use windlass::saga::failure::ErrorClass;
use windlass::tenant::{Applied, Opening, Outcome, Probe, Session, SessionError, SetsSession, Unit, open, survey};

use super::subject::{Kind, Subject, conn_to, surveying};
use crate::support::mariadb::{APP_PASSWORD, Admin, PrivateMariaDb, plain, shared};
use crate::support::server::Durability;

type Zombie = tokio::task::JoinHandle<Result<Applied, SessionError>>;

/// Applies in the background, and waits until the server is at work on a statement that begins so.
async fn hang(it: &Subject, mut session: Box<dyn Session>, unit: Unit, on: &str) -> Zombie {
    let task = tokio::spawn(async move { session.apply(&unit).await });
    let hangs = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND info LIKE '{on}%'",
        it.my().name
    );
    shared().await.admin().await.until(&hangs).await;
    task
}

/// The later worker finds nothing done, does it, and it is done once.
async fn takes_over(it: &Subject, zombie: Zombie) {
    let began = Instant::now();
    let mut later = it.open(2).await;
    assert!(began.elapsed() < Duration::from_secs(10), "the zombie was waited for: {:?}", began.elapsed());
    let lost = zombie.await.unwrap().unwrap_err();
    assert_eq!((lost.outcome, lost.failure.class), (Outcome::Unknown, ErrorClass::Transient), "{lost}");
    assert_eq!(later.probe(&it.key("migrate:1", Half::Act)), Probe::NotApplied);
    later.apply(&it.up("1", &["INSERT INTO a VALUES (1)"])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM a").await, 1);
}

#[tokio::test]
async fn a_worker_that_is_in_a_long_statement_is_ended_by_its_successor() {
    let it = Subject::new(Kind::MariaDb).await;
    let unit = it.up("1", &["INSERT INTO a VALUES (1)", "SELECT SLEEP(60)"]);
    let zombie = hang(&it, it.open(1).await, unit, "SELECT SLEEP").await;
    takes_over(&it, zombie).await;
}

#[tokio::test]
async fn a_worker_that_waits_for_a_lock_is_ended_by_its_successor() {
    let it = Subject::new(Kind::MariaDb).await;
    let mut holder = it.mariadb().await;
    holder.execute_all("LOCK TABLES b WRITE").await;
    let unit = it.up("1", &["INSERT INTO a VALUES (1)", "UPDATE b SET id = 2"]);
    let zombie = hang(&it, it.open(1).await, unit, "UPDATE b").await;
    takes_over(&it, zombie).await;
}

#[tokio::test]
async fn a_worker_in_a_long_update_is_waited_for_until_its_rows_are_rolled_back() {
    let it = Subject::new(Kind::MariaDb).await;
    it.outside(
        "CREATE TABLE many (id int PRIMARY KEY, n int NOT NULL); INSERT INTO many SELECT seq, 0 FROM seq_1_to_200000",
    )
    .await;
    // It has changed all rows and then hangs: killed, it has all of them to roll back.
    let unit = it.up("1", &["UPDATE many SET n = n + 1", "SELECT SLEEP(60)"]);
    let zombie = hang(&it, it.open(1).await, unit, "SELECT SLEEP").await;
    let mut later = it.open(2).await;
    assert_eq!(zombie.await.unwrap().unwrap_err().outcome, Outcome::Unknown);
    // None of its rows is locked any more, and none is changed.
    assert_eq!(it.number("SELECT COUNT(*) FROM many WHERE n = 0 FOR UPDATE NOWAIT").await, 200_000);
    later.apply(&it.up("1", &["UPDATE many SET n = n + 1"])).await.unwrap();
    assert_eq!(it.number("SELECT SUM(n) FROM many").await, 200_000);
}

#[tokio::test]
async fn a_worker_that_has_released_all_its_locks_is_ended_by_its_successor() {
    let it = Subject::new(Kind::MariaDb).await;
    let unit = it.up("1", &["INSERT INTO a VALUES (1)", "DO RELEASE_ALL_LOCKS()", "SELECT SLEEP(60)"]);
    let zombie = hang(&it, it.open(1).await, unit, "SELECT SLEEP").await;
    takes_over(&it, zombie).await;
}

#[tokio::test]
async fn a_worker_that_hangs_with_the_fence_row_in_its_hands_is_ended_by_its_successor() {
    let it = Subject::new(Kind::MariaDb).await;
    let unit = it.up("1", &["UPDATE windlass_fence SET tenants = 8", "SELECT SLEEP(60)"]);
    let zombie = hang(&it, it.open(1).await, unit, "SELECT SLEEP").await;
    let opening = Opening { lock_timeout: Duration::from_millis(50), ..it.opening(2) };
    let later = open(&it.conn, &opening).await.unwrap();
    assert_eq!(later.probe(&it.key("migrate:1", Half::Act)), Probe::NotApplied);
    assert_eq!(zombie.await.unwrap().unwrap_err().outcome, Outcome::Unknown);
}

#[tokio::test]
async fn an_earlier_session_that_its_successor_had_not_seen_gone_is_ended_by_the_one_after() {
    let it = Subject::new(Kind::MariaDb).await;
    let unit = it.up("1", &["INSERT INTO a VALUES (1)", "SELECT SLEEP(60)"]);
    let zombie = hang(&it, it.open(1).await, unit, "SELECT SLEEP").await;
    // As if the second worker had died between raising the fence and ending the first.
    it.outside(
        "UPDATE windlass_fence SET former = `session`, `session` = '1/1/windlass-nobody', epoch = 2, worker = 'x'",
    )
    .await;
    let mut third = it.open(3).await;
    assert_eq!(zombie.await.unwrap().unwrap_err().outcome, Outcome::Unknown);
    third.apply(&it.up("1", &["INSERT INTO a VALUES (1)"])).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM a").await, 1);
}

#[tokio::test]
async fn after_a_cut_connection_the_same_worker_opens_again_and_knows() {
    let it = Subject::new(Kind::MariaDb).await;
    let unit = it.up("1", &["INSERT INTO a VALUES (1)", "SELECT SLEEP(60)"]);
    let task = hang(&it, it.open(1).await, unit, "SELECT SLEEP").await;
    let mut admin = shared().await.admin().await;
    let which = format!("db = '{}' AND info LIKE 'SELECT SLEEP%'", it.my().name);
    let id = admin.number(&format!("SELECT id FROM information_schema.processlist WHERE {which}")).await;
    admin.execute_all(&format!("KILL {id}")).await;
    let error = task.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.outcome), (Code::TenantUnreachable, Outcome::Unknown));
    let mut again = it.open(1).await;
    assert_eq!(again.probe(&it.key("migrate:1", Half::Act)), Probe::NotApplied);
    assert_eq!(again.apply(&it.up("1", &["INSERT INTO a VALUES (1)"])).await.unwrap(), Applied::Now);
}

#[tokio::test]
async fn a_predecessor_that_cannot_be_ended_is_named() {
    let it = Subject::new(Kind::MariaDb).await;
    let as_super = conn_to("acme", &it.my().superuser_url, None).await;
    let theirs = open(&as_super, &it.opening(1)).await.unwrap();
    // A superuser's session: ours may not end it.
    let error = it.try_open(2).await.err().unwrap();
    assert_eq!((error.code(), error.failure.class), (Code::PredecessorAlive, ErrorClass::Permanent), "{error}");
    assert!(error.to_string().contains("connection "), "{error}");
    theirs.close().await;
    it.open(3).await.close().await;
}

#[tokio::test]
async fn two_workers_that_meet_at_a_fresh_database_leave_one_holder() {
    let it = Subject::new(Kind::MariaDb).await;
    let (one, two) = tokio::join!(it.try_open(1), it.try_open(2));
    if let Err(error) = one {
        assert!(matches!(error.code(), Code::TenantFenced | Code::TenantUnreachable), "{error}");
    }
    let mut two = two.unwrap();
    assert_eq!(two.apply(&it.up("1", &["INSERT INTO a VALUES (1)"])).await.unwrap(), Applied::Now);
}

#[tokio::test]
async fn ddl_in_a_unit_is_caught_and_nothing_says_that_it_was_applied() {
    let it = Subject::new(Kind::MariaDb).await;
    let mut session = it.open(1).await;
    for (version, more) in [("1", "SELECT 1"), ("2", "SELECT nothing FROM nowhere")] {
        let make = format!("CREATE TABLE ddl_{version} (id int PRIMARY KEY)");
        let error = session.apply(&it.up(version, &["INSERT INTO a VALUES (1)", &make, more])).await.unwrap_err();
        assert_eq!((error.code(), error.outcome), (Code::TransactionBroken, Outcome::Torn), "{error}");
    }
    assert_eq!(it.number("SELECT COUNT(*) FROM windlass_ledger").await, 0);
    assert!(session.in_force().is_empty());
}

#[tokio::test]
async fn a_table_that_does_not_roll_back_is_refused_before_anything_is_written() {
    let it = Subject::new(Kind::MariaDb).await;
    it.outside("CREATE TABLE old (id int) ENGINE = MyISAM").await;
    let mut session = it.open(1).await;
    let unit = it.up("1", &["INSERT INTO a VALUES (1)", "INSERT INTO old VALUES (1)"]);
    let error = session.apply(&unit).await.unwrap_err();
    assert_eq!((error.code(), error.outcome), (Code::NotTransactional, Outcome::NoEffect));
    assert_eq!(error.failure.statement, Some(2));
    assert!(error.to_string().contains("MyISAM"), "{error}");
    assert_eq!(it.number("SELECT (SELECT COUNT(*) FROM a) + (SELECT COUNT(*) FROM old)").await, 0);
}

#[tokio::test]
async fn a_statement_that_is_longer_than_the_server_takes_is_refused_before_it_is_sent() {
    let it = Subject::new(Kind::MariaDb).await;
    let longest = usize::try_from(it.number("SELECT @@max_allowed_packet").await).unwrap();
    let mut session = it.open(1).await;
    let of = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes - "SELECT ''".len()));
    session.apply(&it.up("1", &[&of(longest - 2)])).await.unwrap();
    let error = session.apply(&it.up("2", &["INSERT INTO a VALUES (1)", &of(longest - 1)])).await.unwrap_err();
    assert_eq!((error.code(), error.outcome, error.failure.statement), (Code::TooLarge, Outcome::NoEffect, Some(2)));
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
}

#[tokio::test]
async fn a_table_behind_a_trigger_that_does_not_roll_back_is_told_of_when_it_matters() {
    let it = Subject::new(Kind::MariaDb).await;
    it.outside(
        "CREATE TABLE old (id int) ENGINE = MyISAM; CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW INSERT INTO old VALUES (1)",
    )
    .await;
    let mut session = it.open(1).await;
    let unit = it.up("1", &["INSERT INTO a VALUES (1)", "INSERT INTO nowhere VALUES (1)"]);
    let error = session.apply(&unit).await.unwrap_err();
    assert_eq!((error.code(), error.outcome), (Code::TransactionBroken, Outcome::Torn), "{error}");
    assert_eq!(it.number("SELECT COUNT(*) FROM old").await, 1);
}

#[tokio::test]
async fn a_unit_runs_under_the_servers_own_modes_and_leaves_none_behind() {
    let it = Subject::new(Kind::MariaDb).await;
    let mut admin = shared().await.admin().await;
    it.outside("CREATE TABLE seen (what varchar(300) CHARACTER SET utf8mb4)").await;
    let mut session = it.open(1).await;
    let look = "INSERT INTO seen VALUES (CONCAT(@@sql_mode, '|', @@time_zone, '|', @@character_set_client))";
    session.apply(&it.up("1", &[look])).await.unwrap();
    let setting =
        it.up("2", &["SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "SET time_zone = '+03:00'", "USE mysql"]);
    // The app's user may not use that database: the unit fails after it has set what it has set.
    session.apply(&Unit { sets_session: SetsSession::Yes, ..setting }).await.unwrap_err();
    session.apply(&it.up("3", &[look])).await.unwrap();
    let own = admin.text("SELECT CONCAT(@@global.sql_mode, '|', @@global.time_zone, '|utf8mb4')").await;
    let seen = it.mariadb().await.text("SELECT GROUP_CONCAT(DISTINCT what) FROM seen").await;
    assert_eq!((seen, it.number("SELECT COUNT(*) FROM seen").await), (own, 2));
}

#[tokio::test]
async fn the_ledger_stays_where_it_is_when_a_migration_uses_another_database() {
    let it = Subject::new(Kind::MariaDb).await;
    let mut session = it.open(1).await;
    let unit = it.up("1", &["USE information_schema", "SELECT 1"]);
    session.apply(&Unit { fence: windlass::tenant::FenceState::Done, ..unit }).await.unwrap();
    assert_eq!(it.survey().await.in_force.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_reached_says_why_and_keeps_the_password() {
    let it = Subject::new(Kind::MariaDb).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = shared().await.port();
    for (url, code, class) in [
        (it.my().url.replace(APP_PASSWORD, "wr0ng-s3cret"), Code::TenantDenied, ErrorClass::Permanent),
        (it.my().url.replace(&port.to_string(), &closed.to_string()), Code::TenantUnreachable, ErrorClass::Transient),
        (it.my().url.replace(&it.my().name, "mysql"), Code::TenantDenied, ErrorClass::Permanent),
    ] {
        let conn = conn_to("acme", &url, None).await;
        let error = open(&conn, &it.opening(1)).await.err().unwrap();
        assert_eq!((error.code(), error.failure.class, error.outcome), (code, class, Outcome::NoEffect), "{error}");
        let told = format!("{error} {error:?} {conn:?}");
        assert!(!told.contains(APP_PASSWORD) && !told.contains("wr0ng-s3cret"), "{told}");
    }
    // Nor does a server's own message give it away.
    let mut session = it.open(1).await;
    let telling = format!("SELECT '{APP_PASSWORD}' FROM `{APP_PASSWORD}`");
    let error = session.apply(&it.up("1", &[&telling])).await.unwrap_err();
    assert!(error.to_string().contains("***") && !format!("{error:?}").contains(APP_PASSWORD), "{error:?}");
}

#[tokio::test]
async fn a_database_is_itself_by_any_url() {
    let it = Subject::new(Kind::MariaDb).await;
    let socket = shared().await.socket();
    let by_socket = format!("{}&socket={}", it.my().superuser_url, socket.display());
    let mut found = Vec::new();
    for url in [
        it.my().url.clone(),
        it.my().superuser_url.clone(),
        it.my().url.replace("mysql://", "mariadb://").replace("127.0.0.1", "localhost"),
        by_socket,
        shared().await.database().await.url,
    ] {
        found.push(survey(&conn_to("acme", &url, None).await, &surveying()).await.unwrap().identity);
    }
    let other = found.pop().unwrap();
    assert!(found.iter().all(|identity| *identity == found[0] && *identity != other), "{found:?} {other}");
}

#[tokio::test]
async fn what_was_applied_is_there_after_the_server_was_killed() {
    let mut server = PrivateMariaDb::start(Durability::Fsync).await;
    let db = server.database().await;
    let it = Subject::new(Kind::MariaDb).await;
    Admin(plain(&db.url).connect().await.unwrap()).execute_all("CREATE TABLE a (id int)").await;
    let mut session = open(&conn_to("acme", &db.url, None).await, &it.opening(1)).await.unwrap();
    session.apply(&it.up("1", &["INSERT INTO a VALUES (1)"])).await.unwrap();
    server.kill9();
    let lost = session.apply(&it.up("2", &["INSERT INTO a VALUES (2)"])).await.unwrap_err();
    assert_eq!((lost.outcome, lost.failure.class), (Outcome::Unknown, ErrorClass::Transient));
    server.restart().await;
    let again = open(&conn_to("acme", &server.url_of(&db.name), None).await, &it.opening(1)).await.unwrap();
    let in_force: Vec<_> = again.in_force().iter().map(|migration| migration.version.as_str()).collect();
    assert_eq!(in_force, ["1"]);
}

#[tokio::test]
async fn a_dump_is_the_same_after_the_server_was_killed_and_started_where_it_was() {
    let mut server = PrivateMariaDb::start(Durability::Fsync).await;
    let db = server.database().await;
    let mut app = Admin(plain(&db.url).connect().await.unwrap());
    app.execute_all("CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (7)").await;
    let before = server.dump(&db.name, &[]);
    assert!(before.contains("INSERT INTO `kept` VALUES\n(7);"), "{before}");
    assert!(!server.dump(&db.name, &["kept"]).contains("kept"), "a table that is left out is in the dump");
    server.kill9();
    server.restart_in_place().await;
    assert_eq!((server.url_of(&db.name), server.dump(&db.name, &[])), (db.url, before));
}

/// What the process of [`a_worker_that_was_killed_in_a_transaction_has_done_nothing`] does until it is killed.
#[tokio::test]
#[ignore = "a process of its own, started and killed by a test"]
async fn hangs_in_a_transaction_until_it_is_killed() {
    let (Ok(url), Ok(deploy)) = (std::env::var("WINDLASS_TEST_URL"), std::env::var("WINDLASS_TEST_DEPLOY")) else {
        return;
    };
    let it = Subject { deploy: deploy.parse().unwrap(), ..Subject::new(Kind::Sqlite).await };
    let mut session = open(&conn_to("acme", &url, None).await, &it.opening(1)).await.unwrap();
    let unit = it.up("1", &["INSERT INTO a VALUES (1)", "DO SLEEP(60)"]);
    panic!("it was not killed: {:?}", session.apply(&unit).await);
}

#[tokio::test]
async fn a_worker_that_was_killed_in_a_transaction_has_done_nothing() {
    let it = Subject::new(Kind::MariaDb).await;
    let mut worker = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tenant::mariadb::hangs_in_a_transaction_until_it_is_killed", "--ignored"])
        .envs([("WINDLASS_TEST_URL", &it.my().url), ("WINDLASS_TEST_DEPLOY", &it.deploy.to_string())])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let at_work = "FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%' AND db";
    let mut admin = shared().await.admin().await;
    admin.until(&format!("SELECT COUNT(*) {at_work} = '{}'", it.my().name)).await;
    worker.kill().unwrap();
    worker.wait().unwrap();
    // The server does not notice: the statement goes on, with the row in its hands.
    assert_eq!(admin.number(&format!("SELECT COUNT(*) {at_work} = '{}'", it.my().name)).await, 1);
    let mut later = it.open(2).await;
    assert_eq!(admin.number(&format!("SELECT COUNT(*) {at_work} = '{}'", it.my().name)).await, 0);
    assert_eq!(later.probe(&it.key("migrate:1", Half::Act)), Probe::NotApplied);
    later.apply(&it.up("1", &["INSERT INTO a VALUES (1)"])).await.unwrap();
    assert_eq!(it.number("SELECT COUNT(*) FROM a").await, 1);
}

#[tokio::test]
async fn a_catalog_on_mariadb_gives_tenants_and_cannot_be_written_to() {
    let it = Subject::new(Kind::MariaDb).await;
    it.outside(
        "CREATE TABLE tenants (id int, url varchar(200), plan varchar(20) CHARACTER SET utf8mb4, since date, seats decimal(5, 1));
         INSERT INTO tenants VALUES (7, 'postgres://app:hunter2@db/t7', 'prö', '2026-11-21', 2.5), (8, 'mysql://db/t8', NULL, NULL, 1)",
    )
    .await;
    let read = async |sql: &str| {
        let source = Source::Query { sql: sql.to_owned(), on: it.my().url.as_str().into(), url: None };
        source.read(&SecretResolver::new(Variables::Process), std::path::Path::new("/")).await
    };
    let tenants = read("SELECT * FROM tenants").await.unwrap();
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(ids, ["7", "8"]);
    let labels: Vec<_> = tenants[0].labels.values().map(String::as_str).collect();
    assert_eq!(labels, ["prö", "2.5", "2026-11-21"]);
    let error = read("DELETE FROM tenants").await.unwrap_err();
    assert!(error.to_string().contains("READ ONLY"), "{error}");
    assert!(!error.to_string().contains(APP_PASSWORD), "{error}");
    assert_eq!(it.number("SELECT COUNT(*) FROM tenants").await, 2);
}
