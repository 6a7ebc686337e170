//! Which database a tenant is, and the two ways in: [`survey`] and [`open`].

use std::time::Duration;

use super::error::SessionError;
use super::session::{Opening, Session, Survey};
use super::{mysql, postgres, sqlite};
use crate::base::TenantId;
use crate::fleet::{Engine, ResolvedUrl};

/// How to reach a tenant's database: its URL with the secrets in place, to be dropped soon. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Conn {
    /// The tenant.
    pub tenant: TenantId,
    url: ResolvedUrl,
}

impl Conn {
    /// A tenant at a URL whose references are resolved. On PostgreSQL, a schema of the URL becomes the whole search path.
    #[must_use]
    pub const fn new(tenant: TenantId, url: ResolvedUrl) -> Self {
        Self { tenant, url }
    }

    /// The URL, for the driver alone.
    pub(super) const fn url(&self) -> &ResolvedUrl {
        &self.url
    }

    /// What takes this tenant's password out of a driver's words.
    pub(super) fn scrubber(&self) -> Scrubber {
        Scrubber(self.url.clone())
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
    match conn.url.engine() {
        Engine::Postgres => postgres::survey(conn, conn.url.schema(), surveying).await,
        Engine::Sqlite => sqlite::survey(conn, surveying).await,
        Engine::Mysql => mysql::survey(conn, surveying).await,
    }
}

/// Opens a session, in the order that [`Session`] promises. [`Opening::tenant`] is the tenant of `conn`.
pub async fn open(conn: &Conn, opening: &Opening) -> Result<Box<dyn Session>, SessionError> {
    match conn.url.engine() {
        Engine::Postgres => Ok(Box::new(postgres::open(conn, conn.url.schema(), opening).await?)),
        Engine::Sqlite => Ok(Box::new(sqlite::open(conn, opening).await?)),
        Engine::Mysql => Ok(Box::new(mysql::open(conn, opening).await?)),
    }
}

/// Takes a password out of texts that were made by others (promise P9).
#[derive(Debug, Clone)]
pub(super) struct Scrubber(ResolvedUrl);

impl Scrubber {
    /// The text on one line, without a secret. Taken out first: a secret may hold white space that one line has less of.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.0.redact(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fleet::{Secret, SecretResolver, SourceUrl, Subject, Variables};

    #[tokio::test]
    async fn a_password_with_white_space_inside_is_taken_out() {
        let variables = Variables::Fixed([("P".to_owned(), Secret::new("one  two\tthree"))].into());
        let url = SourceUrl::from("postgres://u:${env:P}@h/db");
        let url = url.resolve(&Subject::Log, Path::new("/"), &SecretResolver::new(variables)).await.unwrap();
        assert_eq!(Scrubber(url).scrub("no\n  (one  two\tthree)"), "no (***)");
    }
}
