//! Connecting: what every session of ours is told at its start, and what it learns of the server.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;
use uuid::Uuid;

use super::said::Said;
use super::sql;
use super::wire::{Trouble, Wire};
use crate::base::limits::{CONNECT_TIMEOUT, TENANT_ANSWER_GRACE, TENANT_CLOSE_TIMEOUT};
use crate::base::{Code, TenantId};
use crate::saga::failure::ErrorClass;
use crate::tenant::conn::Conn;
use crate::tenant::error::SessionError;
use crate::tenant::reply::Tagged;

/// The time limits that the server keeps for a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) lock: Duration,
    pub(super) statement: Duration,
}

/// One session of a server: which run of the server, which connection of that run, and the name that it holds with `GET_LOCK`.
///
/// A connection's number is not used again while the server runs, so run and number together are one session. The name is what a
/// user without the PROCESS privilege can still ask for, whoever the session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionId {
    /// When the server was started, in seconds since 1970 by its clock.
    pub(super) server_started_s: u64,
    pub(super) connection: u64,
    pub(super) token: String,
}

impl SessionId {
    /// A fresh name; at most 64 characters, which is what `GET_LOCK` takes.
    pub(super) fn fresh_token() -> String {
        format!("windlass-{}", Uuid::now_v7().simple())
    }

    /// As the fence row keeps it.
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}", self.server_started_s, self.connection, self.token)
    }

    /// Reads it back. `None` for what is not ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (started, rest) = text.split_once('/')?;
        let (connection, token) = rest.split_once('/')?;
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let token = (!token.is_empty() && token.chars().all(legal)).then(|| token.to_owned())?;
        Some(Self { server_started_s: started.parse().ok()?, connection: connection.parse().ok()?, token })
    }
}

/// What a server says of itself, and of us.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Product and version: `MariaDB 10.11.19`.
    pub(super) server: String,
    /// The tenant's database, as the server spells it.
    pub(super) database: String,
    /// `@@sql_mode`.
    pub(super) sql_mode: String,
    /// Bytes of the longest message that the server takes.
    pub(super) packet_bytes_max: usize,
    /// What makes the database itself.
    pub(super) identity: String,
    /// This session.
    pub(super) session: SessionId,
}

/// Connects, keeps the limits, takes the session's name, and asks for the facts.
pub(super) async fn connect(conn: &Conn, limits: Limits) -> Result<(Wire, Facts), SessionError> {
    let options = options(conn)?;
    let trouble = match timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(db)) => {
            let answer_limit = limits.statement.saturating_add(limits.lock).saturating_add(TENANT_ANSWER_GRACE);
            let mut wire = Wire::new(db, answer_limit);
            return match greet(conn, &mut wire, limits).await {
                Ok(facts) => Ok((wire, facts)),
                Err(error) => {
                    close(wire).await;
                    Err(error)
                }
            };
        }
        Ok(Err(error)) => Trouble::Driver(error),
        Err(_) => Trouble::Silence(CONNECT_TIMEOUT),
    };
    Err(Said::of(&trouble, &conn.scrubber()).before_anything(&conn.tenant, "cannot connect"))
}

/// Takes leave. A server that does not listen notices by itself, so a failure is nobody's concern.
pub(super) async fn close(wire: Wire) {
    let connection: MySqlConnection = wire.into_connection();
    let _ = timeout(TENANT_CLOSE_TIMEOUT, connection.close()).await;
}

async fn greet(conn: &Conn, wire: &mut Wire, limits: Limits) -> Result<Facts, SessionError> {
    let token = SessionId::fresh_token();
    for text in [sql::settings(limits), sql::facts(&token)] {
        let reply = wire.say(text).await;
        if let Some(trouble) = &reply.trouble {
            return Err(Said::of(trouble, &conn.scrubber()).before_anything(&conn.tenant, "cannot begin a session"));
        }
        if let Some(row) = reply.row("windlass_facts") {
            return facts(&conn.tenant, row, token);
        }
    }
    Err(strange(&conn.tenant, "it says nothing of itself"))
}

fn facts(tenant: &TenantId, row: &Tagged, token: String) -> Result<Facts, SessionError> {
    let Some(database) = row.cells.get(1).cloned().flatten() else {
        let message = "the connection URL names no database; nothing was done";
        return Err(SessionError::no_effect(tenant, ErrorClass::Permanent, Code::BadTenantUrl, message));
    };
    let number = |at: usize| row.cell(at).parse().ok();
    let (Some(connection), Some(server_started_s)) = (number(2), number(4)) else {
        return Err(strange(tenant, "it does not say which connection this is, or since when it runs"));
    };
    if row.cell(5) != "1" {
        return Err(strange(tenant, "it does not give the lock of a name that nobody else knows"));
    }
    let (version, name) = (row.cell(0), row.cell(6));
    let digits = version.split('-').next().unwrap_or_default();
    let product = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
    // Where names are told apart by their letters' case, the same name in other letters is another database.
    let spelled = if name == "0" { database.clone() } else { database.to_lowercase() };
    // Two servers in containers may have the same name, port and folder; hardly the same start.
    let started = if product == "MariaDB" { format!(":{server_started_s}") } else { String::new() };
    Ok(Facts {
        server: format!("{product} {digits}"),
        identity: format!("mysql:{}{started}/{spelled}", row.cell(7)),
        database,
        packet_bytes_max: row.cell(8).parse().unwrap_or(usize::MAX),
        sql_mode: row.cell(3).to_owned(),
        session: SessionId { server_started_s, connection, token },
    })
}

fn strange(tenant: &TenantId, why: &str) -> SessionError {
    let message = format!("the server is not one that Windlass can work with: {why}; nothing was done");
    SessionError::no_effect(tenant, ErrorClass::Permanent, Code::UnsupportedEngine, message)
}

fn options(conn: &Conn) -> Result<MySqlConnectOptions, SessionError> {
    let options = conn.url().mysql_options().map_err(|error| {
        let message = format!("the connection URL is not valid: {}", conn.scrubber().scrub(&error.to_string()));
        SessionError::no_effect(&conn.tenant, ErrorClass::Permanent, Code::BadTenantUrl, message)
    })?;
    Ok(options.statement_cache_capacity(0).disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_reads_back_from_its_text_and_nothing_else_does() {
        let session = SessionId { server_started_s: 1_700_000_000, connection: 42, token: SessionId::fresh_token() };
        assert!(session.token.len() <= 64);
        assert_eq!(SessionId::parse(&session.text()), Some(session));
        for wrong in ["", "1/2/", "1/2", "a/2/t", "1/b/t", "1/2/t'x"] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
    }
}
