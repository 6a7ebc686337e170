//! Questions. Each is one read transaction, on a connection that cannot write.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::fault::Fault;
use super::lease;
use super::rows::{self, EventColumns, StoredDeploy, StoredTenant, deploy_columns, json, tenant_columns};
use crate::base::limits::{LEASE_AHEAD_MAX, RETRY_PAUSE_MAX};
use crate::base::{DeployId, Digest, Seq, TenantId, Timestamp, WorkerId};
use crate::log::{DeployRow, LogError, RawEvent, RawStream, TailEvent, TenantQuery, TenantRecord, TenantRow, rules};
use crate::saga::event::{Recorded, StreamId};
use crate::saga::summary::{Census, TenantStatus};

pub(super) async fn stream(connection: &mut SqliteConnection, stream: &StreamId) -> Result<Vec<Recorded>, Fault> {
    let deploy = lease::deploy(connection, stream.deploy).await?;
    let raw = match &stream.tenant {
        None => own_stream(connection, &deploy).await?,
        Some(tenant) => {
            let tenant = lease::tenant(connection, &deploy, tenant).await?;
            let events = events(connection, deploy.key, tenant.key).await?;
            tenant_stream(deploy.row.id, tenant, events)
        }
    };
    Ok(rules::verify(&raw)?)
}

pub(super) async fn raw(connection: &mut SqliteConnection, id: DeployId) -> Result<Vec<RawStream>, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let tenants = sqlx::query(concat!("SELECT ", tenant_columns!(), " FROM tenants WHERE deploy = ?1 ORDER BY tenant"))
        .bind(deploy.key)
        .fetch_all(&mut *connection)
        .await?;
    let mut streams = vec![own_stream(connection, &deploy).await?];
    for row in &tenants {
        let tenant = rows::tenant_row(row)?;
        let events = events(connection, deploy.key, tenant.key).await?;
        streams.push(tenant_stream(id, tenant, events));
    }
    let found = streams.iter().map(|stream| stream.events.len()).sum::<usize>();
    let row = sqlx::query("SELECT count(*) AS events FROM events WHERE deploy = ?1")
        .bind(deploy.key)
        .fetch_one(connection)
        .await?;
    let stored: usize = rows::unsigned(&row, "events")?;
    if stored != found {
        let reason = format!("{} of its events belong to a tenant that it does not have", stored.abs_diff(found));
        return Err(rules::corrupt(&StreamId::deploy(id).to_string(), reason).into());
    }
    Ok(streams)
}

/// Length and head of every stream, without its events.
pub(super) async fn heads(
    connection: &mut SqliteConnection,
    id: DeployId,
) -> Result<Vec<(Option<TenantId>, Seq, Digest)>, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let tenants = sqlx::query(concat!("SELECT ", tenant_columns!(), " FROM tenants WHERE deploy = ?1 ORDER BY tenant"))
        .bind(deploy.key)
        .fetch_all(&mut *connection)
        .await?;
    let mut heads = vec![(None, deploy.row.last_seq, deploy.head)];
    for row in &tenants {
        let tenant = rows::tenant_row(row)?;
        heads.push((Some(tenant.row.tenant), tenant.row.last_seq, tenant.head));
    }
    Ok(heads)
}

async fn own_stream(connection: &mut SqliteConnection, deploy: &StoredDeploy) -> Result<RawStream, Fault> {
    Ok(RawStream {
        stream: StreamId::deploy(deploy.row.id),
        last_seq: deploy.row.last_seq,
        head: deploy.head,
        summary: None,
        events: events(connection, deploy.key, EventColumns::OWN_STREAM).await?,
    })
}

fn tenant_stream(deploy: DeployId, tenant: StoredTenant, events: Vec<RawEvent>) -> RawStream {
    RawStream {
        stream: StreamId::tenant(deploy, tenant.row.tenant),
        last_seq: tenant.row.last_seq,
        head: tenant.head,
        summary: Some(tenant.row.summary),
        events,
    }
}

async fn events(connection: &mut SqliteConnection, deploy: i64, tenant: i64) -> Result<Vec<RawEvent>, Fault> {
    let found =
        sqlx::query("SELECT position, seq, body, hash FROM events WHERE deploy = ?1 AND tenant = ?2 ORDER BY seq")
            .bind(deploy)
            .bind(tenant)
            .fetch_all(connection)
            .await?;
    found.iter().map(rows::raw_event).collect()
}

pub(super) async fn end(connection: &mut SqliteConnection, id: DeployId) -> Result<u64, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let row = sqlx::query("SELECT coalesce(max(position), 0) AS position FROM events WHERE deploy = ?1")
        .bind(deploy.key)
        .fetch_one(connection)
        .await?;
    rows::unsigned(&row, "position")
}

pub(super) async fn tail(
    connection: &mut SqliteConnection,
    id: DeployId,
    after: u64,
    limit: usize,
) -> Result<Vec<TailEvent>, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let found = sqlx::query(
        "SELECT e.position, e.body, e.tenant AS key, t.tenant FROM events AS e LEFT JOIN tenants AS t ON t.key = e.tenant \
         WHERE e.deploy = ?1 AND e.position > ?2 ORDER BY e.position LIMIT ?3",
    )
    .bind(deploy.key)
    .bind(rows::int(after))
    .bind(rows::int(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| tail_event(id, row)).collect()
}

/// Events the newest first: before a place, where one is given.
pub(super) async fn latest(
    connection: &mut SqliteConnection,
    id: DeployId,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<TailEvent>, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let found = sqlx::query(
        "SELECT e.position, e.body, e.tenant AS key, t.tenant FROM events AS e LEFT JOIN tenants AS t ON t.key = e.tenant \
         WHERE e.deploy = ?1 AND e.position < ?2 ORDER BY e.position DESC LIMIT ?3",
    )
    .bind(deploy.key)
    .bind(before.map_or(i64::MAX, rows::int))
    .bind(rows::int(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| tail_event(id, row)).collect()
}

fn tail_event(deploy: DeployId, row: &SqliteRow) -> Result<TailEvent, Fault> {
    let position = rows::unsigned(row, "position")?;
    let body: &str = row.try_get("body")?;
    let recorded = serde_json::from_str(body)
        .map_err(|error| rules::corrupt(&format!("position {position}"), format!("it does not parse: {error}")))?;
    let of_tenant = row.try_get::<i64, _>("key")? != EventColumns::OWN_STREAM;
    let tenant = of_tenant.then(|| rows::tenant_id(row)).transpose()?;
    Ok(TailEvent { position, stream: StreamId { deploy, tenant }, recorded })
}

/// One tenant's row.
pub(super) async fn tenant(
    connection: &mut SqliteConnection,
    id: DeployId,
    tenant: &TenantId,
) -> Result<TenantRow, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    Ok(lease::tenant(connection, &deploy, tenant).await?.row)
}

pub(super) async fn census(connection: &mut SqliteConnection, id: DeployId) -> Result<Census, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let found = sqlx::query(
        "SELECT status, stage, wave, count(*) AS tenants FROM tenants INDEXED BY tenants_standing \
         WHERE deploy = ?1 GROUP BY status, stage, wave",
    )
    .bind(deploy.key)
    .fetch_all(connection)
    .await?;
    let group = |row: &SqliteRow| {
        let status: &str = row.try_get("status")?;
        let status = TenantStatus::parse(status)
            .ok_or_else(|| rules::corrupt("column status", format!("{status:?} is not a status")))?;
        let place = (status, rows::unsigned(row, "stage")?, rows::unsigned(row, "wave")?);
        Ok((place, rows::unsigned(row, "tenants")?))
    };
    Ok(Census { groups: found.iter().map(group).collect::<Result<_, Fault>>()? })
}

pub(super) async fn next_ready(
    connection: &mut SqliteConnection,
    id: DeployId,
    now: Timestamp,
) -> Result<Option<Timestamp>, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let (statuses, (stage, wave)) = rules::admitted(&deploy.row.summary);
    let waits = |status| (TenantStatus::as_str(status), rules::waits_its_time(&deploy.row.summary, status));
    let statuses: Vec<(&str, bool)> = statuses.into_iter().map(waits).collect();
    // Only what has a lease or a time to wait for can be the answer, and there is an index of each.
    let next: Option<i64> = sqlx::query_scalar(
        "WITH waiting AS (SELECT key FROM tenants WHERE deploy = ?1 AND owner IS NOT NULL \
             UNION SELECT key FROM tenants WHERE deploy = ?1 AND ready_at > ?2) \
         SELECT min(until) FROM (SELECT max(iif(w.value ->> 1 AND t.ready_at <= ?6, t.ready_at, 0), \
                 iif(t.lease_until <= ?7, t.lease_until, 0)) AS until \
             FROM waiting CROSS JOIN tenants AS t ON t.key = waiting.key \
             JOIN json_each(?3) AS w ON w.value ->> 0 = t.status \
             WHERE (t.stage, t.wave) <= (?4, ?5)) \
         WHERE until > ?2",
    )
    .bind(deploy.key)
    .bind(now.0)
    .bind(json(&statuses)?)
    .bind(stage)
    .bind(wave)
    .bind(now.plus(RETRY_PAUSE_MAX).0)
    .bind(now.plus(LEASE_AHEAD_MAX).0)
    .fetch_one(connection)
    .await?;
    Ok(next.map(Timestamp))
}

pub(super) async fn holders(connection: &mut SqliteConnection, id: DeployId) -> Result<Vec<WorkerId>, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let workers: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT owner FROM tenants WHERE deploy = ?1 AND owner IS NOT NULL ORDER BY owner")
            .bind(deploy.key)
            .fetch_all(connection)
            .await?;
    Ok(workers.into_iter().map(WorkerId).collect())
}

pub(super) async fn deploys(
    connection: &mut SqliteConnection,
    fleet: Option<&str>,
    limit: usize,
) -> Result<Vec<DeployRow>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        deploy_columns!(),
        " FROM deploys WHERE ?1 IS NULL OR fleet = ?1 ORDER BY key DESC LIMIT ?2"
    ))
    .bind(fleet)
    .bind(rows::int(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| Ok(rows::deploy_row(row)?.row)).collect()
}

pub(super) async fn tenants(
    connection: &mut SqliteConnection,
    id: DeployId,
    query: &TenantQuery,
) -> Result<Vec<TenantRow>, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let statuses: Vec<&str> = query.statuses.iter().map(|status| status.as_str()).collect();
    let found = sqlx::query(concat!(
        "SELECT ",
        tenant_columns!(),
        " FROM tenants WHERE deploy = ?1 AND ordinal > ?2 \
            AND (?3 OR status IN (SELECT value FROM json_each(?4))) \
          ORDER BY ordinal LIMIT ?5"
    ))
    .bind(deploy.key)
    .bind(query.after.map_or(-1, rows::int))
    .bind(statuses.is_empty())
    .bind(json(&statuses)?)
    .bind(rows::int(query.limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| Ok(rows::tenant_row(row)?.row)).collect()
}

pub(super) async fn records(
    connection: &mut SqliteConnection,
    fleet: &str,
) -> Result<BTreeMap<TenantId, TenantRecord>, Fault> {
    let found = sqlx::query("SELECT tenant, target, release, epoch, seen_at FROM records WHERE fleet = ?1")
        .bind(fleet)
        .fetch_all(connection)
        .await?;
    found.iter().map(rows::record).collect()
}

pub(super) async fn blob(connection: &mut SqliteConnection, digest: &Digest) -> Result<Vec<u8>, Fault> {
    let found: Option<Vec<u8>> = sqlx::query_scalar("SELECT bytes FROM blobs WHERE digest = ?1")
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    let bytes = found.ok_or(LogError::BlobMissing { digest: *digest })?;
    if Digest::of(&bytes) != *digest {
        return Err(LogError::BlobAltered { digest: *digest }.into());
    }
    Ok(bytes)
}

pub(super) async fn fleets(connection: &mut SqliteConnection) -> Result<BTreeSet<String>, Fault> {
    let found: Vec<String> =
        sqlx::query_scalar("SELECT fleet FROM deploys UNION SELECT fleet FROM records").fetch_all(connection).await?;
    Ok(found.into_iter().collect())
}

pub(super) async fn blobs(connection: &mut SqliteConnection) -> Result<Vec<Digest>, Fault> {
    let found = sqlx::query("SELECT digest FROM blobs ORDER BY digest").fetch_all(connection).await?;
    found.iter().map(|row| rows::digest(row, "digest")).collect()
}
