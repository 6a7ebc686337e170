//! Statements that have no place in a migration, however it is run.
//!
//! A migration changes one tenant's database, and a deploy can say afterwards what it did there and take it back. What changes the
//! server instead, or the session that the ledger is written in, is out of that reach: no row could be committed with it, and the
//! other tenants of the server would be changed with it.

use super::Mode;
use crate::release::Dialect;
use crate::release::sql::mysql::object;
use crate::release::sql::{Sentence, Words, makes_slot};

/// Why a statement is refused, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::release) struct Refusal {
    /// Completes "cannot be run: …".
    pub(in crate::release) reason: &'static str,
    /// What to do.
    pub(in crate::release) instead: &'static str,
}

const OUTSIDE: &str = "run it outside of a deploy, and remove it from the migration";

const SERVER: &str = "it changes the server or the databases on it, and a migration changes one tenant's database";

/// The refusal of this statement in a script that is run in this mode.
pub(in crate::release) fn refusal(dialect: Dialect, mode: Mode, statement: &str) -> Option<Refusal> {
    let words = Words::of(dialect, statement)?;
    let s = words.sentence();
    match dialect {
        Dialect::Postgres => postgres(s).or_else(|| in_vain(s, mode)),
        Dialect::Mysql => mysql(s),
        Dialect::Sqlite => sqlite(s, mode),
    }
}

fn outside(reason: &'static str) -> Refusal {
    Refusal { reason, instead: OUTSIDE }
}

fn postgres(s: Sentence<'_>) -> Option<Refusal> {
    let (verb, what) = (s.word(0)?, s.word(1).unwrap_or_default());
    match (verb.as_str(), what.as_str()) {
        ("CREATE" | "DROP", "DATABASE" | "TABLESPACE") | ("ALTER", "SYSTEM") => Some(outside(SERVER)),
        ("ALTER", "DATABASE") if s.has(&["SET", "TABLESPACE"]) => Some(outside(SERVER)),
        ("CREATE", "SUBSCRIPTION") if makes_slot(s) => {
            Some(outside("it makes a replication slot on another server, and nothing here can tell whether it did"))
        }
        ("DISCARD", "ALL") => {
            Some(outside("it takes away the settings and locks of the session in which Windlass keeps its evidence"))
        }
        _ => None,
    }
}

/// What would end with the transaction of its own that a statement has in a stepwise script.
fn in_vain(s: Sentence<'_>, mode: Mode) -> Option<Refusal> {
    let in_transaction = s.is(0, "LOCK") || (s.is(0, "SET") && s.is_any(1, &["LOCAL", "CONSTRAINTS"]));
    if mode == Mode::Transactional || !in_transaction {
        return None;
    }
    Some(Refusal {
        reason: "it ends with its transaction, and each statement of this migration has one of its own",
        instead: "put the statements that commit by themselves into a migration of their own",
    })
}

fn mysql(s: Sentence<'_>) -> Option<Refusal> {
    let (verb, what) = (s.word(0)?, s.word(1).unwrap_or_default());
    match (verb.as_str(), what.as_str()) {
        ("USE", _) => Some(Refusal {
            reason: "it takes the session, and with it Windlass's ledger, to another database",
            instead: "remove it, and write the database's name before a name that is not of the tenant's own database",
        }),
        ("LOCK" | "UNLOCK", _) => Some(Refusal {
            reason: "its locks keep the session from its ledger, and end with the next statement that commits by itself",
            instead: "remove it: each statement takes the locks that it needs",
        }),
        ("FLUSH", _) if s.has(&["WITH", "READ", "LOCK"]) || s.has(&["FOR", "EXPORT"]) => {
            Some(Refusal { reason: "its locks keep the session from its ledger", instead: OUTSIDE })
        }
        ("CREATE" | "DROP" | "ALTER", _) => match object(s)?.1.as_str() {
            "DATABASE" | "SCHEMA" | "TABLESPACE" | "LOGFILE" | "RESOURCE" | "SPATIAL" => Some(outside(SERVER)),
            _ => None,
        },
        (
            "START" | "STOP" | "CHANGE" | "RESET" | "PURGE" | "INSTALL" | "UNINSTALL" | "CLONE" | "RESTART"
            | "SHUTDOWN" | "KILL" | "BINLOG",
            _,
        ) => Some(outside(SERVER)),
        ("IMPORT", "TABLE") => Some(outside("it takes files of the server's machine")),
        _ => None,
    }
}

fn sqlite(s: Sentence<'_>, mode: Mode) -> Option<Refusal> {
    let pragma =
        |name: &str| s.is(0, "PRAGMA") && s.name(1).trim_matches(['"', '`', '[', ']', '\'']).eq_ignore_ascii_case(name);
    let given = s.symbol(s.skip_name(1), b'=') || s.symbol(s.skip_name(1), b'(');
    if pragma("foreign_keys") && given {
        return Some(Refusal {
            reason: "whether foreign keys are enforced while a migration runs is decided by Windlass",
            instead: "leave it out: Windlass runs migrations with foreign keys off and checks them before the commit",
        });
    }
    if pragma("encoding") && given {
        return Some(outside(
            "the encoding of a database that has tables, if only Windlass's ledger, can no longer be changed",
        ));
    }
    if pragma("defer_foreign_keys") && given && mode == Mode::Stepwise {
        return Some(outside("it ends with its transaction, and each statement of this migration has one of its own"));
    }
    if s.is(0, "VACUUM") && s.has(&["INTO"]) {
        return Some(outside("it writes a file beside the database, and nothing in the database tells whether it did"));
    }
    None
}
