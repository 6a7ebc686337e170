//! Finding tenants that have lost their ledger.
//!
//! A tenant without a ledger has nothing in force, and would get every migration. That is right for one that was never deployed to,
//! and ruinous for one whose ledger is only not where it is looked for any more: its migrations would run a second time, and an
//! unwind would undo what earlier deploys brought. The log remembers which of the two it is.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{EngineError, Refusal};
use super::prepare::Request;
use super::standing::Standing;
use crate::base::limits::{DEPLOYS_REMEMBERED_MAX, TENANTS_PAGE};
use crate::base::{Code, DeployId, TenantId};
use crate::fleet::Tenant;
use crate::log::{Log, TenantQuery, TenantRecord};
use crate::saga::event::{Event, Found, StreamId, TenantEvent};
use crate::saga::summary::TenantStatus;

const GONE: &str = "earlier deploys have worked here, and neither windlass_fence nor windlass_ledger is where it is looked for: all \
                    migrations would be applied again";

/// Refuses the tenants that have neither fence nor ledger although a deploy of this log has worked there.
pub(super) async fn refuse_gone<'t>(
    log: &dyn Log,
    request: &Request,
    records: &BTreeMap<TenantId, TenantRecord>,
    standings: impl Iterator<Item = (&'t Tenant, &'t Standing)>,
) -> Result<Vec<Refusal>, EngineError> {
    let mut gone = Vec::new();
    let mut doubtful = BTreeSet::new();
    let bare = standings.filter(|(_, standing)| {
        standing.in_force.is_empty() && standing.survey.as_ref().is_some_and(|survey| survey.fence.is_none())
    });
    for (Tenant { id, .. }, _) in bare.filter(|(tenant, _)| !request.new_databases.contains(&tenant.id)) {
        match records.get(id) {
            // It was on a release, and now it has none of its migrations.
            Some(record) if record.release.is_some() => gone.push(id.clone()),
            // It has been held; whether anything was done there, only its streams say.
            Some(record) if record.epoch.0 > 0 => drop(doubtful.insert(id.clone())),
            _ => {}
        }
    }
    for deploy in log.deploys(Some(&request.fleet), DEPLOYS_REMEMBERED_MAX).await? {
        if doubtful.is_empty() {
            break;
        }
        let worked = worked_at(log, deploy.id, &doubtful).await?;
        doubtful.retain(|id| !worked.contains(id));
        gone.extend(worked);
    }
    let refusal = |tenant| Refusal { tenant, code: Code::LedgerGone, message: GONE.to_owned() };
    Ok(gone.into_iter().map(refusal).collect())
}

/// Those of the tenants at which a step of the deploy has succeeded, or a part of one is in effect: there, a session has been open, so
/// the tables were made.
async fn worked_at(log: &dyn Log, deploy: DeployId, of: &BTreeSet<TenantId>) -> Result<Vec<TenantId>, EngineError> {
    let began = |status: &TenantStatus| !matches!(status, TenantStatus::Pending | TenantStatus::Untouched);
    let statuses: Vec<_> = TenantStatus::ALL.iter().copied().filter(began).collect();
    let (mut worked, mut after) = (Vec::new(), None);
    loop {
        let query = TenantQuery { statuses: statuses.clone(), after, limit: TENANTS_PAGE };
        let page = log.tenants(deploy, &query).await?;
        let Some(last) = page.last() else { return Ok(worked) };
        after = Some(last.ordinal);
        for row in page.into_iter().filter(|row| of.contains(&row.tenant)) {
            let events = log.read(&StreamId::tenant(deploy, row.tenant.clone())).await?;
            if events.iter().any(|recorded| is_done(&recorded.event)) {
                worked.push(row.tenant);
            }
        }
    }
}

/// Whether something was done at the tenant, by more than a human's word.
const fn is_done(event: &Event) -> bool {
    matches!(
        event,
        Event::Tenant(
            TenantEvent::StepSucceeded { .. }
                | TenantEvent::StepFailed { in_effect: 1.., .. }
                | TenantEvent::StepProbed { found: Found::Applied | Found::Partial { .. }, .. }
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::event::Half;
    use crate::saga::failure::Retry;
    use crate::saga::testing::{failed, failed_after, looked, started, succeeded};

    #[test]
    fn a_part_of_a_step_is_something_done() {
        let probed = |found| looked("a", Half::Act, found);
        for (event, done) in [
            (started("a", 1), false),
            (failed("a", Retry::No), false),
            (probed(Found::NotApplied), false),
            (succeeded("a"), true),
            (failed_after("a", Retry::No, 1), true),
            (probed(Found::Applied), true),
            (probed(Found::Partial { statements: 1 }), true),
        ] {
            assert_eq!(is_done(&Event::Tenant(event.clone())), done, "{event:?}");
        }
    }
}
