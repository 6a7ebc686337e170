//! What `PostgreSQL`'s statements are.

use crate::release::sql::{Control, Dialect, Kind, Loss, SessionState, Transactional, classify};

fn class(statement: &str) -> crate::release::sql::Class {
    classify(Dialect::Postgres, statement)
}

#[test]
fn what_a_transaction_block_refuses_is_not_transactional() {
    for statement in [
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "create unique index concurrently if not exists i on t (a)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX INDEX CONCURRENTLY i",
        "REINDEX (VERBOSE, CONCURRENTLY) TABLE t",
        "REINDEX DATABASE d",
        "REINDEX SYSTEM d",
        "REINDEX SCHEMA s",
        "VACUUM",
        "VACUUM (ANALYZE) t",
        "CLUSTER",
        "CLUSTER VERBOSE",
        "CLUSTER (VERBOSE)",
        "CREATE DATABASE d",
        "DROP DATABASE IF EXISTS d",
        "ALTER DATABASE d SET TABLESPACE s",
        "CREATE TABLESPACE s LOCATION '/x'",
        "DROP TABLESPACE s",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
        "ALTER TABLE ONLY s.t DETACH /* now */ PARTITION s.p CONCURRENTLY",
        "CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION p",
        "CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION p WITH (create_slot = true)",
        "DISCARD ALL",
    ] {
        assert!(matches!(class(statement).transactional, Transactional::No { .. }), "{statement}");
    }
}

#[test]
fn what_a_transaction_block_takes_is_transactional() {
    for statement in [
        "CREATE INDEX i ON t (a)",
        "CREATE INDEX \"concurrently\" ON t (a)",
        "DROP INDEX concurrently_old",
        "REINDEX TABLE t",
        "REINDEX (CONCURRENTLY false) TABLE t",
        "CLUSTER t USING i",
        "ALTER TYPE mood ADD VALUE 'meh'",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
        "TRUNCATE t",
        "CHECKPOINT",
        "CREATE ROLE r",
        "CREATE EXTENSION e",
        "COPY t FROM PROGRAM 'cat'",
        "ALTER TABLE t DETACH PARTITION p",
        "ALTER TABLE t DETACH PARTITION p FINALIZE",
        "ALTER TABLE t ADD COLUMN concurrently int",
        "ALTER DATABASE d SET work_mem = '1MB'",
        "CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION p WITH (create_slot = false, slot_name = NONE)",
        "DISCARD TEMP",
        "ANALYZE t",
        "COMMENT ON TABLE t IS 'VACUUM'",
    ] {
        assert_eq!(class(statement).transactional, Transactional::Yes, "{statement}");
    }
}

#[test]
fn transaction_control_is_seen_in_every_spelling_and_inside_a_do_block() {
    for (statement, control) in [
        ("BEGIN", Control::Begin),
        ("start transaction isolation level serializable", Control::Begin),
        ("COMMIT AND CHAIN", Control::Commit),
        ("END", Control::Commit),
        ("COMMIT PREPARED 'x'", Control::Commit),
        ("ROLLBACK", Control::Rollback),
        ("ABORT", Control::Rollback),
        ("ROLLBACK TO SAVEPOINT a", Control::Rollback),
        ("SAVEPOINT a", Control::Savepoint),
        ("RELEASE a", Control::Release),
        ("PREPARE TRANSACTION 'x'", Control::Prepare),
        ("SET TRANSACTION READ ONLY", Control::SetTransaction),
        ("DO $$ BEGIN UPDATE t SET a = 1; COMMIT; END $$", Control::InsideBlock),
        ("DO LANGUAGE plpgsql $x$ BEGIN IF true THEN ROLLBACK; END IF; END $x$", Control::InsideBlock),
        ("DO 'BEGIN LOOP COMMIT AND CHAIN; END LOOP; END'", Control::InsideBlock),
    ] {
        assert_eq!(class(statement).control, Some(control), "{statement}");
    }
    for statement in [
        "PREPARE p AS SELECT 1",
        "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
        "DO $$ BEGIN CREATE TEMP TABLE t (a int) ON COMMIT DROP; END $$",
        "DO $$ BEGIN RAISE NOTICE 'x; COMMIT;'; /* ; COMMIT; */ END $$",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$",
        "SELECT 'COMMIT'",
    ] {
        assert_eq!(class(statement).control, None, "{statement}");
    }
}

#[test]
fn what_was_there_before_and_cannot_be_written_down_again_is_destroyed() {
    for (statement, what) in [
        ("DROP TABLE IF EXISTS s.t CASCADE", "table t and its rows"),
        ("ALTER TABLE t DROP COLUMN c", "column c of t"),
        ("ALTER TABLE IF EXISTS ONLY s.t * ADD b int, DROP IF EXISTS c", "column c of t"),
        ("ALTER TABLE t ALTER c TYPE bigint USING c::bigint", "t.c"),
        ("ALTER TABLE t ALTER COLUMN c SET DATA TYPE text", "t.c"),
        ("ALTER TABLE t DROP CONSTRAINT k CASCADE", "depends"),
        ("ALTER TABLE t ALTER c DROP IDENTITY", "sequence"),
        ("ALTER TYPE y DROP ATTRIBUTE a", "attribute a"),
        ("TRUNCATE t", "rows"),
        ("DELETE FROM ONLY t WHERE a = 1", "rows of t"),
        ("UPDATE t SET a = 1", "values of t"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", "upsert"),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "merge"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "rows of t"),
        ("WITH x AS MATERIALIZED (UPDATE t SET a = 1 RETURNING *) INSERT INTO u SELECT * FROM x", "values of t"),
        ("WITH RECURSIVE x (n) AS (SELECT 1) SEARCH DEPTH FIRST BY n SET o DELETE FROM t", "rows of t"),
        ("WITH update AS (SELECT 1) DELETE FROM t", "rows of t"),
        ("EXPLAIN ANALYZE DELETE FROM t", "rows of t"),
        ("EXPLAIN (VERBOSE, ANALYZE) UPDATE t SET a = 1", "values of t"),
        ("DROP SCHEMA s CASCADE", "depended"),
        ("DROP VIEW v CASCADE", "depended"),
        ("DROP SEQUENCE s", "sequence"),
        ("SELECT pg_catalog.setval('s', 1)", "sequence"),
        ("DROP OWNED BY r", "owned"),
    ] {
        match class(statement).loss {
            Loss::Destroys { what: found } => assert!(found.contains(what), "{statement}: {found}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
}

#[test]
fn a_definition_that_can_be_written_down_again_is_no_loss() {
    for statement in [
        "CREATE TABLE t (a int DEFAULT now())",
        "DROP INDEX i",
        "DROP VIEW v",
        "DROP FUNCTION f(int)",
        "DROP SCHEMA s",
        "ALTER TABLE t DROP CONSTRAINT k",
        "ALTER TABLE t ALTER c DROP DEFAULT, ALTER c DROP NOT NULL",
        "ALTER TABLE t ADD COLUMN c int, ADD CONSTRAINT k CHECK (c > 0)",
        "ALTER TABLE t RENAME COLUMN type TO kind",
        "ALTER TYPE y ADD VALUE 'z'",
        "INSERT INTO t VALUES (gen_random_uuid())",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "SELECT count(*) FROM t WHERE a IN (1) FOR UPDATE",
        "WITH x AS (SELECT 1 AS update) SELECT * FROM x",
        "EXPLAIN DELETE FROM t",
        "EXPLAIN (ANALYZE off) DELETE FROM t",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM t $$",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; DELETE FROM v)",
        "SELECT pg_catalog.set_config('search_path', '', false)",
    ] {
        assert_eq!(class(statement).loss, Loss::None, "{statement}");
    }
}

#[test]
fn what_can_do_anything_is_not_taken_for_harmless() {
    for statement in [
        "DO $$ BEGIN NULL; END $$",
        "CALL p()",
        "EXECUTE p(1)",
        "SELECT my_migration()",
        "SELECT \"delete_all\"(1)",
        "WITH x AS (SELECT 1) SELECT drop_things() FROM x",
        "COPY t TO PROGRAM 'sh'",
        "ALTER TABLE t FROBNICATE",
        "FROBNICATE t",
        "SELECT 'unterminated",
        "'text'",
    ] {
        assert!(matches!(class(statement).loss, Loss::Unknown { .. }), "{statement}");
    }
}

#[test]
fn a_session_that_is_another_one_afterwards_is_told() {
    for (statement, session) in [
        ("SET search_path TO s", SessionState::Changed),
        ("SET SESSION AUTHORIZATION r", SessionState::Changed),
        ("SET ROLE r", SessionState::Changed),
        ("RESET ALL", SessionState::Changed),
        ("LISTEN c", SessionState::Changed),
        ("CREATE TEMP TABLE t (a int)", SessionState::Changed),
        ("SELECT set_config('a.b', 'c', false)", SessionState::Changed),
        ("SELECT pg_advisory_lock(1)", SessionState::Changed),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", SessionState::Changed),
        ("DO $$ BEGIN NULL; END $$", SessionState::Changed),
        ("CALL p()", SessionState::Changed),
        ("SELECT my_migration()", SessionState::Changed),
        ("SELECT pg_advisory_lock_shared(1)", SessionState::Changed),
        ("SELECT 1 INTO TEMP t", SessionState::Changed),
        ("CREATE TABLE pg_temp.t (a int)", SessionState::Changed),
        ("CREATE TABLE t AS SELECT my_function(a) FROM u", SessionState::Changed),
        ("INSERT INTO t (a) SELECT my_function(a) FROM u", SessionState::Changed),
        ("UPDATE t SET a = my_function(a)", SessionState::Changed),
        ("WITH x AS (SELECT my_function()) DELETE FROM t", SessionState::Changed),
        ("FROBNICATE t", SessionState::Changed),
        ("INSERT INTO s.t (a, b) SELECT lower(a), now() FROM u ON CONFLICT (a) DO NOTHING", SessionState::Untouched),
        ("WITH x (a) AS (SELECT 1) UPDATE t SET (b) = (SELECT a FROM x AS y (a))", SessionState::Untouched),
        ("CREATE TABLE t (a varchar(10) DEFAULT now(), CHECK (length(a) > 1))", SessionState::Untouched),
        ("SET LOCAL search_path TO s", SessionState::Untouched),
        ("SET CONSTRAINTS ALL DEFERRED", SessionState::Untouched),
        ("SELECT set_config('a.b', 'c', true)", SessionState::Untouched),
        ("LOCK TABLE t", SessionState::Untouched),
        ("CREATE TABLE temp_t (a int)", SessionState::Untouched),
    ] {
        assert_eq!(class(statement).session, session, "{statement}");
    }
}

#[test]
fn the_kind_is_what_a_statement_works_on() {
    for (statement, kind) in [
        ("CREATE TABLE t (a int)", Kind::Ddl),
        ("SELECT 1 INTO t", Kind::Ddl),
        ("INSERT INTO t VALUES (1)", Kind::Dml),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Kind::Dml),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", Kind::Dml),
        ("(SELECT 1) UNION (SELECT 2)", Kind::Query),
        ("TABLE t", Kind::Query),
        ("SHOW ALL", Kind::Query),
        ("SET a.b = 'c'", Kind::Session),
        ("ANALYZE", Kind::Maintenance),
        ("DO $$ $$", Kind::Unknown),
    ] {
        assert_eq!(class(statement).kind, kind, "{statement}");
    }
}
