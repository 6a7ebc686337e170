//! Which database a tenant is, and the two ways in: [`survey`] and [`open`].

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::error::SessionError;
use super::session::{Opening, Session, Survey};
use super::{postgres, sqlite};
use crate::base::TenantId;

/// A tenant's database engine, with what only that engine knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnEngine {
    /// PostgreSQL, from version 14.
    Postgres {
        /// The tenant's schema, where tenants are schemas of one database; it becomes the whole search path. `None` where the
        /// tenant is the database.
        schema: Option<String>,
    },
    /// A file of SQLite.
    Sqlite,
}

/// How to reach a tenant's database. Holds a secret: `Debug` shows `***` where the URL would be.
#[derive(Clone)]
pub struct Conn {
    /// The tenant.
    pub tenant: TenantId,
    /// Its engine.
    pub engine: ConnEngine,
    url: String,
}

impl Conn {
    /// A tenant at a URL whose secret references are resolved.
    #[must_use]
    pub fn new(tenant: TenantId, engine: ConnEngine, url: impl Into<String>) -> Self {
        Self { tenant, engine, url: url.into() }
    }

    /// The URL, for the driver alone.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What takes this tenant's password out of a driver's words.
    pub(super) fn scrubber(&self) -> Scrubber {
        Scrubber::of(&self.url)
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("tenant", &self.tenant).field("engine", &self.engine).field("url", &"***").finish()
    }
}

/// How to survey a tenant: the part of an [`Opening`] that does not act.
#[derive(Debug, Clone)]
pub struct Surveying {
    /// How long a lock is waited for.
    pub lock_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// The schema of Windlass's own tables (PostgreSQL), as [`Opening::ledger_schema`].
    pub ledger_schema: Option<String>,
}

/// Learns what can be learnt of a tenant without touching it: no table is made, no session ended, no fence raised. A tenant
/// without a ledger has nothing in force.
pub async fn survey(conn: &Conn, surveying: &Surveying) -> Result<Survey, SessionError> {
    match &conn.engine {
        ConnEngine::Postgres { schema } => postgres::survey(conn, schema.as_deref(), surveying).await,
        ConnEngine::Sqlite => sqlite::survey(conn, surveying).await,
    }
}

/// Opens a session, in the order that [`Session`] promises. [`Opening::tenant`] is the tenant of `conn`.
pub async fn open(conn: &Conn, opening: &Opening) -> Result<Box<dyn Session>, SessionError> {
    match &conn.engine {
        ConnEngine::Postgres { schema } => Ok(Box::new(postgres::open(conn, schema.as_deref(), opening).await?)),
        ConnEngine::Sqlite => Ok(Box::new(sqlite::open(conn, opening).await?)),
    }
}

/// Takes a password out of texts that were made by others (promise P9).
#[derive(Clone)]
pub(super) struct Scrubber {
    /// Longest first: the percent-encoded form may hold the plain one.
    secrets: Vec<String>,
    /// A URL that cannot be taken apart may be anything: then no foreign text is shown at all.
    opaque: bool,
}

impl Scrubber {
    fn of(url: &str) -> Self {
        let Ok(parsed) = url::Url::parse(url) else { return Self { secrets: Vec::new(), opaque: true } };
        let mut secrets: Vec<String> = Vec::new();
        if let Some(encoded) = parsed.password() {
            secrets.push(encoded.to_owned());
            secrets.push(percent_decode_str(encoded).decode_utf8_lossy().into_owned());
        }
        secrets.extend(parsed.query_pairs().filter(|(key, _)| key == "password").map(|(_, value)| value.into_owned()));
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, opaque: false }
    }

    /// The text on one line, without the secret.
    pub(super) fn scrub(&self, text: &str) -> String {
        if self.opaque {
            return "(withheld: the connection URL cannot be parsed, and the message may repeat it)".to_owned();
        }
        let mut clean = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in &self.secrets {
            clean = clean.replace(secret.as_str(), "***");
        }
        clean
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_part_of_the_url() {
        let conn = Conn::new(TenantId::new("acme").unwrap(), ConnEngine::Sqlite, "postgres://app:hunter2@db/acme");
        assert!(!format!("{conn:?}").contains("hunter2"));
        assert!(!format!("{:?}", conn.scrubber()).contains("hunter2"));
    }

    #[test]
    fn a_password_is_taken_out_in_both_its_forms() {
        let scrubber = Scrubber::of("postgres://app:p%40ss%20word@db/acme?password=other");
        let text = scrubber.scrub("p%40ss%20word,\n p@ss word and other");
        assert_eq!(text, "***, *** and ***");
    }

    #[test]
    fn nothing_is_repeated_of_a_url_that_cannot_be_parsed() {
        assert!(!Scrubber::of("postgres//app:hunter2@").scrub("no host in postgres//app:hunter2@").contains("hunter2"));
    }
}
