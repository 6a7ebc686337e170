//! The ledger, read: a pure fold of its rows, the same for every engine.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use super::error::SessionError;
use super::reply::Tagged;
use super::session::{Effect, FenceMark, FenceState, InForce, LedgerKey, LedgerRow, Probe, Unit};
use super::stepwise::{Begun, State};
use crate::base::limits::LEDGER_ROWS_MAX;
use crate::base::{Code, DeployId, Digest, Epoch, StepId, TenantId, Timestamp};
use crate::saga::event::Half;
use crate::saga::failure::ErrorClass;

/// What a ledger or fence row holds that it cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// A column of a row cannot be read.
    #[error("row {row} has {text:?} as its {column}")]
    Column {
        /// The row's position, or the fence.
        row: String,
        /// The column.
        column: &'static str,
        /// What stands there.
        text: String,
    },
    /// Two rows say the same thing, or one is out of order.
    #[error("row {row} follows row {after}")]
    Order {
        /// The later row.
        row: u64,
        /// The one before.
        after: u64,
    },
    /// Two rows have one key.
    #[error("row {row} repeats the key of an earlier one")]
    Repeated {
        /// The later row.
        row: u64,
    },
    /// One of the two tables is missing.
    #[error("of windlass_fence and windlass_ledger only one is there")]
    HalfMissing,
    /// More rows than a ledger can have.
    #[error("it has more than {LEDGER_ROWS_MAX} rows")]
    TooLong,
    /// The row of a step says something else than the step does.
    #[error("row {row} has the key of this step, and another effect")]
    OtherEffect {
        /// The row.
        row: u64,
    },
}

impl Damage {
    /// As the error of a session.
    pub(super) fn of(self, tenant: &TenantId) -> SessionError {
        let message = format!("the ledger is not readable: {self}; nothing was done");
        SessionError::no_effect(tenant, ErrorClass::Permanent, Code::LedgerDamaged, message)
    }
}

/// A ledger row as it comes from an engine: every column as text.
#[derive(Debug, Clone, Default)]
pub(super) struct RawRow {
    pub(super) position: String,
    pub(super) deploy: String,
    pub(super) step: String,
    pub(super) half: String,
    pub(super) version: String,
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) effect: String,
    pub(super) epoch: String,
    pub(super) at_ms: String,
}

fn parsed<T: FromStr>(row: &str, column: &'static str, text: &str) -> Result<T, Damage> {
    text.parse().map_err(|_| Damage::Column { row: row.to_owned(), column, text: text.chars().take(80).collect() })
}

impl RawRow {
    pub(super) fn parse(self) -> Result<LedgerRow, Damage> {
        let at = &self.position;
        let unknown = |column, text: &str| Damage::Column { row: at.clone(), column, text: text.to_owned() };
        Ok(LedgerRow {
            position: parsed(at, "position", &self.position)?,
            key: LedgerKey {
                deploy: parsed(at, "deploy_id", &self.deploy)?,
                step: StepId(self.step.clone()),
                half: half_of(&self.half).ok_or_else(|| unknown("half", &self.half))?,
            },
            digest: parsed(at, "digest", &self.digest)?,
            effect: effect_of(&self.effect).ok_or_else(|| unknown("effect", &self.effect))?,
            epoch: Epoch(parsed(at, "epoch", &self.epoch)?),
            at: Timestamp(parsed(at, "at", &self.at_ms)?),
            version: self.version,
            name: self.name,
        })
    }
}

/// The fence row: epoch, log, deploy, tenants, state.
pub(super) fn fence_mark(row: &Tagged) -> Result<FenceMark, Damage> {
    const FENCE: &str = "1 of windlass_fence";
    Ok(FenceMark {
        epoch: Epoch(parsed(FENCE, "epoch", row.cell(0))?),
        log: parsed(FENCE, "log_id", row.cell(1))?,
        deploy: parsed(FENCE, "deploy_id", row.cell(2))?,
        tenants: parsed(FENCE, "tenants", row.cell(3))?,
        state: state_of(row.cell(4))?,
    })
}

/// The state that a fence row's text names.
pub(super) fn state_of(text: &str) -> Result<FenceState, Damage> {
    [FenceState::Open, FenceState::Done, FenceState::Undone]
        .into_iter()
        .find(|state| state_text(*state) == text)
        .ok_or(Damage::Column { row: "1 of windlass_fence".to_owned(), column: "state", text: text.to_owned() })
}

/// How a fence's state is written.
pub(super) const fn state_text(state: FenceState) -> &'static str {
    match state {
        FenceState::Open => "open",
        FenceState::Done => "done",
        FenceState::Undone => "undone",
    }
}

/// How a half is written.
pub(super) const fn half_text(half: Half) -> &'static str {
    match half {
        Half::Act => "act",
        Half::Undo => "undo",
    }
}

/// The half that a text names.
pub(super) fn half_of(text: &str) -> Option<Half> {
    [Half::Act, Half::Undo].into_iter().find(|half| half_text(*half) == text)
}

/// How an effect is written.
pub(super) const fn effect_text(effect: Effect) -> &'static str {
    match effect {
        Effect::Apply => "apply",
        Effect::Revert => "revert",
        Effect::Void => "void",
    }
}

/// A row of `windlass_statement`: number, state, before, after, epoch. None where it holds what it cannot hold.
pub(super) fn begun(row: &Tagged) -> Option<Begun> {
    Some(Begun {
        number: row.cell(0).parse().ok()?,
        state: match row.cell(1) {
            "intent" => State::Intent,
            "done" => State::Done,
            _ => return None,
        },
        before: row.cell(2).to_owned(),
        after: row.cell(3).to_owned(),
        epoch: Epoch(row.cell(4).parse().ok()?),
    })
}

fn effect_of(text: &str) -> Option<Effect> {
    [Effect::Apply, Effect::Revert, Effect::Void].into_iter().find(|effect| effect_text(*effect) == text)
}

/// A ledger row as it is about to be written.
#[derive(Debug, Clone)]
pub(super) struct NewRow<'a> {
    pub(super) position: u64,
    pub(super) key: &'a LedgerKey,
    pub(super) version: &'a str,
    pub(super) name: &'a str,
    pub(super) digest: Digest,
    pub(super) effect: Effect,
    pub(super) epoch: Epoch,
}

impl NewRow<'_> {
    /// The row once it is in, at the time that the tenant's server gave it.
    pub(super) fn written(&self, at: Timestamp) -> LedgerRow {
        LedgerRow {
            position: self.position,
            key: self.key.clone(),
            version: self.version.to_owned(),
            name: self.name.to_owned(),
            digest: self.digest,
            effect: self.effect,
            epoch: self.epoch,
            at,
        }
    }
}

/// What the ledger already says of a unit that is about to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: it may run.
    Free,
    /// It took effect.
    Before,
}

/// One tenant's ledger, as this session knows it: read at the opening, then kept up by the only writer there is.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    rows: HashMap<LedgerKey, LedgerRow>,
    in_force: Vec<InForce>,
    last: u64,
}

impl Ledger {
    /// Folds the rows, in order of position.
    pub(super) fn read(raw: impl IntoIterator<Item = RawRow>) -> Result<Self, Damage> {
        let mut ledger = Self::default();
        // Keyed by position, so that a long history of applies and reverts is folded in one pass.
        let mut in_force: BTreeMap<u64, InForce> = BTreeMap::new();
        let mut position_of: HashMap<String, u64> = HashMap::new();
        for raw in raw {
            let row = raw.parse()?;
            if row.position <= ledger.last {
                return Err(Damage::Order { row: row.position, after: ledger.last });
            }
            ledger.last = row.position;
            if row.effect != Effect::Void
                && let Some(earlier) = position_of.remove(&row.version)
            {
                in_force.remove(&earlier);
            }
            if row.effect == Effect::Apply {
                position_of.insert(row.version.clone(), row.position);
                in_force.insert(row.position, brought(&row));
            }
            let position = row.position;
            if ledger.rows.insert(row.key.clone(), row).is_some() {
                return Err(Damage::Repeated { row: position });
            }
            if ledger.rows.len() > LEDGER_ROWS_MAX {
                return Err(Damage::TooLong);
            }
        }
        ledger.in_force = in_force.into_values().collect();
        Ok(ledger)
    }

    /// The migrations in force, in the order in which they came into force.
    pub(super) fn in_force(&self) -> &[InForce] {
        &self.in_force
    }

    /// What is known of a step.
    pub(super) fn probe(&self, key: &LedgerKey) -> Probe {
        match self.rows.get(key) {
            None => Probe::NotApplied,
            Some(row) if row.effect == Effect::Void => Probe::Void,
            Some(row) => Probe::Applied(row.clone()),
        }
    }

    /// Whether something that a deploy did here has not been undone.
    pub(super) fn holds_work_of(&self, deploy: DeployId) -> bool {
        let took_effect = |key: &LedgerKey| self.rows.get(key).is_some_and(|row| row.effect != Effect::Void);
        let acts = self.rows.keys().filter(|key| key.deploy == deploy && key.half == Half::Act);
        acts.filter(|key| took_effect(key)).any(|key| !took_effect(&LedgerKey { half: Half::Undo, ..key.clone() }))
    }

    /// Whether a unit may run.
    pub(super) fn standing(&self, tenant: &TenantId, unit: &Unit) -> Result<Standing, SessionError> {
        match self.rows.get(&unit.key) {
            None => Ok(Standing::Free),
            Some(row) if row.effect == Effect::Void => Err(tombstone(tenant, &unit.key)),
            Some(row) if row.effect == unit.effect => Ok(Standing::Before),
            Some(row) => Err(Damage::OtherEffect { row: row.position }.of(tenant)),
        }
    }

    /// The place of the next row.
    pub(super) const fn next_position(&self) -> u64 {
        self.last + 1
    }

    /// Takes in a row that was written.
    pub(super) fn push(&mut self, row: LedgerRow) {
        self.last = self.last.max(row.position);
        if row.effect != Effect::Void {
            self.in_force.retain(|migration| migration.version != row.version);
        }
        if row.effect == Effect::Apply {
            self.in_force.push(brought(&row));
        }
        self.rows.insert(row.key.clone(), row);
    }
}

fn brought(row: &LedgerRow) -> InForce {
    InForce { version: row.version.clone(), name: row.name.clone(), digest: row.digest, deploy: row.key.deploy }
}

/// The error of a step that was given up for good.
pub(super) fn tombstone(tenant: &TenantId, key: &LedgerKey) -> SessionError {
    let message =
        format!("step {} of deploy {} was given up: its tombstone stands; nothing was done", key.step, key.deploy);
    SessionError::no_effect(tenant, ErrorClass::Permanent, Code::InDoubt, message)
}

/// The error of a tombstone that comes too late.
pub(super) fn took_effect(tenant: &TenantId, key: &LedgerKey) -> SessionError {
    let message = format!("step {} of deploy {} took effect: it cannot be given up any more", key.step, key.deploy);
    SessionError::no_effect(tenant, ErrorClass::Permanent, Code::InDoubt, message)
}

#[cfg(test)]
mod tests;
