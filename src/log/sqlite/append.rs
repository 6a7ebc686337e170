//! A group of appends inside one transaction.
//!
//! The headers that the group concerns are read in one statement, every append is decided in turn against them (so that each sees
//! what those before it in the group did), and what was admitted is written in one statement per table, however many there are.
//! The transaction holds the write lock from its start, so nothing changes between the reading and the writing, in any process.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Either, Executor as _, SqliteConnection};

use super::fault::Fault;
use super::rows::{self, EventColumns, SummaryColumns, deploy_columns, event_insertion};
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
    /// One message for both tables: what a group costs beside its sync is the passing of messages to SQLite's thread and back.
    async fn read(connection: &mut SqliteConnection, appends: &[Append]) -> Result<Self, Fault> {
        let mut ids: Vec<DeployId> = appends.iter().map(|append| append.stream.deploy).collect();
        ids.sort_unstable();
        ids.dedup();
        let streams: BTreeSet<_> =
            appends.iter().filter_map(|append| Some((append.stream.deploy, append.stream.tenant.as_ref()?))).collect();
        // CROSS JOIN: the list leads, the tables are looked up.
        let text = concat!(
            "SELECT ",
            deploy_columns!(),
            " FROM deploys WHERE id IN (SELECT value FROM json_each(?1)); \
             SELECT t.key, d.id AS deploy, t.tenant, t.last_seq, t.head, t.epoch FROM json_each(?2) AS wanted \
             CROSS JOIN deploys AS d ON d.id = wanted.value ->> 0 \
             CROSS JOIN tenants AS t ON t.deploy = d.key AND t.tenant = wanted.value ->> 1"
        );
        let query =
            sqlx::query(text).bind(rows::json(&ids)?).bind(rows::json(&streams.into_iter().collect::<Vec<_>>())?);
        let mut desk = Self { deploys: BTreeMap::new(), tenants: BTreeMap::new(), events: Vec::new() };
        let mut statement = 0;
        let mut answers = connection.fetch_many(query);
        while let Some(answer) = answers.try_next().await? {
            match (answer, statement) {
                (Either::Left(_), _) => statement += 1,
                (Either::Right(row), 0) => desk.take_deploy(&row)?,
                (Either::Right(row), _) => desk.take_tenant(&row)?,
            }
        }
        Ok(desk)
    }

    fn take_deploy(&mut self, row: &SqliteRow) -> Result<(), Fault> {
        let stored = rows::deploy_row(row)?;
        let head = Head { last_seq: stored.row.last_seq, hash: stored.head };
        let (key, fleet, summary) = (stored.key, stored.row.fleet, stored.row.summary);
        self.deploys.insert(stored.row.id, DeskDeploy { key, fleet, summary, head, read_seq: head.last_seq });
        Ok(())
    }

    fn take_tenant(&mut self, row: &SqliteRow) -> Result<(), Fault> {
        let tenant = rows::tenant_id(row)?;
        let deploy = rows::deploy_id(row, "deploy")?;
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
        self.tenants.insert((deploy, tenant), on_desk);
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
        self.write_deploys(connection).await?;
        let changed = self.changed_tenants();
        if changed.is_empty() {
            return rows::insert_events(connection, &self.events).await;
        }
        self.write_tenants(connection, &changed, now).await
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

    /// The events, and what follows from them for their tenants, in one message; the commit is another, after the counts have been
    /// compared.
    ///
    /// The condition stands in the statement again, although the desk has decided it under the same lock: a promise is worth two
    /// assertions, and this one would also catch a mistake on the desk.
    async fn write_tenants(
        &self,
        connection: &mut SqliteConnection,
        changed: &[TenantChange<'_>],
        now: Timestamp,
    ) -> Result<(), Fault> {
        let text = concat!(
            event_insertion!(),
            "; UPDATE tenants SET last_seq = new.value ->> 'last_seq', head = unhex(new.value ->> 'head'), \
                 status = new.value ->> '$.summary.status', stage = new.value ->> '$.summary.stage', \
                 wave = new.value ->> '$.summary.wave', step = new.value ->> '$.summary.step', \
                 ready_at = new.value ->> '$.summary.ready_at', code = new.value ->> '$.summary.code', \
                 message = new.value ->> '$.summary.message', \
                 owner = CASE WHEN new.value ->> 'release_lease' THEN NULL ELSE owner END, \
                 lease_until = CASE WHEN new.value ->> 'release_lease' THEN 0 ELSE lease_until END \
             FROM json_each(?2) AS new \
             WHERE tenants.key = new.value ->> 'key' AND tenants.last_seq = new.value ->> 'read_seq' \
               AND tenants.epoch = new.value ->> 'epoch'; \
             UPDATE records SET seen_at = ?3, release = CASE WHEN new.value ->> 'keep_release' THEN release \
                 ELSE unhex(new.value ->> 'release') END \
             FROM json_each(?2) AS new \
             WHERE records.fleet = new.value ->> 'fleet' AND records.tenant = new.value ->> 'tenant'"
        );
        let query = sqlx::query(text).bind(rows::json(&self.events)?).bind(rows::json(changed)?).bind(now.0);
        let mut written = Vec::new();
        let mut answers = connection.fetch_many(query);
        while let Some(answer) = answers.try_next().await? {
            if let Either::Left(done) = answer {
                written.push(done.rows_affected());
            }
        }
        let tenants = changed.len() as u64;
        let expected = [self.events.len() as u64, tenants, tenants];
        written.resize(expected.len(), 0);
        written.into_iter().zip(expected).try_for_each(|(written, expected)| expect_rows(written, expected))
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
