//! Reports: how far those who are told of a deploy have been told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::{DeployId, Timestamp};

/// Where the telling stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    /// There is more to tell, or will be.
    Open,
    /// All of it has been told.
    Done,
    /// It was tried as often as it may be.
    GivenUp,
}

impl ReportState {
    /// The word, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ReportState::Open => "open",
            ReportState::Done => "done",
            ReportState::GivenUp => "given_up",
        }
    }

    /// The state with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [ReportState::Open, ReportState::Done, ReportState::GivenUp].into_iter().find(|state| state.as_str() == word)
    }
}

/// How far one of those who are told of a deploy has been told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The deploy.
    pub deploy: DeployId,
    /// Who: a name or a small text that the server made and understands.
    pub target: String,
    /// How far it has been told: 0 for nothing; beyond that as whoever tells this kind of target counts, always upwards.
    pub position: u64,
    /// Where it stands.
    pub state: ReportState,
    /// Tries of what is to be told next.
    pub attempts: u32,
    /// Not before then.
    pub next_at: Timestamp,
    /// What went wrong last; none where nothing is wrong.
    pub error: Option<String>,
    /// Since when it goes wrong; none where nothing is wrong.
    pub failing_since: Option<Timestamp>,
}
