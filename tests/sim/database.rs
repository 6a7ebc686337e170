//! The model of a tenant's database server: what stands in it, who is connected, and what it makes of a statement.

use std::collections::{BTreeMap, BTreeSet};

use windlass::base::{Code, DeployId, Epoch, StepId, Timestamp};
use windlass::saga::event::Half;
use windlass::saga::failure::{ErrorClass, Failure};
use windlass::tenant::{Begun, Effect, FenceMark, LedgerKey, LedgerRow};

use crate::scenario::{MigrationDef, Poison, TenantDef, subject};

/// A key that can be put in order.
pub type Key = (DeployId, StepId, Half);

pub fn key_of(key: &LedgerKey) -> Key {
    (key.deploy, key.step.clone(), key.half)
}

/// Somebody who is connected.
#[derive(Debug)]
pub struct Connected {
    pub epoch: Epoch,
    /// Told to end: nothing new is taken from it.
    pub ended: bool,
    /// Statements at work for it.
    pub busy: u32,
    /// Its statements go on to their end although it was told to end.
    pub stubborn: bool,
}

/// One change of a thing: what, by how much, and for which step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub subject: String,
    pub by: i64,
}

/// The database.
#[derive(Debug)]
pub struct Database {
    pub fence: Option<FenceMark>,
    pub ledger: Vec<LedgerRow>,
    pub strides: BTreeMap<(Key, u32), Begun>,
    /// What is there, and how much of it; nothing where it is missing.
    pub things: BTreeMap<String, i64>,
    pub connected: BTreeMap<u64, Connected>,
    /// Until when the server is down, if it is.
    pub down_until: Timestamp,
    poison: Vec<(String, i64, Poison)>,
    sessions: u64,
}

/// A statement that a server refuses.
#[derive(Debug, Clone)]
pub struct Refused(pub Failure);

impl Database {
    /// An empty one, that will refuse what the scenario says.
    pub fn new(def: &TenantDef, migrations: &[MigrationDef]) -> Self {
        let refused = |of: &Poison| {
            let verb = migrations.get(of.migration)?.statements.get(of.statement)?;
            let by = if of.half == Half::Act { 1 } else { -1 };
            Some((subject(of.migration, of.statement, *verb), by, *of))
        };
        Self {
            fence: None,
            ledger: Vec::new(),
            strides: BTreeMap::new(),
            things: BTreeMap::new(),
            connected: BTreeMap::new(),
            down_until: Timestamp(0),
            poison: def.poison.iter().filter_map(refused).collect(),
            sessions: 0,
        }
    }

    /// Whether it refuses something for good that a human could mend.
    pub fn mend(&mut self) -> bool {
        let before = self.poison.len();
        self.poison.retain(|(_, _, of)| of.times.is_some());
        self.poison.len() < before
    }

    pub fn connect(&mut self, epoch: Epoch, stubborn: bool) -> u64 {
        self.sessions += 1;
        self.connected.insert(self.sessions, Connected { epoch, ended: false, busy: 0, stubborn });
        self.sessions
    }

    /// Tells everybody else to end who is not of a later epoch.
    pub fn end_others(&mut self, own: u64, epoch: Epoch) {
        for (_, other) in self.connected.iter_mut().filter(|(id, other)| **id != own && other.epoch <= epoch) {
            other.ended = true;
        }
    }

    /// The server dies: what was under way in it is rolled back, and nobody is connected.
    pub fn goes_down(&mut self, until: Timestamp) {
        self.down_until = until;
        for connected in self.connected.values_mut() {
            (connected.ended, connected.stubborn) = (true, false);
        }
    }

    /// Whether one of those is still at work.
    pub fn others_at_work(&self, own: u64, epoch: Epoch) -> bool {
        let others = self.connected.iter().filter(|(id, other)| **id != own && other.epoch <= epoch);
        others.into_iter().any(|(_, other)| other.busy > 0 && other.stubborn)
    }

    /// What a statement would change: understood is what scenarios are made of.
    pub fn understand(statement: &str) -> (String, i64) {
        let text = statement.lines().filter(|line| !line.trim_start().starts_with("--"));
        let words: Vec<&str> = text.flat_map(str::split_whitespace).collect();
        match words[..] {
            ["CREATE", "TABLE", name, ..] => (name.to_owned(), 1),
            ["DROP", "TABLE", name] => (name.to_owned(), -1),
            ["UPDATE", "tally", "SET", name, "=", _, sign, "1"] => (name.to_owned(), if sign == "+" { 1 } else { -1 }),
            _ => panic!("a statement that no scenario has: {statement}"),
        }
    }

    /// Whether the server takes a statement as things stand; counts the refusals that wear off.
    pub fn admits(&mut self, things: &BTreeMap<String, i64>, name: &str, by: i64) -> Result<(), Refused> {
        for (subject, of, poison) in &mut self.poison {
            if subject != name || *of != by {
                continue;
            }
            let (class, code, words) = match &mut poison.times {
                None => (ErrorClass::Permanent, Code::StepFailed, "it cannot be"),
                Some(0) => continue,
                Some(times) => {
                    *times -= 1;
                    (ErrorClass::Transient, Code::TenantTimeout, "a lock was held")
                }
            };
            return Err(Refused(Failure::new(class, code, words)));
        }
        let there = things.get(name).copied().unwrap_or_default();
        let wrong = match (name.starts_with('t'), by, there) {
            (true, 1, 1..) => Some("it is there already"),
            (true, -1, ..=0) => Some("it is not there"),
            _ => None,
        };
        wrong.map_or(Ok(()), |wrong| {
            let said = format!("{name}: {wrong}");
            Err(Refused(Failure::new(ErrorClass::Permanent, Code::StepFailed, said)))
        })
    }

    /// The rows of a key's ledger.
    pub fn row(&self, key: &LedgerKey) -> Option<&LedgerRow> {
        self.ledger.iter().find(|row| row.key == *key)
    }

    /// Writes a ledger row; its key is free.
    pub fn write(&mut self, mut row: LedgerRow, at: Timestamp) -> LedgerRow {
        row.position = self.ledger.last().map_or(0, |last| last.position) + 1;
        row.at = at;
        self.ledger.push(row.clone());
        row
    }

    /// The migrations that the ledger says are in force, in the order in which they came.
    pub fn in_force(&self) -> Vec<&LedgerRow> {
        let mut rows: Vec<&LedgerRow> = Vec::new();
        for row in self.ledger.iter().filter(|row| row.effect != Effect::Void) {
            rows.retain(|earlier| earlier.version != row.version);
            if row.effect == Effect::Apply {
                rows.push(row);
            }
        }
        rows
    }

    /// The things that are there.
    pub fn present(&self) -> BTreeSet<String> {
        self.things.iter().filter(|(_, count)| **count != 0).map(|(name, _)| name.clone()).collect()
    }
}
