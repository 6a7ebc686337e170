//! The statements of a release, ready to run on tenants of one dialect.

use std::collections::BTreeMap;

use crate::base::Digest;
use crate::release::sql::SessionState;
use crate::release::{Dialect, Release, ReleaseError, Script, Statement, Undo, review};
use crate::tenant::{ForeignKeys, SetsSession};

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
}

impl Part {
    /// No statements: what is run where only the ledger is to be told.
    pub(super) fn nothing() -> Self {
        Self {
            digest: Digest::of(b""),
            statements: Vec::new(),
            sets_session: SetsSession::No,
            foreign_keys: ForeignKeys::Unchecked,
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
            let undo = match &migration.undo {
                Undo::Written(script) => Some(part(script, reviewed.undo.statements)),
                Undo::Irreversible | Undo::Missing => None,
            };
            let of = MigrationScripts { digest: migration.digest(), up: part(&migration.up, reviewed.up), undo };
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

fn part(script: &Script, statements: Vec<Statement>) -> Part {
    let changed = statements.iter().any(|statement| statement.class.session == SessionState::Changed);
    Part {
        digest: script.digest,
        sets_session: if changed { SetsSession::Yes } else { SetsSession::No },
        foreign_keys: match script.directives.foreign_keys {
            crate::release::ForeignKeys::Checked => ForeignKeys::Checked,
            crate::release::ForeignKeys::Unchecked => ForeignKeys::Unchecked,
        },
        statements: statements.into_iter().map(|statement| statement.text).collect(),
    }
}
