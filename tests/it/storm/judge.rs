//! Whether a deploy has left everything as its outcome says: the tenants, and the log, each read with SQL of the tests' own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::chronicle::{Chronicle, Count};
use super::fleet::{Fleet, Sight};
use super::servers::{Engine, Servers};
use crate::support::oracle::Account;

/// How long sessions of the dead may be seen on a server: it looks for their clients every half second.
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Which way the deploy was meant to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Rollback,
}

/// What is to be judged.
pub(super) struct Case<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) servers: &'a Servers,
    pub(super) way: Way,
    /// The numbers of the migrations that it brings or takes back, and that count their passages.
    pub(super) counted: &'a [usize],
    /// What the tenants held before it.
    pub(super) before: &'a BTreeMap<String, Sight>,
    /// What they are to hold where it has completed.
    pub(super) target: &'a BTreeMap<Engine, Sight>,
    pub(super) outcome: &'a str,
}

impl Case<'_> {
    /// Says what is wrong; gives what the tenants hold.
    pub(super) async fn judge(&self, chronicle: &Chronicle) -> BTreeMap<String, Sight> {
        let after = self.fleet.sights(self.servers).await;
        let account = Account::read(&self.fleet.log()).await;
        let mut faults = account.faults(self.outcome);
        faults.extend(self.told_wrongly(&account));
        for tenant in &self.fleet.tenants {
            let (before, after) = (&self.before[&tenant.name], &after[&tenant.name]);
            let expected = if self.outcome == "completed" { &self.target[&tenant.engine].lines } else { &before.lines };
            if *expected != after.lines {
                faults.push(format!("{} is not as it should be:\n{}", tenant.name, difference(expected, &after.lines)));
            }
            faults.extend(self.passages(&account, &tenant.name, before, after, chronicle));
            chronicle.count(Count::Checks, "tenants compared, definitions and rows", 1);
        }
        faults.extend(of_streams(&self.fleet.log(), chronicle).await);
        faults.extend(self.left_behind().await);
        let verified = self.fleet.run(&["audit", "verify"]);
        if verified.code != Some(0) {
            faults.push(format!("audit verify: {verified:?}"));
        }
        for fault in faults {
            chronicle.find(format!("{}: {fault}", self.fleet.name));
        }
        after
    }

    /// The account that the deploy ended with, beside the tenants' own ends.
    fn told_wrongly(&self, account: &Account) -> Vec<String> {
        let mut statuses: BTreeMap<&str, u64> = BTreeMap::new();
        for status in account.statuses.values() {
            *statuses.entry(status).or_default() += 1;
        }
        let Some(end) = account.own().find(|entry| entry.kind() == "deploy_finished") else { return Vec::new() };
        let told = end.body["account"].as_object().unwrap();
        let told: BTreeMap<&str, u64> = told
            .iter()
            .map(|(status, count)| (status.as_str(), count.as_u64().unwrap()))
            .filter(|(_, count)| *count > 0)
            .collect();
        if account.statuses.len() != self.fleet.tenants.len() || told != statuses {
            return vec![format!("the account tells {told:?}, and the tenants are {statuses:?}")];
        }
        Vec::new()
    }

    /// Each effect once, and none that the log had not announced.
    fn passages(
        &self,
        account: &Account,
        tenant: &str,
        before: &Sight,
        after: &Sight,
        chronicle: &Chronicle,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        for (number, is) in &after.passages {
            let was = &before.passages[number];
            let (Some(up), Some(down)) = (is.0.checked_sub(was.0), is.1.checked_sub(was.1)) else {
                faults.push(format!("{tenant}: passages of {number} are gone: {was:?}, then {is:?}"));
                continue;
            };
            let (acted, undone) = if self.way == Way::Forward { (up, down) } else { (down, up) };
            let right = match (self.counted.contains(number), self.outcome) {
                (false, _) => (acted, undone) == (0, 0),
                (true, "completed") => (acted, undone) == (1, 0),
                (true, _) => acted == undone && acted <= 1,
            };
            if !right {
                faults.push(format!("{tenant}: {number} has taken effect {acted} times and was undone {undone} times"));
            }
            for (effects, kind) in [(acted, "step_started"), (undone, "undo_started")] {
                let step = format!("{number:04}");
                let announced = account.entries.iter().any(|entry| {
                    entry.tenant.as_deref() == Some(tenant)
                        && entry.kind() == kind
                        && entry.body["step"].as_str().is_some_and(|name| name.contains(&step))
                });
                if effects > 0 && !announced {
                    faults.push(format!("{tenant}: {number} took effect and there is no {kind}"));
                }
                chronicle.count(Count::Checks, "effects with their announcements", effects);
            }
        }
        faults
    }

    /// Sessions and locks that stay on the servers.
    async fn left_behind(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for engine in self.fleet.engines() {
            let deadline = Instant::now() + GONE_WITHIN;
            loop {
                let left = self.servers.left_behind(engine).await;
                if left.is_empty() {
                    break;
                }
                if Instant::now() > deadline {
                    faults.push(format!("left on {engine:?}: {left:?}"));
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        faults
    }
}

pub(super) fn difference(expected: &[String], found: &[String]) -> String {
    let missing = expected.iter().filter(|line| !found.contains(line)).map(|line| format!("- {line}"));
    let more = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}"));
    let lines: Vec<String> = missing.chain(more).collect();
    if lines.is_empty() { format!("in order or number:\n{expected:#?}\n{found:#?}") } else { lines.join("\n") }
}

/// Opens a log to look at it, so that the look changes nothing: whoever may write moves the write-ahead log into the file at the end.
async fn look_at(log: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new().filename(log).read_only(true).busy_timeout(Duration::from_secs(5)).connect().await
}

/// How many deploys there are, and how the newest has ended. None where the log cannot be read, or is not there.
pub(super) async fn newest(log: &Path) -> Option<(i64, Option<String>)> {
    let mut connection = look_at(log).await.ok()?;
    let found = sqlx::query_as(
        "SELECT (SELECT count(*) FROM deploys), (SELECT outcome FROM deploys ORDER BY key DESC LIMIT 1)",
    )
    .fetch_one(&mut connection)
    .await;
    let _ = connection.close().await;
    found.ok()
}

/// The tenants of the newest deploy that are stuck, and over what.
pub(super) async fn stuck(log: &Path) -> Vec<(String, String)> {
    let mut connection = look_at(log).await.unwrap();
    let found = sqlx::query_as(
        "SELECT tenant, coalesce(step, '') || ': ' || coalesce(message, '') FROM tenants \
         WHERE status = 'stuck' AND deploy = (SELECT max(key) FROM deploys) ORDER BY ordinal",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    found
}

/// Every stream of the log is numbered from 1 without gaps, and as long as its header says.
async fn of_streams(log: &Path, chronicle: &Chronicle) -> Vec<String> {
    let mut connection = look_at(log).await.unwrap();
    let broken: Vec<String> = sqlx::query_scalar(
        "WITH heads AS (
             SELECT key AS deploy, 0 AS tenant, id AS name, last_seq FROM deploys
             UNION ALL SELECT deploy, key, tenant, last_seq FROM tenants),
         streams AS (SELECT deploy, tenant, count(*) AS events, min(seq) AS low, max(seq) AS high FROM events GROUP BY 1, 2)
         SELECT coalesce(name, '?') || ': ' || coalesce(events, 0) || ' events, ' || coalesce(low, 0) || ' to ' || coalesce(high, 0)
             || ', last ' || coalesce(last_seq, 0)
         FROM heads FULL JOIN streams USING (deploy, tenant)
         WHERE low IS NOT 1 OR high IS NOT events OR high IS NOT last_seq",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let streams: i64 = sqlx::query_scalar("SELECT (SELECT count(*) FROM deploys) + (SELECT count(*) FROM tenants)")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    chronicle.count(Count::Checks, "streams without a gap", streams.unsigned_abs());
    broken.into_iter().map(|stream| format!("a stream of the log: {stream}")).collect()
}
