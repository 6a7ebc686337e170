//! Events: a page of them, or as they come.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::audit::Line;
use crate::base::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::base::{Code, DeployId};
use crate::log::LogError;
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{Asks, At, Known, known};
use crate::serve::live::follow;
use crate::serve::problem::Problem;

/// Which events.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct EventsQuery {
    /// Those after this place in the log.
    after: u64,
    /// At most so many.
    limit: Option<usize>,
}

/// Events in the order of the log.
#[derive(Debug, Serialize)]
pub(in crate::serve) struct Events {
    items: Vec<Line>,
    /// What to give as `after` for the next ones; none where these were the last there are now.
    next: Option<u64>,
}

async fn made(app: &App, principal: &Principal, id: &str) -> Result<DeployId, Problem> {
    match known(app, principal, id).await? {
        (id, Known { row: Some(_), .. }) => Ok(id),
        (id, _) => {
            Err(LogError::DeployUnknown { text: format!("{id}: it has been asked for, and not been begun") }.into())
        }
    }
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Asks(query): Asks<EventsQuery>,
) -> Result<Json<Events>, Problem> {
    let id = made(&app, &principal, &id).await?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let events = app.log.tail(id, query.after, limit).await?;
    let next = events.last().filter(|_| events.len() == limit).map(|event| event.position);
    Ok(Json(Events { items: events.into_iter().map(Line::of).collect(), next }))
}

/// Server-sent events. `Last-Event-ID`, or `after`, says where to go on.
pub(super) async fn live(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Asks(query): Asks<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = made(&app, &principal, &id).await?;
    let after = match headers.get("last-event-id") {
        None => query.after,
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Problem::new(Code::RequestMalformed, "Last-Event-ID is the id of an event that was sent here: a number")
        })?,
    };
    Ok(follow(app, id, after).await?.into_response())
}
