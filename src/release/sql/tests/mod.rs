//! The splitter and the classifiers against tables of cases, written from the servers' manuals and lexers.

mod classify_mysql;
mod classify_postgres;
mod classify_sqlite;
mod properties;
mod split_mysql;
mod split_postgres;
mod split_sqlite;

use super::{Dialect, SplitError, split};

/// The texts of the statements of `script`.
fn texts(dialect: Dialect, script: &str) -> Result<Vec<String>, SplitError> {
    Ok(split(dialect, script)?.into_iter().map(|statement| statement.text).collect())
}

/// Each script gives its statements.
fn assert_splits(dialect: Dialect, cases: &[(&str, &[&str])]) {
    for (script, expected) in cases {
        let found = texts(dialect, script).unwrap_or_else(|error| panic!("{script:?}: {error}"));
        assert_eq!(found, *expected, "{script:?}");
    }
}

/// Each script is one statement as a whole, also with another statement behind it.
fn assert_whole(dialect: Dialect, cases: &[&str]) {
    for script in cases {
        let followed = format!("{script};\nSELECT 'next'");
        let found = texts(dialect, &followed).unwrap_or_else(|error| panic!("{script:?}: {error}"));
        assert_eq!(found, [*script, "SELECT 'next'"], "{script:?}");
    }
}

/// Each script is refused, at this line, with this in the message.
fn assert_refused(dialect: Dialect, cases: &[(&str, u32, &str)]) {
    for (script, line, message) in cases {
        match split(dialect, script) {
            Ok(found) => panic!("{script:?} was split into {found:?}"),
            Err(error) => {
                assert_eq!(error.line(), *line, "{script:?}: {error}");
                assert!(error.to_string().contains(message), "{script:?}: {error}");
            }
        }
    }
}
