//! The API under `/v1`.

pub(super) mod deploys;
mod events;
mod server;
pub(super) mod steer;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(super) use self::deploys::accepted;
use super::app::App;

/// The routes under `/v1`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/server", get(server::server))
        .route("/v1/deploys", get(deploys::list).post(deploys::create))
        .route("/v1/deploys/{id}", get(deploys::show))
        .route("/v1/deploys/{id}/events", get(events::page))
        .route("/v1/deploys/{id}/live", get(events::live))
        .route("/v1/deploys/{id}/pause", post(steer::pause))
        .route("/v1/deploys/{id}/resume", post(steer::resume))
        .route("/v1/deploys/{id}/unwind", post(steer::unwind))
        .route("/v1/deploys/{id}/cancel", post(steer::cancel))
        .route("/v1/deploys/{id}/retry", post(steer::retry))
        .route("/v1/deploys/{id}/resolve", post(steer::resolve))
        .route("/v1/deploys/{id}/rollback", post(steer::rollback))
}
