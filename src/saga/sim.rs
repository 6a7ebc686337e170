//! A world for the machines to run in: one tenant, its database as a stack of effects, and a worker that moves in small steps.
//!
//! A step is one commit, or several, one for each of its statements. The database has a ledger of its own, where each commit leaves its
//! row; a worker goes by that, and a human's hand can make it wrong.
//!
//! Between any two small steps the worker may be killed, the deploy may turn, and another tenant's worker may run: whoever drives
//! the model decides. What goes wrong inside the database is drawn from a [`Choose`], at the moment when it matters and only then,
//! so that an exhaustive driver meets every case once.
//!
//! The model checks the promises as it goes: P1 (nothing is done that the log does not announce), P3 (nothing takes effect twice), P4 (the
//! latest effect goes first, and only what this deploy did), P5 (no start after the turn), that nothing starts while the deploy is paused, that what the log says of a step is so in the
//! database, and that no try is made once the tries are used up.

mod fleet;
mod luck;
mod mark;

use std::rc::Rc;

pub use self::fleet::Fleet;
pub use self::luck::{Choose, Draw, Fate, Luck, Odometer, TIRING, WORKS};
pub use self::mark::Memory;
use super::event::{Found, Half, Resolution, TenantEvent};
use super::failure::{ErrorClass, Failure, Retry};
use super::plan::Plan;
use super::retry::{RetryPolicy, Tried};
use super::summary::{DeploySummary, TenantStatus};
use super::tenant::{Action, StepState, TenantState};
use super::testing::{
    AGAIN, decided, failed, failed_after, failure, looked, planned, statements, succeeded, undo_failed, undone,
};
use crate::base::{Attempt, Code, DeployId, StepId, TenantId};

/// Where the worker is between two small steps. Its death loses this, and nothing else.
#[derive(Debug, Clone)]
enum Worker {
    /// Holds no claim.
    Away,
    /// Holds the tenant, and is about to ask `next`.
    Asking,
    /// About to hand an event to the log; what it announces is to be carried out once it is durable.
    Appending(TenantEvent, Option<(Half, usize)>),
    /// What it announced is durable, the step is in effect in part, and the session has not been opened.
    Reaching(usize),
    /// What it announced is durable, and the database has not been asked for the next commit.
    Acting(Half, usize),
}

/// When a worker dies, as the promises see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has decided, and the log has not heard of it.
    BeforeAppend,
    /// The last event is durable, and nothing was done after it.
    AfterAppend,
    /// The database has answered, and the log has not heard of it.
    AfterEffect,
}

/// One tenant, its database and its worker.
#[derive(Clone)]
pub struct Tenant<'p> {
    pub plan: &'p Plan,
    pub state: TenantState,
    pub history: Vec<Rc<TenantEvent>>,
    /// What is in effect in the database: steps by their place in the plan, each with its statement from 0, the latest last.
    pub effects: Vec<(usize, u32)>,
    /// What the database's ledger says of each step: how many commits are in force, and whether its undo came to its end.
    ledger: Vec<(u32, bool)>,
    /// How often the undo of a step began of which only the first statements were in effect.
    pub parts_undone: u32,
    /// What lies before each step.
    pub luck: Vec<Luck>,
    /// How often its worker has died.
    pub deaths: u32,
    worker: Worker,
}

impl<'p> Tenant<'p> {
    pub fn new(plan: &'p Plan, waves: &[u32]) -> Self {
        let mut tenant = Self {
            plan,
            state: TenantState::new(plan),
            history: Vec::new(),
            effects: Vec::new(),
            parts_undone: 0,
            ledger: vec![(0, false); plan.steps().len()],
            luck: plan.steps().iter().map(|step| Luck::of(statements(step))).collect(),
            deaths: 0,
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

    /// Whether a worker holds it and is about to ask what is next.
    pub fn is_asking(&self) -> bool {
        matches!(self.worker, Worker::Asking)
    }

    /// Whether a worker holds it, or would take it up.
    pub fn is_wanted(&self, deploy: &DeploySummary) -> bool {
        self.is_held() || {
            let row = self.state.summary(self.plan);
            deploy.admits(row.status, row.stage, row.wave)
        }
    }

    /// Whether a human has decided about one of its steps.
    pub fn is_settled_by_hand(&self) -> bool {
        self.history.iter().any(|event| matches!(**event, TenantEvent::TenantResolved { .. }))
    }

    /// What a death now would be; none where nobody is at work.
    pub fn moment(&self) -> Option<Moment> {
        match &self.worker {
            Worker::Away => None,
            Worker::Asking | Worker::Reaching(_) => Some(Moment::AfterAppend),
            Worker::Appending(
                TenantEvent::StepSucceeded { .. }
                | TenantEvent::StepFailed { .. }
                | TenantEvent::UndoSucceeded { .. }
                | TenantEvent::UndoFailed { .. },
                _,
            ) => Some(Moment::AfterEffect),
            Worker::Appending(..) => Some(Moment::BeforeAppend),
            Worker::Acting(half, step) => {
                let begun = if *half == Half::Act { 0 } else { self.commits(*step) };
                Some(if self.ledger[*step].0 == begun { Moment::AfterAppend } else { Moment::AfterEffect })
            }
        }
    }

    /// The worker dies.
    pub fn crash(&mut self) {
        self.deaths += u32::from(self.is_held());
        self.worker = Worker::Away;
    }

    /// One small step of the worker; false where it finds nothing to do.
    pub fn step(&mut self, deploy: &DeploySummary, choose: &mut dyn Choose) -> bool {
        match std::mem::replace(&mut self.worker, Worker::Asking) {
            Worker::Away => {
                self.worker = Worker::Away;
                if !self.is_wanted(deploy) {
                    return false;
                }
                // A worker that takes a tenant up knows only what the log says.
                let known = TenantState::fold(self.plan, self.history.iter().map(Rc::as_ref));
                let known = known.expect("a recorded history folds");
                assert_eq!(known, self.state, "P2: the fold of the log is not what its writer had");
                self.state = known;
                self.worker = Worker::Asking;
            }
            // It lets go of a tenant of a paused deploy, whatever is to be done there.
            Worker::Asking if deploy.paused => {
                self.worker = Worker::Away;
                return false;
            }
            Worker::Asking => {
                let Some((event, then)) = self.ask(deploy, choose) else {
                    self.worker = Worker::Away;
                    return false;
                };
                self.worker = Worker::Appending(event, then);
            }
            // The log refuses a start once the deploy has turned, and of either half while it is paused; the worker asks again.
            Worker::Appending(event, _) if event.is_forward_start() && !deploy.direction.admits_starts() => {}
            Worker::Appending(event, _) if event.is_start() && deploy.paused => {}
            Worker::Appending(event, then) => {
                self.append(event);
                self.worker = match then {
                    Some((Half::Act, step)) if self.ledger[step].0 > 0 => Worker::Reaching(step),
                    Some((half, step)) => Worker::Acting(half, step),
                    None => Worker::Asking,
                }
            }
            Worker::Reaching(step) => {
                self.worker = match self.luck[step].reach.meet(choose) {
                    Ok(()) => Worker::Acting(Half::Act, step),
                    // Nobody has seen the database, so nobody can say what is in effect there.
                    Err(class) => {
                        let retry = self.retry(step, class, self.attempt(step));
                        Worker::Appending(failed(self.id(step), retry), None)
                    }
                }
            }
            Worker::Acting(half, step) => {
                let end = if half == Half::Act { self.act(step, choose) } else { self.undo(step, choose) };
                self.worker = end.map_or(Worker::Acting(half, step), |event| Worker::Appending(event, None));
            }
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
        if let TenantEvent::UndoStarted { step, .. } = &event
            && matches!(self.state.step(self.plan, step), Some(StepState::Ready { .. } | StepState::Failed { .. }))
        {
            self.parts_undone += 1;
        }
        if let Err(error) = self.state.apply(self.plan, &event) {
            panic!("{error}, after {:#?}", self.history);
        }
        self.history.push(Rc::new(event));
        self.check_belief();
    }

    /// What the log says of a step that nobody is at work on is so in the database, to the statement.
    fn check_belief(&self) {
        for (at, (step, state)) in self.state.steps(self.plan).enumerate() {
            let (there, whole) = (self.in_effect(at), statements(step));
            let right = match state {
                StepState::Pending | StepState::Skipped | StepState::Undone => there == 0,
                StepState::Ready { part, .. } | StepState::Failed { part, .. } => there == *part,
                StepState::Succeeded(_) => there == whole,
                StepState::UndoReady { .. } => (there > 0) != self.state.is_undone_by_hand(&step.id),
                StepState::Left => there > 0,
                StepState::Started { .. }
                | StepState::Undoing { .. }
                | StepState::Doubt { .. }
                | StepState::Stuck { .. } => true,
            };
            assert!(right, "{there} of {} is in effect and it is {state:?}, after {:#?}", step.id, self.history);
        }
    }

    /// What the worker says of a try that failed: by the policy that every deploy has unless its workflow says otherwise, and by the
    /// number of the try that the log knows.
    fn retry(&self, step: usize, class: ErrorClass, attempt: Attempt) -> Retry {
        let tenant = TenantId::new("acme").expect("a name");
        let tried =
            Tried { deploy: DeployId(uuid::Uuid::nil()), tenant: &tenant, step: &self.plan.steps()[step].id, attempt };
        let failure = Failure::new(class, Code::StepFailed, "new");
        RetryPolicy::default().pause(&failure, tried).map_or(Retry::No, |_| AGAIN)
    }

    /// The number of the try that is under way.
    fn attempt(&self, step: usize) -> Attempt {
        match self.state.step(self.plan, &self.plan.steps()[step].id) {
            Some(StepState::Started { attempt, .. } | StepState::Undoing { attempt }) => *attempt,
            other => panic!("nothing is under way where it is {other:?}"),
        }
    }

    /// The log's last word is the announcement of this half of this step.
    fn check_announced(&self, half: Half, step: usize) {
        let last = self.history.last().map(Rc::as_ref);
        let announced = match (last, half) {
            (Some(TenantEvent::StepStarted { step, .. }), Half::Act)
            | (Some(TenantEvent::UndoStarted { step, .. }), Half::Undo) => Some(step.as_str()),
            _ => None,
        };
        assert_eq!(announced, Some(self.id(step)), "P1: the {half:?} is not announced, after {:#?}", self.history);
    }

    /// The database is asked for the next commit of a step; its answer, where that ends the try.
    fn act(&mut self, step: usize, choose: &mut dyn Choose) -> Option<TenantEvent> {
        let (next, whole) = (self.ledger[step].0, self.commits(step));
        assert!(next < whole.max(1), "P3: step {} was started again", self.id(step));
        self.check_announced(Half::Act, step);
        if let Err(class) = self.luck[step].acts[next as usize].meet_until_it_works(self.deaths, choose) {
            return Some(failed_after(self.id(step), self.retry(step, class, self.attempt(step)), next));
        }
        if whole > 0 {
            assert!(!self.effects.contains(&(step, next)), "P3: statement {next} of {} ran twice", self.id(step));
            assert_eq!(self.in_effect(step), next, "{}: a statement ran without those before it", self.id(step));
            self.effects.push((step, next));
            self.ledger[step].0 += 1;
        }
        (self.ledger[step].0 == whole).then(|| succeeded(self.id(step)))
    }

    /// The database is asked to take back the latest commit of a step; its answer, where that ends the try.
    fn undo(&mut self, step: usize, choose: &mut dyn Choose) -> Option<TenantEvent> {
        let (id, whole) = (self.id(step), self.commits(step));
        self.check_announced(Half::Undo, step);
        if self.state.is_undone_by_hand(&id.into()) {
            // Only the ledger is still to be told.
            self.ledger[step].0 = 0;
        } else {
            if self.state.is_applied_by_word(&id.into()) && self.in_effect(step) == whole {
                self.ledger[step].0 = whole;
            }
            let last = self.ledger[step].0.checked_sub(1).expect("P4: nothing of it is in effect");
            let undo = &mut self.luck[step].undos[last as usize];
            if let Err(class) = undo.meet_until_it_works(self.deaths, choose) {
                return Some(undo_failed(id, self.retry(step, class, self.attempt(step))));
            }
            assert_eq!(self.effects.pop(), Some((step, last)), "P4: the latest effect is undone first, and once");
            self.ledger[step].0 = last;
        }
        self.ledger[step].1 = self.ledger[step].0 == 0;
        self.ledger[step].1.then(|| undone(id))
    }

    /// Evidence, where it can be had, is what the ledger says.
    ///
    /// Only a death leaves a step in doubt, and each allows for the tries of one doubt and for a look that no log heard of.
    fn look(&mut self, half: Half, step: usize, choose: &mut dyn Choose) -> Found {
        let (looks_max, draw) = ((RetryPolicy::default().attempts + 1) * self.deaths, &self.luck[step].look);
        assert!(draw.mended || draw.met < looks_max, "evidence of {} is looked for without end", self.id(step));
        if let Err(class) = self.luck[step].look.meet(choose) {
            let looks = match self.state.step(self.plan, &self.plan.steps()[step].id) {
                Some(StepState::Doubt { looks, .. }) => looks.counted,
                _ => Attempt(0),
            };
            return Found::Unknown { failure: failure("no evidence"), retry: self.retry(step, class, looks.next()) };
        }
        match (half, self.ledger[step]) {
            (Half::Act, (0, _)) | (Half::Undo, (_, false)) => Found::NotApplied,
            (Half::Act, (part, _)) if part < self.commits(step) => Found::Partial { statements: part },
            (Half::Act, _) | (Half::Undo, (_, true)) => Found::Applied,
        }
    }

    fn id(&self, step: usize) -> &'p str {
        self.plan.steps()[step].id.as_str()
    }

    /// How many commits a step is made of.
    pub fn commits(&self, step: usize) -> u32 {
        statements(&self.plan.steps()[step])
    }

    /// How many of them are in effect.
    pub fn in_effect(&self, step: usize) -> u32 {
        self.effects.iter().filter(|(of, _)| *of == step).map(|_| 1).sum()
    }

    /// Whether the database's ledger says of each step what is in effect of it. Of an act that a human settled it may not know.
    pub fn is_ledger_right(&self) -> bool {
        let settled = |at: usize| {
            let of = |step: &StepId| step.as_str() == self.id(at);
            let mut until_undo = self
                .history
                .iter()
                .take_while(|event| !matches!(&***event, TenantEvent::UndoStarted { step, .. } if of(step)));
            until_undo.any(|event| matches!(&**event, TenantEvent::TenantResolved { step, .. } if of(step)))
        };
        (0..self.ledger.len()).all(|at| self.ledger[at].0 == self.in_effect(at) || settled(at))
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
        let (there, whole) = (self.in_effect(at), self.commits(at));
        let resolution = match (choose.pick(3), half) {
            // Mends the cause, whatever it was, and has it tried again; not what has been taken back by hand.
            (0, _) if there >= self.ledger[at].0 => {
                self.luck[at].look.mended = true;
                self.mend_undo(at, half);
                Resolution::Retry
            }
            // Does by hand what is missing of a step that was cut off, and says that it is there.
            (1, Half::Act) if there > 0 => {
                for statement in there..whole {
                    self.effects.push((at, statement));
                    // What the database would have said to it does not matter any more.
                    self.luck[at].acts[statement as usize].forget();
                }
                Resolution::Applied
            }
            // Leaves the database as it is, and says that it is there.
            (1, Half::Undo) if there > 0 => Resolution::Applied,
            // Makes it undone by hand, or finds it so. The ledger is as it was.
            _ => {
                for statement in (0..there).rev() {
                    assert_eq!(self.effects.pop(), Some((at, statement)));
                }
                self.mend_undo(at, half);
                Resolution::Undone
            }
        };
        self.append(decided(self.id(at), resolution));
    }

    fn mend_undo(&mut self, step: usize, half: Half) {
        for undo in &mut self.luck[step].undos {
            undo.mended |= half == Half::Undo;
        }
    }
}
