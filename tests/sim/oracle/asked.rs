//! What must be so before a deploy: where one is refused there is a reason, where there is one it is refused, and where there is nothing to
//! do all is as it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use windlass::base::{Code, DeployId, TenantId};
use windlass::engine::EngineError;
use windlass::saga::event::{DeployOutcome, TenantOutcome};

use super::{Broken, Oracle, broken};
use crate::database::Database;
use crate::scenario::Job;

impl Oracle {
    /// Why the deploy cannot be rolled back: all of it, or single tenants. No tenants: it can be.
    fn bars(&self, of: DeployId) -> BTreeMap<Option<TenantId>, Code> {
        let Some(deploy) = self.deploys.get(&of) else { return BTreeMap::new() };
        if deploy.outcome.is_none_or(|outcome| outcome == DeployOutcome::Unwound) {
            return BTreeMap::from([(None, Code::WrongState)]);
        }
        let completed = deploy
            .streams
            .iter()
            .filter(|(_, stream)| stream.outcome == Some(TenantOutcome::Completed) && !deploy.reverts);
        let barred = completed.filter(|(tenant, stream)| {
            // Only what the deploy itself brought.
            let brought: BTreeSet<&String> = deploy.goal[*tenant].difference(&stream.before).collect();
            (0..self.migrations.len())
                .filter(|at| self.migrations[*at].irreversible)
                .any(|at| self.subjects(at).any(|subject| brought.contains(&subject)))
        });
        let irreversible = barred.map(|(tenant, _)| (Some(tenant.clone()), Code::Irreversible));
        // Somebody was quicker, and has taken away what the deploy brought.
        let rollbacks = self.deploys.values().filter(|other| other.of == Some(of) && other.reverts);
        let gone = rollbacks
            .flat_map(|rollback| &rollback.streams)
            .filter(|(_, stream)| stream.outcome == Some(TenantOutcome::Completed))
            .map(|(tenant, _)| (Some(tenant.clone()), Code::PlanOutdated));
        irreversible.chain(gone).collect()
    }

    /// P7: a deploy is refused, and not for want of an answer.
    pub fn refused(&self, job: Job, newest: Option<DeployId>, error: &EngineError) -> Result<(), Broken> {
        let bars = match (job, newest) {
            (Job::Rollback, Some(of)) => self.bars(of),
            _ => BTreeMap::new(),
        };
        let due = match error {
            EngineError::WrongState { .. } => bars.get(&None) == Some(&Code::WrongState),
            EngineError::Refused { refusals, .. } => refusals
                .iter()
                .filter(|refusal| !is_unanswered(refusal.code))
                .all(|refusal| bars.get(&Some(refusal.tenant.clone())) == Some(&refusal.code)),
            _ => false,
        };
        if due {
            Ok(())
        } else {
            broken("P7", format!("it is refused, and nothing is in its way but {bars:?}: {error:?}"))
        }
    }

    /// P7: a rollback has begun, or there was nothing to do for it.
    pub(super) fn may_be_rolled_back(&self, of: DeployId) -> Result<(), Broken> {
        match self.bars(of) {
            bars if bars.is_empty() => Ok(()),
            bars => broken("P7", format!("{of} is rolled back, although {bars:?} is in its way")),
        }
    }

    /// P7: there is nothing to do, so everything is there already.
    pub fn nothing_to_do(
        &self,
        job: Job,
        newest: Option<DeployId>,
        databases: &BTreeMap<TenantId, Database>,
    ) -> Result<(), Broken> {
        if let (Job::Rollback, Some(of)) = (job, newest) {
            self.may_be_rolled_back(of)?;
        }
        for (tenant, database) in databases {
            let wanted = match job {
                Job::Release(count) => Some((0..count).flat_map(|at| self.subjects(at)).collect()),
                // Of the others it has taken everything back, or a human has left them as they are.
                Job::Rollback => newest
                    .and_then(|of| self.deploys.get(&of)?.streams.get(tenant))
                    .filter(|stream| stream.outcome == Some(TenantOutcome::Completed))
                    .map(|stream| stream.before.clone()),
            };
            let present = database.present();
            if let Some(wanted) = wanted.filter(|wanted| *wanted != present) {
                let what =
                    format!("there is nothing to do for {job:?}, and {tenant} has {present:?} instead of {wanted:?}");
                return broken("P7", what);
            }
        }
        Ok(())
    }
}

/// Of one who was asked and did not say.
pub fn is_unanswered(code: Code) -> bool {
    matches!(code, Code::TenantUnreachable | Code::TenantTimeout)
}
