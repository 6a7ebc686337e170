//! The session: units, tombstones, checks.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use super::connect::close;
use super::said::{KEY_TAKEN, Line, Mark, Said};
use super::sql::{self, Access, Names};
use super::transaction::{Evidence, Settings, Transacted, Transaction};
use super::wire::{Reply, Trouble, exchange, first_rows};
use crate::base::crash::Point;
use crate::base::limits::TENANT_ANSWER_GRACE;
use crate::base::{Code, TenantId, Timestamp};
use crate::release::Dialect;
use crate::release::sql::{SessionState, split};
use crate::saga::failure::ErrorClass;
use crate::tenant::act::{CHECK_ROWS_MAX, answer};
use crate::tenant::conn::{Conn, Scrubber};
use crate::tenant::error::{Outcome, SessionError};
use crate::tenant::ledger::{Damage, Ledger, NewRow, Standing, took_effect};
use crate::tenant::reply::Cells;
use crate::tenant::session::{
    Applied, CheckOutcome, FenceState, InForce, LedgerKey, Opening, Probe, Session, SetsSession, Unit,
};

/// What an opening has found.
pub(super) struct Opened {
    pub(super) pg: PgConnection,
    pub(super) names: Names,
    pub(super) server: String,
    pub(super) ledger: Ledger,
    pub(super) fence: FenceState,
}

/// A session with a tenant on PostgreSQL.
pub(in crate::tenant) struct PgSession {
    conn: Conn,
    scrubber: Scrubber,
    opening: Opening,
    /// `None` once a customer's text may have left something behind in the server's session: the next act opens another.
    pg: Option<PgConnection>,
    names: Names,
    server: String,
    ledger: Ledger,
    fence: FenceState,
    /// Whether the server said of the last statement that ran by itself that it is done.
    last_alone: LastAlone,
}

/// What the server said of the last statement that ran by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastAlone {
    /// That it is done.
    Done,
    /// Anything else, or there was none.
    NotDone,
}

impl PgSession {
    pub(super) fn new(conn: Conn, opening: Opening, opened: Opened) -> Self {
        let Opened { pg, names, server, ledger, fence } = opened;
        let scrubber = conn.scrubber();
        let last_alone = LastAlone::NotDone;
        Self { conn, scrubber, opening, pg: Some(pg), names, server, ledger, fence, last_alone }
    }

    /// Opens the server's session anew where the last act has ended it.
    ///
    /// Not `DISCARD ALL`: it leaves what extensions and procedural languages keep for a session (connections of dblink, shared
    /// variables, loaded libraries), and it is one round trip as well.
    pub(super) async fn ready(&mut self) -> Result<(), SessionError> {
        if self.pg.is_none() {
            *self = super::open(&self.conn, self.conn.url().schema(), &self.opening).await?;
        }
        Ok(())
    }

    /// Ends the server's session, so that nothing that was set, locked or made in it outlives this.
    pub(super) async fn let_go(&mut self) {
        if let Some(pg) = self.pg.take() {
            close(pg).await;
        }
    }
}

impl PgSession {
    /// How long an answer to `statements` statements is waited for. The server gives up long before.
    pub(super) fn limit(&self, statements: usize) -> Duration {
        let each = self.opening.statement_timeout.saturating_add(self.opening.lock_timeout);
        let count = u32::try_from(statements).unwrap_or(u32::MAX).saturating_add(1);
        each.saturating_mul(count).saturating_add(TENANT_ANSWER_GRACE)
    }

    pub(super) async fn say(&mut self, sql: String) -> Reply {
        let limit = self.limit(1);
        self.exchange(sql, None, limit).await
    }

    pub(super) async fn exchange(&mut self, sql: String, inside: Option<Point>, limit: Duration) -> Reply {
        match &mut self.pg {
            Some(pg) => exchange(pg, sql, inside, limit).await,
            None => Reply { trouble: Some(Trouble::Over), ..Reply::default() },
        }
    }

    pub(super) fn understood(&self, trouble: &Trouble) -> Said {
        Said::of(trouble, &self.scrubber)
    }

    /// As the error of an act, where it is not the text of somebody else that the server speaks of.
    pub(super) fn error(&self, said: &Said) -> SessionError {
        match said.mark {
            Mark::Fenced(current) => SessionError::fenced(&self.opening.tenant, self.opening.epoch, current),
            Mark::Broken | Mark::None => said.error(&self.opening.tenant),
        }
    }

    pub(super) const fn names(&self) -> &Names {
        &self.names
    }

    pub(super) const fn opening(&self) -> &Opening {
        &self.opening
    }

    pub(super) const fn last_alone(&mut self) -> &mut LastAlone {
        &mut self.last_alone
    }

    /// The schema that is the tenant, where it is not the whole database.
    pub(super) fn tenant_schema(&self) -> Option<&str> {
        self.conn.url().schema()
    }

    /// Takes a row into the ledger that somebody else wrote.
    async fn read_row(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        let text = sql::ledger_row(&self.names, key);
        let reply = self.ask(Access::Read, &text).await.map_err(|said| self.error(&said))?;
        self.take_row(reply)
    }

    fn take_row(&mut self, reply: Reply) -> Result<(), SessionError> {
        for row in reply.ledger_rows() {
            let row = row.parse().map_err(|damage: Damage| damage.of(&self.opening.tenant))?;
            self.ledger.push(row);
        }
        Ok(())
    }

    /// Runs a unit whose ledger row is not there, as far as we know; `also` are statements of ours that belong to it.
    pub(super) async fn run(
        &mut self,
        unit: &Unit,
        settings: Settings,
        also: Option<String>,
    ) -> Result<Applied, SessionError> {
        let row = NewRow {
            position: self.ledger.next_position(),
            key: &unit.key,
            version: &unit.version,
            name: &unit.name,
            digest: unit.digest,
            effect: unit.effect,
            epoch: self.opening.epoch,
        };
        let fence = (unit.fence != self.fence).then(|| sql::set_fence(&self.names, &self.opening, unit.fence));
        let transaction = Transaction {
            insert: sql::insert_row_and_tell(&self.names, &self.opening, &row),
            evidence: Evidence::ledger_row(&self.names, &unit.key),
            statements: &unit.statements,
            after: also.into_iter().chain(fence).collect(),
            settings,
            half: unit.key.half,
        };
        match self.transact(&transaction).await? {
            Transacted::Committed(reply) => {
                let at = reply.row("windlass_at").and_then(|row| row.cell(0).parse().ok()).unwrap_or_default();
                self.ledger.push(row.written(Timestamp(at)));
                self.fence = unit.fence;
                Ok(Applied::Now)
            }
            Transacted::RowRefused(said) if said.is(KEY_TAKEN) => {
                self.read_row(&unit.key).await?;
                match self.ledger.standing(&self.opening.tenant, unit)? {
                    Standing::Before => Ok(Applied::Before),
                    Standing::Free => Err(self.error(&said)),
                }
            }
            Transacted::RowRefused(said) => Err(self.error(&said)),
        }
    }

    /// Asks a check's query.
    async fn query(&mut self, sql: &str) -> Result<Vec<Cells>, Trouble> {
        let limit = self.limit(1);
        let Some(pg) = &mut self.pg else { return Err(Trouble::Over) };
        // The extended protocol takes one statement alone: no COMMIT can hide behind the query and write.
        match tokio::time::timeout(limit, pg.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Trouble::Driver(error)),
            Err(_) => return Err(Trouble::Silence(limit)),
        }
        let text = format!("BEGIN READ ONLY;\n{sql}\n;\nROLLBACK");
        first_rows(pg, text, CHECK_ROWS_MAX, limit).await
    }
}

/// Whether a check may leave something behind that a rollback does not take back: a lock of the session, a library.
fn leaves_traces(sql: &str) -> bool {
    split(Dialect::Postgres, sql)
        .map_or(true, |of| of.iter().any(|statement| statement.class.session == SessionState::Changed))
}

#[async_trait]
impl Session for PgSession {
    fn tenant(&self) -> &TenantId {
        &self.opening.tenant
    }

    fn server(&self) -> &str {
        &self.server
    }

    fn in_force(&self) -> &[InForce] {
        self.ledger.in_force()
    }

    fn probe(&self, key: &LedgerKey) -> Probe {
        self.ledger.probe(key)
    }

    async fn apply(&mut self, unit: &Unit) -> Result<Applied, SessionError> {
        self.ready().await?;
        if self.ledger.standing(&self.opening.tenant, unit)? == Standing::Before {
            return Ok(Applied::Before);
        }
        let applied = self.run(unit, Settings::Own, None).await;
        let torn = applied.as_ref().is_err_and(|error| error.outcome == Outcome::Torn);
        // Also where it failed: a rollback gives back neither a session's locks nor its prepared statements.
        if unit.sets_session == SetsSession::Yes || torn {
            self.let_go().await;
        }
        applied
    }

    async fn void(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        self.ready().await?;
        if self.ledger.probe(key) == Probe::NotApplied {
            let text = sql::tombstone(&self.names, &self.opening, self.ledger.next_position(), key);
            let reply = self.ask(Access::Write, &text).await.map_err(|said| self.error(&said))?;
            self.take_row(reply)?;
        }
        match self.ledger.probe(key) {
            Probe::Void => Ok(()),
            Probe::Applied(_) | Probe::NotApplied => Err(took_effect(&self.opening.tenant, key)),
        }
    }

    async fn check(&mut self, sql: &str) -> Result<CheckOutcome, SessionError> {
        self.ready().await?;
        let asked = self.query(sql).await.map_err(|trouble| self.understood(&trouble));
        if asked.as_ref().is_err_and(|said| said.line == Line::Alive) {
            self.roll_back().await;
        }
        if leaves_traces(sql) {
            self.let_go().await;
        }
        asked.map(|rows| answer(&rows)).map_err(|said| {
            let mut error = said.error(&self.opening.tenant);
            // Read-only because we made it so, not because the server is a standby: trying again gives the same answer.
            if said.is("25006") {
                (error.failure.class, error.failure.code) = (ErrorClass::Permanent, Code::StepFailed);
            }
            error
        })
    }

    async fn close(mut self: Box<Self>) {
        // Nothing of this deploy is left here, and the fence should not say that something may be: were the log lost, it would
        // count as work under way. Should this fail, that is all that happens.
        let idle = self.fence == FenceState::Open && !self.ledger.holds_work_of(self.opening.deploy);
        if idle && self.ready().await.is_ok() && !self.holds_part().await {
            let text = sql::set_fence(&self.names, &self.opening, FenceState::Undone);
            let _ = self.ask(Access::Write, &text).await;
        }
        self.let_go().await;
    }
}
