//! The tenant machine: what one tenant's stream means, and what is to be done there next.
//!
//! `step_after` names every legal move of a step, [`TenantState::apply`] adds what must hold between steps, and
//! [`TenantState::next`] is the one place that decides. A worker that has just acted and a worker that has just been started after a
//! crash both call the same `next` on the same fold.
//!
//! Steps of one tenant run one after the other, in the plan's order, so at most one step is ever under way or in doubt.

mod next;
mod place;
mod step;

pub use self::next::Action;
use self::step::step_after;
pub use self::step::{Looks, StepState};
use super::event::{Cause, Found, Half, Resolution, TenantEvent, TenantOutcome};
use super::failure::Failure;
use super::plan::{Plan, PlannedStep, UndoSource};
use super::summary::{TenantStatus, TenantSummary};
use crate::base::{Code, Coded, Digest, Seq, StepId, Timestamp};

/// An event does not fit where it stands. A log that holds one is damaged, or was written by a broken program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} ({event}) does not fit: {reason}")]
pub struct IllegalEvent {
    /// Its place in the stream.
    pub seq: Seq,
    /// Its type, and step where it has one.
    pub event: String,
    /// Why not.
    pub reason: String,
}

impl Coded for IllegalEvent {
    fn code(&self) -> Code {
        Code::IllegalEvent
    }

    fn next(&self) -> Option<String> {
        Some("windlass audit verify".to_owned())
    }
}

/// The fold of a tenant's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantState {
    seq: Seq,
    planned: Option<(Digest, Vec<u32>)>,
    from: Option<Digest>,
    steps: Vec<StepState>,
    turned: Option<Cause>,
    finished: Option<TenantOutcome>,
    ever_started: bool,
    undone_by_hand: Vec<StepId>,
    applied_by_word: Vec<StepId>,
    settled_by_hand: bool,
    failed: Option<FailedForGood>,
    /// The reason of an end of which the tenant's ledger could not be told all.
    untold: Option<String>,
}

/// The step that failed for good. It is why the tenant ends as it does, also when its part has been undone; beside it no other starts,
/// so there is at most one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FailedForGood {
    /// Its place in the plan.
    index: usize,
    failure: Failure,
    /// How many of its statements it had in effect.
    part: u32,
}

impl TenantState {
    /// The state before the first event of a tenant with this plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            seq: Seq(0),
            planned: None,
            from: None,
            steps: vec![StepState::Pending; plan.steps().len()],
            turned: None,
            finished: None,
            ever_started: false,
            undone_by_hand: Vec::new(),
            applied_by_word: Vec::new(),
            settled_by_hand: false,
            failed: None,
            untold: None,
        }
    }

    /// Folds a whole stream.
    pub fn fold<'e>(plan: &Plan, events: impl IntoIterator<Item = &'e TenantEvent>) -> Result<Self, IllegalEvent> {
        events.into_iter().try_fold(Self::new(plan), |mut state, event| {
            state.apply(plan, event)?;
            Ok(state)
        })
    }

    /// Events folded so far.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// How the tenant ended, if it has.
    #[must_use]
    pub const fn finished(&self) -> Option<TenantOutcome> {
        self.finished
    }

    /// Whether a human has said that this step is undone: its undo then only writes that into the tenant's ledger, because a ledger
    /// that still had the migration in force would make the next deploy leave it out. An act that was in doubt has no undo; its tenant's
    /// ledger is told before the tenant ends.
    #[must_use]
    pub fn is_undone_by_hand(&self, step: &StepId) -> bool {
        self.undone_by_hand.contains(step)
    }

    /// Whether only a human's word says that this step took effect: before it is undone, the tenant's ledger is told, which may not
    /// know of it and would then refuse to take away what it does not have in force.
    #[must_use]
    pub fn is_applied_by_word(&self, step: &StepId) -> bool {
        self.applied_by_word.contains(step)
    }

    /// The release it was on before the deploy, where that is known.
    #[must_use]
    pub const fn from(&self) -> Option<Digest> {
        self.from
    }

    /// Why the tenant turned, if it has.
    #[must_use]
    pub const fn turned(&self) -> Option<&Cause> {
        self.turned.as_ref()
    }

    /// The steps with where they stand, in the plan's order.
    #[must_use]
    pub fn steps<'a>(&'a self, plan: &'a Plan) -> impl DoubleEndedIterator<Item = (&'a PlannedStep, &'a StepState)> {
        plan.steps().iter().zip(&self.steps)
    }

    /// Where a step stands.
    #[must_use]
    pub fn step<'a>(&'a self, plan: &Plan, id: &StepId) -> Option<&'a StepState> {
        plan.steps().iter().position(|step| step.id == *id).and_then(|index| self.steps.get(index))
    }

    /// The state after one more event.
    pub fn apply(&mut self, plan: &Plan, event: &TenantEvent) -> Result<(), IllegalEvent> {
        let seq = self.seq.next();
        let refuse = |reason: String| IllegalEvent { seq, event: describe(event), reason };
        if matches!(event, TenantEvent::TenantPlanned { .. }) != self.planned.is_none() {
            return Err(refuse("a stream begins with tenant_planned, once".to_owned()));
        }
        match event {
            TenantEvent::TenantPlanned { plan: digest, waves, from } => {
                self.planned = Some((*digest, waves.clone()));
                self.from = *from;
            }
            TenantEvent::TenantTurned { cause } => {
                self.may_turn().map_err(refuse)?;
                self.turned = Some(cause.clone());
                (self.finished, self.untold) = (None, None);
            }
            TenantEvent::TenantFinished { outcome, reason, code } => {
                self.may_finish(*outcome).map_err(refuse)?;
                self.finished = Some(*outcome);
                self.untold = code.filter(|code| *code == Code::LedgerUntold).map(|_| reason.clone());
            }
            TenantEvent::StepStarted { step, .. }
            | TenantEvent::StepProbed { step, .. }
            | TenantEvent::StepSucceeded { step, .. }
            | TenantEvent::StepFailed { step, .. }
            | TenantEvent::StepSkipped { step, .. }
            | TenantEvent::UndoStarted { step, .. }
            | TenantEvent::UndoSucceeded { step, .. }
            | TenantEvent::UndoFailed { step, .. }
            | TenantEvent::UndoSkipped { step, .. }
            | TenantEvent::TenantResolved { step, .. } => {
                let index = self.may_move(plan, step, event).map_err(refuse)?;
                let Some(after) = step_after(&self.steps[index], event) else {
                    return Err(refuse(format!("step {step} is {:?}", self.steps[index])));
                };
                let stuck = if let StepState::Stuck { half, .. } = &self.steps[index] { Some(*half) } else { None };
                if let StepState::Failed { failure, part } = &after {
                    self.failed = Some(FailedForGood { index, failure: failure.clone(), part: *part });
                }
                self.steps[index] = after;
                self.ever_started |= matches!(event, TenantEvent::StepStarted { .. });
                if let TenantEvent::TenantResolved { resolution, .. } = event {
                    (self.finished, self.untold) = (None, None);
                    self.settled_by_hand = true;
                    self.undone_by_hand.retain(|of| of != step);
                    // A stuck act that is said to be undone has failed, and leaves nothing to undo but what its ledger may say.
                    match (*resolution, stuck) {
                        (Resolution::Undone, _) => self.undone_by_hand.push(step.clone()),
                        (Resolution::Applied, Some(Half::Act)) => self.applied_by_word.push(step.clone()),
                        _ => {}
                    }
                }
            }
        }
        self.seq = seq;
        Ok(())
    }

    /// A tenant turns once, with no step under way; also one that had completed, as long as its deploy is open.
    fn may_turn(&self) -> Result<(), String> {
        if self.turned.is_some() {
            return Err("the tenant has turned already".to_owned());
        }
        if self.steps.iter().any(StepState::is_open) {
            return Err("a step is under way".to_owned());
        }
        match self.finished {
            None | Some(TenantOutcome::Completed) => Ok(()),
            Some(outcome) => Err(format!("the tenant has ended as {outcome:?}")),
        }
    }

    /// What each outcome claims must be so.
    fn may_finish(&self, outcome: TenantOutcome) -> Result<(), String> {
        if let Some(before) = self.finished {
            return Err(format!("the tenant has ended as {before:?}"));
        }
        let any = |test: fn(&StepState) -> bool| self.steps.iter().any(test);
        let settled = !any(|step| step.is_open() || step.in_effect() || matches!(step, StepState::Stuck { .. }));
        let fits = match outcome {
            TenantOutcome::Completed => {
                self.turned.is_none()
                    && self.steps.iter().all(|step| matches!(step, StepState::Succeeded(_) | StepState::Skipped))
            }
            TenantOutcome::Unwound => self.turned.is_some() && self.ever_started && settled,
            TenantOutcome::Untouched => self.turned.is_some() && !self.ever_started,
            TenantOutcome::Stuck => any(|step| matches!(step, StepState::Stuck { .. })),
            TenantOutcome::Abandoned => any(|step| matches!(step, StepState::Left)),
            // Set aside consistent: a part of a step is not, and a step whose undo has begun may be no more than a part.
            TenantOutcome::Quarantined => !any(|step| {
                step.is_open()
                    || step.has_part()
                    || matches!(step, StepState::UndoReady { .. } | StepState::Stuck { .. })
            }),
        };
        if fits { Ok(()) } else { Err(format!("its steps do not say {outcome:?}")) }
    }

    /// What must hold between a step and the rest of its tenant.
    fn may_move(&self, plan: &Plan, id: &StepId, event: &TenantEvent) -> Result<usize, String> {
        let Some(index) = plan.steps().iter().position(|step| step.id == *id) else {
            return Err(format!("the plan has no step {id}"));
        };
        let resolving = matches!(event, TenantEvent::TenantResolved { .. });
        if let Some(outcome) = self.finished
            && !(resolving && outcome == TenantOutcome::Stuck)
        {
            return Err(format!("the tenant has ended as {outcome:?}"));
        }
        let another_open = self.steps.iter().enumerate().any(|(at, step)| at != index && step.is_open());
        match event {
            TenantEvent::StepStarted { .. } | TenantEvent::StepSkipped { .. } => {
                if self.turned.is_some() {
                    return Err("the tenant has turned".to_owned());
                }
                if another_open {
                    return Err("another step is under way".to_owned());
                }
                if self.steps.iter().any(|step| matches!(step, StepState::Failed { .. } | StepState::Stuck { .. })) {
                    return Err("another step has failed for good".to_owned());
                }
                if !self.needs_met(plan, &plan.steps()[index]) {
                    return Err("a step that it needs has not succeeded".to_owned());
                }
            }
            TenantEvent::UndoStarted { .. } | TenantEvent::UndoSkipped { .. } => {
                if self.turned.is_none() {
                    return Err("the tenant has not turned".to_owned());
                }
                if another_open {
                    return Err("another step is under way".to_owned());
                }
                let holds = |step: &StepState| step.in_effect() || matches!(step, StepState::Stuck { .. });
                if self.steps[index + 1..].iter().any(holds) {
                    return Err("a later step is still in effect".to_owned());
                }
                let no_effect = plan.steps()[index].undo == UndoSource::NoEffect;
                if matches!(event, TenantEvent::UndoSkipped { .. }) != no_effect {
                    return Err("an undo is skipped exactly where there is nothing to undo".to_owned());
                }
            }
            TenantEvent::StepFailed { in_effect: 1.., .. }
            | TenantEvent::StepProbed { found: Found::Partial { .. }, .. }
                if plan.steps()[index].undo == UndoSource::NoEffect =>
            {
                return Err("a step without effect has no statements in effect".to_owned());
            }
            _ => {}
        }
        Ok(index)
    }

    fn needs_met(&self, plan: &Plan, step: &PlannedStep) -> bool {
        step.needs
            .iter()
            .all(|needs| matches!(self.step(plan, needs), Some(StepState::Succeeded(_) | StepState::Skipped)))
    }

    fn wave(&self, stage: u32) -> u32 {
        let waves = self.planned.as_ref().map(|(_, waves)| waves.as_slice()).unwrap_or_default();
        usize::try_from(stage).ok().and_then(|stage| waves.get(stage)).copied().unwrap_or(0)
    }

    /// The failure that a human would ask about: what stuck, else what failed for good, else what is being tried again.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        let pick = |test: fn(&StepState) -> Option<&Failure>| self.steps.iter().find_map(test);
        pick(|step| if let StepState::Stuck { failure, .. } = step { Some(failure) } else { None })
            .or_else(|| self.failed.as_ref().map(|failed| &failed.failure))
            .or_else(|| pick(|step| if let StepState::Doubt { failure, .. } = step { Some(failure) } else { None }))
            .or_else(|| {
                pick(|step| if let StepState::UndoReady { failure, .. } = step { failure.as_ref() } else { None })
            })
            .or_else(|| self.failed_try())
    }

    /// What the last try of a forward step met. Once the tenant has turned, it is not why anything happens any more.
    fn failed_try(&self) -> Option<&Failure> {
        let of: fn(&StepState) -> Option<&Failure> =
            |step| if let StepState::Ready { failure, .. } = step { failure.as_ref() } else { None };
        self.steps.iter().find_map(of).filter(|_| self.turned.is_none())
    }

    /// The row that the log keeps beside the stream.
    #[must_use]
    pub fn summary(&self, plan: &Plan) -> TenantSummary {
        let status = match self.finished {
            Some(outcome) => TenantStatus::of(outcome),
            None if self.steps.iter().any(|step| matches!(step, StepState::Stuck { .. })) => TenantStatus::Stuck,
            None if self.turned.is_some() => TenantStatus::Unwinding,
            None if self.steps.iter().any(|step| matches!(step, StepState::Failed { .. })) => TenantStatus::Failed,
            None if self.ever_started => TenantStatus::Running,
            None => TenantStatus::Pending,
        };
        let at = self.at(plan);
        let stage = at.or(plan.steps().last()).map_or(0, |step| step.stage);
        let failure = self.failure();
        let message = |failure: &Failure| match self.finished {
            Some(TenantOutcome::Unwound) => self.unwound_reason(),
            _ => failure.message.clone(),
        };
        TenantSummary {
            status,
            stage,
            wave: self.wave(stage),
            step: at.map(|step| step.id.clone()),
            ready_at: self.ready_at(),
            code: self.untold.as_ref().map(|_| Code::LedgerUntold).or(failure.map(|failure| failure.code)),
            message: self.untold.clone().or_else(|| failure.map(message)),
        }
    }

    /// The step that the tenant is at: the one that is stuck, failed, open or to be tried again, else the first not begun. One that
    /// failed for good stays it when its part has been undone.
    fn at<'p>(&self, plan: &'p Plan) -> Option<&'p PlannedStep> {
        let first = |test: fn(&StepState) -> bool| self.steps.iter().position(test).map(|index| &plan.steps()[index]);
        let troubled =
            |step: &StepState| matches!(step, StepState::Stuck { .. } | StepState::Failed { .. }) || step.is_open();
        first(troubled)
            .or_else(|| self.failed.as_ref().map(|failed| &plan.steps()[failed.index]))
            .or_else(|| first(|step| matches!(step, StepState::UndoReady { .. } | StepState::Ready { .. })))
            .or_else(|| first(|step| matches!(step, StepState::Pending)))
    }

    /// Once the tenant has turned, a forward step's pause means nothing any more.
    fn ready_at(&self) -> Option<Timestamp> {
        let forward = self.turned.is_none();
        self.steps
            .iter()
            .find_map(|step| match step {
                StepState::Ready { not_before, .. } if forward => Some(*not_before),
                StepState::UndoReady { not_before, .. } | StepState::Doubt { not_before, .. } => Some(*not_before),
                _ => None,
            })
            .filter(|at| *at > Timestamp(0))
    }
}

fn describe(event: &TenantEvent) -> String {
    let json = serde_json::to_value(event).unwrap_or_default();
    let text = |key: &str| json.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    match (text("type"), text("step")) {
        (Some(name), Some(step)) => format!("{name} {step}"),
        (name, _) => name.unwrap_or_default(),
    }
}

#[cfg(test)]
mod mark;
#[cfg(test)]
mod tests;
