//! A new deploy, in one transaction of its own.

use serde::Serialize;
use sqlx::SqliteConnection;

use super::append::summary_text;
use super::fault::Fault;
use super::read;
use super::rows::{self, EventColumns, SummaryColumns, json};
use crate::base::{Digest, Epoch, Seq, TenantId, Timestamp};
use crate::log::rules::{self, Head};
use crate::log::{CreateError, NewDeploy, NewTenant, TenantRecord};
use crate::saga::event::{Event, StreamId};
use crate::saga::summary::DeploySummary;

/// Tenants written by one statement: enough to make its cost small, few enough to keep its text small.
const TENANTS_PER_STATEMENT: usize = 1_000;

/// Writes header, blobs, tenants and first events. The answer inside is for the caller; the error outside abandons the transaction.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    new: &NewDeploy,
    now: Timestamp,
) -> Result<Result<(), CreateError>, Fault> {
    if let Some(refusal) = refusal(connection, new).await? {
        return Ok(Err(refusal));
    }
    for blob in &new.blobs {
        sqlx::query("INSERT INTO blobs (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(blob.digest.as_bytes().as_slice())
            .bind(&blob.bytes)
            .execute(&mut *connection)
            .await?;
    }
    let deploy = insert_deploy(connection, new, now).await?;
    let first_key: i64 =
        sqlx::query_scalar("SELECT coalesce(max(key), 0) + 1 FROM tenants").fetch_one(&mut *connection).await?;
    for (chunk, tenants) in new.tenants.chunks(TENANTS_PER_STATEMENT).enumerate() {
        let base = chunk * TENANTS_PER_STATEMENT;
        insert_records(connection, new, tenants, now).await?;
        let (mut headers, mut events) = (Vec::with_capacity(tenants.len()), Vec::with_capacity(tenants.len()));
        for (index, tenant) in tenants.iter().enumerate() {
            let key = first_key + rows::int(base + index);
            let mut head = Head::genesis(&StreamId::tenant(new.id, tenant.id.clone()));
            let first: Vec<Event> = tenant.events.iter().cloned().map(Event::Tenant).collect();
            let chained = head.chain(&first, now, &new.by, Epoch(0))?;
            events.extend(chained.into_iter().map(|event| EventColumns::new(deploy, key, event)));
            headers.push(TenantColumns {
                key,
                deploy,
                tenant: &tenant.id,
                ordinal: base + index,
                spec: &tenant.spec,
                last_seq: head.last_seq,
                head: head.hash,
                summary: (&tenant.summary).into(),
            });
        }
        insert_tenants(connection, &headers).await?;
        rows::insert_events(connection, &events).await?;
    }
    Ok(Ok(()))
}

/// Why this deploy may not be created, if so.
async fn refusal(connection: &mut SqliteConnection, new: &NewDeploy) -> Result<Option<CreateError>, Fault> {
    let under_way: Option<String> = sqlx::query_scalar("SELECT id FROM deploys WHERE fleet = ?1 AND outcome IS NULL")
        .bind(&new.fleet)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(deploy) = under_way.and_then(|id| id.parse().ok()) {
        return Ok(Some(CreateError::FleetBusy { fleet: new.fleet.clone(), deploy }));
    }
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM deploys WHERE id = ?1)")
        .bind(new.id.to_string())
        .fetch_one(&mut *connection)
        .await?;
    if known {
        return Ok(Some(rules::already_there(new.id).into()));
    }
    let newest = read::deploys(connection, Some(&new.fleet), 1).await?.pop();
    let newest = rules::previous(newest.as_ref().map(|row| (row.id, &row.summary)));
    Ok(rules::follows(new, newest).err())
}

async fn insert_deploy(connection: &mut SqliteConnection, new: &NewDeploy, now: Timestamp) -> Result<i64, Fault> {
    let mut head = Head::genesis(&StreamId::deploy(new.id));
    let first = [Event::Deploy(new.created.clone())];
    let chained = head.chain(&first, now, &new.by, Epoch(0))?;
    let mut summary = DeploySummary::default();
    rules::fold(&mut summary, &first);
    let deploy: i64 = sqlx::query_scalar(
        "INSERT INTO deploys (id, fleet, created_at, last_seq, head, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING key",
    )
    .bind(new.id.to_string())
    .bind(&new.fleet)
    .bind(now.0)
    .bind(rows::int(head.last_seq.0))
    .bind(head.hash.as_bytes().as_slice())
    .bind(summary_text(&summary)?)
    .fetch_one(&mut *connection)
    .await?;
    let events: Vec<_> =
        chained.into_iter().map(|event| EventColumns::new(deploy, EventColumns::OWN_STREAM, event)).collect();
    rows::insert_events(connection, &events).await?;
    Ok(deploy)
}

/// A tenant's header as it begins.
#[derive(Serialize)]
struct TenantColumns<'a> {
    key: i64,
    deploy: i64,
    tenant: &'a TenantId,
    ordinal: usize,
    spec: &'a str,
    last_seq: Seq,
    head: Digest,
    summary: SummaryColumns<'a>,
}

async fn insert_tenants(connection: &mut SqliteConnection, headers: &[TenantColumns<'_>]) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO tenants (key, deploy, tenant, ordinal, spec, last_seq, head, epoch, lease_until, \
             status, stage, wave, step, ready_at, code, message) \
         SELECT value ->> 'key', value ->> 'deploy', value ->> 'tenant', value ->> 'ordinal', value ->> 'spec', \
             value ->> 'last_seq', unhex(value ->> 'head'), 0, 0, \
             value ->> '$.summary.status', value ->> '$.summary.stage', value ->> '$.summary.wave', \
             value ->> '$.summary.step', value ->> '$.summary.ready_at', value ->> '$.summary.code', \
             value ->> '$.summary.message' \
         FROM json_each(?1)",
    )
    .bind(json(headers)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// A tenant's record as it is written.
#[derive(Serialize)]
struct RecordColumns<'a> {
    tenant: &'a TenantId,
    target: Digest,
    release: Option<Digest>,
    epoch: Epoch,
    seen_at: Timestamp,
}

async fn insert_records(
    connection: &mut SqliteConnection,
    new: &NewDeploy,
    tenants: &[NewTenant],
    now: Timestamp,
) -> Result<(), Fault> {
    let ids: Vec<&TenantId> = tenants.iter().map(|tenant| &tenant.id).collect();
    let known = sqlx::query(
        "SELECT tenant, target, release, epoch, seen_at FROM records \
         WHERE fleet = ?1 AND tenant IN (SELECT value FROM json_each(?2))",
    )
    .bind(&new.fleet)
    .bind(json(&ids)?)
    .fetch_all(&mut *connection)
    .await?;
    let known = known.iter().map(rows::record).collect::<Result<std::collections::BTreeMap<_, _>, _>>()?;
    let records: Vec<RecordColumns<'_>> = tenants
        .iter()
        .map(|tenant| {
            let TenantRecord { target, release, epoch, seen_at } =
                rules::record_at_creation(known.get(&tenant.id), tenant, now);
            RecordColumns { tenant: &tenant.id, target, release, epoch, seen_at }
        })
        .collect();
    sqlx::query(
        "INSERT OR REPLACE INTO records (fleet, tenant, target, release, epoch, seen_at) \
         SELECT ?1, value ->> 'tenant', unhex(value ->> 'target'), unhex(value ->> 'release'), value ->> 'epoch', \
             value ->> 'seen_at' FROM json_each(?2)",
    )
    .bind(&new.fleet)
    .bind(json(&records)?)
    .execute(connection)
    .await?;
    Ok(())
}
