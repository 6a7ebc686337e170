//! Who holds which tenant.
//!
//! Every function here reads first and writes last, and answers with [`Fault::Log`] only before its first write: such an answer
//! concerns the one who asked, and leaves the transaction good for the others in its group.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sqlx::{Row as _, SqliteConnection};

use super::append::expect_rows;
use super::fault::Fault;
use super::rows::{self, StoredDeploy, StoredTenant, deploy_columns, json, tenant_columns};
use crate::base::limits::{LEASE_AHEAD_MAX, RETRY_PAUSE_MAX};
use crate::base::{DeployId, Epoch, TenantId, Timestamp, WorkerId};
use crate::log::{Claim, Claims, LogError, RawEvent, RawStream, rules};
use crate::saga::event::{Recorded, StreamId};

/// Whoever wants leases, and for how long.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) worker: WorkerId,
    pub(super) lease: Duration,
}

/// A deploy's header; an error where there is none.
pub(super) async fn deploy(connection: &mut SqliteConnection, id: DeployId) -> Result<StoredDeploy, Fault> {
    let found = sqlx::query(concat!("SELECT ", deploy_columns!(), " FROM deploys WHERE id = ?1"))
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    match found {
        Some(row) => rows::deploy_row(&row),
        None => Err(LogError::DeployUnknown { text: id.to_string() }.into()),
    }
}

/// A tenant's header; an error where there is none.
pub(super) async fn tenant(
    connection: &mut SqliteConnection,
    deploy: &StoredDeploy,
    id: &TenantId,
) -> Result<StoredTenant, Fault> {
    let found = sqlx::query(concat!("SELECT ", tenant_columns!(), " FROM tenants WHERE deploy = ?1 AND tenant = ?2"))
        .bind(deploy.key)
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    match found {
        Some(row) => rows::tenant_row(&row),
        None => Err(LogError::TenantUnknown { deploy: deploy.row.id, tenant: id.clone() }.into()),
    }
}

pub(super) async fn claim(
    connection: &mut SqliteConnection,
    id: DeployId,
    holder: &Holder,
    limit: usize,
    now: Timestamp,
) -> Result<Claims, Fault> {
    let deploy = deploy(connection, id).await?;
    let (statuses, (stage, wave)) = rules::admitted(&deploy.row.summary);
    let mut free = Vec::new();
    // One range of the index per status, each in order and cut off at the limit, then merged: what is read does not grow with the
    // tenants that are done, or that wait for a later wave.
    for status in statuses {
        let found = sqlx::query(concat!(
            "SELECT ",
            tenant_columns!(),
            " FROM tenants INDEXED BY tenants_standing \
              WHERE deploy = ?1 AND status = ?2 AND (stage, wave) <= (?3, ?4) \
                AND (lease_until <= ?5 OR lease_until > ?9) AND owner IS NOT ?7 \
                AND (ready_at IS NULL OR ready_at <= ?5 OR ready_at > ?10 OR NOT ?8) \
              ORDER BY stage, wave, ordinal LIMIT ?6"
        ))
        .bind(deploy.key)
        .bind(status.as_str())
        .bind(stage)
        .bind(wave)
        .bind(now.0)
        .bind(rows::int(limit))
        .bind(holder.worker.as_str())
        .bind(rules::waits_its_time(&deploy.row.summary, status))
        .bind(now.plus(LEASE_AHEAD_MAX).0)
        .bind(now.plus(RETRY_PAUSE_MAX).0)
        .fetch_all(&mut *connection)
        .await?;
        for row in &found {
            free.push(rows::tenant_row(row)?);
        }
    }
    free.sort_by_key(|tenant| (tenant.row.summary.stage, tenant.row.summary.wave, tenant.row.ordinal));
    free.truncate(limit);
    let tenants = take(connection, &deploy, free, holder, now).await?;
    Ok(Claims { summary: deploy.row.summary, last_seq: deploy.row.last_seq, tenants })
}

pub(super) async fn claim_one(
    connection: &mut SqliteConnection,
    stream: &StreamId,
    holder: &Holder,
    now: Timestamp,
) -> Result<Option<Claim>, Fault> {
    let wanted = rules::tenant_of(stream)?;
    let deploy = deploy(connection, stream.deploy).await?;
    let tenant = tenant(connection, &deploy, wanted).await?;
    if deploy.row.summary.outcome.is_some() || tenant.row.lease_until.believed(now, LEASE_AHEAD_MAX) > now {
        return Ok(None);
    }
    Ok(take(connection, &deploy, vec![tenant], holder, now).await?.pop())
}

/// A lease as it is written.
#[derive(Serialize)]
struct LeaseColumns<'a> {
    key: i64,
    fleet: &'a str,
    tenant: TenantId,
    epoch: Epoch,
}

/// Takes the leases of free tenants, and reads their streams.
async fn take(
    connection: &mut SqliteConnection,
    deploy: &StoredDeploy,
    free: Vec<StoredTenant>,
    holder: &Holder,
    now: Timestamp,
) -> Result<Vec<Claim>, Fault> {
    if free.is_empty() {
        return Ok(Vec::new());
    }
    let mut streams = streams(connection, deploy, &free).await?;
    let records = record_epochs(connection, &deploy.row.fleet, &free).await?;
    let (mut claims, mut leases) = (Vec::with_capacity(free.len()), Vec::with_capacity(free.len()));
    for StoredTenant { key, row, .. } in free {
        let record = records.get(&row.tenant).copied().unwrap_or_default();
        let epoch = rules::next_epoch(row.epoch, record);
        leases.push(LeaseColumns { key, fleet: &deploy.row.fleet, tenant: row.tenant.clone(), epoch });
        claims.push(Claim {
            stream: StreamId::tenant(deploy.row.id, row.tenant.clone()),
            tenant: row.tenant,
            epoch,
            spec: row.spec,
            events: streams.remove(&key).unwrap_or_default(),
        });
    }
    let (count, leases) = (leases.len() as u64, json(&leases)?);
    let written = sqlx::query(
        "UPDATE tenants SET epoch = lease.value ->> 'epoch', owner = ?2, lease_until = ?3 \
         FROM json_each(?1) AS lease WHERE tenants.key = lease.value ->> 'key'",
    )
    .bind(&leases)
    .bind(holder.worker.as_str())
    .bind(now.plus(holder.lease).0)
    .execute(&mut *connection)
    .await?;
    expect_rows(written.rows_affected(), count)?;
    // The fleet comes with each row, although it is one for all: given as a constant, it lets SQLite walk all records of the fleet
    // and look each up in the list, instead of the other way round.
    let written = sqlx::query(
        "UPDATE records SET epoch = lease.value ->> 'epoch' FROM json_each(?1) AS lease \
         WHERE records.fleet = lease.value ->> 'fleet' AND records.tenant = lease.value ->> 'tenant'",
    )
    .bind(&leases)
    .execute(connection)
    .await?;
    expect_rows(written.rows_affected(), count)?;
    Ok(claims)
}

/// The checked streams of tenants, by their key.
async fn streams(
    connection: &mut SqliteConnection,
    deploy: &StoredDeploy,
    tenants: &[StoredTenant],
) -> Result<BTreeMap<i64, Vec<Recorded>>, Fault> {
    let keys: Vec<i64> = tenants.iter().map(|tenant| tenant.key).collect();
    let found = sqlx::query(
        "SELECT position, tenant, seq, body, hash FROM events \
         WHERE deploy = ?1 AND tenant IN (SELECT value FROM json_each(?2)) ORDER BY tenant, seq",
    )
    .bind(deploy.key)
    .bind(json(&keys)?)
    .fetch_all(connection)
    .await?;
    let mut raw: BTreeMap<i64, Vec<RawEvent>> = BTreeMap::new();
    for row in &found {
        raw.entry(row.try_get("tenant")?).or_default().push(rows::raw_event(row)?);
    }
    let checked = tenants.iter().map(|StoredTenant { key, head, row }| {
        let stream = RawStream {
            stream: StreamId::tenant(deploy.row.id, row.tenant.clone()),
            last_seq: row.last_seq,
            head: *head,
            summary: None,
            events: raw.remove(key).unwrap_or_default(),
        };
        Ok((*key, rules::verify(&stream)?))
    });
    checked.collect()
}

async fn record_epochs(
    connection: &mut SqliteConnection,
    fleet: &str,
    tenants: &[StoredTenant],
) -> Result<BTreeMap<TenantId, Epoch>, Fault> {
    let ids: Vec<&TenantId> = tenants.iter().map(|tenant| &tenant.row.tenant).collect();
    let found = sqlx::query(
        "SELECT tenant, epoch FROM records WHERE fleet = ?1 AND tenant IN (SELECT value FROM json_each(?2))",
    )
    .bind(fleet)
    .bind(json(&ids)?)
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| Ok((rows::tenant_id(row)?, Epoch(rows::unsigned(row, "epoch")?)))).collect()
}

pub(super) async fn heartbeat(
    connection: &mut SqliteConnection,
    id: DeployId,
    holder: &Holder,
    held: &BTreeMap<TenantId, Epoch>,
    now: Timestamp,
) -> Result<BTreeMap<TenantId, Epoch>, Fault> {
    let deploy = deploy(connection, id).await?;
    let found = sqlx::query("SELECT key, tenant, epoch FROM tenants WHERE deploy = ?1 AND owner = ?2")
        .bind(deploy.key)
        .bind(holder.worker.as_str())
        .fetch_all(&mut *connection)
        .await?;
    let (mut keys, mut still) = (Vec::new(), BTreeMap::new());
    for row in &found {
        let (tenant, epoch) = (rows::tenant_id(row)?, Epoch(rows::unsigned(row, "epoch")?));
        if held.get(&tenant) == Some(&epoch) {
            keys.push(row.try_get::<i64, _>("key")?);
            still.insert(tenant, epoch);
        }
    }
    sqlx::query(
        "UPDATE tenants SET lease_until = max(iif(lease_until > ?3, 0, lease_until), ?2) \
         WHERE key IN (SELECT value FROM json_each(?1))",
    )
    .bind(json(&keys)?)
    .bind(now.plus(holder.lease).0)
    .bind(now.plus(LEASE_AHEAD_MAX).0)
    .execute(connection)
    .await?;
    Ok(still)
}

pub(super) async fn release(connection: &mut SqliteConnection, stream: &StreamId, epoch: Epoch) -> Result<(), Fault> {
    let wanted = rules::tenant_of(stream)?;
    let deploy = deploy(connection, stream.deploy).await?;
    let tenant = tenant(connection, &deploy, wanted).await?;
    sqlx::query("UPDATE tenants SET owner = NULL, lease_until = 0 WHERE key = ?1 AND epoch = ?2")
        .bind(tenant.key)
        .bind(rows::int(epoch.0))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn expel(connection: &mut SqliteConnection, id: DeployId, worker: &WorkerId) -> Result<u64, Fault> {
    let deploy = deploy(connection, id).await?;
    let ended = sqlx::query("UPDATE tenants SET owner = NULL, lease_until = 0 WHERE deploy = ?1 AND owner = ?2")
        .bind(deploy.key)
        .bind(worker.as_str())
        .execute(connection)
        .await?;
    Ok(ended.rows_affected())
}
