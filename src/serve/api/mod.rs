//! The API under `/v1`.
#![allow(
    unused_qualifications,
    reason = "what utoipa makes of a handler names the types of its query by their whole path"
)]

mod cursor;
pub(super) mod deploys;
mod events;
mod export;
mod list;
mod openapi;
mod releases;
mod server;
pub(super) mod steer;
mod tag;
mod tenants;
mod tokens;
mod workflows;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

pub(super) use self::deploys::accepted_but;
pub use self::openapi::document;
use super::app::App;

/// The routes under `/v1`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/server", get(server::server))
        .route("/v1/openapi.json", get(openapi::show))
        .route("/v1/deploys", get(list::list).post(deploys::create))
        .route("/v1/deploys/{id}", get(deploys::show))
        .route("/v1/deploys/{id}/events", get(events::page))
        .route("/v1/deploys/{id}/live", get(events::live))
        .route("/v1/deploys/{id}/tenants", get(tenants::of_deploy))
        .route("/v1/deploys/{id}/tenants/{tenant}", get(tenants::of_deploy_one))
        .route("/v1/deploys/{id}/pause", post(steer::pause))
        .route("/v1/deploys/{id}/resume", post(steer::resume))
        .route("/v1/deploys/{id}/unwind", post(steer::unwind))
        .route("/v1/deploys/{id}/cancel", post(steer::cancel))
        .route("/v1/deploys/{id}/retry", post(steer::retry))
        .route("/v1/deploys/{id}/resolve", post(steer::resolve))
        .route("/v1/deploys/{id}/rollback", post(steer::rollback))
        .route("/v1/tenants", get(tenants::of_fleet))
        .route("/v1/releases", get(releases::list))
        .route("/v1/releases/{digest}", get(releases::show).put(releases::push))
        .route("/v1/workflows", get(workflows::list))
        .route("/v1/workflows/{name}", get(workflows::show))
        .route("/v1/audit/export", get(export::export))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{id}", delete(tokens::revoke))
}
