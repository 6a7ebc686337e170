//! The tenant machine: what one tenant's stream means, and what is to be done there next.
//!
//! `step_after` names every legal move of a step, [`TenantState::apply`] adds what must hold between steps, and
//! [`TenantState::next`] is the one place that decides. A worker that has just acted and a worker that has just been started after a
//! crash both call the same `next` on the same fold.
//!
//! Steps of one tenant run one after the other, in the plan's order, so at most one step is ever under way or in doubt.

use super::event::{Cause, Direction, Evidence, Found, Half, Resolution, TenantEvent, TenantOutcome};
use super::failure::{Failure, Retry};
use super::plan::{Plan, PlannedStep, UndoSource};
use super::summary::{TenantStatus, TenantSummary};
use crate::base::{Attempt, Code, Coded, Digest, Seq, StepId, Timestamp};

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Announced; nobody has said how it ended.
    Started {
        /// Which try.
        attempt: Attempt,
    },
    /// Known to have had no effect so far; may be started again.
    Ready {
        /// The last try.
        attempt: Attempt,
        /// Not to be started before.
        not_before: Timestamp,
    },
    /// In effect.
    Succeeded(Evidence),
    /// Failed for good, without effect.
    Failed(Failure),
    /// Will not be done.
    Skipped,
    /// Its undo is announced; nobody has said how it ended.
    Undoing {
        /// Which try.
        attempt: Attempt,
    },
    /// In effect; its undo failed without effect and may be started again.
    UndoReady {
        /// The last try.
        attempt: Attempt,
        /// Not to be started before.
        not_before: Timestamp,
    },
    /// Undone, or there was nothing to undo.
    Undone,
    /// Act or undo were announced, and the last look for evidence got none.
    Doubt {
        /// Which of them.
        half: Half,
        /// Which try of it.
        attempt: Attempt,
        /// How often evidence was looked for in vain.
        looks: Attempt,
        /// Not to be looked for before.
        not_before: Timestamp,
        /// What the last look met.
        failure: Failure,
    },
    /// Only a human decides.
    Stuck {
        /// The act, whose effect is unknown; or the undo, which failed for good and left the step in effect.
        half: Half,
        /// Which try of it.
        attempt: Attempt,
        /// Why.
        failure: Failure,
    },
    /// In effect, and a human decided that it stays.
    Left,
}

impl StepState {
    /// Announced without a known end.
    const fn is_open(&self) -> bool {
        matches!(self, StepState::Started { .. } | StepState::Undoing { .. } | StepState::Doubt { .. })
    }

    /// Known to be in effect; also where a human decided that it stays so.
    const fn in_effect(&self) -> bool {
        matches!(self, StepState::Succeeded(_) | StepState::UndoReady { .. } | StepState::Left)
    }
}

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

/// Every legal move of one step. `None`: the event does not fit.
///
/// Between steps, and between a step and its tenant, more must hold: see [`TenantState::apply`].
fn step_after(step: &StepState, event: &TenantEvent) -> Option<StepState> {
    use StepState as S;
    use TenantEvent as E;
    Some(match (step, event) {
        (S::Pending, E::StepStarted { attempt: Attempt(1), .. }) => S::Started { attempt: Attempt(1) },
        (S::Ready { attempt: last, .. }, E::StepStarted { attempt, .. }) if *attempt == last.next() => {
            S::Started { attempt: *attempt }
        }
        (S::Started { .. }, E::StepSucceeded { evidence, .. }) => S::Succeeded(evidence.clone()),
        (S::Started { attempt }, E::StepFailed { retry: Retry::At(at), .. }) => {
            S::Ready { attempt: *attempt, not_before: *at }
        }
        (S::Started { .. }, E::StepFailed { failure, retry: Retry::No, .. }) => S::Failed(failure.clone()),
        (S::Pending, E::StepSkipped { .. }) => S::Skipped,

        (S::Succeeded(_), E::UndoStarted { attempt: Attempt(1), .. }) => S::Undoing { attempt: Attempt(1) },
        (S::UndoReady { attempt: last, .. }, E::UndoStarted { attempt, .. }) if *attempt == last.next() => {
            S::Undoing { attempt: *attempt }
        }
        (S::Undoing { .. }, E::UndoSucceeded { .. }) | (S::Succeeded(_), E::UndoSkipped { .. }) => S::Undone,
        (S::Undoing { attempt }, E::UndoFailed { retry: Retry::At(at), .. }) => {
            S::UndoReady { attempt: *attempt, not_before: *at }
        }
        (S::Undoing { attempt }, E::UndoFailed { failure, retry: Retry::No, .. }) => {
            S::Stuck { half: Half::Undo, attempt: *attempt, failure: failure.clone() }
        }

        (_, E::StepProbed { half, found, .. }) => probed(step, *half, found)?,
        (S::Stuck { half, attempt, failure }, E::TenantResolved { resolution, .. }) => {
            resolved(*half, *attempt, failure, *resolution)
        }
        _ => return None,
    })
}

/// What a look for evidence makes of a step that is open in that half.
fn probed(step: &StepState, half: Half, found: &Found) -> Option<StepState> {
    let (attempt, looks) = match (step, half) {
        (StepState::Started { attempt }, Half::Act) | (StepState::Undoing { attempt }, Half::Undo) => {
            (*attempt, Attempt(0))
        }
        (StepState::Doubt { half: of, attempt, looks, .. }, _) if *of == half => (*attempt, *looks),
        _ => return None,
    };
    // Nothing stands in the way of an immediate new try: what failed was the link, not the step.
    let not_before = Timestamp(0);
    Some(match (found, half) {
        (Found::Applied, Half::Act) => StepState::Succeeded(Evidence { probed: true, ..Evidence::default() }),
        (Found::Applied, Half::Undo) => StepState::Undone,
        (Found::NotApplied, Half::Act) => StepState::Ready { attempt, not_before },
        (Found::NotApplied, Half::Undo) => StepState::UndoReady { attempt, not_before },
        (Found::Unknown { failure, retry: Retry::At(at) }, _) => {
            StepState::Doubt { half, attempt, looks: looks.next(), not_before: *at, failure: failure.clone() }
        }
        (Found::Unknown { failure, retry: Retry::No }, _) => {
            StepState::Stuck { half, attempt, failure: failure.clone() }
        }
    })
}

/// What a human's decision makes of a stuck step.
fn resolved(half: Half, attempt: Attempt, failure: &Failure, resolution: Resolution) -> StepState {
    let not_before = Timestamp(0);
    match (resolution, half) {
        // Look again: whoever says "retry" may have mended the database, or even finished the step by hand.
        (Resolution::Retry, _) => {
            StepState::Doubt { half, attempt: Attempt(0), looks: Attempt(0), not_before, failure: failure.clone() }
        }
        (Resolution::Applied, Half::Act) => StepState::Succeeded(Evidence::default()),
        (Resolution::Undone, Half::Act) => StepState::Ready { attempt, not_before },
        (Resolution::Applied, Half::Undo) => StepState::Left,
        // The tenant's own ledger must say so too: an undo without statements follows (see `TenantState::is_undone_by_hand`).
        (Resolution::Undone, Half::Undo) => StepState::UndoReady { attempt: Attempt(0), not_before },
    }
}

/// What a worker does next. Everything it needs to decide is in the log; the clock only tells it when `not_before` has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'p> {
    /// Look for evidence of a step that was announced and has no known end.
    Probe {
        /// Which.
        step: &'p PlannedStep,
        /// Its act or its undo.
        half: Half,
        /// How often evidence was looked for in vain.
        looks: Attempt,
        /// Not before.
        not_before: Timestamp,
    },
    /// Announce a step, then act.
    Start {
        /// Which.
        step: &'p PlannedStep,
        /// Which try.
        attempt: Attempt,
        /// Not before.
        not_before: Timestamp,
    },
    /// Record that the tenant turns.
    Turn {
        /// Why.
        cause: Cause,
    },
    /// Announce an undo, then undo.
    Undo {
        /// Of which step.
        step: &'p PlannedStep,
        /// Which try.
        attempt: Attempt,
        /// Not before.
        not_before: Timestamp,
    },
    /// Record that there is nothing to undo.
    SkipUndo {
        /// Of which step.
        step: &'p PlannedStep,
    },
    /// Record the end.
    Finish {
        /// How.
        outcome: TenantOutcome,
        /// In words.
        reason: String,
        /// What went wrong, where something did.
        code: Option<Code>,
    },
    /// The next step's wave is not open.
    AwaitWave,
    /// A step failed for good: the deploy decides what follows.
    AwaitDecision,
    /// Nothing is left to do.
    Rest,
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
    /// that still had the migration in force would make the next deploy leave it out.
    #[must_use]
    pub fn is_undone_by_hand(&self, step: &StepId) -> bool {
        self.undone_by_hand.contains(step)
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
                self.finished = None;
            }
            TenantEvent::TenantFinished { outcome, .. } => {
                self.may_finish(*outcome).map_err(refuse)?;
                self.finished = Some(*outcome);
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
                let undo_was_stuck = matches!(self.steps[index], StepState::Stuck { half: Half::Undo, .. });
                self.steps[index] = after;
                self.ever_started |= matches!(event, TenantEvent::StepStarted { .. });
                if let TenantEvent::TenantResolved { resolution, .. } = event {
                    self.finished = None;
                    self.undone_by_hand.retain(|of| of != step);
                    // A stuck act that is said to be undone may be done again, and must then be undone by its script.
                    if *resolution == Resolution::Undone && undo_was_stuck {
                        self.undone_by_hand.push(step.clone());
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
            TenantOutcome::Quarantined => !any(StepState::is_open),
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
                if self.steps.iter().any(|step| matches!(step, StepState::Failed(_) | StepState::Stuck { .. })) {
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
            _ => {}
        }
        Ok(index)
    }

    fn needs_met(&self, plan: &Plan, step: &PlannedStep) -> bool {
        step.needs
            .iter()
            .all(|needs| matches!(self.step(plan, needs), Some(StepState::Succeeded(_) | StepState::Skipped)))
    }

    /// What is to be done here next, in a deploy that goes this way and has opened the waves up to `open`.
    ///
    /// Doubt comes first, whichever way the deploy goes: what happened must be known before anything is decided upon it (P3).
    #[must_use]
    pub fn next<'p>(&self, plan: &'p Plan, direction: Direction, open: Option<(u32, u32)>) -> Action<'p> {
        if self.planned.is_none() {
            return Action::Rest;
        }
        match self.finished {
            Some(TenantOutcome::Completed) if direction == Direction::Unwind => {
                return Action::Turn { cause: Cause::DeployTurned };
            }
            Some(_) => return Action::Rest,
            None => {}
        }
        if let Some(probe) = self.doubt(plan) {
            return probe;
        }
        if let Some(end) = self.hand_over() {
            return end;
        }
        if self.turned.is_some() {
            return self.next_undo(plan);
        }
        if direction == Direction::Unwind {
            return Action::Turn { cause: Cause::DeployTurned };
        }
        if self.steps.iter().any(|step| matches!(step, StepState::Failed(_))) {
            return Action::AwaitDecision;
        }
        self.next_start(plan, open)
    }

    fn doubt<'p>(&self, plan: &'p Plan) -> Option<Action<'p>> {
        let at_once = (Attempt(0), Timestamp(0));
        self.steps.iter().zip(plan.steps()).find_map(|(state, step)| {
            let (half, (looks, not_before)) = match state {
                StepState::Started { .. } => (Half::Act, at_once),
                StepState::Undoing { .. } => (Half::Undo, at_once),
                StepState::Doubt { half, looks, not_before, .. } => (*half, (*looks, *not_before)),
                _ => return None,
            };
            Some(Action::Probe { step, half, looks, not_before })
        })
    }

    /// A stuck tenant waits for a human; one that a human decided about ends.
    fn hand_over<'p>(&self) -> Option<Action<'p>> {
        self.steps.iter().find_map(|state| match state {
            StepState::Stuck { failure, .. } => Some(Action::Finish {
                outcome: TenantOutcome::Stuck,
                reason: failure.message.clone(),
                code: Some(failure.code),
            }),
            StepState::Left => Some(Action::Finish {
                outcome: TenantOutcome::Abandoned,
                reason: "left as it is, by decision".to_owned(),
                code: None,
            }),
            _ => None,
        })
    }

    fn next_undo<'p>(&self, plan: &'p Plan) -> Action<'p> {
        for (state, step) in self.steps.iter().zip(plan.steps()).rev() {
            match state {
                StepState::Succeeded(_) if step.undo == UndoSource::NoEffect => return Action::SkipUndo { step },
                StepState::Succeeded(_) => {
                    return Action::Undo { step, attempt: Attempt(1), not_before: Timestamp(0) };
                }
                StepState::UndoReady { attempt, not_before } => {
                    return Action::Undo { step, attempt: attempt.next(), not_before: *not_before };
                }
                _ => {}
            }
        }
        let failure = self.failure();
        let code = failure.map(|failure| failure.code);
        if self.ever_started {
            let reason = failure.map_or("undone", |failure| failure.message.as_str()).to_owned();
            Action::Finish { outcome: TenantOutcome::Unwound, reason, code }
        } else {
            Action::Finish { outcome: TenantOutcome::Untouched, reason: "never started".to_owned(), code }
        }
    }

    fn next_start<'p>(&self, plan: &'p Plan, open: Option<(u32, u32)>) -> Action<'p> {
        for (state, step) in self.steps.iter().zip(plan.steps()) {
            let (attempt, not_before) = match state {
                StepState::Pending if self.needs_met(plan, step) => (Attempt(1), Timestamp(0)),
                StepState::Ready { attempt, not_before } => (attempt.next(), *not_before),
                _ => continue,
            };
            if open.is_none_or(|open| (step.stage, self.wave(step.stage)) > open) {
                return Action::AwaitWave;
            }
            return Action::Start { step, attempt, not_before };
        }
        Action::Finish { outcome: TenantOutcome::Completed, reason: completed_reason(plan), code: None }
    }

    fn wave(&self, stage: u32) -> u32 {
        let waves = self.planned.as_ref().map(|(_, waves)| waves.as_slice()).unwrap_or_default();
        usize::try_from(stage).ok().and_then(|stage| waves.get(stage)).copied().unwrap_or(0)
    }

    /// The failure that a human would ask about: what stuck, else what failed, else what is being tried again.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        let pick = |test: fn(&StepState) -> Option<&Failure>| self.steps.iter().find_map(test);
        pick(|step| if let StepState::Stuck { failure, .. } = step { Some(failure) } else { None })
            .or_else(|| pick(|step| if let StepState::Failed(failure) = step { Some(failure) } else { None }))
            .or_else(|| pick(|step| if let StepState::Doubt { failure, .. } = step { Some(failure) } else { None }))
    }

    /// The row that the log keeps beside the stream.
    #[must_use]
    pub fn summary(&self, plan: &Plan) -> TenantSummary {
        let status = match self.finished {
            Some(outcome) => TenantStatus::of(outcome),
            None if self.steps.iter().any(|step| matches!(step, StepState::Stuck { .. })) => TenantStatus::Stuck,
            None if self.turned.is_some() => TenantStatus::Unwinding,
            None if self.steps.iter().any(|step| matches!(step, StepState::Failed(_))) => TenantStatus::Failed,
            None if self.ever_started => TenantStatus::Running,
            None => TenantStatus::Pending,
        };
        let at = self.at(plan);
        let stage = at.or(plan.steps().last()).map_or(0, |step| step.stage);
        let failure = self.failure();
        TenantSummary {
            status,
            stage,
            wave: self.wave(stage),
            step: at.map(|step| step.id.clone()),
            ready_at: self.ready_at(),
            code: failure.map(|failure| failure.code),
            message: failure.map(|failure| failure.message.clone()),
        }
    }

    /// The step that the tenant is at: the one that is stuck, failed, open or to be tried again, else the first not begun.
    fn at<'p>(&self, plan: &'p Plan) -> Option<&'p PlannedStep> {
        let first = |test: fn(&StepState) -> bool| self.steps.iter().position(test).map(|index| &plan.steps()[index]);
        let troubled =
            |step: &StepState| matches!(step, StepState::Stuck { .. } | StepState::Failed(_)) || step.is_open();
        first(troubled)
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

fn completed_reason(plan: &Plan) -> String {
    if plan.is_empty() { "already there" } else { "on the release" }.to_owned()
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
mod sweep_tests;
#[cfg(test)]
mod tests;
