//! Looking a release through before anything is touched: its statements, what stands in the way, and how good each undo is.

use serde::Serialize;

use super::error::Place;
use super::sql::{Loss, split};
use super::stepwise::{Mode, mode, refusal};
use super::undo::{self, FromTheMiddle, StatementUndo};
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
    /// How they are run.
    pub mode: Mode,
    /// Whether it can be brought back after some of its statements. None where it is transactional: it never stops there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_the_middle: Option<FromTheMiddle>,
    /// The undo of each of its statements by itself, in their order. Empty where it is transactional.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undos: Vec<Option<StatementUndo>>,
    /// Its way back as a whole.
    pub undo: ReviewedUndo,
}

/// The way back of one migration, looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewedUndo {
    /// The statements of its undo script; none where there is no script.
    pub statements: Vec<Statement>,
    /// How they are run.
    pub mode: Mode,
    /// What takes back each of them by itself, in their order: where the undo itself stops in its middle, or is what a rollback
    /// does. Empty where it is transactional.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undos: Vec<Option<StatementUndo>>,
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
/// When the statements of a script cannot be told apart, or one of them has no place in a migration or would end Windlass's own
/// transaction. The first is reported, with its file and line.
pub fn review(release: &Release, dialect: Dialect) -> Result<Vec<Reviewed>, ReleaseError> {
    release.migrations.iter().map(|migration| Reviewer { dialect }.migration(migration)).collect()
}

/// The rules that scripts are read by.
#[derive(Clone, Copy)]
struct Reviewer {
    dialect: Dialect,
}

impl Reviewer {
    fn migration(self, migration: &Migration) -> Result<Reviewed, ReleaseError> {
        let (up, mode) = self.script(&migration.up)?;
        let undo = self.undo(&up, &migration.undo)?;
        // Also of a transactional script, which has no use for them: what its author wrote there is not passed over in silence.
        let undos = undo::undos(self.dialect, &migration.up, &up, &undo.statements)?;
        let (from_the_middle, undos) = match mode {
            Mode::Stepwise => (Some(undos.verdict), undos.each),
            Mode::Transactional => (None, Vec::new()),
        };
        let (version, label) = (migration.version.clone(), migration.label().to_owned());
        Ok(Reviewed { version, label, up, mode, from_the_middle, undos, undo })
    }

    fn undo(self, up: &[Statement], undo: &Undo) -> Result<ReviewedUndo, ReleaseError> {
        let quality = match undo {
            Undo::Written(script) => {
                undo::refuse_lines(script)?;
                let (statements, mode) = self.script(script)?;
                let quality = quality(up, &statements);
                let undos = match mode {
                    Mode::Stepwise => undo::undos(self.dialect, script, &statements, up)?.each,
                    Mode::Transactional => Vec::new(),
                };
                return Ok(ReviewedUndo { statements, mode, undos, quality });
            }
            Undo::Irreversible => UndoQuality::Irreversible,
            Undo::Missing => UndoQuality::Missing,
        };
        let mode = Mode::Transactional;
        Ok(ReviewedUndo { statements: Vec::new(), mode, undos: Vec::new(), quality })
    }

    fn script(self, script: &Script) -> Result<(Vec<Statement>, Mode), ReleaseError> {
        let statements = split(self.dialect, &script.text)
            .map_err(|source| ReleaseError::Unsplittable { file: script.file.clone(), source })?;
        let mode = mode(self.dialect, &statements);
        for (at, statement) in statements.iter().enumerate() {
            if statement.class.control.is_some() {
                return Err(ReleaseError::TransactionControl { statement: Box::new(place(script, at, statement)) });
            }
            if let Some(refusal) = refusal(self.dialect, mode, &statement.text) {
                let statement = Box::new(place(script, at, statement));
                return Err(ReleaseError::NoPlace { statement, reason: refusal.reason, instead: refusal.instead });
            }
        }
        Ok((statements, mode))
    }
}

/// The statement at this place in the list, for messages.
fn place(script: &Script, at: usize, statement: &Statement) -> Place {
    let (file, line, beginning) = (script.file.clone(), statement.line, statement.beginning());
    Place { file, number: at + 1, line, beginning }
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

    /// The release's only migration.
    fn stepwise(dialect: Dialect, up: &str, undo: Undo) -> Result<Reviewed, ReleaseError> {
        review(&release(up, undo), dialect).map(|mut reviewed| reviewed.remove(0))
    }

    fn quality_of(dialect: Dialect, up: &str, undo: Undo) -> UndoQuality {
        review(&release(up, undo), dialect).unwrap().remove(0).undo.quality
    }

    #[test]
    fn a_statement_that_has_no_place_in_a_migration_is_refused_however_it_is_run() {
        for (dialect, statement) in [
            (Dialect::Postgres, "CREATE DATABASE d"),
            (Dialect::Postgres, "ALTER SYSTEM SET work_mem = '1MB'"),
            (Dialect::Mysql, "USE other"),
            (Dialect::Mysql, "LOCK TABLES t WRITE"),
            (Dialect::Sqlite, "VACUUM INTO 'copy.db'"),
        ] {
            let refused = stepwise(dialect, &format!("SELECT 1;\n{statement};"), Undo::Missing).unwrap_err();
            assert_eq!(refused.code(), Code::NoPlace, "{statement}");
            assert!(refused.to_string().starts_with("0007_a.up.sql, line 2: statement 2"), "{refused}");
        }
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
    fn a_script_is_stepwise_where_one_of_its_statements_commits_by_itself() {
        let concurrently = "CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 1";
        let down = "DROP TABLE t;";
        let reviewed = stepwise(Dialect::Postgres, concurrently, written(down)).unwrap();
        assert_eq!((reviewed.mode, reviewed.undo.mode), (Mode::Stepwise, Mode::Transactional));
        assert_eq!(reviewed.from_the_middle, Some(FromTheMiddle::Yes));
        assert_eq!(reviewed.undos.len(), 3);
        let mixed = "ALTER TABLE t MODIFY a BIGINT;\nUPDATE t SET a = 1;\nALTER TABLE t ADD b INT";
        let Some(FromTheMiddle::No { because }) =
            stepwise(Dialect::Mysql, mixed, Undo::Missing).unwrap().from_the_middle
        else {
            panic!("the first statement has no undo")
        };
        assert_eq!(because, "statement 1 (`ALTER TABLE t MODIFY a BIGINT`) has no undo of its own");
        let transactional = stepwise(Dialect::Mysql, "UPDATE t SET a = 1", Undo::Missing).unwrap();
        assert_eq!((transactional.mode, transactional.from_the_middle), (Mode::Transactional, None));
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
