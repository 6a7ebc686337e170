//! Undoing a finished deploy: a new deploy whose tenant plans are the reverse of what the old one did there.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use super::error::{EngineError, Refusal};
use super::gateway::Gateway;
use super::lost::Seen;
use super::operate::fold;
use super::prepare::{Prepared, Request, freeze, refuse_lost_log, refused};
use super::run::deploy_events;
use super::standing::{Histories, Known};
use crate::base::{Code, DeployId, TenantId};
use crate::fleet::Tenant;
use crate::log::{Log, LogError, TenantQuery};
use crate::release::{Release, Undo, review};
use crate::saga::deploy::DeployState;
use crate::saga::event::{DeployEvent, DeployOutcome, StreamId};
use crate::saga::plan::UndoSource;
use crate::saga::summary::TenantStatus;
use crate::saga::tenant::StepState;
use crate::step::{Change, MigrateWith, Pending};
use crate::tenant::dialect;

/// Prepares the undoing of `of`. The request's tenants are the fleet as it is now; those that the old deploy did not change are
/// left out. The request's release is replaced by the old deploy's, whose bytes are in the log.
pub async fn prepare_rollback(
    log: &dyn Log,
    gateway: &dyn Gateway,
    mut request: Request,
    of: DeployId,
) -> Result<Prepared, EngineError> {
    request.workflow.supported()?;
    let known = Known::read(log, &request.fleet).await?;
    request.release = finished_release(log, of).await?;
    let fleet: BTreeMap<TenantId, Tenant> =
        request.tenants.drain(..).map(|tenant| (tenant.id.clone(), tenant)).collect();
    let mut refusals = Vec::new();
    let mut undoing: Vec<(Tenant, Vec<Pending>)> = Vec::new();
    let mut left_by_hand = Vec::new();
    for row in log.tenants(of, &TenantQuery { statuses: Vec::new(), after: None, limit: usize::MAX }).await? {
        if row.summary.status == TenantStatus::Abandoned {
            left_by_hand.push(row.tenant);
            continue;
        }
        if row.summary.status != TenantStatus::Completed {
            continue;
        }
        let stream = StreamId::tenant(of, row.tenant.clone());
        let events = log.read(&stream).await?;
        let (plan, state) = fold(log, &stream, events.iter().map(|recorded| &recorded.event)).await?;
        let done = state.steps(&plan).filter(|(_, at)| matches!(at, StepState::Succeeded(_)));
        let done: Vec<MigrateWith> = done.filter_map(|(step, _)| MigrateWith::of(step).ok()).collect();
        if done.is_empty() {
            continue;
        }
        match (fleet.get(&row.tenant), reverse(&request.release, &row.tenant, &done)) {
            (None, _) => refusals.push(Refusal {
                tenant: row.tenant,
                code: Code::UnknownTenant,
                message: "the deploy changed it, and it is not in the fleet any more".to_owned(),
            }),
            (_, Err(refusal)) => refusals.push(refusal),
            (Some(tenant), Ok(pending)) => undoing.push((tenant.clone(), pending)),
        }
    }
    // As before any deploy: what cannot run is found now, and not by the engine in the middle of the fleet.
    for dialect in undoing.iter().map(|(tenant, _)| dialect(tenant.target.engine)).collect::<BTreeSet<_>>() {
        review(&request.release, dialect)?;
    }
    let total = undoing.len() + refusals.len();
    let looked = stream::iter(undoing)
        .map(|(tenant, pending)| async move {
            let survey = gateway.survey(&tenant).await;
            (tenant, pending, survey)
        })
        .buffer_unordered(request.concurrency.max(1))
        .collect::<Vec<_>>()
        .await;
    let (mut tenants, mut histories) = (Vec::with_capacity(looked.len()), Histories::default());
    for (tenant, pending, survey) in looked {
        let refuse = |code, message| Refusal { tenant: tenant.id.clone(), code, message };
        match survey {
            Err(error) => refusals.push(refuse(error.failure.code, error.failure.message)),
            Ok(survey) => {
                let in_force = survey.in_force.iter().map(|of| (of.version.as_str(), of.name.as_str()));
                match stands_on_top(&in_force.collect::<Vec<_>>(), &pending) {
                    Err((code, message)) => refusals.push(refuse(code, message)),
                    Ok(()) => tenants.push((tenant, histories.standing(survey), pending)),
                }
            }
        }
    }
    if !refusals.is_empty() {
        known.is_still_so(log, &request.fleet).await?;
        return Err(refused(refusals, total));
    }
    tenants.sort_by(|(a, ..), (b, ..)| a.id.cmp(&b.id));
    refuse_lost_log(log, &request.disowned, Seen::Part, tenants.iter().map(|(_, standing, _)| standing)).await?;
    Ok(Prepared { left_by_hand, ..freeze(request, tenants, &known, None)? })
}

/// The release of a finished deploy, out of the log: what a rollback of it undoes.
///
/// # Errors
/// [`EngineError::WrongState`] where it has not finished, or was unwound.
pub async fn finished_release(log: &dyn Log, of: DeployId) -> Result<Release, EngineError> {
    let events = deploy_events(log, of).await?;
    let state = DeployState::fold(&events)?;
    let wrong =
        |state: &str| EngineError::WrongState { deploy: of, state: state.to_owned(), command: "rollback".to_owned() };
    match state.summary().outcome {
        None => return Err(wrong("has not finished (`windlass unwind` turns it round)")),
        Some(DeployOutcome::Unwound) => return Err(wrong("was unwound already")),
        Some(_) => {}
    }
    if let Some(DeployEvent::DeployCreated { release, .. }) = events.first() {
        return Ok(Release::from_bytes(&log.blob(release).await?)?);
    }
    let reason = "the stream does not begin with deploy_created".to_owned();
    Err(LogError::Corrupt { place: format!("deploy {of}"), reason }.into())
}

/// What was done, taken back in reverse order.
fn reverse(release: &Release, tenant: &TenantId, done: &[MigrateWith]) -> Result<Vec<Pending>, Refusal> {
    let refuse = |code, message| Refusal { tenant: tenant.clone(), code, message };
    done.iter()
        .rev()
        .map(|with| {
            let migration = release.migrations.iter().find(|of| of.version.as_str() == with.version);
            let Some(migration) = migration else {
                let message = format!("the release in the log has no migration {}", with.label);
                return Err(refuse(Code::LogCorrupt, message));
            };
            let change = match (with.change, &migration.undo) {
                (Change::Revert, _) => Change::Apply,
                (Change::Apply, Undo::Written(_)) => Change::Revert,
                (Change::Apply, Undo::Irreversible) => {
                    let message = format!("migration {} is irreversible", with.label);
                    return Err(refuse(Code::Irreversible, message));
                }
                (Change::Apply, Undo::Missing) => {
                    return Err(refuse(Code::MissingUndo, format!("migration {} has no undo", with.label)));
                }
            };
            Ok(Pending {
                version: with.version.clone(),
                label: with.label.clone(),
                digest: migration.digest(),
                change,
                undo: UndoSource::Written,
            })
        })
        .collect()
}

/// What is to be taken away must be in force, with nothing on top that is not taken away too. `in_force` are versions and names.
fn stands_on_top(in_force: &[(&str, &str)], pending: &[Pending]) -> Result<(), (Code, String)> {
    let reverted: BTreeSet<&str> =
        pending.iter().filter(|of| of.change == Change::Revert).map(|of| of.version.as_str()).collect();
    let is_in_force = |wanted: &str| in_force.iter().any(|(version, _)| *version == wanted);
    if let Some(gone) = pending.iter().find(|of| of.change == Change::Revert && !is_in_force(&of.version)) {
        let message = format!("migration {} is not in force any more", gone.label);
        return Err((Code::PlanOutdated, message));
    }
    let first = in_force.iter().position(|(version, _)| reverted.contains(version)).unwrap_or(in_force.len());
    match in_force[first..].iter().find(|(version, _)| !reverted.contains(version)) {
        None => Ok(()),
        Some((_, later)) => {
            let message =
                format!("migration {later} came later and stands on what is to be taken away: roll that back first");
            Err((Code::BuiltUpon, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;

    fn revert(version: &str) -> Pending {
        Pending {
            version: version.into(),
            label: format!("{version}_x"),
            digest: Digest::of(b""),
            change: Change::Revert,
            undo: UndoSource::Written,
        }
    }

    #[test]
    fn what_stands_on_top_may_be_taken_away_and_nothing_else() {
        let both = [revert("3"), revert("2")];
        let in_force = [("1", "1_a"), ("2", "2_b"), ("3", "3_c"), ("4", "4_d")];
        assert!(stands_on_top(&in_force[..3], &both).is_ok());
        let (code, message) = stands_on_top(&in_force, &both).unwrap_err();
        assert_eq!(code, Code::BuiltUpon);
        assert!(message.contains("4_d"), "{message}");
        assert_eq!(stands_on_top(&in_force[..2], &both).unwrap_err().0, Code::PlanOutdated);
    }
}
