//! `switch`: from here on the tenant runs on the release.
//!
//! The switch is its own event in the log: the record that routers, flags and the next deploy read is written in the transaction
//! that appends its success, and set back in the one that turns the tenant.

use async_trait::async_trait;
use serde::Deserialize;

use super::expand::{Expand, parameters};
use super::{StepContext, StepError, StepKind, Trouble};
use crate::saga::event::Evidence;
use crate::saga::plan::{PlannedStep, SWITCH, UndoSource};
use crate::saga::workflow::StepDef;

/// The kind.
pub(super) struct Switch;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {}

#[async_trait]
impl StepKind for Switch {
    fn name(&self) -> &'static str {
        SWITCH
    }

    fn summary(&self) -> &'static str {
        "the log records that the tenant is on the release; the record is set back when the tenant turns"
    }

    fn expand(&self, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError> {
        let Parameters {} = parameters(def)?;
        Ok(vec![PlannedStep {
            id: def.id.clone(),
            uses: self.name().to_owned(),
            stage: cx.stage,
            needs: Vec::new(),
            digest: cx.release,
            undo: UndoSource::NoEffect,
            with: serde_json::Value::Null,
        }])
    }

    async fn act(&self, step: &PlannedStep, _cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        Ok(Evidence { digest: step.digest, ..Evidence::default() })
    }
}
