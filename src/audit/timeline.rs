//! What happened, in the order in which the log took it down.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::{DeployId, TenantId, Timestamp, WorkerId, count};
use crate::log::{Log, LogError, TailEvent};
use crate::saga::deploy::Pause;
use crate::saga::event::{Actor, Cause, DeployEvent, Event, Found, Half, Overrides, Resolution, TenantEvent, Trigger};
use crate::saga::failure::Retry;

/// Events read at a time.
pub(super) const PAGE: usize = 1_000;

/// One event, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// Its place in the log as a whole.
    pub position: u64,
    /// When it was written.
    pub at: Timestamp,
    /// By which worker.
    pub by: WorkerId,
    /// Whose stream; none for the deploy's own.
    pub tenant: Option<TenantId>,
    /// What happened, in words.
    pub what: String,
    /// What happened, as stored.
    pub event: Event,
}

/// The events of a deploy, or of one tenant in it, from the first to the last.
pub async fn timeline(log: &dyn Log, deploy: DeployId, tenant: Option<&TenantId>) -> Result<Vec<Line>, LogError> {
    let mut lines = Vec::new();
    let mut after = 0;
    loop {
        let page = log.tail(deploy, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(lines) };
        after = last.position;
        let wanted = |event: &TailEvent| tenant.is_none() || event.stream.tenant.as_ref() == tenant;
        lines.extend(page.into_iter().filter(wanted).map(Line::of));
    }
}

impl Line {
    /// Puts an event into words.
    #[must_use]
    pub fn of(event: TailEvent) -> Self {
        let what = what(&event.recorded.event);
        Self {
            position: event.position,
            at: event.recorded.at,
            by: event.recorded.by,
            tenant: event.stream.tenant,
            what,
            event: event.recorded.event,
        }
    }
}

/// An event in words.
pub(super) fn what(event: &Event) -> String {
    match event {
        Event::Deploy(of) => deploy_words(of),
        Event::Tenant(of) => tenant_words(of),
    }
}

/// Somebody, in a word.
#[must_use]
pub fn actor_words(of: &Actor) -> String {
    format!("{}@{}", of.name, of.host)
}

/// Why something turned, in words.
#[must_use]
pub fn cause_words(cause: &Cause) -> String {
    match cause {
        Cause::TenantFailed { tenant, failure, .. } => {
            format!("tenant {tenant}: {} [{}]", failure.message, failure.code)
        }
        Cause::DeployTurned => "the deploy has turned".to_owned(),
        Cause::Operator { actor: who, reason } => format!("{} said so: {reason}", actor_words(who)),
    }
}

/// What a failure says of the statements that took effect before it, in words; nothing where there are none.
#[must_use]
pub fn part_words(in_effect: u32) -> String {
    match in_effect {
        0 => String::new(),
        part => format!(", {} took effect", first_statements(part)),
    }
}

fn deploy_words(event: &DeployEvent) -> String {
    match event {
        DeployEvent::DeployCreated {
            release_name,
            workflow_name,
            tenant_count,
            changing,
            trigger,
            actor: who,
            overrides,
            ..
        } => {
            let (what, by) = (trigger_words(trigger, release_name), by_words(trigger));
            let who = format!("{}{}{by}", actor_words(who), if by.is_empty() { "" } else { ", set off " });
            let answered = overrides.iter().map(|of| format!("; {}", overrides_words(of))).collect::<Vec<_>>().concat();
            format!(
                "created by {who}: {what}, workflow {workflow_name}, {}, {changing} to change{answered}",
                count(*tenant_count, "tenant")
            )
        }
        DeployEvent::StageEntered { stage } => format!("stage {} entered", stage + 1),
        DeployEvent::WaveOpened { stage, wave } => format!("wave {} of stage {} opened", wave + 1, stage + 1),
        DeployEvent::DirectionSet { direction, cause } => {
            format!("direction set to {}: {}", word(direction), cause_words(cause))
        }
        DeployEvent::DeployFinished { outcome, account } => {
            let counts: Vec<String> = account.iter().map(|(end, count)| format!("{count} {}", word(end))).collect();
            format!("finished: {} ({})", word(outcome), counts.join(", "))
        }
        DeployEvent::DeployResumed { actor: who } => format!("resumed by {}", actor_words(who)),
        DeployEvent::DeployPaused { actor: who, reason } => format!("paused by {}: {reason}", actor_words(who)),
        DeployEvent::Sealed { root, signature } => {
            let signed = signature.as_ref().map(|by| format!(", signed by {}", by.key)).unwrap_or_default();
            format!("sealed under {root}{signed}")
        }
    }
}

/// What the deploy is to bring about.
#[must_use]
pub fn trigger_words(trigger: &Trigger, release: &str) -> String {
    match trigger {
        Trigger::Rollback { of } => format!("rollback of deploy {of}"),
        Trigger::Command | Trigger::Webhook { .. } | Trigger::Api { .. } => format!("release {release}"),
    }
}

/// By what it was set off, in words; empty where the trigger does not say.
#[must_use]
pub fn set_off_words(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Command => "by a command".to_owned(),
        Trigger::Rollback { .. } => String::new(),
        Trigger::Webhook { .. } | Trigger::Api { .. } => by_words(trigger),
    }
}

/// By what it was set off, where that was not a command: empty there.
pub(super) fn by_words(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Command | Trigger::Rollback { .. } => String::new(),
        Trigger::Webhook { webhook, sender, delivery, event, revision, environment } => {
            let to = environment.as_ref().map(|environment| format!(" to {environment}")).unwrap_or_default();
            format!("by {event} of webhook {webhook} ({sender}, delivery {delivery}) for revision {revision}{to}")
        }
        Trigger::Api { revision: Some(revision) } => format!("over the API for revision {revision}"),
        Trigger::Api { revision: None } => "over the API".to_owned(),
    }
}

/// Who paused a deploy, and why.
#[must_use]
pub fn pause_words(pause: &Pause) -> String {
    format!("by {}: {}", actor_words(&pause.actor), pause.reason)
}

/// What the actor answers for.
pub(super) fn overrides_words(overrides: &Overrides) -> String {
    let disowned = overrides.disowned.iter().map(|deploy| format!("deploy {deploy} disowned"));
    let anew = overrides.new_databases.iter().map(|tenant| format!("the database of {tenant} said to be made anew"));
    disowned.chain(anew).collect::<Vec<_>>().join(", ")
}

fn tenant_words(event: &TenantEvent) -> String {
    let again = |retry: &Retry| match retry {
        Retry::No => String::new(),
        Retry::At(at) => format!(", to be tried again at {at}"),
    };
    match event {
        TenantEvent::TenantPlanned { plan, .. } => format!("planned ({})", plan.short()),
        TenantEvent::StepStarted { step, attempt } => format!("{step} started, try {attempt}"),
        TenantEvent::StepProbed { step, half, found } => {
            let which = match half {
                Half::Act => "",
                Half::Undo => "the undo of ",
            };
            let what = match found {
                Found::Applied => "it took effect".to_owned(),
                Found::NotApplied => "it did not take effect".to_owned(),
                Found::Partial { statements } => format!("{} took effect", first_statements(*statements)),
                Found::Unknown { failure, retry } => format!("not known: {}{}", failure.message, again(retry)),
            };
            format!("looked for {which}{step}: {what}")
        }
        TenantEvent::StepSucceeded { step, evidence } => {
            let note = evidence.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            format!("{step} succeeded in {} ms{note}", evidence.elapsed_ms)
        }
        TenantEvent::StepFailed { step, failure, retry, in_effect } => {
            let part = part_words(*in_effect);
            format!("{step} failed: {} [{}]{part}{}", failure.message, failure.code, again(retry))
        }
        TenantEvent::StepSkipped { step, reason } => format!("{step} skipped: {reason}"),
        TenantEvent::TenantTurned { cause } => format!("turned: {}", cause_words(cause)),
        TenantEvent::UndoStarted { step, attempt } => format!("undo of {step} started, try {attempt}"),
        TenantEvent::UndoSucceeded { step, evidence } => format!("{step} undone in {} ms", evidence.elapsed_ms),
        TenantEvent::UndoFailed { step, failure, retry } => {
            format!("undo of {step} failed: {} [{}]{}", failure.message, failure.code, again(retry))
        }
        TenantEvent::UndoSkipped { step, reason } => format!("nothing to undo of {step}: {reason}"),
        TenantEvent::TenantResolved { step, resolution, actor: who, reason } => {
            let how = match resolution {
                Resolution::Retry => "to be tried again",
                Resolution::Undone => "undone",
                Resolution::Applied => "applied",
            };
            format!("{step} settled as {how} by {}: {reason}", actor_words(who))
        }
        TenantEvent::TenantFinished { outcome, reason, .. } => format!("{}: {reason}", word(outcome)),
    }
}

/// The part of a step that is in effect, in words.
fn first_statements(count: u32) -> String {
    match count {
        1 => "its first statement".to_owned(),
        count => format!("its first {count} statements"),
    }
}

/// An enum's written form, which is the word that people know.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::testing::{AGAIN, created, failed, failed_after, looked, paused};

    #[test]
    fn by_what_a_deploy_was_set_off_is_told() {
        let words = |trigger| {
            let mut event = created(&[1], 2);
            if let DeployEvent::DeployCreated { trigger: of, .. } = &mut event {
                **of = trigger;
            }
            let words = deploy_words(&event);
            words.strip_prefix("created by ada@desk").unwrap().split(", workflow").next().unwrap().to_owned()
        };
        let webhook = |environment: Option<&str>| Trigger::Webhook {
            webhook: "hub".into(),
            sender: "github".into(),
            delivery: "d-1".into(),
            event: "deployment".into(),
            revision: "a1b2".into(),
            environment: environment.map(str::to_owned),
        };
        let by = ", set off by deployment of webhook hub (github, delivery d-1) for revision a1b2";
        assert_eq!(words(Trigger::Command), ": release r");
        assert_eq!(words(webhook(None)), format!("{by}: release r"));
        assert_eq!(words(webhook(Some("production"))), format!("{by} to production: release r"));
        assert_eq!(words(Trigger::Api { revision: None }), ", set off over the API: release r");
        let revision = Some("a1b2".into());
        assert_eq!(words(Trigger::Api { revision }), ", set off over the API for revision a1b2: release r");
    }

    #[test]
    fn a_pause_is_told() {
        assert_eq!(deploy_words(&paused()), "paused by ada@desk: so");
    }

    #[test]
    fn a_part_that_is_in_effect_is_told() {
        for (event, words) in [
            (failed("a", Retry::No), "a failed: new [WL0606]"),
            (failed_after("a", Retry::No, 1), "a failed: new [WL0606], its first statement took effect"),
            (
                failed_after("a", AGAIN, 2),
                "a failed: new [WL0606], its first 2 statements took effect, to be tried again at 1970-01-01T00:00:09.000Z",
            ),
            (
                looked("a", Half::Act, Found::Partial { statements: 2 }),
                "looked for a: its first 2 statements took effect",
            ),
        ] {
            assert_eq!(tenant_words(&event), words);
        }
    }
}
