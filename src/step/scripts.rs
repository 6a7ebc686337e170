//! The statements of a release, ready to run on tenants of one dialect.

use std::collections::BTreeMap;

use crate::base::Digest;
use crate::release::sql::SessionState;
use crate::release::stepwise::{Mode, facts, facts_together};
use crate::release::{Dialect, Release, ReleaseError, Script, Statement, StatementUndo, Undo, review};
use crate::tenant::{ForeignKeys, SetsSession, Stride};

/// One script, split.
#[derive(Debug, Clone)]
pub struct Part {
    /// The digest of the script.
    pub digest: Digest,
    /// Its statements, without their semicolons.
    pub statements: Vec<String>,
    /// Whether one of them changes the session.
    pub sets_session: SetsSession,
    /// Whether foreign keys are checked before the commit.
    pub foreign_keys: ForeignKeys,
    /// How it goes where a statement of it commits by itself. None where all of it is one transaction.
    pub stepwise: Option<Steps>,
}

/// A script that goes stride by stride.
#[derive(Debug, Clone)]
pub struct Steps {
    /// One for each statement, in order.
    pub strides: Vec<Stride>,
    /// What takes back each of them, under the same number. Without texts where there is nothing to take back.
    pub undos: Vec<Option<Stride>>,
}

impl Part {
    /// No statements: what is run where only the ledger is to be told.
    pub(super) fn nothing() -> Self {
        Self {
            digest: Digest::of(b""),
            statements: Vec::new(),
            sets_session: SetsSession::No,
            foreign_keys: ForeignKeys::Unchecked,
            stepwise: None,
        }
    }
}

/// One migration.
#[derive(Debug, Clone)]
pub struct MigrationScripts {
    /// The digest of its up script, which names it in ledgers.
    pub digest: Digest,
    /// The way up.
    pub up: Part,
    /// The way back, where there is one.
    pub undo: Option<Part>,
}

/// All migrations of a release by version.
#[derive(Debug, Clone)]
pub struct Scripts(BTreeMap<String, MigrationScripts>);

impl Scripts {
    /// Splits and classifies a release once for all tenants of a dialect.
    pub fn of(release: &Release, dialect: Dialect) -> Result<Self, ReleaseError> {
        let reviewed = review(release, dialect)?;
        let scripts = release.migrations.iter().zip(reviewed).map(|(migration, reviewed)| {
            let up = Splitting { dialect, script: &migration.up, mode: reviewed.mode, undos: reviewed.undos };
            let back = reviewed.undo;
            let undo = match &migration.undo {
                Undo::Written(script) => {
                    let undo = Splitting { dialect, script, mode: back.mode, undos: back.undos };
                    Some(undo.part(back.statements))
                }
                Undo::Irreversible | Undo::Missing => None,
            };
            let of = MigrationScripts { digest: migration.digest(), up: up.part(reviewed.up), undo };
            (migration.version.as_str().to_owned(), of)
        });
        Ok(Self(scripts.collect()))
    }

    /// The scripts of a version.
    #[must_use]
    pub fn get(&self, version: &str) -> Option<&MigrationScripts> {
        self.0.get(version)
    }
}

/// A reviewed script, but for its statements.
struct Splitting<'a> {
    dialect: Dialect,
    script: &'a Script,
    mode: Mode,
    undos: Vec<Option<StatementUndo>>,
}

impl Splitting<'_> {
    fn part(self, statements: Vec<Statement>) -> Part {
        let changed = statements.iter().any(|statement| statement.class.session == SessionState::Changed);
        let stepwise = match self.mode {
            Mode::Stepwise => Some(self.steps(&statements)),
            Mode::Transactional => None,
        };
        Part {
            digest: self.script.digest,
            sets_session: if changed { SetsSession::Yes } else { SetsSession::No },
            foreign_keys: match self.script.directives.foreign_keys {
                crate::release::ForeignKeys::Checked => ForeignKeys::Checked,
                crate::release::ForeignKeys::Unchecked => ForeignKeys::Unchecked,
            },
            stepwise,
            statements: statements.into_iter().map(|statement| statement.text).collect(),
        }
    }

    fn steps(&self, statements: &[Statement]) -> Steps {
        let stride = |number, statement: &Statement| {
            let texts = vec![statement.text.clone()];
            Stride { number, texts, facts: facts(self.dialect, statement) }
        };
        let back = |number, undo: &Option<StatementUndo>| {
            let undo = undo.as_ref()?;
            let texts = undo.statements.iter().map(|statement| statement.text.clone()).collect();
            Some(Stride { number, texts, facts: facts_together(self.dialect, &undo.statements) })
        };
        Steps {
            strides: (1..).zip(statements).map(|(number, statement)| stride(number, statement)).collect(),
            undos: (1..).zip(&self.undos).map(|(number, undo)| back(number, undo)).collect(),
        }
    }
}
