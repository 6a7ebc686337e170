//! One message, and what came back.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::poll_immediate;
use sqlx::postgres::{PgConnection, PgQueryResult, PgRow};
use sqlx::{AssertSqlSafe, Column as _, Either, Row as _, ValueRef as _};
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

fn take(reply: &mut Reply, item: Result<Either<PgQueryResult, PgRow>, sqlx::Error>) {
    match item {
        Ok(Either::Left(_)) => reply.completed += 1,
        Ok(Either::Right(row)) => reply.rows.extend(tagged(&row)),
        Err(error) => reply.trouble = Some(Trouble::Driver(error)),
    }
}

fn tagged(row: &PgRow) -> Option<Tagged> {
    let tag = row.columns().first()?.name();
    tag.starts_with(TAG).then(|| Tagged { tag: tag.to_owned(), cells: cells(row) })
}

/// The columns of a row as the text in which the simple protocol sends them.
fn cells(row: &PgRow) -> Cells {
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
) -> Result<Vec<Cells>, Trouble> {
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
