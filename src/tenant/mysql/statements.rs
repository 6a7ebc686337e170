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

use super::said::KEY_TAKEN;
use super::session::MySession;
use super::sql;
use super::transaction::{Evidence, OVER, Transacted, Transaction};
use super::wire::Trouble;
use crate::base::crash;
use crate::base::{Code, Epoch};
use crate::saga::event::Half;
use crate::saga::failure::ErrorClass;
use crate::tenant::act::points;
use crate::tenant::error::SessionError;
use crate::tenant::reply::Tagged;
use crate::tenant::session::{Applied, LedgerKey, Unit};

/// How far a statement has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tenant) enum State {
    /// It was about to be run.
    Intent,
    /// It is in effect.
    Done,
}

/// A statement that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tenant) struct Begun {
    /// Its number in the script, from 1.
    pub(in crate::tenant) number: u32,
    pub(in crate::tenant) state: State,
    /// The print of what it touches, before.
    pub(in crate::tenant) before: String,
    /// The same, after; empty until it is known.
    pub(in crate::tenant) after: String,
    /// Who wrote this.
    pub(in crate::tenant) epoch: Epoch,
}

/// What became of a statement's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tenant) enum Written {
    Now,
    /// There was one: somebody else was faster, or it is known from an earlier try.
    Before,
}

impl MySession {
    /// The statements of a step that were begun, in order.
    pub(in crate::tenant) async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError> {
        self.ready().await?;
        let text = sql::statements(self.names(), key);
        let reply = self.ask(text).await.map_err(|said| self.error(&said))?;
        let rows: Option<Vec<Begun>> = reply.rows.iter().map(begun).collect();
        rows.ok_or_else(|| self.damaged())
    }

    /// Writes that a statement is about to be run. Durable when this returns.
    pub(in crate::tenant) async fn intend(
        &mut self,
        key: &LedgerKey,
        number: u32,
        before: &str,
    ) -> Result<Written, SessionError> {
        self.still_ours().await?;
        // A text may have said SET autocommit = 0: a row that waits for somebody's commit is no evidence.
        self.ask(OVER).await.map_err(|said| self.error(&said))?;
        let text = sql::insert_statement(self.names(), self.opening(), key, number, "intent", before);
        match self.ask(text).await {
            Ok(_) => Ok(Written::Now),
            Err(said) if said.is(KEY_TAKEN) => Ok(Written::Before),
            Err(said) => Err(self.error(&said)),
        }
    }

    /// Takes over the intent of a statement that is known not to have taken effect, with the print as it is now.
    pub(in crate::tenant) async fn intend_again(
        &mut self,
        key: &LedgerKey,
        number: u32,
        before: &str,
    ) -> Result<(), SessionError> {
        self.still_ours().await?;
        let text = sql::intend_again(self.names(), self.opening(), key, number, before);
        self.change_one(text).await
    }

    /// Runs a statement by itself. An error whose outcome is `NoEffect` is the server's word; what a statement may leave in spite of it
    /// (`DROP TABLE a, b`), only a print tells.
    pub(in crate::tenant) async fn run_alone(&mut self, half: Half, statement: &str) -> Result<(), SessionError> {
        self.refuse_what_is_not_read(&[statement.to_owned()])?;
        // It may make a table, or change its engine.
        self.forget_tables();
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

    /// Writes that a statement has taken effect.
    pub(in crate::tenant) async fn settle(
        &mut self,
        key: &LedgerKey,
        number: u32,
        after: &str,
    ) -> Result<(), SessionError> {
        self.ask(OVER).await.map_err(|said| self.error(&said))?;
        self.still_ours().await?;
        let text = sql::settle_statement(self.names(), self.opening(), key, number, after);
        self.change_one(text).await
    }

    /// Takes out the row of a statement that failed, or that was undone.
    pub(in crate::tenant) async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError> {
        self.still_ours().await?;
        let text = sql::forget_statement(self.names(), key, number);
        self.ask(text).await.map(drop).map_err(|said| self.error(&said))
    }

    /// Runs a statement that shares a transaction with its outcome.
    pub(in crate::tenant) async fn run_with_outcome(
        &mut self,
        key: &LedgerKey,
        number: u32,
        statement: &str,
    ) -> Result<Written, SessionError> {
        let statements = [statement.to_owned()];
        self.refuse_what_is_not_safe(&statements).await?;
        self.still_ours().await?;
        let transaction = Transaction {
            insert: sql::insert_statement(self.names(), self.opening(), key, number, "done", ""),
            evidence: Evidence::statement(self.names(), key, number),
            statements: &statements,
            after: Vec::new(),
            points: points(key.half),
        };
        match self.transact(transaction).await {
            Ok(Transacted::Committed) => Ok(Written::Now),
            Ok(Transacted::KeyTaken(_)) => Ok(Written::Before),
            Err(mut error) => {
                error.failure.statement = error.failure.statement.map(|_| number);
                Err(error)
            }
        }
    }

    /// Ends a step: its ledger row, the fence, and the outcome of its last statement, all in one transaction. `unit` has no statements
    /// of its own.
    pub(in crate::tenant) async fn finish(
        &mut self,
        unit: &Unit,
        last: Option<(u32, &str)>,
    ) -> Result<Applied, SessionError> {
        self.ask(OVER).await.map_err(|said| self.error(&said))?;
        let outcome =
            last.map(|(number, after)| sql::settle_statement(self.names(), self.opening(), &unit.key, number, after));
        self.run(unit, outcome.into_iter().collect()).await
    }

    async fn change_one(&mut self, sql: String) -> Result<(), SessionError> {
        let (reply, found) = match self.wire() {
            Some(wire) => wire.change(sql).await,
            None => return Err(self.damaged()),
        };
        match (&reply.trouble, found) {
            (Some(trouble), _) => Err(self.error(&self.understood(trouble))),
            (None, 1) => Ok(()),
            (None, _) => Err(self.damaged()),
        }
    }

    fn damaged(&self) -> SessionError {
        let message = "windlass_statement does not hold what was written to it; nothing was done";
        SessionError::no_effect(self.tenant(), ErrorClass::Permanent, Code::LedgerDamaged, message)
    }
}

fn begun(row: &Tagged) -> Option<Begun> {
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
