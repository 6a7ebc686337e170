//! Tenants: of a deploy, one of them whole, and what is known of a fleet's.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cursor::{Limit, cursor, place};
use super::events::made;
use super::openapi::{Malformed, Missing, Unchanged, Unfit};
use super::tag::tagged;
use crate::audit::{TenantAccount, tenant_account};
use crate::base::{Code, DeployId, Digest, TenantId, Timestamp, WorkerId};
use crate::log::{LogError, TenantQuery, TenantRow};
use crate::saga::summary::{TenantStatus, TenantSummary};
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{Asks, At, fleet};
use crate::serve::problem::Problem;

/// Which tenants of a deploy.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct TenantsQuery {
    /// Only those that stand so.
    status: Option<TenantStatus>,
    /// Where to go on: the `next` of the page before.
    after: Option<String>,
    /// At most so many.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Limit,
}

/// A tenant of a deploy in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct TenantBrief {
    tenant: TenantId,
    /// Its place in the deploy's order, from 0.
    ordinal: u64,
    summary: TenantSummary,
    /// Who has it in hand, or had it last and did not give it back.
    owner: Option<WorkerId>,
}

impl From<TenantRow> for TenantBrief {
    fn from(row: TenantRow) -> Self {
        Self { tenant: row.tenant, ordinal: row.ordinal, summary: row.summary, owner: row.owner }
    }
}

/// Tenants of a deploy, in the order in which it takes them up.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct TenantsPage {
    items: Vec<TenantBrief>,
    /// What to give as `after` for the next page; none where this is the last.
    next: Option<String>,
}

const OF_DEPLOY: &str = "tenants of a deploy";
const OF_FLEET: &str = "tenants";

/// The tenants of a deploy
///
/// In the order in which the deploy takes them up. They are as many as they were when it was made; a tenant that changes its status
/// between two pages stays in its place.
#[utoipa::path(
    get, path = "/v1/deploys/{id}/tenants", tag = "deploys",
    params(("id" = DeployId, Path, description = "The deploy."), TenantsQuery),
    responses((status = 200, description = "A page of them.", body = TenantsPage), Malformed, Missing, Unfit),
)]
pub(super) async fn of_deploy(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Asks(query): Asks<TenantsQuery>,
) -> Result<Json<TenantsPage>, Problem> {
    let id = made(&app, &principal, &id).await?;
    let (after, limit) = (place(OF_DEPLOY, query.after.as_deref())?, query.limit.get());
    let query = TenantQuery { statuses: query.status.into_iter().collect(), after, limit: limit + 1 };
    let mut rows = app.log.tenants(id, &query).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| cursor(OF_DEPLOY, &row.ordinal));
    Ok(Json(TenantsPage { items: rows.into_iter().map(TenantBrief::from).collect(), next }))
}

/// One tenant of a deploy
///
/// Where each of its steps stands, with the proof of those that have succeeded, and everything that happened to it.
#[utoipa::path(
    get, path = "/v1/deploys/{id}/tenants/{tenant}", tag = "deploys",
    params(
        ("id" = DeployId, Path, description = "The deploy."),
        ("tenant" = TenantId, Path, description = "The tenant, percent-encoded."),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the client has.")
    ),
    responses((status = 200, description = "The tenant.", body = TenantAccount, headers(("ETag" = String))), Unchanged, Missing),
)]
pub(super) async fn of_deploy_one(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At((id, tenant)): At<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = made(&app, &principal, &id).await?;
    let unknown = || Problem::new(Code::UnknownTenant, format!("deploy {id} has no tenant {tenant:?}"));
    let name = TenantId::new(tenant.as_str()).map_err(|_| unknown())?;
    let row = match app.desk.tenant(id, &name).await {
        Ok(row) => row,
        Err(LogError::TenantUnknown { .. }) => return Err(unknown()),
        Err(error) => return Err(error.into()),
    };
    Ok(tagged(&headers, &tenant_account(&*app.log, id, row).await?))
}

/// Which tenants of a fleet.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct KnownQuery {
    /// The fleet; by default the server's own.
    fleet: Option<String>,
    /// Where to go on: the `next` of the page before.
    after: Option<String>,
    /// At most so many.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Limit,
}

/// What the log knows of a tenant across deploys.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct KnownTenant {
    tenant: TenantId,
    /// The release that it is on; none where only its own ledger knows.
    release: Option<Digest>,
    /// When a deploy last wrote about it.
    seen_at: Timestamp,
}

/// Tenants of a fleet, by id.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct KnownTenants {
    items: Vec<KnownTenant>,
    /// What to give as `after` for the next page; none where this is the last.
    next: Option<String>,
}

/// The tenants of a fleet, as far as the log knows them
///
/// Those that a deploy has had, with the release that each is on. The fleet's own list is not asked: it may be a query on another
/// database.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "fleets", params(KnownQuery),
    responses((status = 200, description = "A page of them.", body = KnownTenants), Malformed, Missing, Unfit),
)]
pub(super) async fn of_fleet(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Asks(query): Asks<KnownQuery>,
) -> Result<Json<KnownTenants>, Problem> {
    let fleet = fleet(&app, &principal, query.fleet.as_deref())?;
    let (after, limit) = (place::<TenantId>(OF_FLEET, query.after.as_deref())?, query.limit.get());
    let mut found = app.desk.known_tenants(fleet.name(), after.as_ref(), limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(tenant, _)| cursor(OF_FLEET, tenant));
    let items = found.into_iter();
    let items = items.map(|(tenant, of)| KnownTenant { tenant, release: of.release, seen_at: of.seen_at });
    Ok(Json(KnownTenants { items: items.collect(), next }))
}
