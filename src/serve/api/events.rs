//! Events: a page of them, or as they come.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cursor::{Limit, Position};
use super::openapi::{Malformed, Missing};

use crate::audit::Line;
use crate::base::{Code, DeployId};
use crate::log::LogError;
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{Asks, At, Known, known};
use crate::serve::live::follow;
use crate::serve::problem::Problem;

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct EventsQuery {
    /// Those after this place in the log.
    #[param(value_type = Option<u64>)]
    after: Position,
    /// At most so many.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Limit,
}

/// Which live events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct LiveQuery {
    /// Those after this place in the log, where no `Last-Event-ID` says otherwise.
    #[param(value_type = Option<u64>)]
    after: Position,
}

/// Events in the order of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Events {
    items: Vec<Line>,
    /// What to give as `after` for the next ones; none where these were the last there are now.
    next: Option<u64>,
}

/// The id of a deploy that has begun.
pub(super) async fn made(app: &App, principal: &Principal, id: &str) -> Result<DeployId, Problem> {
    match known(app, principal, id).await? {
        (id, Known { row: Some(_), .. }) => Ok(id),
        (id, _) => {
            Err(LogError::DeployUnknown { text: format!("{id}: it has been asked for, and not been begun") }.into())
        }
    }
}

/// The events of a deploy
///
/// Its own and those of its tenants, in the order in which the log took them down.
#[utoipa::path(
    get, path = "/v1/deploys/{id}/events", tag = "deploys",
    params(("id" = DeployId, Path, description = "The deploy."), EventsQuery),
    responses((status = 200, description = "A page of them.", body = Events), Malformed, Missing),
)]
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Asks(query): Asks<EventsQuery>,
) -> Result<Json<Events>, Problem> {
    let id = made(&app, &principal, &id).await?;
    let limit = query.limit.get();
    let mut events = app.log.tail(id, query.after.get(), limit + 1).await?;
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| more).map(|event| event.position);
    Ok(Json(Events { items: events.into_iter().map(Line::of).collect(), next }))
}

/// One of the events that are sent as they come.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct LiveEvent {
    /// Its place in the log; none of the end.
    #[schema(required = false)]
    id: String,
    /// `event`: something happened. `end`: nothing more will.
    #[schema(pattern = "^(event|end)$")]
    event: String,
    /// The event as it is in a page of events, as JSON; `{}` at the end.
    data: String,
}

/// The events of a deploy as they come
///
/// Server-sent events: `event: event` with the event as JSON and its place in the log as id, and `event: end` once nothing more will
/// come. A client that was cut off says the last id that it has seen as `Last-Event-ID`, as browsers do, and goes on behind it.
#[utoipa::path(
    get, path = "/v1/deploys/{id}/live", tag = "deploys",
    params(
        ("id" = DeployId, Path, description = "The deploy."), LiveQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The last event that was seen.")
    ),
    responses((status = 200, description = "The events.", body = LiveEvent, content_type = "text/event-stream"), Malformed, Missing),
)]
pub(super) async fn live(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Asks(query): Asks<LiveQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = made(&app, &principal, &id).await?;
    let after = match headers.get("last-event-id") {
        None => query.after,
        Some(value) => value.to_str().ok().and_then(number).ok_or_else(|| {
            Problem::new(Code::RequestMalformed, "Last-Event-ID is the id of an event that was sent here: a number")
        })?,
    };
    Ok(follow(app, id, after.get()).await?.into_response())
}

fn number(text: &str) -> Option<Position> {
    text.parse::<u64>().ok()?.try_into().ok()
}
