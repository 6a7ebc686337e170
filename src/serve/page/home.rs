//! The first page: what goes on in the fleets, what waits, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::bar::Bar;
use super::frame::{Frame, answer};
use super::parts::{Mark, Refusal, asked_words, mark, refusal, settled_words};
use super::text::{moment, number};
use crate::audit::{actor_words, set_off_words, trigger_words};
use crate::base::limits::PAGE_DEPLOYS;
use crate::base::{Code, DeployId, Digest};
use crate::log::{DeployRow, LogError, ReportState, Request, RequestState};
use crate::saga::event::{DeployEvent, Event, StreamId, TenantOutcome};
use crate::saga::summary::TenantStatus;
use crate::serve::access::Principal;
use crate::serve::api::deploys::Standing;
use crate::serve::app::{App, Fleet};
use crate::serve::problem::{Problem, page_of};

#[derive(Template)]
#[template(path = "home.html")]
struct Page {
    frame: Frame,
    overview: String,
    digest: String,
}

#[derive(Template)]
#[template(path = "parts/overview.html")]
struct Overview {
    fleets: Vec<FleetSeen>,
}

struct FleetSeen {
    name: String,
    trouble: Option<(Code, String, String, String)>,
    requests: Vec<Waiting>,
    deploys: Vec<Brief>,
    reports: Vec<Failing>,
}

/// A request that is no deploy.
struct Waiting {
    id: DeployId,
    mark: Mark,
    what: String,
    by: String,
    at: String,
    words: String,
    refusal: Option<Refusal>,
}

/// A deploy in a list.
struct Brief {
    id: DeployId,
    mark: Mark,
    what: String,
    by: String,
    set_off: String,
    at: String,
    tenants: String,
    bar: Bar,
}

/// Somebody who could not be told.
struct Failing {
    deploy: DeployId,
    target: String,
    given_up: bool,
    error: String,
}

/// `GET /`.
pub(super) async fn home(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    let mut fleets = Vec::new();
    for fleet in app.fleets.values().filter(|fleet| principal.covers(fleet.name())) {
        fleets.push(seen(&app, fleet).await?);
    }
    let bad = |error: askama::Error| Problem::new(Code::Defect, format!("a page cannot be made: {error}"));
    let overview = Overview { fleets }.render().map_err(bad)?;
    let digest = Digest::of(overview.as_bytes()).short();
    Ok(answer(&Page { frame: Frame::new("Deploys", Some(&principal)), overview, digest }))
}

async fn seen(app: &App, fleet: &Fleet) -> Result<FleetSeen, LogError> {
    let name = fleet.name();
    let mut requests = Vec::new();
    for state in [RequestState::Queued, RequestState::Refused] {
        requests.extend(app.desk.requests(Some(name), state.into(), None, PAGE_DEPLOYS).await?);
    }
    let rows = app.log.deploys(Some(name), PAGE_DEPLOYS).await?;
    // What was refused before the last deploy began has been seen to.
    let newest = rows.first().map(|row| row.created_at);
    requests.retain(|of| of.state == RequestState::Queued || newest.is_none_or(|newest| newest < of.received_at));
    // One that has just begun may still be among those that wait.
    let begun: BTreeSet<DeployId> = rows.iter().map(|row| row.id).collect();
    requests.retain(|of| !begun.contains(&of.id));
    let (mut deploys, mut reports) = (Vec::new(), Vec::new());
    for row in &rows {
        deploys.push(brief(app, row).await?);
        reports.extend(failing(app, row.id).await?);
    }
    Ok(FleetSeen {
        name: name.to_owned(),
        trouble: fleet.trouble().map(|of| (of.code, page_of(of.code), of.message, moment(of.since))),
        requests: requests.iter().map(waiting).collect(),
        deploys,
        reports,
    })
}

fn waiting(request: &Request) -> Waiting {
    Waiting {
        id: request.id,
        mark: mark(Standing::of(None, Some(request)), false),
        what: asked_words(&request.asked.what),
        by: actor_words(&request.asked.actor),
        at: moment(request.received_at),
        words: settled_words(request.settled.as_ref()),
        refusal: refusal(request.settled.as_ref()),
    }
}

/// A deploy out of its own stream alone: the tenants are counted only where it has not ended, for its end says how many ended how.
async fn brief(app: &App, row: &DeployRow) -> Result<Brief, LogError> {
    let own = app.log.read(&StreamId::deploy(row.id)).await?;
    let mut counts: BTreeMap<TenantStatus, u64> = BTreeMap::new();
    let (mut what, mut by, mut set_off, mut tenants) = (String::new(), String::new(), String::new(), 0);
    for recorded in own {
        match recorded.event {
            Event::Deploy(DeployEvent::DeployCreated { release_name, trigger, actor, tenant_count, .. }) => {
                (what, by, tenants) = (trigger_words(&trigger, &release_name), actor_words(&actor), tenant_count);
                set_off = set_off_words(&trigger);
            }
            Event::Deploy(DeployEvent::DeployFinished { account, .. }) => {
                let status = |(outcome, count): (TenantOutcome, u64)| (TenantStatus::of(outcome), count);
                counts = account.into_iter().map(status).collect();
            }
            _ => {}
        }
    }
    let mut waits = false;
    if row.summary.outcome.is_none() {
        let census = app.log.census(row.id).await?;
        waits = !row.summary.paused && census.waits_for_human(row.summary.direction);
        counts = TenantStatus::ALL.iter().map(|status| (*status, census.count(*status))).collect();
    }
    Ok(Brief {
        id: row.id,
        mark: mark(Standing::of(Some(row), None), waits),
        what,
        by,
        set_off,
        at: moment(row.created_at),
        tenants: number(tenants),
        bar: Bar::of(counts),
    })
}

async fn failing(app: &App, deploy: DeployId) -> Result<Vec<Failing>, LogError> {
    let reports = app.desk.reports(deploy).await?.into_iter();
    let failing = reports.filter_map(|of| {
        let given_up = of.state == ReportState::GivenUp;
        let error = of.error.filter(|_| of.state != ReportState::Done)?;
        Some(Failing { deploy, target: of.target, given_up, error })
    });
    Ok(failing.collect())
}
