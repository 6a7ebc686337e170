//! What can stop an engine, and why a deploy is not begun.

use crate::base::{Code, Coded, DeployId, TenantId};
use crate::fleet::FleetError;
use crate::log::{CreateError, LogError};
use crate::release::ReleaseError;
use crate::saga::tenant::IllegalEvent;
use crate::saga::workflow::WorkflowError;
use crate::step::StepError;

/// One tenant that a deploy cannot be begun with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Which.
    pub tenant: TenantId,
    /// The page to look it up under.
    pub code: Code,
    /// What is the matter, without the tenant's name.
    pub message: String,
}

/// A deploy is not begun, or an engine stops.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log failed. What was acknowledged is safe, and the deploy can be resumed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The deploy was not created.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A stream holds an event that does not fit.
    #[error("the log is damaged: {0}")]
    Illegal(#[from] IllegalEvent),
    /// The release cannot be deployed.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The fleet cannot be read.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The workflow cannot be carried out.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    /// The workflow does not make a plan.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Some tenants cannot be deployed to. Nothing was touched.
    #[error(
        "{all} of {of} tenants cannot be deployed to; nothing was touched{}",
        if .refusals.len() < *.all { format!(" (the first {} are named)", .refusals.len()) } else { String::new() }
    )]
    Refused {
        /// Which, and why; in order of their ids, and no more than the limit.
        refusals: Vec<Refusal>,
        /// How many are refused.
        all: usize,
        /// How many tenants there are.
        of: usize,
    },
    /// Stuck tenants are to be settled together, and they are not stuck over the same thing. Nothing was settled.
    #[error("the stuck tenants do not have one cause ({}); settle them one by one", .causes.join("; "))]
    SeveralCauses {
        /// The deploy.
        deploy: DeployId,
        /// Step and code of each.
        causes: Vec<String>,
    },
    /// Pending migrations without an undo, in a workflow that promises to unwind. Nothing was touched.
    #[error(
        "{} ha{} no undo, and this workflow promises to unwind. Nothing was touched",
        .labels.join(", "), if .labels.len() == 1 { "s" } else { "ve" }
    )]
    MissingUndo {
        /// Which migrations.
        labels: Vec<String>,
    },
    /// Pending migrations whose statements commit one by one, and which could stop where nothing takes them back, in a workflow that
    /// promises to unwind. Nothing was touched.
    #[error(
        "{}; this workflow promises to unwind. Nothing was touched",
        .migrations.iter().map(|(label, because)| format!("{label} cannot be undone from its middle: {because}")).collect::<Vec<_>>().join("; ")
    )]
    NoHalfway {
        /// Which migrations, and what stands in the way.
        migrations: Vec<(String, String)>,
    },
    /// Tenants carry the marks of an unfinished deploy that this log does not know. Nothing was touched.
    #[error(
        "{marked} tenants carry the marks of deploy {deploy}, which looks unfinished and which this log does not know ({why}): the \
         log that it lives in was lost, or this is the wrong one. Nothing was touched"
    )]
    LostLog {
        /// The unknown deploy.
        deploy: DeployId,
        /// How many tenants carry its mark.
        marked: usize,
        /// Why it looks unfinished.
        why: String,
    },
    /// The deploy has steps that this program does not know how to do. No tenant was claimed.
    #[error(
        "deploy {deploy} has steps of a kind that this program does not have ({missing}); it has {known}. No tenant was claimed: the \
         deploy is as it was"
    )]
    UnknownKinds {
        /// The deploy.
        deploy: DeployId,
        /// The kinds.
        missing: String,
        /// The kinds there are.
        known: String,
    },
    /// The deploy is not in a state for this command.
    #[error("deploy {deploy} {state}: {command} does not apply. Nothing was changed")]
    WrongState {
        /// Which.
        deploy: DeployId,
        /// How it stands, to follow the name: "has finished".
        state: String,
        /// What was asked for.
        command: String,
    },
    /// There is nothing to retry or to resolve.
    #[error("deploy {deploy} has no stuck tenant{}: there is nothing to {command}", .tenant.as_ref().map(|t| format!(" {t}")).unwrap_or_default())]
    NothingStuck {
        /// Which.
        deploy: DeployId,
        /// The tenant asked for.
        tenant: Option<TenantId>,
        /// What was asked for.
        command: String,
    },
    /// The code that drives tenants has panicked, and again.
    #[error(
        "Windlass met a defect of its own {} times, the last while driving tenant {tenant}; it has stopped",
        crate::base::limits::PANICS_MAX
    )]
    DriverPanicked {
        /// The last one.
        tenant: TenantId,
    },
    /// Somebody holds the tenant.
    #[error("tenant {tenant} is being worked on at this moment; nothing was changed")]
    TenantBusy {
        /// Which.
        tenant: TenantId,
    },
}

impl Coded for EngineError {
    fn code(&self) -> Code {
        match self {
            EngineError::Log(error) => error.code(),
            EngineError::Create(error) => error.code(),
            EngineError::Illegal(error) => error.code(),
            EngineError::Release(error) => error.code(),
            EngineError::Fleet(error) => error.code(),
            EngineError::Workflow(error) => error.code(),
            EngineError::Step(error) => error.code(),
            // One cause for all: its code. Several: that of the first, as they are listed.
            EngineError::Refused { refusals, .. } => refusals.first().map_or(Code::WrongState, |first| first.code),
            EngineError::MissingUndo { .. } => Code::MissingUndo,
            EngineError::NoHalfway { .. } => Code::NoHalfway,
            EngineError::LostLog { .. } => Code::LostLog,
            EngineError::WrongState { .. } | EngineError::TenantBusy { .. } | EngineError::SeveralCauses { .. } => {
                Code::WrongState
            }
            EngineError::DriverPanicked { .. } => Code::Defect,
            EngineError::UnknownKinds { .. } => Code::UnknownStepKind,
            EngineError::NothingStuck { .. } => Code::NothingToRetry,
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            EngineError::Log(error) => error.next(),
            EngineError::Create(error) => error.next(),
            EngineError::Illegal(error) => error.next(),
            EngineError::Release(error) => error.next(),
            EngineError::Fleet(error) => error.next(),
            EngineError::Workflow(error) => error.next(),
            EngineError::Step(error) => error.next(),
            EngineError::Refused { refusals, .. } => refusals.first().map(|first| after_refusal(first.code).to_owned()),
            EngineError::MissingUndo { labels } => {
                let first = labels.first().map(String::as_str).unwrap_or_default();
                Some(format!(
                    "write {first}.down.sql, or say `-- windlass: irreversible` at the head of {first}.up.sql, then: windlass plan"
                ))
            }
            EngineError::NoHalfway { migrations } => {
                let label = migrations.first().map(|(label, _)| label.as_str()).unwrap_or_default();
                Some(format!(
                    "write `-- undo: …` under that statement in {label}.up.sql, or make it the last of its file; to run it all the same: \
                     `halfway = \"accept\"` in the workflow's migrate step"
                ))
            }
            EngineError::LostLog { deploy, .. } => Some(format!(
                "point [log] at the log that knows it, and: windlass resume {deploy}; or, if that log is gone for good and the \
                 tenants are as you want them: windlass deploy --disown {deploy}"
            )),
            EngineError::WrongState { deploy, .. }
            | EngineError::NothingStuck { deploy, .. }
            | EngineError::SeveralCauses { deploy, .. } => Some(format!("windlass status {deploy}")),
            EngineError::DriverPanicked { .. } => Some("windlass resume".to_owned()),
            EngineError::UnknownKinds { deploy, .. } => {
                Some(format!("with the program that created it, or one with the same kinds: windlass resume {deploy}"))
            }
            EngineError::TenantBusy { .. } => Some("the same command again, in a moment".to_owned()),
        }
    }
}

/// What helps where tenants are refused for this.
const fn after_refusal(code: Code) -> &'static str {
    match code {
        Code::ChangedMigration => {
            "put the file back as it was applied, and write what is new as a migration of its own"
        }
        Code::OutOfOrder => {
            "give it a version after the applied ones, or allow it in windlass.toml, then: windlass plan"
        }
        Code::UnknownApplied => {
            "check out a release that has it; or undo the deploy that applied it: windlass status --all"
        }
        Code::BuiltUpon => "windlass status --all, then: windlass rollback DEPLOY, the latest first",
        Code::Irreversible | Code::MissingUndo => "write what takes it back as a new migration, then: windlass deploy",
        Code::PlanOutdated => "look at the tenant: somebody else has changed it; windlass doctor",
        Code::LedgerGone => {
            "put ledger_schema or the role's search_path back as it was, or move the two tables; a database that was really created \
             anew: --new-database TENANT"
        }
        Code::SameDatabase => "remove one of the two from the fleet, or give each its own database or schema",
        Code::UnsupportedEngine => {
            "mend the server, or leave the tenant out of the fleet, or deselect it: --select 'not id = …'"
        }
        Code::UnknownTenant => "put the tenant back into the fleet, then run the command again",
        _ => "mend what is said of each, then: windlass doctor",
    }
}
