//! The session: units, tombstones, checks.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use super::connect::close;
use super::said::{Line, Mark, Said};
use super::sql::{self, Names, PROLOGUE, UnitText};
use super::wire::{Reply, Trouble, exchange, first_rows};
use crate::base::crash::{self, Point};
use crate::base::limits::TENANT_ANSWER_GRACE;
use crate::base::{Code, Timestamp};
use crate::release::Dialect;
use crate::release::sql::{SessionState, split};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::act::{CHECK_ROWS_MAX, answer, points};
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
}

impl PgSession {
    pub(super) fn new(conn: Conn, opening: Opening, opened: Opened) -> Self {
        let Opened { pg, names, server, ledger, fence } = opened;
        let scrubber = conn.scrubber();
        Self { conn, scrubber, opening, pg: Some(pg), names, server, ledger, fence }
    }

    /// Opens the server's session anew where the last act has ended it.
    ///
    /// Not `DISCARD ALL`: it leaves what extensions and procedural languages keep for a session (connections of dblink, shared
    /// variables, loaded libraries), and it is one round trip as well.
    async fn ready(&mut self) -> Result<(), SessionError> {
        if self.pg.is_none() {
            *self = super::open(&self.conn, self.conn.url().schema(), &self.opening).await?;
        }
        Ok(())
    }

    /// Ends the server's session, so that nothing that was set, locked or made in it outlives this.
    async fn let_go(&mut self) {
        if let Some(pg) = self.pg.take() {
            close(pg).await;
        }
    }
}

/// How a failed transaction was found when it was ended.
enum Ended {
    /// As it should be: it had failed, and is rolled back.
    RolledBack,
    /// There was none: the text had ended it.
    WasGone,
    /// The line was lost over it.
    Lost(Said),
}

impl PgSession {
    /// How long an answer to `statements` statements is waited for. The server gives up long before.
    fn limit(&self, statements: usize) -> Duration {
        let each = self.opening.statement_timeout.saturating_add(self.opening.lock_timeout);
        let count = u32::try_from(statements).unwrap_or(u32::MAX).saturating_add(1);
        each.saturating_mul(count).saturating_add(TENANT_ANSWER_GRACE)
    }

    async fn say(&mut self, sql: String) -> Reply {
        let limit = self.limit(1);
        self.exchange(sql, None, limit).await
    }

    async fn exchange(&mut self, sql: String, inside: Option<Point>, limit: Duration) -> Reply {
        match &mut self.pg {
            Some(pg) => exchange(pg, sql, inside, limit).await,
            None => Reply { trouble: Some(Trouble::Over), ..Reply::default() },
        }
    }

    fn understood(&self, trouble: &Trouble) -> Said {
        Said::of(trouble, &self.scrubber)
    }

    fn failed(&self, failure: Failure) -> SessionError {
        SessionError { tenant: self.opening.tenant.clone(), failure, outcome: Outcome::NoEffect }
    }

    /// Ends the transaction of a unit that failed.
    async fn roll_back(&mut self) -> Ended {
        let reply = self.say(sql::ROLLBACK.to_owned()).await;
        match reply.trouble.map(|trouble| self.understood(&trouble)) {
            None => Ended::RolledBack,
            Some(said) if said.is("25P01") => Ended::WasGone,
            Some(said) => Ended::Lost(Said { line: Line::Lost, ..said }),
        }
    }

    /// A unit's message ended in an error: what does that mean?
    async fn unit_failed(
        &mut self,
        unit: &Unit,
        text: &UnitText,
        reply: &Reply,
        trouble: &Trouble,
    ) -> Result<Applied, SessionError> {
        let said = self.understood(trouble);
        if said.line == Line::Lost {
            return Err(said.error(&self.opening.tenant));
        }
        if reply.completed == 0 {
            // The server parses the whole message before it runs any of it: nothing has begun.
            let failure = said.failure();
            return Err(self.failed(match said.position.and_then(|position| text.statement_at(position)) {
                Some(number) => failure.at_statement(number),
                None => failure,
            }));
        }
        let sealed = reply.row("windlass_guard").is_some();
        let ended = self.roll_back().await;
        match ended {
            Ended::Lost(lost) => return Err(lost.error(&self.opening.tenant)),
            Ended::WasGone if !sealed => return Err(self.broken(&unit.key).await),
            _ if said.mark == Mark::Broken => return Err(self.broken(&unit.key).await),
            // Gone after the guard: it is the commit that failed, over a deferred constraint.
            Ended::RolledBack | Ended::WasGone => {}
        }
        if reply.completed < PROLOGUE {
            return self.row_refused(unit, &said).await;
        }
        let number = reply.completed - PROLOGUE + 1;
        let failure = said.failure();
        Err(self.failed(match u32::try_from(number) {
            Ok(statement) if number <= unit.statements.len() => failure.at_statement(statement),
            _ => failure,
        }))
    }

    /// The unit's ledger row could not be inserted: nothing of the migration ran.
    async fn row_refused(&mut self, unit: &Unit, said: &Said) -> Result<Applied, SessionError> {
        let tenant = self.opening.tenant.clone();
        if let Mark::Fenced(current) = said.mark {
            return Err(SessionError::fenced(&tenant, self.opening.epoch, current));
        }
        if !said.is("23505") {
            return Err(said.error(&tenant));
        }
        self.read_row(&unit.key).await?;
        match self.ledger.standing(&tenant, unit)? {
            Standing::Before => Ok(Applied::Before),
            Standing::Free => Err(said.error(&tenant)),
        }
    }

    /// Takes a row into the ledger that somebody else wrote.
    async fn read_row(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        let reply = self.say(sql::ledger_row(&self.names, key)).await;
        self.take_row(reply)
    }

    fn take_row(&mut self, reply: Reply) -> Result<(), SessionError> {
        let tenant = &self.opening.tenant;
        if let Some(trouble) = &reply.trouble {
            return Err(self.understood(trouble).error(tenant));
        }
        for row in reply.ledger_rows() {
            let row = row.parse().map_err(|damage: Damage| damage.of(tenant))?;
            self.ledger.push(row);
        }
        Ok(())
    }

    /// The text ended its own transaction. Its ledger row, if that was committed with it, says more than is true: it goes.
    async fn broken(&mut self, key: &LedgerKey) -> SessionError {
        let reply = self.say(sql::clean_up(&self.names, key, self.opening.epoch)).await;
        let row = match &reply.trouble {
            None => "its ledger row was taken out".to_owned(),
            Some(trouble) => format!("its ledger row may still stand ({})", self.understood(trouble).text),
        };
        let message = format!(
            "the migration's text holds a COMMIT or a ROLLBACK of its own: what the statements before it did stays in the \
             database and has to be removed by hand; {row}"
        );
        let failure = Failure::new(ErrorClass::Permanent, Code::TransactionBroken, message);
        SessionError { tenant: self.opening.tenant.clone(), failure, outcome: Outcome::Torn }
    }

    async fn run(&mut self, unit: &Unit) -> Result<Applied, SessionError> {
        let row = NewRow {
            position: self.ledger.next_position(),
            key: &unit.key,
            version: &unit.version,
            name: &unit.name,
            digest: unit.digest,
            effect: unit.effect,
            epoch: self.opening.epoch,
        };
        let text = sql::unit(&self.names, &self.opening, &row, unit, self.fence);
        let [before, inside, after] = points(unit.key.half);
        let limit = self.limit(unit.statements.len());
        crash::point(before);
        let reply = self.exchange(text.sql.clone(), Some(inside), limit).await;
        if let Some(trouble) = &reply.trouble {
            return self.unit_failed(unit, &text, &reply, trouble).await;
        }
        crash::point(after);
        let at = reply.row("windlass_at").and_then(|row| row.cell(0).parse().ok()).unwrap_or_default();
        self.ledger.push(row.written(Timestamp(at)));
        self.fence = unit.fence;
        Ok(Applied::Now)
    }

    async fn ask(&mut self, sql: &str) -> Result<Vec<Cells>, Trouble> {
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
        let applied = self.run(unit).await;
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
            let reply = self.say(text).await;
            if let Some(trouble) = &reply.trouble {
                let said = self.understood(trouble);
                if said.line == Line::Alive {
                    self.roll_back().await;
                }
                return Err(match said.mark {
                    Mark::Fenced(current) => SessionError::fenced(&self.opening.tenant, self.opening.epoch, current),
                    Mark::Broken | Mark::None => said.error(&self.opening.tenant),
                });
            }
            self.take_row(reply)?;
        }
        match self.ledger.probe(key) {
            Probe::Void => Ok(()),
            Probe::Applied(_) | Probe::NotApplied => Err(took_effect(&self.opening.tenant, key)),
        }
    }

    async fn check(&mut self, sql: &str) -> Result<CheckOutcome, SessionError> {
        self.ready().await?;
        let asked = self.ask(sql).await.map_err(|trouble| self.understood(&trouble));
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
        if idle && self.ready().await.is_ok() {
            self.say(sql::set_fence(&self.names, &self.opening, FenceState::Undone)).await;
        }
        self.let_go().await;
    }
}
