//! The server itself.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::{LogId, Timestamp};
use crate::log::Role;
use crate::serve::access::Principal;
use crate::serve::app::{App, Trouble};

/// The server, and what whoever asks may do with it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Server {
    version: &'static str,
    log: LogId,
    started_at: Timestamp,
    stopping: bool,
    fleets: Vec<FleetBrief>,
    you: You,
}

#[derive(Debug, Serialize, ToSchema)]
struct FleetBrief {
    name: String,
    home: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<Trouble>,
}

#[derive(Debug, Serialize, ToSchema)]
struct You {
    name: String,
    role: Role,
}

/// The server
///
/// Its version, its fleets, and what whoever asks may do with them.
#[utoipa::path(get, path = "/v1/server", tag = "server", responses((status = 200, description = "The server.", body = Server)))]
pub(super) async fn server(State(app): State<Arc<App>>, Extension(principal): Extension<Principal>) -> Json<Server> {
    let fleets = app.fleets.values().filter(|fleet| principal.covers(fleet.name()));
    let fleets = fleets.map(|fleet| FleetBrief {
        name: fleet.name().to_owned(),
        home: fleet.name() == app.home,
        trouble: fleet.trouble(),
    });
    Json(Server {
        version: env!("CARGO_PKG_VERSION"),
        log: app.log.id(),
        started_at: app.started_at,
        stopping: app.stopping(),
        fleets: fleets.collect(),
        you: You { name: principal.name, role: principal.role },
    })
}
