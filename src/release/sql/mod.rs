//! Reading SQL as the server will: where each statement ends, and what kind of statement it is.
//!
//! [`split()`] follows each dialect's own lexical rules with a scanner written from the servers' sources and manuals, never a
//! naive `;`. [`classify()`] looks at leading keywords and a few places inside, over the same tokens; it does not parse. A full
//! parser refuses what it does not know, and a new release of a server always knows more: here, what is not known is
//! [`Kind::Unknown`] and its loss is [`Loss::Unknown`], never a guess in the harmless direction.

mod class;
mod classify;
mod lexer;
mod postgres;
mod sentence;
mod split;
mod sqlite;
#[cfg(test)]
mod tests;

pub use class::{Class, Control, Kind, Loss, SessionState, Transactional};
pub use classify::classify;
pub use split::{SplitError, Statement, split};

use std::fmt;

use serde::{Deserialize, Serialize};

/// The SQL that a tenant's database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// PostgreSQL 14 and later, with `standard_conforming_strings` on, as it is unless somebody turned it off.
    Postgres,
    /// SQLite 3.
    Sqlite,
}

impl fmt::Display for Dialect {
    /// The name as people write it: `PostgreSQL`. The stored form is serde's, in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        })
    }
}
