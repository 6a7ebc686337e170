//! The texts behind the digests that events name.

use std::collections::{BTreeMap, BTreeSet};

use super::ExportError;
use crate::base::{Digest, StepId};
use crate::log::{Log, LogError};
use crate::release::{Dialect, Release, StatementUndo, Undo, review};
use crate::saga::event::{Event, Recorded, TenantEvent};
use crate::saga::plan::Plan;

/// The texts that were run, and in which dialects.
pub(super) type Run = BTreeMap<Digest, BTreeSet<Dialect>>;

/// Texts of a deploy by their digest, each with its name.
#[derive(Default)]
pub(super) struct Texts {
    by_digest: BTreeMap<Digest, (String, String)>,
    plans: BTreeMap<Digest, Plan>,
    release: Option<Release>,
}

/// What takes back each statement of a script by itself, by the script's digest. Scripts that are one transaction have none.
pub(super) type Undos = BTreeMap<Digest, Vec<Option<StatementUndo>>>;

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
                self.by_digest.insert(digest, (step.id.to_string(), sql.to_owned()));
            }
        }
        self.plans.insert(*digest, plan);
        Ok(())
    }

    /// Reads the scripts of a release.
    pub(super) async fn release(&mut self, log: &dyn Log, digest: &Digest) -> Result<(), ExportError> {
        let corrupt = |reason: String| LogError::Corrupt { place: format!("release {digest}"), reason };
        let release = Release::from_bytes(&log.blob(digest).await?).map_err(|error| corrupt(error.to_string()))?;
        for migration in &release.migrations {
            let label = migration.label().to_owned();
            if let Undo::Written(script) = &migration.undo {
                self.by_digest.insert(script.digest, (format!("{label}, undo"), script.text.clone()));
            }
            self.by_digest.insert(migration.up.digest, (label, migration.up.text.clone()));
        }
        self.release = Some(release);
        Ok(())
    }

    /// What takes back the statements that commit by themselves, where tenants speak `dialect`.
    pub(super) fn undos(&self, dialect: Dialect) -> Undos {
        let mut undos = Undos::new();
        let Some(release) = &self.release else { return undos };
        // A release that was deployed could be looked through.
        for (migration, reviewed) in release.migrations.iter().zip(review(release, dialect).unwrap_or_default()) {
            if let Undo::Written(script) = &migration.undo {
                undos.insert(script.digest, reviewed.undo.undos);
            }
            undos.insert(migration.up.digest, reviewed.undos);
        }
        undos
    }

    /// The name and the text.
    pub(super) fn get(&self, digest: &Digest) -> Option<&(String, String)> {
        self.by_digest.get(digest)
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
