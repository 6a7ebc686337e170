//! Looking a release through before anything is touched: its statements, what stands in the way, and how good each undo is.

use serde::Serialize;

use super::error::Place;
use super::sql::{Loss, Transactional, split};
use super::{Dialect, Migration, Release, ReleaseError, Script, Statement, Undo, Version};

/// One migration, looked through for one dialect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reviewed {
    /// The migration's version.
    pub version: Version,
    /// Its label: `0007_add_email`.
    pub label: String,
    /// The statements of its up script.
    pub up: Vec<Statement>,
    /// Its way back.
    pub undo: ReviewedUndo,
}

/// The way back of one migration, looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewedUndo {
    /// The statements of its undo script; none where there is no script.
    pub statements: Vec<Statement>,
    /// What is there again once they have run.
    pub quality: UndoQuality,
}

/// What an undo can bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum UndoQuality {
    /// What was there before the migration is there again, if its author wrote the undo to the purpose. What has been written
    /// since into what the migration added goes with it, and is not counted.
    Lossless,
    /// Something that was there before the migration is gone for good.
    Lossy {
        /// Which statement makes it so, and how.
        because: String,
    },
    /// There is none, and the author said so.
    Irreversible,
    /// There is none.
    Missing,
}

/// Looks every migration of `release` through, as a tenant that speaks `dialect` would run it.
///
/// # Errors
/// When the statements of a script cannot be told apart, or one of them cannot run inside Windlass's transaction, or would end
/// that transaction. The first is reported, with its file and line.
pub fn review(release: &Release, dialect: Dialect) -> Result<Vec<Reviewed>, ReleaseError> {
    release.migrations.iter().map(|migration| review_migration(migration, dialect)).collect()
}

fn review_migration(migration: &Migration, dialect: Dialect) -> Result<Reviewed, ReleaseError> {
    let up = statements(&migration.up, dialect)?;
    let undo = match &migration.undo {
        Undo::Written(script) => {
            let statements = statements(script, dialect)?;
            let quality = quality(&up, &statements);
            ReviewedUndo { statements, quality }
        }
        Undo::Irreversible => ReviewedUndo { statements: Vec::new(), quality: UndoQuality::Irreversible },
        Undo::Missing => ReviewedUndo { statements: Vec::new(), quality: UndoQuality::Missing },
    };
    Ok(Reviewed { version: migration.version.clone(), label: migration.label().to_owned(), up, undo })
}

fn statements(script: &Script, dialect: Dialect) -> Result<Vec<Statement>, ReleaseError> {
    let statements = split(dialect, &script.text)
        .map_err(|source| ReleaseError::Unsplittable { file: script.file.clone(), source })?;
    for (statement, number) in statements.iter().zip(1..) {
        let place = || {
            let (file, line, beginning) = (script.file.clone(), statement.line, statement.beginning());
            Box::new(Place { file, number, line, beginning })
        };
        if statement.class.control.is_some() {
            return Err(ReleaseError::TransactionControl { statement: place() });
        }
        if let Transactional::No { reason } = &statement.class.transactional {
            let instead = instead_of(&statement.text);
            return Err(ReleaseError::NotTransactional { statement: place(), reason: reason.clone(), instead });
        }
    }
    Ok(statements)
}

/// What to write in place of a statement that cannot run in a transaction.
fn instead_of(statement: &str) -> &'static str {
    let statement = statement.to_ascii_lowercase();
    if statement.starts_with("pragma") && statement.contains("foreign_keys") {
        "leave it out: Windlass runs migrations with foreign keys off and checks them before the commit"
    } else if statement.contains("concurrently") {
        "leave CONCURRENTLY out, or run the statement outside of a deploy"
    } else {
        "run it outside of a deploy, and remove it from the migration"
    }
}

fn quality(up: &[Statement], undo: &[Statement]) -> UndoQuality {
    if undo.is_empty() && !up.is_empty() {
        return UndoQuality::Lossy { because: "the undo holds no statement".to_owned() };
    }
    let because = up.iter().zip(1..).find_map(|(statement, number): (_, usize)| match &statement.class.loss {
        Loss::None => None,
        Loss::Destroys { what } => Some(format!("statement {number} (line {}) destroys {what}", statement.line)),
        Loss::Unknown { why } => Some(format!("statement {number} (line {}): {why}", statement.line)),
    });
    because.map_or(UndoQuality::Lossless, |because| UndoQuality::Lossy { because })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, Coded};

    fn release(up: &str, undo: Undo) -> Release {
        let up = Script::new("0007_a.up.sql".to_owned(), up);
        Release::new(None, vec![Migration::new("0007", "a".to_owned(), up, undo).unwrap()]).unwrap()
    }

    fn written(down: &str) -> Undo {
        Undo::Written(Script::new("0007_a.down.sql".to_owned(), down))
    }

    fn quality_of(dialect: Dialect, up: &str, undo: Undo) -> UndoQuality {
        review(&release(up, undo), dialect).unwrap().remove(0).undo.quality
    }

    #[test]
    fn a_statement_that_cannot_run_in_a_transaction_is_refused_with_its_place_in_up_and_undo() {
        let text = "SELECT 1;\n\nCREATE INDEX CONCURRENTLY i\n  ON t (a);";
        let up = review(&release(text, Undo::Missing), Dialect::Postgres).unwrap_err();
        assert_eq!(up.code(), Code::NotTransactional);
        let place = "0007_a.up.sql, line 3: statement 2 (`CREATE INDEX CONCURRENTLY i ON t (a)`)";
        assert!(up.to_string().starts_with(place), "{up}");
        let undo = review(&release("SELECT 1", written("VACUUM")), Dialect::Postgres).unwrap_err();
        assert!(undo.to_string().starts_with("0007_a.down.sql, line 1: statement 1 (`VACUUM`)"), "{undo}");
        let pragma = review(&release("PRAGMA foreign_keys = OFF", Undo::Missing), Dialect::Sqlite).unwrap_err();
        assert!(pragma.next().unwrap().contains("leave it out"));
    }

    #[test]
    fn transaction_control_and_text_that_cannot_be_split_are_refused_with_their_place() {
        let control = review(&release("SELECT 1;\nCOMMIT;", Undo::Missing), Dialect::Sqlite).unwrap_err();
        assert_eq!(control.code(), Code::TransactionControl);
        assert!(control.to_string().starts_with("0007_a.up.sql, line 2: statement 2 (`COMMIT`)"));
        let open = review(&release("SELECT 1;\nSELECT 'a", Undo::Missing), Dialect::Postgres).unwrap_err();
        assert_eq!(open.code(), Code::UnsplittableSql);
        assert_eq!(open.to_string(), "0007_a.up.sql, line 2: this string literal is never closed");
    }

    #[test]
    fn an_undo_is_lossless_unless_something_that_was_there_before_is_gone() {
        let dialect = Dialect::Postgres;
        let add = "CREATE TABLE t (a int); ALTER TABLE u DROP CONSTRAINT k; DROP INDEX i;";
        assert_eq!(quality_of(dialect, add, written("DROP TABLE t")), UndoQuality::Lossless);
        let because = |up: &str| match quality_of(dialect, up, written("SELECT 1")) {
            UndoQuality::Lossy { because } => because,
            other => panic!("{other:?}"),
        };
        assert_eq!(because("SELECT 1;\nDROP TABLE t"), "statement 2 (line 2) destroys table t and its rows");
        assert!(because("DO $$ $$").contains("cannot be told"));
    }

    #[test]
    fn an_undo_without_a_statement_brings_nothing_back() {
        let empty = quality_of(Dialect::Sqlite, "CREATE TABLE t (a)", written("-- later"));
        assert!(matches!(empty, UndoQuality::Lossy { .. }));
        assert_eq!(quality_of(Dialect::Sqlite, "-- nothing", written("")), UndoQuality::Lossless);
        assert_eq!(quality_of(Dialect::Sqlite, "SELECT 1", Undo::Missing), UndoQuality::Missing);
        assert_eq!(quality_of(Dialect::Sqlite, "SELECT 1", Undo::Irreversible), UndoQuality::Irreversible);
    }
}
