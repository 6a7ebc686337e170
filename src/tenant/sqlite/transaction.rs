//! One transaction: rows of ours first, a migration's statements, the guard, the commit.
//!
//! A crash of ours leaves row and effect together, or neither.

use std::fmt::Write as _;

use super::connect::{Commits, Reply, Trouble};
use super::said::Said;
use super::session::SqliteSession;
use super::sql::{BEGIN, key_is, statement_is};
use crate::base::Code;
use crate::base::crash;
use crate::saga::event::Half;
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::act::points;
use crate::tenant::error::SessionError;
use crate::tenant::reply::Tagged;
use crate::tenant::session::{ForeignKeys, LedgerKey};

/// The row that is committed with the effect.
pub(super) struct Evidence {
    table: &'static str,
    key: String,
}

impl Evidence {
    /// A unit's ledger row.
    pub(super) fn ledger_row(key: &LedgerKey) -> Self {
        Self { table: "main.windlass_ledger", key: key_is(key) }
    }

    /// The outcome of one stride.
    pub(super) fn statement(key: &LedgerKey, number: u32) -> Self {
        Self { table: "main.windlass_statement", key: statement_is(key, number) }
    }
}

/// A transaction that is to be run.
pub(super) struct Transaction<'a> {
    /// Ours, that come first; the last inserts the row.
    pub(super) prologue: Vec<String>,
    pub(super) evidence: Evidence,
    /// The migration's.
    pub(super) statements: &'a [String],
    pub(super) foreign_keys: ForeignKeys,
    /// Ours, behind them.
    pub(super) after: Vec<String>,
    /// Which way it goes, for the points at which a test may kill us.
    pub(super) half: Half,
}

/// How it ended.
pub(super) enum Transacted {
    Committed,
    /// The row's key is taken: nothing was run.
    KeyTaken(Said),
}

impl Transaction<'_> {
    /// All of it up to its commit. What it ends with tells whether the transaction is still the one it began: the row cannot have been
    /// committed, so it is seen from inside that transaction or not at all.
    fn text(&self) -> String {
        let mut sql = format!("{BEGIN};\n{};\n", self.prologue.join(";\n"));
        for statement in self.statements {
            sql.push_str(statement);
            // On a line of its own: the statement may end in a comment.
            sql.push_str("\n;\n");
        }
        if self.foreign_keys == ForeignKeys::Checked {
            sql.push_str(
                "SELECT \"table\" AS windlass_dangling, rowid, parent FROM pragma_foreign_key_check LIMIT 1;\n",
            );
        }
        for text in &self.after {
            let _ = writeln!(sql, "{text};");
        }
        let Evidence { table, key } = &self.evidence;
        let _ = write!(sql, "SELECT 1 AS windlass_guard FROM {table} WHERE {key}");
        sql
    }
}

impl SqliteSession {
    /// Runs it.
    pub(super) async fn transact(&mut self, transaction: &Transaction<'_>) -> Result<Transacted, SessionError> {
        let [before, inside, after] = points(transaction.half);
        crash::point(before);
        let count = transaction.statements.len();
        let reply = self.file().await?.run(transaction.text(), count, Commits::Refused).await;
        if let Some(trouble) = &reply.trouble {
            return self.stopped(transaction, &reply, trouble).await;
        }
        let refusal = match (reply.row("windlass_guard"), reply.row("windlass_dangling")) {
            (None, _) => Some(self.broken()),
            (Some(_), Some(row)) => Some(self.dangling(row)),
            (Some(_), None) => None,
        };
        if let Some(error) = refusal {
            self.roll_back().await;
            return Err(error);
        }
        crash::point(inside);
        self.commit().await?;
        crash::point(after);
        Ok(Transacted::Committed)
    }

    /// It ended in an error before its commit.
    async fn stopped(
        &mut self,
        transaction: &Transaction<'_>,
        reply: &Reply,
        trouble: &Trouble,
    ) -> Result<Transacted, SessionError> {
        let said = self.understood(trouble);
        self.roll_back().await;
        if said.commit_refused() {
            return Err(self.broken());
        }
        let mut error = said.error(&self.opening().tenant);
        let ours = 1 + transaction.prologue.len();
        if reply.completed < ours {
            return if said.fenced() {
                Err(self.who_fenced().await)
            } else if said.key_taken() {
                Ok(Transacted::KeyTaken(said))
            } else {
                Err(error)
            };
        }
        let number = reply.completed - ours + 1;
        let checks = usize::from(transaction.foreign_keys == ForeignKeys::Checked);
        let before_guard = transaction.statements.len() + checks + transaction.after.len();
        if number <= transaction.statements.len() {
            error.failure.statement = u32::try_from(number).ok();
        } else if number > before_guard && said.is_plain_error() {
            // The table that the row was in has been made in this very transaction, and is gone with it.
            return Err(self.broken());
        }
        Err(error)
    }

    /// Commits what has run.
    pub(super) async fn commit(&mut self) -> Result<(), SessionError> {
        let reply = self.file().await?.run("COMMIT".to_owned(), 1, Commits::Meant).await;
        let Some(trouble) = &reply.trouble else { return Ok(()) };
        let said = self.understood(trouble);
        self.roll_back().await;
        Err(said.error_at_commit(&self.opening().tenant))
    }

    fn broken(&self) -> SessionError {
        let message = "the migration's text holds a COMMIT or a ROLLBACK of its own: it was refused, and nothing of the \
                       migration stays";
        self.failed(Failure::new(ErrorClass::Permanent, Code::TransactionBroken, message))
    }

    fn dangling(&self, row: &Tagged) -> SessionError {
        let message = format!(
            "row {} of {} points to a row of {} that is not there (perhaps from before this migration); nothing of the \
             migration stays",
            row.cell(1),
            row.cell(0),
            row.cell(2)
        );
        self.failed(Failure::new(ErrorClass::Permanent, Code::ForeignKeyBroken, message))
    }
}
