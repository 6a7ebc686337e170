//! Opening a session, and surveying without one.

use super::connect::{Commits, File, Limits, identity};
use super::said::Said;
use super::session::{Opened, SqliteSession};
use super::sql;
use crate::base::crash::{self, Point};
use crate::base::{Clock as _, SystemClock};
use crate::tenant::conn::{Conn, Surveying};
use crate::tenant::error::SessionError;
use crate::tenant::ledger::{Damage, Ledger, fence_mark};
use crate::tenant::session::{Opening, Survey};

/// How many statements an opening has, for the limit of its answer.
const OPENING_STATEMENTS: usize = 8;

/// Opens a session. There is nobody to end: whoever was in a transaction had the file for itself, and whoever begins the next one
/// sees the fence.
pub(in crate::tenant) async fn open(conn: &Conn, opening: &Opening) -> Result<SqliteSession, SessionError> {
    let limits = Limits { lock: opening.lock_timeout, statement: opening.statement_timeout };
    let mut file = File::open(conn, limits).await?;
    let text = sql::open(opening, SystemClock.now());
    let reply = file.run(text, OPENING_STATEMENTS, Commits::Meant).await;
    if let Some(trouble) = &reply.trouble {
        return Err(Said::of(trouble, &conn.scrubber()).before_the_fence(&conn.tenant));
    }
    let damaged = |damage: Damage| damage.of(&conn.tenant);
    let row = reply.row("windlass_mark").ok_or(Damage::HalfMissing).map_err(damaged)?;
    let (mark, holder) = (fence_mark(row).map_err(damaged)?, row.cell(5));
    let ours = (opening.epoch, opening.deploy, opening.worker.as_str());
    if (mark.epoch, mark.deploy, holder) != ours {
        return Err(SessionError::fenced(&conn.tenant, opening.epoch, mark.epoch));
    }
    let server = format!("SQLite {}", reply.row("windlass_server").map(|row| row.cell(0)).unwrap_or_default());
    let ledger = Ledger::read(reply.ledger_rows()).map_err(damaged)?;
    crash::point(Point::AfterOpen);
    let opened = Opened { file, server, ledger, fence: mark.state };
    Ok(SqliteSession::new(conn.clone(), opening.clone(), limits, opened))
}

/// Surveys a tenant.
pub(in crate::tenant) async fn survey(conn: &Conn, surveying: &Surveying) -> Result<Survey, SessionError> {
    let limits = Limits { lock: surveying.lock_timeout, statement: surveying.statement_timeout };
    let mut file = File::open(conn, limits).await?;
    let found = look(conn, &mut file).await;
    file.close().await;
    found
}

async fn look(conn: &Conn, file: &mut File) -> Result<Survey, SessionError> {
    let said = |trouble| Said::of(&trouble, &conn.scrubber()).before_anything(&conn.tenant, "cannot survey");
    let damaged = |damage: Damage| damage.of(&conn.tenant);
    let first = file.run(sql::SURVEY.to_owned(), 1, Commits::Refused).await;
    if let Some(trouble) = first.trouble {
        return Err(said(trouble));
    }
    let there = first.row("windlass_server").map(|row| (row.cell(0), row.cell(1), row.cell(2)));
    let (version, fence, ledger) = there.unwrap_or_default();
    if fence != ledger {
        return Err(damaged(Damage::HalfMissing));
    }
    let server = format!("SQLite {version}");
    let identity = identity(conn).await?;
    if fence != "1" {
        return Ok(Survey { server, identity, in_force: Vec::new(), fence: None });
    }
    let reply = file.run(format!("{};\n{}", sql::FENCE, sql::ledger()), 2, Commits::Refused).await;
    if let Some(trouble) = reply.trouble {
        return Err(said(trouble));
    }
    let fence = reply.row("windlass_mark").map(fence_mark).transpose().map_err(damaged)?;
    let ledger = Ledger::read(reply.ledger_rows()).map_err(damaged)?;
    Ok(Survey { server, identity, in_force: ledger.in_force().to_vec(), fence })
}
