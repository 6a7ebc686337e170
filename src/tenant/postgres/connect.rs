//! Connecting: what every session of ours is told at its start.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::said::Said;
use super::sql::identifier;
use super::wire::Trouble;
use crate::base::limits::{CONNECT_TIMEOUT, TENANT_CLIENT_CHECK, TENANT_CLOSE_TIMEOUT, TENANT_IDLE_IN_TRANSACTION};
use crate::base::{Code, DeployId, Digest, Epoch, TenantId};
use crate::saga::failure::ErrorClass;
use crate::tenant::conn::Conn;
use crate::tenant::error::SessionError;

/// The time limits that the server keeps for a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) lock: Duration,
    pub(super) statement: Duration,
}

/// The name of every survey's session. It differs from a worker's, so that no opening ends a survey that does no harm.
pub(super) const SURVEY_NAME: &str = "windlass/survey";

/// How the names of all workers' sessions on one tenant begin. The schema is part of it: tenants may be schemas of one database,
/// and their ids may be too long for the 63 bytes that a name can have.
pub(super) fn name_prefix(tenant: &TenantId, schema: Option<&str>) -> String {
    let fields = [tenant.as_str().as_bytes(), schema.unwrap_or_default().as_bytes()];
    format!("windlass/t:{}/", Digest::of_fields("windlass-tenant-session", fields).short())
}

/// The name of one worker's session. The end of a deploy's id, not its beginning: a version 7 UUID begins with the time, which deploys
/// of one minute share.
pub(super) fn session_name(prefix: &str, deploy: DeployId, epoch: Epoch) -> String {
    let deploy = deploy.0.simple().to_string();
    format!("{prefix}d:{}/e:{epoch}", &deploy[deploy.len() - 8..])
}

/// The epoch in a session's name; `None` for a name that is not ours.
pub(super) fn epoch_in(name: &str) -> Option<Epoch> {
    name.rsplit_once("/e:").and_then(|(_, epoch)| epoch.parse().ok()).map(Epoch)
}

/// Connects under a name.
pub(super) async fn connect(
    conn: &Conn,
    schema: Option<&str>,
    name: &str,
    limits: Limits,
) -> Result<PgConnection, SessionError> {
    let options = options(conn, schema, name, limits)?;
    let trouble = match timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => Trouble::Driver(error),
        Err(_) => Trouble::Silence(CONNECT_TIMEOUT),
    };
    Err(Said::of(&trouble, &conn.scrubber()).before_anything(&conn.tenant, "cannot connect"))
}

/// Takes leave. A server that does not listen notices by itself, so a failure is nobody's concern.
pub(super) async fn close(connection: PgConnection) {
    let _ = timeout(TENANT_CLOSE_TIMEOUT, connection.close()).await;
}

fn options(conn: &Conn, schema: Option<&str>, name: &str, limits: Limits) -> Result<PgConnectOptions, SessionError> {
    let options = conn.url().postgres_options().map_err(|error| {
        let message = format!("the connection URL is not valid: {}", conn.scrubber().scrub(&error.to_string()));
        SessionError::no_effect(&conn.tenant, ErrorClass::Permanent, Code::BadTenantUrl, message)
    })?;
    let mut settings = vec![
        ("lock_timeout", millis(limits.lock)),
        ("statement_timeout", millis(limits.statement)),
        ("client_connection_check_interval", millis(TENANT_CLIENT_CHECK)),
        ("idle_in_transaction_session_timeout", millis(TENANT_IDLE_IN_TRANSACTION)),
        // What a migration runs under must not depend on a role's settings: a snapshot taken too early would read a ledger that
        // is older than its session, and a commit that is not durable would be acknowledged and then lost.
        ("default_transaction_isolation", "read committed".to_owned()),
        ("default_transaction_read_only", "off".to_owned()),
        ("synchronous_commit", "on".to_owned()),
        ("client_min_messages", "warning".to_owned()),
    ];
    if let Some(schema) = schema {
        settings.push(("search_path", identifier(schema)));
    }
    Ok(options.application_name(name).options(settings).statement_cache_capacity(0).disable_statement_logging())
}

/// Whole milliseconds, at least one: zero would mean no limit.
fn millis(duration: Duration) -> String {
    duration.as_millis().clamp(1, i32::MAX as u128).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_session_name_fits_what_the_server_keeps() {
        let tenant = TenantId::new("t".repeat(200)).unwrap();
        let prefix = name_prefix(&tenant, Some(&"s".repeat(63)));
        let name = session_name(&prefix, DeployId::fresh(), Epoch(u64::MAX));
        assert!(name.len() <= 63, "{name} has {} bytes", name.len());
        assert_eq!(epoch_in(&name), Some(Epoch(u64::MAX)));
    }

    #[test]
    fn tenants_that_are_schemas_of_one_database_have_different_names() {
        let tenant = TenantId::new("acme").unwrap();
        assert_ne!(name_prefix(&tenant, Some("a")), name_prefix(&tenant, Some("b")));
        assert_ne!(name_prefix(&tenant, None), name_prefix(&TenantId::new("acm").unwrap(), Some("e")));
    }
}
