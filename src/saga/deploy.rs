//! The deploy machine: what the deploy stream means, and what is to be decided next.
//!
//! Its decisions rest on the fold of its own stream and on a census of its tenants, and are appended under the condition that
//! nothing else has been appended meanwhile. So any process may coordinate, several at once do no harm, and none holds a lease: a
//! coordinator that lost the race reads again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Actor, Cause, DeployEvent, DeployOutcome, Direction, TenantOutcome};
use super::summary::{Census, DeploySummary, TenantStatus};
use super::tenant::IllegalEvent;
use super::workflow::{OnFailure, Then};
use crate::base::Seq;

/// The fold of a deploy stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeployState {
    seq: Seq,
    waves: Option<Vec<u32>>,
    tenant_count: u64,
    stage: Option<u32>,
    summary: DeploySummary,
    cause: Option<Cause>,
    pause: Option<Pause>,
}

/// Who paused a deploy, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who.
    pub actor: Actor,
    /// In their words.
    pub reason: String,
}

/// What a coordinator does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Append this event, an end together with its seal; then ask again.
    Append(Box<DeployEvent>),
    /// Append `direction_set(unwind)` for the first tenant that failed: the caller knows which.
    Unwind,
    /// Tenants are under way.
    Wait,
    /// Nothing moves until a human has decided about the tenants that are stuck or failed.
    WaitForHuman,
    /// Nothing is decided until the deploy is resumed, or turned by hand.
    Paused,
    /// The deploy has ended.
    Rest,
}

impl DeployState {
    /// Folds a whole stream.
    pub fn fold<'e>(events: impl IntoIterator<Item = &'e DeployEvent>) -> Result<Self, IllegalEvent> {
        events.into_iter().try_fold(Self::default(), |mut state, event| {
            state.apply(event)?;
            Ok(state)
        })
    }

    /// Events folded so far.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The row that the log keeps beside the stream.
    #[must_use]
    pub const fn summary(&self) -> &DeploySummary {
        &self.summary
    }

    /// Why the deploy turned, if it has.
    #[must_use]
    pub const fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Who has paused the deploy, and why, while it is paused.
    #[must_use]
    pub const fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// The state after one more event.
    pub fn apply(&mut self, event: &DeployEvent) -> Result<(), IllegalEvent> {
        let seq = self.seq.next();
        self.may(event).map_err(|reason| IllegalEvent { seq, event: name(event), reason })?;
        match event {
            DeployEvent::DeployCreated { waves, tenant_count, .. } => {
                self.waves = Some(waves.clone());
                self.tenant_count = *tenant_count;
            }
            DeployEvent::StageEntered { stage } => self.stage = Some(*stage),
            DeployEvent::DirectionSet { cause, .. } => (self.cause, self.pause) = (Some(cause.clone()), None),
            DeployEvent::DeployPaused { actor, reason } => {
                self.pause = Some(Pause { actor: actor.clone(), reason: reason.clone() });
            }
            DeployEvent::DeployResumed { .. } => self.pause = None,
            DeployEvent::WaveOpened { .. } | DeployEvent::DeployFinished { .. } | DeployEvent::Sealed { .. } => {}
        }
        self.summary.apply(event);
        self.seq = seq;
        Ok(())
    }

    /// Every legal move of a deploy.
    fn may(&self, event: &DeployEvent) -> Result<(), String> {
        let Some(waves) = &self.waves else {
            let created = matches!(event, DeployEvent::DeployCreated { .. });
            return if created { Ok(()) } else { Err("a stream begins with deploy_created".to_owned()) };
        };
        let finished = self.summary.outcome.is_some();
        if let DeployEvent::Sealed { .. } = event {
            return match (finished, self.summary.seal) {
                (true, None) => Ok(()),
                (false, _) => Err("the deploy has not finished".to_owned()),
                (true, Some(_)) => Err("the deploy is sealed already".to_owned()),
            };
        }
        if finished {
            return Err("the deploy has finished".to_owned());
        }
        if self.summary.paused && !may_while_paused(event) {
            return Err("the deploy is paused".to_owned());
        }
        let direction = self.summary.direction;
        match event {
            DeployEvent::DeployCreated { .. } => Err("the deploy was created already".to_owned()),
            DeployEvent::StageEntered { .. } | DeployEvent::WaveOpened { .. } if !direction.admits_starts() => {
                Err("the deploy has turned".to_owned())
            }
            DeployEvent::StageEntered { stage } => {
                let next = self.stage.map_or(0, |stage| stage + 1);
                let left = self.stage.is_none_or(|stage| self.last_wave_open(waves, stage));
                if *stage != next || wave_count(waves, *stage).is_none() {
                    Err(format!("stage {next} comes next"))
                } else if left {
                    Ok(())
                } else {
                    Err("the stage before has waves that never opened".to_owned())
                }
            }
            DeployEvent::WaveOpened { stage, wave } => {
                let next = self.next_wave();
                let exists = wave_count(waves, *stage).is_some_and(|count| *wave < count);
                if exists && next == Some((*stage, *wave)) { Ok(()) } else { Err(format!("{next:?} comes next")) }
            }
            DeployEvent::DirectionSet { direction: to, .. } => match (direction, to) {
                (Direction::Forward, Direction::Unwind | Direction::ForwardOnly) => Ok(()),
                (from, to) => Err(format!("from {from:?} there is no way to {to:?}")),
            },
            DeployEvent::DeployFinished { outcome, account } => self.may_finish(*outcome, account),
            DeployEvent::DeployPaused { .. } | DeployEvent::DeployResumed { .. } | DeployEvent::Sealed { .. } => Ok(()),
        }
    }

    /// The account holds every tenant, each with an end, and the outcome says no more than the account does (promise P7).
    fn may_finish(&self, outcome: DeployOutcome, account: &BTreeMap<TenantOutcome, u64>) -> Result<(), String> {
        let accounted: u64 = account.values().fold(0, |sum, count| sum.saturating_add(*count));
        if accounted != self.tenant_count {
            return Err(format!("the account holds {accounted} of {} tenants", self.tenant_count));
        }
        if account.contains_key(&TenantOutcome::Stuck) {
            return Err("a tenant is stuck".to_owned());
        }
        if !self.summary.direction.admits_starts() && account.contains_key(&TenantOutcome::Completed) {
            return Err("the deploy has turned, and a tenant has not".to_owned());
        }
        let says = outcome_of(account);
        if says == outcome { Ok(()) } else { Err(format!("the account says {says:?}")) }
    }

    /// The wave that follows, in the stage that has been entered.
    fn next_wave(&self) -> Option<(u32, u32)> {
        let stage = self.stage?;
        match self.summary.open {
            Some((open, wave)) if open == stage => Some((stage, wave + 1)),
            _ => Some((stage, 0)),
        }
    }

    fn last_wave_open(&self, waves: &[u32], stage: u32) -> bool {
        let opened = self.summary.open.filter(|(open, _)| *open == stage).map_or(0, |(_, wave)| wave + 1);
        wave_count(waves, stage) == Some(opened)
    }

    /// What is to be decided next.
    ///
    /// `finish` is proposed only when every tenant has ended, and a tenant's end is undone only by a turn or a human's decision,
    /// both of which go through this stream or leave the tenant counted as not ended: so a census that was true when it was taken
    /// is still true when the event is appended.
    ///
    /// A paused deploy decides nothing, not even its end where every tenant has one already. An end is for good: whoever has paused the
    /// deploy to look at it may still want it unwound, and afterwards only a rollback could do that.
    #[must_use]
    pub fn next(&self, census: &Census, on_failure: &OnFailure) -> Decision {
        let Some(waves) = &self.waves else { return Decision::Rest };
        if self.summary.outcome.is_some() {
            return Decision::Rest;
        }
        if self.summary.paused {
            return Decision::Paused;
        }
        let count = |status| census.count(status);
        let moving = count(TenantStatus::Pending) + count(TenantStatus::Running) + count(TenantStatus::Unwinding);
        let stuck = count(TenantStatus::Stuck);
        if !self.summary.direction.admits_starts() {
            let turning = moving + count(TenantStatus::Failed) + count(TenantStatus::Completed);
            return match (turning, stuck) {
                (0, 0) => Decision::Append(Box::new(finish(census))),
                (0, _) => Decision::WaitForHuman,
                _ => Decision::Wait,
            };
        }
        let failed = count(TenantStatus::Failed) + stuck;
        if failed > 0 {
            return match (on_failure.then, self.summary.direction) {
                (Then::Unwind, Direction::Forward) => Decision::Unwind,
                _ if self.moving_in_open_waves(census) => Decision::Wait,
                _ => Decision::WaitForHuman,
            };
        }
        self.next_forward(census, waves)
    }

    fn next_forward(&self, census: &Census, waves: &[u32]) -> Decision {
        if self.moving_in_open_waves(census) {
            return Decision::Wait;
        }
        let stages = u32::try_from(waves.len()).unwrap_or(u32::MAX);
        match self.stage {
            Some(stage) if !self.last_wave_open(waves, stage) => {
                let wave = self.next_wave().map_or(0, |(_, wave)| wave);
                Decision::Append(Box::new(DeployEvent::WaveOpened { stage, wave }))
            }
            Some(stage) if stage + 1 < stages => {
                Decision::Append(Box::new(DeployEvent::StageEntered { stage: stage + 1 }))
            }
            None if stages > 0 => Decision::Append(Box::new(DeployEvent::StageEntered { stage: 0 })),
            // Nobody is moving and no wave is left: whoever has not ended stands in a wave that does not exist.
            _ if census.count(TenantStatus::Pending) + census.count(TenantStatus::Running) > 0 => {
                Decision::WaitForHuman
            }
            _ => Decision::Append(Box::new(finish(census))),
        }
    }

    fn moving_in_open_waves(&self, census: &Census) -> bool {
        // A tenant that has turned by itself moves whatever wave is open.
        census.count(TenantStatus::Unwinding) > 0
            || self.summary.open.is_some_and(|open| {
                census.count_up_to(TenantStatus::Pending, open) + census.count_up_to(TenantStatus::Running, open) > 0
            })
    }
}

/// While a deploy is paused, only a human's word is taken: to go on, or to turn.
fn may_while_paused(event: &DeployEvent) -> bool {
    matches!(
        event,
        DeployEvent::DeployResumed { .. }
            | DeployEvent::DirectionSet { direction: Direction::Unwind, cause: Cause::Operator { .. } }
    )
}

fn wave_count(waves: &[u32], stage: u32) -> Option<u32> {
    usize::try_from(stage).ok().and_then(|stage| waves.get(stage)).copied()
}

/// The end, with how many tenants ended how.
fn finish(census: &Census) -> DeployEvent {
    let ends = [
        TenantOutcome::Completed,
        TenantOutcome::Unwound,
        TenantOutcome::Untouched,
        TenantOutcome::Quarantined,
        TenantOutcome::Abandoned,
    ];
    let account: BTreeMap<TenantOutcome, u64> = ends
        .into_iter()
        .map(|outcome| (outcome, census.count(TenantStatus::of(outcome))))
        .filter(|(_, count)| *count > 0)
        .collect();
    DeployEvent::DeployFinished { outcome: outcome_of(&account), account }
}

/// What an account of tenants that have all ended comes to. `Unwound` claims that every tenant is as it was: a single completed
/// one makes it another thing.
fn outcome_of(account: &BTreeMap<TenantOutcome, u64>) -> DeployOutcome {
    let has = |outcome| account.contains_key(&outcome);
    let any_back = has(TenantOutcome::Unwound) || has(TenantOutcome::Untouched);
    if has(TenantOutcome::Abandoned) {
        DeployOutcome::EndedByHand
    } else if has(TenantOutcome::Quarantined) || (any_back && has(TenantOutcome::Completed)) {
        DeployOutcome::CompletedWithQuarantine
    } else if any_back {
        DeployOutcome::Unwound
    } else {
        DeployOutcome::Completed
    }
}

fn name(event: &DeployEvent) -> String {
    let json = serde_json::to_value(event).unwrap_or_default();
    json.get("type").and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
