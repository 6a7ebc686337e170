//! What SQLite says, in the words of the log.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use uuid::Uuid;

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

/// Its other words for a failed write. It knows only one reason for them to be for want of room, a disk without any; a quota and a limit
/// on the size of files are reasons too.
const SQLITE_IOERR_WRITE: i32 = 778;
const SQLITE_IOERR_FSYNC: i32 = 1034;
const SQLITE_IOERR_TRUNCATE: i32 = 1546;

/// How close to the limit of its size a file is that could not be written any further: more than what SQLite writes at once.
const NEAR_LIMIT_BYTES: u64 = 64 * 1024;

/// Bytes that are written to see whether any can be: more than an empty log needs.
const PROBE_BYTES: usize = 256 * 1024;

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
    /// Which file lay there when it was opened; none before that.
    file: Option<FileId>,
}

/// A file, whatever it is called: its device, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        let file = std::fs::metadata(path)?;
        Ok(Self(file.dev(), file.ino()))
    }
}

impl Site {
    pub(super) fn of(path: &Path) -> Self {
        Self { url: format!("sqlite://{}", path.display()), file: None }
    }

    /// The same, when the file has been opened: it has to stay where it is from now on.
    pub(super) fn opened(self, path: &Path) -> Result<Self, LogError> {
        let file = FileId::of(path).map_err(|error| self.unavailable(error.to_string()))?;
        Ok(Self { file: Some(file), ..self })
    }

    /// Refuses to go on where the file that was opened is not at its place any more. SQLite would not notice: it goes on with the open file,
    /// says that it has committed, and nobody who opens the log by its name ever finds what was written.
    pub(super) fn check_place(&self) -> Result<(), LogError> {
        let (Some(opened), Some(path)) = (self.file, self.url.strip_prefix("sqlite://").map(Path::new)) else {
            return Ok(());
        };
        match FileId::of(path) {
            Ok(there) if there == opened => Ok(()),
            Ok(_) => Err(self.unavailable(
                "another file lies in its place since it was opened. This process does not mix the two: end it, and start it again with \
                 the file that is meant",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.unavailable("it was moved away or removed while it was open. Put it back, with its -wal, and it is used again"))
            }
            Err(error) => Err(self.unavailable(error.to_string())),
        }
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
                    _ if matches!(code, SQLITE_IOERR_WRITE | SQLITE_IOERR_FSYNC | SQLITE_IOERR_TRUNCATE)
                        && self.has_no_room() =>
                    {
                        LogError::Full { url: url() }
                    }
                    SQLITE_CORRUPT => rules::corrupt(&self.url, database.message()),
                    SQLITE_NOTADB => self.unavailable("the file is not a database"),
                    _ => self.unavailable(error.to_string()),
                }
            }
            _ => self.unavailable(error.to_string()),
        }
    }

    /// Whether what could not be written is for want of room: SQLite does not say, so the system is asked. It answers when room is given
    /// out, not when the disk has it, so nobody waits for the disk here.
    fn has_no_room(&self) -> bool {
        let Some(path) = self.url.strip_prefix("sqlite://").map(Path::new) else { return false };
        is_at_its_limit(path)
            || path.parent().is_some_and(|folder| try_to_write(folder).is_err_and(|error| is_full(&error)))
    }
}

/// Whether the log, or a file beside it, is as large as a file of this process may be.
fn is_at_its_limit(path: &Path) -> bool {
    let Some(limit) = getrlimit(Resource::Fsize).current else { return false };
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let sizes = ["", "-wal", "-shm"].map(|suffix| std::fs::metadata(beside(suffix)).map_or(0, |file| file.len()));
    sizes.iter().any(|size| size + NEAR_LIMIT_BYTES > limit)
}

/// Writes something into a file that has no name any more by then, so that none is left, but where the process dies between two lines.
fn try_to_write(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".windlass-room-{}", Uuid::now_v7().simple()));
    let mut file = File::create_new(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all(&vec![0; PROBE_BYTES])
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
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
