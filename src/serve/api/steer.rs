//! What may be said to a deploy. Each is an event with a name and a reason, and is in the log before it is answered; whoever drives the
//! deploy, here or elsewhere, heeds it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::deploys::{Standing, accepted};
use crate::base::{Code, DeployId, TenantId};
use crate::engine::{self, Settled, Word};
use crate::log::{Asked, RequestState, Settled as RequestSettled, TakenIn, What, WhenBusy};
use crate::saga::event::{Resolution, Trigger};
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{At, Body, Known, known};
use crate::serve::problem::Problem;
use crate::serve::take::{Ask, take};

/// Why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct Reason {
    /// In your words, for the log.
    pub(in crate::serve) reason: Option<String>,
}

/// Which tenants, and why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct Retry {
    /// Only this tenant; all stuck ones where none is named.
    pub(in crate::serve) tenant: Option<TenantId>,
    /// In your words, for the log.
    pub(in crate::serve) reason: Option<String>,
}

/// What is true of the step at which tenants are stuck.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::serve) enum As {
    /// It is not in effect.
    Undone,
    /// It is in effect.
    Applied,
}

/// Which tenants, and what is true of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Resolve {
    /// Only this tenant; all stuck ones where none is named, which must be stuck at the same step over the same thing.
    #[serde(default)]
    pub(in crate::serve) tenant: Option<TenantId>,
    /// What is true.
    #[serde(rename = "as")]
    pub(in crate::serve) what: As,
    /// In your words, for the log.
    pub(in crate::serve) reason: String,
}

/// How the undoing goes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct Rollback {
    /// The workflow; by default the fleet's.
    workflow: Option<String>,
    /// Whether it may wait for another deploy of the fleet to end.
    when_busy: Option<WhenBusy>,
}

/// What became of what was said.
#[derive(Debug, Serialize)]
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

/// What has not begun cannot be steered, but called off.
fn begun(id: DeployId, found: &Known) -> Result<(), Problem> {
    if found.row.is_some() {
        return Ok(());
    }
    let detail = format!("deploy {id} has been asked for and not been begun: it can only be cancelled");
    Err(Problem::new(Code::WrongState, detail))
}

type Answer = Result<Json<Said>, Problem>;

pub(in crate::serve) async fn pause(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer {
    let (id, found) = known(&app, &principal, &id).await?;
    begun(id, &found)?;
    let changed = engine::pause(&*app.log, id, &word(&app, &principal, reason)?).await?;
    said(&app, id, &found, changed, None).await
}

pub(in crate::serve) async fn resume(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
) -> Answer {
    let (id, found) = known(&app, &principal, &id).await?;
    begun(id, &found)?;
    let changed = engine::resumed(&*app.log, id, &principal.actor(), &app.worker).await?;
    said(&app, id, &found, changed, None).await
}

pub(in crate::serve) async fn unwind(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer {
    let (id, found) = known(&app, &principal, &id).await?;
    begun(id, &found)?;
    let changed = engine::turn(&*app.log, id, &word(&app, &principal, reason)?).await?;
    said(&app, id, &found, changed, None).await
}

/// Calls a deploy off: one that waits is not begun, one that is under way is unwound.
pub(in crate::serve) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer {
    let (id, found) = known(&app, &principal, &id).await?;
    let word = word(&app, &principal, reason)?;
    let waits =
        found.row.is_none() && found.request.as_ref().is_some_and(|request| request.state == RequestState::Queued);
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
    let changed = engine::turn(&*app.log, id, &word).await?;
    said(&app, id, &found, changed, None).await
}

pub(in crate::serve) async fn retry(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Retry { tenant, reason }): Body<Retry>,
) -> Answer {
    let (id, found) = known(&app, &principal, &id).await?;
    begun(id, &found)?;
    let settled = engine::retry(&*app.log, id, tenant.as_ref(), &word(&app, &principal, reason)?).await?;
    said(&app, id, &found, true, Some(settled)).await
}

pub(in crate::serve) async fn resolve(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Resolve { tenant, what, reason }): Body<Resolve>,
) -> Answer {
    let (id, found) = known(&app, &principal, &id).await?;
    begun(id, &found)?;
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

pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Body(Rollback { workflow, when_busy }): Body<Rollback>,
) -> Result<Response, Problem> {
    Ok(accepted(&app, roll_back(&app, &principal, &id, workflow, when_busy).await?))
}

/// Asks for a finished deploy to be undone.
pub(in crate::serve) async fn roll_back(
    app: &App,
    principal: &Principal,
    id: &str,
    workflow: Option<String>,
    when_busy: Option<WhenBusy>,
) -> Result<TakenIn, Problem> {
    let (id, found) = known(app, principal, id).await?;
    begun(id, &found)?;
    // What cannot be rolled back is told now, and not by a request that is refused later.
    engine::finished_release(&*app.log, id).await?;
    let what = What::Rollback { of: id, workflow };
    let asked = Asked { what, trigger: Trigger::Rollback { of: id }, actor: principal.actor() };
    let when_busy = when_busy.unwrap_or(app.settings.when_busy);
    take(app, &found.fleet, Ask { asked, deliveries: Vec::new(), when_busy, reports: Vec::new() }).await
}
