//! A list of a deploy's tenants: those in a state, or those in a cell.

use askama::Template;
use axum::response::Response;

use super::cells::per_cell;
use super::frame::{Frame, answer, see_other};
use super::text::{in_url, number};
use crate::base::limits::PAGE_DEFAULT;
use crate::base::{Code, DeployId};
use crate::log::{DeployRow, TenantQuery, TenantRow};
use crate::saga::summary::TenantStatus;
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::problem::{Problem, page_of};

#[derive(Template)]
#[template(path = "tenants.html")]
struct Page {
    frame: Frame,
    id: DeployId,
    fleet: String,
    title: String,
    rows: Vec<Row>,
    /// The query of the next page.
    next: Option<String>,
}

struct Row {
    tenant: String,
    path: String,
    status: TenantStatus,
    step: String,
    code: Option<(Code, String)>,
    message: String,
}

/// Which tenants a list holds.
struct Which {
    query: TenantQuery,
    /// The place of the first one that is not in it any more.
    end: Option<u64>,
    title: String,
    /// The query that names them.
    name: String,
}

/// `GET /deploys/{id}?state=…` and `?cell=…`.
pub(super) async fn show(
    app: &App,
    principal: &Principal,
    deploy: &DeployRow,
    state: Option<&str>,
    cell: Option<u64>,
    after: Option<u64>,
) -> Result<Response, Problem> {
    let id = deploy.id;
    let census = app.log.census(id).await?;
    let per_cell = per_cell(census.total());
    let which = match (state, cell) {
        (Some(word), _) => {
            let status = TenantStatus::parse(word).ok_or_else(|| {
                let words: Vec<&str> = TenantStatus::ALL.iter().map(|status| status.as_str()).collect();
                Problem::new(Code::BadArgument, format!("no tenant is {word:?}: they are {}", words.join(", ")))
            })?;
            let title = format!("{} {status}", number(census.count(status)));
            let query = TenantQuery { statuses: vec![status], after, limit: PAGE_DEFAULT + 1 };
            Which { query, end: None, title, name: format!("state={status}") }
        }
        (None, cell) => {
            let cell = cell.unwrap_or_default();
            let first = cell.saturating_mul(per_cell);
            let end = first.saturating_add(per_cell);
            let title = format!("Tenants {} to {}", number(first + 1), number(end.min(census.total())));
            let after = after.or(first.checked_sub(1));
            let query = TenantQuery { statuses: Vec::new(), after, limit: PAGE_DEFAULT + 1 };
            Which { query, end: Some(end), title, name: format!("cell={cell}") }
        }
    };
    let mut rows = app.log.tenants(id, &which.query).await?;
    rows.retain(|row| which.end.is_none_or(|end| row.ordinal < end));
    if per_cell == 1 && cell.is_some() && state.is_none() {
        let row = rows.first().ok_or_else(|| Problem::new(Code::NoSuchThing, "the deploy has no such tenant"))?;
        return Ok(see_other(&format!("/deploys/{id}/tenants/{}", in_url(row.tenant.as_str()))));
    }
    let more = rows.len() > PAGE_DEFAULT;
    rows.truncate(PAGE_DEFAULT);
    let next = rows.last().filter(|_| more).map(|last| format!("{}&after={}", which.name, last.ordinal));
    let frame = Frame::new(format!("{}: {}", which.title, deploy.fleet), Some(principal));
    let rows = rows.into_iter().map(row).collect();
    Ok(answer(&Page { frame, id, fleet: deploy.fleet.clone(), title: which.title, rows, next }))
}

fn row(row: TenantRow) -> Row {
    let TenantRow { tenant, summary, .. } = row;
    Row {
        path: in_url(tenant.as_str()),
        tenant: tenant.to_string(),
        status: summary.status,
        step: summary.step.map(|step| step.to_string()).unwrap_or_default(),
        code: summary.code.map(|code| (code, page_of(code))),
        message: summary.message.unwrap_or_default(),
    }
}
