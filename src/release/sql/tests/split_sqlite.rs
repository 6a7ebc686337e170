//! Where `SQLite`'s statements end.

use super::{assert_refused, assert_splits, assert_whole};
use crate::release::Dialect::Sqlite;

#[test]
fn statements_end_at_semicolons_and_empty_ones_are_dropped() {
    assert_splits(
        Sqlite,
        &[
            ("", &[]),
            (" \n\t\r\x0c;;", &[]),
            ("-- nothing\n/* at all */", &[]),
            ("SELECT 1;SELECT 2;", &["SELECT 1", "SELECT 2"]),
            ("-- a;\nSELECT 1; -- b;\nSELECT 2", &["SELECT 1", "SELECT 2"]),
            ("-- a return does not end it\r;\nSELECT 1", &["SELECT 1"]),
            ("/* a; */ SELECT 1 /* b; */;", &["SELECT 1"]),
            ("/* a /* b */ SELECT 1", &["SELECT 1"]),
            ("SELECT 'é;'; SELECT [ñ;]", &["SELECT 'é;'", "SELECT [ñ;]"]),
            ("BEGIN; INSERT INTO t VALUES (1); END;", &["BEGIN", "INSERT INTO t VALUES (1)", "END"]),
        ],
    );
}

#[test]
fn a_semicolon_within_quotes_and_comments_ends_nothing() {
    assert_whole(
        Sqlite,
        &[
            "SELECT ';'",
            "SELECT 'it''s; fine'",
            "SELECT '\\', ';'",
            "SELECT 'a\\'';'",
            "SELECT e'\\', ';'",
            "SELECT x'3B', ';'",
            "SELECT \"a;\"\"b;\"",
            "SELECT `a;``b;`",
            "SELECT [a;b]",
            "SELECT [a[;]",
            "SELECT [';], ';'",
            "SELECT \"[\", ';', \"]\"",
            "SELECT /* ; ' \" ` [ */ 1",
            "SELECT /*/ ; */ 1",
            "SELECT 1 -- ; '\n + 2",
            "SELECT '/*', ';', '*/'",
            "SELECT a$b, ';'",
            "SELECT $a, :b, @c, ?1, ?, ';'",
            "SELECT $a::b(;), 1",
            "SELECT '$$', ';'",
            "SELECT 1e5, 0x1F, .5, ';'",
            "SELECT a->>'$.b;'",
        ],
    );
}

#[test]
fn the_body_of_a_trigger_is_part_of_its_statement() {
    assert_whole(
        Sqlite,
        &[
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1); DELETE FROM v; END",
            "create temp trigger if not exists a after update of x on t for each row begin select 1; end",
            "CREATE TEMPORARY TRIGGER a INSTEAD OF DELETE ON v BEGIN SELECT 1; END",
            "CREATE TRIGGER a AFTER INSERT ON t WHEN new.x > 1 BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT 3; END",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT CASE 1 WHEN 1 THEN CASE 2 WHEN 2 THEN 3 END END; END",
            "CREATE TRIGGER a AFTER INSERT ON t WHEN CASE WHEN 1 THEN 1 END BEGIN SELECT 1; END",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT '; END;'; SELECT \"; END;\"; END",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; /* END; */ SELECT 2; -- END;\nEND",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT RAISE(ABORT, 'no;'); END",
            "CREATE TRIGGER begin AFTER INSERT ON t BEGIN SELECT 1 AS \"end\"; END",
            "EXPLAIN CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END",
            "EXPLAIN QUERY PLAN CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END",
        ],
    );
    assert_splits(
        Sqlite,
        &[
            ("CREATE TABLE trigger_t (x); SELECT 1", &["CREATE TABLE trigger_t (x)", "SELECT 1"]),
            ("DROP TRIGGER a; SELECT 1", &["DROP TRIGGER a", "SELECT 1"]),
            ("CREATE TABLE \"trigger\" (x); SELECT 1", &["CREATE TABLE \"trigger\" (x)", "SELECT 1"]),
        ],
    );
}

#[test]
fn what_never_ends_is_refused_at_the_line_where_it_began() {
    assert_refused(
        Sqlite,
        &[
            ("SELECT 1;\nSELECT 'a;", 2, "string literal"),
            ("SELECT \"a", 1, "quoted identifier"),
            ("SELECT `a", 1, "quoted identifier"),
            ("\nSELECT [a;\n", 2, "quoted identifier"),
            ("SELECT 1;\n/* DROP TABLE t;", 2, "comment"),
            ("CREATE TABLE t (a;\nSELECT 1;", 1, "parenthesis"),
            ("SELECT 1;\nCREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; SELECT 2;", 2, "CREATE TRIGGER"),
            ("CREATE TRIGGER a AFTER INSERT ON t;\nSELECT 1;", 1, "CREATE TRIGGER"),
        ],
    );
}

#[test]
fn what_is_meant_for_the_shell_is_refused() {
    assert_refused(
        Sqlite,
        &[
            (".mode csv\nSELECT 1", 1, "\".mode csv\""),
            ("SELECT 1;\n.read other.sql", 2, "sqlite3"),
            ("-- first\n  .tables", 2, "sqlite3"),
        ],
    );
    assert_whole(Sqlite, &["SELECT main.t.a, .5 FROM main.t"]);
}
