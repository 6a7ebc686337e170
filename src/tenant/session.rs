//! The contract of a tenant session.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::SessionError;
use super::stepwise::Stepwise;
use crate::base::{DeployId, Digest, Epoch, LogId, StepId, TenantId, Timestamp, WorkerId};
use crate::saga::event::Half;

/// The key of a ledger row, and by that the fence of a step: whoever wants to run it inserts this row first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LedgerKey {
    /// The deploy.
    pub deploy: DeployId,
    /// The step.
    pub step: StepId,
    /// Its act or its undo.
    pub half: Half,
}

/// What a ledger row says of its migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// From here on it is in force.
    Apply,
    /// From here on it is not.
    Revert,
    /// A tombstone: this step of this deploy will never take effect; a late packet finds the key taken.
    Void,
}

/// One row of a tenant's ledger. The rows are ordered by `position`; the last one of a version that is not void says whether it is
/// in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Its place in the ledger, from 1.
    pub position: u64,
    /// Its key.
    pub key: LedgerKey,
    /// Which migration, as [`Unit::version`].
    pub version: String,
    /// Its name, for people.
    pub name: String,
    /// The digest of the migration's up text.
    pub digest: Digest,
    /// What the row says.
    pub effect: Effect,
    /// Under which epoch it was written.
    pub epoch: Epoch,
    /// When, by the tenant's server.
    pub at: Timestamp,
}

/// A migration that is in force in a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Its version.
    pub version: String,
    /// Its name.
    pub name: String,
    /// The digest of its up text when it was applied.
    pub digest: Digest,
    /// The deploy that applied it.
    pub deploy: DeployId,
}

/// How far the work of a fence's deploy has come in this tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceState {
    /// Steps may be under way, or wait to be undone.
    Open,
    /// The deploy's last migration here is in. Written in that migration's own transaction.
    Done,
    /// Nothing that the deploy did here is left: its last undo is in, in whose own transaction this is written; or a session ended
    /// before anything took effect.
    Undone,
}

/// The fence row: who last held this tenant, for which deploy of which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceMark {
    /// The holder's epoch.
    pub epoch: Epoch,
    /// The log that the deploy lives in.
    pub log: LogId,
    /// The deploy.
    pub deploy: DeployId,
    /// How many tenants the deploy set out to change.
    pub tenants: u64,
    /// How far it came here.
    pub state: FenceState,
}

/// What can be learnt of a tenant without touching it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The server's product and version: `PostgreSQL 15.14`, `SQLite 3.50.4`.
    pub server: String,
    /// What makes this database itself, whatever name it was reached by: two tenants with the same one are the same database.
    pub identity: String,
    /// The migrations in force, in the order in which they came into force.
    pub in_force: Vec<InForce>,
    /// The fence row, where there is one.
    pub fence: Option<FenceMark>,
}

/// How to open a session.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The tenant.
    pub tenant: TenantId,
    /// The deploy.
    pub deploy: DeployId,
    /// The log it lives in.
    pub log: LogId,
    /// How many tenants it set out to change.
    pub tenants: u64,
    /// The worker.
    pub worker: WorkerId,
    /// Its epoch on this tenant.
    pub epoch: Epoch,
    /// How long a lock is waited for.
    pub lock_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// The schema for Windlass's own tables (PostgreSQL); the first of the search path where none is named.
    pub ledger_schema: Option<String>,
}

/// One transaction: a ledger row and the statements that belong to it.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The ledger row's key.
    pub key: LedgerKey,
    /// Its effect; never [`Effect::Void`].
    pub effect: Effect,
    /// The migration's version.
    pub version: String,
    /// The migration's name.
    pub name: String,
    /// The digest of the migration's up text, whichever way the unit goes.
    pub digest: Digest,
    /// The statements, in order, without their semicolons; none holds transaction control.
    pub statements: Vec<String>,
    /// Whether a statement may leave something behind in the session: then the session does not outlive the unit.
    pub sets_session: SetsSession,
    /// Whether foreign keys are checked before the commit (SQLite, where they are not enforced during a migration).
    pub foreign_keys: ForeignKeys,
    /// What the fence says once this is in.
    pub fence: FenceState,
}

/// Whether a unit leaves something behind in its session that outlives its transaction: a setting, a temporary table, a lock, a
/// prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetsSession {
    /// It does, or it cannot be told: nothing else runs in that session.
    Yes,
    /// It does not.
    No,
}

/// Whether a unit must leave no row that points nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKeys {
    /// It must.
    Checked,
    /// Its author answers for it.
    Unchecked,
}

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It took effect, now.
    Now,
    /// Its ledger row was there: an earlier try took effect. Nothing was run.
    Before,
}

/// What the ledger says of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It took effect.
    Applied(LedgerRow),
    /// It did not.
    NotApplied,
    /// It did not, and a tombstone stands where it would have.
    Void,
}

/// What a check's query answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckOutcome {
    /// One row, one column, true (or a number other than 0).
    Holds,
    /// Anything else; what it answered.
    Fails {
        /// The answer, for people.
        answer: String,
    },
}

/// A session with one tenant database, opened for one epoch.
///
/// Opening it has, in this order: connected; raised the fence row to this epoch (refused where a higher one stands); ended every
/// earlier Windlass session on the tenant and seen it gone; read the ledger. So while a session lives, nobody else acts here.
///
/// Any method that gives an error whose [`SessionError::outcome`] is unknown leaves the session unusable: drop it, open another
/// one under the same epoch, and probe.
#[async_trait]
pub trait Session: Stepwise + Send + Sync {
    /// The tenant.
    fn tenant(&self) -> &TenantId;

    /// The server's product and version.
    fn server(&self) -> &str;

    /// The migrations in force when the session was opened or since changed by it, in the order in which they came into force.
    fn in_force(&self) -> &[InForce];

    /// What the ledger said of a step when the session was opened, or since. No round trip: opening waits for every earlier
    /// session to end, so what it then read cannot change under it.
    fn probe(&self, key: &LedgerKey) -> Probe;

    /// Runs a unit in one transaction, its ledger row first.
    ///
    /// A crash before the commit leaves nothing; after it, the row and the effect. The row's key makes a repetition find it.
    async fn apply(&mut self, unit: &Unit) -> Result<Applied, SessionError>;

    /// Leaves a tombstone, so that a late packet of an earlier try finds the key taken.
    async fn void(&mut self, key: &LedgerKey) -> Result<(), SessionError>;

    /// Runs a query in a read-only transaction.
    async fn check(&mut self, sql: &str) -> Result<CheckOutcome, SessionError>;

    /// Ends the session and waits until the server has been told.
    async fn close(self: Box<Self>);
}
