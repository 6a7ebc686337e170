//! The session: units, tombstones, checks.

use async_trait::async_trait;

use super::connect::{Commits, File, Limits, Reply, Trouble};
use super::said::Said;
use super::sql::{self, CHECK_PROLOGUE, PROLOGUE};
use crate::base::{Clock as _, Code, Digest, Epoch, SystemClock, crash};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::act::{CHECK_ROWS_MAX, answer, points};
use crate::tenant::conn::Conn;
use crate::tenant::error::{Outcome, SessionError};
use crate::tenant::ledger::{Damage, Ledger, NewRow, Standing, fence_mark, took_effect};
use crate::tenant::reply::Tagged;
use crate::tenant::session::{
    Applied, CheckOutcome, Effect, FenceState, InForce, LedgerKey, Opening, Probe, Session, SetsSession, Unit,
};

/// What an opening has found.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) server: String,
    pub(super) ledger: Ledger,
    pub(super) fence: FenceState,
}

/// A session with a tenant on SQLite.
pub(in crate::tenant) struct SqliteSession {
    conn: Conn,
    opening: Opening,
    limits: Limits,
    /// `None` once a migration may have left settings behind, or a rollback failed: the next act opens the file anew.
    file: Option<File>,
    server: String,
    ledger: Ledger,
    fence: FenceState,
}

impl SqliteSession {
    pub(super) fn new(conn: Conn, opening: Opening, limits: Limits, opened: Opened) -> Self {
        let Opened { file, server, ledger, fence } = opened;
        Self { conn, opening, limits, file: Some(file), server, ledger, fence }
    }

    async fn file(&mut self) -> Result<&mut File, SessionError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.conn, self.limits).await?,
        };
        Ok(self.file.insert(file))
    }

    fn understood(&self, trouble: &Trouble) -> Said {
        Said::of(trouble, &self.conn.scrubber())
    }

    fn failed(&self, failure: Failure) -> SessionError {
        SessionError { tenant: self.opening.tenant.clone(), failure, outcome: Outcome::NoEffect }
    }

    fn fenced(&self, current: Epoch) -> SessionError {
        SessionError::fenced(&self.opening.tenant, self.opening.epoch, current)
    }

    /// Closes the file, so that nothing of what was set or begun in it outlives this.
    async fn let_go(&mut self) {
        if let Some(file) = self.file.take() {
            file.close().await;
        }
    }

    /// Ends what may be left of a transaction. SQLite has ended it by itself after some errors, and then says so.
    async fn roll_back(&mut self) {
        let Some(file) = &mut self.file else { return };
        let reply = file.run("ROLLBACK".to_owned(), 1, Commits::Refused).await;
        if let Some(trouble) = &reply.trouble
            && !self.understood(trouble).is_plain_error()
        {
            self.let_go().await;
        }
    }

    /// A unit's text ended in an error before its commit.
    async fn unit_failed(&mut self, unit: &Unit, reply: &Reply, trouble: &Trouble) -> Result<Applied, SessionError> {
        let said = self.understood(trouble);
        self.roll_back().await;
        if said.commit_refused() {
            return Err(self.broken());
        }
        if reply.completed < PROLOGUE {
            return self.row_refused(unit, &said).await;
        }
        let mut error = said.error(&self.opening.tenant);
        let number = reply.completed - PROLOGUE + 1;
        if number <= unit.statements.len() {
            error.failure.statement = u32::try_from(number).ok();
        }
        Err(error)
    }

    /// The unit's ledger row could not be inserted: nothing of the migration ran.
    async fn row_refused(&mut self, unit: &Unit, said: &Said) -> Result<Applied, SessionError> {
        let tenant = self.opening.tenant.clone();
        if said.fenced() {
            return Err(self.who_fenced().await);
        }
        if !said.key_taken() {
            return Err(said.error(&tenant));
        }
        let reply = self.file().await?.run(sql::ledger_row(&unit.key), 1, Commits::Refused).await;
        self.take_row(reply)?;
        match self.ledger.standing(&tenant, unit)? {
            Standing::Before => Ok(Applied::Before),
            Standing::Free => Err(said.error(&tenant)),
        }
    }

    async fn who_fenced(&mut self) -> SessionError {
        let file = match self.file().await {
            Ok(file) => file,
            Err(error) => return error,
        };
        let reply = file.run(sql::FENCE.to_owned(), 1, Commits::Refused).await;
        let mark = reply.row("windlass_mark").and_then(|row| fence_mark(row).ok());
        self.fenced(mark.map(|mark| mark.epoch).unwrap_or_default())
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

    fn broken(&self) -> SessionError {
        let message = "the migration's text holds a COMMIT or a ROLLBACK of its own: it was refused, and nothing of the \
                       migration stays";
        self.failed(Failure::new(ErrorClass::Permanent, Code::TransactionBroken, message))
    }

    fn dangling(&self, row: &Tagged) -> SessionError {
        let message = format!(
            "row {} of {} points to a row of {} that is not there (perhaps from before this migration); nothing of the \
             migration stays",
            row.cell(1),
            row.cell(0),
            row.cell(2)
        );
        self.failed(Failure::new(ErrorClass::Permanent, Code::ForeignKeyBroken, message))
    }

    /// Commits what has run.
    async fn commit(&mut self) -> Result<(), SessionError> {
        let reply = self.file().await?.run("COMMIT".to_owned(), 1, Commits::Meant).await;
        let Some(trouble) = &reply.trouble else { return Ok(()) };
        let said = self.understood(trouble);
        self.roll_back().await;
        Err(said.error_at_commit(&self.opening.tenant))
    }
}

#[async_trait]
impl Session for SqliteSession {
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
        if self.ledger.standing(&self.opening.tenant, unit)? == Standing::Before {
            return Ok(Applied::Before);
        }
        let row = NewRow {
            position: self.ledger.next_position(),
            key: &unit.key,
            version: &unit.version,
            name: &unit.name,
            digest: unit.digest,
            effect: unit.effect,
            epoch: self.opening.epoch,
        };
        let now = SystemClock.now();
        let text = sql::unit(&self.opening, &row, now, unit, self.fence);
        let [before, inside, after] = points(unit.key.half);
        crash::point(before);
        let reply = self.file().await?.run(text, unit.statements.len(), Commits::Refused).await;
        if let Some(trouble) = &reply.trouble {
            return self.unit_failed(unit, &reply, trouble).await;
        }
        let refusal = match (reply.row("windlass_guard"), reply.row("windlass_dangling")) {
            (None, _) => Some(self.broken()),
            (Some(_), Some(row)) => Some(self.dangling(row)),
            (Some(_), None) => None,
        };
        if let Some(error) = refusal {
            self.roll_back().await;
            return Err(error);
        }
        crash::point(inside);
        self.commit().await?;
        crash::point(after);
        self.ledger.push(row.written(now));
        self.fence = unit.fence;
        if unit.sets_session == SetsSession::Yes {
            self.let_go().await;
        }
        Ok(Applied::Now)
    }

    async fn void(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        if self.ledger.probe(key) == Probe::NotApplied {
            let row = NewRow {
                position: self.ledger.next_position(),
                key,
                version: "",
                name: "",
                digest: Digest([0; 32]),
                effect: Effect::Void,
                epoch: self.opening.epoch,
            };
            let text = sql::tombstone(&self.opening, &row, SystemClock.now());
            let reply = self.file().await?.run(text, PROLOGUE + 2, Commits::Meant).await;
            if let Some(trouble) = &reply.trouble {
                let said = self.understood(trouble);
                self.roll_back().await;
                return Err(if said.fenced() {
                    self.who_fenced().await
                } else if reply.completed > PROLOGUE {
                    said.error_at_commit(&self.opening.tenant)
                } else {
                    said.error(&self.opening.tenant)
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
        let text = format!("{};\n{sql}\n;", sql::CHECK);
        let asked = self.file().await?.first_rows(text, CHECK_ROWS_MAX).await;
        self.roll_back().await;
        if let Some(file) = &mut self.file {
            let over = file.run(sql::CHECK_OVER.to_owned(), 1, Commits::Refused).await;
            if over.trouble.is_some() {
                self.let_go().await;
            }
        }
        match asked {
            Ok((completed, rows)) if completed <= CHECK_PROLOGUE + 1 => Ok(answer(&rows)),
            Ok((completed, _)) => {
                let message = format!("a check is one query, and this is {}", completed - CHECK_PROLOGUE);
                Err(self.failed(Failure::new(ErrorClass::Permanent, Code::StepFailed, message)))
            }
            Err(trouble) => Err(self.understood(&trouble).error(&self.opening.tenant)),
        }
    }

    async fn close(mut self: Box<Self>) {
        // Nothing of this deploy is left here, and the fence should not say that something may be: were the log lost, it would
        // count as work under way. Should this fail, that is all that happens.
        let idle = self.fence == FenceState::Open && !self.ledger.holds_work_of(self.opening.deploy);
        let text = sql::set_fence(&self.opening, FenceState::Undone);
        if idle && let Ok(file) = self.file().await {
            file.run(text, 1, Commits::Meant).await;
        }
        self.let_go().await;
    }
}
