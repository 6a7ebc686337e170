//! The deploy machine: its legal moves and its decisions as tables, and whole deploys with random outcomes in random order.

mod moves;
mod next;
mod whole;

use super::*;
use crate::base::Digest;
use crate::saga::event::Trigger;
use crate::saga::retry::RetryPolicy;
use crate::saga::testing::operator;
use crate::saga::workflow::Budget;

fn created(waves: &[u32], tenant_count: u64) -> DeployEvent {
    DeployEvent::DeployCreated {
        release: Digest::of(b"release"),
        release_name: "r".into(),
        workflow: Digest::of(b"workflow"),
        workflow_name: "w".into(),
        tenants: Digest::of(b"tenants"),
        tenant_count,
        changing: tenant_count,
        fleet: "f".into(),
        waves: waves.to_vec(),
        trigger: Trigger::Command,
        actor: operator(),
        previous: None,
        overrides: None,
    }
}

fn entered(stage: u32) -> DeployEvent {
    DeployEvent::StageEntered { stage }
}

fn opened(stage: u32, wave: u32) -> DeployEvent {
    DeployEvent::WaveOpened { stage, wave }
}

fn set(direction: Direction) -> DeployEvent {
    DeployEvent::DirectionSet { direction, cause: Cause::Operator { actor: operator(), reason: "so".into() } }
}

fn sealed() -> DeployEvent {
    DeployEvent::Sealed { root: Digest::of(b"root"), signature: None }
}

fn policy(then: Then) -> OnFailure {
    OnFailure { then, budget: Budget::Count(0), beyond: then, retry: RetryPolicy::default() }
}
