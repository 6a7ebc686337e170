//! `migrate`: one step per pending migration, each one transaction in the tenant database with its ledger row first, or, where its
//! statements commit by themselves, one course.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::expand::{Change, Expand, frozen, parameters};
use super::scripts::Part;
use super::{Afterwards, Said, Seen, StepContext, StepError, StepKind, Trouble, Undoing};
use crate::base::{Code, StepId};
use crate::saga::event::{Evidence, Half};
use crate::saga::failure::{ErrorClass, Failure};
use crate::saga::plan::{MIGRATE, Plan, PlannedStep, UndoSource};
use crate::saga::workflow::{StepDef, Workflow, parse_duration};
use crate::tenant::course::{self, Course, Halted, Progress, TakenBack};
use crate::tenant::{Applied, Effect, FenceState, Outcome, Probe, SessionError, Unit};

/// How long a lock is waited for unless the workflow says otherwise: short, because whoever waits for a strong lock makes everyone
/// behind it wait too.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a statement may take unless the workflow says otherwise.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_mins(15);

/// The kind.
pub(super) struct Migrate;

/// What a workflow may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    lock_timeout: Option<String>,
    statement_timeout: Option<String>,
    transaction: Option<String>,
    halfway: Option<Halfway>,
}

/// What becomes of a migration that could stop where nothing takes it back, in a workflow that promises to unwind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Halfway {
    /// The deploy is refused before anything is touched.
    #[default]
    Refuse,
    /// It is run: a tenant on which it stops there is stuck.
    Accept,
}

/// What the workflow's migrate step says of such migrations.
pub fn halfway(workflow: &Workflow) -> Result<Halfway, StepError> {
    let Some((_, def)) = workflow.steps().find(|(_, def)| def.uses == MIGRATE) else { return Ok(Halfway::default()) };
    let given: Parameters = parameters(def)?;
    Ok(given.halfway.unwrap_or_default())
}

/// What the plan keeps of one migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateWith {
    /// Which migration.
    pub version: String,
    /// Its label.
    pub label: String,
    /// Which way it goes.
    pub change: Change,
    /// How long a lock is waited for, in milliseconds.
    pub lock_timeout_ms: u64,
    /// How long a statement may take, in milliseconds.
    pub statement_timeout_ms: u64,
}

impl MigrateWith {
    /// What a planned step keeps; an error if it is none of this kind.
    pub fn of(step: &PlannedStep) -> Result<Self, Failure> {
        serde_json::from_value(step.with.clone()).map_err(|error| {
            let message = format!("the plan's step {} cannot be read: {error}", step.id);
            Failure::new(ErrorClass::Permanent, Code::LogCorrupt, message)
        })
    }
}

#[async_trait]
impl StepKind for Migrate {
    fn name(&self) -> &'static str {
        MIGRATE
    }

    fn summary(&self) -> &'static str {
        "every pending migration, each in one transaction with its ledger row, or statement by statement where the database commits each; undone by its undo script"
    }

    fn expand(&self, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError> {
        let given: Parameters = parameters(def)?;
        let at = |reason: String| StepError::BadParameters { step: def.id.to_string(), line: def.line, reason };
        let duration = |text: Option<String>, otherwise| match text {
            None => Ok(otherwise),
            Some(text) => parse_duration(&text)
                .filter(|duration| !duration.is_zero())
                .ok_or_else(|| at(format!("{text:?} is not a duration above zero: write 500ms, 30s, 15m or 2h"))),
        };
        match given.transaction.as_deref() {
            None | Some("migration") => {}
            Some("tenant") => {
                let feature = "transaction = \"tenant\"".to_owned();
                return Err(StepError::Unsupported { step: def.id.to_string(), line: def.line, feature });
            }
            Some(other) => return Err(at(format!("transaction is \"migration\" or \"tenant\", not {other:?}"))),
        }
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let lock_timeout_ms = millis(duration(given.lock_timeout, LOCK_TIMEOUT)?);
        let statement_timeout_ms = millis(duration(given.statement_timeout, STATEMENT_TIMEOUT)?);
        let step = |pending: &super::Pending| PlannedStep {
            id: StepId(format!("{}:{}", def.id, pending.label)),
            uses: self.name().to_owned(),
            stage: cx.stage,
            needs: Vec::new(),
            digest: Some(pending.digest),
            undo: pending.undo,
            with: frozen(&MigrateWith {
                version: pending.version.clone(),
                label: pending.label.clone(),
                change: pending.change,
                lock_timeout_ms,
                statement_timeout_ms,
            }),
        };
        Ok(cx.pending.iter().map(step).collect())
    }

    /// In one transaction: a crash before the commit leaves the tenant as it was, without a ledger row; after it, the row stands and
    /// the next look finds it. There is nothing in between. Stride by stride: see [`course`].
    async fn act(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        Job::of(step, Half::Act, By::Script, cx)?.run(cx).await
    }

    async fn undo(&self, step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let in_force = matches!(cx.session.probe(&cx.key(&step.id, Half::Act)), Probe::Applied(_));
        // Also where it then stays: the next deploy goes by the ledger.
        if cx.undoing == Undoing::Believed && !in_force {
            say(step, Said::InEffect, FenceState::Open, cx).await?;
        }
        if cx.undoing == Undoing::Scripted
            && !in_force
            && let Some(evidence) = take_back(step, cx).await?
        {
            return Ok(evidence);
        }
        if step.undo == UndoSource::Irreversible && cx.undoing != Undoing::ByHand {
            let label = MigrateWith::of(step)?.label;
            let message = format!(
                "migration {label} is irreversible: it stays, and so does every migration of this deploy before it"
            );
            return Err(Failure::new(ErrorClass::Permanent, Code::Irreversible, message).into());
        }
        let by = if cx.undoing == Undoing::ByHand { By::Word } else { By::Script };
        Job::of(step, Half::Undo, by, cx)?.run(cx).await
    }

    async fn tell(&self, step: &PlannedStep, said: Said, cx: &mut StepContext<'_>) -> Result<(), Trouble> {
        // The tenant ends with this: its fence must not say that something is under way.
        let fence = if said == Said::InEffect { FenceState::Done } else { FenceState::Undone };
        say(step, said, fence, cx).await
    }

    async fn probe(
        &self,
        step: &PlannedStep,
        half: Half,
        afterwards: Afterwards,
        cx: &mut StepContext<'_>,
    ) -> Result<Seen, Trouble> {
        let key = cx.key(&step.id, half);
        match cx.session.probe(&key) {
            Probe::Applied(_) => return Ok(Seen::Applied),
            Probe::Void => return Ok(Seen::NotApplied),
            Probe::NotApplied => {}
        }
        if half == Half::Act {
            let job = Job::of(step, half, By::Script, cx)?;
            if let Some(course) = job.course()
                && let Progress::Strides(done @ 1..) = course::progress(cx.session, &course).await?
            {
                return Ok(Seen::Partial(done));
            }
        }
        if afterwards == Afterwards::Forgo {
            cx.session.void(&key).await?;
        }
        Ok(Seen::NotApplied)
    }
}

/// What brought a half about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Its script, now.
    Script,
    /// A human, who says so: the ledger is told, and nothing else is sent.
    Word,
}

/// One half of a step, ready to run.
struct Job<'a> {
    with: MigrateWith,
    part: Cow<'a, Part>,
    unit: Unit,
    by: By,
}

impl<'a> Job<'a> {
    fn of(step: &PlannedStep, half: Half, by: By, cx: &StepContext<'a>) -> Result<Self, Failure> {
        let with = MigrateWith::of(step)?;
        let Some(scripts) = cx.scripts.get(&with.version) else {
            let message = format!("the release in the log has no migration {}", with.label);
            return Err(Failure::new(ErrorClass::Permanent, Code::LogCorrupt, message));
        };
        let effect = match (with.change, half) {
            (Change::Apply, Half::Act) | (Change::Revert, Half::Undo) => Effect::Apply,
            (Change::Revert, Half::Act) | (Change::Apply, Half::Undo) => Effect::Revert,
        };
        let part = match effect {
            _ if by == By::Word => Some(Cow::Owned(Part::nothing())),
            Effect::Apply => Some(Cow::Borrowed(&scripts.up)),
            Effect::Revert | Effect::Void => scripts.undo.as_ref().map(Cow::Borrowed),
        };
        let Some(part) = part else {
            let message = format!("migration {} has no undo", with.label);
            return Err(Failure::new(ErrorClass::Permanent, Code::MissingUndo, message));
        };
        let unit = Unit {
            key: cx.key(&step.id, half),
            effect,
            version: with.version.clone(),
            name: with.label.clone(),
            digest: scripts.digest,
            statements: if part.stepwise.is_some() { Vec::new() } else { part.statements.clone() },
            sets_session: part.sets_session,
            foreign_keys: part.foreign_keys,
            fence: fence_after(cx.plan, &step.id, half),
        };
        Ok(Self { with, part, unit, by })
    }

    /// How it goes where it goes stride by stride.
    fn course(&self) -> Option<Course<'_>> {
        let steps = self.part.stepwise.as_ref()?;
        Some(Course { unit: &self.unit, strides: &steps.strides })
    }

    async fn run(&self, cx: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
        let half = self.unit.key.half;
        if !matches!(cx.session.probe(&self.unit.key), Probe::Applied(_))
            && let Err(misfit) = fits(&self.unit, cx)
        {
            // Whoever undid the migration by hand may have told the ledger too.
            let told = self.by == By::Word && half == Half::Undo;
            return if told { Ok(Evidence::default()) } else { Err(misfit.into()) };
        }
        let begun = Instant::now();
        let applied = match self.course() {
            None => cx.session.apply(&self.unit).await.map_err(|error| self.explain(error, half))?,
            Some(course) => course::carry_on(cx.session, &course).await.map_err(|halted| self.halted(halted, half))?,
        };
        Ok(self.evidence(self.part.statements.len(), applied, begun))
    }

    fn evidence(&self, statements: usize, applied: Applied, begun: Instant) -> Evidence {
        Evidence {
            digest: Some(self.part.digest),
            statements: u32::try_from(statements).unwrap_or(u32::MAX),
            elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            probed: applied == Applied::Before,
            note: None,
        }
    }

    /// Says how much of it stays.
    fn halted(&self, halted: Halted, half: Half) -> Trouble {
        let in_effect = if half == Half::Act { halted.done } else { 0 };
        Trouble { in_effect, ..self.explain(halted.error, half) }
    }
}

/// Takes back an act that stopped in its middle. None where the act is in effect as a whole, or goes in one transaction: then its undo
/// as a whole is what is wanted.
async fn take_back(step: &PlannedStep, cx: &mut StepContext<'_>) -> Result<Option<Evidence>, Trouble> {
    let act = Job::of(step, Half::Act, By::Script, cx)?;
    let (Some(course), Some(steps)) = (act.course(), &act.part.stepwise) else { return Ok(None) };
    let back = match act.unit.effect {
        Effect::Apply => Effect::Revert,
        Effect::Revert | Effect::Void => Effect::Apply,
    };
    let key = cx.key(&step.id, Half::Undo);
    let fence = fence_after(cx.plan, &step.id, Half::Undo);
    let undo = Unit { key, effect: back, fence, ..act.unit.clone() };
    let begun = Instant::now();
    let taken = course::take_back(cx.session, &course, &steps.undos, &undo).await;
    match taken.map_err(|halted| act.halted(halted, Half::Undo))? {
        TakenBack::Whole => Ok(None),
        TakenBack::Part(count) => {
            let evidence = act.evidence(usize::try_from(count).unwrap_or(usize::MAX), Applied::Now, begun);
            Ok(Some(Evidence { note: Some("taken back statement by statement".to_owned()), ..evidence }))
        }
    }
}

/// Tells the ledger what a human says of a step.
async fn say(step: &PlannedStep, said: Said, fence: FenceState, cx: &mut StepContext<'_>) -> Result<(), Trouble> {
    let half = if said == Said::InEffect { Half::Act } else { Half::Undo };
    let mut job = Job::of(step, half, By::Word, cx)?;
    if fits(&job.unit, cx).is_err() {
        // The ledger says so already.
        return Ok(());
    }
    // What happened before the human came may have taken the key: the act was given up, or it was undone and is in effect again.
    if cx.session.probe(&job.unit.key) != Probe::NotApplied {
        job.unit.key = cx.key(&StepId(format!("by hand: {}", step.id)), half);
    }
    job.unit.fence = fence;
    job.run(cx).await.map(drop)
}

/// Refuses to apply what is in force, and to take away what is not: somebody else has been at this tenant since it was planned.
fn fits(unit: &Unit, cx: &StepContext<'_>) -> Result<(), Failure> {
    let in_force = cx.session.in_force().iter().any(|migration| migration.version == unit.version);
    let problem = match (unit.effect, in_force) {
        (Effect::Apply, true) => "is in force already",
        (Effect::Revert, false) => "is not in force",
        _ => return Ok(()),
    };
    let message = format!(
        "migration {} {problem}, though not by this deploy: the tenant has changed since it was planned",
        unit.name
    );
    Err(Failure::new(ErrorClass::Permanent, Code::PlanOutdated, message))
}

/// What the fence row says once a step is in: whether it was this deploy's last one here.
fn fence_after(plan: &Plan, id: &StepId, half: Half) -> FenceState {
    let mut effective = plan.steps().iter().filter(|step| step.undo != UndoSource::NoEffect).map(|step| &step.id);
    match half {
        Half::Act if effective.next_back() == Some(id) => FenceState::Done,
        Half::Undo if effective.next() == Some(id) => FenceState::Undone,
        _ => FenceState::Open,
    }
}

impl Job<'_> {
    /// Says which migration, which statement, and how it begins.
    fn explain(&self, error: SessionError, half: Half) -> Trouble {
        let mut failure = error.failure;
        let what = match half {
            Half::Act => format!("migration {}", self.with.label),
            Half::Undo => format!("the undo of migration {}", self.with.label),
        };
        let statements = &self.part.statements;
        let statement = failure.statement.and_then(|number| {
            let text = statements.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
            let whole = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let mut line: String = whole.chars().take(60).collect();
            if line.len() < whole.len() {
                line.push('…');
            }
            Some(format!(" at statement {number} of {} ({line})", statements.len()))
        });
        let server_code = failure.server_code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
        let ended = match error.outcome {
            Outcome::NoEffect => "failed",
            Outcome::Unknown => "was interrupted",
            Outcome::Torn => "was torn",
        };
        let message = format!("{what} {ended}{}: {server_code}{}", statement.unwrap_or_default(), failure.message);
        let shortened = Failure::new(failure.class, failure.code, message);
        failure.message = shortened.message;
        Trouble { failure, outcome: error.outcome, in_effect: 0 }
    }
}
