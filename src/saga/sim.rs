//! A world for the machines to run in: one tenant, its database as a stack of effects, and a worker that moves in small steps.
//!
//! Between any two small steps the worker may be killed, the deploy may turn, and another tenant's worker may run: whoever drives
//! the model decides. What goes wrong inside the database is drawn from a [`Choose`], at the moment when it matters and only then,
//! so that an exhaustive driver meets every case once.

use super::event::{Found, Half, Resolution, TenantEvent};
use super::failure::Retry;
use super::plan::{Plan, UndoSource};
use super::summary::{DeploySummary, TenantStatus};
use super::tenant::{Action, StepState, TenantState};
use super::testing::{AGAIN, decided, failed, failure, looked, planned, succeeded, undo_failed, undone};

/// Where a run's choices come from.
pub trait Choose {
    /// One of `0..of`. Zero is the quiet choice.
    fn pick(&mut self, of: usize) -> usize;
}

/// Goes through every sequence of choices, in the manner of an odometer: the last choice moves first.
#[derive(Default)]
pub struct Odometer {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Odometer {
    /// Sets up the next run; false after the last.
    pub fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((taken, of)) = self.taken.pop() {
            if taken + 1 < of {
                self.taken.push((taken + 1, of));
                return true;
            }
        }
        false
    }
}

impl Choose for Odometer {
    fn pick(&mut self, of: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        let (taken, was_of) = self.taken[self.at];
        assert_eq!(of, was_of, "a run is a function of its choices");
        self.at += 1;
        taken
    }
}

/// How an act, an undo or a look for evidence goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// At the first try.
    Works,
    /// A transient failure, then it works.
    WorksSecond,
    /// A failure for good.
    Fails,
}

/// A fate, drawn when it is first met, and how often it was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draw {
    pub fate: Option<Fate>,
    met: u32,
    /// A human has removed the cause: it works from now on, whatever it did before.
    mended: bool,
}

impl Draw {
    /// One try: `Err` says whether to come again.
    fn meet(&mut self, choose: &mut dyn Choose) -> Result<(), Retry> {
        let fate = *self.fate.get_or_insert_with(|| [Fate::Works, Fate::WorksSecond, Fate::Fails][choose.pick(3)]);
        self.met += 1;
        match fate {
            _ if self.mended => Ok(()),
            Fate::WorksSecond if self.met == 1 => Err(AGAIN),
            Fate::Works | Fate::WorksSecond => Ok(()),
            Fate::Fails => Err(Retry::No),
        }
    }
}

/// What lies before one step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Luck {
    pub act: Draw,
    pub undo: Draw,
    pub look: Draw,
}

/// Where the worker is between two small steps. Its death loses this, and nothing else.
#[derive(Debug)]
enum Worker {
    /// Holds no claim.
    Away,
    /// Holds the tenant, and is about to ask `next`.
    Asking,
    /// About to hand an event to the log; what it announces is to be carried out once it is durable.
    Appending(TenantEvent, Option<(Half, usize)>),
    /// What it announced is durable, and the database has not been asked.
    Acting(Half, usize),
}

/// One tenant, its database and its worker.
pub struct Tenant<'p> {
    pub plan: &'p Plan,
    pub state: TenantState,
    pub history: Vec<TenantEvent>,
    /// What is in effect in the database: steps by their place in the plan, the latest last.
    pub effects: Vec<usize>,
    /// What lies before each step.
    pub luck: Vec<Luck>,
    worker: Worker,
}

impl<'p> Tenant<'p> {
    pub fn new(plan: &'p Plan, waves: &[u32]) -> Self {
        let mut tenant = Self {
            plan,
            state: TenantState::new(plan),
            history: Vec::new(),
            effects: Vec::new(),
            luck: vec![Luck::default(); plan.steps().len()],
            worker: Worker::Away,
        };
        tenant.append(planned(waves));
        tenant
    }

    pub fn status(&self) -> TenantStatus {
        self.state.summary(self.plan).status
    }

    /// Whether a worker holds it.
    pub fn is_held(&self) -> bool {
        !matches!(self.worker, Worker::Away)
    }

    /// Whether a death now would lose something.
    pub fn is_midway(&self) -> bool {
        matches!(self.worker, Worker::Appending(..) | Worker::Acting(..))
    }

    /// Whether the worker has decided to start a step and the log has not yet heard of it.
    pub fn is_about_to_start(&self) -> bool {
        matches!(&self.worker, Worker::Appending(event, _) if event.is_forward_start())
    }

    /// The worker dies.
    pub fn crash(&mut self) {
        self.worker = Worker::Away;
    }

    /// One small step of the worker; false where it finds nothing to do.
    pub fn step(&mut self, deploy: &DeploySummary, choose: &mut dyn Choose) -> bool {
        match std::mem::replace(&mut self.worker, Worker::Asking) {
            Worker::Away => {
                let row = self.state.summary(self.plan);
                if !deploy.admits(row.status, row.stage, row.wave) {
                    self.worker = Worker::Away;
                    return false;
                }
                // A worker that takes a tenant up knows only what the log says.
                self.state = TenantState::fold(self.plan, &self.history).expect("a recorded history folds");
            }
            Worker::Asking => {
                let Some((event, then)) = self.ask(deploy, choose) else {
                    self.worker = Worker::Away;
                    return false;
                };
                self.worker = Worker::Appending(event, then);
            }
            // The log refuses a start once the deploy has turned; the worker asks again.
            Worker::Appending(event, _) if event.is_forward_start() && !deploy.direction.admits_starts() => {}
            Worker::Appending(event, then) => {
                self.append(event);
                if let Some((half, step)) = then {
                    self.worker = Worker::Acting(half, step);
                }
            }
            Worker::Acting(half, step) => self.worker = Worker::Appending(self.act(half, step, choose), None),
        }
        true
    }

    /// What to append next, and what it announces.
    fn ask(&mut self, deploy: &DeploySummary, choose: &mut dyn Choose) -> Option<(TenantEvent, Option<(Half, usize)>)> {
        let place = |id| self.plan.steps().iter().position(|step| step.id == id).expect("a step of the plan");
        Some(match self.state.next(self.plan, deploy.direction, deploy.open) {
            Action::Probe { step, half, .. } => {
                let at = place(step.id.clone());
                (looked(step.id.as_str(), half, self.look(half, at, choose)), None)
            }
            Action::Start { step, attempt, .. } => {
                assert!(deploy.direction.admits_starts(), "P5: a start was decided after the turn");
                let event = TenantEvent::StepStarted { step: step.id.clone(), attempt };
                (event, Some((Half::Act, place(step.id.clone()))))
            }
            Action::Undo { step, attempt, .. } => {
                let event = TenantEvent::UndoStarted { step: step.id.clone(), attempt };
                (event, Some((Half::Undo, place(step.id.clone()))))
            }
            Action::SkipUndo { step } => {
                (TenantEvent::UndoSkipped { step: step.id.clone(), reason: "no effect".into() }, None)
            }
            Action::Turn { cause } => (TenantEvent::TenantTurned { cause }, None),
            Action::Finish { outcome, reason, code } => (TenantEvent::TenantFinished { outcome, reason, code }, None),
            Action::AwaitWave | Action::AwaitDecision | Action::Rest => return None,
        })
    }

    fn append(&mut self, event: TenantEvent) {
        if let Err(error) = self.state.apply(self.plan, &event) {
            panic!("{error}, after {:#?}", self.history);
        }
        self.history.push(event);
    }

    /// The database is asked; the event says what it answered.
    fn act(&mut self, half: Half, step: usize, choose: &mut dyn Choose) -> TenantEvent {
        let id = self.plan.steps()[step].id.as_str();
        match half {
            Half::Act => {
                if let Err(retry) = self.luck[step].act.meet(choose) {
                    return failed(id, retry);
                }
                if self.has_effect(step) {
                    assert!(!self.effects.contains(&step), "P3: step {id} took effect twice");
                    self.effects.push(step);
                }
                succeeded(id)
            }
            Half::Undo => {
                if let Err(retry) = self.luck[step].undo.meet(choose) {
                    return undo_failed(id, retry);
                }
                // Where a human has undone it, only the ledger is still to be told.
                if !self.state.is_undone_by_hand(&self.plan.steps()[step].id) {
                    assert_eq!(self.effects.pop(), Some(step), "P4: the latest effect is undone first, and once");
                }
                undone(id)
            }
        }
    }

    /// Evidence, where it can be had, is the truth.
    fn look(&mut self, half: Half, step: usize, choose: &mut dyn Choose) -> Found {
        if let Err(retry) = self.luck[step].look.meet(choose) {
            return Found::Unknown { failure: failure("no evidence"), retry };
        }
        if self.effects.contains(&step) == (half == Half::Act) { Found::Applied } else { Found::NotApplied }
    }

    pub fn has_effect(&self, step: usize) -> bool {
        self.plan.steps()[step].undo != UndoSource::NoEffect
    }

    /// The step that waits for a human.
    pub fn stuck(&self) -> Option<(Half, usize)> {
        self.state.steps(self.plan).enumerate().find_map(|(at, (_, state))| match state {
            StepState::Stuck { half, .. } => Some((*half, at)),
            _ => None,
        })
    }

    /// A human looks at the stuck step and settles it, in one of three ways. Never lies.
    pub fn resolve(&mut self, choose: &mut dyn Choose) {
        let (half, at) = self.stuck().expect("a stuck step");
        let resolution = match (choose.pick(3), half) {
            // Mends the cause, whatever it was, and has it tried again.
            (0, _) => {
                self.luck[at].look.mended = true;
                self.luck[at].undo.mended |= half == Half::Undo;
                Resolution::Retry
            }
            // Leaves the database as it is, and says how it is.
            (1, _) if self.effects.contains(&at) => Resolution::Applied,
            // Makes it undone by hand, or finds it so.
            _ => {
                if self.effects.contains(&at) {
                    assert_eq!(self.effects.pop(), Some(at));
                }
                self.luck[at].undo.mended |= half == Half::Undo;
                Resolution::Undone
            }
        };
        self.append(decided(self.plan.steps()[at].id.as_str(), resolution));
    }
}
