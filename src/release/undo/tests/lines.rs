//! `-- undo:` lines.

use super::{told, undos_of};
use crate::base::{Code, Coded};
use crate::release::Dialect::{Mysql, Postgres};

#[test]
fn the_lines_directly_under_a_statement_are_its_undo() {
    for (up, expected) in [
        ("UPDATE t SET a = 1;\n-- undo: UPDATE t SET a = 0;", "written: UPDATE t SET a = 0"),
        ("UPDATE t SET a = 1;   \n\n  --UNDO:UPDATE t SET a = 0", "written: UPDATE t SET a = 0"),
        ("UPDATE t SET a = 1; -- undo: UPDATE t SET a = 0", "written: UPDATE t SET a = 0"),
        ("UPDATE t SET a = 1; -- why\n-- undo: UPDATE t SET a = 0\n-- and", "written: UPDATE t SET a = 0"),
        (
            "UPDATE t SET a = 1;\n-- undo: UPDATE t\n-- undo:   SET a = 0;\n-- undo: SELECT 1",
            "written: UPDATE t\nSET a = 0; SELECT 1",
        ),
        ("UPDATE t SET a = 1;\n-- undo: nothing", "written: "),
        ("UPDATE t SET a = 1;\n-- no undo: it is too late", "-"),
        ("UPDATE t SET a = '\n-- undo: x'", "-"),
        ("DELIMITER //\nUPDATE t SET a = 1 //\n-- undo: UPDATE t SET a = 0;", "written: UPDATE t SET a = 0"),
        (
            "DELIMITER //\nUPDATE t SET a = 1\n//\nDELIMITER ;\n-- undo: UPDATE t SET a = 0;",
            "written: UPDATE t SET a = 0",
        ),
    ] {
        assert_eq!(told(&undos_of(Mysql, up, "").unwrap().each), [expected], "{up:?}");
    }
}

#[test]
fn a_line_that_belongs_to_no_statement_or_cannot_be_run_is_refused_with_its_place() {
    for (up, line, reason) in [
        ("-- undo: SELECT 1\nSELECT 2;", 1, "directly under"),
        ("SELECT 1;\n-- about the next one\n-- undo: SELECT 1\nSELECT 2;", 3, "directly under"),
        ("SELECT 1;\n-- undo: SELECT 1\n\n-- undo: SELECT 2", 4, "directly under"),
        ("SELECT 1;\n/*\n-- undo: SELECT 1\n*/", 3, "directly under"),
        ("SELECT 1;\n-- undo:", 2, "holds no statement"),
        ("SELECT 1;\n-- undo: SELECT 'a", 2, "cannot be read"),
        ("SELECT 1;\n-- undo: COMMIT", 2, "transaction control"),
        ("SELECT 1;\n-- undo: DROP INDEX CONCURRENTLY a; SELECT 1", 2, "more than one statement"),
    ] {
        let error = undos_of(Postgres, up, "").unwrap_err();
        assert_eq!(error.code(), Code::BadDirective, "{up:?}");
        assert!(error.to_string().starts_with(&format!("7_a.up.sql, line {line}: ")), "{up:?}: {error}");
        assert!(error.to_string().contains(reason), "{up:?}: {error}");
    }
}
