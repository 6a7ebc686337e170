//! Deploys: asked for, listed, looked at.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::openapi::{Conflict, Malformed, Missing, TooLarge, Unchanged, Unfit, WrongKind};
use super::tag::tagged;
use crate::audit::Account;
use crate::base::limits::{ENVIRONMENT_CHARS_MAX, SELECTION_BYTES_MAX};
use crate::base::{Code, DeployId, Digest, TenantId};
use crate::log::{Asked, Delivery, DeployRow, Request, RequestState, Selection, Settled, TakenIn, What, WhenBusy};
use crate::saga::event::{DeployOutcome, Direction, Trigger};
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{At, Body, Known, fleet, known};
use crate::serve::problem::Problem;
use crate::serve::report::Standing as Told;
use crate::serve::take::{Ask, take};

/// Where a deploy stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::serve) enum Standing {
    /// Asked for, and not begun.
    Queued,
    /// Going up.
    UnderWay,
    /// Standing still until it is resumed.
    Paused,
    /// Going down.
    Unwinding,
    /// Every tenant is on the release.
    Completed,
    /// Every tenant is as it was.
    Unwound,
    /// The rest are on the release; some were set aside.
    CompletedWithQuarantine,
    /// Unwound, but for tenants that were left by decision.
    EndedByHand,
    /// The same as another that was asked for before.
    Same,
    /// All tenants were on the release already.
    NothingToDo,
    /// Refused before anything was touched.
    Refused,
    /// Called off before it began.
    Cancelled,
}

impl Standing {
    /// Of a deploy that was asked for, or made, or both.
    pub(in crate::serve) fn of(row: Option<&DeployRow>, request: Option<&Request>) -> Self {
        let Some(row) = row else {
            return match request.map(|request| request.state) {
                Some(RequestState::Same) => Self::Same,
                Some(RequestState::NothingToDo) => Self::NothingToDo,
                Some(RequestState::Refused) => Self::Refused,
                Some(RequestState::Cancelled) => Self::Cancelled,
                _ => Self::Queued,
            };
        };
        match (row.summary.outcome, row.summary.direction) {
            (Some(DeployOutcome::Completed), _) => Self::Completed,
            (Some(DeployOutcome::Unwound), _) => Self::Unwound,
            (Some(DeployOutcome::CompletedWithQuarantine), _) => Self::CompletedWithQuarantine,
            (Some(DeployOutcome::EndedByHand), _) => Self::EndedByHand,
            (None, _) if row.summary.paused => Self::Paused,
            (None, Direction::Unwind) => Self::Unwinding,
            (None, _) => Self::UnderWay,
        }
    }
}

/// What is asked for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({ "revision": "v1" }))]
pub(in crate::serve) struct NewDeploy {
    /// The fleet; by default the server's own.
    fleet: Option<String>,
    /// The release by a name that the server can find it under. Either it or `release` is given.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[A-Za-z0-9_+][A-Za-z0-9._+/-]*$")]
    revision: Option<String>,
    /// The release itself, by its digest: one that was pushed.
    release: Option<Digest>,
    /// For which environment, for the record.
    #[schema(max_length = 200)]
    environment: Option<String>,
    /// The workflow; by default the fleet's.
    workflow: Option<String>,
    /// Only these tenants: ids, with commas between them.
    #[schema(max_length = 100_000)]
    only: Option<String>,
    /// Only tenants that this selector matches.
    #[schema(max_length = 100_000)]
    select: Option<String>,
    /// Tenants whose databases were really created anew.
    new_databases: Vec<TenantId>,
    /// Whether it may wait for another deploy of the fleet to end; by default as the server is set.
    when_busy: Option<WhenBusy>,
}

/// What became of asking for a deploy.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Accepted {
    /// The deploy, which may still have to wait.
    id: DeployId,
    /// Where it is looked at.
    url: String,
    /// Whether it had been asked for before.
    again: bool,
    /// Why the sender of a webhook will not be told how it goes, where it was to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreported: Option<String>,
}

/// Where a deploy is looked at.
fn address(app: &App, id: DeployId) -> String {
    format!("{}/v1/deploys/{id}", app.url())
}

/// The answer to a request that was taken in: 202, or 200 where it had been asked for before.
pub(in crate::serve) fn accepted(app: &App, taken: TakenIn) -> Response {
    accepted_but(app, taken, None)
}

/// The same, to a sender who will not be told how it goes.
pub(in crate::serve) fn accepted_but(app: &App, taken: TakenIn, unreported: Option<String>) -> Response {
    let id = taken.deploy();
    let again = !matches!(taken, TakenIn::New(_));
    let url = address(app, id);
    let location = HeaderValue::from_str(&url).ok();
    let status = if again { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut answer = (status, Json(Accepted { id, url, again, unreported })).into_response();
    if let Some(location) = location {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// The sending that an `Idempotency-Key` names, so that a request that is sent again is answered with the same deploy.
pub(super) fn idempotency(
    headers: &HeaderMap,
    principal: &Principal,
    fleet: &str,
    what: &What,
) -> Result<Option<Delivery>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let fits = |key: &&str| !key.is_empty() && key.len() <= 200 && key.chars().all(|c| c.is_ascii_graphic());
    let key = key.to_str().ok().filter(fits).ok_or_else(|| {
        Problem::new(
            Code::RequestMalformed,
            "an Idempotency-Key is 1 to 200 printable characters of ASCII, without spaces",
        )
    })?;
    let source = format!("api:{}", principal.token.as_deref().unwrap_or("loopback"));
    let content = serde_json::to_vec(&(fleet, what)).map(|bytes| Digest::of(&bytes)).ok();
    Ok(Some(Delivery { source, id: key.to_owned(), content }))
}

/// Asks for a deploy
///
/// It is durable before it is answered, and may have to wait for another deploy of the fleet to end. What was asked for before and still
/// counts is answered with that: it waits, or is on its way up. With an `Idempotency-Key` the same request is
/// answered with the same deploy for ever, and another one under the same key is refused (WL0822).
#[utoipa::path(
    post, path = "/v1/deploys", tag = "deploys", request_body = NewDeploy,
    params((
        "Idempotency-Key" = Option<String>, Header, description = "The client's own name for this request.",
        min_length = 1, max_length = 200, pattern = r"^[!-~]+$"
    )),
    responses(
        (status = 202, description = "It is asked for.", body = Accepted, headers(("Location" = String))),
        (status = 200, description = "It had been asked for before.", body = Accepted, headers(("Location" = String))),
        Malformed, Missing, Conflict, TooLarge, WrongKind, Unfit
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Body(new): Body<NewDeploy>,
) -> Result<Response, Problem> {
    let fleet = fleet(&app, &principal, new.fleet.as_deref())?;
    let NewDeploy { revision, release, environment, workflow, only, select, new_databases, when_busy, .. } = new;
    if only.is_some() && select.is_some() {
        let problem = Problem::new(Code::BadArgument, "give `only` or `select`, not both");
        return Err(problem.with_status(StatusCode::UNPROCESSABLE_ENTITY));
    }
    if environment.as_ref().is_some_and(|name| name.chars().count() > ENVIRONMENT_CHARS_MAX) {
        let detail = format!("the name of an environment has at most {ENVIRONMENT_CHARS_MAX} characters");
        return Err(Problem::new(Code::BadArgument, detail));
    }
    if only.as_ref().or(select.as_ref()).is_some_and(|of| of.len() > SELECTION_BYTES_MAX) {
        let detail = format!("`only` and `select` have at most {SELECTION_BYTES_MAX} bytes");
        return Err(Problem::new(Code::BadArgument, detail));
    }
    let trigger = Trigger::Api { revision: revision.clone() };
    let new_databases = new_databases.into_iter().map(String::from).collect();
    let selection = Selection { workflow, only, select, new_databases };
    let what = What::Deploy { revision, release, environment, selection };
    let delivery = idempotency(&headers, &principal, fleet.name(), &what)?;
    let asked = Asked { what, trigger, actor: principal.actor() };
    let when_busy = when_busy.unwrap_or(app.settings.when_busy);
    let deliveries = delivery.into_iter().collect();
    let taken = take(&app, fleet, Ask { asked, deliveries, when_busy, reports: Vec::new() }).await?;
    Ok(accepted(&app, taken))
}

/// A deploy as the server knows it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Deploy {
    pub(in crate::serve) id: DeployId,
    pub(in crate::serve) fleet: String,
    pub(in crate::serve) standing: Standing,
    /// The deploy that this one turned out to be the same as, once its release had been found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::serve) same_as: Option<Link>,
    /// How it was asked for; none where it was begun by a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::serve) request: Option<Request>,
    /// How it stands; none as long as it is only asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::serve) account: Option<Account>,
    /// Who is told of it, and how far they have been told.
    pub(in crate::serve) reports: Vec<Told>,
    /// What keeps its fleet from moving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::serve) trouble: Option<crate::serve::app::Trouble>,
}

/// Another deploy, and where it is looked at.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Link {
    pub(in crate::serve) id: DeployId,
    pub(in crate::serve) url: String,
}

/// Reads a deploy, request and all.
pub(in crate::serve) async fn read(app: &App, id: DeployId, found: Known) -> Result<Deploy, Problem> {
    let Known { fleet, request, row } = found;
    let standing = Standing::of(row.as_ref(), request.as_ref());
    let account = match &row {
        Some(_) => Some((*app.accounts.of(&*app.log, id).await?).clone()),
        None => None,
    };
    let reports = app.desk.reports(id).await?.iter().map(Told::of).collect();
    let open = row.as_ref().is_none_or(|row| row.summary.outcome.is_none());
    let trouble = if open { fleet.trouble() } else { None };
    let same_as = match request.as_ref().and_then(|request| request.settled.as_ref()) {
        Some(Settled::Same { deploy }) => Some(Link { id: *deploy, url: address(app, *deploy) }),
        _ => None,
    };
    Ok(Deploy { id, fleet: fleet.name().to_owned(), standing, same_as, request, account, reports, trouble })
}

/// A deploy
///
/// How it was asked for, how it stands, and who is told of it.
#[utoipa::path(
    get, path = "/v1/deploys/{id}", tag = "deploys",
    params(
        ("id" = DeployId, Path, description = "The deploy."),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the client has.")
    ),
    responses((status = 200, description = "The deploy.", body = Deploy, headers(("ETag" = String))), Unchanged, Missing),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, found) = known(&app, &principal, &id).await?;
    let deploy = read(&app, id, found).await?;
    Ok(tagged(&headers, &deploy))
}
