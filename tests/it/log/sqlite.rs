//! What only the log in an SQLite file can do, or suffer.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection};
use windlass::base::{Coded as _, SystemClock};
use windlass::log::{AppendError, Claim, CreateError, Log as _, LogError, SqliteLog, SqliteOptions};
use windlass::saga::event::StreamId;
use windlass::saga::summary::TenantStatus;

use super::bench::*;

/// A connection beside the log's own: another process, or somebody with a tool.
async fn beside(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn run(path: &Path, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut beside(path).await).await.unwrap();
}

async fn open(path: &Path) -> Result<SqliteLog, LogError> {
    SqliteLog::open(path, Arc::new(SystemClock)).await
}

/// A log on which a deploy with these tenants is open and all of them claimed.
async fn claimed(log: &SqliteLog, fleet: &str, tenants: usize) -> Vec<Claim> {
    let new = new_deploy(fleet, (0..tenants).map(|index| new_tenant(&format!("t{index:03}"))).collect());
    let id = new.id;
    log.create_deploy(new).await.unwrap();
    let wave = windlass::saga::event::DeployEvent::WaveOpened { stage: 0, wave: 0 };
    log.append(append_to_deploy(id, 1, wave)).await.unwrap();
    log.claim(id, &worker("w"), tenants, LEASE).await.unwrap().tenants
}

fn start(claim: &Claim, seen: u64) -> windlass::log::Append {
    append_for(claim, seen, started(), TenantStatus::Running)
}

/// What is wrong with a file that cannot be opened; the file, and the folder around it, are as they were.
async fn refusal(path: &Path) -> LogError {
    let files = |path: &Path| std::fs::read_dir(path.parent().unwrap()).map_or(0, Iterator::count);
    let before = (std::fs::read(path).ok(), files(path));
    let error = open(path).await.err().unwrap();
    let existing = SqliteLog::open_existing(path, Arc::new(SystemClock)).await.err().unwrap();
    assert_eq!(existing.code(), error.code());
    assert_eq!((std::fs::read(path).ok(), files(path)), before, "something was touched");
    error
}

#[tokio::test]
async fn a_file_that_is_not_a_log_is_refused_untouched() {
    let (_folder, path) = folder();
    std::fs::write(&path, "dear diary, ".repeat(100)).unwrap();
    assert!(refusal(&path).await.to_string().contains("is not a database"));

    std::fs::remove_file(&path).unwrap();
    run(&path, "CREATE TABLE customers (id INTEGER)").await;
    assert!(refusal(&path).await.to_string().contains("a database of something else"));

    let nowhere = path.with_file_name("no-such-folder").join("windlass.db");
    assert!(refusal(&nowhere).await.to_string().contains("no-such-folder does not exist"));
}

#[tokio::test]
async fn a_log_that_is_not_there_is_made_only_where_asked() {
    let (_folder, path) = folder();
    let error = SqliteLog::open_existing(&path, Arc::new(SystemClock)).await.err().unwrap();
    assert!(matches!(&error, LogError::Unavailable { reason, .. } if reason.contains("no such file")));
    assert!(!path.exists());
    let made = open(&path).await.unwrap();
    assert_eq!(made.url(), format!("sqlite://{}", path.display()));
    let found = SqliteLog::open_existing(&path, Arc::new(SystemClock)).await.unwrap();
    assert_eq!(found.id(), made.id());
}

#[tokio::test]
async fn a_log_of_a_newer_format_is_refused_untouched() {
    let (_folder, path) = folder();
    drop(open(&path).await.unwrap());
    // Back out of write-ahead mode, so that all there is stands in one file.
    run(&path, "UPDATE meta SET format = 3; PRAGMA journal_mode = DELETE").await;
    assert!(matches!(refusal(&path).await, LogError::Newer { found: 3, known: 2, .. }));
}

/// Everything that is in a log's file, tables and rows.
async fn dump(path: &Path) -> (u32, Vec<(String, Option<String>)>, Vec<(String, Vec<u8>)>) {
    let mut connection = beside(path).await;
    let format = sqlx::query_scalar("SELECT format FROM meta").fetch_one(&mut connection).await.unwrap();
    let schema = "SELECT name, sql FROM sqlite_schema ORDER BY name";
    let schema = sqlx::query_as(schema).fetch_all(&mut connection).await.unwrap();
    let events = "SELECT body, hash FROM events ORDER BY position";
    (format, schema, sqlx::query_as(events).fetch_all(&mut connection).await.unwrap())
}

/// As the first Windlass made it.
async fn old_log(path: &Path) {
    run(path, "PRAGMA application_id = 1464747084").await;
    run(path, include_str!("../../../migrations/sqlite/0001_log.sql")).await;
    run(path, "INSERT INTO meta VALUES (1, 1, '01890a5d-ac96-774b-bcce-b302099a8057', 0)").await;
}

/// Makes a log of format 1 again of one that was raised.
const AS_IT_WAS: &str = "DROP TABLE requests; DROP TABLE deliveries; DROP TABLE revisions; DROP TABLE releases; DROP TABLE tokens; \
    DROP TABLE reports; DROP TABLE servers; UPDATE meta SET format = 1";

#[tokio::test]
async fn a_log_of_an_older_format_is_raised_when_it_is_opened_and_keeps_what_is_in_it() {
    let (_folder, path) = folder();
    old_log(&path).await;
    let log = open(&path).await.unwrap();
    claimed(&log, "f", 3).await;
    drop(log);
    let (_, whole, _) = dump(&path).await;
    run(&path, AS_IT_WAS).await;
    let (before, old_schema, events) = dump(&path).await;
    assert_eq!((before, events.len()), (1, 5));
    assert_ne!(old_schema, whole);
    let log = SqliteLog::open_existing(&path, Arc::new(SystemClock)).await.unwrap();
    assert_eq!(log.id().to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
    assert_eq!(dump(&path).await, (2, whole.clone(), events));
    let deploy = log.deploys(None, 1).await.unwrap().remove(0);
    assert!(!deploy.summary.paused);
    log.append(append_to_deploy(deploy.id, 2, paused())).await.unwrap();
    assert!(log.deploy(deploy.id).await.unwrap().summary.paused);

    // One that is made now has the same tables.
    let (_other, new) = folder();
    open(&new).await.unwrap();
    let (format, schema, _) = dump(&new).await;
    assert_eq!((format, schema), (2, whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_find_an_old_log_raise_it_between_them() {
    let (_folder, path) = folder();
    old_log(&path).await;
    let opened = join_all((0..8).map(|_| {
        tokio::spawn({
            let path = path.clone();
            async move { open(&path).await.unwrap() }
        })
    }));
    let logs: Vec<_> = opened.await.into_iter().map(Result::unwrap).collect();
    assert_eq!((logs.len(), dump(&path).await.0), (8, 2));
}

#[tokio::test]
async fn a_log_that_is_not_wholly_raised_is_as_it_was() {
    let (_folder, path) = folder();
    old_log(&path).await;
    // Somebody else writes for longer than is waited, or dies at it.
    let mut other = beside(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE; UPDATE meta SET format = 2").execute(&mut other).await.unwrap();
    drop(other);
    assert_eq!(dump(&path).await.0, 1);
    open(&path).await.unwrap();
    assert_eq!(dump(&path).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_find_no_log_make_one_between_them() {
    let (_folder, path) = folder();
    let opened = join_all((0..8).map(|_| {
        tokio::spawn({
            let path = path.clone();
            async move { open(&path).await.unwrap().id() }
        })
    }));
    let mut ids: Vec<_> = opened.await.into_iter().map(Result::unwrap).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn whatever_is_changed_in_the_file_is_found_by_reading() {
    let second = "tenant = (SELECT key FROM tenants WHERE tenant = 't000') AND seq = 2";
    let tampering = [
        (format!("UPDATE events SET body = replace(body, '\"w\"', '\"v\"') WHERE {second}"), "event 2 is not the one"),
        (format!("UPDATE events SET hash = zeroblob(32) WHERE {second}"), "event 2 is not the one"),
        (format!("DELETE FROM events WHERE {second}"), "event 2 is missing"),
        (format!("UPDATE events SET seq = 0 WHERE {second}"), "event 1 is missing"),
        ("DELETE FROM events WHERE seq = 4".to_owned(), "event 4 is missing"),
        ("UPDATE tenants SET last_seq = 3 WHERE tenant = 't000'".to_owned(), "event 4 is there"),
        ("DELETE FROM events WHERE seq = 4; UPDATE tenants SET last_seq = 3".to_owned(), "event 3 is not the one"),
        (
            "UPDATE events SET seq = -seq WHERE seq IN (2, 3); UPDATE events SET seq = 5 + seq WHERE seq < 0"
                .to_owned(),
            "event 2 is not the one",
        ),
    ];
    for (sql, found) in tampering {
        let (_folder, path) = folder();
        let log = open(&path).await.unwrap();
        let claim = claimed(&log, "f", 1).await.remove(0);
        for seen in 1..=3 {
            log.append(windlass::log::Append { by: worker("w"), ..start(&claim, seen) }).await.unwrap();
        }
        assert_eq!(log.read(&claim.stream).await.unwrap().len(), 4);
        run(&path, &sql).await;
        let error = log.read(&claim.stream).await.unwrap_err();
        let LogError::Corrupt { place, reason } = &error else { panic!("{sql}: {error}") };
        assert!(reason.contains(found), "{sql}: {reason}");
        assert_eq!(place, &claim.stream.to_string());
        // The auditor still sees what is there; and nobody is given a tenant whose stream cannot be trusted.
        assert_eq!(log.raw(claim.stream.deploy).await.unwrap().len(), 2);
        run(&path, "UPDATE tenants SET lease_until = 0").await;
        assert!(log.claim(claim.stream.deploy, &worker("v"), 1, LEASE).await.is_err());
    }
}

#[tokio::test]
async fn an_altered_blob_is_found_by_reading() {
    let (_folder, path) = folder();
    let log = open(&path).await.unwrap();
    claimed(&log, "f", 0).await;
    run(&path, "UPDATE blobs SET bytes = CAST('other' AS BLOB)").await;
    assert!(matches!(log.blob(&digest("plan")).await, Err(LogError::BlobAltered { .. })));
}

#[tokio::test]
async fn a_full_disk_loses_nothing_acknowledged_and_is_got_over() {
    let (_folder, path) = folder();
    let ballast = open(&path).await.unwrap();
    let claims = claimed(&ballast, "f", 8).await;
    drop(ballast);
    run(&path, "CREATE TABLE ballast AS SELECT zeroblob(1000000) AS bytes").await;
    let pages: u32 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut beside(&path).await).await.unwrap();
    let settings = SqliteOptions { pages_max: Some(pages + 10) };
    let log = SqliteLog::open_with(&path, settings, Arc::new(SystemClock)).await.unwrap();

    let mut acknowledged = vec![1_u64; claims.len()];
    let mut refused = 0;
    while refused == 0 {
        let appends = claims.iter().zip(&acknowledged).map(|(claim, seen)| log.append(start(claim, *seen)));
        let answers = join_all(appends).await;
        for (seen, answer) in acknowledged.iter_mut().zip(answers) {
            match answer {
                Ok(length) => *seen = length.0,
                Err(AppendError::Log(LogError::Full { .. })) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(acknowledged[0] < 1_000, "the file does not fill");
    }
    let mut large = new_deploy("g", vec![new_tenant("a")]);
    large.blobs = vec![windlass::log::Blob::new(vec![7; 500_000])];
    let answer = log.create_deploy(large.clone()).await;
    assert!(matches!(answer, Err(CreateError::Log(LogError::Full { .. }))));
    assert!(matches!(log.deploy(large.id).await, Err(LogError::DeployUnknown { .. })));
    for (claim, seen) in claims.iter().zip(&acknowledged) {
        assert_eq!(log.read(&claim.stream).await.unwrap().len() as u64, *seen);
    }

    run(&path, "DROP TABLE ballast").await;
    for (claim, seen) in claims.iter().zip(&acknowledged) {
        assert_eq!(log.append(start(claim, *seen)).await.unwrap().0, seen + 1);
    }
    log.create_deploy(large).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_to_one_file() {
    let (_folder, path) = folder();
    let (left, right) = (Arc::new(open(&path).await.unwrap()), Arc::new(open(&path).await.unwrap()));
    let claims = claimed(&left, "f", 12).await;
    let deploy = claims[0].stream.deploy;
    let drive = |log: Arc<SqliteLog>, claim: Claim| async move {
        for seen in 1..=25 {
            log.append(start(&claim, seen)).await.unwrap();
        }
    };
    let halves = [&left, &right].into_iter().cycle();
    let tasks = claims.iter().cloned().zip(halves).map(|(claim, log)| tokio::spawn(drive(log.clone(), claim)));
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let third = SqliteLog::open_existing(&path, Arc::new(SystemClock)).await.unwrap();
    for claim in &claims {
        assert_eq!(third.read(&claim.stream).await.unwrap().len(), 26);
    }
    assert_eq!(third.tail(deploy, 0, 10_000).await.unwrap().len(), 2 + 12 * 26);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_wait_together_share_a_commit() {
    let (_folder, path) = folder();
    let log = open(&path).await.unwrap();
    let claims = claimed(&log, "f", 200).await;
    let before = log.commits();
    let mut lock = beside(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    // While the lock is held elsewhere, all of them come to wait: the first alone, perhaps, and the rest behind it.
    let appends = join_all(claims.iter().map(|claim| log.append(start(claim, 1))));
    let unlock = async { sqlx::raw_sql("COMMIT").execute(&mut lock).await.unwrap() };
    let (answers, _) = tokio::join!(appends, unlock);
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert!(log.commits() - before <= 2, "{} commits for 200 appends", log.commits() - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_append_does_not_spoil_its_group() {
    let (_folder, path) = folder();
    let log = open(&path).await.unwrap();
    let claims = claimed(&log, "f", 3).await;
    let mut lock = beside(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    let stale = start(&claims[1], 7);
    let unknown = windlass::log::Append {
        stream: StreamId::tenant(claims[0].stream.deploy, tenant_id("nobody")),
        ..start(&claims[0], 1)
    };
    let twice = [start(&claims[2], 1), start(&claims[2], 2)];
    let group = [start(&claims[0], 1), stale, unknown].into_iter().chain(twice);
    let appends = join_all(group.map(|append| log.append(append)));
    let unlock = async { sqlx::raw_sql("COMMIT").execute(&mut lock).await.unwrap() };
    let (answers, _) = tokio::join!(appends, unlock);
    assert!(matches!(
        answers.as_slice(),
        [Ok(_), Err(AppendError::Stale { .. }), Err(AppendError::Log(LogError::TenantUnknown { .. })), Ok(_), Ok(_)]
    ));
    assert_eq!(log.read(&claims[2].stream).await.unwrap().len(), 3);
}
