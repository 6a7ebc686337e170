//! A session with a model database, as an engine holds it.
//!
//! A statement that arrives finds its session alive, and by that the fence its own: whoever raises the fence ends all earlier sessions in
//! the same moment. One that was at work then either is gone with its session, or comes to its end before its successor reads the ledger.

use async_trait::async_trait;
use windlass::base::{Code, Digest, TenantId, Timestamp};
use windlass::release::stepwise::{Facts, Middle, Touches};
use windlass::saga::event::Half;
use windlass::saga::failure::{ErrorClass, Failure};
use windlass::tenant::{
    Applied, Begun, CheckOutcome, Effect, FenceState, InForce, LedgerKey, LedgerRow, Mend, Mended, Opening, Outcome,
    Outcomes, Print, Probe, Session, SessionError, State, Stepwise, Unit, Written,
};

use crate::database::{Change, Database, Key, Refused, key_of};
use crate::gateway::{Kind, Message, Opened, SimGateway, Site, in_force};

/// The session.
pub struct Link {
    gateway: SimGateway,
    opening: Opening,
    session: u64,
    fence: FenceState,
    ledger: Vec<LedgerRow>,
    in_force: Vec<InForce>,
    /// What the last intent was written for: the statement that is sent next belongs to it, and does not say so itself.
    intended: Option<Key>,
}

impl Link {
    pub fn new(gateway: SimGateway, opening: Opening, opened: Opened) -> Self {
        let Opened { session, fence, ledger } = opened;
        let (own, in_force) = (Vec::new(), Vec::new());
        let mut link = Self { gateway, opening, session, fence, ledger: own, in_force, intended: None };
        for row in ledger {
            link.learn(row);
        }
        link
    }

    /// A row that is known to stand.
    fn learn(&mut self, row: LedgerRow) {
        if row.effect != Effect::Void {
            self.in_force.retain(|of| of.version != row.version);
        }
        if row.effect == Effect::Apply {
            self.in_force.push(in_force(&row));
        }
        self.ledger.push(row);
    }

    async fn say<T: Send + 'static>(
        &self,
        what: String,
        kind: Kind,
        work: impl FnOnce(&mut Site<'_>, bool) -> Result<T, SessionError> + Send + 'static,
    ) -> Result<T, SessionError> {
        let message = Message { what, tenant: &self.opening.tenant, session: Some(self.session), kind };
        self.gateway.say(message, work).await
    }

    fn row(&self, unit: &Unit) -> LedgerRow {
        LedgerRow {
            position: 0,
            key: unit.key.clone(),
            version: unit.version.clone(),
            name: unit.name.clone(),
            digest: unit.digest,
            effect: unit.effect,
            epoch: self.opening.epoch,
            at: Timestamp(0),
        }
    }

    fn tombstone(&self, key: &LedgerKey) -> SessionError {
        let said = format!("step {} was given up", key.step);
        SessionError::no_effect(&self.opening.tenant, ErrorClass::Permanent, Code::InDoubt, said)
    }

    /// Of a unit whose row is known.
    fn standing(&self, unit: &Unit) -> Result<Option<Applied>, SessionError> {
        match self.ledger.iter().find(|row| row.key == unit.key) {
            None => Ok(None),
            Some(row) if row.effect == Effect::Void => Err(self.tombstone(&unit.key)),
            Some(_) => Ok(Some(Applied::Before)),
        }
    }
}

/// Runs statements as one: all of them, or, with the number of the one that was refused, none.
fn run(site: &mut Site<'_>, key: &LedgerKey, statements: &[String]) -> Result<Vec<Change>, SessionError> {
    let mut things = site.db.things.clone();
    let mut changes = Vec::new();
    for (number, statement) in (1..).zip(statements) {
        let (subject, by) = Database::understand(statement);
        if let Err(Refused(failure)) = site.db.admits(&things, &subject, by) {
            return Err(site.refused(failure.at_statement(number)));
        }
        *things.entry(subject.clone()).or_default() += by;
        changes.push(Change { key: key_of(key), subject, by });
    }
    Ok(changes)
}

/// Writes a row whose key is free, or says what stands there.
fn put(site: &mut Site<'_>, row: LedgerRow) -> Result<(LedgerRow, Applied), SessionError> {
    match site.db.row(&row.key).cloned() {
        None => {
            let now = site.now;
            site.note(format!("ledger: {:?} {} {:?}", row.effect, row.key.step, row.key.half));
            Ok((site.db.write(row, now), Applied::Now))
        }
        Some(there) if there.effect == row.effect => Ok((there, Applied::Before)),
        Some(there) => {
            let said = format!("the key of step {} is taken: {:?}", row.key.step, there.effect);
            Err(site.refused(Failure::new(ErrorClass::Permanent, Code::InDoubt, said)))
        }
    }
}

#[async_trait]
impl Session for Link {
    fn tenant(&self) -> &TenantId {
        &self.opening.tenant
    }

    fn server(&self) -> &'static str {
        "Model 1"
    }

    fn in_force(&self) -> &[InForce] {
        &self.in_force
    }

    fn probe(&self, key: &LedgerKey) -> Probe {
        match self.ledger.iter().find(|row| row.key == *key) {
            None => Probe::NotApplied,
            Some(row) if row.effect == Effect::Void => Probe::Void,
            Some(row) => Probe::Applied(row.clone()),
        }
    }

    async fn apply(&mut self, unit: &Unit) -> Result<Applied, SessionError> {
        if let Some(before) = self.standing(unit)? {
            return Ok(before);
        }
        let (row, statements, fence) = (self.row(unit), unit.statements.clone(), unit.fence);
        let what = format!("apply {} {:?}", unit.key.step, unit.key.half);
        let kind = if statements.len() > 1 { Kind::Unit } else { Kind::Statement };
        let (row, applied) = self
            .say(what, kind, move |site, tears| {
                if site.db.row(&row.key).is_some() {
                    return put(site, row);
                }
                let mut changes = run(site, &row.key, &statements)?;
                if tears {
                    changes.truncate(statements.len() - 1);
                    site.tore(key_of(&row.key));
                    site.changed_all(&changes);
                    let said = "it holds a COMMIT of its own";
                    let failure = Failure::new(ErrorClass::Permanent, Code::TransactionBroken, said);
                    return Err(SessionError { outcome: Outcome::Torn, ..site.refused(failure) });
                }
                site.changed_all(&changes);
                if let Some(mark) = &mut site.db.fence {
                    mark.state = fence;
                }
                put(site, row)
            })
            .await?;
        self.fence = fence;
        self.learn(row);
        Ok(applied)
    }

    async fn void(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        if self.probe(key) == Probe::Void {
            return Ok(());
        }
        let row = LedgerRow {
            position: 0,
            key: key.clone(),
            version: String::new(),
            name: String::new(),
            digest: Digest([0; 32]),
            effect: Effect::Void,
            epoch: self.opening.epoch,
            at: Timestamp(0),
        };
        let (row, _) = self.say(format!("void {}", key.step), Kind::Row, move |site, _| put(site, row)).await?;
        self.learn(row);
        Ok(())
    }

    async fn check(&mut self, _: &str) -> Result<CheckOutcome, SessionError> {
        self.say("check".to_owned(), Kind::Row, |_, _| Ok(CheckOutcome::Holds)).await
    }

    async fn close(self: Box<Self>) {
        let (deploy, session, state) = (self.opening.deploy, self.session, self.fence);
        let left = self
            .say("close".to_owned(), Kind::Row, move |site, _| {
                let worked = site.db.ledger.iter().any(|row| row.key.deploy == deploy && row.effect != Effect::Void);
                let part = site.db.strides.keys().any(|((of, _, _), _)| *of == deploy);
                if let Some(mark) = site.db.fence.as_mut().filter(|_| state == FenceState::Open && !worked && !part) {
                    mark.state = FenceState::Undone;
                }
                site.db.connected.remove(&session);
                Ok(())
            })
            .await;
        // It is not waited for: a server that does not hear of it finds out by itself.
        drop(left);
    }
}

#[async_trait]
impl Stepwise for Link {
    async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError> {
        let of = key_of(key);
        let read = move |site: &mut Site<'_>, _| {
            let rows = site.db.strides.iter().filter(|((key, _), _)| *key == of);
            Ok(rows.map(|(_, row)| row.clone()).collect())
        };
        self.say("begun".to_owned(), Kind::Row, read).await
    }

    async fn intend(&mut self, key: &LedgerKey, number: u32, before: &str) -> Result<Written, SessionError> {
        let (of, epoch) = (key_of(key), self.opening.epoch);
        self.intended = Some(of.clone());
        let row = Begun { number, state: State::Intent, before: before.to_owned(), after: String::new(), epoch };
        let intend = move |site: &mut Site<'_>, _| {
            if site.db.strides.contains_key(&(of.clone(), number)) {
                return Ok(Written::Before);
            }
            site.db.strides.insert((of, number), row);
            Ok(Written::Now)
        };
        self.say(format!("intend {} {number}", key.step), Kind::Row, intend).await
    }

    async fn run_alone(&mut self, _half: Half, statement: &str) -> Result<(), SessionError> {
        let text = statement.to_owned();
        let (deploy, step, half) = self.intended.clone().expect("an intent comes first");
        let alone = move |site: &mut Site<'_>, _| {
            let key = LedgerKey { deploy, step, half };
            let changes = run(site, &key, std::slice::from_ref(&text))?;
            site.changed_all(&changes);
            Ok(())
        };
        self.say(format!("run {statement}"), Kind::Statement, alone).await
    }

    async fn settle(&mut self, key: &LedgerKey, number: u32, after: &str) -> Result<(), SessionError> {
        let (of, after) = (key_of(key), after.to_owned());
        let settle = move |site: &mut Site<'_>, _| {
            if let Some(row) = site.db.strides.get_mut(&(of, number)) {
                (row.state, row.after) = (State::Done, after);
            }
            Ok(())
        };
        self.say(format!("settle {} {number}", key.step), Kind::Row, settle).await
    }

    async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError> {
        let of = key_of(key);
        let forget = move |site: &mut Site<'_>, _| {
            site.db.strides.remove(&(of, number));
            Ok(())
        };
        self.say(format!("forget {} {number}", key.step), Kind::Row, forget).await
    }

    async fn run_with_outcome(
        &mut self,
        key: &LedgerKey,
        number: u32,
        statements: &[String],
    ) -> Result<Written, SessionError> {
        let (key, statements, epoch) = (key.clone(), statements.to_vec(), self.opening.epoch);
        let what = format!("run with outcome {} {number}", key.step);
        let both = move |site: &mut Site<'_>, _| {
            let of = key_of(&key);
            if site.db.strides.contains_key(&(of.clone(), number)) {
                return Ok(Written::Before);
            }
            let changes = run(site, &key, &statements)?;
            site.changed_all(&changes);
            let row = Begun { number, state: State::Done, before: String::new(), after: String::new(), epoch };
            site.db.strides.insert((of, number), row);
            Ok(Written::Now)
        };
        self.say(what, Kind::Statement, both).await
    }

    async fn say_again(&mut self, _: &str) -> Result<(), SessionError> {
        Ok(())
    }

    async fn finish(&mut self, unit: &Unit, outcomes: Outcomes) -> Result<Applied, SessionError> {
        if let Some(before) = self.standing(unit)? {
            return Ok(before);
        }
        let (row, fence) = (self.row(unit), unit.fence);
        let what = format!("finish {} {:?}", unit.key.step, unit.key.half);
        let finish = move |site: &mut Site<'_>, _| {
            let of = key_of(&row.key);
            let put = put(site, row)?;
            if outcomes == Outcomes::Due {
                for (_, stride) in site.db.strides.iter_mut().filter(|((key, _), _)| *key == of) {
                    stride.state = State::Done;
                }
            }
            if let Some(mark) = &mut site.db.fence {
                mark.state = fence;
            }
            Ok(put)
        };
        let (row, applied) = self.say(what, Kind::Row, finish).await?;
        self.fence = fence;
        self.learn(row);
        Ok(applied)
    }

    async fn print(&mut self, facts: &Facts) -> Result<Print, SessionError> {
        let Touches::Objects(objects) = facts.touches.clone() else {
            panic!("a scenario's statements are understood: {facts:?}")
        };
        let print = move |site: &mut Site<'_>, _| {
            let count = |name: &String| site.db.things.get(name).copied().unwrap_or_default();
            let lines: Vec<String> = objects.iter().map(|of| format!("{} {}", of.name, count(&of.name))).collect();
            Ok(Print { text: lines.concat(), proves: true })
        };
        self.say("print".to_owned(), Kind::Row, print).await
    }

    async fn mend(&mut self, _: &Middle, _: &str, _: Mend) -> Result<Mended, SessionError> {
        Ok(Mended::Nothing)
    }

    async fn renew(&mut self) {}
}
