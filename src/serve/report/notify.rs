//! What the receivers of outgoing webhooks are told: Standard Webhooks 1.0, one for each moment.

use serde_json::{Map, Value, json};

use super::story::{Moment, Story, What};
use crate::log::Settled;

/// The name of what happened. Each is in [`crate::config::serve::NOTIFY_EVENTS`], by which the configuration is checked.
pub(super) const fn name(moment: &Moment) -> &'static str {
    match &moment.what {
        What::Asked => "request.queued",
        What::Settled(Settled::Refused { .. }) => "request.refused",
        What::Settled(Settled::NothingToDo { .. }) => "request.nothing_to_do",
        What::Settled(Settled::Same { .. }) => "request.same",
        What::Settled(Settled::Cancelled { .. } | Settled::Created) => "request.cancelled",
        What::Created => "deploy.created",
        What::Turned { .. } => "deploy.turned",
        What::Paused { .. } => "deploy.paused",
        What::Resumed { .. } => "deploy.resumed",
        What::Stuck { .. } => "deploy.stuck",
        What::Unstuck => "deploy.unstuck",
        What::Finished { .. } => "deploy.finished",
    }
}

/// Whether a receiver that has named these wants it.
pub(super) fn wanted(events: Option<&[String]>, name: &str) -> bool {
    let fits = |event: &String| match event.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => event == name,
    };
    events.is_none_or(|events| events.iter().any(fits))
}

/// The id under which it is sent, however often: a receiver that keeps the ids it has seen acts upon each moment once.
pub(super) fn id(story: &Story, moment: &Moment) -> String {
    format!("{}.{}", story.deploy, moment.place)
}

/// The body. `url` is where a person looks further.
pub(super) fn body(story: &Story, moment: &Moment, url: &str) -> Value {
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| drop(data.insert(key.to_owned(), value));
    put("deploy", json!(story.deploy));
    put("fleet", json!(story.fleet()));
    put("standing", json!(standing(moment)));
    put("url", json!(url));
    if let Some(begun) = &story.begun {
        put("release", json!(begun.release));
        put("workflow", json!(begun.workflow));
        put("tenants", json!(begun.tenants));
        put("changing", json!(begun.changing));
    }
    if let Some(request) = &story.request {
        put("asked", json!(request.asked));
    }
    match &moment.what {
        What::Asked | What::Created | What::Unstuck => {}
        What::Settled(settled) => put("settled", json!(settled)),
        What::Turned { why } => put("reason", json!(why)),
        What::Paused { by, reason } => {
            put("by", json!(by));
            put("reason", json!(reason));
        }
        What::Resumed { by, .. } => put("by", json!(by)),
        What::Stuck { tenant, reason, code } => {
            put("tenant", json!(tenant));
            put("reason", json!(reason));
            put("code", json!(code));
        }
        What::Finished { outcome, account } => {
            put("outcome", json!(outcome));
            put("account", json!(account));
        }
    }
    json!({ "type": name(moment), "timestamp": moment.at.to_string(), "data": data })
}

/// How the deploy stood right after it, in the words of `/v1/deploys`.
fn standing(moment: &Moment) -> Value {
    match &moment.what {
        What::Asked => json!("queued"),
        What::Settled(settled) => json!(settled.state()),
        What::Created => json!("under_way"),
        What::Turned { .. } => json!("unwinding"),
        What::Paused { .. } => json!("paused"),
        What::Stuck { .. } => json!("stuck"),
        What::Resumed { .. } | What::Unstuck => json!("resumed"),
        What::Finished { outcome, .. } => json!(outcome),
    }
}
