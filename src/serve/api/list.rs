//! The list of deploys: those that are, and those that were asked for.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cursor::{Limit, cursor, place};
use super::deploys::Standing;
use super::openapi::{Malformed, Missing, Unfit};
use crate::base::limits::{LOOKED_THROUGH_MAX, PAGE_MAX};
use crate::base::{DeployId, Timestamp};
use crate::log::Listed;
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{Asks, fleet};
use crate::serve::problem::Problem;

const LIST: &str = "deploys";

/// Which deploys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct ListQuery {
    /// The fleet; by default the server's own.
    fleet: Option<String>,
    /// Only those that stand so.
    standing: Option<Standing>,
    /// Where to go on: the `next` of the page before.
    after: Option<String>,
    /// At most so many.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Limit,
}

/// A deploy in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Brief {
    id: DeployId,
    fleet: String,
    standing: Standing,
    /// When it was made; when it was asked for, as long as it is not.
    created_at: Timestamp,
}

impl Brief {
    fn of(listed: &Listed, fleet: &str) -> Self {
        let standing = Standing::of(listed.row.as_ref(), listed.request.as_ref());
        let made = listed.row.as_ref().map(|row| row.created_at);
        let asked = listed.request.as_ref().map(|request| request.received_at);
        let created_at = made.or(asked).unwrap_or(Timestamp(0));
        Self { id: listed.id, fleet: fleet.to_owned(), standing, created_at }
    }
}

/// Deploys, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Deploys {
    items: Vec<Brief>,
    /// What to give as `after` for the next page; none where this is the last.
    next: Option<String>,
}

/// The deploys of a fleet
///
/// Those that are, and those that were asked for, the newest first by id. Whoever goes through all pages gets each that was there when
/// they began, once, whatever is begun meanwhile. Where only some are wanted, a page may be short, or empty, and not be the last.
#[utoipa::path(
    get, path = "/v1/deploys", tag = "deploys", params(ListQuery),
    responses((status = 200, description = "A page of them.", body = Deploys), Malformed, Missing, Unfit),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Asks(query): Asks<ListQuery>,
) -> Result<Json<Deploys>, Problem> {
    let fleet = fleet(&app, &principal, query.fleet.as_deref())?.name();
    let limit = query.limit.get();
    let mut before: Option<DeployId> = place(LIST, query.after.as_deref())?;
    let mut items = Vec::new();
    let at_a_time = if query.standing.is_some() { PAGE_MAX } else { limit + 1 };
    let mut looked_through = 0;
    while looked_through < LOOKED_THROUGH_MAX {
        let rows = app.desk.listed(fleet, before, at_a_time).await?;
        for row in &rows {
            let brief = Brief::of(row, fleet);
            if query.standing.is_none_or(|standing| standing == brief.standing) {
                if items.len() == limit {
                    return Ok(Json(Deploys { items, next: before.map(|id| cursor(LIST, &id)) }));
                }
                items.push(brief);
            }
            before = Some(row.id);
        }
        if rows.len() < at_a_time {
            return Ok(Json(Deploys { items, next: None }));
        }
        looked_through += rows.len();
    }
    Ok(Json(Deploys { items, next: before.map(|id| cursor(LIST, &id)) }))
}
