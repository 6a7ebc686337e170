//! A tenant's frozen step graph: what will be done there, in which order, and how each step is taken back.
//!
//! Made once, when the deploy is created, and kept in the log by digest; the release folder, the workflow file and the tenant's
//! ledger may change afterwards without changing what this deploy does (promise P2).

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::limits::PLAN_STEPS_MAX;
use crate::base::{Digest, StepId};

/// The kind of step that has seen that the tenant was as it was planned for.
pub const PREFLIGHT: &str = "preflight";

/// The kind of step that becomes one for each pending migration.
pub const MIGRATE: &str = "migrate";

/// The kind of step after which the tenant is on the release.
pub const SWITCH: &str = "switch";

/// How a step is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoSource {
    /// The step changes nothing outside the log.
    NoEffect,
    /// The author wrote the undo.
    Written,
    /// It cannot be taken back, and its author said so.
    Irreversible,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its id within the plan.
    pub id: StepId,
    /// The kind that carries it out (`migrate`, `check`, …).
    pub uses: String,
    /// The stage it belongs to, from 0.
    pub stage: u32,
    /// The steps that must have succeeded before it starts.
    pub needs: Vec<StepId>,
    /// The digest of what it runs, where it runs something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// How it is taken back.
    pub undo: UndoSource,
    /// The kind's own parameters, as checked when the plan was made.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub with: Value,
}

/// A tenant's steps, in the one order in which they are run there.
///
/// The order is a topological order of `needs`, and among steps that could go first the one that the workflow names first:
/// two plans with the same steps have the same order on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    steps: Vec<PlannedStep>,
}

/// The steps given do not form a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than any workflow and release come to.
    #[error("{count} steps are more than {PLAN_STEPS_MAX}")]
    TooManySteps {
        /// How many.
        count: usize,
    },
    /// Two steps share an id.
    #[error("two steps have the id {step}")]
    DuplicateStep {
        /// The id.
        step: StepId,
    },
    /// A need names no step.
    #[error("step {step} needs {needs}, and there is no such step")]
    UnknownNeeds {
        /// Who needs.
        step: StepId,
        /// What is missing.
        needs: StepId,
    },
    /// The steps wait for each other.
    #[error("the steps wait for each other: {}", round_words(.cycle))]
    Cycle {
        /// One round, its first step repeated at the end.
        cycle: Vec<StepId>,
    },
    /// A step needs one of a later stage.
    #[error("step {step} needs {needs}, which belongs to a later stage")]
    LaterStage {
        /// Who needs.
        step: StepId,
        /// Whom.
        needs: StepId,
    },
}

impl Plan {
    /// A plan from steps in the order in which the workflow names them.
    pub fn new(steps: Vec<PlannedStep>) -> Result<Self, PlanError> {
        if steps.len() > PLAN_STEPS_MAX {
            return Err(PlanError::TooManySteps { count: steps.len() });
        }
        let order = {
            let mut graph = DiGraph::<usize, ()>::with_capacity(steps.len(), steps.len());
            let mut nodes = BTreeMap::new();
            for (index, step) in steps.iter().enumerate() {
                if nodes.insert(&step.id, graph.add_node(index)).is_some() {
                    return Err(PlanError::DuplicateStep { step: step.id.clone() });
                }
            }
            for step in &steps {
                for needs in &step.needs {
                    let Some(from) = nodes.get(needs) else {
                        return Err(PlanError::UnknownNeeds { step: step.id.clone(), needs: needs.clone() });
                    };
                    if steps[graph[*from]].stage > step.stage {
                        return Err(PlanError::LaterStage { step: step.id.clone(), needs: needs.clone() });
                    }
                    graph.add_edge(*from, nodes[&step.id], ());
                }
            }
            stable_order(&graph, &steps).map_err(|cycle| PlanError::Cycle {
                cycle: cycle.into_iter().map(|index| steps[index].id.clone()).collect(),
            })?
        };
        let mut slots: Vec<Option<PlannedStep>> = steps.into_iter().map(Some).collect();
        Ok(Self { steps: order.into_iter().filter_map(|index| slots[index].take()).collect() })
    }

    /// The steps in the order in which they are run.
    #[must_use]
    pub fn steps(&self) -> &[PlannedStep] {
        &self.steps
    }

    /// A step by its id.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&PlannedStep> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The bytes kept in the log.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising a tree of strings and numbers into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A plan from its bytes, checked as a new one is.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlanReadError> {
        let raw: Plan = serde_json::from_slice(bytes)?;
        Ok(Self::new(raw.steps)?)
    }

    /// The name of those bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}

/// Stored bytes are not a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanReadError {
    /// Not the JSON of one.
    #[error("the plan does not parse: {source}")]
    Json {
        /// What the parser said.
        #[from]
        source: serde_json::Error,
    },
    /// Not a graph that can be run.
    #[error("the plan is not one: {source}")]
    Plan {
        /// Why not.
        #[from]
        source: PlanError,
    },
}

/// A round of steps; a long one by its first and its last.
fn round_words(cycle: &[StepId]) -> String {
    const NAMED: usize = 10;
    let words = |steps: &[StepId]| steps.iter().map(StepId::as_str).collect::<Vec<_>>().join(" → ");
    match cycle {
        [first @ .., last] if first.len() > 2 * NAMED => format!("{} → … → {last}", words(&first[..NAMED])),
        _ => words(cycle),
    }
}

/// Kahn's algorithm, taking the lowest (stage, index) among the ready; the remaining nodes hold a cycle if it gets stuck.
fn stable_order(graph: &DiGraph<usize, ()>, steps: &[PlannedStep]) -> Result<Vec<usize>, Vec<usize>> {
    let key = |node: NodeIndex| (steps[graph[node]].stage, graph[node]);
    let mut waiting: Vec<usize> =
        graph.node_indices().map(|node| graph.edges_directed(node, petgraph::Direction::Incoming).count()).collect();
    let mut ready: BTreeMap<(u32, usize), NodeIndex> =
        graph.node_indices().filter(|node| waiting[node.index()] == 0).map(|node| (key(node), node)).collect();
    let mut order = Vec::with_capacity(steps.len());
    while let Some((_, node)) = ready.pop_first() {
        order.push(graph[node]);
        for edge in graph.edges(node) {
            let count = &mut waiting[edge.target().index()];
            *count -= 1;
            if *count == 0 {
                ready.insert(key(edge.target()), edge.target());
            }
        }
    }
    if order.len() == steps.len() {
        return Ok(order);
    }
    Err(find_cycle(graph).unwrap_or_default().into_iter().map(|node| graph[node]).collect())
}

/// One round of a graph that has one, its first node repeated at the end.
pub(super) fn find_cycle<N>(graph: &DiGraph<N, ()>) -> Option<Vec<NodeIndex>> {
    // Not Tarjan's, which calls itself for every node of a round: plans come out of files that need not be ours.
    let parts = petgraph::algo::kosaraju_scc(graph);
    let round =
        parts.iter().find(|part| part.len() > 1 || part.iter().any(|node| graph.contains_edge(*node, *node)))?;
    let round: BTreeSet<NodeIndex> = round.iter().copied().collect();
    let (mut path, mut places) = (Vec::new(), BTreeMap::new());
    let mut node = *round.first()?;
    loop {
        let met = places.insert(node, path.len());
        path.push(node);
        if let Some(at) = met {
            return Some(path.split_off(at));
        }
        // Within a strongly connected part every node has a way on, so the walk meets itself.
        node = graph.neighbors(node).filter(|node| round.contains(node)).min()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, needs: &[&str]) -> PlannedStep {
        PlannedStep {
            id: id.into(),
            uses: "check".into(),
            stage: 0,
            needs: needs.iter().map(|id| StepId::from(*id)).collect(),
            digest: None,
            undo: UndoSource::NoEffect,
            with: Value::Null,
        }
    }

    fn order(plan: &Plan) -> Vec<&str> {
        plan.steps().iter().map(|step| step.id.as_str()).collect()
    }

    #[test]
    fn steps_run_after_what_they_need_and_else_as_named() {
        let plan =
            Plan::new(vec![step("d", &["b", "c"]), step("c", &["a"]), step("b", &["a"]), step("a", &[])]).unwrap();
        assert_eq!(order(&plan), ["a", "c", "b", "d"]);
    }

    #[test]
    fn a_cycle_is_named_step_by_step() {
        let error = Plan::new(vec![step("a", &["c"]), step("b", &["a"]), step("c", &["b"])]).unwrap_err();
        assert_eq!(error.to_string(), "the steps wait for each other: a → b → c → a");
    }

    #[test]
    fn a_round_of_all_steps_that_a_plan_may_have_is_named_by_its_ends() {
        let ring = |count: usize| {
            let id = |at: usize| format!("s{:06}", at % count);
            (0..count).map(|at| step(&id(at), &[&id(at + count - 1)])).collect::<Vec<_>>()
        };
        let error = Plan::new(ring(PLAN_STEPS_MAX)).unwrap_err().to_string();
        assert!(error.contains("s000000 → s000001 → ") && error.ends_with(" → … → s000000"), "{error}");
        // Whoever made it longer meets the limit, and no stack.
        let error = Plan::new(ring(PLAN_STEPS_MAX + 1)).unwrap_err();
        assert_eq!(error, PlanError::TooManySteps { count: PLAN_STEPS_MAX + 1 });
    }

    #[test]
    fn a_step_that_needs_itself_is_a_cycle() {
        let error = Plan::new(vec![step("a", &["a"])]).unwrap_err();
        assert_eq!(error.to_string(), "the steps wait for each other: a → a");
    }

    #[test]
    fn a_need_of_a_later_stage_is_refused() {
        let mut late = step("late", &[]);
        late.stage = 1;
        assert!(matches!(Plan::new(vec![late, step("a", &["late"])]), Err(PlanError::LaterStage { .. })));
    }

    #[test]
    fn the_stored_bytes_read_back_as_the_same_plan() {
        let plan = Plan::new(vec![step("b", &["a"]), step("a", &[])]).unwrap();
        assert_eq!(Plan::from_bytes(&plan.to_bytes()).unwrap(), plan);
        assert!(Plan::from_bytes(b"{\"steps\":[{}]}").is_err());
    }
}
