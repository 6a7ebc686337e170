//! What is looked at before a deploy's end is signed.

use std::collections::BTreeMap;

use super::run::Shared;
use crate::base::{DeployId, Digest, Seq, TenantId};
use crate::log::{Log, LogError};
use crate::saga::event::{Event, StreamId, TenantEvent, TenantOutcome};
use crate::saga::summary::TenantStatus;
use crate::saga::tenant::TenantState;

/// Reads every stream of a deploy, one at a time, before its end is signed: each follows from its genesis to the head that is sealed, and
/// what the tenants' events come to is the account. Rows and heads are what a resumed deploy finds in the log, and a signature must not
/// vouch for those that no events lead to. The inner error: what does not fit, or does not yet.
///
/// # Errors
/// Where a stream does not read back as it was written.
pub(super) async fn read_through(
    shared: &Shared,
    deploy: DeployId,
    tenants: &[(TenantId, Seq, Digest)],
    account: &BTreeMap<TenantOutcome, u64>,
) -> Result<Result<(), &'static str>, LogError> {
    let log: &dyn Log = &*shared.log;
    log.read(&StreamId::deploy(deploy)).await?;
    let mut census: BTreeMap<TenantStatus, u64> = BTreeMap::new();
    for (tenant, length, _) in tenants {
        let stream = StreamId::tenant(deploy, tenant.clone());
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
