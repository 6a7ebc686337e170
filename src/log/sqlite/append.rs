//! A group of appends inside one transaction.
//!
//! The headers that the group concerns are read in one statement, every append is decided in turn against them (so that each sees
//! what those before it in the group did), and what was admitted is written in one statement per table, however many there are.
//! The transaction holds the write lock from its start, so nothing changes between the reading and the writing, in any process.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::SqliteConnection;

use super::fault::Fault;
use super::rows::{self, EventColumns, SummaryColumns, deploy_columns};
use crate::base::{DeployId, Digest, Epoch, Seq, TenantId, Timestamp};
use crate::log::rules::{self, Head};
use crate::log::{Append, AppendError, LeaseAfter, LogError};
use crate::saga::event::StreamId;
use crate::saga::summary::{DeploySummary, Place, TenantSummary};

/// A deploy on the desk: as read, then as the group leaves it.
struct DeskDeploy {
    key: i64,
    fleet: String,
    summary: DeploySummary,
    head: Head,
    read_seq: Seq,
}

/// A tenant on the desk.
struct DeskTenant {
    key: i64,
    epoch: Epoch,
    head: Head,
    read_seq: Seq,
    summary: Option<TenantSummary>,
    place: Place,
    release_lease: bool,
}

/// Everything that a group of appends reads and writes.
struct Desk {
    deploys: BTreeMap<DeployId, DeskDeploy>,
    tenants: BTreeMap<(DeployId, TenantId), DeskTenant>,
    events: Vec<EventColumns>,
}

/// Decides and writes a group; an answer for each append. An error here means that nothing of the group may be committed.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    appends: &[Append],
    now: Timestamp,
) -> Result<Vec<Result<Seq, AppendError>>, Fault> {
    let mut desk = Desk::read(connection, appends).await?;
    let answers = appends.iter().map(|append| desk.decide(append, now)).collect();
    desk.write(connection, now).await?;
    Ok(answers)
}

impl Desk {
    async fn read(connection: &mut SqliteConnection, appends: &[Append]) -> Result<Self, Fault> {
        let mut desk = Self { deploys: BTreeMap::new(), tenants: BTreeMap::new(), events: Vec::new() };
        desk.read_deploys(connection, appends).await?;
        desk.read_tenants(connection, appends).await?;
        Ok(desk)
    }

    async fn read_deploys(&mut self, connection: &mut SqliteConnection, appends: &[Append]) -> Result<(), Fault> {
        let mut ids: Vec<DeployId> = appends.iter().map(|append| append.stream.deploy).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = sqlx::query(concat!(
            "SELECT ",
            deploy_columns!(),
            " FROM deploys WHERE id IN (SELECT value FROM json_each(?1))"
        ))
        .bind(rows::json(&ids)?)
        .fetch_all(connection)
        .await?;
        for row in &found {
            let stored = rows::deploy_row(row)?;
            let head = Head { last_seq: stored.row.last_seq, hash: stored.head };
            let (key, fleet, summary) = (stored.key, stored.row.fleet, stored.row.summary);
            self.deploys.insert(stored.row.id, DeskDeploy { key, fleet, summary, head, read_seq: head.last_seq });
        }
        Ok(())
    }

    async fn read_tenants(&mut self, connection: &mut SqliteConnection, appends: &[Append]) -> Result<(), Fault> {
        let mut wanted = BTreeMap::new();
        for append in appends {
            if let (Some(tenant), Some(deploy)) = (&append.stream.tenant, self.deploys.get(&append.stream.deploy)) {
                wanted.insert((deploy.key, tenant), append.stream.deploy);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        // CROSS JOIN: the list leads, the table is looked up.
        let found = sqlx::query(
            "SELECT t.key, t.deploy, t.tenant, t.last_seq, t.head, t.epoch FROM json_each(?1) AS wanted \
             CROSS JOIN tenants AS t ON t.deploy = wanted.value ->> 0 AND t.tenant = wanted.value ->> 1",
        )
        .bind(rows::json(&wanted.keys().collect::<Vec<_>>())?)
        .fetch_all(connection)
        .await?;
        for row in &found {
            let tenant = rows::tenant_id(row)?;
            let deploy_key: i64 = rows::unsigned(row, "deploy")?;
            let Some(deploy) = wanted.get(&(deploy_key, &tenant)) else { continue };
            let head = Head { last_seq: Seq(rows::unsigned(row, "last_seq")?), hash: rows::digest(row, "head")? };
            let on_desk = DeskTenant {
                key: rows::unsigned(row, "key")?,
                epoch: Epoch(rows::unsigned(row, "epoch")?),
                head,
                read_seq: head.last_seq,
                summary: None,
                place: Place::Unchanged,
                release_lease: false,
            };
            self.tenants.insert((*deploy, tenant), on_desk);
        }
        Ok(())
    }

    fn decide(&mut self, append: &Append, now: Timestamp) -> Result<Seq, AppendError> {
        rules::well_formed(append)?;
        let StreamId { deploy: id, tenant } = &append.stream;
        let deploy = self.deploys.get_mut(id).ok_or_else(|| LogError::DeployUnknown { text: id.to_string() })?;
        let Some(tenant) = tenant else {
            rules::admit(append, &deploy.summary, &deploy.head, append.epoch)?;
            let chained = deploy.head.chain(&append.events, now, &append.by, append.epoch)?;
            rules::fold(&mut deploy.summary, &append.events);
            self.events.extend(
                chained.into_iter().map(|event| EventColumns::new(deploy.key, EventColumns::OWN_STREAM, event)),
            );
            return Ok(deploy.head.last_seq);
        };
        let key = (*id, tenant.clone());
        let header = self
            .tenants
            .get_mut(&key)
            .ok_or_else(|| LogError::TenantUnknown { deploy: *id, tenant: tenant.clone() })?;
        rules::admit(append, &deploy.summary, &header.head, header.epoch)?;
        let chained = header.head.chain(&append.events, now, &append.by, append.epoch)?;
        self.events.extend(chained.into_iter().map(|event| EventColumns::new(deploy.key, header.key, event)));
        header.summary.clone_from(&append.summary);
        if append.place != Place::Unchanged {
            header.place = append.place;
        }
        header.release_lease |= append.lease == LeaseAfter::Release;
        Ok(header.head.last_seq)
    }

    async fn write(self, connection: &mut SqliteConnection, now: Timestamp) -> Result<(), Fault> {
        if self.events.is_empty() {
            return Ok(());
        }
        rows::insert_events(connection, &self.events).await?;
        self.write_deploys(connection).await?;
        self.write_tenants(connection, now).await
    }

    async fn write_deploys(&self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        for deploy in self.deploys.values().filter(|deploy| deploy.head.last_seq != deploy.read_seq) {
            let written = sqlx::query(
                "UPDATE deploys SET last_seq = ?1, head = ?2, summary = ?3 WHERE key = ?4 AND last_seq = ?5",
            )
            .bind(rows::int(deploy.head.last_seq.0))
            .bind(deploy.head.hash.as_bytes().as_slice())
            .bind(summary_text(&deploy.summary)?)
            .bind(deploy.key)
            .bind(rows::int(deploy.read_seq.0))
            .execute(&mut *connection)
            .await?;
            expect_rows(written.rows_affected(), 1)?;
        }
        Ok(())
    }

    /// The condition stands in the statement again, although the desk has decided it under the same lock: a promise is worth two
    /// assertions, and this one would also catch a mistake on the desk.
    async fn write_tenants(&self, connection: &mut SqliteConnection, now: Timestamp) -> Result<(), Fault> {
        let changed = self.changed_tenants();
        if changed.is_empty() {
            return Ok(());
        }
        let (count, changed) = (changed.len() as u64, rows::json(&changed)?);
        let written = sqlx::query(
            "UPDATE tenants SET last_seq = new.value ->> 'last_seq', head = unhex(new.value ->> 'head'), \
                 status = new.value ->> '$.summary.status', stage = new.value ->> '$.summary.stage', \
                 wave = new.value ->> '$.summary.wave', step = new.value ->> '$.summary.step', \
                 ready_at = new.value ->> '$.summary.ready_at', code = new.value ->> '$.summary.code', \
                 message = new.value ->> '$.summary.message', \
                 owner = CASE WHEN new.value ->> 'release_lease' THEN NULL ELSE owner END, \
                 lease_until = CASE WHEN new.value ->> 'release_lease' THEN 0 ELSE lease_until END \
             FROM json_each(?1) AS new \
             WHERE tenants.key = new.value ->> 'key' AND tenants.last_seq = new.value ->> 'read_seq' \
               AND tenants.epoch = new.value ->> 'epoch'",
        )
        .bind(&changed)
        .execute(&mut *connection)
        .await?;
        expect_rows(written.rows_affected(), count)?;
        let written = sqlx::query(
            "UPDATE records SET seen_at = ?2, release = CASE WHEN new.value ->> 'keep_release' THEN release \
                 ELSE unhex(new.value ->> 'release') END \
             FROM json_each(?1) AS new \
             WHERE records.fleet = new.value ->> 'fleet' AND records.tenant = new.value ->> 'tenant'",
        )
        .bind(&changed)
        .bind(now.0)
        .execute(connection)
        .await?;
        expect_rows(written.rows_affected(), count)
    }

    fn changed_tenants(&self) -> Vec<TenantChange<'_>> {
        let changed = self.tenants.iter().filter(|(_, tenant)| tenant.head.last_seq != tenant.read_seq);
        changed
            .filter_map(|((deploy, id), tenant)| {
                Some(TenantChange {
                    key: tenant.key,
                    read_seq: tenant.read_seq,
                    epoch: tenant.epoch,
                    last_seq: tenant.head.last_seq,
                    head: tenant.head.hash,
                    summary: tenant.summary.as_ref()?.into(),
                    release_lease: tenant.release_lease,
                    fleet: &self.deploys.get(deploy)?.fleet,
                    tenant: id,
                    keep_release: tenant.place == Place::Unchanged,
                    release: rules::release_after(None, tenant.place),
                })
            })
            .collect()
    }
}

/// A tenant's header and record after the group. The conditions first.
#[derive(Serialize)]
struct TenantChange<'a> {
    key: i64,
    read_seq: Seq,
    epoch: Epoch,
    last_seq: Seq,
    head: Digest,
    summary: SummaryColumns<'a>,
    release_lease: bool,
    fleet: &'a str,
    tenant: &'a TenantId,
    keep_release: bool,
    release: Option<Digest>,
}

/// A deploy's fold as stored.
pub(super) fn summary_text(summary: &DeploySummary) -> Result<String, Fault> {
    serde_json::to_string(summary).map_err(|error| Fault::Log(rules::refused("a deploy's summary", error.to_string())))
}

/// Every header and record that was read is there to be written; anything else abandons the transaction.
pub(super) fn expect_rows(written: u64, expected: u64) -> Result<(), Fault> {
    if written == expected {
        return Ok(());
    }
    Err(sqlx::Error::Protocol(format!("{written} rows were written where {expected} were read: the log is damaged"))
        .into())
}
