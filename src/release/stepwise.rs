//! What a statement needs that commits by itself, judged from its text alone.
//!
//! A script whose statements can all share one transaction with its ledger row is [`Mode::Transactional`]. One that holds a
//! statement which cannot is [`Mode::Stepwise`]: its statements go one by one, each with its intent and its outcome in the tenant's
//! ledger. A statement found announced without an outcome is in doubt; [`Facts`] say how that doubt is settled. Where the text does
//! not say, the answer is the one that leads to a human, never the one that leads to a second run.

mod mysql;
mod postgres;
mod refusal;
mod sqlite;
#[cfg(test)]
mod tests;

pub(super) use refusal::refusal;

use serde::Serialize;

use super::Dialect;
use super::sql::{Class, Kind, Name, SessionState, Statement, Transactional, Words};

/// How the statements of a script are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All of them in one transaction, together with the script's ledger row.
    Transactional,
    /// One by one, because at least one of them commits by itself.
    Stepwise,
}

/// What a statement shares a transaction with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    /// With the row that says it is done: its effect is exactly once.
    WithLedger,
    /// With nothing: between its effect and the row that says so, there is doubt.
    ByItself,
}

/// What kind of thing an [`Object`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum ObjectKind {
    Table,
    View,
    Index,
    Sequence,
    Procedure,
    Function,
    Trigger,
    Event,
}

/// Something that has a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// The schema, or the `MySQL` database, where the statement names one.
    pub schema: Option<String>,
    /// Its name as the server keeps it: without quotes.
    pub name: String,
}

impl Object {
    /// None where the name has more qualifiers than the object can have.
    fn new(kind: ObjectKind, name: Name) -> Option<Self> {
        let mut parts = name.parts;
        let name = parts.pop()?;
        let schema = parts.pop();
        parts.is_empty().then_some(Self { kind, schema, name })
    }
}

/// Whose definitions a statement changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "are", content = "objects")]
pub enum Touches {
    /// Of these and no others.
    Objects(Vec<Object>),
    /// It cannot be told: look at all of them.
    Unknown,
}

/// Whether running a statement once more, after it took effect, comes to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeat {
    /// It does.
    Harmless,
    /// It fails, or does more, or that cannot be told.
    Harmful,
}

/// What a statement may leave behind when its server, or its session, dies while it runs: neither before nor after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Middle {
    /// Nothing: it is atomic.
    None,
    /// Some of these are gone. `DROP TABLE a, b` on `MariaDB`, and on `MySQL` without atomic DDL: drop the rest.
    DropSeveral {
        /// All that it drops.
        objects: Vec<Object>,
    },
    /// The old one is gone and the new one is not there. `CREATE OR REPLACE TABLE` on `MariaDB`: run it again.
    ReplaceTable {
        /// The table, or the sequence.
        object: Object,
    },
    /// An index that is there and not valid, of a concurrent `CREATE INDEX` or `DROP INDEX` of `PostgreSQL`: drop it, and build it
    /// again if it was to be built.
    InvalidIndex {
        /// The index; none where the statement leaves its name to the server.
        index: Option<Object>,
        /// Its table, where the statement names it.
        table: Option<Object>,
    },
    /// A partition that is waiting to be detached (`inhdetachpending`): `DETACH PARTITION … FINALIZE`.
    DetachPending {
        /// The partitioned table.
        parent: Object,
        /// The partition.
        partition: Object,
    },
    /// An invalid twin `<name>_ccnew` or `<name>_ccold` beside a good index, of a concurrent `REINDEX`: drop it.
    ReindexTwin {
        /// The index or the table; none where the statement is about a whole schema or database.
        object: Option<Object>,
    },
}

/// Where the effect of a statement lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lives {
    /// In the database.
    Database,
    /// In the session alone, or there too: a variable, a setting, a prepared statement, a temporary table. Whoever carries on in a
    /// new session runs it again before it goes on, if its [`Facts::repeat`] is harmless, and cannot carry on otherwise.
    Session,
    /// It cannot be told, of a block or a procedure. Whoever carries on in a new session looks at what is still to come: see
    /// [`reads_session`].
    Unknown,
}

/// What shows afterwards that a statement took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// The definitions of what it touches.
    Definition,
    /// Those, or only the number under which the server keeps a table (`MySQL`): it may leave every definition as it was.
    Number,
    /// Nothing.
    Nowhere,
}

/// What is known of one statement of a stepwise script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// What it shares a transaction with.
    pub commit: Commit,
    /// Whose definitions it changes: what to take the fingerprint of.
    pub touches: Touches,
    /// Where its effect shows.
    pub shown: Shown,
    /// Whether it may be run again when it cannot be told whether it took effect.
    pub repeat: Repeat,
    /// What to look for, and to clear away, before it is run again.
    pub middle: Middle,
    /// Where its effect lives.
    pub lives: Lives,
}

impl Facts {
    /// Nothing is known but what it shares a transaction with.
    fn unknown(commit: Commit) -> Self {
        let (touches, shown, lives) = (Touches::Unknown, Shown::Nowhere, Lives::Database);
        Self { commit, touches, shown, repeat: Repeat::Harmful, middle: Middle::None, lives }
    }

    fn touching(self, objects: Vec<Object>) -> Self {
        let shown = if objects.is_empty() { Shown::Nowhere } else { Shown::Definition };
        Self { touches: Touches::Objects(objects), shown, ..self }
    }

    fn shown(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }

    fn harmless(self) -> Self {
        Self { repeat: Repeat::Harmless, ..self }
    }

    fn harmless_if(self, harmless: bool) -> Self {
        if harmless { self.harmless() } else { self }
    }

    fn leaving(self, middle: Middle) -> Self {
        Self { middle, ..self }
    }
}

/// How a script of these statements is run.
#[must_use]
pub fn mode(dialect: Dialect, statements: &[Statement]) -> Mode {
    match first_obstacle(dialect, statements) {
        Some(_) => Mode::Stepwise,
        None => Mode::Transactional,
    }
}

/// The first statement that cannot share a transaction with the others, by its place in the list, and why not.
pub(super) fn first_obstacle(dialect: Dialect, statements: &[Statement]) -> Option<(usize, String)> {
    let by_itself = statements.iter().enumerate().find_map(|(at, statement)| match &statement.class.transactional {
        Transactional::No { reason } => Some((at, reason.clone())),
        Transactional::Yes => None,
    });
    let used = if dialect == Dialect::Postgres { postgres::use_of_new_value(statements) } else { None };
    [by_itself, used].into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// What is known of this statement, should its script be stepwise.
#[must_use]
pub fn facts(dialect: Dialect, statement: &Statement) -> Facts {
    let commit = commit(&statement.class);
    let facts = match Words::of(dialect, &statement.text) {
        Some(words) => match dialect {
            Dialect::Postgres => postgres::facts(words.sentence(), commit),
            Dialect::Mysql => mysql::facts(words.sentence(), commit),
            Dialect::Sqlite => sqlite::facts(words.sentence(), commit),
        },
        None => None,
    };
    let facts = facts.unwrap_or_else(|| {
        let unknown = Facts::unknown(commit);
        match statement.class.kind {
            // Neither changes a definition. That a statement in one transaction with its row may be repeated is never asked.
            Kind::Dml | Kind::Query | Kind::Session if commit == Commit::WithLedger => unknown.touching(Vec::new()),
            _ => unknown,
        }
    });
    let lives = match (statement.class.session, statement.class.kind) {
        (SessionState::Untouched, _) => facts.lives,
        (SessionState::Changed, Kind::Unknown) => Lives::Unknown,
        (SessionState::Changed, _) => Lives::Session,
    };
    Facts { lives, ..facts }
}

/// What is known of statements that go together, as the undo of one statement does: of one, its [`facts`]; several share a transaction
/// with the row that says they are done.
#[must_use]
pub fn facts_together(dialect: Dialect, statements: &[Statement]) -> Facts {
    if let [one] = statements {
        return facts(dialect, one);
    }
    Facts::unknown(Commit::WithLedger).touching(Vec::new())
}

/// Whether a statement reads what an earlier one may have left in the session: a variable, a prepared statement. What it reads of
/// settings is not seen.
#[must_use]
pub fn reads_session(dialect: Dialect, statement: &Statement) -> bool {
    let Some(words) = Words::of(dialect, &statement.text) else { return true };
    let s = words.sentence();
    match dialect {
        Dialect::Mysql => {
            let variable =
                |at: usize| s.symbol(at, b'@') && !s.symbol(at + 1, b'@') && (at == 0 || !s.symbol(at - 1, b'@'));
            s.is(0, "EXECUTE") || (0..s.len()).any(variable)
        }
        Dialect::Postgres => s.is_any(0, &["EXECUTE", "DEALLOCATE", "FETCH", "MOVE", "CLOSE"]),
        Dialect::Sqlite => false,
    }
}

fn commit(class: &Class) -> Commit {
    match class.transactional {
        Transactional::Yes => Commit::WithLedger,
        Transactional::No { .. } => Commit::ByItself,
    }
}
