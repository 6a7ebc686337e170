//! The session: units, tombstones, checks.

use async_trait::async_trait;

use super::connect::{Facts, close};
use super::engines::{KeptTable, refuse_kept_tables, refuse_misread, refuse_too_long};
use super::said::{KEY_TAKEN, Said};
use super::sql::{self, Names};
use super::statements::Strides;
use super::transaction::{Evidence, Transacted, Transaction};
use super::wire::{Reply, Trouble, Wire};
use crate::base::crash;
use crate::base::{Digest, TenantId, Timestamp};
use crate::saga::event::Half;
use crate::tenant::act::{CHECK_ROWS_MAX, answer, points};
use crate::tenant::conn::{Conn, Scrubber};
use crate::tenant::error::{Outcome, SessionError};
use crate::tenant::ledger::{Damage, Ledger, NewRow, Standing, fence_mark, took_effect};
use crate::tenant::reply::{Cells, Tagged};
use crate::tenant::session::{
    Applied, CheckOutcome, Effect, FenceState, InForce, LedgerKey, Opening, Probe, Session, SetsSession, Unit,
};

/// What an opening has found.
pub(super) struct Opened {
    pub(super) wire: Wire,
    pub(super) names: Names,
    pub(super) facts: Facts,
    pub(super) ledger: Ledger,
    pub(super) strides: Strides,
    pub(super) fence: FenceState,
}

/// A session with a tenant on MySQL or MariaDB.
pub(in crate::tenant) struct MySession {
    conn: Conn,
    scrubber: Scrubber,
    opening: Opening,
    /// `None` once a customer's text may have left something behind in the server's session: the next act opens another.
    wire: Option<Wire>,
    names: Names,
    facts: Facts,
    ledger: Ledger,
    strides: Strides,
    fence: FenceState,
    /// Whether a text of this session may have changed how it commits.
    set: bool,
    /// The tables that do not roll back, once they were asked for.
    kept: Option<Vec<KeptTable>>,
}

impl MySession {
    pub(super) fn new(conn: Conn, opening: Opening, opened: Opened) -> Self {
        let Opened { wire, names, facts, ledger, strides, fence } = opened;
        let scrubber = conn.scrubber();
        Self { conn, scrubber, opening, wire: Some(wire), names, facts, ledger, strides, fence, set: false, kept: None }
    }

    /// Opens the server's session anew where the last act has ended it.
    pub(super) async fn ready(&mut self) -> Result<(), SessionError> {
        if self.wire.is_none() {
            *self = super::open(&self.conn, &self.opening).await?;
        }
        Ok(())
    }

    /// Ends the server's session, so that nothing that was set, locked or made in it outlives this.
    pub(super) async fn let_go(&mut self) {
        if let Some(wire) = self.wire.take() {
            close(wire).await;
        }
    }

    /// The connection, for one statement.
    pub(super) const fn wire(&mut self) -> Option<&mut Wire> {
        self.wire.as_mut()
    }

    async fn say(&mut self, sql: impl Into<String>) -> Reply {
        match &mut self.wire {
            Some(wire) => wire.say(sql).await,
            None => Reply { trouble: Some(Trouble::Over), ..Reply::default() },
        }
    }

    pub(super) fn understood(&self, trouble: &Trouble) -> Said {
        Said::of(trouble, &self.scrubber)
    }

    /// Runs a statement of ours.
    pub(super) async fn ask(&mut self, sql: impl Into<String>) -> Result<Reply, Said> {
        let reply = self.say(sql).await;
        match &reply.trouble {
            None => Ok(reply),
            Some(trouble) => Err(self.understood(trouble)),
        }
    }

    /// Reads rows that are not ours.
    pub(super) async fn rows(&mut self, sql: String, rows_max: usize) -> Result<Vec<Cells>, Said> {
        let asked = match &mut self.wire {
            Some(wire) => wire.first_rows(sql, rows_max).await,
            None => Err(Trouble::Over),
        };
        asked.map_err(|trouble| self.understood(&trouble))
    }

    pub(super) const fn names(&self) -> &Names {
        &self.names
    }

    pub(super) const fn opening(&self) -> &Opening {
        &self.opening
    }

    /// What the server would read otherwise, or not at all.
    pub(super) fn refuse_what_is_not_read(&self, statements: &[String]) -> Result<(), SessionError> {
        refuse_misread(&self.opening.tenant, statements, &self.facts.sql_mode)?;
        refuse_too_long(&self.opening.tenant, statements, self.facts.packet_bytes_max)
    }

    pub(super) const fn strides(&self) -> &Strides {
        &self.strides
    }

    pub(super) const fn strides_mut(&mut self) -> &mut Strides {
        &mut self.strides
    }

    /// Whether what we send still commits by itself.
    pub(super) const fn settings_known(&self) -> bool {
        !self.set
    }

    /// Whether that is to be asked for before the next of our own statements.
    pub(super) const fn forget_settings(&mut self, forget: bool) {
        self.set = forget;
    }

    /// What a statement may have changed is asked for again: asking opens every table of the tenant. Where all are InnoDB's, a plain
    /// definition makes no other unless it says so.
    pub(super) fn forget_tables(&mut self, plain: bool, statement: &str) {
        let names_engine = statement.to_ascii_lowercase().contains("engine");
        if !plain || names_engine || self.kept.as_ref().is_some_and(|kept| !kept.is_empty()) {
            self.kept = None;
        }
    }

    pub(super) fn error(&self, said: &Said) -> SessionError {
        said.error(&self.opening.tenant)
    }
}

/// Units.
impl MySession {
    /// Whether the fence is still ours, and what time it is there. Not locked: a successor raises it and then ends this session, and
    /// must not have to wait for a transaction of ours to be able to.
    pub(super) async fn still_ours(&mut self) -> Result<Timestamp, SessionError> {
        let text = sql::fence(&self.names);
        let reply = self.ask(text).await.map_err(|said| self.error(&said))?;
        let tenant = &self.opening.tenant;
        let mark = reply.row("windlass_mark").map(fence_mark).transpose().map_err(|damage| damage.of(tenant))?;
        let ours =
            mark.as_ref().is_some_and(|mark| mark.epoch == self.opening.epoch && mark.deploy == self.opening.deploy);
        if !ours {
            let current = mark.map(|mark| mark.epoch).unwrap_or_default();
            return Err(SessionError::fenced(tenant, self.opening.epoch, current));
        }
        let now = reply.row("windlass_mark").and_then(|row| row.cell(8).parse().ok()).unwrap_or_default();
        Ok(Timestamp(now))
    }

    /// What a rollback would not take back, and what the server would read otherwise.
    pub(super) async fn refuse_what_is_not_safe(&mut self, statements: &[String]) -> Result<(), SessionError> {
        self.refuse_what_is_not_read(statements)?;
        if self.kept.is_none() && !statements.is_empty() {
            let text = sql::tables_that_do_not_roll_back(&self.names);
            let reply = self.ask(text).await.map_err(|said| self.error(&said))?;
            let table = |row: &Tagged| KeptTable { name: row.cell(0).to_owned(), engine: row.cell(1).to_owned() };
            self.kept = Some(reply.rows.iter().map(table).collect());
        }
        refuse_kept_tables(&self.opening.tenant, statements, self.kept.as_deref().unwrap_or_default())
    }

    /// Runs a unit whose ledger row is not there, as far as we know; `also` are statements of ours that belong to it.
    pub(super) async fn run(&mut self, unit: &Unit, also: Vec<String>) -> Result<Applied, SessionError> {
        self.refuse_what_is_not_safe(&unit.statements).await?;
        let row = NewRow {
            position: self.ledger.next_position(),
            key: &unit.key,
            version: &unit.version,
            name: &unit.name,
            digest: unit.digest,
            effect: unit.effect,
            epoch: self.opening.epoch,
        };
        let points = points(unit.key.half);
        crash::point(points[0]);
        let now = self.still_ours().await?;
        let mut after = also;
        if unit.fence != self.fence {
            after.push(sql::set_fence(&self.names, &self.opening, unit.fence));
        }
        let evidence = Evidence::ledger_row(&self.names, &self.opening, &unit.key);
        let insert = sql::insert_row(&self.names, &row, now);
        let transaction = Transaction { insert, evidence, statements: &unit.statements, after, points };
        match self.transact(transaction).await? {
            Transacted::Committed => {
                self.ledger.push(row.written(now));
                self.fence = unit.fence;
                Ok(Applied::Now)
            }
            Transacted::KeyTaken(said) => {
                self.read_row(&unit.key).await?;
                match self.ledger.standing(&self.opening.tenant, unit)? {
                    Standing::Before => Ok(Applied::Before),
                    Standing::Free => Err(self.error(&said)),
                }
            }
        }
    }

    /// Takes a row into the ledger that somebody else wrote.
    async fn read_row(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        let text = sql::ledger_row(&self.names, key);
        let reply = self.ask(text).await.map_err(|said| self.error(&said))?;
        let tenant = &self.opening.tenant;
        for row in reply.ledger_rows() {
            let row = row.parse().map_err(|damage: Damage| damage.of(tenant))?;
            self.ledger.push(row);
        }
        Ok(())
    }

    /// Asks a query in a transaction that cannot write.
    /// Whether a step of this deploy stopped in its middle.
    fn holds_part(&self) -> bool {
        let in_effect = |key: &LedgerKey| matches!(self.ledger.probe(key), Probe::Applied(_));
        // One that was given up is there until its undo is in.
        self.strides.acts().any(|act| !in_effect(act) && !in_effect(&LedgerKey { half: Half::Undo, ..act.clone() }))
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<Cells>, Trouble> {
        let Some(wire) = &mut self.wire else { return Err(Trouble::Over) };
        // Prepared, a text is one statement: no COMMIT can hide behind the query and write.
        wire.prepare(sql).await?;
        let begun = wire.say("START TRANSACTION READ ONLY").await;
        if let Some(trouble) = begun.trouble {
            return Err(trouble);
        }
        wire.first_rows(sql.to_owned(), CHECK_ROWS_MAX).await
    }
}

#[async_trait]
impl Session for MySession {
    fn tenant(&self) -> &TenantId {
        &self.opening.tenant
    }

    fn server(&self) -> &str {
        &self.facts.server
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
        let applied = self.run(unit, Vec::new()).await;
        let torn = applied.as_ref().is_err_and(|error| error.outcome == Outcome::Torn);
        // Also where it failed: a rollback gives back neither a session's locks nor its variables.
        if unit.sets_session == SetsSession::Yes || torn {
            self.let_go().await;
        }
        applied
    }

    async fn void(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        self.ready().await?;
        if self.ledger.probe(key) == Probe::NotApplied {
            let now = self.still_ours().await?;
            let row = NewRow {
                position: self.ledger.next_position(),
                key,
                version: "",
                name: "",
                digest: Digest([0; 32]),
                effect: Effect::Void,
                epoch: self.opening.epoch,
            };
            match self.ask(sql::insert_row(&self.names, &row, now)).await {
                Ok(_) => self.ledger.push(row.written(now)),
                Err(said) if said.is(KEY_TAKEN) => self.read_row(key).await?,
                Err(said) => return Err(self.error(&said)),
            }
        }
        match self.ledger.probe(key) {
            Probe::Void => Ok(()),
            Probe::Applied(_) | Probe::NotApplied => Err(took_effect(&self.opening.tenant, key)),
        }
    }

    async fn check(&mut self, sql: &str) -> Result<CheckOutcome, SessionError> {
        self.ready().await?;
        let asked = self.query(sql).await.map_err(|trouble| self.understood(&trouble));
        // A query may take locks of names, set variables, call functions: none of it outlives the check, and its transaction ends.
        self.let_go().await;
        asked.map(|rows| answer(&rows)).map_err(|said| self.error(&said))
    }

    async fn close(mut self: Box<Self>) {
        // Nothing of this deploy is left here, and the fence should not say that something may be: were the log lost, it would
        // count as work under way. Should this fail, that is all that happens.
        let idle =
            self.fence == FenceState::Open && !self.ledger.holds_work_of(self.opening.deploy) && !self.holds_part();
        if idle && self.ready().await.is_ok() {
            self.say(sql::set_fence(&self.names, &self.opening, FenceState::Undone)).await;
        }
        self.let_go().await;
    }
}
