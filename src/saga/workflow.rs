//! Workflows: the shape of a deploy, read from TOML and checked before anything rests on it.
//!
//! Stages are separated by barriers; within a stage the tenants go in waves, and every tenant runs the stage's steps. The steps form
//! a graph by their `needs`; a cycle, an unknown need, a step that could never run, migrations
//! twice and a switch before they are in are refused by name and line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use petgraph::graph::DiGraph;
use serde::Deserialize;
use toml::Spanned;

use super::plan::{MIGRATE, SWITCH};
use super::retry::RetryPolicy;
use crate::base::limits::{RETRY_PAUSE_MAX, STARTS_PER_STEP_MAX, TOML_BYTES_MAX, WORKFLOW_STEPS_MAX};
use crate::base::{Code, Coded, StepId};

/// A checked workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// What happens when a tenant fails.
    pub on_failure: OnFailure,
    /// The stages, in order. At least one, each with at least one step and one wave.
    pub stages: Vec<Stage>,
}

/// What happens when a tenant fails for good.
#[derive(Debug, Clone, PartialEq)]
pub struct OnFailure {
    /// The policy.
    pub then: Then,
    /// How many failed tenants are tolerated: a count or a percentage, as written.
    pub budget: Budget,
    /// The policy beyond the budget.
    pub beyond: Then,
    /// How transient failures are retried before they count.
    pub retry: RetryPolicy,
}

/// A failure policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Every tenant is lowered again.
    Unwind,
    /// This tenant is lowered again and set aside; the others go on.
    UnwindTenant,
    /// Nothing new starts; a human decides.
    Halt,
    /// This tenant is set aside as it is; the others go on.
    Continue,
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Then::Unwind => "unwind",
            Then::UnwindTenant => "unwind-tenant",
            Then::Halt => "halt",
            Then::Continue => "continue",
        })
    }
}

/// How many failed tenants are tolerated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// So many.
    Count(u64),
    /// So many of a hundred.
    Percent(f64),
}

/// A barrier-separated part of a deploy.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its waves, in order.
    pub waves: Vec<Wave>,
    /// Its steps, as named.
    pub steps: Vec<StepDef>,
}

/// The tenants that go together inside a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Wave {
    /// Which tenants, in the selector language; those that an earlier wave took are not taken again.
    pub select: String,
    /// How many at a time: the wave is cut into waves of this size.
    pub size: Option<Budget>,
    /// Whether something must hold before the next wave opens.
    pub gate: Option<Gate>,
}

/// A condition between waves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// How long to wait, and watch.
    pub soak: Option<String>,
    /// A URL that must answer with success for every tenant of the wave.
    pub http: Option<String>,
    /// Whether a human must approve.
    #[serde(default)]
    pub approve: bool,
}

/// A step as a workflow names it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepDef {
    /// Its id.
    pub id: StepId,
    /// The kind that carries it out.
    pub uses: String,
    /// Steps that must have succeeded first.
    pub needs: Vec<StepId>,
    /// Its parameters.
    pub with: toml::Table,
    /// The line it stands in, from 1; for messages.
    pub line: usize,
}

/// A workflow is refused. Nothing was started.
#[derive(Debug, Clone, thiserror::Error)]
#[error("workflow {file}{}: {problem}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct WorkflowError {
    /// The file, or the built-in name.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a workflow.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Problem {
    /// Not TOML, an unknown key, a value of the wrong type.
    #[error("{reason}")]
    Syntax {
        /// What the parser said.
        reason: String,
    },
    /// Steps that wait for each other.
    #[error("the steps wait for each other: {}", .cycle.join(" → "))]
    Cycle {
        /// One round.
        cycle: Vec<String>,
    },
    /// A need that is not there.
    #[error("step {step:?} needs {needs:?}, and there is no such step; there are: {}", .known.join(", "))]
    UnknownNeeds {
        /// Who needs.
        step: String,
        /// What.
        needs: String,
        /// The ids there are.
        known: Vec<String>,
    },
    /// A step that waits for a later stage, or for one that does.
    #[error("step {step:?} can never run: it needs {needs:?} of the later stage {stage:?}")]
    Unreachable {
        /// Which.
        step: String,
        /// What it waits for.
        needs: String,
        /// Where that stands.
        stage: String,
    },
    /// Two steps with one id.
    #[error("two steps have the id {step:?}")]
    Duplicate {
        /// The id.
        step: String,
    },
    /// Something that the format has and this version cannot do.
    #[error("{feature} is not carried out by this version of Windlass")]
    Unsupported {
        /// What.
        feature: String,
    },
}

impl Coded for WorkflowError {
    fn code(&self) -> Code {
        match self.problem {
            Problem::Syntax { .. } => Code::WorkflowInvalid,
            Problem::Cycle { .. } => Code::WorkflowCycle,
            Problem::UnknownNeeds { .. } => Code::UnknownNeeds,
            Problem::Unreachable { .. } => Code::UnreachableStep,
            Problem::Duplicate { .. } => Code::DuplicateStep,
            Problem::Unsupported { .. } => Code::UnsupportedWorkflow,
        }
    }

    fn next(&self) -> Option<String> {
        let file = &self.file;
        if matches!(self.problem, Problem::Unsupported { .. }) {
            return Some(format!("leave it out of {file}, or choose another: windlass workflow list"));
        }
        let name = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
        Some(format!("mend {file}, then: windlass workflow show {name}"))
    }
}

impl Workflow {
    /// Reads and checks a workflow; `file` names it in messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, WorkflowError> {
        let refuse = |line, problem| WorkflowError { file: file.to_owned(), line, problem };
        let syntax = |line, reason: &str| refuse(line, Problem::Syntax { reason: reason.to_owned() });
        if text.len() as u64 > TOML_BYTES_MAX {
            return Err(syntax(None, &format!("the file is larger than {TOML_BYTES_MAX} bytes")));
        }
        let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        let raw: raw::Workflow = toml::from_str(text)
            .map_err(|error| syntax(error.span().map(|span| line_of(span.start)), error.message()))?;
        let workflow = raw.check(&line_of).map_err(|(line, problem)| refuse(line, problem))?;
        workflow.check_graph().map_err(|(line, problem)| refuse(line, problem))?;
        workflow.check_kinds().map_err(|(line, problem)| refuse(line, problem))?;
        Ok(workflow)
    }

    /// The stages' steps, each with its stage.
    pub fn steps(&self) -> impl Iterator<Item = (u32, &StepDef)> {
        (0_u32..).zip(&self.stages).flat_map(|(stage, of)| of.steps.iter().map(move |step| (stage, step)))
    }

    /// Refuses what the format carries and this version cannot do, before anything rests on it.
    pub fn supported(&self) -> Result<(), WorkflowError> {
        let OnFailure { then, budget, beyond, .. } = &self.on_failure;
        let feature = if *then != Then::Unwind {
            Some(format!("on_failure = {:?}", then.to_string()))
        } else if *beyond != Then::Unwind {
            Some(format!("on_failure.beyond = {:?}", beyond.to_string()))
        } else if *budget != Budget::Count(0) {
            Some("a budget of failed tenants".to_owned())
        } else if self.stages.iter().flat_map(|stage| &stage.waves).any(|wave| wave.gate.is_some()) {
            Some("a gate between waves".to_owned())
        } else {
            None
        };
        feature.map_or(Ok(()), |feature| {
            Err(WorkflowError { file: self.name.clone(), line: None, problem: Problem::Unsupported { feature } })
        })
    }

    /// What the plan of a tenant could not bear: its migrations twice, or a switch before the last of them is in.
    fn check_kinds(&self) -> Result<(), (Option<usize>, Problem)> {
        let refuse = |step: &StepDef, reason: String| Err((Some(step.line), Problem::Syntax { reason }));
        let of_kind = |kind: &'static str| self.steps().map(|(_, step)| step).filter(move |step| step.uses == kind);
        let mut migrates = of_kind(MIGRATE);
        let migrate = migrates.next();
        if let (Some(first), Some(second)) = (migrate, migrates.next()) {
            let reason = format!(
                "steps {} and {} both use {MIGRATE:?}, and all pending migrations are the work of one",
                first.id, second.id
            );
            return refuse(second, reason);
        }
        let steps: BTreeMap<&str, &StepDef> = self.steps().map(|(_, step)| (step.id.as_str(), step)).collect();
        for switch in of_kind(SWITCH) {
            let mut before: Vec<&StepDef> = vec![switch];
            let mut seen = BTreeSet::from([switch.id.as_str()]);
            while let Some(step) = before.pop() {
                let needs = step.needs.iter().filter_map(|needs| steps.get(needs.as_str()).copied());
                before.extend(needs.filter(|of| seen.insert(of.id.as_str())));
            }
            if let Some(migrate) = migrate.filter(|migrate| !seen.contains(migrate.id.as_str())) {
                let reason = format!(
                    "step {} says that the tenant is on the release, and does not need step {}, which takes it there",
                    switch.id, migrate.id
                );
                return refuse(switch, reason);
            }
        }
        Ok(())
    }

    fn check_graph(&self) -> Result<(), (Option<usize>, Problem)> {
        let mut graph = DiGraph::<&StepDef, ()>::new();
        let mut nodes = BTreeMap::new();
        for (stage, step) in self.steps() {
            let node = graph.add_node(step);
            if nodes.insert(step.id.as_str(), (node, stage)).is_some() {
                return Err((Some(step.line), Problem::Duplicate { step: step.id.to_string() }));
            }
        }
        for (stage, step) in self.steps() {
            for needs in &step.needs {
                let Some((from, of)) = nodes.get(needs.as_str()) else {
                    let known = nodes.keys().map(|id| (*id).to_owned()).collect();
                    let problem = Problem::UnknownNeeds { step: step.id.to_string(), needs: needs.to_string(), known };
                    return Err((Some(step.line), problem));
                };
                if *of > stage {
                    let later = usize::try_from(*of).ok().and_then(|index| self.stages.get(index));
                    let problem = Problem::Unreachable {
                        step: step.id.to_string(),
                        needs: needs.to_string(),
                        stage: later.map(|stage| stage.name.clone()).unwrap_or_default(),
                    };
                    return Err((Some(step.line), problem));
                }
                graph.add_edge(*from, nodes[step.id.as_str()].0, ());
            }
        }
        let Some(round) = super::plan::find_cycle(&graph) else { return Ok(()) };
        let cycle = round.iter().map(|node| graph[*node].id.to_string()).collect();
        Err((round.first().map(|node| graph[*node].line), Problem::Cycle { cycle }))
    }
}

/// The file's own shape, before it is checked.
mod raw {
    use super::{
        Budget, Deserialize, Gate, Problem, RETRY_PAUSE_MAX, RetryPolicy, STARTS_PER_STEP_MAX, Spanned, StepId, Then,
        WORKFLOW_STEPS_MAX,
    };

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Workflow {
        name: String,
        #[serde(default)]
        summary: String,
        on_failure: Option<OnFailure>,
        stage: Vec<Spanned<Stage>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OnFailure {
        then: Then,
        budget: Option<Spanned<String>>,
        beyond: Option<Then>,
        retry: Option<Spanned<Retry>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Retry {
        attempts: Option<u32>,
        first: Option<String>,
        factor: Option<f64>,
        max: Option<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Stage {
        name: String,
        #[serde(default)]
        wave: Vec<Spanned<Wave>>,
        #[serde(default)]
        step: Vec<Spanned<Step>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wave {
        #[serde(default = "everyone")]
        select: String,
        size: Option<String>,
        gate: Option<Gate>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Step {
        id: String,
        uses: String,
        #[serde(default)]
        needs: Vec<String>,
        #[serde(default)]
        with: toml::Table,
    }

    fn everyone() -> String {
        "*".to_owned()
    }

    type Refusal = (Option<usize>, Problem);
    type LineOf<'a> = &'a dyn Fn(usize) -> usize;

    fn syntax(line: usize, reason: impl Into<String>) -> Refusal {
        (Some(line), Problem::Syntax { reason: reason.into() })
    }

    impl Workflow {
        pub(super) fn check(self, line_of: LineOf<'_>) -> Result<super::Workflow, Refusal> {
            let on_failure = self.on_failure.map_or_else(|| Ok(default_on_failure()), |given| given.check(line_of))?;
            if self.stage.is_empty() {
                return Err(syntax(1, "a workflow has at least one [[stage]]"));
            }
            let stages =
                self.stage.into_iter().map(|stage| check_stage(stage, line_of)).collect::<Result<Vec<_>, _>>()?;
            if stages.iter().map(|stage| stage.steps.len()).sum::<usize>() > WORKFLOW_STEPS_MAX {
                return Err(syntax(1, format!("a workflow has at most {WORKFLOW_STEPS_MAX} steps")));
            }
            Ok(super::Workflow { name: self.name, summary: self.summary, on_failure, stages })
        }
    }

    fn default_on_failure() -> super::OnFailure {
        super::OnFailure {
            then: Then::Unwind,
            budget: Budget::Count(0),
            beyond: Then::Unwind,
            retry: RetryPolicy::default(),
        }
    }

    impl OnFailure {
        fn check(self, line_of: LineOf<'_>) -> Result<super::OnFailure, Refusal> {
            let budget = match self.budget {
                None => Budget::Count(0),
                Some(text) => parse_budget(text.get_ref()).ok_or_else(|| {
                    syntax(line_of(text.span().start), "a budget is a count (\"3\") or a percentage (\"10%\")")
                })?,
            };
            let retry = match self.retry {
                None => RetryPolicy::default(),
                Some(retry) => {
                    let line = line_of(retry.span().start);
                    retry.into_inner().check().map_err(|reason| syntax(line, reason))?
                }
            };
            Ok(super::OnFailure { then: self.then, budget, beyond: self.beyond.unwrap_or(self.then), retry })
        }
    }

    impl Retry {
        fn check(self) -> Result<RetryPolicy, String> {
            let default = RetryPolicy::default();
            let duration = |text: Option<String>, otherwise| match text {
                None => Ok(otherwise),
                Some(text) => super::parse_duration(&text)
                    .ok_or_else(|| format!("{text:?} is not a duration: write 500ms, 30s, 15m or 2h")),
            };
            let policy = RetryPolicy {
                attempts: self.attempts.unwrap_or(default.attempts),
                first: duration(self.first, default.first)?,
                factor: self.factor.unwrap_or(default.factor),
                max: duration(self.max, default.max)?,
            };
            if !(1..=STARTS_PER_STEP_MAX).contains(&policy.attempts) {
                return Err(format!("retry.attempts lies between 1 and {STARTS_PER_STEP_MAX}"));
            }
            if !(1.0..=100.0).contains(&policy.factor) {
                return Err("retry.factor lies between 1 and 100".to_owned());
            }
            if policy.max > RETRY_PAUSE_MAX {
                return Err(format!("retry.max is at most {} h", RETRY_PAUSE_MAX.as_secs() / 3_600));
            }
            Ok(policy)
        }
    }

    fn check_stage(stage: Spanned<Stage>, line_of: LineOf<'_>) -> Result<super::Stage, Refusal> {
        let line = line_of(stage.span().start);
        let stage = stage.into_inner();
        if stage.step.is_empty() {
            return Err(syntax(line, format!("stage {:?} has no step", stage.name)));
        }
        let mut waves = stage.wave.into_iter().map(|wave| check_wave(wave, line_of)).collect::<Result<Vec<_>, _>>()?;
        if waves.is_empty() {
            waves.push(super::Wave { select: everyone(), size: None, gate: None });
        }
        let steps = stage.step.into_iter().map(|step| {
            let line = line_of(step.span().start);
            let step = step.into_inner();
            if step.id.is_empty() || !step.id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
                return Err(syntax(line, format!("{:?} is not a step id: letters, digits, - and _", step.id)));
            }
            let needs = step.needs.into_iter().map(StepId).collect();
            Ok(super::StepDef { id: StepId(step.id), uses: step.uses, needs, with: step.with, line })
        });
        Ok(super::Stage { name: stage.name, waves, steps: steps.collect::<Result<_, _>>()? })
    }

    fn check_wave(wave: Spanned<Wave>, line_of: LineOf<'_>) -> Result<super::Wave, Refusal> {
        let line = line_of(wave.span().start);
        let wave = wave.into_inner();
        let size = match wave.size {
            None => None,
            Some(text) => match parse_budget(&text) {
                Some(Budget::Count(0)) | None => {
                    return Err(syntax(line, "a wave's size is a count (\"50\") or a percentage (\"10%\") above zero"));
                }
                size => size,
            },
        };
        Ok(super::Wave { select: wave.select, size, gate: wave.gate })
    }

    fn parse_budget(text: &str) -> Option<Budget> {
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.trim().parse::<f64>().ok()?;
                (percent > 0.0 && percent <= 100.0).then_some(Budget::Percent(percent))
            }
            None => text.trim().parse().ok().map(Budget::Count),
        }
    }
}

/// `500ms`, `30s`, `15m`, `2h`; at most a thousand hours.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        _ => return None,
    };
    (millis <= 3_600_000_000).then_some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests;
