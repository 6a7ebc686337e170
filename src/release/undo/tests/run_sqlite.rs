//! Derived undos, run: whatever prefix of a script has been carried out, its undos in reverse lead back.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::{Derived, derive};
use crate::release::Dialect::Sqlite;
use crate::release::sql::split;

const BEFORE: &str = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, \"c d\" INT CHECK (\"c d\" > 0));
    CREATE TABLE u (a INT REFERENCES t (a)); CREATE INDEX i ON t (b); CREATE VIEW v AS SELECT a, b FROM t;
    CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE u SET a = new.a; END;
    INSERT INTO t VALUES (1, 'x', 2); INSERT INTO u VALUES (1);";

const CASES: [&str; 10] = [
    "CREATE TABLE n (a INT); CREATE INDEX j ON n (a); CREATE VIEW w AS SELECT a FROM n; SELECT 1",
    "CREATE TABLE main.\"n;\" (a INT); CREATE UNIQUE INDEX main.\"j'\" ON \"n;\" (a); ALTER TABLE main.\"n;\" ADD COLUMN [b c] INT",
    "CREATE TABLE main.[n o] (a INT); ALTER TABLE [n o] ADD `b``c` INT; CREATE INDEX j ON [n o] (`b``c`)",
    "ALTER TABLE t ADD COLUMN e INT DEFAULT 5; ALTER TABLE t ADD f REFERENCES u (a); CREATE INDEX j ON t (e)",
    "ALTER TABLE t ADD COLUMN e INT CHECK (e > 0); ALTER TABLE t ADD COLUMN f AS (a + 1)",
    "ALTER TABLE t RENAME TO x; ALTER TABLE x RENAME TO y; ALTER TABLE y RENAME COLUMN b TO z; CREATE TABLE t (a INT)",
    "ALTER TABLE main.t RENAME COLUMN \"c d\" TO \"TO\"; ALTER TABLE t RENAME a TO k",
    "CREATE TRIGGER h AFTER DELETE ON t BEGIN DELETE FROM u; SELECT 1; END; CREATE TRIGGER main.k INSTEAD OF DELETE ON v BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE n USING fts5(a); CREATE TABLE o AS SELECT * FROM t; CREATE TABLE p (a INT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TEMP TABLE n (a); CREATE TABLE o (a)",
];

/// All definitions and the rows of the tables from before. Renaming writes names anew, in double quotes.
async fn state(session: &mut SqliteConnection) -> Vec<String> {
    let schema =
        "SELECT type || name || tbl_name || replace(sql, '\"', '') FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1";
    let rows = "SELECT quote(a) || quote(b) || quote(\"c d\") FROM t UNION ALL SELECT quote(a) FROM u";
    let mut state = Vec::new();
    for query in [schema, rows] {
        for row in session.fetch_all(query).await.unwrap() {
            state.push(row.get::<String, _>(0));
        }
    }
    state
}

#[tokio::test]
async fn every_prefix_of_a_script_is_taken_back_by_the_undos_of_its_statements() {
    for case in CASES {
        let statements = split(Sqlite, case).unwrap();
        for done in 0..=statements.len() {
            let mut session = SqliteConnection::connect("sqlite::memory:").await.unwrap();
            session.execute(BEFORE).await.unwrap();
            let before = state(&mut session).await;
            for statement in &statements[..done] {
                session
                    .execute(AssertSqlSafe(statement.text.clone()))
                    .await
                    .unwrap_or_else(|error| panic!("{case}: {error}"));
            }
            for statement in statements[..done].iter().rev() {
                match derive(Sqlite, statement) {
                    Derived::Nothing => {}
                    Derived::Statement(undo) => {
                        let ran = session.execute(AssertSqlSafe(undo.clone())).await;
                        assert!(ran.is_ok(), "{case}: {undo}: {ran:?}");
                    }
                    Derived::None(reason) => panic!("{case}: {}: {reason:?}", statement.text),
                }
            }
            assert_eq!(state(&mut session).await, before, "{case}, after {done}");
        }
    }
}
