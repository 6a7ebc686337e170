//! What can be wrong with a release.

use std::io;
use std::path::PathBuf;

use super::Version;
use super::sql::SplitError;
use crate::base::{Code, Coded};

/// A release cannot be read, or cannot be carried by a saga. Nothing has been touched.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The folder is not there, is no folder, or cannot be read.
    #[error("the migration folder {} cannot be read: {source}", dir.display())]
    FolderUnreadable {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder is there, without a migration in it.
    #[error("the migration folder {place} holds no migration")]
    FolderEmpty {
        /// The folder.
        place: String,
    },
    /// Two files claim the same place.
    #[error("{first} and {second} are both version {version}")]
    DuplicateVersion {
        /// The version.
        version: Version,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// A file undoes a migration that is not there under the same name.
    #[error("{file} undoes a migration that is not there: there is no {wanted}")]
    OrphanUndo {
        /// The down file.
        file: String,
        /// The up file that belongs to it.
        wanted: String,
    },
    /// An SQL file that is in no known form.
    #[error("{file} is in the migration folder, and its name is not that of a migration")]
    BadName {
        /// The file.
        file: String,
    },
    /// A file that is there and cannot be read as text.
    #[error("{file} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// A `-- windlass:` or `-- undo:` line that says nothing we can follow.
    #[error("{file}, line {line}: `{directive}` {reason}")]
    BadDirective {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// The directive as written.
        directive: String,
        /// What is wrong with it, completing "this directive …".
        reason: String,
    },
    /// More than a limit allows.
    #[error("{what}: more than {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
        /// Its unit.
        unit: &'static str,
    },
    /// The statements of a file cannot be told apart.
    #[error("{file}, {source}")]
    Unsplittable {
        /// The file.
        file: String,
        /// Where and why.
        source: SplitError,
    },
    /// A statement that is refused however the migration is run.
    #[error("{statement} cannot be run: {reason}")]
    NoPlace {
        /// Which.
        statement: Box<Place>,
        /// Why not.
        reason: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// A statement that would end, or disturb, the transaction around it.
    #[error("{statement} is transaction control, and the transaction around a migration is Windlass's own")]
    TransactionControl {
        /// Which.
        statement: Box<Place>,
    },
    /// The stored form of a release does not read back.
    #[error("the stored release does not read back: {reason}")]
    BadManifest {
        /// Why not.
        reason: String,
    },
    /// The stored form of a release is of a later format.
    #[error("the stored release has format {format}, and this Windlass knows format {known}")]
    NewerManifest {
        /// The format it has.
        format: u32,
        /// The newest that we know.
        known: u32,
    },
}

/// A statement, for messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: statement {number} (`{beginning}`)")]
pub struct Place {
    /// The file.
    pub file: String,
    /// Its number among the statements of the file, from 1.
    pub number: usize,
    /// The line where it starts, from 1.
    pub line: u32,
    /// How it begins.
    pub beginning: String,
}

impl Coded for ReleaseError {
    fn code(&self) -> Code {
        match self {
            Self::FolderUnreadable { .. } => Code::ReleaseMissing,
            Self::FolderEmpty { .. } => Code::ReleaseEmpty,
            Self::DuplicateVersion { .. } | Self::OrphanUndo { .. } => Code::DuplicateVersion,
            Self::BadName { .. } => Code::BadMigrationName,
            Self::Unreadable { .. } => Code::UnreadableMigration,
            Self::BadDirective { .. } => Code::BadDirective,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Unsplittable { source, .. } => source.code(),
            Self::NoPlace { .. } => Code::NoPlace,
            Self::TransactionControl { .. } => Code::TransactionControl,
            Self::BadManifest { .. } => Code::LogCorrupt,
            Self::NewerManifest { .. } => Code::LogNewer,
        }
    }

    fn next(&self) -> Option<String> {
        let next = match self {
            Self::FolderUnreadable { .. } => "set `dir` under [release] in windlass.toml to a folder that can be read",
            Self::FolderEmpty { .. } => "add a migration, such as 0001_init.up.sql with 0001_init.down.sql",
            Self::DuplicateVersion { .. } => "give one of them another version",
            Self::OrphanUndo { .. } => "give both files of the migration the same name, or remove this one",
            Self::BadName { .. } => {
                "name it <digits>_<name>.up.sql or <digits>_<name>.down.sql, or move it out of the folder"
            }
            Self::Unreadable { .. } => "make it a readable file of UTF-8 text",
            Self::BadDirective { .. } => {
                "the directives are `-- windlass: irreversible` and `-- windlass: foreign-keys = unchecked`, before the first \
                 statement, and `-- undo: …`, directly under the statement that it undoes"
            }
            Self::TooLarge { .. } => "split it, or load the data by other means than a migration",
            Self::Unsplittable { source, .. } => return source.next(),
            Self::NoPlace { instead, .. } => instead,
            Self::TransactionControl { .. } => "remove it",
            Self::BadManifest { .. } => "windlass audit verify",
            Self::NewerManifest { .. } => "run the Windlass that wrote it, or a later one",
        };
        Some(next.to_owned())
    }
}
