//! The session: units, tombstones, checks.
//!
//! What a crash of ours means, line by line of a unit: until COMMIT is sent, the server rolls back when it notices, and the
//! successor ends the session so that it does; once COMMIT is sent, row and effect are there together or not at all, and the
//! successor, having seen the session gone, reads which.

use async_trait::async_trait;

use super::connect::{Facts, close};
use super::engines::{KeptTable, refuse_kept_tables, refuse_misread};
use super::said::{DEADLOCK, KEY_TAKEN, LOCK_TIMEOUT, Line, NO_SAVEPOINT, Said};
use super::sql::{self, Names};
use super::wire::{Reply, Trouble, Wire};
use crate::base::crash;
use crate::base::{Code, Digest, Epoch, Timestamp};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::act::{CHECK_ROWS_MAX, answer, points};
use crate::tenant::conn::{Conn, Scrubber};
use crate::tenant::error::{Outcome, SessionError};
use crate::tenant::ledger::{Damage, Ledger, NewRow, Standing, fence_mark, took_effect};
use crate::tenant::reply::Cells;
use crate::tenant::session::{
    Applied, CheckOutcome, Effect, FenceState, InForce, LedgerKey, Opening, Probe, Session, SetsSession, Unit,
};

/// Begins a unit. Not START TRANSACTION: should the text end the transaction, what follows in it is not committed statement by
/// statement, but waits for a commit that never comes.
const BEGIN: &str = "SET autocommit = 0";
/// After a unit, whichever way it went: our own statements commit by themselves again.
const OVER: &str = "SET autocommit = 1";

/// What a rollback says when it could not take everything back.
const NOT_ROLLED_BACK: &str = "1196";

/// What an opening has found.
pub(super) struct Opened {
    pub(super) wire: Wire,
    pub(super) names: Names,
    pub(super) facts: Facts,
    pub(super) ledger: Ledger,
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
    fence: FenceState,
    /// The tables that do not roll back, once they were asked for.
    kept: Option<Vec<KeptTable>>,
}

impl MySession {
    pub(super) fn new(conn: Conn, opening: Opening, opened: Opened) -> Self {
        let Opened { wire, names, facts, ledger, fence } = opened;
        let scrubber = conn.scrubber();
        Self { conn, scrubber, opening, wire: Some(wire), names, facts, ledger, fence, kept: None }
    }

    /// Opens the server's session anew where the last act has ended it.
    async fn ready(&mut self) -> Result<(), SessionError> {
        if self.wire.is_none() {
            *self = super::open(&self.conn, &self.opening).await?;
        }
        Ok(())
    }

    /// Ends the server's session, so that nothing that was set, locked or made in it outlives this.
    async fn let_go(&mut self) {
        if let Some(wire) = self.wire.take() {
            close(wire).await;
        }
    }

    async fn say(&mut self, sql: impl Into<String>) -> Reply {
        match &mut self.wire {
            Some(wire) => wire.say(sql).await,
            None => Reply { trouble: Some(Trouble::Over), ..Reply::default() },
        }
    }

    fn understood(&self, trouble: &Trouble) -> Said {
        Said::of(trouble, &self.scrubber)
    }

    /// Runs a statement of ours.
    async fn ask(&mut self, sql: impl Into<String>) -> Result<Reply, Said> {
        let reply = self.say(sql).await;
        match &reply.trouble {
            None => Ok(reply),
            Some(trouble) => Err(self.understood(trouble)),
        }
    }

    fn error(&self, said: &Said) -> SessionError {
        said.error(&self.opening.tenant)
    }
}

/// Where a unit's transaction stopped, and why.
struct Stop {
    said: Said,
    /// The statement, from 1; none where it was one of ours.
    statement: Option<u32>,
}

impl From<Said> for Stop {
    fn from(said: Said) -> Self {
        Self { said, statement: None }
    }
}

/// Units.
impl MySession {
    /// Whether the fence is still ours, and what time it is there. Not locked: a successor raises it and then ends this session, and
    /// must not have to wait for a transaction of ours to be able to.
    async fn still_ours(&mut self) -> Result<Timestamp, SessionError> {
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
    async fn refuse_what_is_not_safe(&mut self, unit: &Unit) -> Result<(), SessionError> {
        refuse_misread(&self.opening.tenant, &unit.statements, &self.facts.sql_mode)?;
        if self.kept.is_none() && !unit.statements.is_empty() {
            let text = sql::tables_that_do_not_roll_back(&self.names);
            let reply = self.ask(text).await.map_err(|said| self.error(&said))?;
            let table = |row: &crate::tenant::reply::Tagged| KeptTable {
                name: row.cell(0).to_owned(),
                engine: row.cell(1).to_owned(),
            };
            self.kept = Some(reply.rows.iter().map(table).collect());
        }
        refuse_kept_tables(&self.opening.tenant, &unit.statements, self.kept.as_deref().unwrap_or_default())
    }

    async fn run(&mut self, unit: &Unit) -> Result<Applied, SessionError> {
        self.refuse_what_is_not_safe(unit).await?;
        let row = NewRow {
            position: self.ledger.next_position(),
            key: &unit.key,
            version: &unit.version,
            name: &unit.name,
            digest: unit.digest,
            effect: unit.effect,
            epoch: self.opening.epoch,
        };
        let [before, inside, after] = points(unit.key.half);
        crash::point(before);
        let now = self.still_ours().await?;
        self.ask(BEGIN).await.map_err(|said| self.error(&said))?;
        if let Err(said) = self.ask(sql::insert_row(&self.names, &row, now)).await {
            return self.row_refused(unit, &said).await;
        }
        // Its name cannot be guessed: it is gone if, and only if, the transaction that set it is over.
        let guard = format!("windlass_{}", uuid::Uuid::now_v7().simple());
        if let Err(stop) = self.run_statements(unit, &guard).await {
            return Err(self.unit_failed(unit, &guard, stop).await);
        }
        if let Err(said) = self.ask(format!("RELEASE SAVEPOINT {guard}")).await {
            return Err(if said.is(NO_SAVEPOINT) { self.broken(&unit.key).await } else { self.abandon(&said).await });
        }
        if unit.fence != self.fence
            && let Err(said) = self.ask(sql::set_fence(&self.names, &self.opening, unit.fence)).await
        {
            return Err(self.abandon(&said).await);
        }
        let reply = match &mut self.wire {
            Some(wire) => wire.say_and_pass("COMMIT", inside).await,
            None => Reply { trouble: Some(Trouble::Over), ..Reply::default() },
        };
        if let Some(trouble) = &reply.trouble {
            let said = self.understood(trouble);
            return self.commit_refused(unit, &said).await;
        }
        crash::point(after);
        self.ledger.push(row.written(now));
        self.fence = unit.fence;
        // Not being able to say so loses the line, not the unit: the next act finds that out.
        if self.ask(OVER).await.is_err() {
            self.let_go().await;
        }
        Ok(Applied::Now)
    }

    async fn run_statements(&mut self, unit: &Unit, guard: &str) -> Result<(), Stop> {
        self.ask(format!("SAVEPOINT {guard}")).await?;
        for (number, statement) in (1..).zip(&unit.statements) {
            self.ask(statement).await.map_err(|said| Stop { said, statement: Some(number) })?;
        }
        Ok(())
    }

    /// The unit's ledger row could not be inserted: nothing of the migration ran.
    async fn row_refused(&mut self, unit: &Unit, said: &Said) -> Result<Applied, SessionError> {
        if said.line == Line::Alive {
            self.roll_back().await.map_err(|said| self.error(&said))?;
        }
        if !said.is(KEY_TAKEN) {
            return Err(self.error(said));
        }
        self.read_row(&unit.key).await?;
        match self.ledger.standing(&self.opening.tenant, unit)? {
            Standing::Before => Ok(Applied::Before),
            Standing::Free => Err(self.error(said)),
        }
    }

    /// A statement of the unit failed: is the transaction that it was in still the one that was begun?
    async fn unit_failed(&mut self, unit: &Unit, guard: &str, stop: Stop) -> SessionError {
        let Stop { said, statement } = stop;
        if said.line == Line::Lost {
            return self.error(&said);
        }
        let whole = self.ask(format!("RELEASE SAVEPOINT {guard}")).await;
        // After these the server itself may have rolled the whole transaction back; if it had been committed before, its row is there.
        let by_server = said.is(DEADLOCK) || said.is(LOCK_TIMEOUT);
        match whole {
            Err(lost) if lost.line == Line::Lost => return self.error(&lost),
            Err(gone) if gone.is(NO_SAVEPOINT) && statement.is_some() && !by_server => {
                return self.broken(&unit.key).await;
            }
            Ok(_) | Err(_) => {}
        }
        let mut error = self.abandon(&said).await;
        if error.outcome == Outcome::NoEffect && by_server {
            match self.stands(&unit.key).await {
                Ok(true) => return self.broken(&unit.key).await,
                Ok(false) => {}
                Err(lost) => return self.error(&lost),
            }
        }
        if error.outcome == Outcome::NoEffect {
            error.failure.statement = statement;
        }
        error
    }

    /// Rolls back, and says what stopped it, and what could not be taken back.
    async fn abandon(&mut self, said: &Said) -> SessionError {
        if said.line == Line::Lost {
            return self.error(said);
        }
        if let Err(lost) = self.ask("ROLLBACK").await {
            return self.error(&Said { line: Line::Lost, ..lost });
        }
        let warnings = match &mut self.wire {
            Some(wire) => wire.first_rows("SHOW WARNINGS".to_owned(), 64).await.unwrap_or_default(),
            None => Vec::new(),
        };
        if let Err(lost) = self.ask(OVER).await {
            return self.error(&Said { line: Line::Lost, ..lost });
        }
        let kept = |row: &Cells| row.get(1).and_then(Option::as_deref) == Some(NOT_ROLLED_BACK);
        if !warnings.iter().any(kept) {
            return self.error(said);
        }
        let message = format!(
            "{}; and a table that it changed does not roll back (MyISAM, Aria …): what was done to that stays, and has to be removed \
             by hand",
            said.text
        );
        let failure = Failure::new(ErrorClass::Permanent, Code::TransactionBroken, message);
        SessionError { tenant: self.opening.tenant.clone(), failure, outcome: Outcome::Torn }
    }

    /// The commit was answered with an error. The ledger says what it came to.
    async fn commit_refused(&mut self, unit: &Unit, said: &Said) -> Result<Applied, SessionError> {
        let unknown = |mut error: SessionError| {
            error.outcome = Outcome::Unknown;
            error
        };
        if said.line == Line::Lost {
            return Err(self.error(said));
        }
        self.roll_back().await.map_err(|said| unknown(self.error(&said)))?;
        self.read_row(&unit.key).await.map_err(unknown)?;
        match self.ledger.standing(&self.opening.tenant, unit)? {
            Standing::Before => {
                self.fence = unit.fence;
                Ok(Applied::Now)
            }
            Standing::Free => Err(self.error(said)),
        }
    }

    /// Ends a unit's transaction without its effect.
    async fn roll_back(&mut self) -> Result<(), Said> {
        self.ask("ROLLBACK").await?;
        self.ask(OVER).await?;
        Ok(())
    }

    /// Whether a step's row is in the ledger.
    async fn stands(&mut self, key: &LedgerKey) -> Result<bool, Said> {
        let reply = self.ask(sql::ledger_row(&self.names, key)).await?;
        Ok(reply.row("windlass_row").is_some())
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

    /// The text ended its own transaction. Its ledger row, if that was committed with it, says more than is true: it goes.
    async fn broken(&mut self, key: &LedgerKey) -> SessionError {
        // What the text has begun since is not committed by us.
        let mut cleaned = self.roll_back().await;
        if cleaned.is_ok() {
            cleaned = self.ask(sql::clean_up(&self.names, &self.opening, key)).await.map(drop);
        }
        let row = match cleaned {
            Ok(()) => "its ledger row was taken out".to_owned(),
            Err(said) => format!("its ledger row may still stand ({})", said.text),
        };
        let message = format!(
            "the migration's text ended its own transaction (a COMMIT, a ROLLBACK, or a statement that commits by itself): what the \
             statements before it did stays in the database and has to be removed by hand; {row}"
        );
        let failure = Failure::new(ErrorClass::Permanent, Code::TransactionBroken, message);
        SessionError { tenant: self.opening.tenant.clone(), failure, outcome: Outcome::Torn }
    }

    /// Asks a query in a transaction that cannot write.
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
        let applied = self.run(unit).await;
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
                epoch: Epoch(self.opening.epoch.0),
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
        let idle = self.fence == FenceState::Open && !self.ledger.holds_work_of(self.opening.deploy);
        if idle && self.ready().await.is_ok() {
            self.say(sql::set_fence(&self.names, &self.opening, FenceState::Undone)).await;
        }
        self.let_go().await;
    }
}
