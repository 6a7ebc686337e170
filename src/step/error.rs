//! Steps that a plan cannot be made of.

use crate::base::{Code, Coded};

/// A workflow's step cannot become steps of a tenant. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// `uses` names no kind.
    #[error("step {step:?} (line {line}) uses {uses:?}, and there is no such kind; there are: {known}")]
    UnknownKind {
        /// The step.
        step: String,
        /// Its line in the workflow.
        line: usize,
        /// The name.
        uses: String,
        /// The kinds there are.
        known: String,
    },
    /// `with` holds something that the kind does not take.
    #[error("step {step:?} (line {line}): {reason}")]
    BadParameters {
        /// The step.
        step: String,
        /// Its line in the workflow.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A parameter that has a meaning this version does not carry out.
    #[error("step {step:?} (line {line}): {feature} is not carried out by this version of Windlass")]
    Unsupported {
        /// The step.
        step: String,
        /// Its line in the workflow.
        line: usize,
        /// What.
        feature: String,
    },
    /// The expanded steps are no plan.
    #[error("the workflow does not make a plan: {reason}")]
    NoPlan {
        /// Why not.
        reason: String,
    },
}

impl Coded for StepError {
    fn code(&self) -> Code {
        match self {
            StepError::UnknownKind { .. } => Code::UnknownStepKind,
            StepError::BadParameters { .. } | StepError::NoPlan { .. } => Code::WorkflowInvalid,
            StepError::Unsupported { .. } => Code::UnsupportedWorkflow,
        }
    }

    fn next(&self) -> Option<String> {
        Some("windlass workflow list".to_owned())
    }
}
