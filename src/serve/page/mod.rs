//! The page: what people look at, and where operators steer.
//!
//! Made here, whole, and readable without a script. Where there are scripts, the parts of a deploy's page are fetched again when something
//! has happened, which the live events tell. Nothing is loaded from elsewhere.

mod assets;
mod bar;
mod cells;
mod command;
mod deploy;
mod form;
mod frame;
mod home;
mod login;
mod parts;
mod tenant;
mod tenants;
mod text;
mod waves;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(super) use self::frame::problem_page;
use super::app::App;

/// The routes of the page.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(home::home))
        .route("/login", get(login::show).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/assets/{name}", get(assets::asset))
        .route("/deploys/{id}", get(deploy::show))
        .route("/deploys/{id}/{command}", post(command::command))
        .route("/deploys/{id}/parts/{part}", get(deploy::part))
        .route("/deploys/{id}/tenants/{tenant}", get(tenant::show))
}
