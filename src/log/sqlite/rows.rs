//! Between Rust's types and SQLite's columns. Whatever does not convert back is damage, and says where.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::fault::Fault;
use crate::base::{Code, DeployId, Digest, Epoch, Seq, StepId, TenantId, Timestamp, WorkerId};
use crate::log::{DeployRow, LogError, RawEvent, TenantRecord, TenantRow, rules};
use crate::saga::summary::{DeploySummary, TenantStatus, TenantSummary};

/// The columns that [`deploy_row`] reads.
macro_rules! deploy_columns {
    () => {
        "key, id, fleet, created_at, last_seq, head, summary"
    };
}
/// The columns that [`tenant_row`] reads.
macro_rules! tenant_columns {
    () => {
        "key, tenant, ordinal, spec, last_seq, head, epoch, owner, lease_until, status, stage, wave, step, ready_at, code, message"
    };
}
/// The statement that writes events, from a list of [`EventColumns`].
macro_rules! event_insertion {
    () => {
        "INSERT INTO events (deploy, tenant, seq, body, hash) \
         SELECT value ->> 'deploy', value ->> 'tenant', value ->> 'seq', value ->> 'body', unhex(value ->> 'hash') \
         FROM json_each(?1) ORDER BY key"
    };
}
pub(super) use {deploy_columns, event_insertion, tenant_columns};

/// SQLite's integers are signed. Nothing here comes near their end.
pub(super) fn int(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// A count, a place or an epoch from its column.
pub(super) fn unsigned<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T, Fault> {
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|_| damaged(column, &value.to_string()))
}

/// A digest from its column.
pub(super) fn digest(row: &SqliteRow, column: &'static str) -> Result<Digest, Fault> {
    let bytes: &[u8] = row.try_get(column)?;
    Digest::from_slice(bytes).ok_or_else(|| damaged(column, &format!("{} bytes", bytes.len())))
}

/// A tenant's id from its column.
pub(super) fn tenant_id(row: &SqliteRow) -> Result<TenantId, Fault> {
    let text: String = row.try_get("tenant")?;
    TenantId::new(text.clone()).map_err(|_| damaged("tenant", &text))
}

/// A deploy's id from its column.
pub(super) fn deploy_id(row: &SqliteRow, column: &'static str) -> Result<DeployId, Fault> {
    let text: &str = row.try_get(column)?;
    text.parse::<DeployId>().map_err(|_| damaged(column, text))
}

/// An event as stored.
pub(super) fn raw_event(row: &SqliteRow) -> Result<RawEvent, Fault> {
    Ok(RawEvent {
        seq: Seq(unsigned(row, "seq")?),
        body: row.try_get("body")?,
        hash: digest(row, "hash")?,
        position: Some(row.try_get("position")?),
    })
}

/// A deploy's header, with the key that stands in for it inside the file and the head of its chain.
pub(super) struct StoredDeploy {
    pub(super) key: i64,
    pub(super) head: Digest,
    pub(super) row: DeployRow,
}

pub(super) fn deploy_row(row: &SqliteRow) -> Result<StoredDeploy, Fault> {
    let summary: &str = row.try_get("summary")?;
    Ok(StoredDeploy {
        key: row.try_get("key")?,
        head: digest(row, "head")?,
        row: DeployRow {
            id: deploy_id(row, "id")?,
            fleet: row.try_get("fleet")?,
            created_at: Timestamp(row.try_get("created_at")?),
            last_seq: Seq(unsigned(row, "last_seq")?),
            summary: serde_json::from_str::<DeploySummary>(summary).map_err(|_| damaged("summary", summary))?,
        },
    })
}

/// A tenant's header, with the key that stands in for it inside the file and the head of its chain.
pub(super) struct StoredTenant {
    pub(super) key: i64,
    pub(super) head: Digest,
    pub(super) row: TenantRow,
}

pub(super) fn tenant_row(row: &SqliteRow) -> Result<StoredTenant, Fault> {
    let status: &str = row.try_get("status")?;
    let code: Option<&str> = row.try_get("code")?;
    let summary = TenantSummary {
        status: TenantStatus::parse(status).ok_or_else(|| damaged("status", status))?,
        stage: unsigned(row, "stage")?,
        wave: unsigned(row, "wave")?,
        step: row.try_get::<Option<String>, _>("step")?.map(StepId),
        ready_at: row.try_get::<Option<i64>, _>("ready_at")?.map(Timestamp),
        code: code.map(parse_code).transpose()?,
        message: row.try_get("message")?,
    };
    Ok(StoredTenant {
        key: row.try_get("key")?,
        head: digest(row, "head")?,
        row: TenantRow {
            tenant: tenant_id(row)?,
            spec: row.try_get("spec")?,
            ordinal: unsigned(row, "ordinal")?,
            last_seq: Seq(unsigned(row, "last_seq")?),
            epoch: Epoch(unsigned(row, "epoch")?),
            owner: row.try_get::<Option<String>, _>("owner")?.map(WorkerId),
            lease_until: Timestamp(row.try_get("lease_until")?),
            summary,
        },
    })
}

fn parse_code(text: &str) -> Result<Code, Fault> {
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    Code::deserialize(text).map_err(|error| damaged("code", &error.to_string()))
}

fn damaged(column: &str, value: &str) -> Fault {
    Fault::Log(corrupt_column(column, value))
}

fn corrupt_column(column: &str, value: &str) -> LogError {
    rules::corrupt(&format!("column {column}"), format!("{value:?} is not a value that was ever written there"))
}

/// A tenant's record across deploys.
pub(super) fn record(row: &SqliteRow) -> Result<(TenantId, TenantRecord), Fault> {
    let release = match row.try_get::<Option<&[u8]>, _>("release")? {
        Some(_) => Some(digest(row, "release")?),
        None => None,
    };
    let (epoch, seen_at) = (Epoch(unsigned(row, "epoch")?), Timestamp(row.try_get("seen_at")?));
    Ok((tenant_id(row)?, TenantRecord { target: digest(row, "target")?, release, epoch, seen_at }))
}

/// The rows of a statement's one parameter: a JSON array that `json_each` takes apart. One statement then serves any number of
/// rows, is prepared once, and crosses to SQLite's thread once.
pub(super) fn json<T: serde::Serialize>(rows: &[T]) -> Result<String, Fault> {
    serde_json::to_string(rows).map_err(|error| Fault::Log(rules::refused("rows", error.to_string())))
}

/// A tenant's summary, field by field as the columns have it.
#[derive(serde::Serialize)]
pub(super) struct SummaryColumns<'a> {
    status: &'static str,
    stage: u32,
    wave: u32,
    step: Option<&'a str>,
    ready_at: Option<Timestamp>,
    code: Option<Code>,
    message: Option<&'a str>,
}

impl<'a> From<&'a TenantSummary> for SummaryColumns<'a> {
    fn from(summary: &'a TenantSummary) -> Self {
        Self {
            status: summary.status.as_str(),
            stage: summary.stage,
            wave: summary.wave,
            step: summary.step.as_ref().map(StepId::as_str),
            ready_at: summary.ready_at,
            code: summary.code,
            message: summary.message.as_deref(),
        }
    }
}

/// An event to be inserted.
#[derive(serde::Serialize)]
pub(super) struct EventColumns {
    deploy: i64,
    tenant: i64,
    seq: Seq,
    body: String,
    hash: Digest,
}

impl EventColumns {
    /// The key of a deploy's own stream among its tenants' keys.
    pub(super) const OWN_STREAM: i64 = 0;

    pub(super) fn new(deploy: i64, tenant: i64, event: RawEvent) -> Self {
        Self { deploy, tenant, seq: event.seq, body: event.body, hash: event.hash }
    }
}

/// Inserts events; their places in the log grow in the order given.
pub(super) async fn insert_events(
    connection: &mut sqlx::SqliteConnection,
    events: &[EventColumns],
) -> Result<(), Fault> {
    sqlx::query(event_insertion!()).bind(json(events)?).execute(connection).await?;
    Ok(())
}
