//! Requests and the deliveries that brought them.
//!
//! Everything is decided inside of one write transaction, and there is one of those at a time: two deliveries that come at the same
//! instant find each other.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Done, damaged, parsed, text};
use crate::base::limits::REQUESTS_QUEUED_MAX;
use crate::base::{DeployId, Timestamp};
use crate::log::sqlite::fault::Fault;
use crate::log::sqlite::lease;
use crate::log::sqlite::rows::{deploy_id, int, unsigned};
use crate::log::{
    Asked, Blob, Delivery, Listed, LogError, NewRequest, Request, RequestState, Settled, TakeError, TakenIn, What,
    WhenBusy, identity, rules,
};

macro_rules! columns {
    () => {
        "key, id, fleet, body, received_at, state, settled, settled_at"
    };
}

fn row(row: &SqliteRow) -> Result<Request, Fault> {
    let body: &str = row.try_get("body")?;
    let state: &str = row.try_get("state")?;
    let settled: Option<&str> = row.try_get("settled")?;
    Ok(Request {
        key: row.try_get("key")?,
        id: deploy_id(row, "id")?,
        fleet: row.try_get("fleet")?,
        asked: parsed("requests.body", body)?,
        received_at: Timestamp(row.try_get("received_at")?),
        state: RequestState::parse(state).ok_or_else(|| damaged("requests.state", state))?,
        settled: settled.map(|text| parsed("requests.settled", text)).transpose()?,
        settled_at: row.try_get::<Option<i64>, _>("settled_at")?.map(Timestamp),
    })
}

pub(super) async fn take_in(
    connection: &mut SqliteConnection,
    new: NewRequest,
    now: Timestamp,
) -> Done<TakenIn, TakeError> {
    for delivery in &new.deliveries {
        let Some((content, request)) = delivered(connection, delivery).await? else { continue };
        let other = delivery.content.is_some_and(|ours| content.as_deref() != Some(ours.as_bytes().as_slice()));
        return Ok(if other {
            Err(TakeError::Reused { id: delivery.id.clone(), deploy: request })
        } else {
            Ok(TakenIn::Replay(request))
        });
    }
    let identity = identity(&new.fleet, &new.asked.what);
    if let Some(same) = alike(connection, identity.as_bytes(), None).await? {
        note_deliveries(connection, &new.deliveries, same, now).await?;
        // Who asks for the same has a place of its own where it wants to be told of it.
        for target in &new.reports {
            super::reports::open(connection, same, target, now).await?;
        }
        return Ok(Ok(TakenIn::Same(same)));
    }
    let waiting: u64 = waiting(connection, &new.fleet).await?;
    if waiting >= REQUESTS_QUEUED_MAX {
        return Ok(Err(TakeError::QueueFull { fleet: new.fleet, waiting }));
    }
    if new.when_busy == WhenBusy::Refuse
        && let Some(deploy) = in_the_way(connection, &new.fleet).await?
    {
        return Ok(Err(TakeError::Busy { fleet: new.fleet, deploy }));
    }
    if let Some(release) = &new.release {
        keep_blob(connection, release).await?;
    }
    sqlx::query("INSERT INTO requests (id, fleet, identity, body, received_at) VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(new.id.to_string())
        .bind(&new.fleet)
        .bind(identity.as_bytes().as_slice())
        .bind(text(&new.asked)?)
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    note_deliveries(connection, &new.deliveries, new.id, now).await?;
    for target in &new.reports {
        super::reports::open(connection, new.id, target, now).await?;
    }
    Ok(Ok(TakenIn::New(new.id)))
}

/// What a delivery became when it came before: what was sent, and the request. One that was refused, before anything was touched, may be
/// sent again: what stood in its way may be gone.
async fn delivered(
    connection: &mut SqliteConnection,
    delivery: &Delivery,
) -> Result<Option<(Option<Vec<u8>>, DeployId)>, Fault> {
    let found = sqlx::query(
        "SELECT d.content, d.request FROM deliveries AS d JOIN requests AS r ON r.id = d.request \
         WHERE d.source = ?1 AND d.delivery = ?2 AND r.state <> 'refused'",
    )
    .bind(&delivery.source)
    .bind(&delivery.id)
    .fetch_optional(connection)
    .await?;
    found.map(|row| Ok((row.try_get("content")?, deploy_id(&row, "request")?))).transpose()
}

async fn note_deliveries(
    connection: &mut SqliteConnection,
    deliveries: &[Delivery],
    request: DeployId,
    now: Timestamp,
) -> Result<(), Fault> {
    for delivery in deliveries {
        sqlx::query(
            "INSERT INTO deliveries (source, delivery, content, request, received_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (source, delivery) DO UPDATE SET content = excluded.content, request = excluded.request, \
                 received_at = excluded.received_at",
        )
        .bind(&delivery.source)
        .bind(&delivery.id)
        .bind(delivery.content.as_ref().map(|content| content.as_bytes().as_slice()))
        .bind(request.to_string())
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The newest request that asks for the same, as long as it still counts: it waits, or its deploy goes up. One whose deploy goes down,
/// or has ended, or that was refused, may be asked for again: the cause may have been mended, a tenant may have come. Where all tenants are
/// on the release, that request finds nothing to do.
async fn alike(
    connection: &mut SqliteConnection,
    identity: &[u8],
    before: Option<i64>,
) -> Result<Option<DeployId>, Fault> {
    let found = sqlx::query(
        "SELECT r.id, r.state, d.key IS NOT NULL AS made, d.outcome, d.summary ->> '$.direction' AS direction \
         FROM requests AS r LEFT JOIN deploys AS d ON d.id = r.id \
         WHERE r.identity = ?1 AND (?2 IS NULL OR r.key < ?2) AND r.state IN ('queued', 'created') \
         ORDER BY r.key DESC LIMIT 1",
    )
    .bind(identity)
    .bind(before)
    .fetch_optional(connection)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let made: bool = row.try_get("made")?;
    let counts = if made {
        row.try_get::<Option<&str>, _>("outcome")?.is_none()
            && row.try_get::<Option<&str>, _>("direction")? != Some("unwind")
    } else {
        row.try_get::<&str, _>("state")? == "queued"
    };
    counts.then(|| deploy_id(&row, "id")).transpose()
}

async fn waiting(connection: &mut SqliteConnection, fleet: &str) -> Result<u64, Fault> {
    let found = sqlx::query("SELECT count(*) AS waiting FROM requests WHERE fleet = ?1 AND state = 'queued'")
        .bind(fleet)
        .fetch_one(connection)
        .await?;
    unsigned(&found, "waiting")
}

/// The deploy of the fleet that is under way, or that waits.
async fn in_the_way(connection: &mut SqliteConnection, fleet: &str) -> Result<Option<DeployId>, Fault> {
    let found = sqlx::query(
        "SELECT id FROM (SELECT id, 0 AS later, key FROM deploys WHERE fleet = ?1 AND outcome IS NULL \
             UNION ALL SELECT id, 1, key FROM requests WHERE fleet = ?1 AND state = 'queued') ORDER BY later, key LIMIT 1",
    )
    .bind(fleet)
    .fetch_optional(connection)
    .await?;
    found.map(|row| deploy_id(&row, "id")).transpose()
}

pub(super) async fn request(connection: &mut SqliteConnection, id: DeployId) -> Result<Option<Request>, Fault> {
    let found = sqlx::query(concat!("SELECT ", columns!(), " FROM requests WHERE id = ?1"))
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    found.as_ref().map(row).transpose()
}

pub(super) async fn requests(
    connection: &mut SqliteConnection,
    fleet: Option<&str>,
    state: Option<RequestState>,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<Request>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM requests WHERE (?1 IS NULL OR fleet = ?1) AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR key < ?3) \
          ORDER BY key DESC LIMIT ?4"
    ))
    .bind(fleet)
    .bind(state.map(RequestState::as_str))
    .bind(before)
    .bind(int(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(row).collect()
}

pub(super) async fn listed(
    connection: &mut SqliteConnection,
    fleet: &str,
    before: Option<DeployId>,
    limit: usize,
) -> Result<Vec<Listed>, Fault> {
    // An id is unique on either side and the same on both, and its text sorts as its bytes do.
    let found = sqlx::query(
        "SELECT id, max(made) AS made FROM ( \
             SELECT id, 0 AS made FROM requests WHERE fleet = ?1 AND (?2 IS NULL OR id < ?2) \
             UNION ALL SELECT id, 1 FROM deploys WHERE fleet = ?1 AND (?2 IS NULL OR id < ?2)) \
         GROUP BY id ORDER BY id DESC LIMIT ?3",
    )
    .bind(fleet)
    .bind(before.map(|id| id.to_string()))
    .bind(int(limit))
    .fetch_all(&mut *connection)
    .await?;
    let mut listed = Vec::with_capacity(found.len());
    for row in &found {
        let id = deploy_id(row, "id")?;
        let row = if row.try_get("made")? { Some(lease::deploy(connection, id).await?.row) } else { None };
        listed.push(Listed { id, request: request(connection, id).await?, row });
    }
    Ok(listed)
}

pub(super) async fn next_queued(connection: &mut SqliteConnection, fleet: &str) -> Result<Option<Request>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM requests WHERE fleet = ?1 AND state = 'queued' ORDER BY key LIMIT 1"
    ))
    .bind(fleet)
    .fetch_optional(connection)
    .await?;
    found.as_ref().map(row).transpose()
}

pub(super) async fn found(
    connection: &mut SqliteConnection,
    id: DeployId,
    release: Blob,
    now: Timestamp,
) -> Done<Option<DeployId>> {
    let Some(known) = request(connection, id).await? else {
        return Ok(Err(LogError::DeployUnknown { text: id.to_string() }));
    };
    let What::Deploy { revision, environment, selection, .. } = known.asked.what else {
        return Ok(Err(rules::refused(&format!("request {id}"), "a rollback has no release of its own")));
    };
    let what = What::Deploy { revision, release: Some(release.digest), environment, selection };
    let identity = identity(&known.fleet, &what);
    if let Some(same) = alike(connection, identity.as_bytes(), Some(known.key)).await? {
        settle(connection, id, &Settled::Same { deploy: same }, now).await?;
        return Ok(Ok(Some(same)));
    }
    keep_blob(connection, &release).await?;
    sqlx::query("UPDATE requests SET body = ?2, identity = ?3 WHERE id = ?1")
        .bind(id.to_string())
        .bind(text(&Asked { what, ..known.asked })?)
        .bind(identity.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(Ok(None))
}

/// Keeps bytes under their digest.
pub(super) async fn keep_blob(connection: &mut SqliteConnection, blob: &Blob) -> Result<(), Fault> {
    sqlx::query("INSERT INTO blobs (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .bind(blob.digest.as_bytes().as_slice())
        .bind(&blob.bytes)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn settle(
    connection: &mut SqliteConnection,
    id: DeployId,
    how: &Settled,
    now: Timestamp,
) -> Result<bool, Fault> {
    let done =
        sqlx::query("UPDATE requests SET state = ?2, settled = ?3, settled_at = ?4 WHERE id = ?1 AND state = 'queued'")
            .bind(id.to_string())
            .bind(how.state().as_str())
            .bind(text(how)?)
            .bind(now.0)
            .execute(connection)
            .await?;
    Ok(done.rows_affected() == 1)
}
