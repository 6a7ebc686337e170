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
/// Without a full stop, which parts it from what is signed with it.
pub(super) fn id(story: &Story, moment: &Moment) -> String {
    format!("{}_{}", story.deploy, moment.place)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::story::tests::eventful;
    use super::*;
    use crate::config::serve::NOTIFY_EVENTS;

    #[test]
    fn every_moment_has_a_name_that_the_configuration_knows() {
        let story = eventful();
        let mut names: BTreeSet<&str> = story.moments.iter().map(name).collect();
        let settled = [
            json!({ "state": "refused", "code": "WL0102", "message": "" }),
            json!({ "state": "nothing_to_do", "tenants": 1 }),
            json!({ "state": "same", "deploy": story.deploy }),
            json!({ "state": "cancelled", "actor": { "name": "", "host": "" }, "reason": "" }),
        ];
        let of = |what| Moment { place: 1, at: crate::base::Timestamp(0), what };
        names.insert(name(&of(What::Asked)));
        for settled in settled {
            names.insert(name(&of(What::Settled(serde_json::from_value(settled).unwrap()))));
        }
        assert_eq!(names, NOTIFY_EVENTS.into_iter().collect());
    }

    #[test]
    fn a_receiver_gets_what_it_named() {
        let events = ["deploy.*".to_owned(), "request.refused".to_owned()];
        for (name, is) in [("deploy.finished", true), ("request.refused", true), ("request.queued", false)] {
            assert_eq!(wanted(Some(&events), name), is, "{name}");
            assert!(wanted(None, name));
        }
    }

    #[test]
    fn the_same_moment_has_the_same_id_and_body_whenever_it_is_told() {
        let (first, again) = (eventful(), eventful());
        for (one, other) in first.moments.iter().zip(&again.moments) {
            assert_eq!((id(&first, one), body(&first, one, "u")), (id(&again, other), body(&again, other, "u")));
        }
        let ids: BTreeSet<String> = first.moments.iter().map(|moment| id(&first, moment)).collect();
        assert_eq!(ids.len(), first.moments.len());
        assert!(ids.iter().all(|id| !id.contains('.')));
    }
}
