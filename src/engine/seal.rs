//! The seal of a deploy, and what is looked at before it is signed.

use std::collections::BTreeMap;

use super::run::Shared;
use crate::base::{Digest, Seq, SigningKey, TenantId};
use crate::log::{Log, LogError};
use crate::saga::chain;
use crate::saga::deploy::DeployState;
use crate::saga::event::{DeployEvent, Event, StreamId, TenantEvent, TenantOutcome};
use crate::saga::summary::TenantStatus;
use crate::saga::tenant::TenantState;

/// An event as it is appended: an end together with its seal, so that none is ever without. Every tenant has ended, and the end is
/// refused if the deploy's stream has grown, so the heads stay as they are read. What is signed has been read through before: the
/// signature is the word of whoever has the key. The inner error: what does not fit.
pub(super) async fn with_seal(
    shared: &Shared,
    signer: Option<&SigningKey>,
    state: &DeployState,
    event: DeployEvent,
) -> Result<Result<Vec<DeployEvent>, &'static str>, LogError> {
    let DeployEvent::DeployFinished { outcome, account } = &event else { return Ok(Ok(vec![event])) };
    let (log, deploy) = (&*shared.log, shared.deploy);
    let end = chain::end_digest(*outcome, account);
    let mut heads = log.heads(deploy).await?.into_iter();
    let own = heads.next().map(|(_, seq, head)| (seq, head)).filter(|(seq, _)| *seq == state.seq());
    let Some(own) = own else { return Ok(Err("the deploy's stream is longer than it reads")) };
    let tenants: Vec<_> = heads.filter_map(|(tenant, seq, head)| Some((tenant?, seq, head))).collect();
    let root = chain::seal(deploy, own, end, &tenants);
    let mut signature = None;
    if let Some(key) = signer {
        if let Err(misfit) = read_through(shared, &tenants, account).await? {
            return Ok(Err(misfit));
        }
        signature = Some(Box::new(key.sign(&chain::signed(log.id(), deploy, &root))));
    }
    Ok(Ok(vec![event, DeployEvent::Sealed { root, signature }]))
}

/// Reads every stream of a deploy, one at a time, before its end is signed: each follows from its genesis to the head that stands in its
/// row, and what the tenants' events come to is the account. Rows and heads are what a resumed deploy finds in the log, and a signature
/// must not vouch for those that no events lead to. The inner error: what does not fit, or does not yet.
///
/// # Errors
/// Where a stream does not read back as it was written.
async fn read_through(
    shared: &Shared,
    tenants: &[(TenantId, Seq, Digest)],
    account: &BTreeMap<TenantOutcome, u64>,
) -> Result<Result<(), &'static str>, LogError> {
    let log: &dyn Log = &*shared.log;
    log.read(&StreamId::deploy(shared.deploy)).await?;
    let mut census: BTreeMap<TenantStatus, u64> = BTreeMap::new();
    tracing::info!(deploy = %shared.deploy, tenants = tenants.len(), "reads every stream through before the end is signed");
    for (tenant, length, _) in tenants {
        if shared.stopping() {
            return Ok(Err("it was told to stop"));
        }
        let stream = StreamId::tenant(shared.deploy, tenant.clone());
        let corrupt = |reason: String| LogError::Corrupt { place: stream.to_string(), reason };
        let recorded = log.read(&stream).await?;
        if recorded.len() as u64 != length.0 {
            return Ok(Err("a tenant's stream is longer than it reads"));
        }
        let events = || {
            recorded.iter().filter_map(|recorded| match &recorded.event {
                Event::Tenant(event) => Some(event),
                Event::Deploy(_) => None,
            })
        };
        let Some(TenantEvent::TenantPlanned { plan, .. }) = events().next() else {
            return Err(corrupt("it does not begin with tenant_planned".to_owned()));
        };
        let plan = shared.plan(plan).await?;
        let state = TenantState::fold(&plan, events()).map_err(|error| corrupt(error.to_string()))?;
        *census.entry(state.summary(&plan).status).or_default() += 1;
    }
    let of_account: BTreeMap<TenantStatus, u64> =
        account.iter().map(|(outcome, count)| (TenantStatus::of(*outcome), *count)).collect();
    Ok(if census == of_account { Ok(()) } else { Err("the account is not what the tenants' events come to") })
}
