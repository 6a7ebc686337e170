//! Workflows: what a deploy of a fleet can go by.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::openapi::{Malformed, Missing, Unchanged, Unfit};
use super::tag::tagged;
use crate::base::{Code, Coded as _, StepId};
use crate::config::workflows::{BUILT_IN, Found};
use crate::project::carried_out;
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{Asks, At, fleet};
use crate::serve::problem::Problem;

/// Of which fleet.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct WorkflowsQuery {
    /// The fleet; by default the server's own.
    fleet: Option<String>,
}

/// Where a workflow comes from.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::serve) enum Origin {
    /// It ships with Windlass.
    BuiltIn,
    /// A file of the project.
    Project,
}

/// A workflow in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct WorkflowBrief {
    name: String,
    origin: Origin,
    /// Whether deploys go by it where nothing else is said.
    default: bool,
    /// What it does, in a sentence.
    summary: Option<String>,
    /// Why it cannot be gone by.
    problem: Option<String>,
}

/// The workflows of a fleet, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Workflows {
    items: Vec<WorkflowBrief>,
}

/// The workflows of a fleet
#[utoipa::path(
    get, path = "/v1/workflows", tag = "fleets", params(WorkflowsQuery),
    responses((status = 200, description = "All of them.", body = Workflows), Malformed, Missing),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Asks(query): Asks<WorkflowsQuery>,
) -> Result<Json<Workflows>, Problem> {
    let project = &fleet(&app, &principal, query.fleet.as_deref())?.project;
    let brief = |name: String| {
        // One that is not valid is no reason to be silent about the others.
        let (origin, summary, problem) = match project.workflow(Some(&name)) {
            Ok(found) => {
                let problem = carried_out(&project.kinds, &found).err().map(|error| error.to_string());
                (origin(&found), Some(found.workflow.summary), problem)
            }
            Err(error) => (Origin::Project, None, Some(error.to_string())),
        };
        WorkflowBrief { default: name == project.config.deploy.workflow, name, origin, summary, problem }
    };
    Ok(Json(Workflows { items: project.config.workflow_names().into_iter().map(brief).collect() }))
}

fn origin(found: &Found) -> Origin {
    if BUILT_IN.iter().any(|(_, text)| *text == found.text) { Origin::BuiltIn } else { Origin::Project }
}

/// A step of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct WorkflowStep {
    id: StepId,
    /// The kind that carries it out.
    uses: String,
    /// Steps that must have succeeded first.
    needs: Vec<StepId>,
}

/// A stage of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct WorkflowStage {
    name: String,
    /// How many waves it goes in.
    waves: usize,
    steps: Vec<WorkflowStep>,
}

/// A workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Workflow {
    name: String,
    origin: Origin,
    summary: String,
    /// What happens when a tenant fails.
    on_failure: String,
    stages: Vec<WorkflowStage>,
    /// Why it cannot be gone by.
    problem: Option<String>,
    /// As it is written.
    text: String,
}

/// A workflow
#[utoipa::path(
    get, path = "/v1/workflows/{name}", tag = "fleets",
    params(
        ("name" = String, Path, description = "Its name."), WorkflowsQuery,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the client has.")
    ),
    responses(
        (status = 200, description = "The workflow.", body = Workflow, headers(("ETag" = String))),
        Unchanged, Malformed, Missing, Unfit
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(name): At<String>,
    Asks(query): Asks<WorkflowsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let project = &fleet(&app, &principal, query.fleet.as_deref())?.project;
    let found = project.workflow(Some(&name)).map_err(|error| match error.code() {
        // What it says of a name that is none of one names all that there are, which is well.
        Code::UnknownWorkflow => Problem::of(&error).next("GET /v1/workflows"),
        _ => Problem::of(&error),
    })?;
    let problem = carried_out(&project.kinds, &found).err().map(|error| error.to_string());
    let origin = origin(&found);
    let Found { workflow, text, .. } = found;
    let stages = workflow.stages.into_iter().map(|stage| WorkflowStage {
        name: stage.name,
        waves: stage.waves.len(),
        steps: stage
            .steps
            .into_iter()
            .map(|step| WorkflowStep { id: step.id, uses: step.uses, needs: step.needs })
            .collect(),
    });
    let answer = Workflow {
        name: workflow.name,
        origin,
        summary: workflow.summary,
        on_failure: workflow.on_failure.then.to_string(),
        stages: stages.collect(),
        problem,
        text,
    };
    Ok(tagged(&headers, &answer))
}
