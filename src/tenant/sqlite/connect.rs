//! A connection to a file, and what it may do.

use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::poll_immediate;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Either, Row as _};
use tokio::time::timeout;

use super::said::Said;
use crate::base::crash::{self, Point};
use crate::base::limits::{CONNECT_TIMEOUT, TENANT_ANSWER_GRACE, TENANT_CLOSE_TIMEOUT};
use crate::base::{Code, TenantId};
use crate::saga::failure::ErrorClass;
use crate::tenant::conn::Conn;
use crate::tenant::error::SessionError;
use crate::tenant::reply::{self, Cells, TAG, Tagged};

/// After how many of SQLite's own instructions it asks whether the time is up: some tens of microseconds.
const OPS_PER_LOOK: i32 = 10_000;

/// Why a text was not run to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The driver, or through it SQLite, says so.
    Driver(sqlx::Error),
    /// Nothing came for so long.
    Silence(Duration),
}

/// The answers to one text.
pub(super) type Reply = reply::Reply<Trouble>;

/// What SQLite asks us while it works: whether it may commit, and whether it may go on.
#[derive(Debug)]
pub(super) struct Latch {
    may_commit: AtomicBool,
    since: Instant,
    /// Milliseconds after `since` at which the statement under way has had its time.
    due_ms: AtomicU64,
}

impl Latch {
    fn new() -> Self {
        Self { may_commit: AtomicBool::new(false), since: Instant::now(), due_ms: AtomicU64::new(u64::MAX) }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Gives the next statement its time.
    fn wind(&self, each: Duration) {
        let each = u64::try_from(each.as_millis()).unwrap_or(u64::MAX);
        self.due_ms.store(self.elapsed_ms().saturating_add(each), Ordering::Relaxed);
    }

    fn may_go_on(&self) -> bool {
        self.elapsed_ms() < self.due_ms.load(Ordering::Relaxed)
    }
}

/// Ends what is still at work in the file's thread once nobody waits for it any more: the file would stay locked until the
/// statement had had its time, and its successor would find it so.
struct Release(Arc<Latch>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.may_commit.store(false, Ordering::SeqCst);
        self.0.due_ms.store(0, Ordering::Relaxed);
    }
}

/// Whether a text is ours, so that its commits are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commits {
    /// They are.
    Meant,
    /// They are not: the text is, or holds, somebody else's.
    Refused,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) lock: Duration,
    pub(super) statement: Duration,
}

/// A connection.
pub(super) struct File {
    /// Before `db`: it is dropped first.
    release: Release,
    db: SqliteConnection,
    latch: Arc<Latch>,
    limits: Limits,
}

impl File {
    /// Opens an existing file.
    pub(super) async fn open(conn: &Conn, limits: Limits) -> Result<Self, SessionError> {
        let options = options(conn)?;
        let path = options.get_filename().to_owned();
        metadata(&conn.tenant, &path).await?;
        let lock = Duration::from_millis(u64::try_from(limits.lock.as_millis().min(i32::MAX as u128)).unwrap_or(0));
        let options = options.create_if_missing(false).busy_timeout(lock).disable_statement_logging();
        // Off, whatever the URL says: rebuilding a table, as SQLite's manual has it, drops the old one, which would cascade.
        let options = options.foreign_keys(false);
        let latch = Arc::new(Latch::new());
        let opened = async {
            let mut db = options.connect().await?;
            let mut handle = db.lock_handle().await?;
            let (commits, looks) = (Arc::clone(&latch), Arc::clone(&latch));
            handle.set_commit_hook(move || commits.may_commit.load(Ordering::SeqCst));
            handle.set_progress_handler(OPS_PER_LOOK, move || looks.may_go_on());
            drop(handle);
            Ok::<_, sqlx::Error>(db)
        };
        let trouble = match timeout(CONNECT_TIMEOUT.saturating_add(limits.lock), opened).await {
            Ok(Ok(db)) => return Ok(Self { db, release: Release(Arc::clone(&latch)), latch, limits }),
            Ok(Err(error)) => Trouble::Driver(error),
            Err(_) => Trouble::Silence(CONNECT_TIMEOUT),
        };
        Err(Said::of(&trouble, &conn.scrubber()).before_anything(&conn.tenant, "cannot open the file"))
    }

    /// Runs a text of at most `statements` statements to its end or its first error.
    pub(super) async fn run(&mut self, sql: String, statements: usize, commits: Commits) -> Reply {
        self.run_and_pass(sql, statements, commits, None).await
    }

    /// The same. `inside` is passed once SQLite has been told to begin: a process that dies there dies in the middle of it.
    pub(super) async fn run_and_pass(
        &mut self,
        sql: String,
        statements: usize,
        commits: Commits,
        inside: Option<Point>,
    ) -> Reply {
        let mut reply = Reply::default();
        self.latch.may_commit.store(commits == Commits::Meant, Ordering::SeqCst);
        let (latch, each) = (Arc::clone(&self.latch), self.limits.statement);
        let limit = self.answer_limit(statements);
        latch.wind(each);
        let answered = timeout(limit, async {
            let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.db);
            let take = |reply: &mut Reply, item| match item {
                Ok(Either::Left(_)) => {
                    reply.completed += 1;
                    latch.wind(each);
                }
                Ok(Either::Right(row)) => reply.rows.extend(tagged(&row)),
                Err(error) => reply.trouble = Some(Trouble::Driver(error)),
            };
            if let Some(point) = inside {
                // The first poll hands the text to the file's thread.
                if let Some(Some(item)) = poll_immediate(answers.next()).await {
                    take(&mut reply, item);
                }
                crash::point(point);
            }
            while reply.trouble.is_none()
                && let Some(item) = answers.next().await
            {
                take(&mut reply, item);
            }
        })
        .await;
        self.latch.may_commit.store(false, Ordering::SeqCst);
        if answered.is_err() {
            reply.trouble = Some(Trouble::Silence(limit));
        }
        reply
    }

    /// Runs a text whose rows are not ours, and keeps the first `rows_max` of them; answers with how many statements it had.
    pub(super) async fn first_rows(&mut self, sql: String, rows_max: usize) -> Result<(usize, Vec<Cells>), Trouble> {
        let (latch, each) = (Arc::clone(&self.latch), self.limits.statement);
        let limit = self.answer_limit(1);
        latch.wind(each);
        let read = timeout(limit, async {
            let (mut completed, mut rows) = (0, Vec::new());
            let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.db);
            while let Some(item) = answers.next().await {
                match item.map_err(Trouble::Driver)? {
                    Either::Left(_) => completed += 1,
                    Either::Right(row) if rows.len() < rows_max => rows.push(cells(&row)),
                    Either::Right(_) => {}
                }
            }
            Ok((completed, rows))
        });
        read.await.unwrap_or(Err(Trouble::Silence(limit)))
    }

    fn answer_limit(&self, statements: usize) -> Duration {
        let each = self.limits.statement.saturating_add(self.limits.lock);
        let count = u32::try_from(statements).unwrap_or(u32::MAX).saturating_add(1);
        each.saturating_mul(count).saturating_add(TENANT_ANSWER_GRACE)
    }

    /// Closes the file.
    pub(super) async fn close(self) {
        let Self { db, release, .. } = self;
        let _ = timeout(TENANT_CLOSE_TIMEOUT, db.close()).await;
        drop(release);
    }
}

fn tagged(row: &SqliteRow) -> Option<Tagged> {
    let tag = row.columns().first()?.name();
    tag.starts_with(TAG).then(|| Tagged { tag: tag.to_owned(), cells: cells(row) })
}

/// SQLite gives any value as text when asked for text.
fn cells(row: &SqliteRow) -> Cells {
    (0..row.len()).map(|at| row.try_get_unchecked::<Option<String>, _>(at).ok().flatten()).collect()
}

fn options(conn: &Conn) -> Result<SqliteConnectOptions, SessionError> {
    conn.url().sqlite_options().map_err(|error| {
        let message = format!("the connection URL is not valid: {}", conn.scrubber().scrub(&error.to_string()));
        SessionError::no_effect(&conn.tenant, ErrorClass::Permanent, Code::BadTenantUrl, message)
    })
}

async fn metadata(tenant: &TenantId, path: &Path) -> Result<Metadata, SessionError> {
    let refused = |class, code, why: String| SessionError::no_effect(tenant, class, code, why);
    match tokio::fs::metadata(path).await {
        Ok(found) if found.is_file() => Ok(found),
        Ok(_) => {
            let why = format!("{} is not a file", path.display());
            Err(refused(ErrorClass::Permanent, Code::TenantUnreachable, why))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let why = format!("there is no file {}", path.display());
            Err(refused(ErrorClass::Permanent, Code::TenantMissing, why))
        }
        Err(error) => {
            let why = format!("cannot look at the file {}: {error}", path.display());
            Err(refused(ErrorClass::Permanent, Code::TenantDenied, why))
        }
    }
}

/// What makes the file itself, whatever path leads to it.
pub(super) async fn identity(conn: &Conn) -> Result<String, SessionError> {
    let path = options(conn)?.get_filename().to_owned();
    let found = metadata(&conn.tenant, &path).await?;
    Ok(named(&found, &path).await)
}

#[cfg(unix)]
#[expect(clippy::unused_async, reason = "elsewhere a file has no number, and its path has to be resolved")]
async fn named(found: &Metadata, _path: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    format!("sqlite:{}:{}", found.dev(), found.ino())
}

#[cfg(not(unix))]
async fn named(_found: &Metadata, path: &Path) -> String {
    let canonical = tokio::fs::canonicalize(path).await;
    format!("sqlite:{}", canonical.as_deref().unwrap_or(path).display())
}
