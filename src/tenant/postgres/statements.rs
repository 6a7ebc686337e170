//! Strides of a step: what is written around statements that commit by themselves. [`crate::tenant::course`] says what a crash means.
//!
//! What we write goes in transactions of our own, between statements whose settings (a role, a search path) have to stay as they are
//! for those that follow.

use async_trait::async_trait;

use super::said::{DENIED, KEY_TAKEN, Line, NO_TABLE, Said};
use super::session::{LastAlone, PgSession};
use super::sql::{self, Access, amid};
use super::transaction::{Evidence, Settings, Transacted, Transaction};
use super::wire::Reply;
use crate::base::Code;
use crate::base::crash;
use crate::release::stepwise::{Facts, Middle};
use crate::saga::event::Half;
use crate::saga::failure::ErrorClass;
use crate::tenant::act::points;
use crate::tenant::error::{Outcome, SessionError};
use crate::tenant::ledger::begun;
use crate::tenant::session::{Applied, LedgerKey, Unit};
use crate::tenant::stepwise::{Begun, Mend, Mended, Outcomes, Print, Stepwise, Written};

#[async_trait]
impl Stepwise for PgSession {
    async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError> {
        self.ready().await?;
        let text = sql::statements(self.names(), key);
        let reply = match self.ask(Access::Read, &text).await {
            Ok(reply) => reply,
            Err(said) if said.is(NO_TABLE) => return Ok(Vec::new()),
            Err(said) => return Err(self.error(&said)),
        };
        let rows: Option<Vec<Begun>> = reply.rows.iter().map(begun).collect();
        rows.ok_or_else(|| self.damaged())
    }

    async fn intend(&mut self, key: &LedgerKey, number: u32, before: &str) -> Result<Written, SessionError> {
        let text = sql::insert_statement(self.names(), self.opening(), key, number, "intent", before);
        let mut written = self.ask(Access::Write, &text).await;
        if written.as_ref().is_err_and(|said| said.is(NO_TABLE)) {
            self.make_table().await?;
            written = self.ask(Access::Write, &text).await;
        }
        match written {
            Ok(_) => Ok(Written::Now),
            Err(said) if said.is(KEY_TAKEN) => Ok(Written::Before),
            Err(said) => Err(self.error(&said)),
        }
    }

    async fn run_alone(&mut self, half: Half, statement: &str) -> Result<(), SessionError> {
        let [before, inside, after] = points(half);
        *self.last_alone() = LastAlone::NotDone;
        crash::point(before);
        // Nothing of ours goes with it: in a message of several statements the server refuses what commits by itself.
        let limit = self.limit(1);
        let reply = self.exchange(statement.to_owned(), Some(inside), limit).await;
        if let Some(trouble) = &reply.trouble {
            return Err(self.understood(trouble).error(&self.opening().tenant));
        }
        *self.last_alone() = LastAlone::Done;
        crash::point(after);
        Ok(())
    }

    async fn settle(&mut self, key: &LedgerKey, number: u32, after: &str) -> Result<(), SessionError> {
        let text = sql::settle_statement(self.names(), self.opening(), key, number, after);
        let reply = self.write(&text).await?;
        reply.row("windlass_settled").map(drop).ok_or_else(|| self.damaged())
    }

    async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError> {
        let text = sql::forget_statement(self.names(), key, number);
        self.write(&text).await.map(drop)
    }

    async fn run_with_outcome(
        &mut self,
        key: &LedgerKey,
        number: u32,
        statements: &[String],
    ) -> Result<Written, SessionError> {
        let transaction = Transaction {
            insert: sql::insert_statement(self.names(), self.opening(), key, number, "done", ""),
            evidence: Evidence::statement(self.names(), key, number),
            statements,
            after: Vec::new(),
            settings: Settings::Kept,
            half: key.half,
        };
        let mut transacted = self.transact(&transaction).await;
        if let Ok(Transacted::RowRefused(said)) = &transacted
            && said.is(NO_TABLE)
        {
            self.make_table().await?;
            transacted = self.transact(&transaction).await;
        }
        match transacted {
            Ok(Transacted::Committed(_)) => Ok(Written::Now),
            Ok(Transacted::RowRefused(said)) if said.is(KEY_TAKEN) => Ok(Written::Before),
            Ok(Transacted::RowRefused(said)) => Err(self.error(&said)),
            Err(mut error) => {
                error.failure.statement = error.failure.statement.map(|_| number);
                if error.outcome == Outcome::Torn {
                    self.let_go().await;
                }
                Err(error)
            }
        }
    }

    async fn say_again(&mut self, statement: &str) -> Result<(), SessionError> {
        self.ready().await?;
        self.say_alone(statement.to_owned()).await
    }

    async fn finish(&mut self, unit: &Unit, outcomes: Outcomes) -> Result<Applied, SessionError> {
        let due = match outcomes {
            Outcomes::Due => Some(sql::settle_all(self.names(), self.opening(), &unit.key)),
            Outcomes::Written => None,
        };
        self.run(unit, Settings::TakenBack, due).await
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

impl PgSession {
    /// Sends one statement, outside of any transaction.
    pub(super) async fn say_alone(&mut self, statement: String) -> Result<(), SessionError> {
        let reply = self.say(statement).await;
        match &reply.trouble {
            None => Ok(()),
            Some(trouble) => Err(self.understood(trouble).error(&self.opening().tenant)),
        }
    }

    /// Runs a text of ours amid a step's statements.
    pub(super) async fn ask(&mut self, access: Access, text: &str) -> Result<Reply, Said> {
        self.ask_after(access, "", text).await
    }

    /// The same, after something that is asked under the step's own settings.
    pub(super) async fn ask_after(&mut self, access: Access, first: &str, text: &str) -> Result<Reply, Said> {
        let reply = self.say(amid(access, first, text)).await;
        let Some(trouble) = &reply.trouble else { return Ok(reply) };
        let said = self.understood(trouble);
        if said.line == Line::Alive {
            self.roll_back().await;
        }
        Err(said)
    }

    /// The same, if the fence is still ours.
    async fn write(&mut self, text: &str) -> Result<Reply, SessionError> {
        let text = format!("{};\n{text}", sql::still_ours(self.names(), self.opening()));
        self.ask(Access::Write, &text).await.map_err(|said| self.error(&said))
    }

    /// Makes sure that the fence is ours, before something that cannot do so itself.
    pub(super) async fn still_ours(&mut self) -> Result<(), SessionError> {
        let text = sql::still_ours(self.names(), self.opening());
        self.ask(Access::Read, &text).await.map(drop).map_err(|said| self.error(&said))
    }

    async fn make_table(&mut self) -> Result<(), SessionError> {
        let (ours, table) = (sql::still_ours(self.names(), self.opening()), sql::create_statement_table(self.names()));
        match self.ask(Access::Write, &format!("{ours};\n{table}")).await {
            Ok(_) => Ok(()),
            Err(said) if said.is(DENIED) => {
                Err(said.before_anything(&self.opening().tenant, "cannot make windlass_statement"))
            }
            Err(said) => Err(self.error(&said)),
        }
    }

    /// Whether a step of this deploy stopped in its middle; also where that cannot be told.
    pub(super) async fn holds_part(&mut self) -> bool {
        let text = sql::part_of_an_act(self.names(), self.opening().deploy);
        match self.ask(Access::Read, &text).await {
            Ok(reply) => reply.row("windlass_part").is_some(),
            Err(said) => !said.is(NO_TABLE),
        }
    }

    fn damaged(&self) -> SessionError {
        let message = "windlass_statement does not hold what was written to it; nothing was done";
        SessionError::no_effect(&self.opening().tenant, ErrorClass::Permanent, Code::LedgerDamaged, message)
    }
}
