//! What the tests of this floor share: plans and events, each in one short line.

use super::event::{
    Actor, Cause, DeployEvent, Direction, Evidence, Found, Half, Resolution, TenantEvent, TenantOutcome, Trigger,
};
use super::failure::{ErrorClass, Failure, Retry};
use super::plan::{Plan, PlannedStep, UndoSource};
use super::retry::RetryPolicy;
use super::workflow::{Budget, OnFailure, Then};
use crate::base::{Attempt, Code, Digest, StepId, Timestamp};

pub const AGAIN: Retry = Retry::At(Timestamp(9_000));

/// A plan of stage 0 from lines like `d: b c`; a step whose name begins with `check` has no effect, and one whose name ends in a digit
/// has so many statements, each of which commits by itself.
pub fn plan(lines: &[&str]) -> Plan {
    Plan::new(lines.iter().map(|line| planned_step(0, line)).collect()).unwrap()
}

pub fn planned_step(stage: u32, line: &str) -> PlannedStep {
    let (id, needs) = line.split_once(':').unwrap_or((line, ""));
    PlannedStep {
        id: id.into(),
        uses: if id.starts_with("check") { "check" } else { "migrate" }.into(),
        stage,
        needs: needs.split_whitespace().map(StepId::from).collect(),
        digest: None,
        undo: if id.starts_with("check") { UndoSource::NoEffect } else { UndoSource::Written },
        with: serde_json::Value::Null,
    }
}

/// How many commits a step is made of.
pub fn statements(step: &PlannedStep) -> u32 {
    match step.undo {
        UndoSource::NoEffect => 0,
        UndoSource::Written | UndoSource::Irreversible => {
            step.id.as_str().chars().last().and_then(|last| last.to_digit(10)).unwrap_or(1)
        }
    }
}

pub fn failure(message: &str) -> Failure {
    Failure::new(ErrorClass::Permanent, Code::StepFailed, message)
}

pub fn operator() -> Actor {
    Actor { name: "ada".into(), host: "desk".into() }
}

pub fn planned(waves: &[u32]) -> TenantEvent {
    TenantEvent::TenantPlanned { plan: Digest::of(b"plan"), waves: waves.to_vec(), from: None }
}

pub fn started(step: &str, attempt: u32) -> TenantEvent {
    TenantEvent::StepStarted { step: step.into(), attempt: Attempt(attempt) }
}

pub fn succeeded(step: &str) -> TenantEvent {
    TenantEvent::StepSucceeded { step: step.into(), evidence: Evidence::default() }
}

pub fn failed(step: &str, retry: Retry) -> TenantEvent {
    failed_after(step, retry, 0)
}

/// A failure that leaves this many statements in effect.
pub fn failed_after(step: &str, retry: Retry, in_effect: u32) -> TenantEvent {
    TenantEvent::StepFailed { step: step.into(), failure: failure("new"), retry, in_effect }
}

pub fn skipped(step: &str) -> TenantEvent {
    TenantEvent::StepSkipped { step: step.into(), reason: "not here".into() }
}

pub fn turned() -> TenantEvent {
    TenantEvent::TenantTurned { cause: Cause::DeployTurned }
}

pub fn undo_started(step: &str, attempt: u32) -> TenantEvent {
    TenantEvent::UndoStarted { step: step.into(), attempt: Attempt(attempt) }
}

pub fn undone(step: &str) -> TenantEvent {
    TenantEvent::UndoSucceeded { step: step.into(), evidence: Evidence::default() }
}

pub fn undo_failed(step: &str, retry: Retry) -> TenantEvent {
    TenantEvent::UndoFailed { step: step.into(), failure: failure("new"), retry }
}

pub fn undo_skipped(step: &str) -> TenantEvent {
    TenantEvent::UndoSkipped { step: step.into(), reason: "no effect".into() }
}

pub fn looked(step: &str, half: Half, found: Found) -> TenantEvent {
    TenantEvent::StepProbed { step: step.into(), half, found }
}

/// Evidence that could not be had.
pub fn unknown(retry: Retry) -> Found {
    Found::Unknown { failure: failure("new"), retry }
}

pub fn decided(step: &str, resolution: Resolution) -> TenantEvent {
    TenantEvent::TenantResolved { step: step.into(), resolution, actor: operator(), reason: "looked".into() }
}

pub fn finished(outcome: TenantOutcome) -> TenantEvent {
    TenantEvent::TenantFinished { outcome, reason: "so".into(), code: None }
}

pub fn created(waves: &[u32], tenant_count: u64) -> DeployEvent {
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
        trigger: Box::new(Trigger::Command),
        actor: operator(),
        previous: None,
        overrides: None,
    }
}

pub fn set(direction: Direction) -> DeployEvent {
    DeployEvent::DirectionSet { direction, cause: Cause::Operator { actor: operator(), reason: "so".into() } }
}

pub fn paused() -> DeployEvent {
    DeployEvent::DeployPaused { actor: operator(), reason: "so".into() }
}

pub fn resumed() -> DeployEvent {
    DeployEvent::DeployResumed { actor: operator() }
}

pub fn policy(then: Then) -> OnFailure {
    OnFailure { then, budget: Budget::Count(0), beyond: then, retry: RetryPolicy::default() }
}
