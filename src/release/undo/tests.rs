//! Undos of single statements, case by case; on `SQLite`, run.

mod derived;
mod lines;
mod paired;
mod run_sqlite;

use super::derive::{Derived, derive};
use super::{FromTheMiddle, Origin, StatementUndo, Undos, undos};
use crate::release::sql::split;
use crate::release::{Dialect, ReleaseError, Script};

/// What the only statement of `text` says of its undo.
fn derived(dialect: Dialect, text: &str) -> Derived {
    let found = split(dialect, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(found.len(), 1, "{text}");
    derive(dialect, &found[0])
}

/// The undos of a script and its undo script.
fn undos_of(dialect: Dialect, up: &str, down: &str) -> Result<Undos, ReleaseError> {
    let script = Script::new("7_a.up.sql".to_owned(), up);
    let up = split(dialect, &script.text).unwrap();
    undos(dialect, &script, &up, &split(dialect, down).unwrap())
}

/// Where each undo comes from, and its statements; `-` where there is none.
fn told(undos: &[Option<StatementUndo>]) -> Vec<String> {
    let told = |undo: &StatementUndo| {
        let statements: Vec<_> = undo.statements.iter().map(|statement| statement.text.as_str()).collect();
        let origin = match undo.origin {
            Origin::Written => "written",
            Origin::Derived => "derived",
            Origin::Paired => "paired",
        };
        format!("{origin}: {}", statements.join("; "))
    };
    undos.iter().map(|undo| undo.as_ref().map_or("-".to_owned(), told)).collect()
}

#[test]
fn the_authors_word_comes_before_what_the_statement_says_and_that_before_the_undo_script() {
    let up =
        "CREATE TABLE a (x INT);\n-- undo: DROP TABLE IF EXISTS a\nCREATE TABLE b (x INT);\nDROP TABLE c;\nSELECT 1;";
    let down = "CREATE TABLE c (x INT); DROP TABLE b; DROP TABLE a;";
    let undos = undos_of(Dialect::Mysql, up, down).unwrap();
    assert_eq!(
        told(&undos.each),
        ["written: DROP TABLE IF EXISTS a", "derived: DROP TABLE b", "paired: CREATE TABLE c (x INT)", "derived: "]
    );
    assert_eq!(undos.verdict, FromTheMiddle::Yes);
}

#[test]
fn a_migration_can_be_undone_from_the_middle_if_each_statement_before_the_last_can() {
    let verdict = |up: &str| undos_of(Dialect::Mysql, up, "").unwrap().verdict;
    assert_eq!(verdict("ALTER TABLE t MODIFY a BIGINT"), FromTheMiddle::Yes);
    assert_eq!(verdict("CREATE TABLE a (x INT); DROP TABLE b"), FromTheMiddle::Yes);
    assert_eq!(verdict(""), FromTheMiddle::Yes);
    let FromTheMiddle::No { because } =
        verdict("CREATE TABLE a (x INT); CREATE TABLE IF NOT EXISTS b (x INT); SELECT 1")
    else {
        panic!("the second statement has no undo")
    };
    let expected = "statement 2 (`CREATE TABLE IF NOT EXISTS b (x INT)`) has no undo of its own: it may have found what it makes \
                    there already";
    assert_eq!(because, expected);
}
