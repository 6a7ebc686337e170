//! What an operator may say to a deploy: pause, go on, turn round, try again, take my word for it. Each is an event with a name, and most
//! with a reason.
//!
//! Each is one conditional append. A crash before its commit: nothing was said. After it: it was said, whether or not whoever said it has
//! heard so; said again, it is found to be so already.

use std::collections::BTreeSet;

use super::error::EngineError;
use super::run::{append_to_deploy, deploy_events};
use crate::base::limits::LEASE;
use crate::base::{DeployId, TenantId, WorkerId};
use crate::log::{Append, AppendError, Claim, LeaseAfter, Log, LogError, TenantQuery, TenantRow};
use crate::saga::deploy::DeployState;
use crate::saga::event::{Actor, Cause, DeployEvent, Direction, Event, Resolution, StreamId, TenantEvent};
use crate::saga::plan::Plan;
use crate::saga::summary::TenantStatus;
use crate::saga::tenant::{StepState, TenantState};

/// Who says so, and why.
#[derive(Debug, Clone)]
pub struct Word {
    /// Who.
    pub actor: Actor,
    /// Through which process.
    pub by: WorkerId,
    /// In their words.
    pub reason: String,
}

/// Pauses an unfinished deploy, in whichever direction it goes. `false`: it was paused already, by whose word still stands.
///
/// Once this has returned, no step and no undo starts on any worker: the event is in the deploy's row, and the log reads that row in the
/// transaction of every start. What had started before goes on to its end, which is recorded; so the tenants come to rest a moment later.
///
/// # Errors
/// [`EngineError::WrongState`] for a deploy that has finished; when the log fails, or does not read as one.
pub async fn pause(log: &dyn Log, deploy: DeployId, word: &Word) -> Result<bool, EngineError> {
    loop {
        let state = DeployState::fold(&deploy_events(log, deploy).await?)?;
        if state.summary().outcome.is_some() {
            let (state, command) = ("has finished".to_owned(), "pause".to_owned());
            return Err(EngineError::WrongState { deploy, state, command });
        }
        if state.summary().paused {
            return Ok(false);
        }
        let event = DeployEvent::DeployPaused { actor: word.actor.clone(), reason: word.reason.clone() };
        if append_to_deploy(log, deploy, &word.by, &state, vec![event]).await?.is_some() {
            return Ok(true);
        }
    }
}

/// Turns an unfinished deploy round. `false`: it had turned already.
///
/// Whoever says unwind wants it to happen: a pause ends with it, also that of a deploy which had turned before.
pub async fn turn(log: &dyn Log, deploy: DeployId, word: &Word) -> Result<bool, EngineError> {
    loop {
        let state = DeployState::fold(&deploy_events(log, deploy).await?)?;
        let summary = state.summary();
        let refuse =
            |state: &str| EngineError::WrongState { deploy, state: state.to_owned(), command: "unwind".to_owned() };
        match (summary.outcome, summary.direction) {
            (Some(_), _) => return Err(refuse("has finished (`windlass rollback` undoes a finished deploy)")),
            (None, Direction::Unwind) if summary.paused => {
                resumed(log, deploy, &word.actor, &word.by).await?;
                return Ok(false);
            }
            (None, Direction::Unwind) => return Ok(false),
            (None, Direction::ForwardOnly) => return Err(refuse("is beyond its point of no return")),
            (None, Direction::Forward) => {}
        }
        let cause = Cause::Operator { actor: word.actor.clone(), reason: word.reason.clone() };
        let event = DeployEvent::DirectionSet { direction: Direction::Unwind, cause };
        if append_to_deploy(log, deploy, &word.by, &state, vec![event]).await?.is_some() {
            return Ok(true);
        }
    }
}

/// Takes down who takes an unfinished deploy up again, which ends a pause. `false`: it has come to its end meanwhile.
pub async fn resumed(log: &dyn Log, deploy: DeployId, actor: &Actor, by: &WorkerId) -> Result<bool, EngineError> {
    loop {
        let state = DeployState::fold(&deploy_events(log, deploy).await?)?;
        if state.summary().outcome.is_some() {
            return Ok(false);
        }
        let event = DeployEvent::DeployResumed { actor: actor.clone() };
        if append_to_deploy(log, deploy, by, &state, vec![event]).await?.is_some() {
            return Ok(true);
        }
    }
}

/// As [`resumed`], by a server that does so unasked: a deploy that is paused stays so, and is not taken up. `false`: it is, or has ended.
pub async fn taken_up(log: &dyn Log, deploy: DeployId, actor: &Actor, by: &WorkerId) -> Result<bool, EngineError> {
    loop {
        let state = DeployState::fold(&deploy_events(log, deploy).await?)?;
        if state.summary().outcome.is_some() || state.summary().paused {
            return Ok(false);
        }
        let event = DeployEvent::DeployResumed { actor: actor.clone() };
        if append_to_deploy(log, deploy, by, &state, vec![event]).await?.is_some() {
            return Ok(true);
        }
    }
}

/// What became of a word that was said about stuck tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Settled: the deploy is to be driven on. At least one.
    pub tenants: Vec<TenantId>,
    /// Not settled, because somebody held them at that moment.
    pub busy: Vec<TenantId>,
}

/// Lets stuck tenants try again: one, or all. Gives those that will. A paused deploy stays paused: what is settled there is carried out
/// when it goes on.
pub async fn retry(
    log: &dyn Log,
    deploy: DeployId,
    tenant: Option<&TenantId>,
    word: &Word,
) -> Result<Settled, EngineError> {
    settle(log, deploy, tenant, Resolution::Retry, word).await
}

/// Settles a stuck tenant by a human's word: its step is undone, or it is applied ([`Resolution`]).
pub async fn resolve(
    log: &dyn Log,
    deploy: DeployId,
    tenant: &TenantId,
    resolution: Resolution,
    word: &Word,
) -> Result<Settled, EngineError> {
    settle(log, deploy, Some(tenant), resolution, word).await
}

/// Settles all stuck tenants by one word. They must be stuck at the same step over the same thing: what is true of a step on one tenant
/// says nothing about another step on another.
pub async fn resolve_all(
    log: &dyn Log,
    deploy: DeployId,
    resolution: Resolution,
    word: &Word,
) -> Result<Settled, EngineError> {
    settle(log, deploy, None, resolution, word).await
}

async fn settle(
    log: &dyn Log,
    deploy: DeployId,
    only: Option<&TenantId>,
    resolution: Resolution,
    word: &Word,
) -> Result<Settled, EngineError> {
    let command = if resolution == Resolution::Retry { "retry" } else { "resolve" };
    let query = TenantQuery { statuses: vec![TenantStatus::Stuck], after: None, limit: usize::MAX };
    let stuck =
        log.tenants(deploy, &query).await?.into_iter().filter(|row| only.is_none_or(|only| *only == row.tenant));
    let stuck: Vec<_> = stuck.collect();
    let cause = |row: &TenantRow| {
        let step = row.summary.step.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{step} {}", row.summary.code.map(|code| code.to_string()).unwrap_or_default())
    };
    let causes: BTreeSet<String> = stuck.iter().map(cause).collect();
    if resolution != Resolution::Retry && causes.len() > 1 {
        return Err(EngineError::SeveralCauses { deploy, causes: causes.into_iter().collect() });
    }
    let mut settled = Settled { tenants: Vec::new(), busy: Vec::new() };
    for TenantRow { tenant, .. } in stuck {
        match settle_one(log, &StreamId::tenant(deploy, tenant.clone()), resolution, word).await? {
            One::Settled => settled.tenants.push(tenant),
            One::Busy => settled.busy.push(tenant),
            One::NotStuck => {}
        }
    }
    match (settled.tenants.as_slice(), settled.busy.first()) {
        ([], Some(busy)) => Err(EngineError::TenantBusy { tenant: busy.clone() }),
        ([], None) => Err(EngineError::NothingStuck { deploy, tenant: only.cloned(), command: command.to_owned() }),
        _ => Ok(settled),
    }
}

/// What became of the word about one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum One {
    /// It is in the log.
    Settled,
    /// Somebody else has it in hand.
    Busy,
    /// It was, a moment ago: somebody was quicker.
    NotStuck,
}

async fn settle_one(log: &dyn Log, stream: &StreamId, resolution: Resolution, word: &Word) -> Result<One, EngineError> {
    let Some(claim) = log.claim_one(stream, &word.by, LEASE).await? else { return Ok(One::Busy) };
    let epoch = claim.epoch;
    let said = say(log, claim, resolution, word).await;
    if !matches!(said, Ok(One::Settled)) {
        // Whatever went wrong: nobody else is to wait for our lease to run out. Should this fail too, it does.
        let released = log.release(stream, epoch).await;
        return said.and_then(|one| released.map(|()| one).map_err(EngineError::from));
    }
    said
}

/// Appends the word to a claimed tenant's stream, and gives the claim back with it.
async fn say(log: &dyn Log, claim: Claim, resolution: Resolution, word: &Word) -> Result<One, EngineError> {
    let stream = claim.stream;
    let (plan, state) = fold(log, &stream, claim.events.iter().map(|recorded| &recorded.event)).await?;
    let stuck = state.steps(&plan).find(|(_, at)| matches!(at, StepState::Stuck { .. }));
    let Some(step) = stuck.map(|(step, _)| step.id.clone()) else { return Ok(One::NotStuck) };
    let (actor, reason) = (word.actor.clone(), word.reason.clone());
    let event = TenantEvent::TenantResolved { step, resolution, actor, reason };
    let mut after = state.clone();
    after.apply(&plan, &event)?;
    let append = Append {
        stream,
        expect: state.seq(),
        epoch: claim.epoch,
        events: vec![Event::Tenant(event)],
        summary: Some(after.summary(&plan)),
        place: after.place(&plan),
        lease: LeaseAfter::Release,
        by: word.by.clone(),
    };
    match log.append(append).await {
        Ok(_) => Ok(One::Settled),
        Err(AppendError::Log(error)) => Err(error.into()),
        Err(_) => Ok(One::Busy),
    }
}

/// Folds a tenant's stream under the plan that its first event names.
pub(super) async fn fold<'e>(
    log: &dyn Log,
    stream: &StreamId,
    events: impl Iterator<Item = &'e Event>,
) -> Result<(Plan, TenantState), EngineError> {
    let corrupt = |reason: String| LogError::Corrupt { place: stream.to_string(), reason };
    let events: Vec<&TenantEvent> = events
        .filter_map(|event| match event {
            Event::Tenant(event) => Some(event),
            Event::Deploy(_) => None,
        })
        .collect();
    let Some(TenantEvent::TenantPlanned { plan, .. }) = events.first() else {
        return Err(corrupt("the stream does not begin with tenant_planned".to_owned()).into());
    };
    let plan = Plan::from_bytes(&log.blob(plan).await?).map_err(|error| corrupt(error.to_string()))?;
    let state = TenantState::fold(&plan, events)?;
    Ok((plan, state))
}
