//! Is it there, and can it work?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::problem::Problem;
use crate::base::Code;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
}

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, description = "It does.", body = Health)))]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "alive" })
}

/// Whether requests are to be sent here
///
/// The log can be read, and the server is not about to end.
#[utoipa::path(get, path = "/readyz", tag = "server", responses((status = 200, description = "They are.", body = Health)))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.stopping() {
        let problem = Problem::new(Code::LogUnavailable, "the server is about to end");
        return problem.with_status(StatusCode::SERVICE_UNAVAILABLE).into_response();
    }
    match app.log.deploys(Some(&app.home), 1).await {
        Ok(_) => Json(Health { status: "ready" }).into_response(),
        Err(error) => Problem::of(&error).with_status(StatusCode::SERVICE_UNAVAILABLE).into_response(),
    }
}
