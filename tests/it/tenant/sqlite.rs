//! What only SQLite can do: foreign keys that are off, one writer, files.

use std::time::Duration;

use windlass::base::{Code, Coded as _};
use windlass::saga::failure::ErrorClass;
use windlass::tenant::{Applied, Conn, ForeignKeys, Opening, Outcome, SetsSession, Unit, open, survey};

use super::subject::{Kind, Subject, conn_to, surveying};

async fn at(path: &std::path::Path) -> Conn {
    conn_to("acme", &format!("sqlite://{}", path.display()), None).await
}

#[tokio::test]
async fn a_table_is_rebuilt_without_a_cascade_and_a_row_that_points_nowhere_is_refused() {
    let it = Subject::new(Kind::Sqlite).await;
    it.outside(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent ON DELETE CASCADE);
         INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (10, 1), (20, 2);",
    )
    .await;
    let mut session = it.open(1).await;
    let rebuild = |rows: &str| Unit {
        foreign_keys: ForeignKeys::Checked,
        ..it.up(
            "1",
            &[
                "CREATE TABLE parent2 (id INTEGER PRIMARY KEY, name TEXT)",
                rows,
                "DROP TABLE parent",
                "ALTER TABLE parent2 RENAME TO parent",
            ],
        )
    };
    let lossy =
        session.apply(&rebuild("INSERT INTO parent2 (id) SELECT id FROM parent WHERE id = 1")).await.unwrap_err();
    assert_eq!((lossy.code(), lossy.outcome), (Code::ForeignKeyBroken, Outcome::NoEffect));
    assert!(lossy.to_string().contains("row 20 of child points to a row of parent"), "{lossy}");
    assert_eq!(it.number("SELECT count(*) FROM parent").await, 2);
    session.apply(&rebuild("INSERT INTO parent2 (id) SELECT id FROM parent")).await.unwrap();
    assert_eq!(it.number("SELECT count(*) FROM child").await, 2);
}

#[tokio::test]
async fn a_writer_that_is_at_work_makes_its_successor_wait_and_try_again() {
    let it = Subject::new(Kind::Sqlite).await;
    let mut earlier = it.open(1).await;
    let mut busy = it.sqlite().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut busy).await.unwrap();
    let hurried = Opening { lock_timeout: Duration::from_millis(20), ..it.opening(2) };
    let error = open(&it.conn, &hurried).await.err().unwrap();
    assert_eq!((error.code(), error.failure.class), (Code::PredecessorAlive, ErrorClass::Transient), "{error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut busy).await.unwrap();
    assert_eq!(earlier.apply(&it.up("1", &["CREATE TABLE a (id int)"])).await.unwrap(), Applied::Now);
    assert_eq!(open(&it.conn, &hurried).await.unwrap().in_force().len(), 1);
}

#[tokio::test]
async fn a_worker_that_is_let_go_of_in_a_long_statement_lets_go_of_the_file() {
    let it = Subject::new(Kind::Sqlite).await;
    let mut earlier = it.open(1).await;
    let endless = "INSERT INTO a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let unit = it.up("1", &["CREATE TABLE a (id int)", endless]);
    let at_work = tokio::spawn(async move { earlier.apply(&unit).await });
    // At work: nobody else can write.
    let mut other = it.sqlite().await;
    sqlx::raw_sql("PRAGMA busy_timeout = 0").execute(&mut other).await.unwrap();
    while sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut other).await.is_ok() {
        assert!(!at_work.is_finished(), "it ended by itself");
        tokio::task::yield_now().await;
    }
    at_work.abort();
    // Well within the half minute that the statement may take.
    let later = Opening { lock_timeout: Duration::from_secs(10), ..it.opening(2) };
    assert!(open(&it.conn, &later).await.unwrap().in_force().is_empty());
}

#[tokio::test]
async fn a_setting_does_not_outlive_its_migration_and_the_journal_stays_as_it_was() {
    let it = Subject::new(Kind::Sqlite).await;
    it.outside("PRAGMA journal_mode = WAL").await;
    let mut session = it.open(1).await;
    let setting = it.up("1", &["PRAGMA recursive_triggers = ON", "CREATE TABLE a (id int)"]);
    session.apply(&Unit { sets_session: SetsSession::Yes, ..setting }).await.unwrap();
    let after = it.up("2", &["CREATE TABLE b AS SELECT recursive_triggers AS set_to FROM pragma_recursive_triggers"]);
    session.apply(&after).await.unwrap();
    assert_eq!(it.number("SELECT set_to FROM b").await, 0);
    assert_eq!(it.number("SELECT journal_mode = 'wal' FROM pragma_journal_mode").await, 1);
}

#[tokio::test]
async fn a_file_is_itself_by_any_path() {
    let it = Subject::new(Kind::Sqlite).await;
    let (file, other) = (it.file(), it.file().with_file_name("other.db"));
    let link = file.with_file_name("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    std::fs::write(&other, b"").unwrap();
    let mut found = Vec::new();
    for path in [&file, &link, &other] {
        found.push(survey(&at(path).await, &surveying()).await.unwrap().identity);
    }
    assert_eq!(found[0], found[1]);
    assert_ne!(found[0], found[2]);
}

#[tokio::test]
async fn what_is_no_database_says_so() {
    let it = Subject::new(Kind::Sqlite).await;
    std::fs::write(it.file(), "This is a letter, not a database. ".repeat(100)).unwrap();
    let errors = [
        open(&it.conn, &it.opening(1)).await.err().unwrap(),
        survey(&it.conn, &surveying()).await.unwrap_err(),
        survey(&at(it.file().parent().unwrap()).await, &surveying()).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.code(), error.failure.class), (Code::TenantUnreachable, ErrorClass::Permanent), "{error}");
        assert!(error.to_string().contains("not a"), "{error}");
    }
}
