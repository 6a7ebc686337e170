//! The page of one deploy, and its parts.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::frame::{Frame, answer};
use super::parts::{Part, Seen, mark};
use super::tenants;
use crate::base::{Code, DeployId};
use crate::serve::access::Principal;
use crate::serve::api::deploys::{Standing, read};
use crate::serve::app::App;
use crate::serve::extract::{Asks, At, known};
use crate::serve::problem::Problem;

/// What of a deploy is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Tenants that stand so.
    state: Option<String>,
    /// Tenants in this cell, from 0.
    cell: Option<u64>,
    /// Tenants after this place in the deploy's order.
    after: Option<u64>,
    /// Events before this place in the log.
    before: Option<u64>,
    /// Digests of the parts that are there already.
    have: Option<String>,
    /// Parts that are not to be sent, with commas between them.
    without: Option<String>,
}

#[derive(Template)]
#[template(path = "deploy.html")]
struct Page {
    frame: Frame,
    id: DeployId,
    follow: Follow,
    parts: Vec<Part>,
    /// Whether the timeline shows what was, and is not to be replaced.
    paged: bool,
}

/// Parts to be put in the place of those that are there.
#[derive(Template)]
#[template(path = "fragments.html")]
struct Fragments {
    follow: Follow,
    parts: Vec<Part>,
}

/// How a page that is open goes on.
struct Follow {
    /// `events`: there are live events; `wait`: it has not begun; `no`: it is over.
    how: &'static str,
    /// The place in the log up to which it is shown, at least.
    position: u64,
}

impl Follow {
    fn of(standing: Standing, position: u64) -> Self {
        let how = match standing {
            Standing::Queued => "wait",
            Standing::UnderWay | Standing::Paused | Standing::Unwinding => "events",
            _ => "no",
        };
        Self { how, position }
    }
}

/// The place of a deploy's last event. Read before anything else is: what a page shows is never older than it says. Zero where that
/// cannot be read, which whatever is read next will say.
async fn place(app: &App, id: &str) -> u64 {
    match id.parse() {
        Ok(id) => app.log.end(id).await.unwrap_or_default(),
        Err(_) => 0,
    }
}

/// `GET /deploys/{id}`.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
    Asks(asked): Asks<Asked>,
) -> Result<Response, Problem> {
    let position = place(&app, &id).await;
    let (id, found) = known(&app, &principal, &id).await?;
    if asked.state.is_some() || asked.cell.is_some() {
        let row = found.row.ok_or_else(|| Problem::new(Code::NoSuchThing, "the deploy has no tenants yet"))?;
        return tenants::show(&app, &principal, &row, asked.state.as_deref(), asked.cell, asked.after).await;
    }
    let row = found.row.clone();
    let deploy = read(&app, id, found).await?;
    let follow = Follow::of(deploy.standing, position);
    let seen = Seen { app: &app, principal: &principal, row, deploy, before: asked.before };
    let title = format!("{}: {}", mark(seen.deploy.standing, seen.waits()).word, seen.deploy.fleet);
    let parts = seen.parts(&[]).await?;
    let frame = Frame::new(title, Some(&principal));
    Ok(answer(&Page { frame, id, follow, parts, paged: asked.before.is_some() }))
}

/// `GET /deploys/{id}/parts/{part}`: one part, or with `all` those that have changed.
pub(super) async fn part(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At((id, part)): At<(String, String)>,
    Asks(asked): Asks<Asked>,
) -> Result<Response, Problem> {
    let position = place(&app, &id).await;
    let (id, found) = known(&app, &principal, &id).await?;
    let row = found.row.clone();
    let deploy = read(&app, id, found).await?;
    let follow = Follow::of(deploy.standing, position);
    let seen = Seen { app: &app, principal: &principal, row, deploy, before: None };
    let mut parts = if part == "all" {
        let without: Vec<&str> = asked.without.iter().flat_map(|text| text.split(',')).collect();
        seen.parts(&without).await?
    } else {
        let found = seen.part(&part).await?;
        vec![found.ok_or_else(|| Problem::new(Code::NoSuchThing, format!("a page has no part {part:?}")))?]
    };
    if let Some(have) = &asked.have {
        parts.retain(|part| have.split(',').all(|digest| digest != part.digest));
    }
    Ok(answer(&Fragments { follow, parts }))
}
