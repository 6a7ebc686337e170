//! From a release, a workflow and a fleet to a deploy that can be created: every tenant looked at, every plan frozen.
//!
//! Nothing is touched here. Whatever can be known to go wrong is found now, for all tenants at once, because the same fault found by
//! the engine in the middle of the fleet would lower hundreds of tenants again.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{EngineError, Refusal};
use super::gateway::Gateway;
use super::gone::refuse_gone;
use super::lost::{self, Seen};
use super::standing::{Known, Standing, digest_of, look_at_all, target_digest};
use super::waves;
use crate::base::limits::PREPARE_REFUSALS_MAX;
use crate::base::{Code, DeployId, Digest, Epoch, TenantId, WorkerId};
use crate::fleet::Tenant;
use crate::log::{Blob, Log, LogError, NewDeploy, NewTenant};
use crate::release::{Dialect, FromTheMiddle, Migration, Release, Undo, review};
use crate::saga::chain::tenants_digest;
use crate::saga::event::{Actor, DeployEvent, Overrides, Previous, TenantEvent, TenantOutcome, Trigger};
use crate::saga::plan::{Plan, UndoSource};
use crate::saga::summary::Place;
use crate::saga::tenant::TenantState;
use crate::saga::workflow::{Then, Workflow};
use crate::step::{Change, Expand, Halfway, Kinds, Pending, expand, halfway};
use crate::tenant::{FenceMark, Survey, dialect};

/// Which tenants are asked before a deploy is created. Those that the log knows to be on the release never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SurveyMode {
    /// All others.
    All,
    /// Only those whose migrations the log does not know; the preflight step verifies the rest.
    Unknown,
}

/// Whether a migration may be applied after one with a higher version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfOrder {
    /// The tenant is refused.
    Refuse,
    /// It may.
    Allow,
}

/// What is to be deployed to whom.
pub struct Request {
    /// The fleet's name.
    pub fleet: String,
    /// The release.
    pub release: Release,
    /// The workflow.
    pub workflow: Workflow,
    /// Its text, kept in the log.
    pub workflow_text: String,
    /// The tenants, in the order in which they are to go.
    pub tenants: Vec<Tenant>,
    /// Whether these are all tenants of the fleet.
    pub whole_fleet: bool,
    /// Which of them are asked.
    pub survey: SurveyMode,
    /// Whether order counts.
    pub out_of_order: OutOfOrder,
    /// Deploys of lost logs that the operator has answered for.
    pub disowned: BTreeSet<DeployId>,
    /// Tenants whose databases the operator says were really created anew: that they have no ledger is as it should be.
    pub new_databases: BTreeSet<TenantId>,
    /// How many tenants are asked at a time.
    pub concurrency: usize,
    /// The kinds of step that the workflow may use.
    pub kinds: Kinds,
}

/// A deploy that can be created.
pub struct Prepared {
    /// The fleet's name.
    pub fleet: String,
    /// The release.
    pub release: Release,
    /// The workflow.
    pub workflow: Workflow,
    pub(super) workflow_text: String,
    /// The tenants, in their order.
    pub tenants: Vec<PreparedTenant>,
    pub(super) waves: Vec<u32>,
    pub(super) previous: Option<Previous>,
    pub(super) overrides: Option<Box<Overrides>>,
    /// Tenants that a rollback passes over although the deploy has changed them: a human decided to leave them as they are.
    pub left_by_hand: Vec<TenantId>,
    /// The release that tenants are on afterwards; none after a rollback, which leads back to whatever was there.
    pub(super) arrives_at: Option<Digest>,
}

/// One tenant of a deploy that can be created.
pub struct PreparedTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// What it said of itself, where it was asked.
    pub survey: Option<Survey>,
    /// What it is to get, or to lose, in order.
    pub pending: Vec<Pending>,
    /// Its steps.
    pub plan: Plan,
    pub(super) waves: Vec<u32>,
    pub(super) epoch: Epoch,
    pub(super) from: Option<Digest>,
}

/// Looks at every tenant that the release would change, and freezes the plans.
pub async fn prepare(log: &dyn Log, gateway: &dyn Gateway, request: Request) -> Result<Prepared, EngineError> {
    request.workflow.supported()?;
    let dialects: BTreeSet<Dialect> = request.tenants.iter().map(|tenant| dialect(tenant.target.engine)).collect();
    for dialect in dialects {
        review(&request.release, dialect)?;
    }
    let known = Known::read(log, &request.fleet).await?;
    let standings = look_at_all(log, gateway, &request, &known.records).await?;
    let looked = standings.iter().filter_map(|(tenant, standing)| Some((tenant, standing.as_ref().ok()?)));
    let mut refusals = refuse_gone(log, &request, &known.records, looked).await?;
    let mut tenants = Vec::with_capacity(standings.len());
    for (tenant, standing) in standings {
        let standing = match standing {
            Ok(standing) => standing,
            Err(refusal) => {
                refusals.push(refusal);
                continue;
            }
        };
        match pending(&request, &tenant.id, &standing) {
            Ok(pending) => tenants.push((tenant, standing, pending)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    refusals.extend(same_database(&tenants));
    if !refusals.is_empty() {
        known.is_still_so(log, &request.fleet).await?;
        return Err(refused(refusals, request.tenants.len()));
    }
    refuse_missing_undo(&request, tenants.iter().flat_map(|(_, _, pending)| pending))?;
    refuse_no_halfway(&request, &tenants)?;
    let all_asked = request.whole_fleet && tenants.iter().all(|(_, standing, _)| standing.survey.is_some());
    let seen = if all_asked { Seen::Fleet } else { Seen::Part };
    refuse_lost_log(log, &request.disowned, seen, tenants.iter().map(|(_, standing, _)| standing)).await?;
    let arrives_at = Digest::of(&request.release.to_bytes()?);
    freeze(request, tenants, &known, Some(arrives_at))
}

/// One of `of` tenants cannot be deployed to, or more: all of them are counted, and the first are named.
pub(super) fn refused(mut refusals: Vec<Refusal>, of: usize) -> EngineError {
    refusals.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    let all = refusals.len();
    refusals.truncate(PREPARE_REFUSALS_MAX);
    EngineError::Refused { refusals, all, of }
}

/// The migrations that the tenant lacks, after checking those that it has.
fn pending(request: &Request, tenant: &TenantId, standing: &Standing) -> Result<Vec<Pending>, Refusal> {
    let refuse = |code, message| Refusal { tenant: tenant.clone(), code, message };
    let in_force: BTreeMap<&str, (&str, &Digest)> =
        standing.in_force.iter().map(|of| (of.version.as_str(), (of.name.as_str(), &of.digest))).collect();
    let known: BTreeSet<&str> = request.release.migrations.iter().map(|of| of.version.as_str()).collect();
    if let Some((_, (name, _))) = in_force.iter().find(|(version, _)| !known.contains(*version)) {
        let message =
            format!("migration {name} is in force and the release does not have it: is this an older release?");
        return Err(refuse(Code::UnknownApplied, message));
    }
    let mut pending = Vec::new();
    let mut newest_applied = None;
    for migration in &request.release.migrations {
        match in_force.get(migration.version.as_str()) {
            Some((name, digest)) if **digest != migration.digest() => {
                let message = format!(
                    "migration {name} was applied as {} and is now {}: write a new migration instead of changing an applied one",
                    digest.short(),
                    migration.digest().short()
                );
                return Err(refuse(Code::ChangedMigration, message));
            }
            Some((name, _)) => newest_applied = Some((*name).to_owned()),
            None => pending.push(Pending {
                version: migration.version.as_str().to_owned(),
                label: migration.label().to_owned(),
                digest: migration.digest(),
                change: Change::Apply,
                undo: undo_source(migration),
            }),
        }
    }
    if request.out_of_order == OutOfOrder::Refuse
        && let (Some(first), Some(newest)) = (pending.first(), newest_applied)
        && request.release.migrations.iter().position(|of| of.label() == first.label)
            < request.release.migrations.iter().rposition(|of| in_force.contains_key(of.version.as_str()))
    {
        let message = format!(
            "migration {} is pending and the later {newest} is in force; `out_of_order = \"allow\"` under [deploy] lets it through",
            first.label
        );
        return Err(refuse(Code::OutOfOrder, message));
    }
    Ok(pending)
}

fn undo_source(migration: &Migration) -> UndoSource {
    match migration.undo {
        Undo::Written(_) => UndoSource::Written,
        // A missing undo is refused before a plan is made of it, unless the workflow does not promise to unwind.
        Undo::Irreversible | Undo::Missing => UndoSource::Irreversible,
    }
}

type Standings = Vec<(Tenant, Standing, Vec<Pending>)>;

/// Two tenants that are one database would get the release twice: the server itself says who it is.
fn same_database(tenants: &Standings) -> Vec<Refusal> {
    let mut first: BTreeMap<&str, &TenantId> = BTreeMap::new();
    let mut refusals = Vec::new();
    for (tenant, standing, _) in tenants {
        let Some(survey) = &standing.survey else { continue };
        if let Some(other) = first.get(survey.identity.as_str()) {
            refusals.push(Refusal {
                tenant: tenant.id.clone(),
                code: Code::SameDatabase,
                message: format!("this is the same database as tenant {other}"),
            });
        } else {
            first.insert(&survey.identity, &tenant.id);
        }
    }
    refusals
}

fn refuse_missing_undo<'a>(request: &Request, pending: impl Iterator<Item = &'a Pending>) -> Result<(), EngineError> {
    if request.workflow.on_failure.then != Then::Unwind {
        return Ok(());
    }
    let pending: BTreeSet<&str> = pending.map(|of| of.version.as_str()).collect();
    let missing = |of: &&Migration| of.undo == Undo::Missing && pending.contains(of.version.as_str());
    let labels: Vec<String> =
        request.release.migrations.iter().filter(missing).map(|of| of.label().to_owned()).collect();
    if labels.is_empty() { Ok(()) } else { Err(EngineError::MissingUndo { labels }) }
}

/// A migration that could stop where nothing takes it back would break the workflow's promise on the first tenant where it does. One
/// whose author said that it is irreversible makes no such promise.
///
/// A rollback is not asked: nobody can write an undo of an undo into a release that was deployed, and whoever rolls back does so
/// because staying is worse. Where its undo stops in a middle that nothing takes back, that tenant is stuck.
fn refuse_no_halfway(request: &Request, tenants: &Standings) -> Result<(), EngineError> {
    if request.workflow.on_failure.then != Then::Unwind || halfway(&request.workflow)? == Halfway::Accept {
        return Ok(());
    }
    let mut of: BTreeMap<Dialect, BTreeSet<&str>> = BTreeMap::new();
    for (tenant, _, pending) in tenants {
        of.entry(dialect(tenant.target.engine)).or_default().extend(pending.iter().map(|of| of.version.as_str()));
    }
    let mut migrations = Vec::new();
    for (dialect, pending) in of {
        for (migration, reviewed) in request.release.migrations.iter().zip(review(&request.release, dialect)?) {
            let asked = pending.contains(migration.version.as_str()) && migration.undo != Undo::Irreversible;
            if let (true, Some(FromTheMiddle::No { because })) = (asked, reviewed.from_the_middle) {
                migrations.push((reviewed.label, because));
            }
        }
    }
    migrations.dedup();
    if migrations.is_empty() { Ok(()) } else { Err(EngineError::NoHalfway { migrations }) }
}

pub(super) async fn refuse_lost_log(
    log: &dyn Log,
    disowned: &BTreeSet<DeployId>,
    seen: Seen,
    standings: impl Iterator<Item = &Standing>,
) -> Result<(), EngineError> {
    let marks: Vec<Option<FenceMark>> =
        standings.filter_map(|standing| standing.survey.as_ref()).map(|survey| survey.fence.clone()).collect();
    let mut known = disowned.clone();
    for deploy in marks.iter().flatten().map(|mark| mark.deploy).collect::<BTreeSet<_>>() {
        match log.deploy(deploy).await {
            Ok(_) => {
                known.insert(deploy);
            }
            Err(LogError::DeployUnknown { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match lost::find(&marks, seen, |deploy| known.contains(&deploy)) {
        None => Ok(()),
        Some(lost::Lost { deploy, marked, why }) => Err(EngineError::LostLog { deploy, marked, why }),
    }
}

/// Makes the plans. Tenants with the same pending set get the same plan.
pub(super) fn freeze(
    request: Request,
    standings: Standings,
    known: &Known,
    arrives_at: Option<Digest>,
) -> Result<Prepared, EngineError> {
    let all: Vec<&Tenant> = standings.iter().map(|(tenant, _, _)| tenant).collect();
    let (assigned, counts) = waves::assign(&request.workflow, &all)?;
    let tenants = standings
        .into_iter()
        .zip(assigned)
        .map(|((tenant, standing, pending), waves)| {
            let in_force = digest_of(&standing.in_force);
            let plan = expand(
                &request.kinds,
                &request.workflow,
                &Expand { stage: 0, in_force, pending: &pending, release: arrives_at },
            )?;
            let fence = standing.survey.as_ref().and_then(|survey| survey.fence.as_ref());
            let epoch = fence
                .map_or(Epoch(0), |mark| mark.epoch)
                .max(known.records.get(&tenant.id).map_or(Epoch(0), |of| of.epoch));
            Ok(PreparedTenant { tenant, survey: standing.survey, pending, plan, waves, epoch, from: standing.release })
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    let Request { fleet, release, workflow, workflow_text, disowned, new_databases, .. } = request;
    Ok(Prepared {
        fleet,
        release,
        workflow,
        workflow_text,
        tenants,
        waves: counts,
        previous: known.previous,
        overrides: Overrides::new(disowned, new_databases),
        left_by_hand: Vec::new(),
        arrives_at,
    })
}

impl Prepared {
    /// How many tenants would be changed.
    #[must_use]
    pub fn changing(&self) -> usize {
        self.tenants.iter().filter(|of| !of.plan.is_empty()).count()
    }

    /// What the log is given. Also the answer to "what is in the log": everything that the deploy will ever need but secrets.
    pub fn into_new_deploy(
        self,
        id: DeployId,
        trigger: Trigger,
        actor: Actor,
        by: WorkerId,
    ) -> Result<NewDeploy, EngineError> {
        let changing = self.changing() as u64;
        let release = Blob::new(self.release.to_bytes()?);
        let workflow = Blob::new(self.workflow_text.into_bytes());
        let mut plans: BTreeMap<Digest, Blob> = BTreeMap::new();
        let mut tenants = Vec::with_capacity(self.tenants.len());
        for of in self.tenants {
            let plan = Blob::new(of.plan.to_bytes());
            let mut events = vec![TenantEvent::TenantPlanned { plan: plan.digest, waves: of.waves, from: of.from }];
            let mut place = Place::Unchanged;
            if of.plan.is_empty() {
                let reason = "already there".to_owned();
                events.push(TenantEvent::TenantFinished { outcome: TenantOutcome::Completed, reason, code: None });
                place = self.arrives_at.map_or(Place::Unchanged, Place::At);
            }
            let summary = TenantState::fold(&of.plan, &events)?.summary(&of.plan);
            let target = target_digest(&of.tenant);
            let spec = serde_json::to_string(&of.tenant).unwrap_or_default();
            tenants.push(NewTenant { id: of.tenant.id, spec, target, epoch: of.epoch, events, summary, place });
            plans.entry(plan.digest).or_insert(plan);
        }
        let created = DeployEvent::DeployCreated {
            release: release.digest,
            release_name: self.release.name.clone(),
            workflow: workflow.digest,
            workflow_name: self.workflow.name.clone(),
            tenants: tenants_digest(tenants.iter().map(|of| of.spec.as_str())),
            tenant_count: tenants.len() as u64,
            changing,
            fleet: self.fleet.clone(),
            waves: self.waves,
            trigger: Box::new(trigger),
            actor,
            previous: self.previous.map(Box::new),
            overrides: self.overrides,
        };
        let blobs = [release, workflow].into_iter().chain(plans.into_values()).collect();
        Ok(NewDeploy { id, fleet: self.fleet, created, blobs, tenants, by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_beyond_the_limit_are_counted() {
        let refusal = |number: usize| Refusal {
            tenant: TenantId::new(format!("t{number:05}")).unwrap(),
            code: Code::TenantUnreachable,
            message: String::new(),
        };
        let error = refused((0..PREPARE_REFUSALS_MAX + 5).map(refusal).collect(), 2_000);
        let said = "1005 of 2000 tenants cannot be deployed to; nothing was touched (the first 1000 are named)";
        assert_eq!(error.to_string(), said);
        let EngineError::Refused { refusals, .. } = error else { panic!("{error}") };
        assert_eq!(refusals.len(), PREPARE_REFUSALS_MAX);
    }
}
