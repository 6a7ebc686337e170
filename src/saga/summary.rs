//! What the log keeps beside the events so that questions need no fold: projections, written in the same transaction as the events
//! they follow from, and checked against the fold by `windlass audit verify`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::{DeployEvent, DeployOutcome, Direction, TenantOutcome};
use crate::base::{Code, Digest, StepId, Timestamp};

/// Where a tenant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Planned, nothing started.
    Pending,
    /// A step has started; more to do. Also between two tries.
    Running,
    /// A step failed for good; the deploy decides what follows.
    Failed,
    /// Turned; undo under way.
    Unwinding,
    /// A human must decide.
    Stuck,
    /// On the release.
    Completed,
    /// Everything this deploy did there is undone.
    Unwound,
    /// Nothing was ever started there.
    Untouched,
    /// Set aside by policy.
    Quarantined,
    /// Left as it is by a human's decision.
    Abandoned,
}

impl TenantStatus {
    /// Every status, in the order in which people read them.
    pub const ALL: &'static [TenantStatus] = &[
        TenantStatus::Pending,
        TenantStatus::Running,
        TenantStatus::Failed,
        TenantStatus::Unwinding,
        TenantStatus::Stuck,
        TenantStatus::Completed,
        TenantStatus::Unwound,
        TenantStatus::Untouched,
        TenantStatus::Quarantined,
        TenantStatus::Abandoned,
    ];

    /// The word, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TenantStatus::Pending => "pending",
            TenantStatus::Running => "running",
            TenantStatus::Failed => "failed",
            TenantStatus::Unwinding => "unwinding",
            TenantStatus::Stuck => "stuck",
            TenantStatus::Completed => "completed",
            TenantStatus::Unwound => "unwound",
            TenantStatus::Untouched => "untouched",
            TenantStatus::Quarantined => "quarantined",
            TenantStatus::Abandoned => "abandoned",
        }
    }

    /// The status with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.as_str() == word)
    }

    /// Whether a worker finds something to do there, in a deploy that goes this way. Only these are handed out by a claim.
    ///
    /// A completed tenant is taken up again when the deploy unwinds; a stuck one never is, until a human has spoken.
    #[must_use]
    pub const fn is_claimable(self, direction: Direction) -> bool {
        match self {
            TenantStatus::Pending | TenantStatus::Running | TenantStatus::Unwinding => true,
            TenantStatus::Failed | TenantStatus::Completed => matches!(direction, Direction::Unwind),
            _ => false,
        }
    }

    /// The status of a tenant that ended like this.
    #[must_use]
    pub const fn of(outcome: TenantOutcome) -> Self {
        match outcome {
            TenantOutcome::Completed => TenantStatus::Completed,
            TenantOutcome::Unwound => TenantStatus::Unwound,
            TenantOutcome::Untouched => TenantStatus::Untouched,
            TenantOutcome::Quarantined => TenantStatus::Quarantined,
            TenantOutcome::Stuck => TenantStatus::Stuck,
            TenantOutcome::Abandoned => TenantStatus::Abandoned,
        }
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One tenant of a deploy in a row: a pure function of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSummary {
    /// Where it stands.
    pub status: TenantStatus,
    /// The stage of its next step; its last one where it has none left.
    pub stage: u32,
    /// Its wave in that stage.
    pub wave: u32,
    /// The step it is at, or failed at.
    pub step: Option<StepId>,
    /// Not to be taken up before then.
    pub ready_at: Option<Timestamp>,
    /// What went wrong last, where something did.
    pub code: Option<Code>,
    /// The same in words.
    pub message: Option<String>,
}

/// What an append means for the log's record of which release a tenant is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Nothing new.
    Unchanged,
    /// Steps have started or are being undone: only the tenant's own ledger knows.
    Unknown,
    /// It has exactly this release.
    At(Digest),
}

/// A deploy in a row: a pure function of its own stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploySummary {
    /// Which way it goes.
    pub direction: Direction,
    /// The stage that has been entered, and the last wave opened in it; none before the first.
    pub open: Option<(u32, u32)>,
    /// How it ended; none while it is open.
    pub outcome: Option<DeployOutcome>,
    /// Whether it is sealed.
    pub seal: Option<Digest>,
    /// Whether it is paused: nothing starts there, in either direction.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
}

/// What serde asks of a flag that is left out where it says nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Default for DeploySummary {
    fn default() -> Self {
        Self { direction: Direction::Forward, open: None, outcome: None, seal: None, paused: false }
    }
}

impl DeploySummary {
    /// The row after one more event. The deploy machine has checked that the event is legal.
    pub fn apply(&mut self, event: &DeployEvent) {
        match event {
            DeployEvent::DeployCreated { .. } | DeployEvent::StageEntered { .. } => {}
            DeployEvent::WaveOpened { stage, wave } => self.open = Some((*stage, *wave)),
            DeployEvent::DeployPaused { .. } => self.paused = true,
            DeployEvent::DeployResumed { .. } => self.paused = false,
            // Of a paused deploy only a human says so, and whoever says unwind wants it to happen.
            DeployEvent::DirectionSet { direction, .. } => (self.direction, self.paused) = (*direction, false),
            DeployEvent::DeployFinished { outcome, .. } => self.outcome = Some(*outcome),
            DeployEvent::Sealed { root, .. } => self.seal = Some(*root),
        }
    }

    /// Whether a tenant whose next step is in this stage and wave may be taken up. Nobody is while
    /// the deploy is paused.
    #[must_use]
    pub fn admits(&self, status: TenantStatus, stage: u32, wave: u32) -> bool {
        let reached = !self.direction.admits_starts() || self.open.is_some_and(|open| (stage, wave) <= open);
        self.outcome.is_none() && !self.paused && reached && status.is_claimable(self.direction)
    }
}

/// Whether tenants that stand so wait for a human, and none of them moves in a deploy that goes this way.
pub fn stands_still(statuses: impl Iterator<Item = TenantStatus>, direction: Direction) -> bool {
    let mut stuck = false;
    for status in statuses {
        stuck |= status == TenantStatus::Stuck;
        if status.is_claimable(direction) {
            return false;
        }
    }
    stuck
}

/// How many tenants stand where, by status, stage and wave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Census {
    /// The counts; none is zero.
    #[serde(with = "groups")]
    pub groups: BTreeMap<(TenantStatus, u32, u32), u64>,
}

impl Census {
    /// All tenants of a status.
    #[must_use]
    pub fn count(&self, status: TenantStatus) -> u64 {
        self.groups.iter().filter(|((of, _, _), _)| *of == status).map(|(_, count)| count).sum()
    }

    /// All tenants.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.groups.values().sum()
    }

    /// Whether nothing of a deploy that goes this way moves any more until a human decides. One that has failures and has not turned
    /// moves: whoever drives it is about to decide.
    #[must_use]
    pub fn waits_for_human(&self, direction: Direction) -> bool {
        direction == Direction::Unwind && stands_still(self.groups.keys().map(|(status, ..)| *status), direction)
    }

    /// Tenants of a status whose next step lies at or before this stage and wave.
    #[must_use]
    pub fn count_up_to(&self, status: TenantStatus, open: (u32, u32)) -> u64 {
        let reached = |(of, stage, wave): &(TenantStatus, u32, u32)| *of == status && (*stage, *wave) <= open;
        self.groups.iter().filter(|(key, _)| reached(key)).map(|(_, count)| count).sum()
    }
}

/// JSON has no tuple keys: a list of rows.
mod groups {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::TenantStatus;

    type Groups = BTreeMap<(TenantStatus, u32, u32), u64>;

    #[derive(Serialize, Deserialize)]
    struct Row {
        status: TenantStatus,
        stage: u32,
        wave: u32,
        tenants: u64,
    }

    pub(super) fn serialize<S: Serializer>(groups: &Groups, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(groups.iter().map(|((status, stage, wave), tenants)| Row {
            status: *status,
            stage: *stage,
            wave: *wave,
            tenants: *tenants,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Groups, D::Error> {
        let rows = Vec::<Row>::deserialize(deserializer)?;
        Ok(rows.into_iter().map(|row| ((row.status, row.stage, row.wave), row.tenants)).collect())
    }
}
