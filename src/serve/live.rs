//! Live events: the log's own order, sent as it grows.
//!
//! An event's id is its place in the log. A client that comes back says the last one it has seen (`Last-Event-ID`), and goes on after it:
//! it misses nothing and sees nothing twice, whichever server it comes back to. However many follow one deploy, the log is asked by one
//! task whether there is anything new.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::app::App;
use super::problem::Problem;
use crate::audit::Line;
use crate::base::limits::{FOLLOW_MAX, FOLLOWERS_PART, KEEPER_LOOK, PULSE};
use crate::base::{Code, DeployId};
use crate::engine::Stop;
use crate::log::{Log, LogError};

/// Events that are read from the log at a time.
const PAGE: usize = 500;

/// How far a deploy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pulse {
    /// The place of its last event.
    end: u64,
    /// Whether nothing more will come.
    over: bool,
}

/// Who is told of new events.
pub struct Pulses {
    room: Arc<Semaphore>,
    at_most: usize,
    of: Arc<Mutex<HashMap<DeployId, watch::Receiver<Pulse>>>>,
}

impl Pulses {
    /// Nobody follows, where there is room for so many connections.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        let at_most = (connections / FOLLOWERS_PART).max(1);
        Self { room: Arc::new(Semaphore::new(at_most)), at_most, of: Arc::default() }
    }

    /// What tells of a deploy's new events: a task's that lives as long as somebody follows, and a little longer.
    async fn of(&self, log: &Arc<dyn Log>, deploy: DeployId) -> Result<watch::Receiver<Pulse>, LogError> {
        let pulse = look(&**log, deploy).await?;
        let mut all = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = all.get(&deploy).filter(|receiver| receiver.has_changed().is_ok()) {
            return Ok(receiver.clone());
        }
        let (tell, receiver) = watch::channel(pulse);
        all.insert(deploy, receiver.clone());
        let (log, of) = (Arc::clone(log), Arc::clone(&self.of));
        tokio::spawn(async move {
            // One receiver is the map's own.
            while !tell.borrow().over && tell.receiver_count() > 1 {
                tokio::time::sleep(PULSE).await;
                // What cannot be read now is read at the next beat.
                let Ok(now) = look(&*log, deploy).await else { continue };
                tell.send_if_modified(|before| std::mem::replace(before, now) != now);
            }
            of.lock().unwrap_or_else(PoisonError::into_inner).remove(&deploy);
        });
        Ok(receiver)
    }

    /// How many follow at this moment.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.at_most - self.room.available_permits()
    }
}

async fn look(log: &dyn Log, deploy: DeployId) -> Result<Pulse, LogError> {
    // In this order: what has ended before its end is read has nothing behind that end.
    let over = log.deploy(deploy).await?.summary.outcome.is_some();
    Ok(Pulse { end: log.end(deploy).await?, over })
}

/// Where a follower is.
struct Follower {
    app: Arc<App>,
    deploy: DeployId,
    after: u64,
    pulse: watch::Receiver<Pulse>,
    stop: watch::Receiver<Stop>,
    ready: std::vec::IntoIter<Line>,
    told_end: bool,
    until: Instant,
    _room: OwnedSemaphorePermit,
}

/// The events of a deploy after a place, and those that come; ends after the deploy's last one, or when the server ends.
///
/// # Errors
/// Where there is no such deploy, or as many follow as may.
pub(super) async fn follow(
    app: Arc<App>,
    deploy: DeployId,
    after: u64,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let room = Arc::clone(&app.pulses.room).try_acquire_owned();
    let full = || {
        Problem::new(
            Code::TooManyRequests,
            format!("{} clients follow live events, which is as many as may", app.pulses.at_most),
        )
    };
    let room = room.map_err(|_| full())?;
    let pulse = app.pulses.of(&app.log, deploy).await?;
    let stop = app.stop.clone();
    let follower = Follower {
        app,
        deploy,
        after,
        pulse,
        stop,
        ready: Vec::new().into_iter(),
        told_end: false,
        until: Instant::now() + FOLLOW_MAX,
        _room: room,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events.fuse()).keep_alive(KeepAlive::default()))
}

impl Follower {
    /// The next event; none when there will not be another one.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(line) = self.ready.next() {
                self.after = line.position;
                let data = serde_json::to_string(&line).unwrap_or_default();
                return Some(Event::default().id(line.position.to_string()).event("event").data(data));
            }
            if self.told_end || *self.stop.borrow() != Stop::Run || Instant::now() >= self.until {
                return None;
            }
            let pulse = *self.pulse.borrow_and_update();
            if pulse.end > self.after {
                match self.app.log.tail(self.deploy, self.after, PAGE).await {
                    Ok(page) if !page.is_empty() => {
                        self.ready = page.into_iter().map(Line::of).collect::<Vec<_>>().into_iter();
                        continue;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(deploy = %self.deploy, %error, "live events cannot be read; trying again");
                        tokio::time::sleep(KEEPER_LOOK).await;
                        continue;
                    }
                }
            }
            if pulse.over {
                self.told_end = true;
                return Some(Event::default().event("end").data("{}"));
            }
            tokio::select! {
                changed = self.pulse.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.until) => return None,
                _ = self.stop.changed() => return None,
            }
        }
    }
}
