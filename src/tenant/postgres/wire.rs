//! One message, and what came back.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::poll_immediate;
use sqlx::postgres::{PgConnection, PgQueryResult, PgRow};
use sqlx::{AssertSqlSafe, Column as _, Either, Row as _, ValueRef as _};
use tokio::time::timeout;

use crate::base::crash::{self, Point};

/// The names of the first columns of our own result sets begin with this, so that they are told from a migration's.
const TAG: &str = "windlass_";

/// Why a message was not answered to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The driver, or through it the server, says so.
    Driver(sqlx::Error),
    /// Nothing came for so long.
    Silence(Duration),
}

/// A row of a result set of ours.
#[derive(Debug)]
pub(super) struct Tagged {
    /// The name of its first column.
    pub(super) tag: String,
    /// Its columns as text.
    pub(super) cells: Vec<Option<String>>,
}

impl Tagged {
    /// A column's text; empty where it is NULL, which reads as damage wherever a value is needed.
    pub(super) fn cell(&self, at: usize) -> &str {
        self.cells.get(at).and_then(Option::as_deref).unwrap_or_default()
    }
}

/// The answers to one message.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// How many of its statements ended well.
    pub(super) completed: usize,
    /// The rows of our own result sets.
    pub(super) rows: Vec<Tagged>,
    /// What ended it early.
    pub(super) trouble: Option<Trouble>,
}

impl Reply {
    /// The first row under a tag.
    pub(super) fn row(&self, tag: &str) -> Option<&Tagged> {
        self.rows.iter().find(|row| row.tag == tag)
    }

    fn take(&mut self, item: Result<Either<PgQueryResult, PgRow>, sqlx::Error>) {
        match item {
            Ok(Either::Left(_)) => self.completed += 1,
            Ok(Either::Right(row)) => self.rows.extend(tagged(&row)),
            Err(error) => self.trouble = Some(Trouble::Driver(error)),
        }
    }
}

fn tagged(row: &PgRow) -> Option<Tagged> {
    let tag = row.columns().first()?.name();
    tag.starts_with(TAG).then(|| Tagged { tag: tag.to_owned(), cells: cells(row) })
}

/// The columns of a row as the text in which the simple protocol sends them.
pub(super) fn cells(row: &PgRow) -> Vec<Option<String>> {
    (0..row.len())
        .map(|at| {
            let value = row.try_get_raw(at).ok().filter(|value| !value.is_null())?;
            value.as_str().ok().map(str::to_owned)
        })
        .collect()
}

/// Sends one message and reads its answers to the end, or to the first error. `inside` is passed once the bytes are with the
/// kernel and before an answer is read: a process that dies there leaves a message that the server is at work on.
pub(super) async fn exchange(pg: &mut PgConnection, sql: String, inside: Option<Point>, limit: Duration) -> Reply {
    let mut reply = Reply::default();
    let answered = timeout(limit, async {
        let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(pg);
        if let Some(point) = inside {
            // The first poll writes the message to the socket.
            if let Some(Some(item)) = poll_immediate(answers.next()).await {
                reply.take(item);
            }
            crash::point(point);
        }
        while reply.trouble.is_none()
            && let Some(item) = answers.next().await
        {
            reply.take(item);
        }
    })
    .await;
    if answered.is_err() {
        reply.trouble = Some(Trouble::Silence(limit));
    }
    reply
}

/// Runs a text whose rows are not ours, and keeps the first `rows_max` of them.
pub(super) async fn first_rows(
    pg: &mut PgConnection,
    sql: String,
    rows_max: usize,
    limit: Duration,
) -> Result<Vec<Vec<Option<String>>>, Trouble> {
    let read = timeout(limit, async {
        let mut rows = Vec::new();
        let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(pg);
        while let Some(item) = answers.next().await {
            if let Either::Right(row) = item.map_err(Trouble::Driver)?
                && rows.len() < rows_max
            {
                rows.push(cells(&row));
            }
        }
        Ok(rows)
    });
    read.await.unwrap_or(Err(Trouble::Silence(limit)))
}
