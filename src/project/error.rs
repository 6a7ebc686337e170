//! Why a project cannot be worked with.

use crate::base::{Code, Coded};

/// What stands in the way, in the words of whichever room met it. Nothing was touched.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ProjectError {
    code: Code,
    message: String,
    next: Option<String>,
}

impl ProjectError {
    pub(crate) fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, message: message.into(), next: Some(next.into()) }
    }

    /// The same words as another error's.
    pub fn of(error: &impl Coded) -> Self {
        Self { code: error.code(), message: error.to_string(), next: error.next() }
    }
}

impl Coded for ProjectError {
    fn code(&self) -> Code {
        self.code
    }

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

macro_rules! as_it_says {
    ($( $error:ty ),* $(,)?) => {
        $( impl From<$error> for ProjectError {
            fn from(error: $error) -> Self {
                Self::of(&error)
            }
        } )*
    };
}

as_it_says!(
    crate::config::ConfigError,
    crate::config::workflows::FindError,
    crate::engine::EngineError,
    crate::fleet::FleetError,
    crate::log::LogError,
    crate::release::ReleaseError,
    crate::saga::workflow::WorkflowError,
);
