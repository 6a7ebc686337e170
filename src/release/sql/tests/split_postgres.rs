//! Where `PostgreSQL`'s statements end.

use super::{assert_refused, assert_splits, assert_whole};
use crate::release::Dialect::Postgres;

#[test]
fn statements_end_at_semicolons_and_empty_ones_are_dropped() {
    assert_splits(
        Postgres,
        &[
            ("", &[]),
            ("  \n\t\x0b\x0c", &[]),
            (";;; ;", &[]),
            ("-- nothing", &[]),
            ("/* nothing */;", &[]),
            ("SELECT 1", &["SELECT 1"]),
            ("SELECT 1;", &["SELECT 1"]),
            ("SELECT 1;SELECT 2", &["SELECT 1", "SELECT 2"]),
            ("\n SELECT 1 ; ;\n SELECT 2 ; ", &["SELECT 1", "SELECT 2"]),
            ("-- a; b\nSELECT 1; -- c; d\nSELECT 2 -- e", &["SELECT 1", "SELECT 2"]),
            ("-- ends at the return;\rSELECT 1", &["SELECT 1"]),
            ("/* a; */ SELECT 1 /* b; */; /* c; */", &["SELECT 1"]),
            ("SELECT 'ä;ß', \"ü;\"; SELECT $ö$;$ö$", &["SELECT 'ä;ß', \"ü;\"", "SELECT $ö$;$ö$"]),
        ],
    );
}

#[test]
fn a_semicolon_within_quotes_and_comments_ends_nothing() {
    assert_whole(
        Postgres,
        &[
            "SELECT ';'",
            "SELECT 'it''s; fine'",
            "SELECT ''';'",
            "SELECT '\\', ';'",
            "SELECT 'a\\'';'",
            "SELECT E'\\';'",
            "SELECT e'a\\\\', ';'",
            "SELECT E'a'';b'",
            "SELECT E'\\\\\\';'",
            "SELECT E'a'\n  'b\\';'",
            "SELECT E'a' -- why\n  -- and\n 'b\\';'",
            "SELECT E'a'\r'\\';'",
            "SELECT E'a', '\\', ';'",
            "SELECT E'a' '\\', ';'",
            "SELECT 'a'\n'\\', ';'",
            "SELECT E 'a\\', ';'",
            "SELECT name'\\', ';'",
            "SELECT U&'d\\0061t;'",
            "SELECT u&'\\', ';' UESCAPE '!'",
            "SELECT U&\"d;\\\"",
            "SELECT N'\\', B'1;', X'1;'",
            "SELECT \"a;\"\"b;\"",
            "SELECT \"a';\" AS \"'\"",
            "SELECT '\";' AS \"';\"",
            "SELECT /* ; */ 1",
            "SELECT /* a /* b; */ c; */ 1",
            "SELECT /* ' ; \" $$ */ 1",
            "SELECT /*/ ; */ 1",
            "SELECT /**/ ';'",
            "SELECT /* **/ 1",
            "SELECT /* -- */ 1",
            "SELECT 1 -- ; '\n + 2",
            "SELECT 1 - -1",
            "SELECT 3 +-- ;\n 4",
            "SELECT 8 //* ; */ 2",
            "SELECT '/*' || '*/'",
            "SELECT '--', ';'",
        ],
    );
}

#[test]
fn a_dollar_quote_ends_at_its_own_tag_and_not_every_dollar_opens_one() {
    assert_whole(
        Postgres,
        &[
            "SELECT $$a;b$$",
            "SELECT $tag$a;$$;$other$;$tag$",
            "SELECT $a$;$A$;$a$",
            "SELECT $_1$;$_1$",
            "SELECT $a$ $b$a$",
            "SELECT $$it's \" /* -- $$",
            "SELECT $$$$, ';'",
            "SELECT $1, ';$1'",
            "PREPARE p AS SELECT $1||$2, ';'",
            "SELECT a$b, ';' FROM t$$",
            "SELECT a$$, ';', b$$",
            "SELECT 1$$;$$",
            "SELECT '$$', ';', '$$'",
            "SELECT \"$$\", ';'",
            "SELECT $é$;$é$",
            "DO $$ BEGIN PERFORM 1; PERFORM 2; END $$",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN EXECUTE $q$SELECT 1;$q$; RETURN 1; END; $f$",
            "CREATE FUNCTION f() RETURNS int AS 'SELECT 1; SELECT 2;' LANGUAGE sql",
        ],
    );
}

#[test]
fn the_body_of_an_sql_routine_is_part_of_its_statement() {
    assert_whole(
        Postgres,
        &[
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
            "create or replace procedure p() begin atomic insert into t values (1); end",
            "CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN a > 0 THEN 1 ELSE 2 END; SELECT 3; END",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN CASE 1 WHEN 1 THEN true END THEN 2 END; END",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS end; SELECT t.end FROM t; SELECT 2; END",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS case; SELECT 2; END",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT ' END;', \"end\"; END",
            "CREATE FUNCTION f() RETURNS int BEGIN /* x */ ATOMIC ; SELECT 1; END",
            "CREATE FUNCTION begin(begin int, atomic int) RETURNS int RETURN begin + atomic",
            "CREATE FUNCTION f(begin atomic) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE FUNCTION f(a int) RETURNS int RETURN CASE WHEN a > 0 THEN 1 END",
        ],
    );
    assert_splits(
        Postgres,
        &[
            ("CREATE TABLE begin (atomic int); SELECT 1", &["CREATE TABLE begin (atomic int)", "SELECT 1"]),
            ("BEGIN; SELECT 1; END;", &["BEGIN", "SELECT 1", "END"]),
            ("BEGIN ATOMIC; SELECT 1", &["BEGIN ATOMIC", "SELECT 1"]),
        ],
    );
}

#[test]
fn the_actions_of_a_rule_stand_in_parentheses_with_semicolons() {
    assert_whole(
        Postgres,
        &[
            "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); INSERT INTO b VALUES (2))",
            "CREATE RULE r AS ON UPDATE TO t DO INSTEAD (DELETE FROM a WHERE x IN (1, 2); NOTIFY t;)",
            "CREATE TABLE t (a int, b text DEFAULT ');(')",
        ],
    );
}

#[test]
fn what_never_ends_is_refused_at_the_line_where_it_began() {
    assert_refused(
        Postgres,
        &[
            ("SELECT 1;\nSELECT 'a;\n", 2, "string literal"),
            ("SELECT E'a\\'", 1, "string literal"),
            ("SELECT E'a\\", 1, "string literal"),
            ("SELECT 'a''", 1, "string literal"),
            ("\n\nSELECT \"a", 3, "quoted identifier"),
            ("SELECT 1;\n/* a /* b */ ;\n", 2, "comment"),
            ("SELECT 1 /*/", 1, "comment"),
            ("SELECT\n $a$ ; $A$", 2, "dollar quote"),
            ("SELECT $$ $a$", 1, "dollar quote"),
            ("SELECT (1;\nSELECT 2;", 1, "parenthesis"),
            ("CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC SELECT 1;\nSELECT 2;", 2, "BEGIN ATOMIC"),
            ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1; END;", 1, "BEGIN ATOMIC"),
        ],
    );
}

#[test]
fn what_is_meant_for_psql_is_refused() {
    assert_refused(
        Postgres,
        &[
            ("SELECT 1;\n\\i other.sql\n", 2, "\"\\\\i other.sql\""),
            ("\\copy t from 'f'", 1, "psql"),
            ("\\set ON_ERROR_STOP on\nSELECT 1", 1, "psql"),
            ("SELECT 1 \\gexec", 1, "psql"),
            ("\\restrict abc\nSELECT 1;", 1, "psql"),
            ("SELECT 1;\nCOPY t (a, b) FROM stdin;\n1\tit's\n\\.\n", 2, "COPY"),
            ("COPY t FROM STDIN WITH (FORMAT csv);\n\"\n", 1, "COPY"),
            ("copy (SELECT 1) to stdout", 1, "COPY"),
            ("COPY BINARY t FROM STDIN", 1, "COPY"),
            ("COPY t FROM STDOUT", 1, "COPY"),
        ],
    );
    assert_whole(
        Postgres,
        &[
            "COPY t FROM '/tmp/stdin'",
            "COPY stdin FROM 'f' WITH (FORMAT csv)",
            "COPY (SELECT 1 FROM stdin) TO '/tmp/f'",
            "SELECT a FROM stdin",
            "SELECT '\\i x'",
        ],
    );
}
