//! Opening a session: raise the fence, end the predecessors, read the ledger.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::connect::{Limits, close, connect, epoch_in, name_prefix, session_name};
use super::said::{DENIED, NO_TABLE, Said};
use super::session::{Opened, PgSession};
use super::sql::{self, Names};
use super::wire::{Reply, exchange};
use crate::base::crash::{self, Point};
use crate::base::limits::{PREDECESSOR_TIMEOUT, TENANT_ANSWER_GRACE, TENANT_OPEN_TRIES_MAX};
use crate::base::{Code, Epoch};
use crate::saga::failure::ErrorClass;
use crate::tenant::conn::{Conn, Scrubber};
use crate::tenant::error::SessionError;
use crate::tenant::ledger::{Ledger, state_of};
use crate::tenant::session::{FenceState, Opening};

/// How long the server itself waits for one session to end before we look again.
const TERMINATE_WAIT: Duration = Duration::from_secs(1);

/// Opens a session.
pub(in crate::tenant) async fn open(
    conn: &Conn,
    schema: Option<&str>,
    opening: &Opening,
) -> Result<PgSession, SessionError> {
    let names = Names::in_schema(ledger_schema(conn, schema, opening.ledger_schema.as_deref())?);
    let prefix = name_prefix(&conn.tenant, schema);
    let limits = Limits { lock: opening.lock_timeout, statement: opening.statement_timeout };
    let name = session_name(&prefix, opening.deploy, opening.epoch);
    let pg = connect(conn, schema, &name, limits).await?;
    let mut opener = Opener { conn, opening, names, prefix, scrubber: conn.scrubber(), pg };
    match opener.run().await {
        Ok(found) => {
            crash::point(Point::AfterOpen);
            let Opener { names, pg, .. } = opener;
            // Where they were found by the search path, they are named in full from here on.
            let names = found.schema.as_deref().map_or(names, |schema| Names::in_schema(Some(schema)));
            let Found { server, ledger, state, .. } = found;
            Ok(PgSession::new(conn.clone(), opening.clone(), Opened { pg, names, server, ledger, fence: state }))
        }
        Err(error) => {
            close(opener.pg).await;
            Err(error)
        }
    }
}

/// The schema that our tables are in: the tenant's own where it is one, since two tenants cannot share a fence.
pub(super) fn ledger_schema<'a>(
    conn: &Conn,
    tenant_schema: Option<&'a str>,
    configured: Option<&'a str>,
) -> Result<Option<&'a str>, SessionError> {
    match (tenant_schema, configured) {
        (Some(own), Some(named)) if own != named => Err(SessionError::no_effect(
            &conn.tenant,
            ErrorClass::Permanent,
            Code::ConfigInvalid,
            format!("the tenant is the schema {own}, so its ledger cannot be in {named}, which others would share"),
        )),
        (own, named) => Ok(own.or(named)),
    }
}

/// What an opening has found.
struct Found {
    server: String,
    schema: Option<String>,
    state: FenceState,
    ledger: Ledger,
}

/// A session of another worker on this tenant.
struct Other {
    pid: i32,
    start: Option<String>,
    name: String,
}

struct Opener<'a> {
    conn: &'a Conn,
    opening: &'a Opening,
    names: Names,
    prefix: String,
    scrubber: Scrubber,
    pg: PgConnection,
}

impl Opener<'_> {
    async fn run(&mut self) -> Result<Found, SessionError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let reply = self.say(sql::open(&self.names, self.opening, &self.prefix)).await;
            let Some(trouble) = &reply.trouble else { return self.raised(reply).await };
            let said = Said::of(trouble, &self.scrubber);
            if tries >= TENANT_OPEN_TRIES_MAX {
                return Err(said.before_anything(&self.conn.tenant, "cannot raise the fence"));
            }
            match said.sqlstate.as_deref() {
                Some(NO_TABLE | "3F000") => self.create().await?,
                // A predecessor may hang in its commit with the fence row in its hands; it has to go before the fence can rise.
                Some("55P03") => self.clear_way().await?,
                _ => return Err(said.before_anything(&self.conn.tenant, "cannot raise the fence")),
            }
        }
    }

    async fn say(&mut self, sql: String) -> Reply {
        let limit = (self.opening.statement_timeout + self.opening.lock_timeout).saturating_add(TENANT_ANSWER_GRACE);
        exchange(&mut self.pg, sql, None, limit).await
    }

    /// Makes the tables. Two openings at once may both try: the loser finds the winner's.
    async fn create(&mut self) -> Result<(), SessionError> {
        let mut text = sql::create_tables(&self.names);
        for missing_schema in [false, true] {
            if let Some(schema) = self.opening.ledger_schema.as_deref().filter(|_| missing_schema) {
                text = text.replacen(';', &format!(";\nCREATE SCHEMA IF NOT EXISTS {};", sql::identifier(schema)), 1);
            }
            let reply = self.say(text.clone()).await;
            let Some(trouble) = &reply.trouble else { return Ok(()) };
            let said = Said::of(trouble, &self.scrubber);
            match said.sqlstate.as_deref() {
                Some("23505" | "42P07" | "42P06" | "42710") => return Ok(()),
                // Asked for only where it is missing: creating a schema that is there takes a privilege, too.
                Some("3F000") if !missing_schema && self.opening.ledger_schema.is_some() => {}
                _ => return Err(said.before_anything(&self.conn.tenant, "cannot make the ledger")),
            }
        }
        Ok(())
    }

    /// The fence was asked for: find out whether we have it, and end whoever had it.
    async fn raised(&mut self, reply: Reply) -> Result<Found, SessionError> {
        let tenant = &self.conn.tenant;
        let Some(raised) = reply.row("windlass_raised") else {
            let current = reply.row("windlass_held").and_then(|row| row.cell(0).parse().ok()).unwrap_or_default();
            return Err(SessionError::fenced(tenant, self.opening.epoch, Epoch(current)));
        };
        let state = state_of(raised.cell(0)).map_err(|damage| damage.of(tenant))?;
        let facts = reply.row("windlass_server");
        let server = format!("PostgreSQL {}", facts.map(|row| row.cell(0)).unwrap_or_default());
        let schema = facts.and_then(|row| row.cells.get(1).cloned().flatten());
        let others = self.earlier(&reply);
        let reply = if others.is_empty() { reply } else { self.end(others).await? };
        let ledger = Ledger::read(reply.ledger_rows()).map_err(|damage| damage.of(&self.conn.tenant))?;
        Ok(Found { server, schema, state, ledger })
    }

    /// The earlier sessions in a reply. A later worker's is left alone: it will end ours.
    fn earlier(&self, reply: &Reply) -> Vec<Other> {
        let others = reply.rows.iter().filter(|row| row.tag == "windlass_other");
        others
            .filter_map(|row| {
                let (start, name) = (row.cells.get(1).cloned().flatten(), row.cell(2).to_owned());
                Some(Other { pid: row.cell(0).parse().ok()?, start, name })
            })
            .filter(|other| epoch_in(&other.name).is_none_or(|epoch| epoch <= self.opening.epoch))
            .collect()
    }

    /// Ends sessions and sees them gone; answers with the reply that showed none, and the ledger as it was after that.
    ///
    /// The waiting is the server's: each round asks it to end them and to tell when they have.
    async fn end(&mut self, mut others: Vec<Other>) -> Result<Reply, SessionError> {
        let deadline = Instant::now() + PREDECESSOR_TIMEOUT;
        loop {
            let sessions: Vec<_> = others.iter().map(|other| (other.pid, other.start.clone())).collect();
            let wait_ms = u64::try_from(TERMINATE_WAIT.as_millis()).unwrap_or(u64::MAX);
            let reply = self
                .say(format!(
                    "{};\n{};\n{}",
                    sql::terminate(&sessions, wait_ms),
                    sql::others(&self.names, &self.prefix),
                    sql::ledger(&self.names)
                ))
                .await;
            if let Some(trouble) = &reply.trouble {
                let said = Said::of(trouble, &self.scrubber);
                return Err(if said.is(DENIED) {
                    self.alive(&others, ErrorClass::Permanent, &said.text)
                } else {
                    said.before_anything(&self.conn.tenant, "cannot end an earlier session")
                });
            }
            others = self.earlier(&reply);
            if others.is_empty() {
                return Ok(reply);
            }
            if Instant::now() >= deadline {
                let waited = format!("it was told to and is still there after {} s", PREDECESSOR_TIMEOUT.as_secs());
                return Err(self.alive(&others, ErrorClass::Transient, &waited));
            }
        }
    }

    /// Ends the earlier sessions before the fence is raised; only where it is ours to raise.
    async fn clear_way(&mut self) -> Result<(), SessionError> {
        let look = format!("ROLLBACK;\n{};\n{}", sql::fence(&self.names), sql::others(&self.names, &self.prefix));
        let reply = self.say(look).await;
        if let Some(trouble) = &reply.trouble {
            return Err(
                Said::of(trouble, &self.scrubber).before_anything(&self.conn.tenant, "cannot look at the fence")
            );
        }
        let held: u64 = reply.row("windlass_mark").and_then(|row| row.cell(0).parse().ok()).unwrap_or_default();
        if held > self.opening.epoch.0 {
            return Err(SessionError::fenced(&self.conn.tenant, self.opening.epoch, Epoch(held)));
        }
        let others = self.earlier(&reply);
        if !others.is_empty() {
            self.end(others).await?;
        }
        Ok(())
    }

    fn alive(&self, others: &[Other], class: ErrorClass, why: &str) -> SessionError {
        let who: Vec<String> = others.iter().map(|other| format!("{} (process {})", other.name, other.pid)).collect();
        let message = format!("an earlier session is not ended: {}; {why}; nothing was done", who.join(", "));
        SessionError::no_effect(&self.conn.tenant, class, Code::PredecessorAlive, message)
    }
}
