//! One transaction: a row of ours first, then a migration's statements one per message, then the commit.
//!
//! What a crash of ours means at each line: until COMMIT is sent, the server rolls back once it knows that we are gone, which the
//! successor sees to and waits for; once COMMIT is sent, row and effect are there together or not at all, and the successor, having
//! seen the session gone, reads which.

use uuid::Uuid;

use super::said::{DEADLOCK, KEY_TAKEN, LOCK_TIMEOUT, Line, NO_SAVEPOINT, Said};
use super::session::MySession;
use super::sql::{self, Names};
use super::wire::Trouble;
use crate::base::Code;
use crate::base::crash::{self, Point};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::error::{Outcome, SessionError};
use crate::tenant::reply::Cells;
use crate::tenant::session::{LedgerKey, Opening};

/// Begins it. Not START TRANSACTION: should the text end the transaction, what follows in it is not committed statement by
/// statement, but waits for a commit that never comes.
const BEGIN: &str = "SET autocommit = 0";
/// After it, whichever way it went: our own statements commit by themselves again.
pub(super) const OVER: &str = "SET autocommit = 1";

/// What a rollback says when it could not take everything back.
const NOT_ROLLED_BACK: &str = "1196";
/// How many warnings are looked at.
const WARNINGS_MAX: usize = 64;

/// The row that is committed with the effect: how it is found, and how it is taken out again where it says more than is true.
pub(super) struct Evidence {
    find: String,
    remove: String,
}

impl Evidence {
    /// A unit's ledger row.
    pub(super) fn ledger_row(names: &Names, opening: &Opening, key: &LedgerKey) -> Self {
        Self { find: sql::ledger_row(names, key), remove: sql::clean_up(names, opening, key) }
    }

    /// The outcome of one statement.
    pub(super) fn statement(names: &Names, key: &LedgerKey, number: u32) -> Self {
        let find = format!("SELECT 1 FROM {} WHERE {}", names.statement, sql::statement_is(key, number));
        Self { find, remove: sql::forget_statement(names, key, number) }
    }
}

/// A transaction that is to be run.
pub(super) struct Transaction<'a> {
    /// Inserts the row.
    pub(super) insert: String,
    pub(super) evidence: Evidence,
    /// The migration's.
    pub(super) statements: &'a [String],
    /// Ours, behind them.
    pub(super) after: Vec<String>,
    /// Where a test may kill us: before, while the commit is under way, after.
    pub(super) points: [Point; 3],
}

/// How it ended.
pub(super) enum Transacted {
    Committed,
    /// The row's key is taken: nothing was run.
    KeyTaken(Said),
}

/// Where it stopped, and why.
struct Stop {
    said: Said,
    /// The statement, from 1; none where it was one of ours.
    statement: Option<u32>,
}

impl From<Said> for Stop {
    fn from(said: Said) -> Self {
        Self { said, statement: None }
    }
}

impl MySession {
    /// Runs it.
    pub(super) async fn transact(&mut self, transaction: Transaction<'_>) -> Result<Transacted, SessionError> {
        let Transaction { insert, evidence, statements, after, points: [_, inside, done] } = transaction;
        self.ask(BEGIN).await.map_err(|said| self.error(&said))?;
        if let Err(said) = self.ask(insert).await {
            return self.row_refused(said).await;
        }
        // Its name cannot be guessed: it is gone if, and only if, the transaction that set it is over.
        let guard = format!("windlass_{}", Uuid::now_v7().simple());
        // Nothing of a customer's, nothing to guard.
        if !statements.is_empty() {
            if let Err(stop) = self.run_statements(statements, &guard).await {
                return Err(self.stopped(&evidence, &guard, stop).await);
            }
            if let Err(said) = self.ask(format!("RELEASE SAVEPOINT {guard}")).await {
                return Err(if said.is(NO_SAVEPOINT) {
                    self.broken(&evidence).await
                } else {
                    self.abandon(&said).await
                });
            }
        }
        for text in after {
            if let Err(said) = self.ask(text).await {
                return Err(self.abandon(&said).await);
            }
        }
        self.commit(&evidence, inside).await?;
        crash::point(done);
        // Not being able to say so loses the line, not the unit: the next act finds that out.
        if self.ask(OVER).await.is_err() {
            self.let_go().await;
        }
        Ok(Transacted::Committed)
    }

    async fn run_statements(&mut self, statements: &[String], guard: &str) -> Result<(), Stop> {
        self.ask(format!("SAVEPOINT {guard}")).await?;
        for (number, statement) in (1..).zip(statements) {
            self.ask(statement).await.map_err(|said| Stop { said, statement: Some(number) })?;
        }
        Ok(())
    }

    /// The row could not be inserted: nothing of the migration ran.
    async fn row_refused(&mut self, said: Said) -> Result<Transacted, SessionError> {
        if said.line == Line::Alive {
            self.roll_back().await.map_err(|said| self.error(&said))?;
        }
        if said.is(KEY_TAKEN) { Ok(Transacted::KeyTaken(said)) } else { Err(self.error(&said)) }
    }

    /// A statement failed: is the transaction that it was in still the one that was begun?
    async fn stopped(&mut self, evidence: &Evidence, guard: &str, stop: Stop) -> SessionError {
        let Stop { said, statement } = stop;
        if said.line == Line::Lost {
            return self.error(&said);
        }
        // After these the server itself may have rolled the whole transaction back; had it been committed before, its row is there.
        let by_server = said.is(DEADLOCK) || said.is(LOCK_TIMEOUT);
        match self.ask(format!("RELEASE SAVEPOINT {guard}")).await {
            Err(lost) if lost.line == Line::Lost => return self.error(&lost),
            Err(gone) if gone.is(NO_SAVEPOINT) && statement.is_some() && !by_server => {
                return self.broken(evidence).await;
            }
            Ok(_) | Err(_) => {}
        }
        let mut error = self.abandon(&said).await;
        if error.outcome == Outcome::NoEffect && by_server {
            match self.stands(evidence).await {
                Ok(true) => return self.broken(evidence).await,
                Ok(false) => {}
                Err(lost) => return self.error(&lost),
            }
        }
        if error.outcome == Outcome::NoEffect {
            error.failure.statement = statement;
        }
        error
    }

    /// Rolls back, and says what stopped it, and what could not be taken back.
    async fn abandon(&mut self, said: &Said) -> SessionError {
        if said.line == Line::Lost {
            return self.error(said);
        }
        if let Err(lost) = self.ask("ROLLBACK").await {
            return self.error(&Said { line: Line::Lost, ..lost });
        }
        let warnings = self.rows("SHOW WARNINGS".to_owned(), WARNINGS_MAX).await.unwrap_or_default();
        if let Err(lost) = self.ask(OVER).await {
            return self.error(&Said { line: Line::Lost, ..lost });
        }
        let kept = |row: &Cells| row.get(1).and_then(Option::as_deref) == Some(NOT_ROLLED_BACK);
        if !warnings.iter().any(kept) {
            return self.error(said);
        }
        let message = format!(
            "{}; and a table that it changed does not roll back (MyISAM, Aria …): what was done to that stays, and has to be removed \
             by hand",
            said.text
        );
        self.torn(message)
    }

    async fn commit(&mut self, evidence: &Evidence, inside: Point) -> Result<(), SessionError> {
        let trouble = match self.wire() {
            Some(wire) => wire.say_and_pass("COMMIT", inside).await.trouble,
            None => Some(Trouble::Over),
        };
        let Some(trouble) = trouble else { return Ok(()) };
        let said = self.understood(&trouble);
        if said.line == Line::Lost {
            return Err(self.error(&said));
        }
        // Answered with an error, as a cluster does when another node was first: the row says what it came to.
        let unknown = |said: Said| Said { line: Line::Lost, ..said };
        self.roll_back().await.map_err(|said| self.error(&unknown(said)))?;
        match self.stands(evidence).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.error(&said)),
            Err(said) => Err(self.error(&unknown(said))),
        }
    }

    /// Ends the transaction without its effect.
    async fn roll_back(&mut self) -> Result<(), Said> {
        self.ask("ROLLBACK").await?;
        self.ask(OVER).await?;
        Ok(())
    }

    /// Whether the row is there.
    async fn stands(&mut self, evidence: &Evidence) -> Result<bool, Said> {
        Ok(!self.rows(evidence.find.clone(), 1).await?.is_empty())
    }

    /// The text ended its own transaction. The row, if it was committed with it, says more than is true: it goes.
    async fn broken(&mut self, evidence: &Evidence) -> SessionError {
        // What the text has begun since is not committed by us.
        let mut cleaned = self.roll_back().await;
        if cleaned.is_ok() {
            cleaned = self.ask(evidence.remove.clone()).await.map(drop);
        }
        let row = match cleaned {
            Ok(()) => "its ledger row was taken out".to_owned(),
            Err(said) => format!("its ledger row may still stand ({})", said.text),
        };
        self.torn(format!(
            "the migration's text ended its own transaction (a COMMIT, a ROLLBACK, or a statement that commits by itself): what the \
             statements before it did stays in the database and has to be removed by hand; {row}"
        ))
    }

    fn torn(&self, message: String) -> SessionError {
        let failure = Failure::new(ErrorClass::Permanent, Code::TransactionBroken, message);
        SessionError { tenant: self.opening().tenant.clone(), failure, outcome: Outcome::Torn }
    }
}
