//! Lets a deploy run, and at one moment of it makes something go wrong.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::session::{Between, Call, Go};
use crate::base::{Code, StepId, TenantId};
use crate::saga::event::{Evidence, Half};
use crate::saga::failure::{ErrorClass, Failure};
use crate::saga::plan::PlannedStep;
use crate::saga::workflow::StepDef;
use crate::step::{Afterwards, Expand, Said, Seen, StepContext, StepError, StepKind, Trouble};
use crate::tenant::SessionError;

/// Where in a deploy something can go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// The step at work.
    pub(super) step: StepId,
    /// Which way.
    pub(super) half: Half,
    when: When,
    /// Of what: nothing where it is the whole step.
    what: Option<String>,
    /// What can go wrong here.
    may: May,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// The database, or whatever the step asks, can refuse, and the process can die.
    FailOrDie,
    /// The database can refuse: between two statements of a transaction, where a death is the same as before all of them.
    Fail,
    /// The process can die.
    Die,
}

impl Moment {
    pub(super) fn may(&self, wrong: Wrong) -> bool {
        match self.may {
            May::FailOrDie => true,
            May::Fail => wrong == Wrong::Refused,
            May::Die => wrong == Wrong::Dies,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Before => "before",
            When::After => "after",
        };
        let half = match self.half {
            Half::Act => "",
            Half::Undo => "the undo of ",
        };
        match &self.what {
            None => write!(f, "{when} {half}step {}", self.step),
            Some(what) => write!(f, "in {half}step {}, {when} {what}", self.step),
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The database, or whatever the step asks, refuses for good.
    Refused,
    /// The process dies.
    Dies,
}

#[derive(Default)]
struct State {
    /// What is at work.
    at: Option<(StepId, Half)>,
    /// Everything that was passed.
    passed: Vec<Moment>,
    /// What goes wrong, and at which moment, by its number in the order of passing.
    wrong: Option<(usize, Wrong)>,
    /// Whether the deploy turns when the last step of the plan has acted.
    turns_at: Option<StepId>,
}

/// Counts the moments of one deploy.
#[derive(Default)]
pub(super) struct Director {
    state: Mutex<State>,
    died: Notify,
    turn: Notify,
    turned: Notify,
}

/// The message of a refusal that was staged.
const STAGED: &str = "refused by the test kit";

impl Director {
    pub(super) fn new(wrong: Option<(usize, Wrong)>, turns_at: Option<StepId>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { wrong, turns_at, ..State::default() }), ..Self::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was passed so far.
    pub(super) fn passed(&self) -> Vec<Moment> {
        self.state().passed.clone()
    }

    /// The process has died: whatever was under way stands still for ever.
    pub(super) async fn died(&self) {
        self.died.notified().await;
    }

    /// Somebody is to turn the deploy now, and to say when that is done.
    pub(super) async fn turn(&self) {
        self.turn.notified().await;
    }

    pub(super) fn turned(&self) {
        self.turned.notify_one();
    }

    /// Says what is at work, until what it gives is dropped.
    fn at(&self, step: &StepId, half: Half) -> impl Drop {
        self.state().at = Some((step.clone(), half));
        AtWork(self)
    }

    /// Passes a moment; what is true is that something is to be refused here.
    async fn pass(&self, when: When, what: Option<String>, may: May) -> bool {
        let wrong = {
            let mut state = self.state();
            let Some((step, half)) = state.at.clone() else { return false };
            let number = state.passed.len();
            state.passed.push(Moment { step, half, when, what, may });
            state.wrong.take_if(|(at, _)| *at == number).map(|(_, wrong)| wrong)
        };
        match wrong {
            None => false,
            Some(Wrong::Refused) => true,
            Some(Wrong::Dies) => {
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn turn_after(&self, step: &StepId) {
        if self.state().turns_at.take_if(|at| at == step).is_some() {
            self.turn.notify_one();
            self.turned.notified().await;
        }
    }
}

struct AtWork<'a>(&'a Director);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.state().at = None;
    }
}

#[async_trait]
impl Between for Director {
    async fn before(&self, tenant: &TenantId, call: &Call<'_>) -> Result<Go, SessionError> {
        let may = if call.statements().is_empty() { May::Die } else { May::FailOrDie };
        if self.pass(When::Before, Some(call.to_string()), may).await {
            return Err(SessionError::no_effect(tenant, ErrorClass::Permanent, Code::StepFailed, STAGED));
        }
        for (upto, statement) in (1..).zip(call.transaction().unwrap_or_default()) {
            if self.pass(When::After, Some(format!("{statement} in {call}")), May::Fail).await {
                return Ok(Go::UpTo(upto));
            }
        }
        Ok(Go::Ahead)
    }

    async fn after(&self, _tenant: &TenantId, call: &Call<'_>) -> Result<(), SessionError> {
        self.pass(When::After, Some(call.to_string()), May::Die).await;
        Ok(())
    }
}

/// A kind of step in the director's hands.
pub(super) struct Directed {
    pub(super) kind: Arc<dyn StepKind>,
    pub(super) director: Arc<Director>,
}

impl Directed {
    async fn refused(&self) -> Result<(), Trouble> {
        if self.director.pass(When::Before, None, May::FailOrDie).await {
            return Err(Failure::new(ErrorClass::Permanent, Code::StepFailed, STAGED).into());
        }
        Ok(())
    }
}

#[async_trait]
impl StepKind for Directed {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn summary(&self) -> &'static str {
        self.kind.summary()
    }

    fn expand(&self, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError> {
        self.kind.expand(def, cx)
    }

    async fn act(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let _at = self.director.at(&step.id, Half::Act);
        self.refused().await?;
        let evidence = self.kind.act(step, cx).await?;
        self.director.pass(When::After, None, May::Die).await;
        self.director.turn_after(&step.id).await;
        Ok(evidence)
    }

    async fn undo(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let _at = self.director.at(&step.id, Half::Undo);
        self.refused().await?;
        let evidence = self.kind.undo(step, cx).await?;
        self.director.pass(When::After, None, May::Die).await;
        Ok(evidence)
    }

    async fn tell(&self, step: &PlannedStep, said: Said, cx: &mut StepContext<'_>) -> Result<(), Trouble> {
        self.kind.tell(step, said, cx).await
    }

    async fn probe(
        &self,
        step: &PlannedStep,
        half: Half,
        afterwards: Afterwards,
        cx: &mut StepContext<'_>,
    ) -> Result<Seen, Trouble> {
        let _at = self.director.at(&step.id, half);
        self.kind.probe(step, half, afterwards, cx).await
    }
}
