//! Tokens, and the servers on this log.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Done, parsed, text};
use crate::base::limits::TOKEN_USED_EXACTLY;
use crate::base::{Digest, Timestamp, WorkerId};
use crate::log::sqlite::fault::Fault;
use crate::log::{NewToken, Role, ServerRow, Token};

/// What of a token is neither its key nor a moment.
#[derive(Serialize, Deserialize)]
struct Body {
    name: String,
    role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fleets: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
}

fn row(row: &SqliteRow) -> Result<Token, Fault> {
    let Body { name, role, fleets, parent } = parsed("tokens.body", row.try_get("body")?)?;
    let moment = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp));
    Ok(Token {
        id: row.try_get("id")?,
        name,
        role,
        fleets,
        parent,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: moment("expires_at")?,
        revoked_at: moment("revoked_at")?,
        used_at: moment("used_at")?,
    })
}

pub(super) async fn add(connection: &mut SqliteConnection, token: &NewToken, now: Timestamp) -> Done<()> {
    let body =
        Body { name: token.name.clone(), role: token.role, fleets: token.fleets.clone(), parent: token.parent.clone() };
    // Sessions that are over are of no more use to anybody.
    sqlx::query("DELETE FROM tokens WHERE body ->> 'parent' IS NOT NULL AND expires_at <= ?1")
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO tokens (id, hash, body, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(&token.id)
        .bind(token.hash.as_bytes().as_slice())
        .bind(text(&body)?)
        .bind(now.0)
        .bind(token.expires_at.map(|at| at.0))
        .execute(connection)
        .await?;
    Ok(Ok(()))
}

pub(super) async fn by_hash(connection: &mut SqliteConnection, hash: &Digest) -> Result<Option<Token>, Fault> {
    let found = sqlx::query("SELECT id, body, created_at, expires_at, revoked_at, used_at FROM tokens WHERE hash = ?1")
        .bind(hash.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    found.as_ref().map(row).transpose()
}

pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Token>, Fault> {
    let found = sqlx::query(
        "SELECT id, body, created_at, expires_at, revoked_at, used_at FROM tokens WHERE body ->> 'parent' IS NULL \
         ORDER BY created_at, id",
    )
    .fetch_all(connection)
    .await?;
    found.iter().map(row).collect()
}

pub(super) async fn revoke(connection: &mut SqliteConnection, id: &str, now: Timestamp) -> Done<bool> {
    let done = sqlx::query(
        "UPDATE tokens SET revoked_at = ?2 WHERE (id = ?1 OR body ->> 'parent' = ?1) AND revoked_at IS NULL",
    )
    .bind(id)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(Ok(done.rows_affected() > 0))
}

pub(super) async fn used(connection: &mut SqliteConnection, id: &str, now: Timestamp) -> Done<()> {
    let exactly = i64::try_from(TOKEN_USED_EXACTLY.as_millis()).unwrap_or(i64::MAX);
    sqlx::query("UPDATE tokens SET used_at = ?2 WHERE id = ?1 AND (used_at IS NULL OR used_at <= ?2 - ?3)")
        .bind(id)
        .bind(now.0)
        .bind(exactly)
        .execute(connection)
        .await?;
    Ok(Ok(()))
}

pub(super) async fn server_seen(connection: &mut SqliteConnection, server: &ServerRow) -> Done<()> {
    sqlx::query(
        "INSERT INTO servers (worker, url, fleets, started_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (worker) DO UPDATE SET url = excluded.url, fleets = excluded.fleets, seen_at = excluded.seen_at",
    )
    .bind(server.worker.as_str())
    .bind(&server.url)
    .bind(text(&server.fleets)?)
    .bind(server.started_at.0)
    .bind(server.seen_at.0)
    .execute(connection)
    .await?;
    Ok(Ok(()))
}

pub(super) async fn server_gone(connection: &mut SqliteConnection, worker: &WorkerId) -> Done<()> {
    sqlx::query("DELETE FROM servers WHERE worker = ?1").bind(worker.as_str()).execute(connection).await?;
    Ok(Ok(()))
}

pub(super) async fn servers(connection: &mut SqliteConnection, since: Timestamp) -> Result<Vec<ServerRow>, Fault> {
    let found = sqlx::query(
        "SELECT worker, url, fleets, started_at, seen_at FROM servers WHERE seen_at >= ?1 ORDER BY started_at, worker",
    )
    .bind(since.0)
    .fetch_all(connection)
    .await?;
    let server = |row: &SqliteRow| {
        Ok(ServerRow {
            worker: WorkerId(row.try_get("worker")?),
            url: row.try_get("url")?,
            fleets: parsed("servers.fleets", row.try_get("fleets")?)?,
            started_at: Timestamp(row.try_get("started_at")?),
            seen_at: Timestamp(row.try_get("seen_at")?),
        })
    };
    found.iter().map(server).collect()
}
