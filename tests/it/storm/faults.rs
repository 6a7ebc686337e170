//! What the storm does, and for how long.

use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::cause;
use super::chronicle::{Chronicle, Count};
use super::crew::{Crew, Part};
use super::dice::Dice;
use super::fleet::{Fleet, LEASE_MS, Tenant};
use super::proxy::{Proxy, Weather};
use super::servers::{Engine, Servers};
use crate::support::mariadb;
use crate::support::postgres;

/// One kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Kill,
    Stop,
    Interrupt,
    Cut,
    Silence,
    Refuse,
    LoseAnswers,
    ServerKill,
    PowerCut,
    SessionsEnded,
    DiskFull,
    LogLocked,
    LogLockedLong,
    TenantLocked,
    Unwind,
    Retry,
    Look,
}

impl Fault {
    pub(super) const ALL: [Self; 17] = [
        Self::Kill,
        Self::Stop,
        Self::Interrupt,
        Self::Cut,
        Self::Silence,
        Self::Refuse,
        Self::LoseAnswers,
        Self::ServerKill,
        Self::PowerCut,
        Self::SessionsEnded,
        Self::DiskFull,
        Self::LogLocked,
        Self::LogLockedLong,
        Self::TenantLocked,
        Self::Unwind,
        Self::Retry,
        Self::Look,
    ];

    /// How often it is in the deck that is drawn from: what hurts most is done most.
    fn times(self) -> usize {
        match self {
            Self::Kill => 6,
            Self::Cut | Self::LoseAnswers | Self::Stop | Self::ServerKill => 3,
            Self::PowerCut
            | Self::SessionsEnded
            | Self::Silence
            | Self::Refuse
            | Self::DiskFull
            | Self::TenantLocked
            | Self::Look => 2,
            _ => 1,
        }
    }

    /// Whether it is counted only when it has got hold of something: a lock, or a session to end.
    fn is_counted_later(self) -> bool {
        matches!(self, Self::SessionsEnded | Self::LogLocked | Self::LogLockedLong | Self::TenantLocked)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "worker killed with -9",
            Self::Stop => "worker stopped past its lease, and let go on",
            Self::Interrupt => "worker interrupted (SIGINT, SIGTERM)",
            Self::Cut => "all connections to a tenants' server cut",
            Self::Silence => "a tenants' server beyond a silent network",
            Self::Refuse => "a tenants' server that refuses connections",
            Self::LoseAnswers => "requests delivered, answers lost",
            Self::ServerKill => "a tenants' server killed with -9, and restarted",
            Self::PowerCut => "all workers and a tenants' server killed with -9 at once",
            Self::SessionsEnded => "Windlass's sessions ended by an administrator",
            Self::DiskFull => "the log's disk full",
            Self::LogLocked => "the log locked by another process",
            Self::LogLockedLong => "the log locked for longer than its limit",
            Self::TenantLocked => "a tenant's table locked by somebody",
            Self::Unwind => "an operator says unwind",
            Self::Retry => "an operator says retry",
            Self::Look => "an operator looks (status, audit verify)",
        }
    }
}

/// The kinds in an order that soon brings each of them.
pub(super) struct Deck(Vec<Fault>);

impl Deck {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// The next one that can be done.
    fn draw(&mut self, dice: &mut Dice, can: impl Fn(Fault) -> bool) -> Option<Fault> {
        for _ in 0..2 {
            if let Some(at) = self.0.iter().position(|fault| can(*fault)) {
                return Some(self.0.remove(at));
            }
            // First each of them once.
            self.0.extend(dice.shuffled(Fault::ALL.to_vec()));
            let more = Fault::ALL.iter().flat_map(|fault| std::iter::repeat_n(*fault, fault.times() - 1));
            self.0.extend(dice.shuffled(more.collect()));
        }
        None
    }
}

/// What is under way.
pub(super) struct Storm<'a> {
    fleet: &'a Fleet,
    servers: &'a Servers,
    chronicle: Chronicle,
    /// When which server's network is fair again, and whether it is cut then.
    weather: Vec<(Engine, Instant, bool)>,
    disk_free_at: Option<Instant>,
    tasks: JoinSet<()>,
    /// Whether somebody was sent to say `unwind`.
    pub(super) unwinding: bool,
}

impl<'a> Storm<'a> {
    pub(super) fn over(fleet: &'a Fleet, servers: &'a Servers, chronicle: Chronicle) -> Self {
        let (weather, tasks) = (Vec::new(), JoinSet::new());
        Self { fleet, servers, chronicle, weather, disk_free_at: None, tasks, unwinding: false }
    }

    /// Does one thing.
    pub(super) fn strike(&mut self, deck: &mut Deck, crew: &mut Crew, begun: bool, dice: &mut Dice) {
        let served: Vec<Engine> = self.fleet.engines().into_iter().filter(|engine| *engine != Engine::Sqlite).collect();
        let calm: Vec<Engine> = served
            .into_iter()
            .filter(|engine| !self.servers.is_down(*engine) && self.weather.iter().all(|(of, ..)| of != engine))
            .collect();
        let is_full = self.disk_free_at.is_some();
        let drawn = deck.draw(dice, |fault| match fault {
            Fault::Cut
            | Fault::Silence
            | Fault::Refuse
            | Fault::LoseAnswers
            | Fault::ServerKill
            | Fault::PowerCut
            | Fault::SessionsEnded => !calm.is_empty(),
            Fault::DiskFull => !is_full,
            Fault::Unwind | Fault::Retry => begun,
            _ => true,
        });
        let Some(fault) = drawn else { return };
        if self.carry_out(fault, &calm, crew, dice) {
            // Of the others it shows later whether they befell anything.
            if !fault.is_counted_later() {
                self.chronicle.count(Count::Faults, fault.name(), 1);
            }
        } else {
            // There was nothing that it could befall: its turn comes again.
            deck.0.insert(0, fault);
        }
    }

    fn carry_out(&mut self, fault: Fault, calm: &[Engine], crew: &mut Crew, dice: &mut Dice) -> bool {
        match fault {
            Fault::Kill => crew.kill_one(dice),
            Fault::Stop => {
                let time = dice.millis(LEASE_MS + 300, 2 * LEASE_MS);
                crew.stop_one(dice, time)
            }
            Fault::Interrupt => {
                let twice = dice.chance(50);
                crew.interrupt_one(dice, twice)
            }
            Fault::Cut | Fault::Silence | Fault::Refuse | Fault::LoseAnswers => {
                let engine = *dice.pick(calm);
                let in_use = self.servers.proxy(engine).is_some_and(Proxy::is_in_use);
                // Nobody would notice.
                if !in_use {
                    return false;
                }
                self.blow(fault, engine, dice);
                true
            }
            Fault::ServerKill => self.kill_server(*dice.pick(calm), dice),
            Fault::PowerCut => {
                let engine = *dice.pick(calm);
                crew.kill_all();
                self.kill_server(engine, dice)
            }
            Fault::SessionsEnded => {
                let engine = *dice.pick(calm);
                self.chronicle.tell(format!("an administrator ends Windlass's sessions on {engine:?}"));
                let (port, chronicle) = (self.servers.port(engine), self.chronicle.clone());
                self.tasks.spawn(async move {
                    // The server may be killed meanwhile, by others.
                    let ended = end_sessions(engine, port).await.unwrap_or_default();
                    chronicle.tell(format!("{ended} sessions on {engine:?} were ended"));
                    chronicle.count(Count::Checks, "sessions ended by an administrator", ended);
                    chronicle.count(Count::Faults, fault.name(), u64::from(ended > 0));
                });
                true
            }
            Fault::DiskFull => self.fill(crew, dice),
            Fault::LogLocked => self.lock_log(fault, dice.millis(300, 2500)),
            Fault::LogLockedLong => self.lock_log(fault, dice.millis(10_500, 12_000)),
            Fault::TenantLocked => {
                let (tenant, time) = (dice.pick(&self.fleet.tenants).clone(), dice.millis(500, 4000));
                self.chronicle.tell(format!("somebody locks a table of {} for {time:?}", tenant.name));
                let port = self.servers.port(tenant.engine);
                self.tasks.spawn(lock_tenant(tenant, port, time, self.chronicle.clone()));
                true
            }
            Fault::Unwind => {
                self.unwinding = true;
                let command = self.fleet.command(&["unwind", "--reason", cause::UNWIND]);
                crew.start(Part::Worker, command, "unwind", None);
                true
            }
            Fault::Retry => {
                crew.start(Part::Worker, self.fleet.command(&["retry", "--reason", cause::RETRY]), "retry", None);
                true
            }
            Fault::Look => {
                let words = *dice.pick(&["status", "status --tenants --json", "audit verify", "status --all"]);
                let arguments: Vec<&str> = words.split(' ').collect();
                crew.start(Part::Visitor, self.fleet.command(&arguments), words, None);
                true
            }
        }
    }

    fn kill_server(&mut self, engine: Engine, dice: &mut Dice) -> bool {
        let pause = dice.millis(0, 1200);
        self.chronicle.tell(format!("kill -9 the server {engine:?}, back after {pause:?}"));
        let Some(back) = self.servers.kill(engine, pause) else { return false };
        let chronicle = self.chronicle.clone();
        self.tasks.spawn(async move {
            back.await.unwrap();
            chronicle.tell(format!("the server {engine:?} is back"));
        });
        true
    }

    fn blow(&mut self, fault: Fault, engine: Engine, dice: &mut Dice) {
        let Some(proxy) = self.servers.proxy(engine) else { return };
        let (time, cut) = (dice.millis(300, 3000), dice.chance(50));
        match fault {
            Fault::Silence => proxy.set(Weather::Silent),
            Fault::Refuse => {
                proxy.set(Weather::Refusing);
                proxy.cut();
            }
            Fault::LoseAnswers => proxy.lose_answers(),
            _ => proxy.cut(),
        }
        if matches!(fault, Fault::Silence | Fault::Refuse) {
            self.chronicle.tell(format!("{fault:?} before {engine:?} for {time:?}, cut afterwards: {cut}"));
            self.weather.push((engine, Instant::now() + time, cut));
        } else {
            self.chronicle.tell(format!("{fault:?} before {engine:?}"));
        }
    }

    /// Fills the log's disk; where it is not ours to fill, one process gets no room.
    fn fill(&mut self, crew: &mut Crew, dice: &mut Dice) -> bool {
        if self.fleet.disk.is_small() {
            let time = dice.millis(200, 2500);
            self.chronicle.tell(format!("the log's disk is full for {time:?}"));
            self.fleet.disk.fill();
            self.disk_free_at = Some(Instant::now() + time);
        } else {
            let Ok(log) = std::fs::metadata(self.fleet.log()) else { return false };
            let blocks = log.len() / 512 + 80;
            crew.start(Part::Worker, self.fleet.limited_command(blocks, &["resume"]), "resume without room", None);
        }
        true
    }

    fn lock_log(&mut self, fault: Fault, time: Duration) -> bool {
        let log = self.fleet.log();
        if !log.exists() {
            return false;
        }
        let chronicle = self.chronicle.clone();
        chronicle.tell(format!("somebody wants the log to themselves for {time:?}"));
        self.tasks.spawn(async move {
            let options = SqliteConnectOptions::new().filename(&log).busy_timeout(Duration::from_secs(5));
            let Ok(mut connection) = options.connect().await else { return };
            if sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.is_ok() {
                chronicle.tell(format!("the log is locked for {time:?}"));
                chronicle.count(Count::Faults, fault.name(), 1);
                tokio::time::sleep(time).await;
                let _ = sqlx::raw_sql("ROLLBACK").execute(&mut connection).await;
            }
            let _ = connection.close().await;
        });
        true
    }

    /// Whether nothing that was begun goes on.
    pub(super) fn is_over(&mut self) -> bool {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.unwrap();
        }
        self.weather.is_empty() && self.disk_free_at.is_none() && self.tasks.is_empty()
    }

    /// Ends what has had its time.
    pub(super) fn clear(&mut self, all: bool) {
        let now = Instant::now();
        let (servers, chronicle) = (self.servers, &self.chronicle);
        self.weather.retain(|(engine, until, cut)| {
            if !all && *until > now {
                return true;
            }
            if let Some(proxy) = servers.proxy(*engine) {
                if *cut {
                    proxy.cut();
                }
                proxy.set(Weather::Fair);
            }
            chronicle.tell(format!("fair weather before {engine:?}"));
            false
        });
        if self.disk_free_at.is_some_and(|until| all || until <= now) {
            self.fleet.disk.free();
            self.disk_free_at = None;
            self.chronicle.tell("the log's disk has room");
        }
    }

    /// Ends everything, and waits until it is over.
    pub(super) async fn end(mut self) {
        self.clear(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.clear(true);
    }
}

/// Ends the sessions of the tenants' users, as an administrator may. How many there were.
async fn end_sessions(engine: Engine, port: u16) -> Result<u64, sqlx::Error> {
    let ended: i64;
    match engine {
        Engine::Sqlite => ended = 0,
        Engine::Postgres => {
            let mut connection = PgConnection::connect(&postgres::superuser_url(port, "postgres")).await?;
            let end = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity WHERE usename = 'app') \
                       AS sessions WHERE ended";
            ended = sqlx::query_scalar(end).fetch_one(&mut connection).await?;
            connection.close().await?;
        }
        Engine::MariaDb => {
            let mut connection = mariadb::plain(&mariadb::superuser_url(port, "")).connect().await?;
            let there = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'";
            ended = sqlx::query_scalar(there).fetch_one(&mut connection).await?;
            sqlx::raw_sql("KILL CONNECTION USER app").execute(&mut connection).await?;
            connection.close().await?;
        }
    }
    Ok(ended.unsigned_abs())
}

/// Holds a lock on a table that migrations want. Whatever befalls its server befalls this session too.
async fn lock_tenant(tenant: Tenant, port: u16, time: Duration, chronicle: Chronicle) {
    let holds = || chronicle.count(Count::Faults, Fault::TenantLocked.name(), 1);
    let _: Result<(), sqlx::Error> = async {
        match tenant.engine {
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&postgres::url_at(port, &tenant.database)).await?;
                sqlx::raw_sql("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").execute(&mut connection).await?;
                holds();
                tokio::time::sleep(time).await;
                connection.close().await
            }
            Engine::MariaDb => {
                let mut connection = mariadb::plain(&mariadb::superuser_url(port, &tenant.database)).connect().await?;
                sqlx::raw_sql(AssertSqlSafe("LOCK TABLES items WRITE")).execute(&mut connection).await?;
                holds();
                tokio::time::sleep(time).await;
                connection.close().await
            }
            Engine::Sqlite => {
                let options = SqliteConnectOptions::new().filename(&tenant.database);
                let mut connection = options.connect().await?;
                sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await?;
                holds();
                tokio::time::sleep(time).await;
                connection.close().await
            }
        }
    }
    .await;
}
