//! One transaction, in one message: a row of ours first, a migration's statements, the guard, the commit.
//!
//! A crash of ours leaves row and effect together, or neither: until the message is at its end the server rolls back once it knows that
//! we are gone, and the successor sees to that before it reads.

use std::fmt::Write as _;

use super::said::{Line, Mark, Said};
use super::session::PgSession;
use super::sql::{self, BROKEN, GIVE_BACK, Names, OURSELVES, REMEMBER, RESET, key_is, statement_is};
use super::wire::{Reply, Trouble};
use crate::base::Code;
use crate::base::crash;
use crate::saga::event::Half;
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::act::points;
use crate::tenant::error::{Outcome, SessionError};
use crate::tenant::session::LedgerKey;

/// The row that is committed with the effect.
pub(super) struct Evidence {
    table: String,
    key: String,
}

impl Evidence {
    /// A unit's ledger row.
    pub(super) fn ledger_row(names: &Names, key: &LedgerKey) -> Self {
        Self { table: names.ledger.clone(), key: key_is(key) }
    }

    /// The outcome of one stride.
    pub(super) fn statement(names: &Names, key: &LedgerKey, number: u32) -> Self {
        Self { table: names.statement.clone(), key: statement_is(key, number) }
    }
}

/// Under which settings a transaction begins, and what becomes of those that its statements make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settings {
    /// The session is as it was opened, and is so again behind the statements.
    Own,
    /// It may be as earlier statements have left it: that is taken back first.
    TakenBack,
    /// It is as earlier statements of the same step have left it, and what these set stays too.
    Kept,
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
    pub(super) settings: Settings,
    /// Which way it goes, for the points at which a test may kill us.
    pub(super) half: Half,
}

/// How it ended.
pub(super) enum Transacted {
    Committed(Reply),
    /// The row could not be inserted: nothing was run.
    RowRefused(Said),
}

/// The message, and where in it each of the migration's statements begins.
struct Text {
    sql: String,
    starts: Vec<usize>,
    /// How many statements of ours come before the first.
    prologue: usize,
}

impl Text {
    /// The statement, from 1, that a place in the message belongs to. `position` counts characters from 1, as the server does.
    fn statement_at(&self, position: usize) -> Option<u32> {
        let (byte, _) = self.sql.char_indices().nth(position.checked_sub(1)?)?;
        u32::try_from(self.starts.partition_point(|start| *start <= byte)).ok().filter(|number| *number > 0)
    }
}

impl Transaction<'_> {
    fn text(&self) -> Text {
        let insert = self.insert.as_str();
        let prologue = match self.settings {
            Settings::Own => vec!["BEGIN", insert],
            Settings::TakenBack => [&RESET[..], &["BEGIN READ WRITE", insert]].concat(),
            Settings::Kept => [&["BEGIN", REMEMBER], &OURSELVES[..], &[insert, GIVE_BACK]].concat(),
        };
        let mut sql = format!("{};\n", prologue.join(";\n"));
        let mut starts = Vec::with_capacity(self.statements.len());
        for statement in self.statements {
            starts.push(sql.len());
            sql.push_str(statement);
            // On a line of its own: the statement may end in a comment.
            sql.push_str("\n;\n");
        }
        // From here on the text is ours again: not under a role that might not be allowed to write to the ledger, nor under another
        // search path. Always, since a function or a trigger may have set what no statement shows. What was put off to the commit is
        // done first, under the settings that its author gave it.
        let ourselves = match self.settings {
            Settings::Own | Settings::TakenBack => RESET.join("; "),
            Settings::Kept => OURSELVES.join("; "),
        };
        let _ = writeln!(sql, "SET CONSTRAINTS ALL IMMEDIATE;\n{ourselves};");
        // The row was written by the very transaction that is about to commit it, or the text has ended its own transaction.
        let _ = write!(
            sql,
            "SELECT CASE WHEN EXISTS (SELECT FROM {} WHERE {} AND xmin = pg_current_xact_id_if_assigned()::xid) THEN 1
ELSE ('{BROKEN}' || pg_backend_pid())::int END AS windlass_guard;\n",
            self.evidence.table, self.evidence.key,
        );
        for text in &self.after {
            let _ = writeln!(sql, "{text};");
        }
        sql.push_str("COMMIT");
        Text { sql, starts, prologue: prologue.len() }
    }
}

/// How a failed transaction was found when it was ended.
pub(super) enum Ended {
    /// As it should be: it had failed, and is rolled back.
    RolledBack,
    /// There was none: the text had ended it.
    WasGone,
    /// The line was lost over it.
    Lost(Said),
}

impl PgSession {
    /// Runs it.
    pub(super) async fn transact(&mut self, transaction: &Transaction<'_>) -> Result<Transacted, SessionError> {
        let text = transaction.text();
        let [before, inside, after] = points(transaction.half);
        let limit = self.limit(transaction.statements.len());
        crash::point(before);
        let reply = self.exchange(text.sql.clone(), Some(inside), limit).await;
        if let Some(trouble) = &reply.trouble {
            let said = self.understood(trouble);
            return self.stopped(transaction, &text, &reply, said).await;
        }
        crash::point(after);
        Ok(Transacted::Committed(reply))
    }

    /// Ends a transaction that failed.
    pub(super) async fn roll_back(&mut self) -> Ended {
        let reply = self.say(sql::ROLLBACK.to_owned()).await;
        match reply.trouble.map(|trouble: Trouble| self.understood(&trouble)) {
            None => Ended::RolledBack,
            Some(said) if said.is("25P01") => Ended::WasGone,
            Some(said) => Ended::Lost(Said { line: Line::Lost, ..said }),
        }
    }

    /// The message ended in an error: what does that mean?
    async fn stopped(
        &mut self,
        transaction: &Transaction<'_>,
        text: &Text,
        reply: &Reply,
        said: Said,
    ) -> Result<Transacted, SessionError> {
        let tenant = self.opening().tenant.clone();
        if said.line == Line::Lost {
            return Err(said.error(&tenant));
        }
        let at = |number: Option<u32>| {
            let mut error = said.error(&tenant);
            error.failure.statement = number;
            Err(error)
        };
        if reply.completed == 0 {
            // The server parses the whole message before it runs any of it: nothing has begun.
            return at(said.position.and_then(|position| text.statement_at(position)));
        }
        let sealed = reply.row("windlass_guard").is_some();
        match self.roll_back().await {
            Ended::Lost(lost) => return Err(lost.error(&tenant)),
            Ended::WasGone if !sealed => return Err(self.broken(&transaction.evidence).await),
            _ if said.mark == Mark::Broken => return Err(self.broken(&transaction.evidence).await),
            // Gone after the guard: it is the commit that failed, over a deferred constraint.
            Ended::RolledBack | Ended::WasGone => {}
        }
        if reply.completed < text.prologue {
            return Ok(Transacted::RowRefused(said));
        }
        let number = reply.completed - text.prologue + 1;
        at(u32::try_from(number).ok().filter(|_| number <= transaction.statements.len()))
    }

    /// The text ended its own transaction. The row, if that was committed with it, says more than is true: it goes.
    async fn broken(&mut self, evidence: &Evidence) -> SessionError {
        let Evidence { table, key } = evidence;
        let epoch = self.opening().epoch;
        let clean_up = format!("ROLLBACK; {}; DELETE FROM {table} WHERE {key} AND epoch = {epoch}", RESET.join("; "));
        let reply = self.say(clean_up).await;
        let row = match &reply.trouble {
            None => "its ledger row was taken out".to_owned(),
            Some(trouble) => format!("its ledger row may still stand ({})", self.understood(trouble).text),
        };
        let message = format!(
            "the migration's text holds a COMMIT or a ROLLBACK of its own: what the statements before it did stays in the \
             database and has to be removed by hand; {row}"
        );
        let failure = Failure::new(ErrorClass::Permanent, Code::TransactionBroken, message);
        SessionError { tenant: self.opening().tenant.clone(), failure, outcome: Outcome::Torn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_message_belongs_to_the_statement_around_it() {
        let text = Text { sql: "ééé;\nab;\ncd".to_owned(), starts: vec![8, 12], prologue: 1 };
        assert_eq!(text.statement_at(2), None);
        assert_eq!(text.statement_at(6), Some(1));
        assert_eq!(text.statement_at(10), Some(2));
    }
}
