//! Opening a session: raise the fence, end the predecessors, read the ledger.

use super::connect::{Facts, Limits, SessionId, close, connect};
use super::ending::{Other, end, still_there};
use super::said::{DEADLOCK, KEY_TAKEN, LOCK_TIMEOUT, NO_TABLE, Said};
use super::session::{MySession, Opened};
use super::sql::{self, Names};
use super::statements::Strides;
use super::wire::{Reply, Trouble, Wire};
use crate::base::Code;
use crate::base::crash::{self, Point};
use crate::base::limits::TENANT_OPEN_TRIES_MAX;
use crate::saga::failure::ErrorClass;
use crate::tenant::conn::{Conn, Scrubber};
use crate::tenant::error::SessionError;
use crate::tenant::ledger::{Ledger, fence_mark};
use crate::tenant::reply::Tagged;
use crate::tenant::session::{FenceMark, FenceState, Opening};

/// Opens a session.
pub(in crate::tenant) async fn open(conn: &Conn, opening: &Opening) -> Result<MySession, SessionError> {
    let limits = Limits { lock: opening.lock_timeout, statement: opening.statement_timeout };
    let (wire, facts) = connect(conn, limits).await?;
    let names = Names::in_database(&facts.database);
    let mut work = Opener { conn, opening, names, facts, scrubber: conn.scrubber(), wire };
    match work.run().await {
        Ok((ledger, strides, fence)) => {
            crash::point(Point::AfterOpen);
            let Opener { names, facts, wire, .. } = work;
            let opened = Opened { wire, names, facts, ledger, strides, fence };
            Ok(MySession::new(conn.clone(), opening.clone(), opened))
        }
        Err(error) => {
            close(work.wire).await;
            Err(error)
        }
    }
}

/// The fence as it was read.
struct Held {
    mark: FenceMark,
    worker: String,
    session: String,
    former: Vec<SessionId>,
}

impl Held {
    fn read(row: &Tagged) -> Result<Self, crate::tenant::ledger::Damage> {
        let (session, former) = (row.cell(6), row.cell(7));
        // What is not ours cannot be looked for; it was written by hand.
        let earlier = former.split(' ').chain([session]).filter_map(SessionId::parse).collect();
        Ok(Self {
            mark: fence_mark(row)?,
            worker: row.cell(5).to_owned(),
            session: session.to_owned(),
            former: earlier,
        })
    }
}

/// How one try at the fence ended.
enum Try {
    /// It is ours; those have to end before anything else is done.
    Raised { state: FenceState, others: Vec<Other> },
    /// Something was in the way that is not any more, or somebody was faster: look again.
    Again,
}

struct Opener<'a> {
    conn: &'a Conn,
    opening: &'a Opening,
    names: Names,
    facts: Facts,
    scrubber: Scrubber,
    wire: Wire,
}

impl Opener<'_> {
    async fn run(&mut self) -> Result<(Ledger, Strides, FenceState), SessionError> {
        for _ in 0..TENANT_OPEN_TRIES_MAX {
            let Try::Raised { state, others } = self.raise().await? else { continue };
            if !others.is_empty() {
                end(self.conn, &mut self.wire, &self.facts.session, others).await?;
            }
            // Final: whoever could have written to it is gone.
            let reply = self.wire.say(sql::ledger(&self.names)).await;
            if let Some(trouble) = &reply.trouble {
                return Err(self.refused(trouble, "cannot read the ledger"));
            }
            let ledger = Ledger::read(reply.ledger_rows()).map_err(|damage| damage.of(&self.conn.tenant))?;
            return Ok((ledger, self.strides().await?, state));
        }
        let message = "cannot raise the fence: others change it again and again; nothing was done";
        Err(SessionError::no_effect(&self.conn.tenant, ErrorClass::Transient, Code::TenantUnreachable, message))
    }

    /// What was begun of this deploy, one statement at a time.
    async fn strides(&mut self) -> Result<Strides, SessionError> {
        let reply = self.wire.say(sql::statements(&self.names, self.opening.deploy)).await;
        if let Some(trouble) = &reply.trouble {
            return Err(self.refused(trouble, "cannot read what was begun"));
        }
        Strides::read(self.opening.deploy, &reply.rows).ok_or_else(|| {
            let message = "windlass_statement has a row that cannot be read; nothing was done";
            SessionError::no_effect(&self.conn.tenant, ErrorClass::Permanent, Code::LedgerDamaged, message)
        })
    }

    fn refused(&self, trouble: &Trouble, doing: &str) -> SessionError {
        Said::of(trouble, &self.scrubber).before_anything(&self.conn.tenant, doing)
    }

    async fn raise(&mut self) -> Result<Try, SessionError> {
        let reply = self.wire.say(sql::fence(&self.names)).await;
        if let Some(trouble) = &reply.trouble {
            let said = Said::of(trouble, &self.scrubber);
            if !said.is(NO_TABLE) {
                return Err(said.before_anything(&self.conn.tenant, "cannot read the fence"));
            }
            self.create().await?;
            return Ok(Try::Again);
        }
        let Some(row) = reply.row("windlass_mark") else { return self.take().await };
        let held = Held::read(row).map_err(|damage| damage.of(&self.conn.tenant))?;
        if !self.may_raise(&held) {
            return Err(SessionError::fenced(&self.conn.tenant, self.opening.epoch, held.mark.epoch));
        }
        let others = still_there(self.conn, &mut self.wire, &self.facts.session, &held.former).await?;
        let former: Vec<SessionId> = others.iter().map(|other| other.session.clone()).collect();
        let state = if held.mark.deploy == self.opening.deploy { held.mark.state } else { FenceState::Open };
        let session = &self.facts.session;
        let text = sql::raise_fence(&self.names, self.opening, session, state, &held.session, &former);
        let (reply, found) = self.wire.change(text).await;
        match (&reply.trouble, found) {
            (None, 1..) => Ok(Try::Raised { state, others }),
            // Somebody has raised it since we looked.
            (None, 0) => Ok(Try::Again),
            (Some(trouble), _) => self.in_the_way(trouble, others).await,
        }
    }

    /// Whether a holder gives way: to a later epoch, and to the same worker that comes back.
    fn may_raise(&self, held: &Held) -> bool {
        let (mark, ours) = (&held.mark, self.opening);
        let same = mark.epoch == ours.epoch && mark.deploy == ours.deploy && held.worker == ours.worker.as_str();
        mark.epoch < ours.epoch || same
    }

    /// The fence row of a database where nobody has held one.
    async fn take(&mut self) -> Result<Try, SessionError> {
        let reply = self.wire.say(sql::take_fence(&self.names, self.opening, &self.facts.session)).await;
        match &reply.trouble {
            None => Ok(Try::Raised { state: FenceState::Open, others: Vec::new() }),
            Some(trouble) if Said::of(trouble, &self.scrubber).is(KEY_TAKEN) => Ok(Try::Again),
            Some(trouble) => self.in_the_way(trouble, Vec::new()).await,
        }
    }

    /// A predecessor may hang in its commit with the fence row in its hands; it has to go before the fence can rise.
    async fn in_the_way(&mut self, trouble: &Trouble, others: Vec<Other>) -> Result<Try, SessionError> {
        let said = Said::of(trouble, &self.scrubber);
        let locked = said.is(LOCK_TIMEOUT) && !others.is_empty();
        if !locked && !said.is(DEADLOCK) {
            return Err(said.before_anything(&self.conn.tenant, "cannot raise the fence"));
        }
        end(self.conn, &mut self.wire, &self.facts.session, others).await?;
        Ok(Try::Again)
    }

    /// Makes the tables. Two openings at once may both try: the second finds the first one's.
    async fn create(&mut self) -> Result<(), SessionError> {
        for text in sql::create_tables(&self.names) {
            let reply = self.wire.say(text).await;
            if let Some(trouble) = &reply.trouble {
                return Err(self.refused(trouble, "cannot make the ledger"));
            }
        }
        let reply: Reply = self.wire.say(sql::tables(&self.names)).await;
        if let Some(trouble) = &reply.trouble {
            return Err(self.refused(trouble, "cannot see the ledger"));
        }
        // A server may keep a table by another engine than it was told to.
        if let Some(other) = reply.rows.iter().find(|row| row.cell(1) != "InnoDB") {
            let message = format!(
                "{} is kept by {}, and only InnoDB keeps a ledger row and its effect together; nothing was done",
                other.cell(0),
                other.cell(1)
            );
            let (class, code) = (ErrorClass::Permanent, Code::UnsupportedEngine);
            return Err(SessionError::no_effect(&self.conn.tenant, class, code, message));
        }
        Ok(())
    }
}
