//! What `SQLite`'s statements are.

use crate::release::sql::{Class, Control, Dialect, Kind, Loss, SessionState, Transactional, classify};

fn class(statement: &str) -> Class {
    classify(Dialect::Sqlite, statement)
}

#[test]
fn what_a_transaction_refuses_or_swallows_is_not_transactional() {
    for (statement, why) in [
        ("VACUUM", "refuses"),
        ("VACUUM main INTO 'copy.db'", "refuses"),
        ("PRAGMA wal_checkpoint", "refuses"),
        ("PRAGMA wal_checkpoint(TRUNCATE)", "refuses"),
        ("PRAGMA synchronous = OFF", "refuses"),
        ("PRAGMA foreign_keys = OFF", "silently"),
        ("pragma main.Foreign_Keys(0)", "silently"),
        ("PRAGMA journal_mode=WAL", "silently"),
        ("PRAGMA \"auto_vacuum\" = 1", "silently"),
        ("PRAGMA page_size = 4096", "silently"),
        ("PRAGMA encoding = 'UTF-16'", "silently"),
    ] {
        match class(statement).transactional {
            Transactional::No { reason } => assert!(reason.contains(why), "{statement}: {reason}"),
            Transactional::Yes => panic!("{statement}"),
        }
    }
    for statement in [
        "PRAGMA foreign_keys",
        "PRAGMA foreign_key_check",
        "PRAGMA foreign_key_list(t)",
        "PRAGMA user_version = 7",
        "PRAGMA defer_foreign_keys = ON",
        "CREATE TABLE t (a)",
        "REINDEX",
    ] {
        assert_eq!(class(statement).transactional, Transactional::Yes, "{statement}");
    }
}

#[test]
fn transaction_control_is_seen_in_every_spelling() {
    for (statement, control) in [
        ("BEGIN IMMEDIATE", Control::Begin),
        ("COMMIT", Control::Commit),
        ("end transaction", Control::Commit),
        ("ROLLBACK TO a", Control::Rollback),
        ("SAVEPOINT a", Control::Savepoint),
        ("RELEASE a", Control::Release),
    ] {
        assert_eq!(class(statement).control, Some(control), "{statement}");
    }
    assert_eq!(class("CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END").control, None);
}

#[test]
fn what_was_there_before_and_cannot_be_written_down_again_is_destroyed() {
    for (statement, what) in [
        ("DROP TABLE IF EXISTS main.t", "table t and its rows"),
        ("ALTER TABLE t DROP COLUMN c", "column c of t"),
        ("ALTER TABLE main.[t] DROP c", "column c of [t]"),
        ("DELETE FROM t", "rows of t"),
        ("UPDATE OR IGNORE t SET a = 1", "values of t"),
        ("REPLACE INTO t VALUES (1)", "rows of t"),
        ("INSERT OR REPLACE INTO t VALUES (1)", "rows of t"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", "upsert"),
        ("WITH x AS (SELECT 1) DELETE FROM t WHERE a IN x", "rows of t"),
    ] {
        match class(statement).loss {
            Loss::Destroys { what: found } => assert!(found.contains(what), "{statement}: {found}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
    for statement in [
        "DROP INDEX i",
        "DROP VIEW v",
        "DROP TRIGGER g",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE t ADD COLUMN c DEFAULT 1",
        "INSERT OR IGNORE INTO t VALUES (1)",
        "INSERT INTO t SELECT * FROM u",
        "CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM u; END",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "EXPLAIN DELETE FROM t",
    ] {
        assert_eq!(class(statement).loss, Loss::None, "{statement}");
    }
    assert!(matches!(class("FROBNICATE t").loss, Loss::Unknown { .. }));
    assert!(matches!(class("ALTER TABLE t FROBNICATE").loss, Loss::Unknown { .. }));
}

#[test]
fn a_session_that_is_another_one_afterwards_is_told() {
    for (statement, session) in [
        ("ATTACH 'x.db' AS x", SessionState::Changed),
        ("CREATE TEMP TABLE t (a)", SessionState::Changed),
        ("PRAGMA legacy_alter_table = ON", SessionState::Changed),
        ("PRAGMA recursive_triggers(1)", SessionState::Changed),
        ("PRAGMA ignore_check_constraints = 1", SessionState::Changed),
        ("PRAGMA user_version = 7", SessionState::Untouched),
        ("PRAGMA table_info(t)", SessionState::Untouched),
        ("PRAGMA cache_size", SessionState::Untouched),
    ] {
        assert_eq!(class(statement).session, session, "{statement}");
    }
}

#[test]
fn the_kind_is_what_a_statement_works_on() {
    for (statement, kind) in [
        ("CREATE TABLE t (a)", Kind::Ddl),
        ("REPLACE INTO t VALUES (1)", Kind::Dml),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Kind::Dml),
        ("VALUES (1)", Kind::Query),
        ("PRAGMA integrity_check", Kind::Query),
        ("ANALYZE", Kind::Maintenance),
    ] {
        assert_eq!(class(statement).kind, kind, "{statement}");
    }
}
