//! Strides of a step. The few statements that stand outside of transactions here (VACUUM, PRAGMA, ANALYZE, REINDEX) may all be run
//! again, and leave nothing in the middle: so there are no prints, and nothing to mend.

use async_trait::async_trait;

use super::connect::{Commits, Reply};
use super::said::Said;
use super::session::SqliteSession;
use super::sql::{self, BEGIN};
use super::transaction::{Evidence, Transacted, Transaction};
use crate::base::crash;
use crate::base::{Clock as _, Code, SystemClock};
use crate::release::stepwise::{Facts, Middle};
use crate::saga::event::Half;
use crate::saga::failure::ErrorClass;
use crate::tenant::act::points;
use crate::tenant::error::SessionError;
use crate::tenant::ledger::{begun, fence_mark};
use crate::tenant::session::{Applied, ForeignKeys, LedgerKey, Unit};
use crate::tenant::stepwise::{Begun, Mend, Mended, Outcomes, Print, Stepwise, Written};

/// Why a text of ours was not committed.
enum Refused {
    /// The fence is another's; or nothing came to an answer.
    Not(SessionError),
    /// SQLite says so.
    By(Said),
}

#[async_trait]
impl Stepwise for SqliteSession {
    async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError> {
        if self.read(sql::HAS_STATEMENT_TABLE).await?.rows.is_empty() {
            return Ok(Vec::new());
        }
        let reply = self.read(&sql::statements(key)).await?;
        let rows: Option<Vec<Begun>> = reply.rows.iter().map(begun).collect();
        rows.ok_or_else(|| self.damaged())
    }

    async fn intend(&mut self, key: &LedgerKey, number: u32, before: &str) -> Result<Written, SessionError> {
        let insert = sql::insert_statement(self.opening(), key, number, "intent", before, SystemClock.now());
        match self.write(&[sql::STATEMENT_TABLE, &insert]).await {
            Ok(_) => Ok(Written::Now),
            Err(Refused::By(said)) if said.key_taken() => Ok(Written::Before),
            Err(refused) => Err(self.refusal(refused)),
        }
    }

    async fn run_alone(&mut self, half: Half, statement: &str) -> Result<(), SessionError> {
        let [before, inside, after] = points(half);
        // Nobody ends this session when the fence is raised.
        let reply = self.read(sql::FENCE).await?;
        if let Some(error) = self.fence_lost(&reply) {
            return Err(error);
        }
        crash::point(before);
        let reply = self.file().await?.run_and_pass(statement.to_owned(), 1, Commits::Meant, Some(inside)).await;
        if let Some(trouble) = &reply.trouble {
            let said = self.understood(trouble);
            self.roll_back().await;
            return Err(said.error_alone(&self.opening().tenant));
        }
        crash::point(after);
        Ok(())
    }

    async fn settle(&mut self, key: &LedgerKey, number: u32, after: &str) -> Result<(), SessionError> {
        let update = sql::settle_statement(self.opening(), key, number, after, SystemClock.now());
        let reply = self.write(&[&update]).await.map_err(|refused| self.refusal(refused))?;
        reply.row("windlass_settled").map(drop).ok_or_else(|| self.damaged())
    }

    async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError> {
        let delete = sql::forget_statement(key, number);
        self.write(&[&delete]).await.map(drop).map_err(|refused| self.refusal(refused))
    }

    async fn run_with_outcome(
        &mut self,
        key: &LedgerKey,
        number: u32,
        statements: &[String],
    ) -> Result<Written, SessionError> {
        let insert = sql::insert_statement(self.opening(), key, number, "done", "", SystemClock.now());
        let transaction = Transaction {
            prologue: vec![sql::STATEMENT_TABLE.to_owned(), insert],
            evidence: Evidence::statement(key, number),
            statements,
            // Looked at when the step ends: between two strides a row may point to one that is yet to come.
            foreign_keys: ForeignKeys::Unchecked,
            after: Vec::new(),
            half: key.half,
        };
        match self.transact(&transaction).await {
            Ok(Transacted::Committed) => Ok(Written::Now),
            Ok(Transacted::KeyTaken(_)) => Ok(Written::Before),
            Err(mut error) => {
                error.failure.statement = error.failure.statement.map(|_| number);
                Err(error)
            }
        }
    }

    async fn say_again(&mut self, statement: &str) -> Result<(), SessionError> {
        let reply = self.file().await?.run(statement.to_owned(), 1, Commits::Meant).await;
        match &reply.trouble {
            None => Ok(()),
            Some(trouble) => Err(self.understood(trouble).error(&self.opening().tenant)),
        }
    }

    async fn finish(&mut self, unit: &Unit, outcomes: Outcomes) -> Result<Applied, SessionError> {
        let now = SystemClock.now();
        let due = match outcomes {
            Outcomes::Due => Some(sql::settle_all(self.opening(), &unit.key, now)),
            Outcomes::Written => None,
        };
        self.run(unit, now, due).await
    }

    async fn print(&mut self, _facts: &Facts) -> Result<Print, SessionError> {
        Ok(Print { text: String::new(), proves: false })
    }

    async fn mend(&mut self, _middle: &Middle, _before: &str, _when: Mend) -> Result<Mended, SessionError> {
        Ok(Mended::Nothing)
    }

    async fn renew(&mut self) {
        self.let_go().await;
    }
}

impl SqliteSession {
    async fn read(&mut self, sql: &str) -> Result<Reply, SessionError> {
        let reply = self.file().await?.run(sql.to_owned(), 1, Commits::Refused).await;
        match &reply.trouble {
            None => Ok(reply),
            Some(trouble) => Err(self.understood(trouble).error(&self.opening().tenant)),
        }
    }

    /// Runs texts of ours in one transaction, if the fence is still ours.
    async fn write(&mut self, texts: &[&str]) -> Result<Reply, Refused> {
        let text = format!("{BEGIN};\n{};\n{}", sql::FENCE, texts.join(";\n"));
        let reply = self.file().await.map_err(Refused::Not)?.run(text, texts.len(), Commits::Refused).await;
        // First: whatever failed may have failed because the fence is another's.
        let refused = match (self.fence_lost(&reply), &reply.trouble) {
            (Some(error), _) => Some(Refused::Not(error)),
            (None, Some(trouble)) => Some(Refused::By(self.understood(trouble))),
            (None, None) => None,
        };
        if let Some(refused) = refused {
            self.roll_back().await;
            return Err(refused);
        }
        self.commit().await.map_err(Refused::Not)?;
        Ok(reply)
    }

    /// What a reply with the fence row in it says of whose that is; nothing where it is ours, or was not read.
    fn fence_lost(&self, reply: &Reply) -> Option<SessionError> {
        let opening = self.opening();
        let mark = match (reply.row("windlass_mark").map(fence_mark).transpose(), &reply.trouble) {
            (Ok(None), Some(_)) => return None,
            (Ok(mark), _) => mark,
            (Err(damage), _) => return Some(damage.of(&opening.tenant)),
        };
        let ours = mark.as_ref().is_some_and(|mark| mark.epoch == opening.epoch && mark.deploy == opening.deploy);
        (!ours).then(|| self.fenced(mark.map(|mark| mark.epoch).unwrap_or_default()))
    }

    fn refusal(&self, refused: Refused) -> SessionError {
        match refused {
            Refused::Not(error) => error,
            Refused::By(said) => said.error(&self.opening().tenant),
        }
    }

    /// Whether a step of this deploy stopped in its middle; also where that cannot be told.
    pub(super) async fn holds_part(&mut self) -> bool {
        match self.read(sql::HAS_STATEMENT_TABLE).await {
            Ok(there) if there.rows.is_empty() => false,
            Ok(_) => {
                let text = sql::part_of_an_act(self.opening().deploy);
                self.read(&text).await.map_or(true, |reply| reply.row("windlass_part").is_some())
            }
            Err(_) => true,
        }
    }

    fn damaged(&self) -> SessionError {
        let message = "windlass_statement does not hold what was written to it; nothing was done";
        SessionError::no_effect(&self.opening().tenant, ErrorClass::Permanent, Code::LedgerDamaged, message)
    }
}
