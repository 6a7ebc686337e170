//! The tampering table (promise P8): every way of changing a log that is written down here is found by `audit verify`, which names the
//! place.
//!
//! One fleet is deployed twice, once to a good end and once unwound, by the real binary. Each row changes a copy of the log's file
//! with SQL of its own.

mod table;

use std::fmt::Write as _;

use serde_json::Value;
use sqlx::Row as _;
use tokio::sync::OnceCell;
use windlass::base::{Digest, TenantId};
use windlass::saga::chain;
use windlass::saga::event::StreamId;

pub use self::table::CUT_THE_END_OFF;
use self::table::{
    CHAINED_ANEW, CUT_THE_LAST_OFF, DELETE_AN_EVENT, EDIT_A_BODY, NOT_FOUND, SWAP_TWO_EVENTS, TABLE, Tampering,
};
use crate::support::project::{Project, Ran};

/// The events of acme in the first deploy, as many as the rows below count on.
const ACME_EVENTS: i64 = 10;

pub const CONFIGURATION: &str =
    "name = \"shop\"\n[deploy]\nconcurrency = 1\n[fleet]\nsource = { glob = \"tenants/*.db\" }\n";

/// The finished project, and the ids of its two deploys.
struct Finished {
    project: Project,
    deploys: [String; 2],
}

/// Two tenants and two deploys: one that completes, and one that is unwound because bolt cannot take it.
pub async fn deploy_twice(project: &Project, configuration: &str) {
    project.write("windlass.toml", configuration);
    for (tenant, rows) in [("acme", "('ann'), ('bob')"), ("bolt", "('cat'), ('cat')")] {
        let sql = format!("CREATE TABLE customers (name TEXT NOT NULL); INSERT INTO customers VALUES {rows}");
        project.sql(&format!("tenants/{tenant}.db"), &sql).await.unwrap();
    }
    project.write("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n");
    project.write("migrations/0001_orders.down.sql", "DROP TABLE orders;\n");
    project.write("migrations/0002_bills.up.sql", "CREATE TABLE bills (id INTEGER PRIMARY KEY);\n");
    project.write("migrations/0002_bills.down.sql", "DROP TABLE bills;\n");
    project.windlass("deploy").ends_with(0);
    project.write("migrations/0003_unique.up.sql", "CREATE UNIQUE INDEX names ON customers (name);\n");
    project.write("migrations/0003_unique.down.sql", "DROP INDEX names;\n");
    project.windlass("deploy").ends_with(3);
}

static FINISHED: OnceCell<Finished> = OnceCell::const_new();

async fn finished() -> &'static Finished {
    FINISHED.get_or_init(Finished::make).await
}

impl Finished {
    async fn make() -> Self {
        let project = Project::new();
        deploy_twice(&project, CONFIGURATION).await;
        let keys = project.sql("windlass.db", "SELECT key, id FROM deploys ORDER BY key").await.unwrap();
        let id = |key: &str| keys.iter().find_map(|row| row.strip_prefix(key)).unwrap().to_owned();
        let deploys = [id("1 | "), id("2 | ")];
        let tenants = "SELECT key, deploy, tenant FROM tenants ORDER BY key";
        let tenants = project.sql("windlass.db", tenants).await.unwrap();
        assert_eq!(tenants, ["1 | 1 | acme", "2 | 1 | bolt", "3 | 2 | acme", "4 | 2 | bolt"]);
        let length = project.sql("windlass.db", "SELECT last_seq FROM tenants WHERE key = 1").await.unwrap();
        assert_eq!(length, [ACME_EVENTS.to_string()]);
        Self { project, deploys }
    }

    /// A copy of the log, in a project of its own.
    fn copy(&self) -> Project {
        let copy = Project::new();
        copy.write("windlass.toml", CONFIGURATION);
        // The write-ahead log is part of the log.
        for file in ["windlass.db", "windlass.db-wal"].iter().filter(|file| self.project.at(file).exists()) {
            std::fs::copy(self.project.at(file), copy.at(file)).unwrap();
        }
        copy
    }

    /// What `audit verify` finds in a copy after these statements, as a person reads it.
    async fn verify_after(&self, sql: &str) -> Ran {
        let copy = self.copy();
        copy.sql("windlass.db", sql).await.unwrap();
        copy.windlass("audit verify").ends_with(1)
    }
}

/// The findings of `audit verify --json`: code, deploy, tenant, event.
pub fn findings(ran: &Ran) -> Vec<(String, String, Option<String>, Option<u64>)> {
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let reports = answer["deploys"].as_array().unwrap().iter();
    let all = reports.flat_map(|deploy| deploy["report"]["findings"].as_array().unwrap());
    all.map(|found| {
        assert!(!text(&found["message"]).unwrap().is_empty());
        (text(&found["code"]).unwrap(), text(&found["deploy"]).unwrap(), text(&found["tenant"]), found["seq"].as_u64())
    })
    .collect()
}

#[tokio::test]
async fn a_log_that_nobody_changed_is_verified() {
    let ran = finished().await.copy().windlass("audit verify --json").ends_with(0);
    assert_eq!(findings(&ran), []);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&answer["verified"], answer["deploys"].as_array().map(Vec::len)), (&Value::Bool(true), Some(2)));
}

#[tokio::test]
async fn every_act_of_tampering_is_found_where_it_was_done() {
    let finished = finished().await;
    let mut report = String::new();
    let acts = TABLE.iter().map(|act| (act, false)).chain(CHAINED_ANEW.iter().map(|act| (act, true)));
    for (Tampering { act, sql, found }, chained_anew) in acts {
        let copy = finished.copy();
        copy.sql("windlass.db", sql).await.unwrap_or_else(|error| panic!("{act}: {error}"));
        if chained_anew {
            chain_anew(&copy).await;
        }
        let ran = copy.windlass("audit verify --json");
        if ran.code != Some(1) {
            let _ = writeln!(report, "{act}: ended with {:?}: {}{}", ran.code, ran.stdout, ran.stderr);
            continue;
        }
        let findings = findings(&ran);
        for (code, deploy, tenant, seq) in *found {
            let deploy = finished.deploys[deploy - 1].clone();
            let wanted = ((*code).to_owned(), deploy, tenant.map(str::to_owned), *seq);
            if !findings.contains(&wanted) {
                let _ = writeln!(report, "{act}: {wanted:?} is not among {findings:#?}");
            }
        }
        if let Err(error) = documented(act, found.iter().map(|(code, ..)| *code)) {
            let _ = writeln!(report, "{error}");
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// The limits of what can be found are held to as well: once one of these is found, the documentation says too little.
#[tokio::test]
async fn what_cannot_be_found_in_a_log_is_written_down_as_that() {
    let finished = finished().await;
    for Tampering { act, sql, .. } in NOT_FOUND {
        let copy = finished.copy();
        let records = copy.sql("windlass.db", "SELECT hex(target) FROM records").await.unwrap();
        assert_eq!(records.len(), 2);
        copy.sql("windlass.db", sql).await.unwrap_or_else(|error| panic!("{act}: {error}"));
        copy.windlass("audit verify").ends_with(0);
        documented(act, ["not found"].into_iter()).unwrap();
    }
}

/// Writes every chain anew over the bodies as they are, and the headers to match.
async fn chain_anew(copy: &Project) {
    let mut connection = copy.sqlite("windlass.db").await;
    let streams = "SELECT d.key AS deploy, d.id, 0 AS tenant, NULL AS name FROM deploys AS d \
                   UNION ALL SELECT d.key, d.id, t.key, t.tenant FROM tenants AS t JOIN deploys AS d ON d.key = t.deploy";
    for stream in sqlx::query(streams).fetch_all(&mut connection).await.unwrap() {
        let (deploy, tenant) = (stream.get::<i64, _>("deploy"), stream.get::<i64, _>("tenant"));
        let name = stream.get::<Option<String>, _>("name").map(|name| TenantId::new(name).unwrap());
        let id = StreamId { deploy: stream.get::<String, _>("id").parse().unwrap(), tenant: name };
        let mut head: Digest = chain::genesis(&id);
        let events = sqlx::query("SELECT position, body FROM events WHERE deploy = ?1 AND tenant = ?2 ORDER BY seq");
        let events = events.bind(deploy).bind(tenant).fetch_all(&mut connection).await.unwrap();
        for event in &events {
            head = chain::link(&head, event.get::<String, _>("body").as_bytes());
            let update = sqlx::query("UPDATE events SET hash = ?1 WHERE position = ?2");
            let update = update.bind(head.as_bytes().as_slice()).bind(event.get::<i64, _>("position"));
            update.execute(&mut connection).await.unwrap();
        }
        let header = if tenant == 0 {
            "UPDATE deploys SET head = ?1, last_seq = ?2 WHERE key = ?3"
        } else {
            "UPDATE tenants SET head = ?1, last_seq = ?2 WHERE key = ?3"
        };
        let key = if tenant == 0 { deploy } else { tenant };
        let header = sqlx::query(header).bind(head.as_bytes().as_slice());
        header.bind(i64::try_from(events.len()).unwrap()).bind(key).execute(&mut connection).await.unwrap();
    }
    sqlx::Connection::close(connection).await.unwrap();
}

/// A row of the table of what is tampered with and how that is found, in `docs/reliability/tampering.md`.
pub fn documented<'a>(act: &str, codes: impl Iterator<Item = &'a str>) -> Result<(), String> {
    const DOC: &str = include_str!("../../../docs/reliability/tampering.md");
    let mut codes: Vec<&str> = codes.collect();
    codes.dedup();
    let row = format!("| {act} | {} |", codes.join(", "));
    println!("{row}");
    if DOC.lines().any(|line| line == row) { Ok(()) } else { Err(format!("docs/reliability/tampering.md lacks {row}")) }
}

/// The four that the README shows.
#[tokio::test]
async fn a_finding_names_its_place_in_words() {
    let finished = finished().await;
    let acme = format!("deploy {}, tenant acme", finished.deploys[0]);
    for (sql, line) in [
        (
            EDIT_A_BODY,
            format!(
                "  WL0701 {acme}, event 4: this is not the event that was written: its hash does not follow from it and from \
                 the event before\n"
            ),
        ),
        (DELETE_AN_EVENT, format!("  WL0702 {acme}, event 5: this event is not there any more\n")),
        (
            SWAP_TWO_EVENTS,
            format!(
                "  WL0701 {acme}, event 4: this is not the event that was written: it says that it stands elsewhere\n"
            ),
        ),
        (CUT_THE_LAST_OFF, format!("  WL0703 {acme}, event 10: the stream has 9 events and its header says 10\n")),
    ] {
        let ran = finished.verify_after(sql).await;
        assert!(ran.stdout.contains(&line), "{line} is not in\n{}", ran.stdout);
    }
}

/// Somebody who knows how the chain is made writes a stream anew, so that all its hashes fit: the seal is what is left to find it by.
#[tokio::test]
async fn a_stream_that_was_written_anew_breaks_the_seal() {
    let finished = finished().await;
    let copy = finished.copy();
    copy.sql("windlass.db", "UPDATE events SET body = json_set(body, '$.at', 1) WHERE tenant = 1 AND seq = 4")
        .await
        .unwrap();
    chain_anew(&copy).await;
    let found = findings(&copy.windlass("audit verify --json").ends_with(1));
    let deploy = finished.deploys[0].clone();
    assert!(found.contains(&("WL0704".to_owned(), deploy, None, None)), "{found:?}");
}

/// A tenant that the newest deploy did not have: its record is what an earlier one led to.
#[tokio::test]
async fn a_record_that_would_keep_a_tenant_from_its_migrations_is_found_whichever_deploy_it_came_from() {
    let project = Project::new();
    project.write("windlass.toml", CONFIGURATION);
    for tenant in ["acme", "bolt"] {
        project.sql(&format!("tenants/{tenant}.db"), "CREATE TABLE customers (name TEXT)").await.unwrap();
    }
    for (migration, table) in [("0001_a", "a"), ("0002_b", "b")] {
        project.write(&format!("migrations/{migration}.up.sql"), &format!("CREATE TABLE {table} (id INTEGER);\n"));
        project.write(&format!("migrations/{migration}.down.sql"), &format!("DROP TABLE {table};\n"));
        project.windlass(if table == "a" { "deploy" } else { "deploy --only acme" }).ends_with(0);
    }
    // One that had nothing to do, by an own deploy of the other, has arrived as well.
    project.windlass("audit verify").ends_with(0);
    let forged =
        "UPDATE records SET release = (SELECT release FROM records WHERE tenant = 'acme') WHERE tenant = 'bolt'";
    project.sql("windlass.db", forged).await.unwrap();
    let found = findings(&project.windlass("audit verify --json").ends_with(1));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0.as_str(), found[0].2.as_deref()), ("WL0705", Some("bolt")));
}

/// No deploy is no proof of anything.
#[tokio::test]
async fn a_log_whose_deploys_were_all_deleted_is_not_verified() {
    let finished = finished().await;
    let copy = finished.copy();
    let all = "DELETE FROM events; DELETE FROM tenants; DELETE FROM deploys";
    copy.sql("windlass.db", all).await.unwrap();
    let ran = copy.windlass("audit verify").ends_with(1);
    let line =
        "  WL0707 as a whole: the log has records of the tenants of fleet shop, and no deploy that they come from\n";
    assert_eq!(ran.stdout, format!("the log holds no deploy\n{line}"));
    copy.sql("windlass.db", "DELETE FROM records").await.unwrap();
    assert_eq!(copy.windlass("audit verify").ends_with(0).stdout, "the log holds no deploy\n");
    let key = copy.windlass("audit keygen key --json").ends_with(0);
    let key: Value = serde_json::from_str(&key.stdout).unwrap();
    let ran = copy.windlass(&format!("audit verify --key {}", key["public_key"].as_str().unwrap())).ends_with(1);
    assert!(ran.stderr.starts_with("WL0401"), "{}", ran.stderr);
}
