//! Deploys: asked for, listed, looked at.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::audit::Account;
use crate::base::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::base::{Code, DeployId, Digest, Timestamp};
use crate::log::{Asked, Delivery, DeployRow, Request, RequestState, Selection, TakenIn, What, WhenBusy};
use crate::saga::event::{DeployOutcome, Direction, Trigger};
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{Asks, At, Body, Known, fleet, known};
use crate::serve::problem::Problem;
use crate::serve::report::Standing as Told;
use crate::serve::take::{Ask, take};

/// Where a deploy stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct NewDeploy {
    /// The fleet; by default the server's own.
    fleet: Option<String>,
    /// The release by a name that the server can find it under.
    revision: Option<String>,
    /// The release itself, by its digest: one that was pushed.
    release: Option<Digest>,
    /// For which environment, for the record.
    environment: Option<String>,
    /// The workflow; by default the fleet's.
    workflow: Option<String>,
    /// Only these tenants: ids, with commas between them.
    only: Option<String>,
    /// Only tenants that this selector matches.
    select: Option<String>,
    /// Tenants whose databases were really created anew.
    new_databases: Vec<String>,
    /// Whether it may wait for another deploy of the fleet to end; by default as the server is set.
    when_busy: Option<WhenBusy>,
}

/// What became of asking for a deploy.
#[derive(Debug, Serialize)]
pub(in crate::serve) struct Accepted {
    /// The deploy, which may still have to wait.
    id: DeployId,
    /// Where it is looked at.
    url: String,
    /// Whether it had been asked for before.
    again: bool,
}

/// The answer to a request that was taken in: 202, or 200 where it had been asked for before.
pub(in crate::serve) fn accepted(app: &App, taken: TakenIn) -> Response {
    let id = taken.deploy();
    let again = !matches!(taken, TakenIn::New(_));
    let url = format!("{}/v1/deploys/{id}", app.url());
    let location = HeaderValue::from_str(&url).ok();
    let status = if again { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut answer = (status, Json(Accepted { id, url, again })).into_response();
    if let Some(location) = location {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// The sending that an `Idempotency-Key` names, so that a request that is sent again is answered with the same deploy.
fn idempotency(headers: &HeaderMap, principal: &Principal, what: &What) -> Result<Option<Delivery>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let fits = |key: &&str| !key.is_empty() && key.len() <= 200 && key.chars().all(|c| c.is_ascii_graphic());
    let key = key.to_str().ok().filter(fits).ok_or_else(|| {
        Problem::new(
            Code::RequestMalformed,
            "an Idempotency-Key is 1 to 200 printable characters of ASCII, without spaces",
        )
    })?;
    let source = format!("api:{}", principal.token.as_deref().unwrap_or("loopback"));
    let content = serde_json::to_vec(what).map(|bytes| Digest::of(&bytes)).ok();
    Ok(Some(Delivery { source, id: key.to_owned(), content }))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Body(new): Body<NewDeploy>,
) -> Result<Response, Problem> {
    let fleet = fleet(&app, &principal, new.fleet.as_deref())?;
    let NewDeploy { revision, release, environment, workflow, only, select, new_databases, when_busy, .. } = new;
    if only.is_some() && select.is_some() {
        return Err(Problem::new(Code::BadArgument, "give `only` or `select`, not both"));
    }
    let trigger = Trigger::Api { revision: revision.clone() };
    let selection = Selection { workflow, only, select, new_databases };
    let what = What::Deploy { revision, release, environment, selection };
    let delivery = idempotency(&headers, &principal, &what)?;
    let asked = Asked { what, trigger, actor: principal.actor() };
    let when_busy = when_busy.unwrap_or(app.settings.when_busy);
    let deliveries = delivery.into_iter().collect();
    let taken = take(&app, fleet, Ask { asked, deliveries, when_busy, reports: Vec::new() }).await?;
    Ok(accepted(&app, taken))
}

/// A deploy in a list.
#[derive(Debug, Serialize)]
pub(in crate::serve) struct Brief {
    pub(in crate::serve) id: DeployId,
    pub(in crate::serve) fleet: String,
    pub(in crate::serve) standing: Standing,
    pub(in crate::serve) created_at: Timestamp,
}

/// A deploy as the server knows it.
#[derive(Debug, Serialize)]
pub(in crate::serve) struct Deploy {
    pub(in crate::serve) id: DeployId,
    pub(in crate::serve) fleet: String,
    pub(in crate::serve) standing: Standing,
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
    Ok(Deploy { id, fleet: fleet.name().to_owned(), standing, request, account, reports, trouble })
}

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

/// An answer under the digest of its text, or only the word that it is still the one the client has.
pub(in crate::serve) fn tagged<T: Serialize>(headers: &HeaderMap, value: &T) -> Response {
    let Ok(text) = serde_json::to_vec(value) else {
        return Problem::new(Code::Defect, "an answer cannot be written").into_response();
    };
    let tag = format!("\"{}\"", Digest::of(&text).short());
    let had = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let same = had.is_some_and(|had| had.split(',').any(|of| of.trim().trim_start_matches("W/") == tag));
    let mut answer = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], text).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

/// Which deploys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct ListQuery {
    fleet: Option<String>,
    limit: Option<usize>,
}

/// Deploys, the newest first.
#[derive(Debug, Serialize)]
pub(in crate::serve) struct Deploys {
    items: Vec<Brief>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Asks(query): Asks<ListQuery>,
) -> Result<Json<Deploys>, Problem> {
    let fleet = fleet(&app, &principal, query.fleet.as_deref())?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let waiting = app.desk.requests(Some(fleet.name()), None, None, limit).await?;
    let rows = app.log.deploys(Some(fleet.name()), limit).await?;
    let mut items: Vec<Brief> = rows
        .iter()
        .map(|row| Brief {
            id: row.id,
            fleet: row.fleet.clone(),
            standing: Standing::of(Some(row), None),
            created_at: row.created_at,
        })
        .collect();
    items.extend(waiting.iter().filter(|request| rows.iter().all(|row| row.id != request.id)).map(|request| Brief {
        id: request.id,
        fleet: request.fleet.clone(),
        standing: Standing::of(None, Some(request)),
        created_at: request.received_at,
    }));
    items.sort_by_key(|brief| std::cmp::Reverse((brief.created_at, brief.id)));
    items.truncate(limit);
    Ok(Json(Deploys { items }))
}
