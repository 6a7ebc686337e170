//! The judge is judged: each thing that it looks for, done by hand to a fleet that is as it should be, is found.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection};

use super::chronicle::Chronicle;
use super::dice::Dice;
use super::fleet::{Fleet, Sight};
use super::judge::{Case, Way};
use super::release::Speech;
use super::servers::{Engine, Servers};
use crate::support::{oracle, postgres};

/// What is done to which tenant, what takes it back, and what is said of it.
const HARMS: [(&str, &str, &str, &str); 8] = [
    (
        "pg0",
        "UPDATE passages SET ups = ups + 1 WHERE migration = 2",
        "UPDATE passages SET ups = ups - 1 WHERE migration = 2",
        "pg0: 2 has taken effect 2 times",
    ),
    (
        "my0",
        "UPDATE passages SET ups = ups + 1, downs = downs + 1 WHERE migration = 50",
        "UPDATE passages SET ups = ups - 1, downs = downs - 1 WHERE migration = 50",
        "my0: 50 has taken effect 1 times and was undone 1 times",
    ),
    (
        "lite1",
        "UPDATE passages SET ups = 0 WHERE migration = 1",
        "UPDATE passages SET ups = 1 WHERE migration = 1",
        "lite1: passages of 1 are gone",
    ),
    (
        "my1",
        "UPDATE items SET score = score + 1 WHERE id = 7",
        "UPDATE items SET score = score - 1 WHERE id = 7",
        "my1 is not as it should be",
    ),
    ("pg1", "CREATE TABLE half (id int)", "DROP TABLE half", "pg1 is not as it should be"),
    ("lite0", "CREATE INDEX extra ON items (label)", "DROP INDEX extra", "lite0 is not as it should be"),
    (
        "pg0",
        "UPDATE windlass_ledger SET digest = digest || '0' WHERE position = 2",
        "UPDATE windlass_ledger SET digest = left(digest, -1) WHERE position = 2",
        "pg0 is not as it should be",
    ),
    (
        "my0",
        "INSERT INTO windlass_ledger (position, deploy_id, step_id, half, version, name, digest, effect, epoch, at) \
         SELECT position + 10, deploy_id, 'again', half, version, name, digest, effect, epoch, at FROM windlass_ledger \
         WHERE position = 2",
        "DELETE FROM windlass_ledger WHERE step_id = 'again'",
        "+ had twice: apply of 2 0002_nap",
    ),
];

/// The same, of the log.
const HARMS_OF_THE_LOG: [(&str, &str); 5] = [
    ("UPDATE tenants SET owner = 'somebody' WHERE tenant = 'my0'", "a lease is left: my0 by somebody"),
    (
        "DELETE FROM events WHERE position = (SELECT max(position) FROM events WHERE tenant <> 0 AND seq = 3)",
        "a stream of the log: ",
    ),
    ("UPDATE tenants SET last_seq = last_seq + 1 WHERE tenant = 'pg0'", "a stream of the log: pg0"),
    ("UPDATE tenants SET status = 'unwound' WHERE tenant = 'lite0'", "and the tenants are"),
    (
        "UPDATE events SET body = replace(body, 'step_started', 'undo_started') WHERE tenant <> 0",
        "took effect and there is no step_started",
    ),
];

struct Judged {
    fleet: Fleet,
    servers: Servers,
    before: BTreeMap<String, Sight>,
    target: BTreeMap<Engine, Sight>,
}

impl Judged {
    async fn found() -> Self {
        let (servers, mut dice) = (Servers::start().await, Dice::new(1));
        let mut fleet = Fleet::found("judged", Speech::Common, 4, &servers, &mut dice).await;
        fleet.extend(1, None, &mut dice);
        fleet.run(&["deploy"]).ends_with(0);
        let before = fleet.sights(&servers).await;
        fleet.extend(2, Some(1), &mut dice);
        fleet.run(&["deploy"]).ends_with(0);
        fleet.run_calm(&["deploy"]).ends_with(0);
        let target = fleet.calm_sights(&servers).await;
        Self { fleet, servers, before, target }
    }

    async fn findings(&self) -> Vec<String> {
        let Self { fleet, servers, before, target } = self;
        let chronicle = Chronicle::new();
        let case = Case { fleet, servers, way: Way::Forward, counted: &[2, 3], before, target, outcome: "completed" };
        case.judge(&chronicle).await;
        chronicle.findings()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_of_the_storm_finds_what_is_wrong() {
    let it = Judged::found().await;
    assert_eq!(it.findings().await, Vec::<String>::new());
    for (tenant, harm, heal, expected) in HARMS {
        let tenant = it.fleet.tenants.iter().find(|of| of.name == tenant).unwrap();
        tenant.execute(&it.servers, harm).await;
        let found = it.findings().await.join("\n");
        assert!(found.contains(expected), "{harm}: {found}");
        tenant.execute(&it.servers, heal).await;
    }
    let log = it.fleet.log();
    for (harm, expected) in HARMS_OF_THE_LOG {
        oracle::execute_in_sqlite(&log, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        let kept = std::fs::read(&log).unwrap();
        oracle::execute_in_sqlite(&log, harm).await;
        let found = it.findings().await.join("\n");
        assert!(found.contains(expected), "{harm}: {found}");
        // A lease is no part of what the log proves.
        assert_eq!(found.contains("audit verify"), !expected.contains("lease"), "{harm}: {found}");
        oracle::execute_in_sqlite(&log, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        std::fs::write(&log, kept).unwrap();
    }
    assert_eq!(it.findings().await, Vec::<String>::new());
    sees_what_is_left_on_a_server(&it).await;
}

async fn sees_what_is_left_on_a_server(it: &Judged) {
    assert_eq!(it.servers.left_behind(Engine::Postgres).await, Vec::<String>::new());
    let tenant = it.fleet.tenants.iter().find(|of| of.engine == Engine::Postgres).unwrap();
    let mut connection =
        PgConnection::connect(&postgres::url_at(it.servers.port(Engine::Postgres), &tenant.database)).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(1)").execute(&mut connection).await.unwrap();
    let left = it.servers.left_behind(Engine::Postgres).await.join("\n");
    assert!(left.contains("session of app") && left.contains("advisory lock"), "{left}");
}
