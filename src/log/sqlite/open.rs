//! Opening the file: what it must be before anything in it is touched, and how it comes to be.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection};

use super::fault::{self, Site};
use crate::base::limits::LOG_BUSY_TIMEOUT;
use crate::base::{Clock, LogId};
use crate::log::LogError;
use crate::saga::event::FORMAT;

/// The tables of format 1, which every log begins with.
const SCHEMA: &str = include_str!("../../../migrations/sqlite/0001_log.sql");

/// The format of [`SCHEMA`].
const FIRST_FORMAT: u32 = 1;

/// What raises a log, in order: the format that each step starts from, and its text. A log that is made goes through all of them, an older
/// one through those from its own format on, so that both come to the same tables. A format may have several; the last text of each sets
/// `meta.format` to the next.
const STEPS: &[(u32, &str)] = &[
    (1, include_str!("../../../migrations/sqlite/0002_desk.sql")),
    (1, include_str!("../../../migrations/sqlite/0003_format_2.sql")),
];

/// `WNDL`, in the header of every log: what `file` and SQLite's own tools tell such a file by.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"WNDL");

/// Connections that read. They wait for nobody; more than these would only share the same disk.
const READERS_MAX: u32 = 4;

/// Bytes of write-ahead log that are kept for reuse once they have been moved into the file.
const WAL_BYTES_KEPT: u32 = 64 * 1024 * 1024;

/// How long to wait before asking again for the write-ahead mode, which SQLite's own busy handler does not wait for.
const WAL_PAUSE: Duration = Duration::from_millis(10);

/// What may be set when a log is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteOptions {
    /// The highest number of pages (of 4096 bytes) that the file may grow to; beyond it, the log counts as full
    /// ([`LogError::Full`]). Unlimited where absent.
    pub pages_max: Option<u32>,
}

/// Whether a file that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Refuse,
}

/// An opened log's connections.
pub(super) struct Opened {
    pub(super) site: Site,
    pub(super) id: LogId,
    pub(super) writer: SqliteConnection,
    pub(super) readers: SqlitePool,
}

pub(super) async fn open(
    path: &Path,
    missing: Missing,
    settings: SqliteOptions,
    clock: &dyn Clock,
) -> Result<Opened, LogError> {
    // Absolute, so that a later change of the working folder changes nothing, and no name is mistaken for one of SQLite's own.
    let path = std::path::absolute(path).map_err(|error| Site::of(path).unavailable(error.to_string()))?;
    let site = Site::of(&path);
    inspect(&site, &path, missing)?;
    if missing == Missing::Create {
        reserve(&site, &path)?;
    }
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .busy_timeout(LOG_BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut writer = options
        .clone()
        .create_if_missing(missing == Missing::Create)
        .pragma("journal_size_limit", WAL_BYTES_KEPT.to_string())
        .connect()
        .await
        .map_err(|error| site.sql(&error))?;
    let (id, format) = match identify(&site, &mut writer).await? {
        Some(found) => found,
        None => create(&site, &mut writer, clock).await?,
    };
    write_ahead(&site, &mut writer).await?;
    raise(&site, &mut writer, format).await?;
    if let Some(pages) = settings.pages_max {
        let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(limit).execute(&mut writer).await.map_err(|error| site.sql(&error))?;
    }
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(LOG_BUSY_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options.read_only(true));
    Ok(Opened { site: site.opened(&path)?, id, writer, readers })
}

/// Looks at the file without SQLite, which may write beside a file that it merely opens: whatever is not ours stays untouched.
fn inspect(site: &Site, path: &PathBuf, missing: Missing) -> Result<(), LogError> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            if !folder.is_dir() {
                return Err(site.unavailable(format!("the folder {} does not exist", folder.display())));
            }
            return match missing {
                Missing::Create => Ok(()),
                Missing::Refuse => Err(site
                    .unavailable("there is no such file: no deploy has been made with this log, or it lies elsewhere")),
            };
        }
        Err(error) => return Err(site.unavailable(error.to_string())),
    };
    let mut header = Vec::with_capacity(HEADER_BYTES);
    file.by_ref()
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut header)
        .map_err(|error| site.unavailable(error.to_string()))?;
    match application_of(&header) {
        // An empty file is a database without tables, to SQLite and to us.
        _ if header.is_empty() && missing == Missing::Create => Ok(()),
        _ if header.is_empty() => Err(site.unavailable("the file is empty: no deploy has been made with this log")),
        None => Err(site.unavailable("the file is not a database. Nothing was changed")),
        Some(APPLICATION_ID) => Ok(()),
        Some(_) => Err(site.unavailable("the file is a database of something else. Nothing was changed")),
    }
}

/// Makes the file, if it is not there, for its owner alone: it holds every migration, and what servers said of customers' rows.
/// SQLite gives the files beside it the same rights.
fn reserve(site: &Site, path: &Path) -> Result<(), LogError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| site.unavailable(error.to_string()))
}

/// Bytes of the header of an SQLite file.
const HEADER_BYTES: usize = 100;

/// The application id in the header of an SQLite file; none where it is not one.
fn application_of(header: &[u8]) -> Option<u32> {
    let id = header.strip_prefix(b"SQLite format 3\0").filter(|_| header.len() == HEADER_BYTES)?;
    // Bytes 68 to 71 of the header, by the file format's own definition.
    id.get(52..56)?.try_into().ok().map(u32::from_be_bytes)
}

/// The log's id and format, once that is known to be one that we read; none where the file has no tables yet.
async fn identify(site: &Site, connection: &mut SqliteConnection) -> Result<Option<(LogId, u32)>, LogError> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| site.sql(&error))?;
    if tables == 0 {
        return Ok(None);
    }
    let (found, id): (u32, String) = sqlx::query_as("SELECT format, log_id FROM meta")
        .fetch_one(connection)
        .await
        .map_err(|error| site.sql(&error))?;
    if found > FORMAT {
        return Err(LogError::Newer { url: site.url.clone(), found, known: FORMAT });
    }
    id.parse()
        .map(|id| Some((id, found)))
        .map_err(|_| crate::log::rules::corrupt("table meta", format!("{id:?} is not a log's id")))
}

/// Makes the tables. In one transaction that nobody else can be in, so that of two processes that find no log, one makes it and
/// the other finds it; and a crash inside leaves an empty file, which is as good as none.
async fn create(site: &Site, connection: &mut SqliteConnection, clock: &dyn Clock) -> Result<(LogId, u32), LogError> {
    let failed = |error: sqlx::Error| site.sql(&error);
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(failed)?;
    if let Some(found) = identify(site, connection).await? {
        sqlx::raw_sql("ROLLBACK").execute(connection).await.map_err(failed)?;
        return Ok(found);
    }
    let id = LogId::fresh();
    let name = AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
    sqlx::raw_sql(name).execute(&mut *connection).await.map_err(failed)?;
    sqlx::raw_sql(SCHEMA).execute(&mut *connection).await.map_err(failed)?;
    sqlx::query("INSERT INTO meta (one, format, log_id, created_at) VALUES (1, ?1, ?2, ?3)")
        .bind(FIRST_FORMAT)
        .bind(id.to_string())
        .bind(clock.now().0)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    climb(connection, FIRST_FORMAT).await.map_err(failed)?;
    sqlx::raw_sql("COMMIT").execute(connection).await.map_err(failed)?;
    Ok((id, FORMAT))
}

/// Raises a log of an older format to ours, in a transaction of its own. A crash inside it leaves the log as it was, a crash after its
/// commit one of our format; there is nothing between, and the next one to open the log goes on from whichever it finds. Of two processes
/// that find an old log, one raises it, and the other, which has waited for the lock, finds it done.
///
/// A file that cannot be written is left as it is and can be read: an older format is a part of ours. What would be written to it later is
/// refused by SQLite.
///
/// An older Windlass that has the log open already is not stopped by this: it looks at the format when it opens. The first event that it
/// does not know ends its deploy's run there, without harm to what is under way; until then it may start steps in a deploy that we paused.
async fn raise(site: &Site, connection: &mut SqliteConnection, format: u32) -> Result<(), LogError> {
    let failed = |error: sqlx::Error| site.sql(&error);
    if format == FORMAT {
        return Ok(());
    }
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(failed)?;
    let now = identify(site, connection).await?.map_or(FORMAT, |(_, now)| now);
    let end = match climb(connection, now).await {
        Ok(()) => "COMMIT",
        // A file that is read only is not refused before the first write.
        Err(error) if fault::is_read_only(&error) => "ROLLBACK",
        // The connection goes with its transaction.
        Err(error) => return Err(failed(error)),
    };
    sqlx::raw_sql(end).execute(connection).await.map_err(failed)?;
    Ok(())
}

/// The steps from a format on.
async fn climb(connection: &mut SqliteConnection, from: u32) -> Result<(), sqlx::Error> {
    for (_, text) in STEPS.iter().filter(|(of, _)| *of >= from) {
        sqlx::raw_sql(*text).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Puts the file into write-ahead mode, for good. Readers then never wait for the writer, nor it for them.
async fn write_ahead(site: &Site, connection: &mut SqliteConnection) -> Result<(), LogError> {
    let mut waited = Duration::ZERO;
    loop {
        let mode = sqlx::query_scalar::<_, String>("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await;
        match mode.map_err(|error| site.sql(&error)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(site.unavailable(format!("the file system does not carry a write-ahead log (mode {mode})")));
            }
            Err(LogError::Busy { .. }) if waited < LOG_BUSY_TIMEOUT => {
                tokio::time::sleep(WAL_PAUSE).await;
                waited += WAL_PAUSE;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;

    #[tokio::test]
    async fn an_old_log_that_cannot_be_written_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("windlass.db");
        let mut opened = open(&path, Missing::Create, SqliteOptions::default(), &SystemClock).await.unwrap();
        let tables = ["requests", "deliveries", "revisions", "releases", "tokens", "reports", "servers"];
        let before = tables.map(|table| format!("DROP TABLE {table};")).concat() + "UPDATE meta SET format = 1";
        sqlx::raw_sql(AssertSqlSafe(before)).execute(&mut opened.writer).await.unwrap();
        let site = Site::of(&path);
        let options = SqliteConnectOptions::new().filename(&path);
        let mut reader = options.clone().read_only(true).connect().await.unwrap();
        raise(&site, &mut reader, 1).await.unwrap();
        assert_eq!(identify(&site, &mut reader).await.unwrap(), Some((opened.id, 1)));
        raise(&site, &mut opened.writer, 1).await.unwrap();
        assert_eq!(identify(&site, &mut reader).await.unwrap(), Some((opened.id, FORMAT)));
    }
}
