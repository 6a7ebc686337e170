//! The rules of a log, over data alone: what may be appended, how a stream is chained and checked, what becomes of a tenant's
//! record. Every implementation decides by these, so that they cannot drift apart.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::api::{Append, NewDeploy, NewTenant, RawEvent, RawStream, TenantRecord};
use super::error::{AppendError, CreateError, LogError};
use crate::base::limits::FLEET_TENANTS_MAX;
use crate::base::{DeployId, Digest, Epoch, Seq, TenantId, Timestamp, WorkerId};
use crate::saga::chain;
use crate::saga::event::{DeployEvent, Event, Previous, Recorded, StreamId};
use crate::saga::summary::{DeploySummary, Place, TenantStatus};

/// The end of a stream: how long it is, and the head of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Events so far.
    pub(super) last_seq: Seq,
    /// The head of the chain after them.
    pub(super) hash: Digest,
}

impl Head {
    /// The head of a stream without events.
    pub(super) fn genesis(stream: &StreamId) -> Self {
        Self { last_seq: Seq(0), hash: chain::genesis(stream) }
    }

    /// Chains events on, in their stored form. The head stands after the last of them.
    pub(super) fn chain<'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a Event>,
        at: Timestamp,
        by: &WorkerId,
        epoch: Epoch,
    ) -> Result<Vec<RawEvent>, LogError> {
        let mut chained = Vec::new();
        for event in events {
            let seq = self.last_seq.next();
            let recorded = Recorded { seq, at, by: by.clone(), epoch, event: event.clone() };
            let body = serde_json::to_string(&recorded)
                .map_err(|error| refused(&format!("event {seq}"), format!("it cannot be written as JSON: {error}")))?;
            *self = Self { last_seq: seq, hash: chain::link(&self.hash, body.as_bytes()) };
            chained.push(RawEvent { seq, body, hash: self.hash, position: None });
        }
        Ok(chained)
    }
}

/// The log does not read back.
pub(super) fn corrupt(place: &(impl Display + ?Sized), reason: impl Into<String>) -> LogError {
    LogError::Corrupt { place: place.to_string(), reason: reason.into() }
}

/// The log was asked for what no caller should ask for.
pub(super) fn refused(place: &(impl Display + ?Sized), reason: impl Into<String>) -> LogError {
    LogError::Refused { place: place.to_string(), reason: reason.into() }
}

/// The tenant of a stream; refused for a deploy's own, which nobody leases.
pub(super) fn tenant_of(stream: &StreamId) -> Result<&TenantId, LogError> {
    stream.tenant.as_ref().ok_or_else(|| refused(stream, "a deploy's own stream has no lease"))
}

/// Whether an append is one at all, whatever the state of its stream.
pub(super) fn well_formed(append: &Append) -> Result<(), LogError> {
    let refuse = |reason: &str| Err(refused(&append.stream, reason));
    if append.events.is_empty() {
        return refuse("an append without events");
    }
    let of_tenant = append.stream.tenant.is_some();
    if append.events.iter().any(|event| !belongs(event, &append.stream)) {
        return refuse("an event of the other kind of stream");
    }
    if append.summary.is_some() != of_tenant {
        return refuse("a summary belongs to every append to a tenant's stream, and to no other");
    }
    if of_tenant && append.epoch == Epoch(0) {
        return refuse("a tenant's stream is written under a lease only");
    }
    Ok(())
}

/// Whether an event is of the kind that its stream holds.
fn belongs(event: &Event, stream: &StreamId) -> bool {
    matches!(event, Event::Tenant(_)) == stream.tenant.is_some()
}

/// Whether an append may be written. Where several conditions fail, the first here is the answer: a writer that has been succeeded
/// must learn that above all.
///
/// `head` and `epoch` are the stream's, `deploy` its deploy's; all read in the transaction that writes.
pub(super) fn admit(append: &Append, deploy: &DeploySummary, head: &Head, epoch: Epoch) -> Result<(), AppendError> {
    let stream = || append.stream.clone();
    if append.stream.tenant.is_some() && append.epoch != epoch {
        return Err(AppendError::Fenced { stream: stream(), held: append.epoch, current: epoch });
    }
    if append.expect != head.last_seq {
        return Err(AppendError::Stale { stream: stream(), expected: append.expect, current: head.last_seq });
    }
    if deploy.outcome.is_some() && !(deploy.seal.is_none() && is_seal(&append.events)) {
        return Err(AppendError::Finished { stream: stream() });
    }
    let starts = |event: &Event| matches!(event, Event::Tenant(event) if event.is_forward_start());
    if !deploy.direction.admits_starts() && append.events.iter().any(starts) {
        return Err(AppendError::Turned { stream: stream() });
    }
    // The row is read in the transaction that writes, and `deploy_paused` was written into it in its own: whichever commits first, no
    // start stands after the pause, on any worker.
    let any_start = |event: &Event| matches!(event, Event::Tenant(event) if event.is_start());
    if deploy.paused && append.events.iter().any(any_start) {
        return Err(AppendError::Paused { stream: stream() });
    }
    Ok(())
}

fn is_seal(events: &[Event]) -> bool {
    matches!(events, [Event::Deploy(DeployEvent::Sealed { .. })])
}

/// A deploy's row after more events of its own stream.
pub(super) fn fold(summary: &mut DeploySummary, events: &[Event]) {
    for event in events {
        if let Event::Deploy(event) = event {
            summary.apply(event);
        }
    }
}

/// What a claim may hand out: statuses, and the last stage and wave. The same as [`DeploySummary::admits`], in the shape of a range
/// over an index.
pub(super) fn admitted(deploy: &DeploySummary) -> (Vec<TenantStatus>, (u32, u32)) {
    let statuses = TenantStatus::ALL.iter().copied().filter(|status| deploy.admits(*status, 0, 0)).collect();
    let last = if deploy.direction.admits_starts() { deploy.open.unwrap_or_default() } else { (u32::MAX, u32::MAX) };
    (statuses, last)
}

/// Whether a tenant of this status is left alone until its time has come. In a deploy that has turned, one that was waiting for the
/// next try of a forward step has nothing to wait for any more.
pub(super) fn waits_its_time(deploy: &DeploySummary, status: TenantStatus) -> bool {
    deploy.direction.admits_starts() || status != TenantStatus::Running
}

/// The epoch of a stream's next holder: above every one that this tenant has had in any deploy.
pub(super) fn next_epoch(stream: Epoch, record: Epoch) -> Epoch {
    stream.max(record).next()
}

/// A tenant's record when a deploy with it is created. A record made under another target says nothing about this database, but its
/// epoch still counts: epochs never go down.
pub(super) fn record_at_creation(old: Option<&TenantRecord>, tenant: &NewTenant, now: Timestamp) -> TenantRecord {
    let known = old.filter(|old| old.target == tenant.target).and_then(|old| old.release);
    TenantRecord {
        target: tenant.target,
        release: release_after(known, tenant.place),
        epoch: old.map_or(tenant.epoch, |old| old.epoch.max(tenant.epoch)),
        seen_at: now,
    }
}

/// The release of a record after an append.
pub(super) fn release_after(release: Option<Digest>, place: Place) -> Option<Digest> {
    match place {
        Place::Unchanged => release,
        Place::Unknown => None,
        Place::At(digest) => Some(digest),
    }
}

/// What a deploy that is created now is created after: the fleet's newest, given as its id and fold.
pub(super) fn previous(newest: Option<(DeployId, &DeploySummary)>) -> Option<Previous> {
    newest.map(|(deploy, summary)| Previous { deploy, seal: summary.seal })
}

/// Whether a new deploy was planned after the fleet's newest one, and not after an earlier one that has been overtaken.
pub(super) fn follows(new: &NewDeploy, now: Option<Previous>) -> Result<(), CreateError> {
    match &new.created {
        DeployEvent::DeployCreated { previous, .. } if previous.as_deref() == now.as_ref() => Ok(()),
        _ => Err(CreateError::FleetMoved { fleet: new.fleet.clone(), newest: now.map(|of| of.deploy) }),
    }
}

/// Whether a new deploy is one at all.
pub(super) fn well_formed_deploy(new: &NewDeploy) -> Result<(), LogError> {
    let refuse = |reason: String| Err(refused(&StreamId::deploy(new.id), reason));
    if !matches!(new.created, DeployEvent::DeployCreated { .. }) {
        return refuse("its first event is not that of its creation".to_owned());
    }
    if new.tenants.len() > FLEET_TENANTS_MAX {
        return refuse(format!("{} tenants are more than {FLEET_TENANTS_MAX}", new.tenants.len()));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = new.tenants.iter().find(|tenant| !seen.insert(&tenant.id)) {
        return refuse(format!("tenant {} is in it twice", twice.id));
    }
    // The assertion before the write that pairs with the check after the read.
    match new.blobs.iter().find(|blob| Digest::of(&blob.bytes) != blob.digest) {
        Some(blob) => Err(LogError::BlobAltered { digest: blob.digest }),
        None => Ok(()),
    }
}

/// The refusal of a deploy whose id has been used.
pub(super) fn already_there(deploy: DeployId) -> LogError {
    refused(&StreamId::deploy(deploy), "a deploy with this id is in the log already")
}

/// Checks a stream against its numbering, its chain and its header, and reads its events.
pub(super) fn verify(raw: &RawStream) -> Result<Vec<Recorded>, LogError> {
    let mut head = Head::genesis(&raw.stream);
    let mut events = Vec::with_capacity(raw.events.len());
    for event in &raw.events {
        let seq = head.last_seq.next();
        let damaged = |reason: String| Err(corrupt(&raw.stream, reason));
        if event.seq != seq {
            return damaged(format!("event {seq} is missing; {} stands in its place", event.seq));
        }
        let hash = chain::link(&head.hash, event.body.as_bytes());
        if hash != event.hash {
            return damaged(format!("event {seq} is not the one that was chained"));
        }
        match serde_json::from_str::<Recorded>(&event.body) {
            Ok(recorded) if !belongs(&recorded.event, &raw.stream) => {
                return damaged(format!("event {seq} is one of the other kind of stream"));
            }
            Ok(recorded) if recorded.seq == seq => events.push(recorded),
            Ok(recorded) => return damaged(format!("event {seq} calls itself {}", recorded.seq)),
            Err(error) => return damaged(format!("event {seq} does not parse: {error}")),
        }
        head = Head { last_seq: seq, hash };
    }
    let (found, said) = (head.last_seq, raw.last_seq);
    if found < said {
        return Err(corrupt(&raw.stream, format!("event {} is missing: {found} of {said} are there", found.next())));
    }
    if found > said {
        return Err(corrupt(&raw.stream, format!("event {} is there, and the header ends with {said}", said.next())));
    }
    if head.hash != raw.head {
        let seq = head.last_seq;
        return Err(corrupt(&raw.stream, format!("event {seq} is not the one that the stream's header ends with")));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::saga::event::Direction;

    proptest! {
        #[test]
        fn the_range_that_a_claim_looks_at_is_what_the_deploy_admits(
            direction in prop_oneof![Just(Direction::Forward), Just(Direction::Unwind), Just(Direction::ForwardOnly)],
            open in proptest::option::of((0_u32..3, 0_u32..3)),
            status in proptest::sample::select(TenantStatus::ALL),
            stage in 0_u32..3,
            wave in 0_u32..3,
            paused in any::<bool>(),
        ) {
            let deploy = DeploySummary { direction, open, outcome: None, seal: None, paused };
            let (statuses, last) = admitted(&deploy);
            prop_assert_eq!(statuses.contains(&status) && (stage, wave) <= last, deploy.admits(status, stage, wave));
        }
    }
}
