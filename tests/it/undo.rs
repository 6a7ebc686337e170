//! The undos that statements say of themselves, run on real servers: whatever prefix of a script has been carried out, they lead back
//! to where it began, and the dump of the database is what it was.

use std::fs;
use std::process::Command;

use windlass::release::{Dialect, Origin, StatementUndo, load, review};

use crate::support::{mariadb, postgres};

/// A statement, and its undo.
type Step = (String, Vec<String>);

/// The statements of a script, each with the undo that was derived for it. The last statement makes sure that it is stepwise.
fn steps(dialect: Dialect, script: &str, stepwise: &str) -> Vec<Step> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1_a.up.sql"), format!("{script};\n{stepwise};")).unwrap();
    let reviewed = review(&load(folder.path(), None).unwrap(), dialect).unwrap().remove(0);
    let undo_of = |undo: &Option<StatementUndo>| {
        let undo = undo.as_ref().unwrap_or_else(|| panic!("{script}: {:?}", reviewed.from_the_middle));
        assert_eq!(undo.origin, Origin::Derived);
        undo.statements.iter().map(|statement| statement.text.clone()).collect()
    };
    reviewed.up.iter().zip(&reviewed.undos).map(|(statement, undo)| (statement.text.clone(), undo_of(undo))).collect()
}

const MARIADB_BEFORE: &str = "CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(9) DEFAULT 'x', `c d` INT, KEY k (b));
    CREATE TABLE u (a INT, FOREIGN KEY (a) REFERENCES t (a)); INSERT INTO t VALUES (1, 'y', 2); INSERT INTO u VALUES (1)";

const MARIADB: [&str; 8] = [
    "CREATE TABLE n (a INT); CREATE UNIQUE INDEX j ON n (a); CREATE VIEW v AS SELECT a FROM n; CREATE SEQUENCE s",
    "CREATE TABLE `n;``m` LIKE t; ALTER TABLE `n;``m` ADD COLUMN `e f` INT NOT NULL FIRST; CREATE INDEX j ON `n;``m` (`e f`)",
    "ALTER TABLE t ADD e INT AFTER a, ADD UNIQUE KEY l (e), ADD CONSTRAINT h CHECK (e > 0), ALGORITHM=COPY",
    "ALTER TABLE t ADD CONSTRAINT l UNIQUE (b); ALTER TABLE t ADD FULLTEXT INDEX m (b), ADD KEY o USING BTREE (`c d`)",
    "ALTER TABLE t RENAME COLUMN b TO z, RENAME INDEX k TO kk; ALTER TABLE t RENAME COLUMN a TO id, ADD e INT",
    "ALTER TABLE t ADD e INT, RENAME TO w; RENAME TABLE w TO x, u TO t, x TO u; CREATE TABLE w (a INT)",
    "CREATE PROCEDURE p() BEGIN SELECT 1; END; CREATE FUNCTION f() RETURNS INT RETURN 1; CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM u",
    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.b = ';'; END; SET @a = 1; SELECT 1",
];

#[tokio::test]
async fn every_prefix_of_a_mariadb_script_is_taken_back_by_its_derived_undos() {
    let server = mariadb::shared().await;
    for script in MARIADB {
        let steps = steps(Dialect::Mysql, script, "ANALYZE TABLE t");
        for done in 0..=steps.len() {
            let db = server.database().await;
            let mut session = mariadb::Admin::to(&db).await;
            session.execute_all(MARIADB_BEFORE).await;
            let before = server.dump(&db.name, &[]);
            for (statement, _) in &steps[..done] {
                session.execute_all(statement).await;
            }
            for undo in steps[..done].iter().rev().flat_map(|(_, undo)| undo) {
                session.execute_all(undo).await;
            }
            assert_eq!(server.dump(&db.name, &[]), before, "{script}, after {done}");
        }
    }
}

const POSTGRES_BEFORE: &str = "CREATE SCHEMA s; CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'x', \"c d\" int);
    CREATE TABLE s.u (a int REFERENCES t (a)); CREATE INDEX k ON t (b); CREATE TYPE e AS ENUM ('a', 'b');
    CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; INSERT INTO t VALUES (1, 'y', 2)";

const POSTGRES: [&str; 7] = [
    "CREATE TABLE n (a int); CREATE UNIQUE INDEX CONCURRENTLY j ON n (a); CREATE VIEW v AS SELECT a FROM n; CREATE SEQUENCE q",
    "CREATE TABLE s.\"n;\" (a int); CREATE INDEX CONCURRENTLY \"J\" ON s.\"n;\" (a); CREATE INDEX l ON ONLY s.\"n;\" (a)",
    "ALTER TABLE t ADD COLUMN f serial, ADD g int DEFAULT 5 CHECK (g > 0), ADD CONSTRAINT h CHECK (f > 0) NOT VALID",
    "ALTER TABLE s.u ADD CONSTRAINT h FOREIGN KEY (a) REFERENCES t (a); ALTER TABLE t ADD CONSTRAINT l UNIQUE (b)",
    "ALTER TABLE t RENAME b TO z; ALTER TABLE s.u RENAME TO w; ALTER INDEX k RENAME TO \"K\"; ALTER TABLE t RENAME CONSTRAINT t_pkey TO p",
    "CREATE SCHEMA n; CREATE TYPE n.c AS (a int); CREATE DOMAIN d AS int; CREATE MATERIALIZED VIEW n.m AS SELECT a FROM t; ALTER TYPE e RENAME VALUE 'a' TO 'it''s'",
    "CREATE FUNCTION f(a int, OUT b text[]) LANGUAGE sql AS 'SELECT NULL::text[]'; CREATE PROCEDURE f(a text) LANGUAGE sql BEGIN ATOMIC SELECT 1; END; CREATE TRIGGER r BEFORE UPDATE OF a ON s.u FOR EACH ROW EXECUTE FUNCTION g()",
];

/// All definitions and rows.
fn dump(port: u16, database: &str) -> String {
    let mut dump = Command::new(postgres::program("pg_dump"));
    dump.args(["--host=127.0.0.1", "--username=postgres", &format!("--port={port}"), database]);
    let said = dump.env("PGPASSWORD", postgres::SUPERUSER_PASSWORD).env("PGSSLMODE", "disable").output().unwrap();
    assert!(said.status.success(), "pg_dump failed: {}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).unwrap();
    // Each dump has a key of its own, against what its rows might say to psql.
    let lines = text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_prefix_of_a_postgres_script_is_taken_back_by_its_derived_undos() {
    let server = postgres::shared().await;
    let untouched = server.database().await;
    postgres::Admin::to(&untouched).await.execute_all(POSTGRES_BEFORE).await;
    let before = dump(server.port(), &untouched.name);
    for script in POSTGRES {
        let steps = steps(Dialect::Postgres, script, "VACUUM t");
        for done in 0..=steps.len() {
            let db = server.database().await;
            let mut session = postgres::Admin::to(&db).await;
            session.execute_all(POSTGRES_BEFORE).await;
            for (statement, _) in &steps[..done] {
                session.execute_all(statement).await;
            }
            for undo in steps[..done].iter().rev().flat_map(|(_, undo)| undo) {
                session.execute_all(undo).await;
            }
            assert_eq!(dump(server.port(), &db.name), before, "{script}, after {done}");
        }
    }
}
