//! What simulations came past: what is never come past is not tried, however many seeds are run.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass::base::DeployId;
use windlass::base::limits::LEASE;
use windlass::log::{Log as _, TenantQuery};
use windlass::saga::event::{
    Cause, DeployEvent, Direction, Event, Found, Half, Resolution, StreamId, TenantEvent, Trigger,
};
use windlass::saga::failure::Retry;

use crate::world::{Fault, World};

/// How often something was come past, by its name.
pub type Seen = BTreeMap<&'static str, u64>;

/// What the share of every run of the tests has to come past, faults apart.
pub const ENDS: &[&str] = &[
    "deploy completed",
    "deploy unwound",
    "deploy ended by hand",
    "rollback completed",
    "rollback unwound",
    "turned by a tenant's failure",
    "turned by an operator",
    "paused on the way up",
    "paused on the way down",
    "resumed",
    "turned while it was paused",
    "a start during a pause is refused",
    "more than one wave",
    "tenant completed",
    "tenant unwound",
    "tenant untouched",
    "tenant stuck",
    "tenant abandoned",
    "tenant turned",
    "step tried again",
    "step failed for good",
    "step failed in its middle",
    "undo tried again",
    "undo failed for good",
    "probe of an act: applied",
    "probe of an act: not applied",
    "probe of an act: in its middle",
    "probe of an undo: applied",
    "probe of an undo: not applied",
    "probe: nothing to be seen yet",
    "probe: never to be known",
    "retry of an act",
    "retry of an undo",
    "an act resolved as applied",
    "an act resolved as undone",
    "an undo resolved as applied",
    "an undo resolved as undone",
    "a ledger that could not be told",
    "a deploy asked for twice",
    "nothing to do",
    "a rollback refused: it was unwound",
    "a rollback refused: it is irreversible",
    "two coordinators append at once",
    "an append under an epoch that is over",
    "a start after the turn is refused",
    "a session under an epoch that is over",
    "a successor waits for an earlier session",
];

/// The faults, of which each has to have its effect.
pub const FAULTS: &[&str] = &[
    "crash before a call",
    "crash during a call",
    "crash after a call",
    "pause, shorter than a lease",
    "pause, past a lease that is held",
    "taken for dead",
    "drain",
    "stop now",
    "unwind",
    "retry",
    "slow",
    "refused",
    "message lost",
    "reply lost",
    "hang",
    "log gone, without effect",
    "log gone, with effect",
    "server down",
    "transaction torn",
];

/// What a fault is counted as.
pub fn of_fault(fault: Fault) -> &'static str {
    match fault {
        Fault::CrashBefore => "crash before a call",
        Fault::CrashDuring => "crash during a call",
        Fault::CrashAfter => "crash after a call",
        Fault::Pause(ms) if Duration::from_millis(ms) < LEASE => "pause, shorter than a lease",
        Fault::Pause(_) => "pause, past a lease that is held",
        Fault::TakenForDead => "taken for dead",
        Fault::Drain => "drain",
        Fault::StopNow => "stop now",
        Fault::Unwind => "unwind",
        Fault::Retry => "retry",
        Fault::Slow(_) => "slow",
        Fault::Refused => "refused",
        Fault::Lost => "message lost",
        Fault::ReplyLost => "reply lost",
        Fault::Hang => "hang",
        Fault::Gone { with_effect: false } => "log gone, without effect",
        Fault::Gone { with_effect: true } => "log gone, with effect",
        Fault::Down(_) => "server down",
        Fault::Torn => "transaction torn",
    }
}

/// What the log says that a simulation came past.
pub async fn seen(world: &World, deploys: impl Iterator<Item = DeployId>) -> Seen {
    let mut seen = Seen::new();
    for deploy in deploys {
        let rows = world.log.tenants(deploy, &everybody()).await.unwrap_or_default();
        let own = world.log.read(&StreamId::deploy(deploy)).await.unwrap_or_default();
        let mut at = At::default();
        for recorded in own {
            let Event::Deploy(event) = recorded.event else { continue };
            if let DeployEvent::DeployCreated { trigger, .. } = &event {
                at.rollback = matches!(**trigger, Trigger::Rollback { .. });
            }
            if let Some(name) = of_deploy(&event, at) {
                *seen.entry(name).or_default() += 1;
            }
            if at.paused && matches!(event, DeployEvent::DirectionSet { .. }) {
                *seen.entry("turned while it was paused").or_default() += 1;
            }
            at.turned |= matches!(event, DeployEvent::DirectionSet { .. });
            at.paused = matches!(event, DeployEvent::DeployPaused { .. });
        }
        for row in rows {
            let stream = StreamId::tenant(deploy, row.tenant);
            let mut stuck = None;
            for recorded in world.log.read(&stream).await.unwrap_or_default() {
                let Event::Tenant(event) = recorded.event else { continue };
                if let Some(name) = of_tenant(&event).or_else(|| of_word(&event, stuck?)) {
                    *seen.entry(name).or_default() += 1;
                }
                match event {
                    TenantEvent::StepProbed { half, found: Found::Unknown { .. }, .. } => stuck = Some(half),
                    TenantEvent::UndoFailed { .. } => stuck = Some(Half::Undo),
                    _ => {}
                }
            }
        }
    }
    seen
}

const fn everybody() -> TenantQuery {
    TenantQuery { statuses: Vec::new(), after: None, limit: usize::MAX }
}

/// How a deploy stands when an event comes.
#[derive(Clone, Copy, Default)]
struct At {
    rollback: bool,
    turned: bool,
    paused: bool,
}

fn of_deploy(event: &DeployEvent, at: At) -> Option<&'static str> {
    use windlass::saga::event::DeployOutcome as O;
    Some(match event {
        DeployEvent::DeployFinished { outcome, .. } => match (outcome, at.rollback) {
            (O::Completed, false) => "deploy completed",
            (O::Unwound, false) => "deploy unwound",
            (O::EndedByHand, false) => "deploy ended by hand",
            (O::Completed, true) => "rollback completed",
            (O::Unwound, true) => "rollback unwound",
            (O::EndedByHand, true) => "rollback ended by hand",
            (O::CompletedWithQuarantine, _) => "completed with quarantine",
        },
        DeployEvent::DirectionSet { direction: Direction::Unwind, cause } => match cause {
            Cause::TenantFailed { .. } => "turned by a tenant's failure",
            Cause::Operator { .. } | Cause::DeployTurned => "turned by an operator",
        },
        DeployEvent::DeployPaused { .. } if at.turned => "paused on the way down",
        DeployEvent::DeployPaused { .. } => "paused on the way up",
        DeployEvent::DeployResumed { .. } => "resumed",
        DeployEvent::WaveOpened { wave: 1.., .. } => "more than one wave",
        _ => return None,
    })
}

/// Of a human's word about a step that is stuck in that half.
const fn of_word(event: &TenantEvent, half: Half) -> Option<&'static str> {
    let TenantEvent::TenantResolved { resolution, .. } = event else { return None };
    Some(match (resolution, half) {
        (Resolution::Retry, Half::Act) => "retry of an act",
        (Resolution::Retry, Half::Undo) => "retry of an undo",
        (Resolution::Applied, Half::Act) => "an act resolved as applied",
        (Resolution::Undone, Half::Act) => "an act resolved as undone",
        (Resolution::Applied, Half::Undo) => "an undo resolved as applied",
        (Resolution::Undone, Half::Undo) => "an undo resolved as undone",
    })
}

fn of_tenant(event: &TenantEvent) -> Option<&'static str> {
    use windlass::saga::event::TenantOutcome as O;
    Some(match event {
        TenantEvent::TenantFinished { outcome, .. } => match outcome {
            O::Completed => "tenant completed",
            O::Unwound => "tenant unwound",
            O::Untouched => "tenant untouched",
            O::Stuck => "tenant stuck",
            O::Abandoned => "tenant abandoned",
            O::Quarantined => "tenant quarantined",
        },
        TenantEvent::TenantTurned { .. } => "tenant turned",
        TenantEvent::StepFailed { in_effect: 1.., .. } => "step failed in its middle",
        TenantEvent::StepFailed { retry: Retry::At(_), .. } => "step tried again",
        TenantEvent::StepFailed { .. } => "step failed for good",
        TenantEvent::UndoFailed { retry: Retry::At(_), .. } => "undo tried again",
        TenantEvent::UndoFailed { .. } => "undo failed for good",
        TenantEvent::StepProbed { half, found, .. } => match (found, half) {
            (Found::Applied, Half::Act) => "probe of an act: applied",
            (Found::Applied, Half::Undo) => "probe of an undo: applied",
            (Found::NotApplied, Half::Act) => "probe of an act: not applied",
            (Found::NotApplied, Half::Undo) => "probe of an undo: not applied",
            (Found::Partial { .. }, _) => "probe of an act: in its middle",
            (Found::Unknown { retry: Retry::At(_), .. }, _) => "probe: nothing to be seen yet",
            (Found::Unknown { .. }, _) => "probe: never to be known",
        },
        _ => return None,
    })
}
