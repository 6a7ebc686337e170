//! What all parts of a server share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, watch};

use super::access::Keys;
use super::accounts::Accounts;
use super::hook::Secrets;
use super::live::Pulses;
use super::source::Sources;
use crate::base::limits::SOURCE_PATIENCE;
use crate::base::{Code, Coded, Timestamp, WorkerId};
use crate::config::Serve;
use crate::engine::{RealGateway, Stop};
use crate::log::{Desk, Log};
use crate::project::Project;

/// One fleet that is served.
pub struct Fleet {
    /// Its project.
    pub project: Project,
    /// The way to its tenants. One for the life of the server, so that the budgets of their servers hold over all its deploys.
    pub gateway: Arc<RealGateway>,
    /// Where its releases come from.
    pub sources: Sources,
    /// Rung when there may be something to do.
    pub wake: Notify,
    trouble: Mutex<Option<Trouble>>,
    away: Mutex<Option<Away>>,
}

/// What keeps a fleet's deploys from moving, though nothing is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Trouble {
    /// The page to look it up under.
    pub code: Code,
    /// In words.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// A repository that cannot be reached, by the clock that nobody can set.
#[derive(Debug, Clone, Copy)]
struct Away {
    since: Instant,
    last: Instant,
}

impl Away {
    /// After one more try in vain.
    fn after(before: Option<Self>, tried_at: Instant, now: Instant) -> Self {
        let is_fresh = |of: &Self| now.saturating_duration_since(of.last) < SOURCE_PATIENCE;
        Self { since: before.filter(is_fresh).map_or(tried_at, |of| of.since), last: now }
    }
}

impl Fleet {
    /// A fleet of which nothing is known to be wrong.
    #[must_use]
    pub fn new(project: Project, sources: Sources) -> Self {
        let gateway = project.gateway();
        Self { project, gateway, sources, wake: Notify::new(), trouble: Mutex::default(), away: Mutex::default() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.project.config.name
    }

    /// What keeps its deploys from moving.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes down that the repository could not be reached when it was tried at this moment, and how long that has been so, for whatever
    /// request. What was not tried for as long as it is waited for begins anew.
    pub(super) fn is_away(&self, tried_at: Instant) -> Duration {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let still = Away::after(*away, tried_at, now);
        *away = Some(still);
        now.saturating_duration_since(still.since)
    }

    /// Takes down that the repository was reached.
    pub(super) fn is_back(&self) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes down what keeps its deploys from moving, or that nothing does any more.
    pub(super) fn note(&self, error: Option<&dyn Coded>, now: Timestamp) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let since = trouble.as_ref().map_or(now, |before| before.since);
        *trouble = error.map(|error| Trouble { code: error.code(), message: error.to_string(), since });
    }
}

/// A server.
pub struct App {
    /// The log.
    pub log: Arc<dyn Log>,
    /// What is kept beside the events in the same log.
    pub desk: Arc<dyn Desk>,
    /// The fleets by name.
    pub fleets: BTreeMap<String, Arc<Fleet>>,
    /// The fleet that is meant where none is named: that of the server's own project.
    pub home: String,
    /// What `[serve]` says.
    pub settings: Serve,
    /// What it came to listen on.
    pub bound: SocketAddr,
    /// Who writes to the log.
    pub worker: WorkerId,
    /// Whether and how the server is to end.
    pub stop: watch::Receiver<Stop>,
    /// Who may come in.
    pub keys: Keys,
    /// For how many connections there is room.
    pub connections: usize,
    /// Who is told of new events.
    pub pulses: Pulses,
    /// Secrets of webhooks that were read a moment ago.
    pub secrets: Secrets,
    /// Room for deliveries that are being received.
    pub deliveries: Semaphore,
    /// Room for releases that are being received.
    pub pushes: Semaphore,
    /// Room for exports that are being written.
    pub exports: Arc<Semaphore>,
    /// Accounts that were made a moment ago.
    pub accounts: Accounts,
    /// Since when it serves.
    pub started_at: Timestamp,
}

impl App {
    /// The fleet of this name; the server's own where none is named.
    #[must_use]
    pub fn fleet(&self, name: Option<&str>) -> Option<&Arc<Fleet>> {
        self.fleets.get(name.unwrap_or(&self.home))
    }

    /// Whether the server is about to end.
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.stop.borrow() != Stop::Run
    }

    /// How others reach it.
    #[must_use]
    pub fn url(&self) -> String {
        self.settings.public_url(self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_away_since_the_first_try_in_vain_whoever_tries_and_anew_when_nobody_has_for_long() {
        let start = Instant::now();
        let at = |minutes| start + Duration::from_mins(minutes);
        let first = Away::after(None, at(0), at(1));
        assert_eq!(first.since, at(0), "a try that takes its time counts from its beginning");
        let mut away = first;
        for minute in 2..11 {
            away = Away::after(Some(away), at(minute), at(minute));
            assert_eq!(away.since, at(0));
        }
        // The next request finds the time over; one that comes much later has as much as the first had.
        assert!(at(11) - Away::after(Some(away), at(11), at(11)).since >= SOURCE_PATIENCE);
        assert_eq!(Away::after(Some(away), at(25), at(25)).since, at(25));
    }
}
