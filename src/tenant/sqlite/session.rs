//! The session: units, tombstones, checks.

use async_trait::async_trait;

use super::connect::{Commits, File, Limits, Reply, Trouble};
use super::said::Said;
use super::sql::{self, CHECK_PROLOGUE, TOMBSTONE_STATEMENTS};
use super::transaction::{Evidence, Transacted, Transaction};
use crate::base::{Clock as _, Code, Digest, Epoch, SystemClock, TenantId, Timestamp};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::act::{CHECK_ROWS_MAX, answer};
use crate::tenant::conn::Conn;
use crate::tenant::error::{Outcome, SessionError};
use crate::tenant::ledger::{Damage, Ledger, NewRow, Standing, fence_mark, took_effect};
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

    pub(super) async fn file(&mut self) -> Result<&mut File, SessionError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.conn, self.limits).await?,
        };
        Ok(self.file.insert(file))
    }

    pub(super) fn understood(&self, trouble: &Trouble) -> Said {
        Said::of(trouble, &self.conn.scrubber())
    }

    pub(super) fn failed(&self, failure: Failure) -> SessionError {
        SessionError { tenant: self.opening.tenant.clone(), failure, outcome: Outcome::NoEffect }
    }

    pub(super) const fn opening(&self) -> &Opening {
        &self.opening
    }

    pub(super) fn fenced(&self, current: Epoch) -> SessionError {
        SessionError::fenced(&self.opening.tenant, self.opening.epoch, current)
    }

    /// Closes the file, so that nothing of what was set or begun in it outlives this.
    pub(super) async fn let_go(&mut self) {
        if let Some(file) = self.file.take() {
            file.close().await;
        }
    }

    /// Ends what may be left of a transaction. SQLite has ended it by itself after some errors, and then says so.
    pub(super) async fn roll_back(&mut self) {
        let Some(file) = &mut self.file else { return };
        let reply = file.run("ROLLBACK".to_owned(), 1, Commits::Refused).await;
        if let Some(trouble) = &reply.trouble
            && !self.understood(trouble).is_plain_error()
        {
            self.let_go().await;
        }
    }

    pub(super) async fn who_fenced(&mut self) -> SessionError {
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

    /// Runs a unit whose ledger row is not there, as far as we know; `also` are statements of ours that belong to it.
    pub(super) async fn run(
        &mut self,
        unit: &Unit,
        now: Timestamp,
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
        let fence = (unit.fence != self.fence).then(|| sql::set_fence(&self.opening, unit.fence));
        let insert = sql::insert_row(&self.opening, &row, now);
        let transaction = Transaction {
            prologue: vec![insert],
            evidence: Evidence::ledger_row(&unit.key),
            statements: &unit.statements,
            foreign_keys: unit.foreign_keys,
            after: also.into_iter().chain(fence).collect(),
            half: unit.key.half,
        };
        match self.transact(&transaction).await? {
            Transacted::Committed => {
                self.ledger.push(row.written(now));
                self.fence = unit.fence;
                Ok(Applied::Now)
            }
            Transacted::KeyTaken(said) => {
                let reply = self.file().await?.run(sql::ledger_row(&unit.key), 1, Commits::Refused).await;
                self.take_row(reply)?;
                match self.ledger.standing(&self.opening.tenant, unit)? {
                    Standing::Before => Ok(Applied::Before),
                    Standing::Free => Err(said.error(&self.opening.tenant)),
                }
            }
        }
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
        let applied = self.run(unit, SystemClock.now(), None).await?;
        if unit.sets_session == SetsSession::Yes {
            self.let_go().await;
        }
        Ok(applied)
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
            let reply = self.file().await?.run(text, TOMBSTONE_STATEMENTS, Commits::Meant).await;
            if let Some(trouble) = &reply.trouble {
                let said = self.understood(trouble);
                self.roll_back().await;
                return Err(if said.fenced() {
                    self.who_fenced().await
                } else if reply.completed + 1 == TOMBSTONE_STATEMENTS {
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
        if idle && !self.holds_part().await {
            let text = sql::set_fence(&self.opening, FenceState::Undone);
            if let Ok(file) = self.file().await {
                file.run(text, 1, Commits::Meant).await;
            }
        }
        self.let_go().await;
    }
}
