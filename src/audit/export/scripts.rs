//! The texts behind the digests that events name.

use std::collections::BTreeMap;

use super::ExportError;
use crate::base::{Digest, StepId};
use crate::log::{Log, LogError};
use crate::release::{Release, Undo};
use crate::saga::event::{Event, Recorded, TenantEvent};
use crate::saga::plan::Plan;

/// Texts of a deploy by their digest, each with its name.
#[derive(Default)]
pub(super) struct Texts {
    texts: BTreeMap<Digest, (String, String)>,
    plans: BTreeMap<Digest, Plan>,
}

impl Texts {
    /// Reads a plan, once, and the queries that stand in it.
    pub(super) async fn plan(&mut self, log: &dyn Log, digest: &Digest) -> Result<(), ExportError> {
        if self.plans.contains_key(digest) {
            return Ok(());
        }
        let corrupt = |reason: String| LogError::Corrupt { place: format!("plan {digest}"), reason };
        let plan = Plan::from_bytes(&log.blob(digest).await?).map_err(|error| corrupt(error.to_string()))?;
        for step in plan.steps() {
            let sql = step.with.get("sql").and_then(|sql| sql.as_str());
            if let (Some(digest), Some(sql)) = (step.digest, sql)
                && Digest::of(sql.as_bytes()) == digest
            {
                self.texts.insert(digest, (step.id.to_string(), sql.to_owned()));
            }
        }
        self.plans.insert(*digest, plan);
        Ok(())
    }

    /// Reads the scripts of a release.
    pub(super) async fn release(&mut self, log: &dyn Log, digest: &Digest) -> Result<(), ExportError> {
        let corrupt = |reason: String| LogError::Corrupt { place: format!("release {digest}"), reason };
        let release = Release::from_bytes(&log.blob(digest).await?).map_err(|error| corrupt(error.to_string()))?;
        for migration in release.migrations {
            let label = migration.label().to_owned();
            if let Undo::Written(script) = migration.undo {
                self.texts.insert(script.digest, (format!("{label}, undo"), script.text));
            }
            self.texts.insert(migration.up.digest, (label, migration.up.text));
        }
        Ok(())
    }

    /// The name and the text.
    pub(super) fn get(&self, digest: &Digest) -> Option<&(String, String)> {
        self.texts.get(digest)
    }

    /// What a step of this tenant's plan was to run.
    pub(super) fn digest(&self, stream: &[Recorded], step: &StepId) -> Option<Digest> {
        let Event::Tenant(TenantEvent::TenantPlanned { plan, .. }) = &stream.first()?.event else { return None };
        let step = self.plans.get(plan)?.step(step)?;
        // A step of a rollback runs the undo, and has the digest of what it takes back.
        let reverts = step.with.get("change").and_then(|change| change.as_str()) == Some("revert");
        step.digest.filter(|_| !reverts)
    }
}
