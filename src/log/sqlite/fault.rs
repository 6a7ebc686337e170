//! What SQLite says, in the words of the log.

use std::path::Path;

use crate::base::limits::LOG_BUSY_TIMEOUT;
use crate::log::{LogError, rules};

/// SQLite's primary result codes that mean something of their own here.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_READONLY: i32 = 8;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;
/// The shared-memory file beside the log could not be grown. SQLite turns a failed write for want of room into `SQLITE_FULL`
/// itself, and has only this for a failed extension.
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

/// Why an operation inside a transaction did not succeed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database refused a statement: the whole transaction is lost.
    Sql(sqlx::Error),
    /// The log has an answer, and it is this error: only the one who asked is concerned.
    Log(LogError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Fault::Sql(error)
    }
}

impl From<LogError> for Fault {
    fn from(error: LogError) -> Self {
        Fault::Log(error)
    }
}

/// Where the log is, for errors to say.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// `sqlite://` and the path.
    pub(super) url: String,
}

impl Site {
    pub(super) fn of(path: &Path) -> Self {
        Self { url: format!("sqlite://{}", path.display()) }
    }

    pub(super) fn unavailable(&self, reason: impl Into<String>) -> LogError {
        LogError::Unavailable { url: self.url.clone(), reason: reason.into() }
    }

    pub(super) fn error(&self, fault: Fault) -> LogError {
        match fault {
            Fault::Sql(error) => self.sql(&error),
            Fault::Log(error) => error,
        }
    }

    pub(super) fn sql(&self, error: &sqlx::Error) -> LogError {
        let url = || self.url.clone();
        let busy = || LogError::Busy { url: url(), waited_ms: millis(LOG_BUSY_TIMEOUT) };
        match error {
            sqlx::Error::PoolTimedOut => busy(),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => rules::corrupt(&self.url, error.to_string()),
            sqlx::Error::Database(database) => {
                let code = code_of(&**database);
                match code & 0xff {
                    SQLITE_BUSY | SQLITE_LOCKED => busy(),
                    SQLITE_FULL => LogError::Full { url: url() },
                    _ if code == SQLITE_IOERR_SHMSIZE => LogError::Full { url: url() },
                    SQLITE_CORRUPT => rules::corrupt(&self.url, database.message()),
                    SQLITE_NOTADB => self.unavailable("the file is not a database"),
                    _ => self.unavailable(error.to_string()),
                }
            }
            _ => self.unavailable(error.to_string()),
        }
    }
}

/// Whether SQLite refused because the file cannot be written at all.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if code_of(&**database) & 0xff == SQLITE_READONLY)
}

fn code_of(error: &dyn sqlx::error::DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or_default()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
