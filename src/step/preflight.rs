//! `preflight`: the tenant answers, is the one that was planned for, and has not changed since.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::expand::{Expand, frozen, parameters};
use super::{StepContext, StepError, StepKind, Trouble};
use crate::base::{Code, Digest};
use crate::saga::event::Evidence;
use crate::saga::failure::{ErrorClass, Failure};
use crate::saga::plan::{PREFLIGHT, PlannedStep, UndoSource};
use crate::saga::workflow::StepDef;

/// The kind.
pub(super) struct Preflight;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {}

#[derive(Serialize, Deserialize)]
struct With {
    in_force: Digest,
}

/// The digest of the migrations in force: their versions and contents, in ascending order of the version's text, so that the order
/// in which they once came does not count.
#[must_use]
pub fn in_force_digest<'a>(in_force: impl IntoIterator<Item = (&'a str, &'a Digest)>) -> Digest {
    let mut rows: Vec<(&str, &Digest)> = in_force.into_iter().collect();
    rows.sort_unstable();
    let fields = rows.iter().flat_map(|(version, digest)| [version.as_bytes(), digest.as_bytes().as_slice()]);
    Digest::of_fields("windlass in force 1", fields)
}

#[async_trait]
impl StepKind for Preflight {
    fn name(&self) -> &'static str {
        PREFLIGHT
    }

    fn summary(&self) -> &'static str {
        "the tenant answers, and has exactly the migrations it was planned with; changes nothing"
    }

    fn expand(&self, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError> {
        let Parameters {} = parameters(def)?;
        Ok(vec![PlannedStep {
            id: def.id.clone(),
            uses: self.name().to_owned(),
            stage: cx.stage,
            needs: Vec::new(),
            digest: None,
            undo: UndoSource::NoEffect,
            with: frozen(&With { in_force: cx.in_force }),
        }])
    }

    async fn act(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let planned: With = serde_json::from_value(step.with.clone()).map_err(|error| {
            let message = format!("the plan's step {} cannot be read: {error}", step.id);
            Failure::new(ErrorClass::Permanent, Code::LogCorrupt, message)
        })?;
        let in_force = cx.session.in_force();
        let found = in_force_digest(in_force.iter().map(|of| (of.version.as_str(), &of.digest)));
        if found != planned.in_force {
            let last = in_force.last().map_or("none", |of| of.name.as_str());
            let message = format!(
                "the migrations in force are not those that the deploy was planned with ({} now, the last is {last}): \
                 somebody else has been here since",
                in_force.len()
            );
            return Err(Failure::new(ErrorClass::Permanent, Code::PlanOutdated, message).into());
        }
        let note = format!("{}, {} migrations in force", cx.session.server(), in_force.len());
        Ok(Evidence { note: Some(note), ..Evidence::default() })
    }
}
