//! The inverses of the simple forms, and the forms that have none.

use proptest::prelude::*;

use super::super::derive::Derived;
use super::derived;
use crate::release::Dialect::{self, Mysql, Postgres, Sqlite};

fn assert_inverse(dialect: Dialect, cases: &[(&str, &str)]) {
    for (text, inverse) in cases {
        assert_eq!(derived(dialect, text), Derived::Statement((*inverse).to_owned()), "{text}");
    }
}

fn assert_none(dialect: Dialect, cases: &[&str]) {
    for text in cases {
        assert!(matches!(derived(dialect, text), Derived::None(_)), "{text}: {:?}", derived(dialect, text));
    }
}

#[test]
fn the_simple_forms_of_mysql_say_how_they_are_undone() {
    assert_inverse(
        Mysql,
        &[
            ("CREATE TABLE t (a INT)", "DROP TABLE t"),
            ("create table `d;`.`a``b` like u", "DROP TABLE `d;`.`a``b`"),
            ("CREATE UNIQUE INDEX i USING BTREE ON d.t (a)", "DROP INDEX i ON d.t"),
            ("CREATE DEFINER=`a`@`%` SQL SECURITY DEFINER VIEW v AS SELECT 1", "DROP VIEW v"),
            ("CREATE SEQUENCE s START WITH 5", "DROP SEQUENCE s"),
            ("CREATE PROCEDURE p() BEGIN SELECT 1; END", "DROP PROCEDURE p"),
            ("CREATE FUNCTION f(a INT) RETURNS INT RETURN 1", "DROP FUNCTION f"),
            ("CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW SET @a = 1", "DROP TRIGGER g"),
            ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "DROP EVENT e"),
            ("ALTER TABLE t ADD COLUMN `b c` INT NOT NULL AFTER a", "ALTER TABLE t DROP COLUMN `b c`"),
            ("ALTER ONLINE TABLE t WAIT 5 ADD b DECIMAL(5, 2)", "ALTER TABLE t DROP COLUMN b"),
            (
                "ALTER TABLE t ADD b INT, ADD UNIQUE KEY k (b), ADD CONSTRAINT c CHECK (b > 0), ALGORITHM=INPLACE",
                "ALTER TABLE t DROP CONSTRAINT c, DROP INDEX k, DROP COLUMN b",
            ),
            (
                "ALTER TABLE t ADD FULLTEXT i (a), ADD CONSTRAINT u UNIQUE (b)",
                "ALTER TABLE t DROP INDEX u, DROP INDEX i",
            ),
            (
                "ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX i TO j",
                "ALTER TABLE t RENAME INDEX j TO i, RENAME COLUMN b TO a",
            ),
            ("ALTER TABLE t RENAME TO u", "ALTER TABLE u RENAME TO t"),
            ("ALTER TABLE t ADD b INT, RENAME AS u", "ALTER TABLE u RENAME TO t, DROP COLUMN b"),
            ("RENAME TABLE a TO b, d.c WAIT 3 TO a", "RENAME TABLE a TO d.c, b TO a"),
        ],
    );
    for text in ["SELECT 1", "SET @a = 1", "ANALYZE TABLE t", "CREATE TEMPORARY TABLE t (a INT)", "PREPARE s FROM @a"] {
        assert_eq!(derived(Mysql, text), Derived::Nothing, "{text}");
    }
}

#[test]
fn what_is_not_clearly_understood_has_no_inverse_on_mysql() {
    assert_none(
        Mysql,
        &[
            "CREATE TABLE IF NOT EXISTS t (a INT)",
            "CREATE OR REPLACE TABLE t (a INT)",
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "CREATE INDEX IF NOT EXISTS i ON t (a)",
            "CREATE TABLE /*!50001 t */ (a INT)",
            "CREATE FUNCTION f RETURNS STRING SONAME 'f.so'",
            "CREATE USER u",
            "DROP TABLE t",
            "DROP INDEX i ON t",
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS b INT",
            "ALTER TABLE IF EXISTS t ADD b INT",
            "ALTER IGNORE TABLE t ADD UNIQUE k (a)",
            "ALTER TABLE t ADD INDEX (a)",
            "ALTER TABLE t ADD INDEX USING BTREE (a)",
            "ALTER TABLE t ADD PRIMARY KEY (a)",
            "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (a)",
            "ALTER TABLE t ADD CONSTRAINT UNIQUE (a)",
            "ALTER TABLE t ADD CONSTRAINT c UNIQUE k (a)",
            "ALTER TABLE t ADD (b INT, c INT)",
            "ALTER TABLE t ADD b INT REFERENCES u (a)",
            "ALTER TABLE t ADD b INT, MODIFY a BIGINT",
            "ALTER TABLE t MODIFY a BIGINT",
            "ALTER TABLE t ALTER COLUMN a SET DEFAULT 1",
            "ALTER TABLE t ALTER COLUMN a DROP DEFAULT",
            "ALTER TABLE t RENAME COLUMN a TO b, ADD A INT",
            "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
            "ALTER TABLE d.t RENAME TO u",
            "ALTER TABLE t RENAME TO d.u",
            "ALTER TABLE t ADD PARTITION (PARTITION p VALUES LESS THAN (1))",
            "ALTER TABLE t ENGINE = InnoDB",
            "ALTER TABLE t ALGORITHM = COPY",
            "RENAME TABLE IF EXISTS a TO b",
            "TRUNCATE t",
            "INSERT INTO t VALUES (1)",
            "UPDATE t SET a = 1",
            "CALL p()",
            "GRANT SELECT ON t TO u",
            "SET GLOBAL max_connections = 5",
            "SELECT NEXTVAL(s)",
        ],
    );
}

#[test]
fn the_simple_forms_of_postgres_say_how_they_are_undone() {
    assert_inverse(
        Postgres,
        &[
            ("CREATE TABLE \"A b\".t (a int)", "DROP TABLE \"A b\".t"),
            ("CREATE UNLOGGED TABLE t AS SELECT 1", "DROP TABLE t"),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON s.t (a)", "DROP INDEX CONCURRENTLY s.i"),
            ("CREATE INDEX \"I\" ON ONLY t USING gin (a)", "DROP INDEX \"I\""),
            ("CREATE VIEW v AS SELECT 1", "DROP VIEW v"),
            ("CREATE MATERIALIZED VIEW s.v AS SELECT 1", "DROP MATERIALIZED VIEW s.v"),
            ("CREATE RECURSIVE VIEW v (n) AS SELECT 1", "DROP VIEW v"),
            ("CREATE SEQUENCE s", "DROP SEQUENCE s"),
            ("CREATE TYPE e AS ENUM ('a')", "DROP TYPE e"),
            ("CREATE DOMAIN d AS int", "DROP DOMAIN d"),
            ("CREATE SCHEMA s", "DROP SCHEMA s"),
            (
                "CREATE FUNCTION f(a int, b text[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "DROP FUNCTION f(a int, b text[])",
            ),
            ("CREATE TRIGGER g BEFORE UPDATE OF a, b ON s.t EXECUTE FUNCTION f()", "DROP TRIGGER g ON s.t"),
            (
                "ALTER TABLE ONLY t ADD COLUMN a int, ADD b text DEFAULT 'x', ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
                "ALTER TABLE ONLY t DROP CONSTRAINT c, DROP COLUMN b, DROP COLUMN a",
            ),
            ("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u", "ALTER TABLE t DROP CONSTRAINT f"),
            ("ALTER TABLE s.t RENAME TO u", "ALTER TABLE s.u RENAME TO t"),
            ("ALTER TABLE t RENAME a TO b", "ALTER TABLE t RENAME COLUMN b TO a"),
            ("ALTER TABLE t RENAME CONSTRAINT a TO b", "ALTER TABLE t RENAME CONSTRAINT b TO a"),
            ("ALTER INDEX s.i RENAME TO \"J\"", "ALTER INDEX s.\"J\" RENAME TO i"),
            ("ALTER TYPE e RENAME VALUE 'a' TO 'it''s'", "ALTER TYPE e RENAME VALUE 'it''s' TO 'a'"),
            ("ALTER TYPE e RENAME TO f", "ALTER TYPE f RENAME TO e"),
        ],
    );
    for text in
        ["SELECT 1", "VACUUM t", "SET search_path = a", "CREATE TEMP TABLE t (a int)", "REINDEX TABLE CONCURRENTLY t"]
    {
        assert_eq!(derived(Postgres, text), Derived::Nothing, "{text}");
    }
}

#[test]
fn what_is_not_clearly_understood_has_no_inverse_on_postgres() {
    assert_none(
        Postgres,
        &[
            "CREATE TABLE IF NOT EXISTS t (a int)",
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
            "CREATE INDEX CONCURRENTLY ON t (a)",
            "CREATE TABLE U&\"t\" (a int)",
            "CREATE TYPE t",
            "CREATE SCHEMA s CREATE TABLE t (a int)",
            "CREATE SCHEMA AUTHORIZATION u",
            "CREATE EXTENSION x",
            "CREATE ROLE r",
            "CREATE FUNCTION f(a int DEFAULT 1) RETURNS int RETURN 1",
            "DROP INDEX CONCURRENTLY i",
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int",
            "ALTER TABLE IF EXISTS t ADD a int",
            "ALTER TABLE t ADD PRIMARY KEY (a)",
            "ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY (a)",
            "ALTER TABLE t ADD CONSTRAINT u UNIQUE USING INDEX i",
            "ALTER TABLE t ADD UNIQUE (a)",
            "ALTER TABLE t ADD CHECK (a > 0)",
            "ALTER TABLE t ADD a int, ALTER b SET NOT NULL",
            "ALTER TABLE t ALTER a SET DEFAULT 1",
            "ALTER TABLE t ATTACH PARTITION p DEFAULT",
            "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
            "ALTER TYPE e ADD VALUE 'x'",
            "ALTER INDEX IF EXISTS i RENAME TO j",
            "ALTER TABLE t * ADD a int",
            "COMMENT ON TABLE t IS 'x'",
            "INSERT INTO t VALUES (1)",
            "DO $$ $$",
            "SELECT f()",
        ],
    );
}

#[test]
fn what_is_not_clearly_understood_has_no_inverse_on_sqlite() {
    assert_none(
        Sqlite,
        &[
            "CREATE TABLE IF NOT EXISTS t (a)",
            "CREATE INDEX IF NOT EXISTS i ON t (a)",
            "CREATE TABLE 't' (a)",
            "DROP TABLE t",
            "ALTER TABLE t DROP COLUMN a",
            "INSERT INTO t VALUES (1)",
        ],
    );
}

/// Names that need care.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "B", "t1", "order_items", "\"q\"", "\"a;b\"", "\"a\"\"b\"", "\"TO\""])
}

proptest! {
    #[test]
    fn the_inverse_of_a_renaming_has_the_renaming_as_its_inverse(
        dialect in prop::sample::select(vec![Postgres, Mysql, Sqlite]),
        form in prop::sample::select(vec!["ALTER TABLE {} RENAME TO []", "ALTER TABLE t RENAME COLUMN {} TO []"]),
        old in name(), new in name(),
    ) {
        let quoted = |name: &str| if dialect == Mysql { name.replace('"', "`") } else { name.to_owned() };
        let text = form.replace("[]", &quoted(new)).replace("{}", &quoted(old));
        if dialect == Mysql && form.contains("COLUMN") && old.eq_ignore_ascii_case(new) {
            return Ok(());
        }
        let Derived::Statement(inverse) = derived(dialect, &text) else { panic!("{text}") };
        prop_assert_eq!(derived(dialect, &inverse), Derived::Statement(text));
    }

    #[test]
    fn the_inverse_of_a_creation_or_an_addition_has_none(
        dialect in prop::sample::select(vec![Postgres, Mysql, Sqlite]),
        form in prop::sample::select(vec![
            "CREATE TABLE {} (a int)", "CREATE VIEW {} AS SELECT 1", "CREATE INDEX {} ON t (a)", "ALTER TABLE t ADD COLUMN {} int",
            "ALTER TABLE {} ADD COLUMN b int",
        ]),
        name in name(),
    ) {
        let name = if dialect == Mysql { name.replace('"', "`") } else { name.to_owned() };
        let text = form.replace("{}", &name);
        let Derived::Statement(inverse) = derived(dialect, &text) else { panic!("{text}") };
        prop_assert!(inverse.contains(&name), "{} does not keep {}", inverse, name);
        prop_assert!(matches!(derived(dialect, &inverse), Derived::None(_)));
    }

    #[test]
    fn no_text_makes_it_fail(
        dialect in prop::sample::select(vec![Postgres, Mysql, Sqlite]),
        words in prop::collection::vec(prop::sample::select(vec![
            "CREATE", "ALTER", "TABLE", "INDEX", "RENAME", "TO", "ADD", "COLUMN", "CONSTRAINT", "a", "b", "\"", ".", ",", "(", ")",
            "ON", "UNIQUE", "IF", "NOT", "EXISTS", "CONCURRENTLY", "OR", "REPLACE", "'x'", "VIEW", "TYPE", "VALUE", "1", "`c`",
        ]), 0..12),
    ) {
        for statement in crate::release::sql::split(dialect, &words.join(" ")).unwrap_or_default() {
            let _ = super::derive(dialect, &statement);
            let _ = crate::release::stepwise::facts(dialect, &statement);
        }
    }
}
