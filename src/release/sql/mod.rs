//! Reading SQL as the server will: where each statement ends, and what kind of statement it is.
//!
//! [`split()`] follows each dialect's own lexical rules with a scanner written from the servers' sources and manuals, never a
//! naive `;`. [`classify()`] looks at leading keywords and a few places inside, over the same tokens; it does not parse. A full
//! parser refuses what it does not know, and a new release of a server always knows more: here, what is not known is
//! [`Kind::Unknown`] and its loss is [`Loss::Unknown`], never a guess in the harmless direction.

mod class;
mod classify;
mod compound;
mod lexer;
pub(in crate::release) mod mysql;
mod postgres;
mod sentence;
mod split;
mod sqlite;
#[cfg(test)]
mod tests;

pub use class::{Class, Control, Kind, Loss, SessionState, Transactional};
pub use classify::classify;
pub(in crate::release) use postgres::makes_slot;
pub(in crate::release) use sentence::{Name, Sentence, Words, name_at};
pub use split::{SplitError, Statement, split, split_in};

use std::fmt;

use serde::{Deserialize, Serialize};

/// The SQL that a tenant's database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// PostgreSQL 14 and later, with `standard_conforming_strings` on, as it is unless somebody turned it off.
    Postgres,
    /// MySQL 8 and MariaDB 10.6 and later, over a connection whose character set is `utf8mb4`. Where the two read a text in
    /// different ways, it is refused; see [`SqlModes`] for the modes that change the reading.
    Mysql,
    /// SQLite 3.
    Sqlite,
}

/// The values of `sql_mode` by which a `MySQL` or `MariaDB` server reads quotes in another way. Off by default, as on the servers.
///
/// A release is split once for the whole fleet, with both off. A server that has one of them on may still be given a script
/// that [`split_in`] splits alike either way. A script that turns one on for itself is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SqlModes {
    /// `ANSI_QUOTES`: double quotes hold a name, in which a backslash is nothing special.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES`: a backslash in a string is nothing special.
    pub no_backslash_escapes: bool,
}

impl SqlModes {
    /// What `@@sql_mode` says of them.
    #[must_use]
    pub fn of(sql_mode: &str) -> Self {
        let has = |name: &str| sql_mode.split(',').any(|mode| mode.trim().eq_ignore_ascii_case(name));
        Self { ansi_quotes: has("ANSI_QUOTES"), no_backslash_escapes: has("NO_BACKSLASH_ESCAPES") }
    }
}

impl fmt::Display for Dialect {
    /// The name as people write it: `PostgreSQL`. The stored form is serde's, in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Sqlite => "SQLite",
        })
    }
}
