//! What is known of a statement before it runs.

use serde::Serialize;

/// What is known of one statement from its text alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Class {
    /// What it works on.
    pub kind: Kind,
    /// Whether it can run, and have its effect, inside a transaction.
    pub transactional: Transactional,
    /// The transaction control that it is, or contains.
    pub control: Option<Control>,
    /// What it takes away that was there before.
    pub loss: Loss,
    /// Whether the session is another one afterwards.
    pub session: SessionState,
}

impl Class {
    /// A statement of this kind that runs in a transaction, destroys nothing and leaves the session alone.
    pub(super) fn plain(kind: Kind) -> Self {
        Self {
            kind,
            transactional: Transactional::Yes,
            control: None,
            loss: Loss::None,
            session: SessionState::Untouched,
        }
    }

    pub(super) fn not_transactional(self, reason: impl Into<String>) -> Self {
        Self { transactional: Transactional::No { reason: reason.into() }, ..self }
    }

    pub(super) fn destroys(self, what: impl Into<String>) -> Self {
        Self { loss: Loss::Destroys { what: what.into() }, ..self }
    }

    pub(super) fn unclear(self, why: impl Into<String>) -> Self {
        Self { loss: Loss::Unknown { why: why.into() }, ..self }
    }

    pub(super) fn control(self, control: Control) -> Self {
        Self { control: Some(control), ..self }
    }

    pub(super) fn changes_session(self) -> Self {
        Self { session: SessionState::Changed, ..self }
    }
}

/// What a statement works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Definitions: tables, columns, indexes, functions, privileges.
    Ddl,
    /// Rows.
    Dml,
    /// Reads only.
    Query,
    /// The session or its transaction.
    Session,
    /// Housekeeping that changes neither definitions nor rows: `VACUUM`, `ANALYZE`, `REINDEX`.
    Maintenance,
    /// Not known, or able to do anything: `DO`, `CALL`, a word that is new to us.
    Unknown,
}

/// Whether a statement can run, and have its effect, inside a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "can")]
pub enum Transactional {
    /// It can.
    Yes,
    /// The server refuses it there, or, worse, accepts it there and does nothing.
    No {
        /// Which of the two, as a sentence without its full stop.
        reason: String,
    },
}

/// Transaction control inside a migration: it would end, or disturb, the transaction that holds the migration together with its
/// row in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`, also of a prepared transaction.
    Commit,
    /// `ROLLBACK`, `ABORT`, also to a savepoint or of a prepared transaction.
    Rollback,
    /// `SAVEPOINT`.
    Savepoint,
    /// `RELEASE`.
    Release,
    /// `PREPARE TRANSACTION`.
    Prepare,
    /// `SET TRANSACTION`: its isolation is decided by who opened it.
    SetTransaction,
    /// A `COMMIT` or `ROLLBACK` in the body of a `DO`.
    InsideBlock,
    /// `SET autocommit`: turned on it commits, turned off it opens a transaction that nobody ends.
    Autocommit,
}

/// What a statement takes away that was there before it, judged from its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum Loss {
    /// Nothing that its author cannot write down again. A dropped index, view, function, constraint or default is a
    /// definition, and belongs here.
    None,
    /// Data, or state that only the database knew.
    Destroys {
        /// What, as it completes "destroys …".
        what: String,
    },
    /// It cannot be told.
    Unknown {
        /// Why not, as a sentence without its full stop.
        why: String,
    },
}

/// Whether a session that ran a statement is still the session that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// It is.
    Untouched,
    /// It is not, or that cannot be told: a setting, a role, a temporary table, an attached database, a prepared statement or a
    /// session lock may outlive the transaction. The session must not be used for other work.
    Changed,
}
