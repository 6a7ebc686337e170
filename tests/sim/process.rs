//! A process: what can be killed, held still, and told to stop.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Something has befallen it that may cost it its leases, and nothing takes that back.
    harmed: AtomicBool,
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

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Process {
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self::life(name))
    }

    fn life(name: &str) -> Self {
        let (dead, stop) = (watch::Sender::new(false), watch::Sender::new(Stop::Run));
        let (name, until, killed) = (name.to_owned(), Mutex::default(), Notify::new());
        Self { name, human: false, harmed: AtomicBool::new(false), until, killed, dead, stop }
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

    /// Notes that it may lose its leases through no fault of the engine's.
    pub fn harm(&self) {
        self.harmed.store(true, Ordering::SeqCst);
    }

    /// Whether nothing has befallen it that could cost it a lease: it lives, was not held still for long, and the log has answered it.
    pub fn is_unharmed(&self) -> bool {
        !self.is_dead() && !self.harmed.load(Ordering::SeqCst)
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

    /// Tells it to stop. False: it had been told before.
    pub fn say(&self, stop: Stop) -> bool {
        self.stop.send_if_modified(|said| {
            let more = stop > *said;
            *said = stop.max(*said);
            more
        })
    }

    pub fn stop(&self) -> watch::Receiver<Stop> {
        self.stop.subscribe()
    }
}
