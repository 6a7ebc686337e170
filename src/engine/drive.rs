//! Drives one claimed tenant: asks the machine what is next, announces it, does it, records how it ended.
//!
//! What a crash means, line by line: before the announcement is durable, nothing has been done. Between the announcement and its
//! end's record, the fold finds a step without an end, and the next driver looks for evidence before anything else. The record of an
//! end is handed to the log together with the next announcement, so a chain of n steps waits for n + 1 commits; an end that is lost
//! with the process is found again in the tenant's ledger.
//!
//! A pause of the deploy changes none of this. It is an event of the deploy's own stream: before it is durable, nobody knows of it; from
//! then on the log refuses every announcement. Whoever dies in a paused deploy with a step under way leaves it in doubt, as ever, and it
//! is looked for when the deploy goes on.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::time::Instant;

use super::gateway::OpenSession;
use super::run::{Shared, limits};
use crate::base::crash::{Point, point};
use crate::base::limits::{MESSAGE_BYTES_MAX, POLL, RETRY_PAUSE_MAX, STARTS_PER_STEP_MAX};
use crate::base::measure;
use crate::base::{Attempt, Code, Epoch, TenantId, Timestamp};
use crate::fleet::Tenant;
use crate::log::{Append, AppendError, Claim, LeaseAfter, LogError};
use crate::saga::event::{Direction, Event, Evidence, Found, Half, StreamId, TenantEvent, TenantOutcome};
use crate::saga::failure::{ErrorClass, Failure, Retry};
use crate::saga::plan::{Plan, PlannedStep, UndoSource};
use crate::saga::retry::{Tried, waits_for_predecessor};
use crate::saga::summary::TenantStatus;
use crate::saga::tenant::{Action, Looks, StepState, TenantState};
use crate::step::{Afterwards, Said, Scripts, Seen, StepContext, StepKind, Trouble, Undoing};
use crate::tenant::{Opening, Outcome};

/// What became of telling a tenant's ledger.
enum Told {
    /// It knows all there is to know.
    All,
    /// It could not be told something: what, for people.
    Not(String),
    /// The operator has said stop or pause meanwhile.
    Stopped,
}

/// Why a driver let go of its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LetGo {
    /// Its work here is done, for now or for good; it stands like this.
    At(TenantStatus),
    /// Somebody else has it.
    Fenced,
}

pub(super) struct Driver {
    shared: Arc<Shared>,
    stream: StreamId,
    tenant: Tenant,
    epoch: Epoch,
    plan: Arc<Plan>,
    scripts: Arc<Scripts>,
    state: TenantState,
    /// Events folded into `state` and not yet handed to the log.
    pending: Vec<TenantEvent>,
    session: Option<OpenSession>,
}

/// What becomes of the loop after a step.
enum Flow {
    Go,
    End(LetGo),
}

impl Driver {
    /// Reads the claimed stream; an event that does not fit is damage, and nothing is done.
    pub(super) async fn new(shared: Arc<Shared>, claim: Claim) -> Result<Self, LogError> {
        point(Point::AfterClaim);
        let corrupt = |reason: String| LogError::Corrupt { place: claim.stream.to_string(), reason };
        let tenant: Tenant = serde_json::from_str(&claim.spec).map_err(|error| corrupt(error.to_string()))?;
        let events: Vec<&TenantEvent> = claim
            .events
            .iter()
            .filter_map(|recorded| match &recorded.event {
                Event::Tenant(event) => Some(event),
                Event::Deploy(_) => None,
            })
            .collect();
        let Some(TenantEvent::TenantPlanned { plan, .. }) = events.first() else {
            return Err(corrupt("the stream does not begin with tenant_planned".to_owned()));
        };
        let plan = shared.plan(plan).await?;
        let state = TenantState::fold(&plan, events).map_err(|error| corrupt(error.to_string()))?;
        let scripts = shared.scripts(tenant.target.engine).map_err(corrupt)?;
        Ok(Self {
            stream: claim.stream,
            tenant,
            epoch: claim.epoch,
            plan,
            scripts,
            state,
            pending: Vec::new(),
            session: None,
            shared,
        })
    }

    /// Goes on until nothing is left to do here, or not now, or not by us.
    pub(super) async fn run(mut self) -> Result<LetGo, LogError> {
        let plan = Arc::clone(&self.plan);
        let end = loop {
            let view = self.shared.view();
            // Between two steps, and before anything else is asked of the tenant: a paused deploy is left as it is, in doubt and out of
            // it. What has ended is recorded as the tenant is let go.
            if view.paused {
                break self.let_go().await?;
            }
            let flow = match self.state.next(&plan, view.direction, view.open) {
                Action::Probe { step, half, looks, not_before } => self.probe(step, half, looks, not_before).await?,
                Action::Start { step, attempt, not_before } => {
                    self.announce(step, Half::Act, attempt, not_before).await?
                }
                Action::Undo { step, attempt, not_before } => {
                    self.announce(step, Half::Undo, attempt, not_before).await?
                }
                Action::Turn { cause } => self.record(TenantEvent::TenantTurned { cause })?,
                Action::SkipUndo { step } => {
                    let reason = "it changed nothing".to_owned();
                    self.record(TenantEvent::UndoSkipped { step: step.id.clone(), reason })?
                }
                Action::Finish { outcome, reason, code } => {
                    let end = match self.tell(outcome).await {
                        Told::All => Some((reason, code)),
                        Told::Not(what) => Some((format!("{reason}; {what}"), Some(Code::LedgerUntold))),
                        Told::Stopped => None,
                    };
                    if let Some((reason, code)) = end {
                        self.record(TenantEvent::TenantFinished { outcome, reason, code })?;
                    }
                    Flow::End(self.let_go().await?)
                }
                Action::AwaitWave | Action::AwaitDecision | Action::Rest => Flow::End(self.let_go().await?),
            };
            if let Flow::End(end) = flow {
                break end;
            }
        };
        if let Some(open) = self.session.take() {
            open.session.close().await;
        }
        Ok(end)
    }

    /// Tells the tenant's ledger what only a human's word says, before the tenant ends with it: the next deploy goes by the ledger. Whoever
    /// dies here has a successor that finds the same to tell, and tells it again.
    async fn tell(&mut self, outcome: TenantOutcome) -> Told {
        if outcome == TenantOutcome::Stuck {
            return Told::All;
        }
        let plan = Arc::clone(&self.plan);
        let said = |(step, at): (&PlannedStep, &StepState)| match at {
            StepState::Left => Some((step.clone(), Said::InEffect)),
            StepState::Succeeded(_) if self.state.is_applied_by_word(&step.id) => Some((step.clone(), Said::InEffect)),
            // Its ledger row may stand although what it tells of was taken back.
            StepState::Failed { .. } if self.state.is_undone_by_hand(&step.id) => Some((step.clone(), Said::Undone)),
            _ => None,
        };
        let mut by_word: Vec<_> = self.state.steps(&plan).filter_map(said).collect();
        // What stays has the last word: the fence is to say so.
        by_word.sort_by_key(|(_, said)| *said == Said::InEffect);
        for (step, said) in by_word {
            let mut looks = Looks::default();
            while let Err(Trouble { failure, .. }) = self.tell_of(&step, said).await {
                self.session = None;
                looks = looks.after(&failure);
                let Some(pause) = self.pause_of_look(&step, looks, &failure) else {
                    let what = if said == Said::InEffect { "is in effect" } else { "was undone" };
                    return Told::Not(format!(
                        "the tenant's ledger, by which the next deploy goes, could not be told that {} {what}: {} ({})",
                        step.id, failure.message, failure.code
                    ));
                };
                if !self.waits_until(self.shared.log.clock().now().plus(pause)).await {
                    return Told::Stopped;
                }
            }
        }
        Told::All
    }

    /// How long to wait before the next look, or the next attempt to tell; `None` where there have been enough like this one.
    fn pause_of_look(&self, step: &PlannedStep, looks: Looks, failure: &Failure) -> Option<Duration> {
        let alike = if waits_for_predecessor(failure) { looks.held } else { looks.counted };
        self.shared.workflow.on_failure.retry.pause_of_look(failure, self.tried(step, alike))
    }

    async fn tell_of(&mut self, step: &PlannedStep, said: Said) -> Result<(), Trouble> {
        let kind = self.kind(step)?;
        let mut cx = self.context(Undoing::Scripted).await?;
        kind.tell(step, said, &mut cx).await
    }

    /// Whether a moment is still to be waited for, by the same rule as that by which the log hands tenants out.
    fn is_ahead(&self, moment: Timestamp) -> bool {
        let now = self.shared.log.clock().now();
        moment.believed(now, RETRY_PAUSE_MAX) > now
    }

    /// Waits with the tenant in hand. `false`: the operator has said stop or pause, and it was not waited to the end.
    async fn waits_until(&self, moment: Timestamp) -> bool {
        while self.is_ahead(moment) {
            if self.shared.stopping() || self.shared.view().paused {
                return false;
            }
            let left = self.shared.log.clock().now().until(moment);
            tokio::time::sleep(left.min(POLL)).await;
        }
        true
    }

    /// Folds an event in; it becomes durable with the next announcement or at the end.
    fn record(&mut self, event: TenantEvent) -> Result<Flow, LogError> {
        self.state.apply(&self.plan, &event).map_err(|error| self.broken(&error.to_string()))?;
        self.pending.push(event);
        Ok(Flow::Go)
    }

    /// The machine proposed what it does not allow: a defect of Windlass. Nothing more is done to this tenant.
    fn broken(&self, reason: &str) -> LogError {
        LogError::Corrupt { place: self.stream.to_string(), reason: reason.to_owned() }
    }

    /// Makes everything recorded durable and gives the lease back.
    async fn let_go(&mut self) -> Result<LetGo, LogError> {
        let status = self.state.summary(&self.plan).status;
        if self.pending.is_empty() {
            self.shared.log.release(&self.stream, self.epoch).await?;
            return Ok(LetGo::At(status));
        }
        let state = self.state.clone();
        let events = std::mem::take(&mut self.pending);
        let is_stuck =
            |event: &TenantEvent| matches!(event, TenantEvent::TenantFinished { outcome: TenantOutcome::Stuck, .. });
        let stuck = events.iter().any(is_stuck);
        match self.append(events, &state, LeaseAfter::Release).await {
            Ok(()) => {
                if stuck {
                    counter!(measure::STUCK).increment(1);
                }
                Ok(LetGo::At(status))
            }
            Err(AppendError::Log(error)) => Err(error),
            Err(_) => Ok(LetGo::Fenced),
        }
    }

    /// One conditional append; `after` is the fold with it.
    async fn append(
        &self,
        events: Vec<TenantEvent>,
        after: &TenantState,
        lease: LeaseAfter,
    ) -> Result<(), AppendError> {
        let expect = crate::base::Seq(after.seq().0 - events.len() as u64);
        point(Point::BeforeAppend);
        let append = Append {
            stream: self.stream.clone(),
            expect,
            epoch: self.epoch,
            events: events.into_iter().map(Event::Tenant).collect(),
            summary: Some(after.summary(&self.plan)),
            place: after.place(&self.plan),
            lease,
            by: self.shared.worker.clone(),
        };
        self.shared.log.append(append).await?;
        point(Point::AfterAppend);
        Ok(())
    }

    /// Announces an act or an undo, and once that is durable, does it and records how it ended.
    async fn announce(
        &mut self,
        step: &PlannedStep,
        half: Half,
        attempt: Attempt,
        not_before: Timestamp,
    ) -> Result<Flow, LogError> {
        if self.shared.stopping() {
            return Ok(Flow::End(self.let_go().await?));
        }
        if self.is_ahead(not_before) {
            // Whoever is handed a waiting tenant may not know yet that the deploy has turned.
            if half == Half::Act && self.turns().await? {
                return Ok(Flow::Go);
            }
            return Ok(Flow::End(self.let_go().await?));
        }
        let start = match half {
            Half::Act => TenantEvent::StepStarted { step: step.id.clone(), attempt },
            Half::Undo => TenantEvent::UndoStarted { step: step.id.clone(), attempt },
        };
        let mut after = self.state.clone();
        after.apply(&self.plan, &start).map_err(|error| self.broken(&error.to_string()))?;
        let mut events = std::mem::take(&mut self.pending);
        events.push(start);
        match self.append(events.clone(), &after, LeaseAfter::Keep).await {
            Ok(()) => self.state = after,
            // The deploy has turned since we looked, or was paused: the start is void, what came before it is still to be written
            // (promise P5).
            Err(AppendError::Turned { .. } | AppendError::Paused { .. }) => {
                events.pop();
                self.pending = events;
                self.shared.refresh().await?;
                return Ok(Flow::Go);
            }
            Err(AppendError::Log(error)) => return Err(error),
            Err(_) => return Ok(Flow::End(LetGo::Fenced)),
        }
        match self.perform(step, half, attempt).await {
            Ok(evidence) => self.record(succeeded(step, half, evidence)),
            Err(Trouble { failure, outcome: Outcome::NoEffect, in_effect }) => {
                self.failed(step, half, attempt, failure, in_effect)
            }
            Err(Trouble { failure, outcome: Outcome::Unknown, .. }) => self.settle(step, half, attempt, failure).await,
            // No look can settle it, and no further try may run over what stayed.
            Err(Trouble { failure, outcome: Outcome::Torn, .. }) => {
                self.probed(step, half, Found::Unknown { failure, retry: Retry::No })
            }
        }
    }

    /// The connection went before the answer came. Looks at once; only the ledger knows whether the failure was one.
    async fn settle(
        &mut self,
        step: &PlannedStep,
        half: Half,
        attempt: Attempt,
        failure: Failure,
    ) -> Result<Flow, LogError> {
        self.session = None;
        match self.look(step, half).await {
            Ok(Seen::NotApplied) => self.failed(step, half, attempt, failure, 0),
            Ok(Seen::Partial(statements)) => self.failed(step, half, attempt, failure, statements),
            Ok(Seen::Applied) => self.record(succeeded(step, half, Evidence { probed: true, ..Evidence::default() })),
            Err(Trouble { failure, outcome: Outcome::Torn, .. }) => {
                self.probed(step, half, Found::Unknown { failure, retry: Retry::No })
            }
            Err(trouble) => self.in_doubt(step, half, Looks::default(), trouble.failure),
        }
    }

    /// `in_effect` of its statements stay: of an act, which is then undone as far as it came, or goes on from there.
    fn failed(
        &mut self,
        step: &PlannedStep,
        half: Half,
        attempt: Attempt,
        failure: Failure,
        in_effect: u32,
    ) -> Result<Flow, LogError> {
        if failure.class == ErrorClass::Transient {
            // Whatever made it fail may have harmed the session too; the next try opens another.
            self.session = None;
        }
        let retry = self.retry(step, attempt, &failure);
        if retry != Retry::No {
            counter!(measure::RETRIES, "kind" => step.uses.clone(), "half" => half.as_str()).increment(1);
        }
        // By its code: what the tenant said can hold what lies in its tables, and is kept where that may be read.
        let (deploy, tenant, code) = (self.stream.deploy, &self.tenant.id, failure.code);
        let again = retry != Retry::No;
        tracing::info!(%deploy, %tenant, step = %step.id, half = half.as_str(), %code, again, "a step failed");
        let failure = exhausted(failure, attempt, retry);
        let step = step.id.clone();
        self.record(match half {
            Half::Act => TenantEvent::StepFailed { step, failure, retry, in_effect },
            Half::Undo => TenantEvent::UndoFailed { step, failure, retry },
        })
    }

    fn retry(&self, step: &PlannedStep, attempt: Attempt, failure: &Failure) -> Retry {
        let pause = self.shared.workflow.on_failure.retry.pause(failure, self.tried(step, attempt));
        self.after(pause)
    }

    fn tried<'a>(&'a self, step: &'a PlannedStep, attempt: Attempt) -> Tried<'a> {
        Tried { deploy: self.stream.deploy, tenant: &self.tenant.id, step: &step.id, attempt }
    }

    fn after(&self, pause: Option<Duration>) -> Retry {
        pause.map_or(Retry::No, |pause| Retry::At(self.shared.log.clock().now().plus(pause)))
    }

    /// Whether the deploy has turned, by the log as it is now, and the tenant has not.
    async fn turns(&self) -> Result<bool, LogError> {
        self.shared.refresh().await?;
        Ok(self.shared.view().direction == Direction::Unwind && self.state.turned().is_none())
    }

    /// Looks for evidence of what was announced and has no known end.
    async fn probe(
        &mut self,
        step: &PlannedStep,
        half: Half,
        looks: Looks,
        not_before: Timestamp,
    ) -> Result<Flow, LogError> {
        if self.is_ahead(not_before) {
            if half == Half::Undo || !self.turns().await? {
                return Ok(Flow::End(self.let_go().await?));
            }
            // In a deploy that has turned the tenant is handed out whatever it waits for, and a look has to wait all the same.
            if !self.waits_until(not_before).await {
                return Ok(Flow::End(self.let_go().await?));
            }
        }
        let seen = self.look(step, half).await;
        point(Point::AfterProbe);
        match seen {
            Ok(Seen::Applied) => self.probed(step, half, Found::Applied),
            Ok(Seen::NotApplied) => self.probed(step, half, Found::NotApplied),
            Ok(Seen::Partial(statements)) => self.probed(step, half, Found::Partial { statements }),
            // Looking again would see the same: what it found already says what a human must look at.
            Err(Trouble { failure, outcome: Outcome::Torn, .. }) => {
                self.probed(step, half, Found::Unknown { failure, retry: Retry::No })
            }
            Err(trouble) => self.in_doubt(step, half, looks, trouble.failure),
        }
    }

    fn probed(&mut self, step: &PlannedStep, half: Half, found: Found) -> Result<Flow, LogError> {
        self.record(TenantEvent::StepProbed { step: step.id.clone(), half, found })
    }

    fn in_doubt(&mut self, step: &PlannedStep, half: Half, looks: Looks, failure: Failure) -> Result<Flow, LogError> {
        self.session = None;
        let looks = looks.after(&failure);
        let retry = self.after(self.pause_of_look(step, looks, &failure));
        let failure = match retry {
            Retry::At(_) => failure,
            Retry::No => {
                let what = match half {
                    Half::Act => "took effect",
                    Half::Undo => "was undone",
                };
                let message = format!(
                    "it cannot be told whether step {} {what}: {} ({})",
                    step.id, failure.message, failure.code
                );
                Failure {
                    class: ErrorClass::Permanent,
                    code: Code::InDoubt,
                    ..Failure::new(failure.class, failure.code, message)
                }
            }
        };
        self.probed(step, half, Found::Unknown { failure, retry })
    }

    async fn look(&mut self, step: &PlannedStep, half: Half) -> Result<Seen, Trouble> {
        if step.undo == UndoSource::NoEffect {
            return Ok(Seen::NotApplied);
        }
        let turned = self.shared.view().direction == Direction::Unwind || self.state.turned().is_some();
        let afterwards = if half == Half::Act && turned { Afterwards::Forgo } else { Afterwards::Repeat };
        let kind = self.kind(step)?;
        let mut cx = self.context(Undoing::Scripted).await?;
        kind.probe(step, half, afterwards, &mut cx).await
    }

    /// Does what was announced, and takes down how long that took.
    async fn perform(&mut self, step: &PlannedStep, half: Half, attempt: Attempt) -> Result<Evidence, Trouble> {
        let began = Instant::now();
        let performed = self.carry_out(step, half, attempt).await;
        measured(step, half, began, &performed);
        performed
    }

    async fn carry_out(&mut self, step: &PlannedStep, half: Half, attempt: Attempt) -> Result<Evidence, Trouble> {
        if attempt.0 > STARTS_PER_STEP_MAX {
            let message = format!("step {} has been started {STARTS_PER_STEP_MAX} times and never ended", step.id);
            return Err(Failure::new(ErrorClass::Permanent, Code::RetriesExhausted, message).into());
        }
        let kind = self.kind(step)?;
        let undoing = if self.state.is_undone_by_hand(&step.id) {
            Undoing::ByHand
        } else if self.state.is_applied_by_word(&step.id) {
            Undoing::Believed
        } else {
            Undoing::Scripted
        };
        let mut cx = self.context(undoing).await?;
        match half {
            Half::Act => kind.act(step, &mut cx).await,
            Half::Undo => kind.undo(step, &mut cx).await,
        }
    }

    fn kind(&self, step: &PlannedStep) -> Result<Arc<dyn StepKind>, Failure> {
        self.shared.kinds.get(&step.uses).map(Arc::clone).ok_or_else(|| {
            let message =
                format!("this Windlass has no step kind {:?}, which the plan of step {} asks for", step.uses, step.id);
            Failure::new(ErrorClass::Permanent, Code::UnknownStepKind, message)
        })
    }

    /// The session, opened if there is none.
    async fn context(&mut self, undoing: Undoing) -> Result<StepContext<'_>, Trouble> {
        if self.session.is_none() {
            let limits = limits(&self.plan);
            let opening = Opening {
                tenant: self.tenant.id.clone(),
                deploy: self.stream.deploy,
                log: self.shared.log.id(),
                tenants: self.shared.changing,
                worker: self.shared.worker.clone(),
                epoch: self.epoch,
                lock_timeout: limits.lock_timeout,
                statement_timeout: limits.statement_timeout,
                ledger_schema: self.tenant.target.ledger_schema.clone(),
            };
            self.session = Some(self.shared.gateway.open(&self.tenant, &opening).await?);
        }
        match &mut self.session {
            Some(open) => Ok(StepContext {
                deploy: self.stream.deploy,
                plan: &self.plan,
                scripts: &self.scripts,
                undoing,
                session: &mut *open.session,
            }),
            None => Err(no_session(&self.tenant.id)),
        }
    }
}

/// Takes down how long a step or an undo took, and how it ended. Nothing looks at it here: see [`measure`].
fn measured(step: &PlannedStep, half: Half, began: Instant, performed: &Result<Evidence, Trouble>) {
    let outcome = match performed {
        Ok(_) => "succeeded",
        Err(Trouble { outcome: Outcome::NoEffect, .. }) => "failed",
        Err(_) => "unknown",
    };
    histogram!(measure::STEP_SECONDS, "kind" => step.uses.clone(), "half" => half.as_str(), "outcome" => outcome)
        .record(began.elapsed());
    if half == Half::Undo {
        counter!(measure::UNDOS, "outcome" => outcome).increment(1);
    }
}

fn no_session(tenant: &TenantId) -> Trouble {
    let message = format!("tenant {tenant} has no session");
    Failure::new(ErrorClass::Transient, Code::TenantUnreachable, message).into()
}

fn succeeded(step: &PlannedStep, half: Half, evidence: Evidence) -> TenantEvent {
    let step = step.id.clone();
    match half {
        Half::Act => TenantEvent::StepSucceeded { step, evidence },
        Half::Undo => TenantEvent::UndoSucceeded { step, evidence },
    }
}

/// Says that it was tried again and again, where it was.
fn exhausted(failure: Failure, attempt: Attempt, retry: Retry) -> Failure {
    if retry != Retry::No || failure.class == ErrorClass::Permanent || attempt.0 < 2 {
        return failure;
    }
    let message = format!("{} (tried {attempt} times)", failure.message);
    debug_assert!(message.len() <= 2 * MESSAGE_BYTES_MAX);
    Failure { message: Failure::new(failure.class, failure.code, message).message, ..failure }
}
