//! One message, and what came back. A message is one statement, always: what else stood in it would run even if we died.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::poll_immediate;
use sqlx::mysql::{MySqlConnection, MySqlQueryResult, MySqlRow};
use sqlx::{AssertSqlSafe, Column as _, Either, Row as _};
use tokio::time::timeout;

use crate::base::crash::{self, Point};
use crate::tenant::reply::{self, Cells, TAG, Tagged};

/// Why a message was not answered to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The driver, or through it the server, says so.
    Driver(sqlx::Error),
    /// Nothing came for so long.
    Silence(Duration),
    /// The session had been ended before it was asked.
    Over,
}

/// The answers to one message.
pub(super) type Reply = reply::Reply<Trouble>;

/// A connection, and how long it is listened to.
pub(super) struct Wire {
    db: MySqlConnection,
    /// How long an answer to one message is waited for. The server itself gives up earlier.
    limit: Duration,
}

impl Wire {
    pub(super) const fn new(db: MySqlConnection, limit: Duration) -> Self {
        Self { db, limit }
    }

    /// The connection itself, to say farewell.
    pub(super) fn into_connection(self) -> MySqlConnection {
        self.db
    }

    /// Sends one statement and reads its answer to the end, or to the first error.
    pub(super) async fn say(&mut self, sql: impl Into<String>) -> Reply {
        self.exchange(sql.into(), None).await.0
    }

    /// The same, for a statement that changes rows: answers with how many it found.
    pub(super) async fn change(&mut self, sql: String) -> (Reply, u64) {
        self.exchange(sql, None).await
    }

    /// The same. `inside` is passed once the bytes are with the kernel and before an answer is read: a process that dies there
    /// leaves a statement that the server is at work on.
    pub(super) async fn say_and_pass(&mut self, sql: &str, inside: Point) -> Reply {
        self.exchange(sql.to_owned(), Some(inside)).await.0
    }

    async fn exchange(&mut self, sql: String, inside: Option<Point>) -> (Reply, u64) {
        let (mut reply, mut found) = (Reply::default(), 0);
        let answered = timeout(self.limit, async {
            let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.db);
            if let Some(point) = inside {
                // The first poll writes the message to the socket.
                if let Some(Some(item)) = poll_immediate(answers.next()).await {
                    take(&mut reply, &mut found, item);
                }
                crash::point(point);
            }
            while reply.trouble.is_none()
                && let Some(item) = answers.next().await
            {
                take(&mut reply, &mut found, item);
            }
        })
        .await;
        if answered.is_err() {
            reply.trouble = Some(Trouble::Silence(self.limit));
        }
        (reply, found)
    }

    /// Runs a query whose rows are not ours, and keeps the first `rows_max` of them.
    pub(super) async fn first_rows(&mut self, sql: String, rows_max: usize) -> Result<Vec<Cells>, Trouble> {
        let read = timeout(self.limit, async {
            let mut rows = Vec::new();
            let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.db);
            while let Some(item) = answers.next().await {
                if let Either::Right(row) = item.map_err(Trouble::Driver)?
                    && rows.len() < rows_max
                {
                    rows.push(cells(&row));
                }
            }
            Ok(rows)
        });
        read.await.unwrap_or(Err(Trouble::Silence(self.limit)))
    }

    /// Lets the server read a text as a prepared statement, which is one statement or an error.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<(), Trouble> {
        use sqlx::{Executor as _, SqlSafeStr as _};
        let text = AssertSqlSafe(sql.to_owned()).into_sql_str();
        match timeout(self.limit, self.db.prepare(text)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Trouble::Driver(error)),
            Err(_) => Err(Trouble::Silence(self.limit)),
        }
    }
}

fn take(reply: &mut Reply, found: &mut u64, item: Result<Either<MySqlQueryResult, MySqlRow>, sqlx::Error>) {
    match item {
        Ok(Either::Left(result)) => {
            reply.completed += 1;
            *found += result.rows_affected();
        }
        Ok(Either::Right(row)) => reply.rows.extend(tagged(&row)),
        Err(error) => reply.trouble = Some(Trouble::Driver(error)),
    }
}

fn tagged(row: &MySqlRow) -> Option<Tagged> {
    let tag = row.columns().first()?.name();
    tag.starts_with(TAG).then(|| Tagged { tag: tag.to_owned(), cells: cells(row) })
}

/// The columns of a row as the text in which they are sent. Unchecked: all of them are text on the way, whatever their type.
fn cells(row: &MySqlRow) -> Cells {
    (0..row.len()).map(|at| row.try_get_unchecked::<Option<String>, _>(at).ok().flatten()).collect()
}
