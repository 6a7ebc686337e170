//! What may be said to a deploy. Each is an event with a name and a reason, and is in the log before it is answered; whoever drives the
//! deploy, here or elsewhere, heeds it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deploys::{Accepted, Standing, accepted, idempotency};
use super::openapi::{Conflict, Malformed, Missing, TooLarge, Unfit, WrongKind};
use crate::base::{Code, DeployId, TenantId};
use crate::engine::{self, Settled, Word};
use crate::log::{Asked, RequestState, Role, Settled as RequestSettled, TakenIn, What, WhenBusy};
use crate::saga::event::{Resolution, Trigger};
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{At, Body, Known, known};
use crate::serve::problem::Problem;
use crate::serve::take::{Ask, take};

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct Reason {
    /// In your words, for the log.
    #[schema(max_length = 2000)]
    pub(in crate::serve) reason: Option<String>,
}

/// Why, and how far.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct Cancel {
    /// In your words, for the log.
    #[schema(max_length = 2000)]
    pub(in crate::serve) reason: Option<String>,
    /// Only if it waits: one that has begun goes on.
    pub(in crate::serve) only_queued: bool,
}

/// Which tenants, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct Retry {
    /// Only this tenant; all stuck ones where none is named.
    pub(in crate::serve) tenant: Option<TenantId>,
    /// In your words, for the log.
    #[schema(max_length = 2000)]
    pub(in crate::serve) reason: Option<String>,
}

/// What is true of the step at which tenants are stuck.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::serve) enum As {
    /// It is not in effect.
    Undone,
    /// It is in effect.
    Applied,
}

/// Which tenants, and what is true of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Resolve {
    /// Only this tenant; all stuck ones where none is named, which must be stuck at the same step over the same thing.
    #[serde(default)]
    pub(in crate::serve) tenant: Option<TenantId>,
    /// What is true.
    #[serde(rename = "as")]
    pub(in crate::serve) what: As,
    /// In your words, for the log.
    #[schema(max_length = 2000)]
    pub(in crate::serve) reason: String,
}

/// How the undoing goes.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct Rollback {
    /// The workflow; by default the fleet's.
    workflow: Option<String>,
    /// Whether it may wait for another deploy of the fleet to end.
    when_busy: Option<WhenBusy>,
}

/// What became of what was said.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Said {
    /// The deploy.
    id: DeployId,
    /// Where it stands now.
    standing: Standing,
    /// Whether anything has changed by it.
    changed: bool,
    /// The tenants that it concerned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<TenantId>,
    /// Tenants that somebody held at that moment: say it again for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    busy: Vec<TenantId>,
}

fn word(app: &App, principal: &Principal, reason: Option<String>) -> Result<Word, Problem> {
    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
    if reason.len() > REASON_BYTES_MAX {
        return Err(Problem::new(Code::BadArgument, format!("a reason has at most {REASON_BYTES_MAX} bytes")));
    }
    Ok(Word { actor: principal.actor(), by: app.worker.clone(), reason })
}

/// Bytes of a reason: some sentences.
const REASON_BYTES_MAX: usize = 2_000;

/// Answers with how the deploy stands after it, and wakes whoever drives it.
async fn said(
    app: &App,
    id: DeployId,
    found: &Known,
    changed: bool,
    settled: Option<Settled>,
) -> Result<Json<Said>, Problem> {
    found.fleet.wake.notify_one();
    let request = app.desk.request(id).await?;
    let row = if found.row.is_some() { Some(app.log.deploy(id).await?) } else { None };
    let standing = Standing::of(row.as_ref(), request.as_ref());
    let (tenants, busy) = settled.map(|settled| (settled.tenants, settled.busy)).unwrap_or_default();
    Ok(Json(Said { id, standing, changed, tenants, busy }))
}

/// A deploy that can be steered: what has not begun can only be called off.
async fn begun(app: &App, principal: &Principal, id: &str) -> Result<(DeployId, Known), Problem> {
    let (id, found) = known(app, principal, id).await?;
    if found.row.is_some() {
        return Ok((id, found));
    }
    let detail = format!("deploy {id} has been asked for and not been begun: it can only be cancelled");
    Err(Problem::new(Code::WrongState, detail))
}

type Answer = Result<Json<Said>, Problem>;

/// Pauses a deploy
///
/// From then on no step and no undo starts on any worker, until it is resumed.
#[utoipa::path(
    post, path = "/v1/deploys/{id}/pause", tag = "deploys", request_body = Reason,
    params(("id" = DeployId, Path, description = "The deploy.")),
    responses((status = 200, description = "How it stands now.", body = Said), Malformed, Missing, Conflict, TooLarge, WrongKind, Unfit),
)]
pub(in crate::serve) async fn pause(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer {
    let (id, found) = begun(&app, &principal, &id).await?;
    let changed = engine::pause(&*app.log, id, &word(&app, &principal, reason)?).await?;
    said(&app, id, &found, changed, None).await
}

/// Resumes a deploy
///
/// One that is paused, or that stands still.
#[utoipa::path(
    post, path = "/v1/deploys/{id}/resume", tag = "deploys",
    params(("id" = DeployId, Path, description = "The deploy.")),
    responses((status = 200, description = "How it stands now.", body = Said), Missing, Conflict, Unfit),
)]
pub(in crate::serve) async fn resume(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
) -> Answer {
    let (id, found) = begun(&app, &principal, &id).await?;
    let changed = engine::resumed(&*app.log, id, &principal.actor(), &app.worker).await?;
    said(&app, id, &found, changed, None).await
}

/// Unwinds a deploy
///
/// What it did is undone, on every tenant.
#[utoipa::path(
    post, path = "/v1/deploys/{id}/unwind", tag = "deploys", request_body = Reason,
    params(("id" = DeployId, Path, description = "The deploy.")),
    responses((status = 200, description = "How it stands now.", body = Said), Malformed, Missing, Conflict, TooLarge, WrongKind, Unfit),
)]
pub(in crate::serve) async fn unwind(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer {
    let (id, found) = begun(&app, &principal, &id).await?;
    let changed = engine::turn(&*app.log, id, &word(&app, &principal, reason)?).await?;
    said(&app, id, &found, changed, None).await
}

/// Calls a deploy off
///
/// One that waits is not begun; one that is under way is unwound, unless that was not meant (`only_queued`). Whoever has asked for a deploy
/// may call it off while it waits; anything else is for operators.
#[utoipa::path(
    post, path = "/v1/deploys/{id}/cancel", tag = "deploys", request_body = Cancel,
    params(("id" = DeployId, Path, description = "The deploy.")),
    responses((status = 200, description = "How it stands now.", body = Said), Malformed, Missing, Conflict, TooLarge, WrongKind, Unfit),
)]
pub(in crate::serve) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Cancel { reason, only_queued }): Body<Cancel>,
) -> Answer {
    let (id, found) = known(&app, &principal, &id).await?;
    let word = word(&app, &principal, reason)?;
    let waits =
        found.row.is_none() && found.request.as_ref().is_some_and(|request| request.state == RequestState::Queued);
    let theirs = found.request.as_ref().is_some_and(|request| request.asked.actor.name == principal.name);
    if principal.role < Role::Operator && !(theirs && only_queued) {
        let detail =
            "only what you have asked for yourself, and as long as it waits (only_queued), is yours to call off";
        return Err(Problem::new(Code::NotAllowed, detail));
    }
    if waits {
        let settled = RequestSettled::Cancelled { actor: word.actor.clone(), reason: word.reason.clone() };
        if app.desk.settle(id, settled).await? {
            return said(&app, id, &found, true, None).await;
        }
    }
    // It has begun, perhaps a moment ago.
    let (_, found) = known(&app, &principal, &id.to_string()).await?;
    if found.row.is_none() {
        let detail = format!("deploy {id} was settled already, and has nothing to be called off");
        return Err(Problem::new(Code::WrongState, detail));
    }
    if only_queued {
        return Err(Problem::new(Code::WrongState, format!("deploy {id} has begun, and goes on")));
    }
    let changed = engine::turn(&*app.log, id, &word).await?;
    said(&app, id, &found, changed, None).await
}

/// Lets stuck tenants try again
///
/// One of them, or all.
#[utoipa::path(
    post, path = "/v1/deploys/{id}/retry", tag = "deploys", request_body = Retry,
    params(("id" = DeployId, Path, description = "The deploy.")),
    responses((status = 200, description = "How it stands now.", body = Said), Malformed, Missing, Conflict, TooLarge, WrongKind, Unfit),
)]
pub(in crate::serve) async fn retry(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Retry { tenant, reason }): Body<Retry>,
) -> Answer {
    let (id, found) = begun(&app, &principal, &id).await?;
    let settled = engine::retry(&*app.log, id, tenant.as_ref(), &word(&app, &principal, reason)?).await?;
    said(&app, id, &found, true, Some(settled)).await
}

/// Says what is true of stuck tenants
///
/// What evidence could not tell, a human does: the step is in effect there, or it is not.
#[utoipa::path(
    post, path = "/v1/deploys/{id}/resolve", tag = "deploys", request_body = Resolve,
    params(("id" = DeployId, Path, description = "The deploy.")),
    responses((status = 200, description = "How it stands now.", body = Said), Malformed, Missing, Conflict, TooLarge, WrongKind, Unfit),
)]
pub(in crate::serve) async fn resolve(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Resolve { tenant, what, reason }): Body<Resolve>,
) -> Answer {
    let (id, found) = begun(&app, &principal, &id).await?;
    let resolution = match what {
        As::Undone => Resolution::Undone,
        As::Applied => Resolution::Applied,
    };
    let word = word(&app, &principal, Some(reason))?;
    let settled = match &tenant {
        Some(tenant) => engine::resolve(&*app.log, id, tenant, resolution, &word).await?,
        None => engine::resolve_all(&*app.log, id, resolution, &word).await?,
    };
    said(&app, id, &found, true, Some(settled)).await
}

/// Undoes a finished deploy
///
/// By a deploy of its own, which takes back what that one had changed.
#[utoipa::path(
    post, path = "/v1/deploys/{id}/rollback", tag = "deploys", request_body = Rollback,
    params(
        ("id" = DeployId, Path, description = "The deploy that is undone."),
        (
            "Idempotency-Key" = Option<String>, Header, description = "The client's own name for this request.",
            min_length = 1, max_length = 200, pattern = r"^[!-~]+$"
        )
    ),
    responses(
        (status = 202, description = "It is asked for.", body = Accepted, headers(("Location" = String))),
        (status = 200, description = "It had been asked for before.", body = Accepted, headers(("Location" = String))),
        Malformed, Missing, Conflict, TooLarge, WrongKind, Unfit
    ),
)]
pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    headers: HeaderMap,
    Body(how): Body<Rollback>,
) -> Result<Response, Problem> {
    Ok(accepted(&app, roll_back(&app, &principal, &id, how, &headers).await?))
}

/// Asks for a finished deploy to be undone.
pub(in crate::serve) async fn roll_back(
    app: &App,
    principal: &Principal,
    id: &str,
    Rollback { workflow, when_busy }: Rollback,
    headers: &HeaderMap,
) -> Result<TakenIn, Problem> {
    let (id, found) = begun(app, principal, id).await?;
    // What cannot be rolled back is told now, and not by a request that is refused later.
    engine::finished_release(&*app.log, id).await?;
    found.fleet.project.ready_workflow(workflow.as_deref())?;
    let what = What::Rollback { of: id, workflow };
    let deliveries = idempotency(headers, principal, found.fleet.name(), &what)?.into_iter().collect();
    let asked = Asked { what, trigger: Trigger::Rollback { of: id }, actor: principal.actor() };
    let when_busy = when_busy.unwrap_or(app.settings.when_busy);
    take(app, &found.fleet, Ask { asked, deliveries, when_busy, reports: Vec::new() }).await
}
