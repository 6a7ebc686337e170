//! A world for the machines to run in: one tenant, its database as a stack of effects, and a worker that moves in small steps.
//!
//! A step is one commit, or several, one for each of its statements. The database has a ledger of its own, where each commit leaves its
//! row; a worker goes by that, and a human's hand can make it wrong.
//!
//! Between any two small steps the worker may be killed, the deploy may turn, and another tenant's worker may run: whoever drives
//! the model decides. What goes wrong inside the database is drawn from a [`Choose`], at the moment when it matters and only then,
//! so that an exhaustive driver meets every case once.

use super::event::{Found, Half, Resolution, TenantEvent};
use super::failure::Retry;
use super::plan::Plan;
use super::summary::{DeploySummary, TenantStatus};
use super::tenant::{Action, StepState, TenantState};
use super::testing::{
    AGAIN, decided, failed, failed_after, failure, looked, planned, statements, succeeded, undo_failed, undone,
};

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
        if self.mended {
            return Ok(());
        }
        let fate = *self.fate.get_or_insert_with(|| [Fate::Works, Fate::WorksSecond, Fate::Fails][choose.pick(3)]);
        self.met += 1;
        match fate {
            Fate::WorksSecond if self.met == 1 => Err(AGAIN),
            Fate::Works | Fate::WorksSecond => Ok(()),
            Fate::Fails => Err(Retry::No),
        }
    }
}

/// What lies before one step.
#[derive(Debug, Clone, Default)]
pub struct Luck {
    /// Its statements, or the step as a whole.
    pub acts: Vec<Draw>,
    pub undos: Vec<Draw>,
    pub look: Draw,
    /// The session of a further try, where statements are in effect already.
    pub reach: Draw,
}

impl Luck {
    fn of(commits: u32) -> Self {
        let draws = vec![Draw::default(); commits.max(1) as usize];
        Self { acts: draws.clone(), undos: draws, ..Self::default() }
    }
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
    /// What it announced is durable, the step is in effect in part, and the session has not been opened.
    Reaching(usize),
    /// What it announced is durable, and the database has not been asked for the next commit.
    Acting(Half, usize),
}

/// One tenant, its database and its worker.
pub struct Tenant<'p> {
    pub plan: &'p Plan,
    pub state: TenantState,
    pub history: Vec<TenantEvent>,
    /// What is in effect in the database: steps by their place in the plan, each with its statement from 0, the latest last.
    pub effects: Vec<(usize, u32)>,
    /// What the database's ledger says of each step: how many commits are in force, and whether its undo came to its end.
    ledger: Vec<(u32, bool)>,
    /// How often the undo of a step began of which only the first statements were in effect.
    pub parts_undone: u32,
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
            parts_undone: 0,
            ledger: vec![(0, false); plan.steps().len()],
            luck: plan.steps().iter().map(|step| Luck::of(statements(step))).collect(),
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
        matches!(self.worker, Worker::Appending(..) | Worker::Reaching(_) | Worker::Acting(..))
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
                    Err(retry) => Worker::Appending(failed(self.id(step), retry), None),
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
        self.history.push(event);
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

    /// The database is asked for the next commit of a step; its answer, where that ends the try.
    fn act(&mut self, step: usize, choose: &mut dyn Choose) -> Option<TenantEvent> {
        let (next, whole) = (self.ledger[step].0, self.commits(step));
        assert!(next < whole.max(1), "P3: step {} was started again", self.id(step));
        if let Err(retry) = self.luck[step].acts[next as usize].meet(choose) {
            return Some(failed_after(self.id(step), retry, next));
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
        if self.state.is_undone_by_hand(&id.into()) {
            // Only the ledger is still to be told.
            self.ledger[step].0 = 0;
        } else {
            if self.state.is_applied_by_word(&id.into()) && self.in_effect(step) == whole {
                self.ledger[step].0 = whole;
            }
            let last = self.ledger[step].0.checked_sub(1).expect("P4: nothing of it is in effect");
            if let Err(retry) = self.luck[step].undos[last as usize].meet(choose) {
                return Some(undo_failed(id, retry));
            }
            assert_eq!(self.effects.pop(), Some((step, last)), "P4: the latest effect is undone first, and once");
            self.ledger[step].0 = last;
        }
        self.ledger[step].1 = self.ledger[step].0 == 0;
        self.ledger[step].1.then(|| undone(id))
    }

    /// Evidence, where it can be had, is what the ledger says.
    fn look(&mut self, half: Half, step: usize, choose: &mut dyn Choose) -> Found {
        if let Err(retry) = self.luck[step].look.meet(choose) {
            return Found::Unknown { failure: failure("no evidence"), retry };
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
    fn in_effect(&self, step: usize) -> u32 {
        self.effects.iter().filter(|(of, _)| *of == step).map(|_| 1).sum()
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
                    self.luck[at].acts[statement as usize] = Draw::default();
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
