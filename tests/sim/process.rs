//! A process: what can be killed, held still, and told to stop.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use windlass::base::WorkerId;
use windlass::engine::Stop;

/// One life of one process.
pub struct Process {
    name: String,
    human: bool,
    until: Mutex<Option<Instant>>,
    killed: Notify,
    dead: watch::Sender<bool>,
    stop: watch::Sender<Stop>,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl Process {
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self::life(name))
    }

    fn life(name: &str) -> Self {
        let (dead, stop) = (watch::Sender::new(false), watch::Sender::new(Stop::Run));
        let (name, until, killed) = (name.to_owned(), Mutex::default(), Notify::new());
        Self { name, human: false, until, killed, dead, stop }
    }

    /// Somebody at a keyboard, who is neither killed nor held still.
    pub fn human(name: &str) -> Arc<Self> {
        Arc::new(Self { human: true, ..Self::life(name) })
    }

    pub const fn is_human(&self) -> bool {
        self.human
    }

    pub fn worker(&self) -> WorkerId {
        WorkerId(self.name.clone())
    }

    /// Kills it. Whoever calls this from inside it never goes on.
    pub fn kill(&self) {
        self.dead.send_replace(true);
        self.killed.notify_one();
    }

    /// Waits until it is killed.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Holds it still for a time.
    pub fn pause(&self, ms: u64) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + Duration::from_millis(ms));
    }

    fn until(&self) -> Option<Instant> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_paused(&self) -> bool {
        self.until().is_some_and(|until| until > Instant::now())
    }

    /// Passed by everything that the process does: lets nothing through while it is held still, and nothing ever again once it is dead.
    pub async fn gate(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        while let Some(until) = self.until().filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    pub fn say(&self, stop: Stop) {
        self.stop.send_if_modified(|said| {
            let more = stop > *said;
            *said = stop.max(*said);
            more
        });
    }

    pub fn stop(&self) -> watch::Receiver<Stop> {
        self.stop.subscribe()
    }
}
