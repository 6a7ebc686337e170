//! How far somebody has been told, for people and for the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Target;
use crate::base::Timestamp;
use crate::log::{Report, ReportState};

/// How far somebody has been told of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Told)]
pub struct Standing {
    /// Who. Of an address the origin alone.
    pub to: String,
    /// Whether there is more to tell, or will be.
    pub state: ReportState,
    /// How often the next thing to tell was tried in vain.
    pub failures: u32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Since when it goes wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

impl Standing {
    /// Of a report on the desk.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let to = Target::read(&report.target).map(|target| target.words());
        let failing = report.attempts > 0;
        Self {
            to: to.unwrap_or_else(|| "somebody that this version of Windlass does not know".to_owned()),
            state: report.state,
            failures: report.attempts,
            error: report.error.clone(),
            failing_since: report.failing_since,
            next_at: (failing && report.state == ReportState::Open).then_some(report.next_at),
        }
    }

    /// What there is to worry about, in a line; none where nothing is wrong.
    #[must_use]
    pub fn worry(&self) -> Option<String> {
        let why = self.error.as_deref()?;
        let since = self.failing_since.map(|at| format!(" since {at}")).unwrap_or_default();
        let rest = match (self.state, self.next_at) {
            (ReportState::GivenUp, _) => "it was given up".to_owned(),
            (_, Some(at)) => format!("trying again at {at}"),
            (_, None) => return None,
        };
        Some(format!("{} has not been told{since}: {why}; {rest}", self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DeployId;

    #[test]
    fn a_line_says_who_has_not_been_told_since_when_and_why() {
        let report = Report {
            deploy: DeployId(uuid::Uuid::nil()),
            target: Target::Traces.text(),
            position: 0,
            state: ReportState::Open,
            attempts: 2,
            next_at: Timestamp(60_000),
            error: Some("it answered 502 Bad Gateway".to_owned()),
            failing_since: Some(Timestamp(0)),
        };
        let words = |report: &Report| Standing::of(report).worry();
        assert_eq!(
            words(&report).unwrap(),
            "the collector of traces has not been told since 1970-01-01T00:00:00.000Z: it answered 502 Bad Gateway; trying again \
             at 1970-01-01T00:01:00.000Z"
        );
        let given_up = Report { state: ReportState::GivenUp, ..report.clone() };
        assert!(words(&given_up).unwrap().ends_with("502 Bad Gateway; it was given up"));
        assert_eq!(words(&Report { attempts: 0, error: None, failing_since: None, ..report }), None);
    }
}
