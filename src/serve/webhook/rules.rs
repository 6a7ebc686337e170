//! What a delivery means: the first rule that matches says which release is wanted, and where.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report::{ReportTo, context};
use super::template::{fill, look};
use super::{Delivery, Rejected};
use crate::base::Revision;
use crate::config::serve::{Accepted, Condition, Rule, Template, Webhook};

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The fleet; none: the project's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<String>,
    /// The release that is wanted.
    pub revision: Revision,
    /// The environment that it is meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The workflow; none: the project's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Where the sender wants the result, where the webhook reports back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportTo>,
    /// Why the sender will not be told, where the webhook reports back and this delivery names nothing to report upon. For the
    /// answer: it must not go unsaid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreported: Option<String>,
}

/// Finds the first rule that matches and fills its templates.
///
/// # Errors
/// 422: no rule matches (WL0804), or the payload does not hold what the rule asks for (WL0805).
pub fn decide(webhook: &Webhook, delivery: &Delivery) -> Result<Order, Rejected> {
    let mut numbered = webhook.rules.iter().zip(1..);
    let matching = numbered.find(|(rule, _)| matches(rule, delivery));
    let Some((rule, number)) = matching else { return Err(unmapped(webhook, delivery)) };
    let unfit = |key, reason| Rejected::Unfit { webhook: webhook.name.clone(), rule: number, key, reason };
    let filled = |key, template: &Template| fill(template, &delivery.payload).map_err(|reason| unfit(key, reason));
    let maybe = |key, template: &Option<Template>| template.as_ref().map(|template| filled(key, template)).transpose();
    let revision = Revision::new(filled("revision", &rule.revision)?);
    let revision = revision.map_err(|error| unfit("revision", error.to_string()))?;
    let (fleet, environment) = (maybe("fleet", &rule.fleet)?, maybe("environment", &rule.environment)?);
    let workflow = maybe("workflow", &rule.workflow)?;
    let (report, unreported) = match &webhook.report {
        None => (None, None),
        Some(_) => match ReportTo::of(delivery, &revision, &context(fleet.as_deref(), environment.as_deref())) {
            Ok(report) => (Some(report), None),
            Err(reason) => (None, Some(reason)),
        },
    };
    Ok(Order { fleet, revision, environment, workflow, report, unreported })
}

fn matches(rule: &Rule, delivery: &Delivery) -> bool {
    rule.event == delivery.event && rule.when.iter().all(|condition| holds(condition, &delivery.payload))
}

fn holds(condition: &Condition, payload: &Value) -> bool {
    look(payload, condition.field.names())
        .is_some_and(|value| condition.accepts.iter().any(|accepted| accepts(accepted, value)))
}

fn accepts(accepted: &Accepted, value: &Value) -> bool {
    match (accepted, value) {
        (Accepted::Text(text), Value::String(value)) => text == value,
        (Accepted::Prefix(prefix), Value::String(value)) => value.starts_with(prefix),
        (Accepted::Number(number), Value::Number(value)) => value.as_i64() == Some(*number),
        (Accepted::Flag(flag), Value::Bool(value)) => flag == value,
        _ => false,
    }
}

/// Characters of an event's name that a message repeats.
const EVENT_CHARS_SHOWN: usize = 60;

fn unmapped(webhook: &Webhook, delivery: &Delivery) -> Rejected {
    let event: String = delivery.event.chars().take(EVENT_CHARS_SHOWN).collect();
    let about: Vec<&Rule> = webhook.rules.iter().filter(|rule| rule.event == delivery.event).collect();
    let looked_at = if about.is_empty() {
        let events: BTreeSet<&str> = webhook.rules.iter().map(|rule| rule.event.as_str()).collect();
        format!("its event is {event:?}, and there are rules about {}", listed(&events))
    } else {
        let fields: BTreeSet<&str> =
            about.iter().flat_map(|rule| &rule.when).map(|condition| condition.field.as_str()).collect();
        format!(
            "its event is {event:?}, and one of these fields is not as the rules about it want: {}",
            listed(&fields)
        )
    };
    Rejected::Unmapped { webhook: webhook.name.clone(), looked_at }
}

fn listed(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}
