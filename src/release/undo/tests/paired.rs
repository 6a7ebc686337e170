//! Undo scripts whose statements belong to those of the up script.

use crate::release::Dialect::{self, Mysql, Postgres, Sqlite};
use crate::release::sql::split;
use crate::release::undo::pair::pair;

fn pairs(dialect: Dialect, up: &str, down: &str) -> Vec<Option<usize>> {
    pair(dialect, &split(dialect, up).unwrap(), &split(dialect, down).unwrap())
}

#[test]
fn opposites_in_reverse_order_are_paired() {
    for (dialect, up, down, expected) in [
        (Mysql, "DROP TABLE a; DROP TABLE b", "CREATE TABLE b (x INT); CREATE TABLE a (x INT)", vec![Some(1), Some(0)]),
        (
            Mysql,
            "INSERT INTO t VALUES (1); UPDATE u SET a = 1",
            "UPDATE u SET a = 0; DELETE FROM t",
            vec![Some(1), Some(0)],
        ),
        (
            Mysql,
            "ALTER TABLE t MODIFY a BIGINT; ALTER TABLE t MODIFY b BIGINT",
            "ALTER TABLE t MODIFY b INT; ALTER TABLE t MODIFY a INT",
            vec![Some(1), Some(0)],
        ),
        (Postgres, "CREATE INDEX CONCURRENTLY i ON t (a); SELECT 1", "DROP INDEX CONCURRENTLY i", vec![Some(0), None]),
        (Postgres, "CREATE TABLE A (x int); INSERT INTO a VALUES (1)", "DROP TABLE \"a\"", vec![Some(0), None]),
        (Sqlite, "CREATE TABLE t (a)", "", vec![None]),
    ] {
        assert_eq!(pairs(dialect, up, down), expected, "{up} / {down}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_not_paired() {
    for (up, down) in [
        // In the order of the up script, or about something else.
        ("DROP TABLE a; DROP TABLE b", "CREATE TABLE a (x INT); CREATE TABLE b (x INT)"),
        ("DROP TABLE a", "CREATE TABLE b (x INT)"),
        // Which of the two?
        ("UPDATE t SET a = 1; UPDATE t SET b = 1", "UPDATE t SET b = 0; UPDATE t SET a = 0"),
        // One for two.
        ("ALTER TABLE t MODIFY a BIGINT; ALTER TABLE t MODIFY b BIGINT", "ALTER TABLE t MODIFY a INT, MODIFY b INT"),
        // Not an opposite, or nobody knows.
        ("DROP TABLE a", "DROP TABLE a"),
        ("DROP TABLE a; DROP TABLE b", "CREATE TABLE b (x INT); CALL restore(); CREATE TABLE a (x INT)"),
        ("DROP TABLE a, b", "CREATE TABLE a (x INT)"),
        ("ALTER TABLE t CHANGE a b INT", "ALTER TABLE t CHANGE b a INT"),
    ] {
        let paired = pairs(Mysql, up, down);
        assert!(paired.iter().all(Option::is_none), "{up} / {down}: {paired:?}");
    }
}

#[test]
fn what_may_have_found_its_work_done_is_paired_only_where_windlass_sees_that() {
    for (dialect, up, down, expected) in [
        // It commits by itself, and is looked at.
        (Mysql, "CREATE TABLE IF NOT EXISTS t (x INT); SELECT 1", "DROP TABLE t", vec![Some(0), None]),
        // One of the two columns may have been there.
        (
            Mysql,
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS a INT, ADD COLUMN IF NOT EXISTS b INT; SELECT 1",
            "ALTER TABLE t DROP COLUMN a, DROP COLUMN b",
            vec![None, None],
        ),
        (Mysql, "CREATE OR REPLACE VIEW v AS SELECT 1; SELECT 1", "DROP VIEW v", vec![None, None]),
        (Postgres, "CREATE TABLE IF NOT EXISTS t (x int); VACUUM", "DROP TABLE t", vec![None, None]),
    ] {
        assert_eq!(pairs(dialect, up, down), expected, "{up} / {down}");
    }
}
