//! The page of one tenant in a deploy.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::command::offered_of_tenant;
use super::form::proof;
use super::frame::{Frame, answer};
use super::parts::Commands;
use super::text::moment;
use crate::audit::{StepAccount, TenantAccount, tenant_account};
use crate::base::{Code, DeployId, TenantId};
use crate::log::LogError;
use crate::saga::plan::UndoSource;
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{At, known};
use crate::serve::problem::{Problem, page_of};

#[derive(Template)]
#[template(path = "tenant.html")]
struct Page<'a> {
    frame: Frame,
    id: DeployId,
    fleet: String,
    tenant: String,
    of: TenantAccount,
    /// What went wrong last; in full where no step says so.
    problem: Option<(Code, &'static str, String, Option<String>)>,
    ready_at: Option<String>,
    lease: Option<(String, String, bool)>,
    steps: Vec<Step>,
    events: Vec<(String, String, String)>,
    commands: Commands<'a>,
}

struct Step {
    of: StepAccount,
    undo: &'static str,
    digest: Option<(String, String)>,
    elapsed: Option<String>,
    page: Option<String>,
}

/// `GET /deploys/{id}/tenants/{tenant}`.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At((id, tenant)): At<(String, String)>,
) -> Result<Response, Problem> {
    let (id, found) = known(&app, &principal, &id).await?;
    let unknown = || Problem::new(Code::UnknownTenant, format!("deploy {id} has no tenant {tenant:?}"));
    let name = TenantId::new(tenant.as_str()).map_err(|_| unknown())?;
    let row = match app.desk.tenant(id, &name).await {
        Ok(row) => row,
        Err(LogError::TenantUnknown { .. } | LogError::DeployUnknown { .. }) => return Err(unknown()),
        Err(error) => return Err(error.into()),
    };
    let open = found.row.is_some_and(|row| row.summary.outcome.is_none());
    let of = tenant_account(&*app.log, id, row).await?;
    let offered = if open { offered_of_tenant(&principal, of.status) } else { Vec::new() };
    let csrf = proof(&principal).unwrap_or_default();
    let events = of.events.iter().rev().map(|event| (moment(event.at), event.what.clone(), event.by.to_string()));
    let told = |text: &str| of.steps.iter().any(|step| step.failure.as_ref().is_some_and(|of| of.message == text));
    let page = Page {
        frame: Frame::new(format!("{tenant}: {}", of.status), Some(&principal)),
        id,
        fleet: found.fleet.name().to_owned(),
        problem: of.code.map(|code| (code, code.title(), page_of(code), of.message.clone().filter(|text| !told(text)))),
        ready_at: of.ready_at.map(moment),
        lease: of.lease.as_ref().map(|lease| (lease.owner.to_string(), moment(lease.until), lease.over)),
        steps: of.steps.iter().map(step).collect(),
        events: events.collect(),
        commands: Commands { id, csrf, offered, tenant: Some(&tenant) },
        tenant: tenant.clone(),
        of,
    };
    Ok(answer(&page))
}

fn step(of: &StepAccount) -> Step {
    let undo = match of.undo {
        UndoSource::NoEffect => "nothing to undo",
        UndoSource::Written => "written",
        UndoSource::Irreversible => "irreversible",
    };
    Step {
        undo,
        digest: of.digest.map(|digest| (digest.short(), digest.to_string())),
        elapsed: of.elapsed_ms.map(|ms| crate::base::span(std::time::Duration::from_millis(ms))),
        page: of.failure.as_ref().map(|failure| page_of(failure.code)),
        of: of.clone(),
    }
}
