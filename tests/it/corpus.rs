//! What a server accepts as one statement is one statement to the splitter: `tests/corpus/<dialect>/*.sql`, judged by the servers.
//!
//! A line `%%` stands between two cases. On `PostgreSQL` and `MariaDB` a case is prepared and not run, so that it may speak of what is
//! not there: only a syntax error counts, and in one message for preparing, a second statement is one. `SQLite` runs it, in a
//! database of its own, and says how many statements that were.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use futures_util::TryStreamExt as _;
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _};

use crate::support::{mariadb, postgres};
use windlass::release::Dialect;
use windlass::release::sql::split;

/// Fewer would be no corpus.
const CASES_MIN: usize = 150;

/// The cases of a dialect, each with the file that it is from.
fn cases(dialect: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(dialect);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        cases.extend(text.split("\n%%\n").map(|case| (name.clone(), case.trim_end_matches('\n').to_owned())));
    }
    assert!(cases.len() >= CASES_MIN, "{dialect}: {} cases", cases.len());
    cases
}

/// The one statement that a case is, by the splitter; also with another statement behind it.
fn one(dialect: Dialect, file: &str, case: &str) -> String {
    let mut alone = split(dialect, case).unwrap_or_else(|error| panic!("{file}: {case}: {error}"));
    assert_eq!(alone.len(), 1, "{file}: {case}: {alone:?}");
    let statement = alone.remove(0).text;
    let followed = split(dialect, &format!("{case}\n;SELECT 'next'")).unwrap();
    let texts: Vec<_> = followed.iter().map(|found| found.text.as_str()).collect();
    assert_eq!(texts, [statement.as_str(), "SELECT 'next'"], "{file}: {case}");
    statement
}

/// What `PostgreSQL` has against the syntax of `text` as one statement.
async fn postgres_refusal(session: &mut PgConnection, text: &str) -> Option<String> {
    let error = session.prepare(AssertSqlSafe(text.to_owned()).into_sql_str()).await.err()?;
    let refused = error.as_database_error().unwrap_or_else(|| panic!("{text}: {error}"));
    (refused.code().as_deref() == Some("42601")).then(|| refused.to_string())
}

#[tokio::test]
async fn what_postgres_accepts_as_one_statement_is_one_statement() {
    let db = postgres::shared().await.database().await;
    let mut session = PgConnection::connect(&db.url).await.unwrap();
    let mut wrong = Vec::new();
    for (file, case) in cases("postgres") {
        let statement = one(Dialect::Postgres, &file, &case);
        wrong.extend(postgres_refusal(&mut session, &statement).await.map(|said| format!("{file}: {case}\n  {said}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The judge itself: two are one too many.
    let two = postgres_refusal(&mut session, "SELECT 1; SELECT 2").await;
    assert!(two.is_some_and(|said| said.contains("multiple commands")));
}

/// What `MariaDB` has against the syntax of `text` as one statement.
async fn mariadb_refusal(session: &mut MySqlConnection, text: &str) -> Option<String> {
    let error = session.prepare(AssertSqlSafe(text.to_owned()).into_sql_str()).await.err()?;
    let refused = error.as_database_error().unwrap_or_else(|| panic!("{text}: {error}"));
    let number = refused.downcast_ref::<sqlx::mysql::MySqlDatabaseError>().number();
    // ER_PARSE_ERROR, ER_EMPTY_QUERY.
    [1064, 1065].contains(&number).then(|| refused.to_string())
}

#[tokio::test]
async fn what_mariadb_accepts_as_one_statement_is_one_statement() {
    let db = mariadb::shared().await.database().await;
    let mut session = mariadb::Admin::to(&db).await.0;
    let mut wrong = Vec::new();
    for (file, case) in cases("mysql") {
        let statement = one(Dialect::Mysql, &file, &case);
        wrong.extend(mariadb_refusal(&mut session, &statement).await.map(|said| format!("{file}: {case}\n  {said}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(mariadb_refusal(&mut session, "SELECT 1; SELECT 2").await.is_some());
}

const SQLITE_SCHEMA: &str = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c INT, \"d;\" TEXT);
    CREATE TABLE u (a INT, b TEXT UNIQUE); CREATE TABLE \"w x\" (\"y;z\" TEXT); CREATE INDEX i ON t (b);
    CREATE VIEW v AS SELECT a, b FROM t; CREATE VIEW v2 AS SELECT a, b FROM t;
    CREATE TRIGGER g AFTER INSERT ON u BEGIN SELECT 1; END;
    CREATE TRIGGER g1 INSTEAD OF INSERT ON v2 BEGIN INSERT INTO t (a, b) VALUES (new.a, new.b); END;
    CREATE TRIGGER g2 INSTEAD OF UPDATE ON v2 BEGIN UPDATE t SET b = new.b WHERE a = old.a; END;
    CREATE TRIGGER g3 INSTEAD OF DELETE ON v2 BEGIN DELETE FROM t WHERE a = old.a; END;
    INSERT INTO t VALUES (1, 'x', 2, ';'), (2, ';', NULL, NULL);";

/// How many statements `SQLite` ran.
async fn ran_by_sqlite(session: &mut SqliteConnection, text: &str) -> Result<usize, sqlx::Error> {
    let answers: Vec<_> = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).fetch_many(session).try_collect().await?;
    Ok(answers.iter().filter(|answer| answer.is_left()).count())
}

#[tokio::test]
async fn what_sqlite_runs_as_one_statement_is_one_statement() {
    let mut wrong = Vec::new();
    for (file, case) in cases("sqlite") {
        let statement = one(Dialect::Sqlite, &file, &case);
        let mut session = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        session.execute(SQLITE_SCHEMA).await.unwrap();
        match ran_by_sqlite(&mut session, &statement).await {
            Ok(1) => {}
            other => wrong.push(format!("{file}: {case}\n  {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut session = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    assert_eq!(ran_by_sqlite(&mut session, "SELECT 1; SELECT 2").await.unwrap(), 2);
}

/// What the `mysql` client, given this script, says that it sends: each statement, and what stands around it.
fn sent_by_client(port: u16, database: &str, script: &str) -> Vec<String> {
    let mut client = Command::new(mariadb::program("mariadb"));
    client.args(["--no-defaults", "--user=super", "--host=127.0.0.1", "--skip-ssl", "--verbose", "--comments"]);
    client.arg(format!("--port={port}")).arg(database).env("MYSQL_PWD", mariadb::SUPERUSER_PASSWORD);
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success(), "{script}: {}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    // `--------------`, the statement, `--------------`, an empty line, its answer. A comment on a line of its own is told as well.
    let sent = said.split("--------------\n").skip(1).step_by(2).map(str::trim);
    let is_comment = |sent: &&str| !sent.contains('\n') && (sent.starts_with("--") || sent.starts_with('#'));
    sent.filter(|sent| !is_comment(sent)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_script_with_delimiters_is_split_where_the_mysql_client_splits_it() {
    let server = mariadb::shared().await;
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/mysql-client/routines.sql");
    for script in fs::read_to_string(file).unwrap().split("\n%%\n") {
        let db = server.database().await;
        let sent = sent_by_client(server.port(), &db.name, script);
        let found: Vec<_> = split(Dialect::Mysql, script).unwrap().into_iter().map(|found| found.text).collect();
        assert_eq!(sent.len(), found.len(), "{script}\n{sent:#?}\n{found:#?}");
        for (sent, found) in sent.iter().zip(&found) {
            // The client sends the comments around a statement too, and a semicolon before another delimiter.
            assert_eq!(one(Dialect::Mysql, "sent by the client", sent.trim_end_matches(';')), *found);
        }
    }
}
