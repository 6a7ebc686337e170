//! [`MemoryLog`]: the contract over plain maps. The reference that other logs are compared with, and the log of the simulator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::api::{
    Append, Claim, Claims, DeployRow, LeaseAfter, Log, NewDeploy, NewTenant, RawEvent, RawStream, TailEvent,
    TenantQuery, TenantRecord, TenantRow,
};
use super::error::{AppendError, CreateError, LogError};
use super::rules::{self, Head};
use crate::base::limits::{LEASE_AHEAD_MAX, RETRY_PAUSE_MAX};
use crate::base::{Clock, DeployId, Digest, Epoch, LogId, Seq, TenantId, Timestamp, WorkerId};
use crate::saga::event::{Event, Recorded, StreamId};
use crate::saga::summary::{Census, DeploySummary};

/// A log that lasts as long as its process.
pub struct MemoryLog {
    id: LogId,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    deploys: BTreeMap<DeployId, Deploy>,
    records: BTreeMap<String, BTreeMap<TenantId, TenantRecord>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    positions: u64,
}

struct Deploy {
    /// How many there were before it.
    number: usize,
    row: DeployRow,
    hash: Digest,
    events: Vec<RawEvent>,
    /// In the deploy's order.
    tenants: Vec<Tenant>,
    /// Where each stands in `tenants`.
    by_id: BTreeMap<TenantId, usize>,
    /// Place in the log, stream and index within it of every event of this deploy.
    tail: BTreeMap<u64, (Option<usize>, usize)>,
}

struct Tenant {
    row: TenantRow,
    hash: Digest,
    events: Vec<RawEvent>,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { id: LogId::fresh(), clock, state: Mutex::default() }
    }

    /// A thread that panicked while it held the lock is a test that has failed already; the others may as well go on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn deploy(&self, id: DeployId) -> Result<&Deploy, LogError> {
        self.deploys.get(&id).ok_or_else(|| LogError::DeployUnknown { text: id.to_string() })
    }

    fn create(&mut self, new: NewDeploy, now: Timestamp) -> Result<(), CreateError> {
        let under_way =
            self.deploys.values().find(|deploy| deploy.row.fleet == new.fleet && deploy.row.summary.outcome.is_none());
        if let Some(deploy) = under_way {
            return Err(CreateError::FleetBusy { fleet: new.fleet, deploy: deploy.row.id });
        }
        if self.deploys.contains_key(&new.id) {
            return Err(rules::already_there(new.id).into());
        }
        let of_fleet = self.deploys.values().filter(|deploy| deploy.row.fleet == new.fleet);
        let newest = of_fleet.max_by_key(|deploy| deploy.number).map(|deploy| (deploy.row.id, &deploy.row.summary));
        rules::follows(&new, rules::previous(newest))?;
        let own = StreamId::deploy(new.id);
        let mut head = Head::genesis(&own);
        let first = [Event::Deploy(new.created)];
        let events = head.chain(&first, now, &new.by, Epoch(0))?;
        let mut summary = DeploySummary::default();
        rules::fold(&mut summary, &first);
        let (id, fleet, last_seq) = (new.id, new.fleet, head.last_seq);
        let mut deploy = Deploy {
            number: self.deploys.len(),
            row: DeployRow { id, fleet, created_at: now, last_seq, summary },
            hash: head.hash,
            events,
            tenants: Vec::with_capacity(new.tenants.len()),
            by_id: BTreeMap::new(),
            tail: BTreeMap::new(),
        };
        deploy.note(&mut self.positions, None, 0..1);
        let records = self.records.entry(deploy.row.fleet.clone()).or_default();
        for tenant in new.tenants {
            let record = rules::record_at_creation(records.get(&tenant.id), &tenant, now);
            records.insert(tenant.id.clone(), record);
            deploy.add(&mut self.positions, tenant, now, &new.by)?;
        }
        self.blobs.extend(new.blobs.into_iter().map(|blob| (blob.digest, blob.bytes)));
        self.deploys.insert(id, deploy);
        Ok(())
    }

    fn append(&mut self, append: Append, now: Timestamp) -> Result<Seq, AppendError> {
        rules::well_formed(&append)?;
        let StreamId { deploy: id, tenant } = &append.stream;
        let deploy = self.deploys.get_mut(id).ok_or_else(|| LogError::DeployUnknown { text: id.to_string() })?;
        let Some(tenant) = tenant else {
            let mut head = Head { last_seq: deploy.row.last_seq, hash: deploy.hash };
            rules::admit(&append, &deploy.row.summary, &head, append.epoch)?;
            let chained = head.chain(&append.events, now, &append.by, append.epoch)?;
            let from = deploy.events.len();
            deploy.events.extend(chained);
            rules::fold(&mut deploy.row.summary, &append.events);
            (deploy.row.last_seq, deploy.hash) = (head.last_seq, head.hash);
            deploy.note(&mut self.positions, None, from..deploy.events.len());
            return Ok(head.last_seq);
        };
        let index = deploy.index(tenant)?;
        let stream = &mut deploy.tenants[index];
        let mut head = Head { last_seq: stream.row.last_seq, hash: stream.hash };
        rules::admit(&append, &deploy.row.summary, &head, stream.row.epoch)?;
        let chained = head.chain(&append.events, now, &append.by, append.epoch)?;
        let from = stream.events.len();
        stream.events.extend(chained);
        (stream.row.last_seq, stream.hash) = (head.last_seq, head.hash);
        if let Some(summary) = append.summary {
            stream.row.summary = summary;
        }
        if append.lease == LeaseAfter::Release {
            stream.row.free();
        }
        let end = stream.events.len();
        deploy.note(&mut self.positions, Some(index), from..end);
        if let Some(record) = self.records.get_mut(&deploy.row.fleet).and_then(|records| records.get_mut(tenant)) {
            record.release = rules::release_after(record.release, append.place);
            record.seen_at = now;
        }
        Ok(head.last_seq)
    }

    /// Takes the leases of tenants, by their places in the deploy.
    fn take(
        &mut self,
        id: DeployId,
        free: &[usize],
        worker: &WorkerId,
        lease_until: Timestamp,
    ) -> Result<Vec<Claim>, LogError> {
        let Some(deploy) = self.deploys.get_mut(&id) else { return Ok(Vec::new()) };
        let mut claims = Vec::with_capacity(free.len());
        for index in free {
            let events = rules::verify(&deploy.raw(*index))?;
            let Tenant { row, .. } = &mut deploy.tenants[*index];
            let record = self.records.get_mut(&deploy.row.fleet).and_then(|records| records.get_mut(&row.tenant));
            row.epoch = rules::next_epoch(row.epoch, record.as_ref().map(|record| record.epoch).unwrap_or_default());
            if let Some(record) = record {
                record.epoch = row.epoch;
            }
            row.owner = Some(worker.clone());
            row.lease_until = lease_until;
            let stream = StreamId::tenant(id, row.tenant.clone());
            claims.push(Claim { stream, tenant: row.tenant.clone(), epoch: row.epoch, spec: row.spec.clone(), events });
        }
        Ok(claims)
    }
}

impl Deploy {
    fn add(&mut self, positions: &mut u64, tenant: NewTenant, now: Timestamp, by: &WorkerId) -> Result<(), LogError> {
        let mut head = Head::genesis(&StreamId::tenant(self.row.id, tenant.id.clone()));
        let first: Vec<Event> = tenant.events.into_iter().map(Event::Tenant).collect();
        let events = head.chain(&first, now, by, Epoch(0))?;
        let (index, count) = (self.tenants.len(), events.len());
        self.by_id.insert(tenant.id.clone(), index);
        let row = TenantRow {
            tenant: tenant.id,
            spec: tenant.spec,
            ordinal: index as u64,
            last_seq: head.last_seq,
            epoch: Epoch(0),
            owner: None,
            lease_until: Timestamp(0),
            summary: tenant.summary,
        };
        self.tenants.push(Tenant { row, hash: head.hash, events });
        self.note(positions, Some(index), 0..count);
        Ok(())
    }

    /// Gives new events their places in the log as a whole.
    fn note(&mut self, positions: &mut u64, tenant: Option<usize>, new: std::ops::Range<usize>) {
        for index in new {
            *positions += 1;
            self.tail.insert(*positions, (tenant, index));
            let events = tenant.map_or(&mut self.events, |tenant| &mut self.tenants[tenant].events);
            events[index].position = i64::try_from(*positions).ok();
        }
    }

    fn index(&self, tenant: &TenantId) -> Result<usize, LogError> {
        let unknown = || LogError::TenantUnknown { deploy: self.row.id, tenant: tenant.clone() };
        self.by_id.get(tenant).copied().ok_or_else(unknown)
    }

    fn own_raw(&self) -> RawStream {
        RawStream {
            stream: StreamId::deploy(self.row.id),
            last_seq: self.row.last_seq,
            head: self.hash,
            summary: None,
            events: self.events.clone(),
        }
    }

    fn raw(&self, index: usize) -> RawStream {
        let Tenant { row, hash, events } = &self.tenants[index];
        RawStream {
            stream: StreamId::tenant(self.row.id, row.tenant.clone()),
            last_seq: row.last_seq,
            head: *hash,
            summary: Some(row.summary.clone()),
            events: events.clone(),
        }
    }

    /// The tenants that may be taken up, with what they have to wait for.
    fn admitted(&self, now: Timestamp) -> impl Iterator<Item = (&TenantRow, Timestamp)> {
        let rows = self.tenants.iter().map(|tenant| &tenant.row);
        rows.filter(|TenantRow { summary, .. }| self.row.summary.admits(summary.status, summary.stage, summary.wave))
            .map(move |row| {
                let waits = rules::waits_its_time(&self.row.summary, row.summary.status);
                let ready_at = row.summary.ready_at.filter(|_| waits).unwrap_or(Timestamp(0));
                let ready_at = ready_at.believed(now, RETRY_PAUSE_MAX);
                (row, row.lease_until.believed(now, LEASE_AHEAD_MAX).max(ready_at))
            })
    }

    fn held_by<'a>(&'a mut self, worker: &'a WorkerId) -> impl Iterator<Item = &'a mut TenantRow> {
        let rows = self.tenants.iter_mut().map(|tenant| &mut tenant.row);
        rows.filter(move |row| row.owner.as_ref() == Some(worker))
    }
}

impl TenantRow {
    fn free(&mut self) {
        self.owner = None;
        self.lease_until = Timestamp(0);
    }
}

fn position(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[async_trait]
impl Log for MemoryLog {
    fn id(&self) -> LogId {
        self.id
    }

    fn url(&self) -> &'static str {
        "memory:"
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    async fn create_deploy(&self, new: NewDeploy) -> Result<(), CreateError> {
        rules::well_formed_deploy(&new)?;
        self.state().create(new, self.clock.now())
    }

    async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        self.state().append(append, self.clock.now())
    }

    async fn claim(
        &self,
        deploy: DeployId,
        worker: &WorkerId,
        limit: usize,
        lease: Duration,
    ) -> Result<Claims, LogError> {
        let (now, mut state) = (self.clock.now(), self.state());
        let found = state.deploy(deploy)?;
        let (summary, last_seq) = (found.row.summary.clone(), found.row.last_seq);
        let free = found.admitted(now).filter(|(_, waits)| *waits <= now).map(|(row, _)| row);
        let free = free.filter(|row| row.owner.as_ref() != Some(worker));
        let order = |row: &TenantRow| (row.summary.stage, row.summary.wave, row.ordinal);
        let free: BTreeSet<_> = free.map(order).collect();
        let free: Vec<usize> = free.into_iter().take(limit).map(|(_, _, ordinal)| position(ordinal)).collect();
        let tenants = state.take(deploy, &free, worker, now.plus(lease))?;
        Ok(Claims { summary, last_seq, tenants })
    }

    async fn claim_one(
        &self,
        stream: &StreamId,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claim>, LogError> {
        let (now, mut state) = (self.clock.now(), self.state());
        let tenant = rules::tenant_of(stream)?;
        let deploy = state.deploy(stream.deploy)?;
        let index = deploy.index(tenant)?;
        let lease_until = deploy.tenants[index].row.lease_until.believed(now, LEASE_AHEAD_MAX);
        if deploy.row.summary.outcome.is_some() || lease_until > now {
            return Ok(None);
        }
        Ok(state.take(stream.deploy, &[index], worker, now.plus(lease))?.pop())
    }

    async fn heartbeat(
        &self,
        deploy: DeployId,
        worker: &WorkerId,
        held: &BTreeMap<TenantId, Epoch>,
        lease: Duration,
    ) -> Result<BTreeMap<TenantId, Epoch>, LogError> {
        let (now, mut state) = (self.clock.now(), self.state());
        state.deploy(deploy)?;
        let ours = state.deploys.get_mut(&deploy).into_iter().flat_map(|deploy| deploy.held_by(worker));
        let ours = ours.filter(|row| held.get(&row.tenant) == Some(&row.epoch));
        let prolong = |row: &mut TenantRow| {
            row.lease_until = row.lease_until.believed(now, LEASE_AHEAD_MAX).max(now.plus(lease));
            (row.tenant.clone(), row.epoch)
        };
        Ok(ours.map(prolong).collect())
    }

    async fn release(&self, stream: &StreamId, epoch: Epoch) -> Result<(), LogError> {
        let mut state = self.state();
        let tenant = rules::tenant_of(stream)?;
        let index = state.deploy(stream.deploy)?.index(tenant)?;
        let row = state.deploys.get_mut(&stream.deploy).map(|deploy| &mut deploy.tenants[index].row);
        if let Some(row) = row.filter(|row| row.epoch == epoch) {
            row.free();
        }
        Ok(())
    }

    async fn holders(&self, deploy: DeployId) -> Result<Vec<WorkerId>, LogError> {
        let state = self.state();
        let owners = state.deploy(deploy)?.tenants.iter().filter_map(|tenant| tenant.row.owner.clone());
        Ok(owners.collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn expel(&self, deploy: DeployId, worker: &WorkerId) -> Result<u64, LogError> {
        let mut state = self.state();
        state.deploy(deploy)?;
        let held = state.deploys.get_mut(&deploy).into_iter().flat_map(|deploy| deploy.held_by(worker));
        Ok(held.map(TenantRow::free).count() as u64)
    }

    async fn next_ready(&self, deploy: DeployId) -> Result<Option<Timestamp>, LogError> {
        let (now, state) = (self.clock.now(), self.state());
        Ok(state.deploy(deploy)?.admitted(now).map(|(_, waits)| waits).filter(|waits| *waits > now).min())
    }

    async fn read(&self, stream: &StreamId) -> Result<Vec<Recorded>, LogError> {
        let state = self.state();
        let deploy = state.deploy(stream.deploy)?;
        let raw = match &stream.tenant {
            None => deploy.own_raw(),
            Some(tenant) => deploy.raw(deploy.index(tenant)?),
        };
        rules::verify(&raw)
    }

    async fn end(&self, deploy: DeployId) -> Result<u64, LogError> {
        let state = self.state();
        Ok(state.deploy(deploy)?.tail.last_key_value().map_or(0, |(position, _)| *position))
    }

    async fn tail(&self, deploy: DeployId, after: u64, limit: usize) -> Result<Vec<TailEvent>, LogError> {
        let state = self.state();
        let found = state.deploy(deploy)?;
        let event = |(position, (tenant, index)): (&u64, &(Option<usize>, usize))| {
            let tenant = tenant.map(|tenant| &found.tenants[tenant]);
            let raw = &tenant.map_or(&found.events, |tenant| &tenant.events)[*index];
            let recorded = serde_json::from_str(&raw.body).map_err(|error| {
                rules::corrupt(&format!("position {position}"), format!("it does not parse: {error}"))
            })?;
            let stream = StreamId { deploy, tenant: tenant.map(|tenant| tenant.row.tenant.clone()) };
            Ok(TailEvent { position: *position, stream, recorded })
        };
        found.tail.range(after.saturating_add(1)..).take(limit).map(event).collect()
    }

    async fn census(&self, deploy: DeployId) -> Result<Census, LogError> {
        let mut census = Census::default();
        for Tenant { row, .. } in &self.state().deploy(deploy)?.tenants {
            *census.groups.entry((row.summary.status, row.summary.stage, row.summary.wave)).or_default() += 1;
        }
        Ok(census)
    }

    async fn deploy(&self, deploy: DeployId) -> Result<DeployRow, LogError> {
        self.state().deploy(deploy).map(|deploy| deploy.row.clone())
    }

    async fn deploys(&self, fleet: Option<&str>, limit: usize) -> Result<Vec<DeployRow>, LogError> {
        let state = self.state();
        let of_fleet = |row: &&DeployRow| fleet.is_none_or(|fleet| row.fleet == fleet);
        let mut deploys: Vec<&Deploy> = state.deploys.values().collect();
        deploys.sort_by_key(|deploy| std::cmp::Reverse(deploy.number));
        Ok(deploys.into_iter().map(|deploy| &deploy.row).filter(of_fleet).take(limit).cloned().collect())
    }

    async fn tenants(&self, deploy: DeployId, query: &TenantQuery) -> Result<Vec<TenantRow>, LogError> {
        let state = self.state();
        let asked = |row: &&TenantRow| {
            let status = query.statuses.is_empty() || query.statuses.contains(&row.summary.status);
            status && query.after.is_none_or(|after| row.ordinal > after)
        };
        let rows = state.deploy(deploy)?.tenants.iter().map(|tenant| &tenant.row).filter(asked);
        Ok(rows.take(query.limit).cloned().collect())
    }

    async fn records(&self, fleet: &str) -> Result<BTreeMap<TenantId, TenantRecord>, LogError> {
        Ok(self.state().records.get(fleet).cloned().unwrap_or_default())
    }

    async fn blob(&self, digest: &Digest) -> Result<Vec<u8>, LogError> {
        self.state().blobs.get(digest).cloned().ok_or(LogError::BlobMissing { digest: *digest })
    }

    async fn fleets(&self) -> Result<BTreeSet<String>, LogError> {
        let state = self.state();
        let of_deploys = state.deploys.values().map(|deploy| &deploy.row.fleet);
        Ok(of_deploys.chain(state.records.keys()).cloned().collect())
    }

    async fn blobs(&self) -> Result<Vec<Digest>, LogError> {
        Ok(self.state().blobs.keys().copied().collect())
    }

    async fn heads(&self, deploy: DeployId) -> Result<Vec<(Option<TenantId>, Seq, Digest)>, LogError> {
        let streams = self.raw(deploy).await?;
        Ok(streams.into_iter().map(|of| (of.stream.tenant, of.last_seq, of.head)).collect())
    }

    async fn raw(&self, deploy: DeployId) -> Result<Vec<RawStream>, LogError> {
        let state = self.state();
        let deploy = state.deploy(deploy)?;
        let tenants = deploy.by_id.values().map(|index| deploy.raw(*index));
        Ok(std::iter::once(deploy.own_raw()).chain(tenants).collect())
    }
}
