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

use async_trait::async_trait;

use super::said::KEY_TAKEN;
use super::session::MySession;
use super::sql;
use super::transaction::{Evidence, OVER, Transacted, Transaction};
use super::wire::Trouble;
use crate::base::crash;
use crate::base::{Code, Epoch};
use crate::release::stepwise::{Facts, Middle};
use crate::saga::event::Half;
use crate::saga::failure::ErrorClass;
use crate::tenant::act::points;
use crate::tenant::error::SessionError;
use crate::tenant::reply::Tagged;
use crate::tenant::session::{Applied, LedgerKey, Unit};
use crate::tenant::stepwise::{Begun, Mend, Mended, Print, State, Stepwise, Written};

#[async_trait]
impl Stepwise for MySession {
    async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError> {
        self.ready().await?;
        let text = sql::statements(self.names(), key);
        let reply = self.ask(text).await.map_err(|said| self.error(&said))?;
        let rows: Option<Vec<Begun>> = reply.rows.iter().map(begun).collect();
        rows.ok_or_else(|| self.damaged())
    }

    async fn intend(&mut self, key: &LedgerKey, number: u32, before: &str) -> Result<Written, SessionError> {
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

    async fn run_alone(&mut self, half: Half, statement: &str) -> Result<(), SessionError> {
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

    async fn settle(&mut self, key: &LedgerKey, number: u32, after: &str) -> Result<(), SessionError> {
        self.ask(OVER).await.map_err(|said| self.error(&said))?;
        self.still_ours().await?;
        let text = sql::settle_statement(self.names(), self.opening(), key, number, after);
        self.change_one(text).await
    }

    async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError> {
        self.still_ours().await?;
        let text = sql::forget_statement(self.names(), key, number);
        self.ask(text).await.map(drop).map_err(|said| self.error(&said))
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
            insert: sql::insert_statement(self.names(), self.opening(), key, number, "done", ""),
            evidence: Evidence::statement(self.names(), key, number),
            statements,
            after: Vec::new(),
            points,
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

    async fn say_again(&mut self, statement: &str) -> Result<(), SessionError> {
        self.ask(statement).await.map(drop).map_err(|said| self.error(&said))
    }

    async fn finish(&mut self, unit: &Unit, last: Option<(u32, &str)>) -> Result<Applied, SessionError> {
        self.ask(OVER).await.map_err(|said| self.error(&said))?;
        let outcome =
            last.map(|(number, after)| sql::settle_statement(self.names(), self.opening(), &unit.key, number, after));
        self.run(unit, outcome.into_iter().collect()).await
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
        SessionError::no_effect(&self.opening().tenant, ErrorClass::Permanent, Code::LedgerDamaged, message)
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
