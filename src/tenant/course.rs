//! A script whose statements commit by themselves, carried out so that it takes effect once, and taken back from wherever it stopped.
//!
//! Each stride has a row of its own, (deploy, step, half, number), in the tenant's database. What a crash behind each line means to the
//! next session, which has ended ours and seen it gone before it looks:
//!
//! | Line | What stands | What the next session makes of it |
//! |---|---|---|
//! | — | no row | not begun |
//! | the print is taken, the intent is committed | an intent | the print is as it was: not run, the row goes |
//! | the statement is sent | an intent | as before, or changed: it ran to its end; or a known middle, which is cleared |
//! | the next stride's row is committed | an intent, and a row behind it | a stride is begun only once the one before is in effect: done |
//! | statements and outcome in one transaction | no row, or one that says done | as it says |
//! | the ledger row is committed, with the last outcome | the ledger row | the step is over |
//!
//! An intent that no print can settle is repeated where that is harmless. Everything else is left to a human: a second run of what ran
//! already, or an undo of what never did, would be worse.
//!
//! To take back an act that stopped in its middle: a tombstone takes the act's key, so that it can never be finished; then the undos of
//! the strides that are in effect, last first, under the key of the undo, each with a row of its own; then the undo's ledger row. A
//! crash in between finds the tombstone, the act's rows, which stay as they are, and the rows of the undos that are done.

use super::error::{Outcome, SessionError};
use super::session::{Applied, LedgerKey, Probe, Session, SetsSession, Unit};
use super::stepwise::{Begun, Mend, Mended, Outcomes, State, Stride, Written};
use crate::base::Code;
use crate::release::stepwise::{Commit, Lives, Middle, Repeat, Shown, Touches};
use crate::saga::event::Half;
use crate::saga::failure::{ErrorClass, Failure};

/// A script that is run stride by stride.
#[derive(Debug, Clone)]
pub struct Course<'a> {
    /// What its ledger row says; without statements.
    pub unit: &'a Unit,
    /// The strides, in the order in which they go.
    pub strides: &'a [Stride],
}

/// How far a course has come, with no stride in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Its ledger row stands.
    Over,
    /// So many of its strides, the first ones, are in effect.
    Strides(u32),
}

/// A course that stopped.
#[derive(Debug, Clone)]
pub struct Halted {
    /// Why.
    pub error: SessionError,
    /// How many strides are in effect, where the error says that the one it stopped at had none.
    pub done: u32,
}

impl From<SessionError> for Halted {
    fn from(error: SessionError) -> Self {
        Self { error, done: 0 }
    }
}

/// What is set in the session while a stride is run, or looked for: names may mean something else without it.
#[derive(Clone, Copy)]
enum Under<'a> {
    /// What the strides before it have set.
    ItsOwn,
    /// Of an undo, stride by stride: what stood when the statement was run that it takes back.
    Given(&'a [Vec<&'a str>]),
}

/// What taking back an act has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// What there was is taken back.
    Part(u32),
    /// It was in effect as a whole, and its ledger row says so now: its undo as a whole is to be run.
    Whole,
}

/// How far a course has come. Settles the stride that is in doubt, if there is one.
///
/// # Errors
/// When the evidence cannot be had, or does not settle it ([`Outcome::Torn`]).
pub async fn progress(session: &mut dyn Session, course: &Course<'_>) -> Result<Progress, SessionError> {
    if matches!(session.probe(&course.unit.key), Probe::Applied(_)) {
        return Ok(Progress::Over);
    }
    Ok(Progress::Strides(settled(session, course, Under::ItsOwn).await?))
}

/// Carries a course on from where it is to its end.
///
/// # Errors
/// With how many strides are in effect. A try later carries on from there.
pub async fn carry_on(session: &mut dyn Session, course: &Course<'_>) -> Result<Applied, Halted> {
    carry_on_under(session, course, Under::ItsOwn).await
}

async fn carry_on_under(session: &mut dyn Session, course: &Course<'_>, under: Under<'_>) -> Result<Applied, Halted> {
    if matches!(session.probe(&course.unit.key), Probe::Applied(_)) {
        return Ok(Applied::Before);
    }
    let done = settled(session, course, under).await.map_err(unsure)?;
    let went = go(session, course, done, under).await;
    if course.unit.sets_session == SetsSession::Yes {
        session.renew().await;
    }
    went
}

/// Takes back an act that is not over. `undos` has, for each of the act's strides, what takes it back.
///
/// # Errors
/// With how many of the undos are in effect; before anything is sent where a stride has none.
pub async fn take_back(
    session: &mut dyn Session,
    act: &Course<'_>,
    undos: &[Option<Stride>],
    undo: &Unit,
) -> Result<TakenBack, Halted> {
    if matches!(session.probe(&act.unit.key), Probe::Applied(_)) {
        return Ok(TakenBack::Whole);
    }
    let done = settled(session, act, Under::ItsOwn).await.map_err(unsure)?;
    if usize::try_from(done).is_ok_and(|done| done == act.strides.len()) {
        session.finish(act.unit, Outcomes::Due).await?;
        return Ok(TakenBack::Whole);
    }
    let count = usize::try_from(done).unwrap_or(usize::MAX);
    let rows = session.begun(&act.unit.key).await.map_err(unsure)?;
    // Once an undo has run, no print says any more that its statement had.
    for stride in act.strides.iter().take(count) {
        if rows.iter().any(|row| row.number == stride.number && row.state == State::Intent) {
            session.settle(&act.unit.key, stride.number, "").await.map_err(unsure)?;
        }
    }
    let changed_nothing = |number| rows.iter().any(|row| row.number == number && found_nothing_to_do(row));
    let (mut strides, mut under) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (at, (stride, undo)) in act.strides.iter().zip(undos).enumerate().take(count).rev() {
        match undo {
            Some(undo) if undo.texts.is_empty() => {}
            _ if changed_nothing(stride.number) => {}
            Some(undo) => {
                strides.push(undo.clone());
                under.push(settings(&act.strides[..at]));
            }
            None => return Err(no_undo(session, act, stride, done).into()),
        }
    }
    session.void(&act.unit.key).await?;
    carry_on_under(session, &Course { unit: undo, strides: &strides }, Under::Given(&under)).await?;
    Ok(TakenBack::Part(done))
}

fn no_undo(session: &dyn Session, act: &Course<'_>, stride: &Stride, done: u32) -> SessionError {
    let message = format!(
        "migration {} stopped after {done} of its {} statements, and statement {} ({}) has no undo of its own: what is in effect stays",
        act.unit.name,
        act.strides.len(),
        stride.number,
        shortened(stride),
    );
    SessionError::no_effect(session.tenant(), ErrorClass::Permanent, Code::Irreversible, message)
}

/// What these strides have set in their session, to be said again: what may be said again, that is.
fn settings(strides: &[Stride]) -> Vec<&str> {
    let set = |of: &&Stride| of.facts.lives == Lives::Session && of.facts.repeat == Repeat::Harmless;
    strides.iter().filter(set).flat_map(|of| of.texts.iter().map(String::as_str)).collect()
}

async fn say(session: &mut dyn Session, settings: &[&str]) -> Result<(), SessionError> {
    for text in settings {
        session.say_again(text).await?;
    }
    Ok(())
}

/// Whether it is known of a stride that it left everything as it was (`CREATE TABLE IF NOT EXISTS` of one that is there): to take
/// it back would take away what was there before.
fn found_nothing_to_do(row: &Begun) -> bool {
    row.state == State::Done && !row.before.is_empty() && row.before == row.after
}

/// How many strides are in effect is not known: whoever went by the error alone would take it for none.
fn unsure(error: SessionError) -> SessionError {
    match error.outcome {
        Outcome::NoEffect => SessionError { outcome: Outcome::Unknown, ..error },
        Outcome::Unknown | Outcome::Torn => error,
    }
}

/// The strides from the first that is not done.
async fn go(
    session: &mut dyn Session,
    course: &Course<'_>,
    mut done: u32,
    under: Under<'_>,
) -> Result<Applied, Halted> {
    let first = usize::try_from(done).unwrap_or(usize::MAX);
    let begun = course.strides.get(..first).unwrap_or(course.strides);
    let left = course.strides.get(first..).unwrap_or_default();
    let halted = |error, done| Halted { error, done };
    if !left.is_empty() && matches!(under, Under::ItsOwn) {
        again(session, course, begun).await.map_err(|error| halted(error, done))?;
    }
    let mut set: &[&str] = &[];
    for (at, stride) in left.iter().enumerate() {
        if let Under::Given(given) = under {
            let wanted = given.get(first.saturating_add(at)).map_or(&[][..], Vec::as_slice);
            set_anew(session, course, set, wanted).await.map_err(|error| halted(error, done))?;
            set = wanted;
        }
        match stride.facts.commit {
            Commit::WithLedger => with_outcome(session, course, stride).await.map_err(|error| halted(error, done))?,
            Commit::ByItself => {
                by_itself(session, course, stride).await.map_err(|error| halted(error, done))?;
                let last = at + 1 == left.len();
                if !last && let Some(after) = outcome_now(session, course, stride).await.map_err(unsure)? {
                    session.settle(&course.unit.key, stride.number, &after).await.map_err(unsure)?;
                }
            }
        }
        done += 1;
    }
    let outcomes = if course.strides.is_empty() { Outcomes::Written } else { Outcomes::Due };
    session.finish(course.unit, outcomes).await.map_err(|error| halted(error, done))
}

/// The outcome of a stride that is to be written before the next one begins, with the print that belongs to it.
///
/// Of most there is none to write: that the next one was begun says it, and should that be forgotten because it had no effect, the
/// print says it. Of those that no print shows it is written at once; and of one that left everything as it was, which the print
/// says too, so that it is never taken back. That is asked only of one that may be repeated: the others do something, or fail.
async fn outcome_now(
    session: &mut dyn Session,
    course: &Course<'_>,
    stride: &Stride,
) -> Result<Option<String>, SessionError> {
    let facts = &stride.facts;
    if facts.shown != Shown::Definition || facts.middle != Middle::None {
        return Ok(Some(String::new()));
    }
    if course.unit.key.half == Half::Undo || facts.repeat == Repeat::Harmful {
        return Ok(None);
    }
    let now = session.print(facts).await?;
    let rows = session.begun(&course.unit.key).await?;
    let same = now.proves && rows.iter().any(|row| row.number == stride.number && row.before == now.text);
    Ok(same.then_some(now.text))
}

/// Brings a session in which `set` was said to where `wanted` was.
async fn set_anew(
    session: &mut dyn Session,
    course: &Course<'_>,
    set: &[&str],
    wanted: &[&str],
) -> Result<(), SessionError> {
    if set == wanted {
        return Ok(());
    }
    if !set.is_empty() {
        session.renew().await;
        // The next primitive needs a session that is open.
        session.begun(&course.unit.key).await?;
    }
    say(session, wanted).await
}

/// What lives in the session alone is gone with the session that it was said in.
async fn again(session: &mut dyn Session, course: &Course<'_>, begun: &[Stride]) -> Result<(), SessionError> {
    for stride in begun.iter().filter(|stride| stride.facts.lives == Lives::Session) {
        if stride.facts.repeat == Repeat::Harmful {
            let seen = "its effect lives in the session that ran it, which is over, and running it again may come to something else";
            return Err(in_doubt(session, course, stride, seen));
        }
        for text in &stride.texts {
            session.say_again(text).await?;
        }
    }
    Ok(())
}

async fn with_outcome(session: &mut dyn Session, course: &Course<'_>, stride: &Stride) -> Result<(), SessionError> {
    let key = &course.unit.key;
    match session.run_with_outcome(key, stride.number, &stride.texts).await? {
        Written::Now => Ok(()),
        Written::Before => Err(overtaken(session, key, stride)),
    }
}

/// Writes an intent and runs its statement. The outcome is left to the caller to write; no print is taken for it, since what is known
/// to be done is never asked for evidence.
async fn by_itself(session: &mut dyn Session, course: &Course<'_>, stride: &Stride) -> Result<(), SessionError> {
    let key = &course.unit.key;
    let before = print(session, stride).await?.unwrap_or_default();
    if session.intend(key, stride.number, &before).await? == Written::Before {
        return Err(overtaken(session, key, stride));
    }
    for text in &stride.texts {
        if let Err(error) = run_whole(session, course, stride, text, &before).await {
            return Err(failed(session, course, stride, &before, error).await);
        }
    }
    Ok(())
}

/// Runs a statement. A server may say that it is done and leave a thing that is not (CREATE INDEX CONCURRENTLY IF NOT EXISTS over an
/// index that is not valid): then it is cleared away, and the statement run again.
async fn run_whole(
    session: &mut dyn Session,
    course: &Course<'_>,
    stride: &Stride,
    text: &str,
    before: &str,
) -> Result<(), SessionError> {
    let half = course.unit.key.half;
    session.run_alone(half, text).await?;
    if stride.facts.middle != Middle::None
        && session.mend(&stride.facts.middle, before, Mend::AfterError).await.map_err(unsure)? == Mended::ToRun
    {
        session.run_alone(half, text).await?;
    }
    Ok(())
}

/// The server has refused a statement. Where that is the whole truth its row goes; where it left something, that is said.
async fn failed(
    session: &mut dyn Session,
    course: &Course<'_>,
    stride: &Stride,
    before: &str,
    mut error: SessionError,
) -> SessionError {
    error.failure.statement = Some(stride.number);
    if error.outcome != Outcome::NoEffect {
        return error;
    }
    if stride.facts.middle != Middle::None {
        match left_behind(session, stride, before).await {
            Ok(None) => {}
            // The intent stands: the next look brings it to one side or the other.
            Ok(Some(_)) if error.failure.class == ErrorClass::Transient => error.outcome = Outcome::Unknown,
            Ok(Some(now)) => {
                let seen = format!(
                    "the server refused it ({}), and yet something has changed: before {before}, now {now}",
                    error.failure.message
                );
                return in_doubt(session, course, stride, &seen);
            }
            Err(lost) => {
                error.outcome = if lost.outcome == Outcome::NoEffect { Outcome::Unknown } else { lost.outcome }
            }
        }
        if error.outcome != Outcome::NoEffect {
            return error;
        }
    }
    match session.forget(&course.unit.key, stride.number).await {
        Ok(()) => error,
        // What it says is true all the same; the row that is left is settled by the next look.
        Err(_) => SessionError { outcome: Outcome::Unknown, ..error },
    }
}

/// The print of what a refused statement left behind, if that is not as it was.
async fn left_behind(session: &mut dyn Session, stride: &Stride, before: &str) -> Result<Option<String>, SessionError> {
    session.mend(&stride.facts.middle, before, Mend::AfterError).await?;
    Ok(print(session, stride).await?.filter(|now| now != before))
}

async fn print(session: &mut dyn Session, stride: &Stride) -> Result<Option<String>, SessionError> {
    match stride.facts.shown {
        Shown::Nowhere => Ok(None),
        Shown::Definition | Shown::Number => Ok(Some(session.print(&stride.facts).await?.text)),
    }
}

/// How many strides are in effect. Settles the one in doubt, under the settings under which it was run: a name without its schema is
/// looked for where it was then.
async fn settled(session: &mut dyn Session, course: &Course<'_>, under: Under<'_>) -> Result<u32, SessionError> {
    let key = &course.unit.key;
    let begun = session.begun(key).await?;
    let mut done = 0;
    for (at, stride) in course.strides.iter().enumerate() {
        let Some(row) = begun.iter().find(|row| row.number == stride.number) else { break };
        let behind = course.strides.get(at + 1..).unwrap_or_default();
        let followed = begun.iter().any(|row| behind.iter().any(|stride| stride.number == row.number));
        if row.state == State::Done || followed {
            done += 1;
            continue;
        }
        let own = settings(&course.strides[..at]);
        let set = match under {
            Under::ItsOwn => own.as_slice(),
            Under::Given(given) => given.get(at).map_or(&[][..], Vec::as_slice),
        };
        let mut took = say(session, set).await;
        let mut effect = false;
        if took.is_ok() {
            took = took_effect(session, course, stride, row).await.map(|is| effect = is);
        }
        if !set.is_empty() {
            session.renew().await;
        }
        took?;
        if !set.is_empty() {
            // The next primitive needs a session that is open.
            session.begun(key).await?;
        }
        if !effect {
            session.forget(key, stride.number).await?;
            break;
        }
        done += 1;
    }
    Ok(done)
}

/// Whether a stride of which only the intent is known has taken effect.
async fn took_effect(
    session: &mut dyn Session,
    course: &Course<'_>,
    stride: &Stride,
    row: &Begun,
) -> Result<bool, SessionError> {
    let facts = &stride.facts;
    let key = &course.unit.key;
    match session.mend(&facts.middle, &row.before, Mend::InDoubt).await? {
        Mended::ToRun => {
            let now = print(session, stride).await?;
            if now.is_none_or(|now| now == row.before) {
                return Ok(false);
            }
            // What was there before is gone, and only the statement's own end is left to be reached: its row must stay until then, or
            // a deploy that turns now would take this for a statement that never ran.
            return to_its_end(session, course, stride, row).await.map(|()| true);
        }
        Mended::InEffect => {
            let after = print(session, stride).await?.unwrap_or_default();
            session.settle(key, stride.number, &after).await?;
            return Ok(true);
        }
        Mended::Nothing => {}
    }
    let mut seen = "no definition shows whether it ran".to_owned();
    if facts.shown != Shown::Nowhere {
        let now = session.print(facts).await?;
        if now.text != row.before && facts.touches == Touches::Unknown {
            let seen = format!(
                "a definition has changed since, and it cannot be told by whom: before {}, now {}",
                row.before, now.text
            );
            return Err(in_doubt(session, course, stride, &seen));
        }
        if now.text != row.before {
            session.settle(key, stride.number, &now.text).await?;
            return Ok(true);
        }
        if now.proves {
            return Ok(false);
        }
        seen = format!(
            "its definitions are as they were before ({}), which proves nothing without InnoDB's number of the table; \
                        where InnoDB keeps it, grant the PROCESS privilege to let Windlass read that",
            now.text
        );
    }
    if facts.repeat == Repeat::Harmless { Ok(false) } else { Err(in_doubt(session, course, stride, &seen)) }
}

/// Runs a stride again of which a known middle was found that cannot be brought back.
async fn to_its_end(
    session: &mut dyn Session,
    course: &Course<'_>,
    stride: &Stride,
    row: &Begun,
) -> Result<(), SessionError> {
    for text in &stride.texts {
        if let Err(mut error) = run_whole(session, course, stride, text, &row.before).await {
            if error.outcome != Outcome::NoEffect || error.failure.class == ErrorClass::Transient {
                error.outcome = Outcome::Unknown;
                return Err(error);
            }
            let seen = format!(
                "it was interrupted after it took away what was there before ({}), and running it again was refused ({})",
                row.before, error.failure.message
            );
            return Err(in_doubt(session, course, stride, &seen));
        }
    }
    let after = print(session, stride).await?.unwrap_or_default();
    session.settle(&course.unit.key, stride.number, &after).await
}

/// What only a human can settle: the statement, what was seen, and the two ways on.
fn in_doubt(session: &dyn Session, course: &Course<'_>, stride: &Stride, seen: &str) -> SessionError {
    let tenant = session.tenant();
    let deploy = course.unit.key.deploy;
    let number = stride.number;
    let which = match course.unit.key.half {
        Half::Act => format!("statement {number} of {} of {}", course.strides.len(), course.unit.name),
        Half::Undo => format!("the undo of statement {number} of {}", course.unit.name),
    };
    let message = format!(
        "it cannot be told whether {which} took effect: {}; {seen}. Bring the migration to its end by hand and \
         run `windlass resolve {tenant} --as applied --deploy {deploy} --reason …`, or take all of it back by hand and run `windlass \
         resolve {tenant} --as undone --deploy {deploy} --reason …`",
        shortened(stride),
    );
    let failure = Failure::new(ErrorClass::Permanent, Code::InDoubt, message).at_statement(number);
    SessionError { tenant: tenant.clone(), failure, outcome: Outcome::Torn }
}

/// A row appeared that only we could have written.
fn overtaken(session: &dyn Session, key: &LedgerKey, stride: &Stride) -> SessionError {
    let message =
        format!("statement {} of step {} was begun by somebody else; nothing was done", stride.number, key.step);
    let failure = Failure::new(ErrorClass::Transient, Code::TenantFenced, message);
    SessionError { tenant: session.tenant().clone(), failure, outcome: Outcome::Unknown }
}

/// How a statement begins, for people.
fn shortened(stride: &Stride) -> String {
    let whole = stride.texts.join("; ");
    let words = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = words.chars().take(60).collect();
    if line.len() < words.len() {
        line.push('…');
    }
    format!("`{line}`")
}

#[cfg(test)]
mod tests;
