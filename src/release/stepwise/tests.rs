//! What statements need that commit by themselves, case by case.

use super::{Commit, Facts, Lives, Middle, Mode, Object, ObjectKind, Repeat, Touches, mode, reads_session, refusal};
use crate::release::Dialect::{self, Mysql, Postgres, Sqlite};
use crate::release::sql::{Statement, split};

fn statement(dialect: Dialect, text: &str) -> Statement {
    let mut found = split(dialect, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(found.len(), 1, "{text}");
    found.remove(0)
}

fn facts(dialect: Dialect, text: &str) -> Facts {
    super::facts(dialect, &statement(dialect, text))
}

fn object(kind: ObjectKind, name: &str) -> Object {
    let (schema, name) = name.split_once('.').map_or((None, name), |(schema, name)| (Some(schema.to_owned()), name));
    Object { kind, schema, name: name.to_owned() }
}

fn tables(names: &[&str]) -> Vec<Object> {
    names.iter().map(|name| object(ObjectKind::Table, name)).collect()
}

#[test]
fn a_script_is_stepwise_where_a_statement_commits_by_itself() {
    for (dialect, script, expected) in [
        (Postgres, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)", Mode::Transactional),
        (Postgres, "CREATE INDEX CONCURRENTLY i ON t (a)", Mode::Stepwise),
        (Postgres, "DROP INDEX CONCURRENTLY i", Mode::Stepwise),
        (Postgres, "REINDEX TABLE CONCURRENTLY t", Mode::Stepwise),
        (Postgres, "VACUUM t", Mode::Stepwise),
        (Postgres, "ALTER TABLE t DETACH PARTITION p CONCURRENTLY", Mode::Stepwise),
        (Postgres, "ALTER TYPE e ADD VALUE 'x'", Mode::Transactional),
        (Postgres, "ALTER TYPE e ADD VALUE 'x'; SELECT 'y'", Mode::Transactional),
        (Postgres, "ALTER TYPE e ADD VALUE IF NOT EXISTS 'x' AFTER 'w'; INSERT INTO t VALUES ('x')", Mode::Stepwise),
        (Postgres, "SELECT 'x'; ALTER TYPE s.e ADD VALUE 'x'", Mode::Transactional),
        (Postgres, "ALTER TYPE e ADD VALUE 'x'; ALTER TYPE e ADD VALUE 'y' AFTER 'x'", Mode::Transactional),
        (Postgres, "ALTER TYPE e ADD VALUE 'x'; DO $$ BEGIN INSERT INTO t VALUES ('x'); END $$", Mode::Stepwise),
        (Mysql, "INSERT INTO t VALUES (1); UPDATE t SET a = 2", Mode::Transactional),
        (Mysql, "INSERT INTO t VALUES (1); ALTER TABLE t ADD b INT", Mode::Stepwise),
        (Mysql, "SET @a = 1; SELECT 1", Mode::Transactional),
        (Mysql, "CALL p()", Mode::Stepwise),
        (Mysql, "", Mode::Transactional),
        (Sqlite, "CREATE TABLE t (a); PRAGMA user_version = 1", Mode::Transactional),
        (Sqlite, "VACUUM", Mode::Stepwise),
        (Sqlite, "PRAGMA journal_mode = WAL", Mode::Stepwise),
    ] {
        assert_eq!(mode(dialect, &split(dialect, script).unwrap()), expected, "{script}");
    }
}

#[test]
fn rows_share_a_transaction_with_their_outcome_and_change_no_definition() {
    for (dialect, text) in [
        (Mysql, "INSERT INTO t VALUES (1)"),
        (Mysql, "DELETE FROM t"),
        (Mysql, "SELECT 1"),
        (Postgres, "UPDATE t SET a = 1"),
        (Sqlite, "DELETE FROM t"),
    ] {
        let facts = facts(dialect, text);
        assert_eq!((facts.commit, facts.touches), (Commit::WithLedger, Touches::Objects(vec![])), "{text}");
    }
    assert_eq!(facts(Mysql, "CALL p()").touches, Touches::Unknown);
    assert_eq!(facts(Mysql, "CALL p()").repeat, Repeat::Harmful);
    assert_eq!(facts(Mysql, "CREATE TABLE /*!50001 t */ (a INT)").touches, Touches::Unknown);
}

#[test]
fn the_objects_are_those_whose_definition_changes() {
    use ObjectKind::{Event, Function, Procedure, Sequence, Trigger, View};
    for (text, expected) in [
        ("CREATE TABLE t (a INT)", tables(&["t"])),
        ("CREATE TABLE `d`.`a``b` LIKE u", tables(&["d.a`b"])),
        ("CREATE TABLE IF NOT EXISTS T (a INT)", tables(&["T"])),
        ("ALTER TABLE t ADD b INT, DROP c", tables(&["t"])),
        ("ALTER TABLE IF EXISTS t WAIT 5 ADD b INT", tables(&["t"])),
        ("ALTER TABLE t ADD b INT, RENAME TO u", tables(&["t", "u"])),
        ("ALTER TABLE t RENAME AS d.u", tables(&["t", "d.u"])),
        ("ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX i TO j", tables(&["t"])),
        ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", tables(&["t", "u"])),
        ("RENAME TABLE a TO b, c.d TO e", tables(&["a", "b", "c.d", "e"])),
        ("CREATE UNIQUE INDEX i USING BTREE ON t (a)", tables(&["t"])),
        ("DROP INDEX i ON t", tables(&["t"])),
        ("DROP TABLE IF EXISTS a, b.c CASCADE", tables(&["a", "b.c"])),
        ("TRUNCATE TABLE t", tables(&["t"])),
        ("ANALYZE TABLE t, u", tables(&[])),
        (
            "CREATE OR REPLACE ALGORITHM = MERGE DEFINER=`a`@`%` SQL SECURITY DEFINER VIEW v AS SELECT 1",
            vec![object(View, "v")],
        ),
        ("CREATE DEFINER=a@localhost PROCEDURE p() SELECT 1", vec![object(Procedure, "p")]),
        ("CREATE FUNCTION d.f() RETURNS INT RETURN 1", vec![object(Function, "d.f")]),
        ("CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW SET @a = 1", vec![object(Trigger, "g")]),
        ("ALTER EVENT e RENAME TO f", vec![object(Event, "e"), object(Event, "f")]),
        ("CREATE SEQUENCE s", vec![object(Sequence, "s")]),
        ("DROP VIEW v, w", vec![object(View, "v"), object(View, "w")]),
    ] {
        assert_eq!(facts(Mysql, text).touches, Touches::Objects(expected), "{text}");
        assert_eq!(facts(Mysql, text).commit, Commit::ByItself, "{text}");
    }
    for text in [
        "CREATE FUNCTION f RETURNS STRING SONAME 'f.so'",
        "CREATE USER u",
        "ALTER TABLE t CONVERT PARTITION p TO TABLE u",
    ] {
        assert_eq!(facts(Mysql, text).touches, Touches::Unknown, "{text}");
    }
}

#[test]
fn only_what_comes_to_the_same_may_be_repeated() {
    for (dialect, text) in [
        (Mysql, "ANALYZE TABLE t"),
        (Mysql, "OPTIMIZE TABLE t"),
        (Mysql, "CREATE OR REPLACE VIEW v AS SELECT 1"),
        (Mysql, "CREATE TABLE IF NOT EXISTS t (a INT)"),
        (Mysql, "CREATE INDEX IF NOT EXISTS i ON t (a)"),
        (Mysql, "DROP TABLE IF EXISTS t"),
        (Mysql, "ALTER TABLE t ADD COLUMN IF NOT EXISTS a INT, DROP KEY IF EXISTS k"),
        (Mysql, "ALTER TABLE t MODIFY a BIGINT, COMMENT = 'x', ALGORITHM = COPY"),
        (Mysql, "ALTER TABLE t ALTER COLUMN a SET DEFAULT 1"),
        (Mysql, "ALTER EVENT e DISABLE"),
        (Mysql, "GRANT SELECT ON t TO u"),
        (Mysql, "SET @a = 1"),
        (Mysql, "PREPARE s FROM @a"),
        (Postgres, "VACUUM FULL t"),
        (Postgres, "REINDEX (VERBOSE) INDEX CONCURRENTLY i"),
        (Postgres, "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)"),
        (Postgres, "DROP INDEX CONCURRENTLY IF EXISTS i"),
        (Postgres, "SET search_path = a"),
        (Postgres, "SELECT pg_catalog.set_config('search_path', '', false)"),
        (Sqlite, "VACUUM"),
        (Sqlite, "PRAGMA journal_mode = WAL"),
    ] {
        assert_eq!(facts(dialect, text).repeat, Repeat::Harmless, "{text}");
    }
    for (dialect, text) in [
        (Mysql, "CREATE TABLE t (a INT)"),
        (Mysql, "CREATE OR REPLACE TABLE t (a INT)"),
        (Mysql, "CREATE TABLE IF NOT EXISTS t SELECT 1"),
        (Mysql, "DROP TABLE t"),
        (Mysql, "TRUNCATE t"),
        (Mysql, "ALTER TABLE t ADD INDEX (a)"),
        (Mysql, "ALTER TABLE t ADD COLUMN IF NOT EXISTS a INT, ADD b INT"),
        (Mysql, "ALTER TABLE IF EXISTS t ADD b INT"),
        (Mysql, "ALTER TABLE t CHANGE a b INT"),
        (Mysql, "ALTER TABLE t CONVERT TABLE u TO PARTITION p VALUES LESS THAN (1)"),
        (Mysql, "RENAME TABLE a TO b"),
        (Mysql, "ALTER SEQUENCE s RESTART 5"),
        (Mysql, "SET @a = (SELECT MAX(a) FROM t)"),
        (Mysql, "CALL p()"),
        (Mysql, "FROBNICATE"),
        (Postgres, "CREATE INDEX CONCURRENTLY i ON t (a)"),
        (Postgres, "ALTER TABLE t DETACH PARTITION p CONCURRENTLY"),
    ] {
        assert_eq!(facts(dialect, text).repeat, Repeat::Harmful, "{text}");
    }
}

#[test]
fn what_a_killed_server_leaves_in_the_middle_is_told() {
    let index = |name| object(ObjectKind::Index, name);
    let table = |name| object(ObjectKind::Table, name);
    for (dialect, text, expected) in [
        (Mysql, "DROP TABLE a, b", Middle::DropSeveral { objects: tables(&["a", "b"]) }),
        (Mysql, "DROP TABLE a", Middle::None),
        (Mysql, "CREATE OR REPLACE TABLE t (a INT)", Middle::ReplaceTable { object: table("t") }),
        (Mysql, "CREATE OR REPLACE VIEW v AS SELECT 1", Middle::None),
        (Mysql, "RENAME TABLE a TO b, c TO d", Middle::None),
        (
            Postgres,
            "CREATE UNIQUE INDEX CONCURRENTLY \"I\" ON ONLY S.t (a)",
            Middle::InvalidIndex { index: Some(index("s.I")), table: Some(table("s.t")) },
        ),
        (Postgres, "CREATE INDEX CONCURRENTLY ON t (a)", Middle::InvalidIndex { index: None, table: Some(table("t")) }),
        (Postgres, "DROP INDEX CONCURRENTLY s.i", Middle::InvalidIndex { index: Some(index("s.i")), table: None }),
        (Postgres, "REINDEX INDEX CONCURRENTLY i", Middle::ReindexTwin { object: Some(index("i")) }),
        (Postgres, "REINDEX TABLE CONCURRENTLY t", Middle::ReindexTwin { object: Some(table("t")) }),
        (Postgres, "REINDEX SCHEMA CONCURRENTLY s", Middle::ReindexTwin { object: None }),
        (
            Postgres,
            "ALTER TABLE t DETACH PARTITION s.p CONCURRENTLY",
            Middle::DetachPending { parent: table("t"), partition: table("s.p") },
        ),
        (Sqlite, "VACUUM", Middle::None),
    ] {
        assert_eq!(facts(dialect, text).middle, expected, "{text}");
    }
}

#[test]
fn what_lives_in_the_session_is_lost_with_it() {
    for (dialect, text, expected) in [
        (Mysql, "SET @a = 1", Lives::Session),
        (Mysql, "PREPARE s FROM 'SELECT 1'", Lives::Session),
        (Mysql, "CREATE TEMPORARY TABLE t (a INT)", Lives::Session),
        (Mysql, "CALL p()", Lives::Unknown),
        (Mysql, "CREATE TABLE t (a INT)", Lives::Database),
        (Mysql, "INSERT INTO t VALUES (1)", Lives::Database),
        (Postgres, "SET search_path = a", Lives::Session),
        (Sqlite, "PRAGMA synchronous = OFF", Lives::Database),
        (Sqlite, "PRAGMA recursive_triggers = 1", Lives::Session),
    ] {
        assert_eq!(facts(dialect, text).lives, expected, "{text}");
    }
    for (text, reads) in [
        ("INSERT INTO t VALUES (@a)", true),
        ("EXECUTE s", true),
        ("SELECT @@version", false),
        ("INSERT INTO t VALUES ('@a')", false),
    ] {
        assert_eq!(reads_session(Mysql, &statement(Mysql, text)), reads, "{text}");
    }
}

#[test]
fn what_reaches_further_than_one_database_is_refused_in_every_mode() {
    for (dialect, text) in [
        (Postgres, "CREATE DATABASE d"),
        (Postgres, "DROP TABLESPACE s"),
        (Postgres, "ALTER SYSTEM SET work_mem = '1MB'"),
        (Postgres, "ALTER DATABASE d SET TABLESPACE s"),
        (Postgres, "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p"),
        (Postgres, "DISCARD ALL"),
        (Mysql, "CREATE DATABASE d"),
        (Mysql, "DROP SCHEMA d"),
        (Mysql, "ALTER DATABASE d CHARACTER SET utf8mb4"),
        (Mysql, "USE d"),
        (Mysql, "LOCK TABLES t READ"),
        (Mysql, "UNLOCK TABLES"),
        (Mysql, "FLUSH TABLES WITH READ LOCK"),
        (Mysql, "FLUSH TABLES t FOR EXPORT"),
        (Mysql, "SHUTDOWN"),
        (Mysql, "INSTALL PLUGIN p SONAME 'p.so'"),
        (Sqlite, "VACUUM INTO 'copy.db'"),
        (Sqlite, "PRAGMA foreign_keys = OFF"),
    ] {
        for mode in [Mode::Transactional, Mode::Stepwise] {
            assert!(refusal(dialect, mode, text).is_some(), "{text}");
        }
    }
    for (dialect, text) in [
        (Postgres, "ALTER DATABASE d SET work_mem = '1MB'"),
        (Postgres, "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (connect = false)"),
        (Postgres, "VACUUM"),
        (Mysql, "CREATE TABLE t (a INT)"),
        (Mysql, "FLUSH TABLES t"),
        (Mysql, "CREATE SPATIAL INDEX i ON t (a)"),
        (Sqlite, "PRAGMA foreign_keys"),
    ] {
        assert!(refusal(dialect, Mode::Stepwise, text).is_none(), "{text}");
    }
    for text in ["LOCK TABLE t", "SET LOCAL work_mem = '1MB'", "SET CONSTRAINTS ALL DEFERRED"] {
        assert!(refusal(Postgres, Mode::Stepwise, text).is_some(), "{text}");
        assert!(refusal(Postgres, Mode::Transactional, text).is_none(), "{text}");
    }
}
