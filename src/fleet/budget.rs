//! How many connections a physical server is given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::limits::SERVERS_MAX;

/// A physical server: `db-3.internal:5432`, in lower case; `sqlite` for all files of this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ServerKey(String);

impl ServerKey {
    /// The server with this `host:port`. Without a port the key stands for the host with any port.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// The server of all SQLite files.
    #[must_use]
    pub fn sqlite() -> Self {
        Self("sqlite".to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn without_port(&self) -> Option<Self> {
        self.0.rsplit_once(':').map(|(host, _)| Self(host.to_owned()))
    }
}

impl From<String> for ServerKey {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<ServerKey> for String {
    fn from(key: ServerKey) -> Self {
        key.0
    }
}

impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The budgets of one worker, over all its tenants and deploys. A connection is opened with a permit in hand, and the permit
/// is held as long as the connection.
#[derive(Debug)]
pub struct ServerBudgets {
    default: usize,
    named: BTreeMap<ServerKey, usize>,
    servers: Mutex<BTreeMap<ServerKey, Arc<Semaphore>>>,
    /// Shared by all servers beyond [`SERVERS_MAX`] that are in use at once.
    overflow: Arc<Semaphore>,
}

impl ServerBudgets {
    /// `named` servers as given, all others with `default` connections.
    #[must_use]
    pub fn new(default: u32, named: impl IntoIterator<Item = (ServerKey, u32)>) -> Self {
        let size =
            |connections: u32| usize::try_from(connections).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            default: size(default),
            named: named.into_iter().map(|(server, connections)| (server, size(connections))).collect(),
            servers: Mutex::default(),
            overflow: Arc::new(Semaphore::new(size(default))),
        }
    }

    /// How many connections `server` may have.
    #[must_use]
    pub fn connections(&self, server: &ServerKey) -> usize {
        let named = self.named.get(server).or_else(|| self.named.get(&server.without_port()?));
        named.copied().unwrap_or(self.default)
    }

    /// Waits until `server` has a connection free. First come, first served; dropping the permit gives it back.
    pub async fn acquire(&self, server: &ServerKey) -> OwnedSemaphorePermit {
        match self.semaphore(server).acquire_owned().await {
            Ok(permit) => permit,
            // Nothing closes these semaphores. If something did, waiting is the one answer that exceeds no budget.
            Err(_) => std::future::pending().await,
        }
    }

    fn semaphore(&self, server: &ServerKey) -> Arc<Semaphore> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = servers.get(server) {
            return Arc::clone(semaphore);
        }
        if servers.len() >= SERVERS_MAX {
            // A permit, and whoever waits for one, holds the semaphore too: a count of one means that nobody does.
            servers.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        if servers.len() >= SERVERS_MAX {
            return Arc::clone(&self.overflow);
        }
        let semaphore = Arc::new(Semaphore::new(self.connections(server)));
        servers.insert(server.clone(), Arc::clone(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_server_at_its_budget_makes_the_next_one_wait_and_others_not() {
        let budgets = ServerBudgets::new(1, [(ServerKey::new("db-3:5432"), 2), (ServerKey::new("DB-4"), 3)]);
        let db3 = ServerKey::new("DB-3:5432");
        let first = budgets.acquire(&db3).await;
        let _second = budgets.acquire(&db3).await;
        let mut third = Box::pin(budgets.acquire(&db3));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(budgets.acquire(&ServerKey::sqlite()).now_or_never().is_some());
        drop(first);
        assert!(third.now_or_never().is_some());
        assert_eq!(budgets.connections(&ServerKey::new("db-4:6432")), 3);
    }

    #[tokio::test]
    async fn idle_servers_make_room_for_new_ones() {
        let budgets = ServerBudgets::new(1, []);
        let held = budgets.acquire(&ServerKey::new("held:1")).await;
        for n in 0..SERVERS_MAX + 10 {
            drop(budgets.acquire(&ServerKey::new(&format!("db-{n}:5432"))).await);
        }
        assert!(budgets.servers.lock().unwrap().len() <= SERVERS_MAX);
        assert!(budgets.acquire(&ServerKey::new("held:1")).now_or_never().is_none());
        drop(held);
    }
}
