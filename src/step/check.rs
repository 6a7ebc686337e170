//! `check`: a query whose answer must be true.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::expand::{Expand, frozen, parameters};
use super::{StepContext, StepError, StepKind, Trouble};
use crate::base::{Code, Digest};
use crate::saga::event::Evidence;
use crate::saga::failure::{ErrorClass, Failure};
use crate::saga::plan::{PlannedStep, UndoSource};
use crate::saga::workflow::StepDef;
use crate::tenant::CheckOutcome;

/// The kind.
pub(super) struct Check;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    sql: String,
}

#[async_trait]
impl StepKind for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    fn summary(&self) -> &'static str {
        "a query, run in a read-only transaction, that must answer with one true value; changes nothing"
    }

    fn expand(&self, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError> {
        let with: With = parameters(def)?;
        if with.sql.trim().is_empty() {
            let reason = "sql is empty".to_owned();
            return Err(StepError::BadParameters { step: def.id.to_string(), line: def.line, reason });
        }
        Ok(vec![PlannedStep {
            id: def.id.clone(),
            uses: self.name().to_owned(),
            stage: cx.stage,
            needs: Vec::new(),
            digest: Some(Digest::of(with.sql.as_bytes())),
            undo: UndoSource::NoEffect,
            with: frozen(&with),
        }])
    }

    async fn act(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let with: With = serde_json::from_value(step.with.clone()).map_err(|error| {
            let message = format!("the plan's step {} cannot be read: {error}", step.id);
            Failure::new(ErrorClass::Permanent, Code::LogCorrupt, message)
        })?;
        match cx.session.check(&with.sql).await? {
            CheckOutcome::Holds => Ok(Evidence { digest: step.digest, statements: 1, ..Evidence::default() }),
            CheckOutcome::Fails { answer } => {
                let message = format!("check {} does not hold: {} gave {answer}", step.id, with.sql.trim());
                Err(Failure::new(ErrorClass::Permanent, Code::CheckFailed, message).into())
            }
        }
    }
}
