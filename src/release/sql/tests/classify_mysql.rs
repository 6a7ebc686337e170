//! What the statements of `MySQL` and `MariaDB` are.

use crate::release::sql::{Class, Control, Dialect, Kind, Loss, SessionState, Transactional, classify};

fn class(statement: &str) -> Class {
    classify(Dialect::Mysql, statement)
}

#[test]
fn what_commits_by_itself_is_not_transactional() {
    for statement in [
        "CREATE TABLE t (a INT)",
        "CREATE OR REPLACE TABLE t (a INT)",
        "create table t like u",
        "CREATE TABLE t SELECT 1",
        "CREATE UNIQUE INDEX i ON t (a)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE DEFINER=`a`@`%` PROCEDURE p() SELECT 1",
        "CREATE SEQUENCE s",
        "CREATE USER u",
        "CREATE DATABASE d",
        "ALTER TABLE t ADD COLUMN b INT",
        "ALTER ONLINE TABLE t ADD COLUMN b INT",
        "ALTER EVENT e DISABLE",
        "DROP TABLE t",
        "DROP INDEX i ON t",
        "RENAME TABLE a TO b",
        "RENAME USER a TO b",
        "TRUNCATE t",
        "GRANT SELECT ON t TO u",
        "REVOKE SELECT ON t FROM u",
        "SET PASSWORD = 'x'",
        "SET DEFAULT ROLE r FOR u",
        "ANALYZE TABLE t",
        "ANALYZE NO_WRITE_TO_BINLOG TABLE t",
        "OPTIMIZE TABLE t",
        "CHECK TABLE t",
        "REPAIR TABLE t",
        "FLUSH TABLES",
        "LOCK TABLES t WRITE",
        "UNLOCK TABLES",
        "CACHE INDEX t IN k",
        "LOAD INDEX INTO CACHE t",
        "INSTALL PLUGIN p SONAME 'p.so'",
        "/*!50001 CREATE VIEW v AS SELECT 1 */",
        "INSERT INTO t VALUES (1) /*!99999 , */ /*! */",
        "CALL p()",
        "EXECUTE s",
        "EXECUTE IMMEDIATE 'SELECT 1'",
        "BEGIN NOT ATOMIC SELECT 1; END",
        "IF 1 THEN SELECT 1; END IF",
        "FROBNICATE t",
        "SET STATEMENT max_statement_time = 1 FOR ALTER TABLE t ADD b INT",
    ] {
        let expected = !statement.starts_with("INSERT");
        assert_eq!(class(statement).transactional != Transactional::Yes, expected, "{statement}");
    }
    for statement in [
        "INSERT INTO t VALUES (1)",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "LOAD DATA INFILE 'f' INTO TABLE t",
        "SELECT 1",
        "DO SLEEP(1)",
        "SET @a = 1",
        "SET NAMES utf8mb4",
        "CREATE TEMPORARY TABLE t (a INT)",
        "CREATE OR REPLACE TEMPORARY TABLE t (a INT)",
        "DROP TEMPORARY TABLE t",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "ANALYZE UPDATE t SET a = 1",
        "PREPARE s FROM 'SELECT 1'",
        "SET STATEMENT max_statement_time = 1 FOR UPDATE t SET a = 1",
    ] {
        assert_eq!(class(statement).transactional, Transactional::Yes, "{statement}");
    }
}

#[test]
fn transaction_control_is_seen_in_every_spelling() {
    for (statement, control) in [
        ("BEGIN", Control::Begin),
        ("begin work", Control::Begin),
        ("START TRANSACTION READ ONLY", Control::Begin),
        ("COMMIT AND CHAIN", Control::Commit),
        ("ROLLBACK TO SAVEPOINT a", Control::Rollback),
        ("SAVEPOINT a", Control::Savepoint),
        ("RELEASE SAVEPOINT a", Control::Release),
        ("XA START 'a'", Control::Begin),
        ("XA PREPARE 'a'", Control::Prepare),
        ("XA COMMIT 'a'", Control::Commit),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Control::SetTransaction),
        ("SET SESSION TRANSACTION READ ONLY", Control::SetTransaction),
        ("SET autocommit = 0", Control::Autocommit),
        ("SET @a = 1, @@session.autocommit := 1", Control::Autocommit),
        ("/*!40000 SET AUTOCOMMIT=0 */", Control::Autocommit),
    ] {
        assert_eq!(class(statement).control, Some(control), "{statement}");
    }
    for statement in ["SET @autocommit = 1", "XA RECOVER", "BEGIN NOT ATOMIC COMMIT; END", "START SLAVE"] {
        assert_eq!(class(statement).control, None, "{statement}");
    }
}

#[test]
fn what_was_there_before_and_cannot_be_written_down_again_is_destroyed() {
    for (statement, what) in [
        ("DROP TABLE IF EXISTS d.t", "table t and its rows"),
        ("CREATE OR REPLACE TABLE t (a INT)", "table t"),
        ("ALTER TABLE t ADD COLUMN a INT, DROP COLUMN b", "column b of t"),
        ("ALTER TABLE t DROP b", "column b of t"),
        ("ALTER TABLE t DROP COLUMN IF EXISTS `b`", "column `b` of t"),
        ("ALTER TABLE t MODIFY a TINYINT", "values of t.a"),
        ("ALTER TABLE t CHANGE COLUMN a b INT", "values of t.a"),
        ("ALTER TABLE t DROP PARTITION p", "partition"),
        ("ALTER TABLE t TRUNCATE PARTITION p", "partition"),
        ("ALTER TABLE t CONVERT TO CHARACTER SET latin1", "texts"),
        ("ALTER TABLE t AUTO_INCREMENT = 5", "sequence"),
        ("ALTER IGNORE TABLE t ADD UNIQUE (a)", "do not admit"),
        ("TRUNCATE TABLE t", "rows of t"),
        ("DELETE FROM t", "rows of t"),
        ("DELETE LOW_PRIORITY QUICK FROM t", "rows of t"),
        ("UPDATE IGNORE t SET a = 1", "values of t"),
        ("REPLACE INTO t VALUES (1)", "rows of t"),
        ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2", "upsert"),
        ("WITH x AS (SELECT 1) UPDATE t SET a = 1", "values of t"),
        ("SELECT NEXTVAL(s)", "sequence"),
        ("DROP USER u", "account"),
    ] {
        match class(statement).loss {
            Loss::Destroys { what: found } => assert!(found.contains(what), "{statement}: {found}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
    for statement in [
        "ALTER TABLE t ADD COLUMN a INT, ADD KEY k (a), DROP KEY l, ALGORITHM=INPLACE",
        "ALTER TABLE t DROP FOREIGN KEY f, DROP PRIMARY KEY",
        "ALTER TABLE t WAIT 5 RENAME COLUMN a TO b",
        "DROP INDEX i ON t",
        "DROP VIEW v",
        "DROP PROCEDURE p",
        "INSERT IGNORE INTO t VALUES (1)",
        "SELECT COUNT(*), MAX(a) FROM t",
        "RENAME TABLE a TO b",
        "EXPLAIN DELETE FROM t",
    ] {
        assert_eq!(class(statement).loss, Loss::None, "{statement}");
    }
    for statement in ["CALL p()", "SELECT f()", "ALTER TABLE t ENGINE = MyISAM", "ALTER TABLE t FROBNICATE"] {
        assert!(matches!(class(statement).loss, Loss::Unknown { .. }), "{statement}");
    }
}

#[test]
fn a_session_that_is_another_one_afterwards_is_told() {
    for statement in [
        "USE other",
        "SET @a = 1",
        "SET foreign_key_checks = 0",
        "SELECT 1 INTO @a",
        "SELECT @a := 1",
        "SELECT GET_LOCK('a', 1)",
        "PREPARE s FROM @a",
        "CREATE TEMPORARY TABLE t (a INT)",
        "CALL p()",
        "LOCK TABLES t READ",
    ] {
        assert_eq!(class(statement).session, SessionState::Changed, "{statement}");
    }
    for statement in
        ["INSERT INTO t VALUES (@a)", "SELECT 1", "ALTER TABLE t ADD a INT", "SET GLOBAL max_connections = 5"]
    {
        assert_eq!(class(statement).session, SessionState::Untouched, "{statement}");
    }
}

#[test]
fn a_comment_that_some_servers_execute_makes_a_statement_the_worse_of_two() {
    let both = class("CREATE /*!50001 TEMPORARY */ TABLE t (a INT)");
    assert!(both.transactional != Transactional::Yes && both.session == SessionState::Changed);
    assert_eq!(class("SELECT 1 /*! INTO @a */").session, SessionState::Changed);
    assert_eq!(class("/*!50001 DELETE FROM t */").kind, Kind::Dml);
}
