//! What the kit answers.

use std::fmt;

use crate::engine::EngineError;

/// What was tried, and held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The promise.
    pub promise: &'static str,
    /// The steps of the tenant's plan at which it was tried, in order.
    pub steps: Vec<String>,
    /// Where something was made to go wrong, one deploy for each.
    pub moments: Vec<String>,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (moments, steps) = (self.moments.len(), self.steps.len());
        write!(f, "{}: held in {moments} deploys, at {steps} steps: {}", self.promise, self.steps.join(", "))
    }
}

/// What did not hold, where, and the history of that deploy. `Debug` shows the same, so that `unwrap` in a test does.
#[derive(Clone, PartialEq, Eq)]
pub struct Broken {
    /// The promise; none where it could not be tried.
    pub promise: Option<&'static str>,
    /// The step at which something was made to go wrong, if it was.
    pub step: Option<String>,
    /// Where exactly, in words.
    pub moment: Option<String>,
    /// What was expected and what came instead.
    pub what: String,
    /// The deploy, event by event; empty where there was none.
    pub history: Vec<String>,
}

impl Broken {
    pub(super) fn untried(what: impl fmt::Display) -> Self {
        Self { promise: None, step: None, moment: None, what: what.to_string(), history: Vec::new() }
    }

    /// The deploy was refused before anything was touched.
    pub(super) fn refused(error: EngineError) -> Self {
        match error {
            EngineError::Refused { refusals, .. } => {
                let reasons: Vec<String> = refusals.iter().map(|of| format!("{} [{}]", of.message, of.code)).collect();
                Self::untried(reasons.join("; "))
            }
            error => Self::untried(error),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.promise, &self.moment) {
            (Some(promise), Some(moment)) => write!(f, "{promise}: does not hold {moment}: ")?,
            (Some(promise), None) => write!(f, "{promise}: does not hold: ")?,
            (None, _) => f.write_str("not tried: ")?,
        }
        f.write_str(&self.what)?;
        if !self.history.is_empty() {
            f.write_str("\nwhat happened:")?;
        }
        self.history.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Broken {}
