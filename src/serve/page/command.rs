//! What an operator may say to a deploy from its page: the same as over the API, by a form that has to be meant.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::form::{Fields, ours};
use super::frame::see_other;
use super::parts::Seen;
use super::text::in_url;
use crate::base::{Code, TenantId};
use crate::log::Role;
use crate::saga::event::{DeployOutcome, Direction};
use crate::saga::summary::TenantStatus;
use crate::serve::access::Principal;
use crate::serve::api::deploys::Standing;
use crate::serve::api::steer::{self, As, Cancel, Reason, Resolve, Retry, Rollback, roll_back};
use crate::serve::app::App;
use crate::serve::extract::{At, Body};
use crate::serve::problem::Problem;

/// A command with its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command {
    /// The last part of its path.
    pub(super) name: &'static str,
    /// On its button.
    pub(super) title: &'static str,
    /// What it does, and what it does not.
    pub(super) explains: &'static str,
    /// What whoever sends the form says.
    pub(super) meant: &'static str,
    /// Whether it says why.
    pub(super) reason: bool,
    /// Whether it says what is true of a step.
    pub(super) decides: bool,
    /// Whether it takes something back.
    pub(super) grave: bool,
}

const PAUSE: Command = Command {
    name: "pause",
    title: "Pause",
    explains: "Nothing more starts on any tenant, in either direction. What is running comes to its end first.",
    meant: "Pause this deploy",
    reason: true,
    decides: false,
    grave: false,
};

const RESUME: Command = Command {
    name: "resume",
    title: "Resume",
    explains: "The deploy goes on from where it stands, in the direction in which it was going.",
    meant: "Let this deploy go on",
    reason: false,
    decides: false,
    grave: false,
};

const UNWIND: Command = Command {
    name: "unwind",
    title: "Unwind",
    explains: "Everything that this deploy did is undone, on every tenant where it was done. It cannot be turned forward again.",
    meant: "Undo what this deploy did, on all tenants",
    reason: true,
    decides: false,
    grave: true,
};

const CANCEL: Command = Command {
    name: "cancel",
    title: "Cancel",
    explains: "The request is called off. If the deploy begins at this very moment, it is unwound before anything starts.",
    meant: "Call this request off",
    reason: true,
    decides: false,
    grave: true,
};

const RETRY: Command = Command {
    name: "retry",
    title: "Retry",
    explains: "What the stuck step left is looked at again, and what is not done yet is tried again. Mend the cause first.",
    meant: "The cause is mended: try again",
    reason: true,
    decides: false,
    grave: false,
};

const RESOLVE: Command = Command {
    name: "resolve",
    title: "Resolve",
    explains: "You have looked at the database and know what is true of the stuck step. Windlass takes your word for it and does not look.",
    meant: "I have looked, and this is true",
    reason: true,
    decides: true,
    grave: true,
};

const ROLLBACK: Command = Command {
    name: "rollback",
    title: "Roll back",
    explains: "A new deploy undoes what this one did, tenant by tenant. It is refused where a later deploy stands in the way.",
    meant: "Undo this deploy with a new one",
    reason: false,
    decides: false,
    grave: true,
};

/// The commands that fit how a deploy stands, for whoever may say them.
pub(super) fn offered(seen: &Seen<'_>) -> Vec<Command> {
    if seen.principal.role < Role::Operator {
        return Vec::new();
    }
    let Some(row) = &seen.row else {
        return if seen.deploy.standing == Standing::Queued { vec![CANCEL] } else { Vec::new() };
    };
    let summary = &row.summary;
    let stuck = seen.deploy.account.as_ref().is_some_and(|of| of.census.contains_key(&TenantStatus::Stuck));
    match summary.outcome {
        Some(DeployOutcome::Unwound | DeployOutcome::EndedByHand) => Vec::new(),
        Some(DeployOutcome::Completed | DeployOutcome::CompletedWithQuarantine) => vec![ROLLBACK],
        None => {
            let mut commands = if stuck { vec![RETRY, RESOLVE] } else { Vec::new() };
            commands.push(if summary.paused { RESUME } else { PAUSE });
            if summary.direction == Direction::Forward {
                commands.push(UNWIND);
            }
            commands
        }
    }
}

/// The commands that fit one tenant.
pub(super) fn offered_of_tenant(principal: &Principal, status: TenantStatus) -> Vec<Command> {
    let may = principal.role >= Role::Operator && status == TenantStatus::Stuck;
    if may { vec![RETRY, RESOLVE] } else { Vec::new() }
}

/// `POST /deploys/{id}/{command}`.
pub(super) async fn command(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At((id, command)): At<(String, String)>,
    fields: Fields,
) -> Result<Response, Problem> {
    ours(&principal, &fields)?;
    if fields.get("confirm") != Some("yes") {
        let detail = format!("{command} was not said to be meant, and nothing was done");
        return Err(Problem::new(Code::BadArgument, detail).next("tick the box above the button"));
    }
    let tenant = match fields.get("tenant") {
        None => None,
        Some(text) => Some(TenantId::new(text).map_err(|error| Problem::new(Code::BadArgument, error.to_string()))?),
    };
    let path = tenant.as_ref().map_or(String::new(), |tenant| format!("/tenants/{}", in_url(tenant.as_str())));
    let back = format!("/deploys/{}{path}", in_url(&id));
    let reason = fields.text("reason");
    let (app_of, who, at) = (State(Arc::clone(&app)), Extension(principal.clone()), At(id.clone()));
    match command.as_str() {
        "pause" => steer::pause(app_of, who, at, Body(Reason { reason })).await.map(drop)?,
        "resume" => steer::resume(app_of, who, at).await.map(drop)?,
        "unwind" => steer::unwind(app_of, who, at, Body(Reason { reason })).await.map(drop)?,
        "cancel" => steer::cancel(app_of, who, at, Body(Cancel { reason, only_queued: false })).await.map(drop)?,
        "retry" => steer::retry(app_of, who, at, Body(Retry { tenant, reason })).await.map(drop)?,
        "resolve" => {
            let what = match fields.get("as") {
                Some("undone") => As::Undone,
                Some("applied") => As::Applied,
                _ => return Err(Problem::new(Code::BadArgument, "say whether the step is in effect or not")),
            };
            let reason = reason.ok_or_else(|| Problem::new(Code::BadArgument, "say how you know: the log keeps it"))?;
            steer::resolve(app_of, who, at, Body(Resolve { tenant, what, reason })).await.map(drop)?;
        }
        "rollback" => {
            let taken = roll_back(&app, &principal, &id, Rollback::default(), &HeaderMap::new()).await?;
            return Ok(see_other(&format!("/deploys/{}", taken.deploy())));
        }
        _ => return Err(Problem::new(Code::NoSuchThing, format!("there is no command {command:?}"))),
    }
    Ok(see_other(&back))
}
