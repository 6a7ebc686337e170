//! From a workflow to one tenant's plan.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{Kinds, StepError};
use crate::base::{Digest, StepId};
use crate::saga::plan::{Plan, PlannedStep, UndoSource};
use crate::saga::workflow::{StepDef, Workflow};

/// Which way a migration goes in this deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Its up script is run; its undo is the compensation.
    Apply,
    /// Its undo is run, by a rollback; its up script is the compensation.
    Revert,
}

/// A migration that a tenant is to get, or to lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its version.
    pub version: String,
    /// Its label, `0007_add_email`.
    pub label: String,
    /// The digest of its up script.
    pub digest: Digest,
    /// Which way.
    pub change: Change,
    /// How that is taken back.
    pub undo: UndoSource,
}

/// What is known of a tenant when its plan is made.
#[derive(Debug, Clone, Copy)]
pub struct Expand<'a> {
    /// The stage of the step at hand, from 0.
    pub stage: u32,
    /// The digest of the migrations in force ([`super::in_force_digest`]).
    pub in_force: Digest,
    /// What is to be done, in order.
    pub pending: &'a [Pending],
    /// The release that the tenant is on afterwards: its stored bytes; none where it is not known (after a rollback).
    pub release: Option<Digest>,
}

/// Whether every step uses a kind that there is, with parameters that it takes: what can be known without a tenant.
pub fn check(kinds: &Kinds, workflow: &Workflow) -> Result<(), StepError> {
    let nobody = Expand { stage: 0, in_force: Digest::of(b""), pending: &[], release: None };
    workflow.steps().try_for_each(|(stage, def)| expand_one(kinds, def, &Expand { stage, ..nobody }).map(drop))
}

fn expand_one(kinds: &Kinds, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError> {
    let known = || kinds.names().collect::<Vec<_>>().join(", ");
    let kind = kinds.get(&def.uses).ok_or_else(|| StepError::UnknownKind {
        step: def.id.to_string(),
        line: def.line,
        uses: def.uses.clone(),
        known: known(),
    })?;
    kind.expand(def, cx)
}

/// One tenant's plan: every step of the workflow becomes its kind's steps, and a need for a step becomes a need for the last of
/// them. A step that becomes none (no migration is pending) hands its own needs on. Nothing pending at all: an empty plan.
pub fn expand(kinds: &Kinds, workflow: &Workflow, cx: &Expand<'_>) -> Result<Plan, StepError> {
    if cx.pending.is_empty() {
        return Plan::new(Vec::new()).map_err(|error| StepError::NoPlan { reason: error.to_string() });
    }
    let defs: BTreeMap<&str, &StepDef> = workflow.steps().map(|(_, def)| (def.id.as_str(), def)).collect();
    let mut of: BTreeMap<&str, Vec<PlannedStep>> = BTreeMap::new();
    for (stage, def) in workflow.steps() {
        let mut steps = expand_one(kinds, def, &Expand { stage, ..*cx })?;
        for index in 1..steps.len() {
            steps[index].needs = vec![steps[index - 1].id.clone()];
        }
        of.insert(def.id.as_str(), steps);
    }
    let mut planned = Vec::new();
    for (_, def) in workflow.steps() {
        let mut steps = of.get(def.id.as_str()).cloned().unwrap_or_default();
        if let Some(first) = steps.first_mut() {
            first.needs = def.needs.iter().flat_map(|needs| tails(needs, &defs, &of)).collect();
            first.needs.sort();
            first.needs.dedup();
        }
        planned.extend(steps);
    }
    Plan::new(planned).map_err(|error| StepError::NoPlan { reason: error.to_string() })
}

/// The steps that stand for a workflow's step when another needs it. The workflow has no cycle, so this ends.
fn tails(id: &StepId, defs: &BTreeMap<&str, &StepDef>, of: &BTreeMap<&str, Vec<PlannedStep>>) -> Vec<StepId> {
    match (of.get(id.as_str()).and_then(|steps| steps.last()), defs.get(id.as_str())) {
        (Some(last), _) => vec![last.id.clone()],
        (None, Some(def)) => def.needs.iter().flat_map(|needs| tails(needs, defs, of)).collect(),
        (None, None) => Vec::new(),
    }
}

/// A step's `with`, in its kind's own type, which refuses unknown keys.
pub(super) fn parameters<T: DeserializeOwned>(def: &StepDef) -> Result<T, StepError> {
    toml::Value::Table(def.with.clone()).try_into().map_err(|error: toml::de::Error| StepError::BadParameters {
        step: def.id.to_string(),
        line: def.line,
        reason: error.message().to_owned(),
    })
}

/// A kind's parameters as JSON, for the plan. They are plain strings and numbers, which JSON always takes.
pub(super) fn frozen<T: serde::Serialize>(with: &T) -> serde_json::Value {
    serde_json::to_value(with).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKFLOW: &str = r#"
name = "t"
[[stage]]
name = "one"
  [[stage.step]]
  id = "switch"
  uses = "switch"
  needs = ["verify", "migrate"]
  [[stage.step]]
  id = "preflight"
  uses = "preflight"
  [[stage.step]]
  id = "migrate"
  uses = "migrate"
  needs = ["preflight"]
  [[stage.step]]
  id = "verify"
  uses = "check"
  needs = ["migrate"]
  with = { sql = "SELECT 1" }
"#;

    fn plan(labels: &[&str]) -> Plan {
        let pending: Vec<Pending> = labels
            .iter()
            .map(|label| Pending {
                version: label.split('_').next().unwrap().to_owned(),
                label: (*label).to_owned(),
                digest: Digest::of(label.as_bytes()),
                change: Change::Apply,
                undo: UndoSource::Written,
            })
            .collect();
        let cx = Expand { stage: 0, in_force: Digest::of(b""), pending: &pending, release: Some(Digest::of(b"r")) };
        expand(&Kinds::default(), &Workflow::parse("t.toml", WORKFLOW).unwrap(), &cx).unwrap()
    }

    #[test]
    fn a_migrate_step_becomes_a_chain_and_its_followers_wait_for_the_last() {
        let plan = plan(&["1_a", "2_b"]);
        let shown: Vec<String> = plan
            .steps()
            .iter()
            .map(|step| {
                format!("{} <- {}", step.id, step.needs.iter().map(StepId::as_str).collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "preflight <- ",
                "migrate:1_a <- preflight",
                "migrate:2_b <- migrate:1_a",
                "verify <- migrate:2_b",
                "switch <- migrate:2_b verify",
            ]
        );
    }

    #[test]
    fn a_tenant_with_nothing_pending_has_an_empty_plan() {
        assert!(plan(&[]).is_empty());
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_its_line() {
        let text = WORKFLOW.replace("sql =", "sequel =");
        let cx = Expand {
            stage: 0,
            in_force: Digest::of(b""),
            pending: &[Pending {
                version: "1".into(),
                label: "1_a".into(),
                digest: Digest::of(b""),
                change: Change::Apply,
                undo: UndoSource::Written,
            }],
            release: Some(Digest::of(b"r")),
        };
        let error = expand(&Kinds::default(), &Workflow::parse("t.toml", &text).unwrap(), &cx).unwrap_err();
        assert!(error.to_string().contains("line 16") && error.to_string().contains("sequel"), "{error}");
    }
}
