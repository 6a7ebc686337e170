//! Statements that commit by themselves, one at a time: what is written around each, so that a crash leaves evidence.
//!
//! | Line | What a crash behind it means |
//! |---|---|
//! | the intent is written, with the print before | the statement may or may not have been sent: the print tells |
//! | the statement is sent | the server goes on without us; the successor ends it and sees it gone, then the print tells |
//! | the outcome is written | it is in effect, and never run again |
//! | the ledger row, with the last outcome | the step is over |
//!
//! The row's key is (deploy, step, half, number). It is inserted before the statement is sent, so of two that try, one finds it.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::said::KEY_TAKEN;
use super::session::MySession;
use super::sql;
use super::transaction::{Evidence, OVER, Transacted, Transaction};
use super::wire::{Reply, Trouble};
use crate::base::crash;
use crate::base::{Code, DeployId, Epoch, StepId};
use crate::release::stepwise::{Facts, Middle};
use crate::saga::event::Half;
use crate::saga::failure::ErrorClass;
use crate::tenant::act::points;
use crate::tenant::error::SessionError;
use crate::tenant::ledger::half_of;
use crate::tenant::reply::Tagged;
use crate::tenant::session::{Applied, LedgerKey, Unit};
use crate::tenant::stepwise::{Begun, Mend, Mended, Outcomes, Print, State, Stepwise, Written};

#[async_trait]
impl Stepwise for MySession {
    async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError> {
        self.ready().await?;
        Ok(self.strides().of(key))
    }

    async fn intend(&mut self, key: &LedgerKey, number: u32, before: &str) -> Result<Written, SessionError> {
        self.commit_by_itself().await?;
        let text = sql::insert_intent(self.names(), self.opening(), key, number, before);
        let (reply, found) = self.change(text).await?;
        match reply.trouble.as_ref().map(|trouble| self.understood(trouble)) {
            Some(said) if said.is(KEY_TAKEN) => Ok(Written::Before),
            Some(said) => Err(self.error(&said)),
            // The fence is another's: that is what it will say.
            None if found == 0 => Err(self.still_ours().await.map_or_else(|error| error, |_| self.damaged())),
            None => {
                let epoch = self.opening().epoch;
                let (before, after) = (before.to_owned(), String::new());
                self.strides_mut().put(key, Begun { number, state: State::Intent, before, after, epoch });
                Ok(Written::Now)
            }
        }
    }

    async fn run_alone(&mut self, half: Half, statement: &str) -> Result<(), SessionError> {
        self.refuse_what_is_not_read(&[statement.to_owned()])?;
        let plain = is_plain(statement);
        self.forget_tables(plain, statement);
        if !plain {
            self.forget_settings(true);
        }
        let [before, inside, after] = points(half);
        crash::point(before);
        let trouble = match self.wire() {
            Some(wire) => wire.say_and_pass(statement, inside).await.trouble,
            None => Some(Trouble::Over),
        };
        if let Some(trouble) = trouble {
            return Err(self.error(&self.understood(&trouble)));
        }
        crash::point(after);
        Ok(())
    }

    async fn settle(&mut self, key: &LedgerKey, number: u32, after: &str) -> Result<(), SessionError> {
        self.commit_by_itself().await?;
        self.still_ours().await?;
        let text = sql::settle_statement(self.names(), self.opening(), key, number, after);
        self.change_one(text).await?;
        let epoch = self.opening().epoch;
        self.strides_mut().done(key, number, after, epoch);
        Ok(())
    }

    async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError> {
        self.still_ours().await?;
        let text = sql::forget_statement(self.names(), key, number);
        self.ask(text).await.map_err(|said| self.error(&said))?;
        self.strides_mut().forget(key, number);
        Ok(())
    }

    async fn run_with_outcome(
        &mut self,
        key: &LedgerKey,
        number: u32,
        statements: &[String],
    ) -> Result<Written, SessionError> {
        self.refuse_what_is_not_safe(statements).await?;
        self.still_ours().await?;
        let points = points(key.half);
        crash::point(points[0]);
        let transaction = Transaction {
            insert: sql::insert_done(self.names(), self.opening(), key, number),
            evidence: Evidence::statement(self.names(), key, number),
            statements,
            after: Vec::new(),
            points,
        };
        match self.transact(transaction).await {
            Ok(Transacted::Committed) => {
                let (before, after, epoch) = (String::new(), String::new(), self.opening().epoch);
                self.strides_mut().put(key, Begun { number, state: State::Done, before, after, epoch });
                Ok(Written::Now)
            }
            Ok(Transacted::KeyTaken(_)) => Ok(Written::Before),
            Err(mut error) => {
                error.failure.statement = error.failure.statement.map(|_| number);
                Err(error)
            }
        }
    }

    async fn say_again(&mut self, statement: &str) -> Result<(), SessionError> {
        self.ready().await?;
        self.forget_settings(true);
        self.ask(statement).await.map(drop).map_err(|said| self.error(&said))
    }

    async fn finish(&mut self, unit: &Unit, outcomes: Outcomes) -> Result<Applied, SessionError> {
        self.commit_by_itself().await?;
        let due = match outcomes {
            Outcomes::Due => vec![sql::settle_all(self.names(), self.opening(), &unit.key)],
            Outcomes::Written => Vec::new(),
        };
        let applied = self.run(unit, due).await?;
        let epoch = self.opening().epoch;
        self.strides_mut().all_done(&unit.key, epoch);
        Ok(applied)
    }

    async fn print(&mut self, facts: &Facts) -> Result<Print, SessionError> {
        self.ready().await?;
        self.print_of(facts).await
    }

    async fn mend(&mut self, middle: &Middle, before: &str, when: Mend) -> Result<Mended, SessionError> {
        self.mend_middle(middle, before, when).await
    }

    async fn renew(&mut self) {
        self.let_go().await;
    }
}

impl MySession {
    /// A text may have said `SET autocommit = 0` in a way that only running it tells: a row that waits for somebody's commit is no
    /// evidence.
    async fn commit_by_itself(&mut self) -> Result<(), SessionError> {
        if self.settings_known() {
            return Ok(());
        }
        self.ask(OVER).await.map_err(|said| self.error(&said))?;
        self.forget_settings(false);
        Ok(())
    }

    async fn change(&mut self, sql: String) -> Result<(Reply, u64), SessionError> {
        match self.wire() {
            Some(wire) => Ok(wire.change(sql).await),
            None => Err(self.damaged()),
        }
    }

    async fn change_one(&mut self, sql: String) -> Result<(), SessionError> {
        let (reply, found) = self.change(sql).await?;
        match (&reply.trouble, found) {
            (Some(trouble), _) => Err(self.error(&self.understood(trouble))),
            (None, 1) => Ok(()),
            (None, _) => Err(self.damaged()),
        }
    }

    fn damaged(&self) -> SessionError {
        let message = "windlass_statement does not hold what was written to it; nothing was done";
        SessionError::no_effect(&self.opening().tenant, ErrorClass::Permanent, Code::LedgerDamaged, message)
    }
}

/// A statement that runs by itself may set anything in its session, but for the plain definitions.
fn is_plain(statement: &str) -> bool {
    const PLAIN: [&str; 5] = ["CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"];
    let word = statement.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    PLAIN.iter().any(|plain| word.eq_ignore_ascii_case(plain))
}

/// The strides of a deploy that were begun: read at the opening, then kept up by the only writer there is.
#[derive(Debug, Clone, Default)]
pub(super) struct Strides(HashMap<LedgerKey, BTreeMap<u32, Begun>>);

impl Strides {
    /// Folds the rows of a deploy. None where one cannot be read.
    pub(super) fn read(deploy: DeployId, rows: &[Tagged]) -> Option<Self> {
        let mut strides = Self::default();
        for row in rows {
            let half = half_of(row.cell(1))?;
            let key = LedgerKey { deploy, step: StepId(row.cell(0).to_owned()), half };
            strides.put(&key, begun(row)?);
        }
        Some(strides)
    }

    fn of(&self, key: &LedgerKey) -> Vec<Begun> {
        self.0.get(key).map(|of| of.values().cloned().collect()).unwrap_or_default()
    }

    fn put(&mut self, key: &LedgerKey, row: Begun) {
        self.0.entry(key.clone()).or_default().insert(row.number, row);
    }

    fn done(&mut self, key: &LedgerKey, number: u32, after: &str, epoch: Epoch) {
        if let Some(row) = self.0.get_mut(key).and_then(|of| of.get_mut(&number)) {
            (row.state, row.after, row.epoch) = (State::Done, after.to_owned(), epoch);
        }
    }

    fn all_done(&mut self, key: &LedgerKey, epoch: Epoch) {
        let rows = self.0.get_mut(key).into_iter().flat_map(BTreeMap::values_mut);
        for row in rows.filter(|row| row.state == State::Intent) {
            (row.state, row.epoch) = (State::Done, epoch);
        }
    }

    fn forget(&mut self, key: &LedgerKey, number: u32) {
        if let Some(of) = self.0.get_mut(key) {
            of.remove(&number);
        }
    }

    /// The acts of which something was begun.
    pub(super) fn acts(&self) -> impl Iterator<Item = &LedgerKey> {
        self.0.iter().filter(|(key, of)| key.half == Half::Act && !of.is_empty()).map(|(key, _)| key)
    }
}

fn begun(row: &Tagged) -> Option<Begun> {
    Some(Begun {
        number: row.cell(2).parse().ok()?,
        state: match row.cell(3) {
            "intent" => State::Intent,
            "done" => State::Done,
            _ => return None,
        },
        before: row.cell(4).to_owned(),
        after: row.cell(5).to_owned(),
        epoch: Epoch(row.cell(6).parse().ok()?),
    })
}
