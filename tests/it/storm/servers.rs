//! The tenants' servers, with a proxy before each, and the faults that befall them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::proxy::Proxy;
use crate::support::mariadb::{self, PrivateMariaDb};
use crate::support::postgres::{self, PrivatePostgres};
use crate::support::server::Durability;

/// What a tenant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Engine {
    Postgres,
    MariaDb,
    Sqlite,
}

impl Engine {
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::Postgres => "pg",
            Self::MariaDb => "my",
            Self::Sqlite => "lite",
        }
    }
}

/// One server and its proxy.
struct Served<S> {
    server: Arc<Mutex<S>>,
    port: u16,
    proxy: Proxy,
    /// Whether somebody has it down at this moment.
    down: Arc<AtomicBool>,
}

pub(super) struct Servers {
    postgres: Served<PrivatePostgres>,
    mariadb: Served<PrivateMariaDb>,
}

impl<S> Served<S> {
    async fn new(server: S, port: u16) -> Self {
        let proxy = Proxy::before(port).await;
        Self { server: Arc::new(Mutex::new(server)), port, proxy, down: Arc::default() }
    }
}

impl Servers {
    pub(super) async fn start() -> Self {
        // Without fsync: what a process has written outlives it without one. MariaDB writes it only when it is told to sync.
        let postgres = PrivatePostgres::start(Durability::None).await;
        let mariadb = PrivateMariaDb::start(Durability::Fsync).await;
        let (pg, my) = (postgres.port(), mariadb.port());
        Self { postgres: Served::new(postgres, pg).await, mariadb: Served::new(mariadb, my).await }
    }

    /// The port of the server itself; 0 where there is none.
    pub(super) fn port(&self, engine: Engine) -> u16 {
        match engine {
            Engine::Postgres => self.postgres.port,
            Engine::MariaDb => self.mariadb.port,
            Engine::Sqlite => 0,
        }
    }

    /// The port that the storm blows over.
    pub(super) fn stormy_port(&self, engine: Engine) -> u16 {
        self.proxy(engine).map_or(0, Proxy::port)
    }

    pub(super) fn proxy(&self, engine: Engine) -> Option<&Proxy> {
        match engine {
            Engine::Postgres => Some(&self.postgres.proxy),
            Engine::MariaDb => Some(&self.mariadb.proxy),
            Engine::Sqlite => None,
        }
    }

    /// Connections that were cut, and answers that were lost, so far.
    pub(super) fn seen(&self) -> (u64, u64) {
        let (one, other) = (self.postgres.proxy.seen(), self.mariadb.proxy.seen());
        (one.0 + other.0, one.1 + other.1)
    }

    /// Whether it was killed and is not back yet.
    pub(super) fn is_down(&self, engine: Engine) -> bool {
        match engine {
            Engine::Postgres => self.postgres.down.load(Ordering::SeqCst),
            Engine::MariaDb => self.mariadb.down.load(Ordering::SeqCst),
            Engine::Sqlite => false,
        }
    }

    /// Kills a server with -9, and starts it again after a pause. What is returned ends when it answers again.
    pub(super) fn kill(&self, engine: Engine, pause: Duration) -> Option<tokio::task::JoinHandle<()>> {
        match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let (server, down) = (Arc::clone(&self.postgres.server), Arc::clone(&self.postgres.down));
                down.store(true, Ordering::SeqCst);
                Some(tokio::spawn(async move {
                    let mut server = server.lock().await;
                    server.kill9();
                    tokio::time::sleep(pause).await;
                    server.restart_in_place().await;
                    down.store(false, Ordering::SeqCst);
                }))
            }
            Engine::MariaDb => {
                let (server, down) = (Arc::clone(&self.mariadb.server), Arc::clone(&self.mariadb.down));
                down.store(true, Ordering::SeqCst);
                Some(tokio::spawn(async move {
                    let mut server = server.lock().await;
                    server.kill9();
                    tokio::time::sleep(pause).await;
                    server.restart_in_place().await;
                    down.store(false, Ordering::SeqCst);
                }))
            }
        }
    }

    /// The sessions of Windlass that a server has, and the locks that they hold.
    pub(super) async fn left_behind(&self, engine: Engine) -> Vec<String> {
        match engine {
            Engine::Sqlite => Vec::new(),
            Engine::Postgres => {
                let mut admin = postgres::Admin::at(self.postgres.port, "postgres").await;
                admin
                    .texts(
                        "SELECT format('session of %s: %s %s', usename, application_name, query) FROM pg_stat_activity \
                         WHERE usename = 'app' OR application_name LIKE 'windlass/%' \
                         UNION ALL SELECT format('advisory lock %s %s', classid, objid) FROM pg_locks WHERE locktype = 'advisory' \
                         UNION ALL SELECT format('prepared transaction %s', gid) FROM pg_prepared_xacts ORDER BY 1",
                    )
                    .await
            }
            Engine::MariaDb => {
                let mut admin = mariadb::Admin::at(self.mariadb.port, "").await;
                admin
                    .texts(
                        "SELECT CONCAT('session of ', USER, ': ', COALESCE(INFO, COMMAND)) FROM information_schema.PROCESSLIST \
                         WHERE USER = 'app' \
                         UNION ALL SELECT CONCAT('transaction ', trx_state) FROM information_schema.INNODB_TRX \
                         UNION ALL SELECT CONCAT('working table ', NAME) FROM information_schema.INNODB_SYS_TABLES WHERE NAME LIKE '%#sql%' \
                         ORDER BY 1",
                    )
                    .await
            }
        }
    }
}
