//! Surveying: what can be learnt without touching anything.

use super::connect::{Facts, Limits, close, connect};
use super::said::Said;
use super::sql::{self, Names};
use super::wire::{Reply, Wire};
use crate::tenant::conn::{Conn, Surveying};
use crate::tenant::error::SessionError;
use crate::tenant::ledger::{Damage, Ledger, fence_mark};
use crate::tenant::session::Survey;

/// Surveys a tenant.
pub(in crate::tenant) async fn survey(conn: &Conn, surveying: &Surveying) -> Result<Survey, SessionError> {
    let limits = Limits { lock: surveying.lock_timeout, statement: surveying.statement_timeout };
    let (mut wire, facts) = connect(conn, limits).await?;
    let found = look(conn, &mut wire, facts).await;
    close(wire).await;
    found
}

async fn look(conn: &Conn, wire: &mut Wire, facts: Facts) -> Result<Survey, SessionError> {
    let names = Names::in_database(&facts.database);
    let damaged = |damage: Damage| damage.of(&conn.tenant);
    ask(conn, wire, "SET SESSION TRANSACTION READ ONLY".to_owned()).await?;
    let tables = ask(conn, wire, sql::tables(&names)).await?;
    let there = |name: &str| tables.rows.iter().any(|row| row.cell(0).eq_ignore_ascii_case(name));
    let (has_fence, has_ledger) = (there("windlass_fence"), there("windlass_ledger"));
    let mut fence = None;
    if has_fence {
        let reply = ask(conn, wire, sql::fence(&names)).await?;
        fence = reply.row("windlass_mark").map(fence_mark).transpose().map_err(damaged)?;
    }
    let mut ledger = Ledger::default();
    if has_ledger {
        let rows = ask(conn, wire, sql::ledger(&names)).await?;
        ledger = Ledger::read(rows.ledger_rows()).map_err(damaged)?;
    }
    // A ledger without a fence is one whose making was cut short, as long as it is empty.
    if (has_fence && !has_ledger) || (!has_fence && ledger.next_position() > 1) {
        return Err(damaged(Damage::HalfMissing));
    }
    Ok(Survey { server: facts.server, identity: facts.identity, in_force: ledger.in_force().to_vec(), fence })
}

async fn ask(conn: &Conn, wire: &mut Wire, sql: String) -> Result<Reply, SessionError> {
    let reply = wire.say(sql).await;
    match &reply.trouble {
        None => Ok(reply),
        Some(trouble) => Err(Said::of(trouble, &conn.scrubber()).before_anything(&conn.tenant, "cannot survey")),
    }
}
