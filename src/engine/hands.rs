//! The tenants that this worker has in hand: a driver each, and a lease each that must not outlive it.
//!
//! Signs of life are given by a task of their own, so that nothing the coordinator waits for (a busy log, a slow terminal) costs a
//! lease. They name the tenants that really have a driver: one whose driver died is given back, and should even that fail, its lease
//! runs out. Either way its next holder opens a session under a higher epoch, ends the old one, and looks for evidence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::drive::LetGo;
use crate::base::limits::HEARTBEAT;
use crate::base::measure;
use crate::base::{DeployId, Epoch, TenantId, WorkerId};
use crate::log::{Log, LogError};
use crate::saga::event::StreamId;

/// How a driver ended, as far as the coordinator must know.
#[derive(Debug)]
pub(super) enum Ended {
    /// It let go of its tenant by itself.
    LetGo(LetGo),
    /// It was stopped, or it failed: its tenant is given back and taken up again.
    Lost,
    /// It met a defect of Windlass.
    Panicked(TenantId),
}

/// The leases, shared with the task that prolongs them.
struct Leases {
    log: Arc<dyn Log>,
    deploy: DeployId,
    worker: WorkerId,
    lease: Duration,
    held: Mutex<BTreeMap<TenantId, (Epoch, AbortHandle)>>,
}

/// The tenants in hand. Dropping it stops all drivers and the signs of life.
pub(super) struct Hands {
    leases: Arc<Leases>,
    drivers: JoinSet<Result<LetGo, LogError>>,
    of: BTreeMap<Id, (TenantId, Epoch)>,
    /// Leases without a driver, to be given back.
    orphans: Vec<(TenantId, Epoch)>,
    /// One task; in a set because a set stops its tasks when it is dropped.
    beats: JoinSet<()>,
}

impl Hands {
    pub(super) fn new(log: Arc<dyn Log>, deploy: DeployId, worker: WorkerId, lease: Duration) -> Self {
        let leases = Arc::new(Leases { log, deploy, worker, lease, held: Mutex::default() });
        let mut beats = JoinSet::new();
        beats.spawn(Arc::clone(&leases).beat_for_ever());
        Self { leases, drivers: JoinSet::new(), of: BTreeMap::new(), orphans: Vec::new(), beats }
    }

    pub(super) fn len(&self) -> usize {
        self.drivers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.drivers.is_empty()
    }

    /// Starts a driver for a claimed tenant.
    pub(super) fn take(
        &mut self,
        tenant: TenantId,
        epoch: Epoch,
        driver: impl Future<Output = Result<LetGo, LogError>> + Send + 'static,
    ) {
        let span = tracing::info_span!("tenant", deploy = %self.leases.deploy, %tenant);
        let handle = self.drivers.spawn(driver.instrument(span));
        self.of.insert(handle.id(), (tenant.clone(), epoch));
        self.leases.held().insert(tenant, (epoch, handle));
    }

    /// Waits for a driver to end. An error of the log that is more than a wait is the engine's; the lease is then given back with
    /// all the others.
    pub(super) async fn ended(&mut self) -> Option<Result<Ended, LogError>> {
        let ended = self.drivers.join_next_with_id().await?;
        Some(self.settle(ended))
    }

    /// The same, for one that has ended already.
    pub(super) fn try_ended(&mut self) -> Option<Result<Ended, LogError>> {
        let ended = self.drivers.try_join_next_with_id()?;
        Some(self.settle(ended))
    }

    fn settle(&mut self, ended: Result<(Id, Result<LetGo, LogError>), JoinError>) -> Result<Ended, LogError> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((tenant, epoch)) = self.of.remove(&id) else { return Ok(Ended::Lost) };
        // A driver says farewell to its session after it has given its lease back: by now the tenant may be in hand again, under
        // another epoch.
        self.leases.held().retain(|held, (under, _)| *held != tenant || *under != epoch);
        let lost = |hands: &mut Self| {
            hands.orphans.push((tenant.clone(), epoch));
            counter!(measure::LEASES_LOST).increment(1);
            Ended::Lost
        };
        match ended {
            Ok((_, Ok(let_go))) => Ok(Ended::LetGo(let_go)),
            Ok((_, Err(error @ LogError::Busy { .. }))) => {
                tracing::warn!(deploy = %self.leases.deploy, %tenant, %error, "will be taken up again");
                Ok(lost(self))
            }
            Ok((_, Err(error))) => {
                lost(self);
                Err(error)
            }
            Err(error) if error.is_panic() => {
                tracing::error!(deploy = %self.leases.deploy, %tenant, %error, "a driver has panicked");
                lost(self);
                Ok(Ended::Panicked(tenant))
            }
            // Stopped, because the lease is over or because the worker ends.
            Err(_) => Ok(lost(self)),
        }
    }

    /// Gives back what has no driver any more. What the log refuses is tried again: nobody hands us what is still under our name.
    pub(super) async fn give_back(&mut self) {
        for (tenant, epoch) in std::mem::take(&mut self.orphans) {
            let stream = StreamId::tenant(self.leases.deploy, tenant.clone());
            if let Err(error) = self.leases.log.release(&stream, epoch).await {
                tracing::warn!(deploy = %self.leases.deploy, %tenant, %error, "the lease is not given back yet");
                self.orphans.push((tenant, epoch));
            }
        }
    }

    /// Stops every driver, and gives every lease back. Sessions that are dropped here are ended by the servers, and found by the
    /// next holder before it acts.
    pub(super) async fn let_go(mut self) {
        self.drivers.abort_all();
        while self.ended().await.is_some() {}
        self.give_back().await;
        self.beats.shutdown().await;
    }
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, BTreeMap<TenantId, (Epoch, AbortHandle)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn beat_for_ever(self: Arc<Self>) {
        let mut tick = tokio::time::interval(HEARTBEAT.min(self.lease / 3));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut alive = Instant::now();
        loop {
            tick.tick().await;
            self.beat(&mut alive).await;
        }
    }

    /// Prolongs our leases, and drops the tenants that are no longer ours. A worker whose last sign of life that arrived is half a
    /// lease old drops everything: by the time the next one has failed too, its successor may be at work.
    async fn beat(&self, alive: &mut Instant) {
        let held: BTreeMap<TenantId, Epoch> =
            self.held().iter().map(|(tenant, (epoch, _))| (tenant.clone(), *epoch)).collect();
        let asked = Instant::now();
        if held.is_empty() {
            *alive = asked;
            return;
        }
        let heartbeat = self.log.heartbeat(self.deploy, &self.worker, &held, self.lease);
        let trouble = match tokio::time::timeout(self.lease / 3, heartbeat).await {
            Ok(Ok(ours)) => {
                *alive = asked;
                return self.drop_lost(&held, &ours);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the log does not answer".to_owned(),
        };
        tracing::warn!(deploy = %self.deploy, trouble, "no heartbeat");
        if alive.elapsed() >= self.lease / 2 {
            self.held().values().for_each(|(_, driver)| driver.abort());
        }
    }

    /// A tenant may also be gone because its driver has just given it back: stopping that driver then costs only its farewell.
    fn drop_lost(&self, asked: &BTreeMap<TenantId, Epoch>, ours: &BTreeMap<TenantId, Epoch>) {
        let held = self.held();
        for (tenant, epoch) in asked.iter().filter(|(tenant, _)| !ours.contains_key(*tenant)) {
            if let Some((_, driver)) = held.get(tenant).filter(|(of, driver)| of == epoch && !driver.is_finished()) {
                tracing::info!(deploy = %self.deploy, %tenant, %epoch, "the lease is over; letting go");
                driver.abort();
            }
        }
    }
}
