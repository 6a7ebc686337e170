//! The tampering table (promise P8): every way of changing a log that is written down here is found by `audit verify`, which names the
//! place.
//!
//! One fleet is deployed twice, once to a good end and once unwound, by the real binary. Each row changes a copy of the log's file
//! with SQL of its own. Keys in the file are given in the order of creation: deploy 1 completed with the tenants 1 (acme) and 2
//! (bolt), deploy 2 was unwound with the tenants 3 (acme) and 4 (bolt); a deploy's own stream is that of tenant 0.

use std::fmt::Write as _;

use serde_json::Value;
use sqlx::Row as _;
use tokio::sync::OnceCell;
use windlass::base::{Digest, TenantId};
use windlass::saga::chain;
use windlass::saga::event::StreamId;

use crate::support::project::{Project, Ran};

/// The events of acme in the first deploy, as many as the rows below count on.
const ACME_EVENTS: i64 = 10;

pub const CONFIGURATION: &str =
    "name = \"shop\"\n[deploy]\nconcurrency = 1\n[fleet]\nsource = { glob = \"tenants/*.db\" }\n";

/// One act of tampering.
struct Tampering {
    /// What somebody does to the log.
    act: &'static str,
    /// How, in SQL.
    sql: &'static str,
    /// What must be found.
    found: &'static [Found],
}

/// A finding: its code, the key of the deploy, the tenant, the event.
type Found = (&'static str, usize, Option<&'static str>, Option<u64>);

const EDIT_A_BODY: &str = "UPDATE events SET body = replace(body, '\"attempt\":1', '\"attempt\":7') WHERE deploy = 1 AND tenant = 1 AND seq = 4";
const DELETE_AN_EVENT: &str = "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 5";
const SWAP_TWO_EVENTS: &str = "UPDATE events SET seq = 99 WHERE deploy = 1 AND tenant = 1 AND seq = 4; \
     UPDATE events SET seq = 4 WHERE deploy = 1 AND tenant = 1 AND seq = 6; \
     UPDATE events SET seq = 6 WHERE deploy = 1 AND tenant = 1 AND seq = 99";
const CUT_THE_LAST_OFF: &str = "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 10";

const TABLE: &[Tampering] = &[
    Tampering { act: "an event's body edited", sql: EDIT_A_BODY, found: &[("WL0701", 1, Some("acme"), Some(4))] },
    Tampering {
        act: "an event's time edited",
        sql: "UPDATE events SET body = json_set(body, '$.at', 1) WHERE deploy = 2 AND tenant = 0 AND seq = 4",
        found: &[("WL0701", 2, None, Some(4))],
    },
    Tampering {
        act: "who started a deploy edited",
        sql: "UPDATE events SET body = json_set(body, '$.event.actor.name', 'somebody') \
              WHERE deploy = 2 AND tenant = 0 AND seq = 1",
        found: &[("WL0701", 2, None, Some(1))],
    },
    Tampering {
        act: "an event made unreadable",
        sql: "UPDATE events SET body = '{' WHERE deploy = 1 AND tenant = 2 AND seq = 2",
        found: &[("WL0701", 1, Some("bolt"), Some(2))],
    },
    Tampering {
        act: "an event's hash edited",
        sql: "UPDATE events SET hash = zeroblob(32) WHERE deploy = 1 AND tenant = 1 AND seq = 3",
        found: &[("WL0701", 1, Some("acme"), Some(3))],
    },
    Tampering { act: "an event deleted", sql: DELETE_AN_EVENT, found: &[("WL0702", 1, Some("acme"), Some(5))] },
    Tampering {
        act: "the first event deleted",
        sql: "DELETE FROM events WHERE deploy = 2 AND tenant = 0 AND seq = 1",
        found: &[("WL0702", 2, None, Some(1))],
    },
    Tampering {
        act: "an event deleted and the gap closed",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 5; \
              UPDATE events SET seq = seq - 1, body = json_set(body, '$.seq', seq - 1) \
                  WHERE deploy = 1 AND tenant = 1 AND seq > 5; \
              UPDATE tenants SET last_seq = last_seq - 1 WHERE key = 1",
        found: &[("WL0701", 1, Some("acme"), Some(5))],
    },
    Tampering {
        act: "two events of a stream swapped",
        sql: SWAP_TWO_EVENTS,
        found: &[("WL0701", 1, Some("acme"), Some(4)), ("WL0701", 1, Some("acme"), Some(6))],
    },
    Tampering {
        act: "two events of a stream swapped, and their numbers with them",
        sql: "UPDATE events SET seq = 99 WHERE deploy = 1 AND tenant = 1 AND seq = 4; \
              UPDATE events SET seq = 4, body = json_set(body, '$.seq', 4) WHERE deploy = 1 AND tenant = 1 AND seq = 6; \
              UPDATE events SET seq = 6, body = json_set(body, '$.seq', 6) WHERE deploy = 1 AND tenant = 1 AND seq = 99",
        found: &[("WL0701", 1, Some("acme"), Some(4)), ("WL0701", 1, Some("acme"), Some(6))],
    },
    Tampering { act: "the last event cut off", sql: CUT_THE_LAST_OFF, found: &[("WL0703", 1, Some("acme"), Some(10))] },
    Tampering {
        act: "the last event cut off, and the header's length put right",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 10; \
              UPDATE tenants SET last_seq = 9 WHERE key = 1",
        found: &[("WL0701", 1, Some("acme"), Some(9))],
    },
    Tampering {
        act: "the last event cut off, and the header's length and head put right",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 10; \
              UPDATE tenants SET last_seq = 9, \
                  head = (SELECT hash FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 9) WHERE key = 1",
        found: &[("WL0705", 1, Some("acme"), None), ("WL0704", 1, None, None)],
    },
    Tampering {
        act: "the last event cut off, and header and row made to fit",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 10; \
              UPDATE tenants SET last_seq = 9, status = 'running', \
                  head = (SELECT hash FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 9) WHERE key = 1",
        found: &[("WL0704", 1, None, None)],
    },
    Tampering {
        act: "the seal cut off",
        sql: "DELETE FROM events WHERE deploy = 2 AND tenant = 0 AND seq = (SELECT last_seq FROM deploys WHERE key = 2); \
              UPDATE deploys SET last_seq = last_seq - 1, head = (SELECT hash FROM events WHERE deploy = 2 AND tenant = 0 \
                  ORDER BY seq DESC LIMIT 1) WHERE key = 2",
        found: &[("WL0705", 2, None, None), ("WL0704", 2, None, None)],
    },
    Tampering {
        act: "the seal cut off, and header and row made to fit",
        sql: "DELETE FROM events WHERE deploy = 2 AND tenant = 0 AND seq = (SELECT last_seq FROM deploys WHERE key = 2); \
              UPDATE deploys SET last_seq = last_seq - 1, summary = json_set(summary, '$.seal', NULL), \
                  head = (SELECT hash FROM events WHERE deploy = 2 AND tenant = 0 ORDER BY seq DESC LIMIT 1) WHERE key = 2",
        found: &[("WL0704", 2, None, None)],
    },
    Tampering {
        act: "the events of a tenant deleted",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 2",
        found: &[("WL0703", 1, Some("bolt"), Some(10))],
    },
    Tampering {
        act: "a tenant deleted with all its events",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 2; DELETE FROM tenants WHERE key = 2",
        found: &[("WL0704", 1, None, None), ("WL0705", 1, None, None)],
    },
    Tampering {
        act: "the events of two tenants swapped",
        sql: "UPDATE events SET tenant = 99 WHERE tenant = 1; UPDATE events SET tenant = 1 WHERE tenant = 2; \
              UPDATE events SET tenant = 2 WHERE tenant = 99",
        found: &[("WL0701", 1, Some("acme"), Some(1)), ("WL0701", 1, Some("bolt"), Some(1))],
    },
    Tampering {
        act: "one event of two tenants swapped",
        sql: "UPDATE events SET tenant = 99 WHERE tenant = 1 AND seq = 7; \
              UPDATE events SET tenant = 1 WHERE tenant = 2 AND seq = 7; \
              UPDATE events SET tenant = 2 WHERE tenant = 99",
        found: &[("WL0701", 1, Some("acme"), Some(7)), ("WL0701", 1, Some("bolt"), Some(7))],
    },
    Tampering {
        act: "the streams of two tenants swapped, headers and all",
        sql: "UPDATE tenants SET tenant = 'x' WHERE key = 1; UPDATE tenants SET tenant = 'acme' WHERE key = 2; \
              UPDATE tenants SET tenant = 'bolt' WHERE key = 1",
        found: &[("WL0701", 1, Some("acme"), Some(1)), ("WL0701", 1, Some("bolt"), Some(1))],
    },
    Tampering {
        act: "an event put at the end",
        sql: "INSERT INTO events (deploy, tenant, seq, body, hash) \
              SELECT deploy, tenant, 11, json_set(body, '$.seq', 11), hash FROM events WHERE tenant = 1 AND seq = 10",
        found: &[("WL0701", 1, Some("acme"), Some(11)), ("WL0703", 1, Some("acme"), Some(11))],
    },
    Tampering {
        act: "an event put between two others",
        sql: "UPDATE events SET seq = seq + 100 WHERE tenant = 1 AND seq > 6; \
              UPDATE events SET seq = seq - 99, body = json_set(body, '$.seq', seq - 99) WHERE tenant = 1 AND seq > 100; \
              INSERT INTO events (deploy, tenant, seq, body, hash) \
              SELECT deploy, tenant, 7, json_set(body, '$.seq', 7), hash FROM events WHERE tenant = 1 AND seq = 6; \
              UPDATE tenants SET last_seq = last_seq + 1 WHERE key = 1",
        found: &[("WL0701", 1, Some("acme"), Some(7))],
    },
    Tampering {
        act: "the root in the seal edited",
        sql: "UPDATE events SET body = json_set(body, '$.event.root', printf('%064d', 7)) \
              WHERE deploy = 1 AND tenant = 0 AND body LIKE '%\"sealed\"%'",
        found: &[("WL0701", 1, None, Some(5)), ("WL0704", 1, None, None)],
    },
    Tampering {
        act: "the seal of an older deploy replayed",
        sql: "UPDATE events SET body = json_set(body, '$.event.root', \
                  (SELECT body ->> '$.event.root' FROM events WHERE deploy = 1 AND body LIKE '%\"sealed\"%')) \
              WHERE deploy = 2 AND tenant = 0 AND body LIKE '%\"sealed\"%'",
        found: &[("WL0701", 2, None, Some(6)), ("WL0704", 2, None, None)],
    },
    Tampering {
        act: "where two tenants are reached exchanged",
        sql: "CREATE TEMP TABLE was AS SELECT key, spec FROM tenants WHERE deploy = 1; \
              UPDATE tenants SET ordinal = 99 - ordinal, spec = (SELECT spec FROM was WHERE was.key <> tenants.key) \
              WHERE deploy = 1",
        found: &[("WL0705", 1, Some("acme"), None), ("WL0705", 1, Some("bolt"), None)],
    },
    Tampering {
        act: "a release's file edited",
        sql: "UPDATE blobs SET bytes = CAST(replace(bytes, 'CREATE TABLE orders', 'CREATE TABLE orderz') AS BLOB) \
              WHERE digest = (SELECT unhex(body ->> '$.event.release') FROM events WHERE deploy = 1 AND tenant = 0 AND seq = 1)",
        found: &[("WL0706", 1, None, None)],
    },
    Tampering {
        act: "a workflow's file edited",
        sql: "UPDATE blobs SET bytes = CAST(bytes || ' ' AS BLOB) \
              WHERE digest = (SELECT unhex(body ->> '$.event.workflow') FROM events WHERE deploy = 2 AND tenant = 0 AND seq = 1)",
        found: &[("WL0706", 2, None, None)],
    },
    Tampering {
        act: "a tenant's frozen plan edited",
        sql: "UPDATE blobs SET bytes = CAST(replace(bytes, 'migrate:', 'migrate;') AS BLOB) \
              WHERE digest = (SELECT unhex(body ->> '$.event.plan') FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 1)",
        found: &[("WL0706", 1, None, None)],
    },
    Tampering {
        act: "a tenant's frozen plan exchanged for another's",
        sql: "UPDATE events SET body = json_set(body, '$.event.plan', \
                  (SELECT body ->> '$.event.plan' FROM events WHERE tenant = 3 AND seq = 1)) WHERE tenant = 1 AND seq = 1",
        found: &[("WL0701", 1, Some("acme"), Some(1))],
    },
    Tampering {
        act: "a plan deleted",
        sql: "DELETE FROM blobs \
              WHERE digest = (SELECT unhex(body ->> '$.event.plan') FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 1)",
        found: &[("WL0507", 1, None, None)],
    },
    Tampering {
        act: "how a tenant is reached edited",
        sql: "UPDATE tenants SET spec = replace(spec, 'bolt.db', 'crow.db') WHERE key = 2",
        found: &[("WL0705", 1, None, None)],
    },
    Tampering {
        act: "where a tenant stands edited",
        sql: "UPDATE tenants SET status = 'untouched' WHERE key = 3",
        found: &[("WL0705", 2, Some("acme"), None)],
    },
    Tampering {
        act: "why a tenant failed edited",
        sql: "UPDATE tenants SET message = 'all is well' WHERE key = 4",
        found: &[("WL0705", 2, Some("bolt"), None)],
    },
    Tampering {
        act: "a tenant's head edited",
        sql: "UPDATE tenants SET head = zeroblob(32) WHERE key = 2",
        found: &[("WL0701", 1, Some("bolt"), Some(10))],
    },
    Tampering {
        act: "a deploy's direction edited",
        sql: "UPDATE deploys SET summary = json_set(summary, '$.direction', 'forward') WHERE key = 2",
        found: &[("WL0705", 2, None, None)],
    },
    Tampering {
        act: "a deploy's row moved to another fleet",
        sql: "UPDATE deploys SET fleet = 'other' WHERE key = 2",
        found: &[("WL0705", 2, None, None)],
    },
    Tampering {
        act: "a deploy's outcome edited",
        sql: "UPDATE deploys SET summary = json_set(summary, '$.outcome', 'completed') WHERE key = 2",
        found: &[("WL0705", 2, None, None)],
    },
    Tampering {
        act: "a deploy's seal edited in its row",
        sql: "UPDATE deploys SET summary = json_set(summary, '$.seal', printf('%064d', 7)) WHERE key = 1",
        found: &[("WL0705", 1, None, None)],
    },
    Tampering {
        act: "a tenant's record put on another release",
        sql: "UPDATE records SET release = zeroblob(32) WHERE tenant = 'bolt'",
        found: &[("WL0705", 2, Some("bolt"), None)],
    },
    Tampering {
        act: "a tenant's record deleted",
        sql: "DELETE FROM records WHERE tenant = 'acme'",
        found: &[("WL0705", 2, Some("acme"), None)],
    },
    Tampering {
        act: "a whole deploy deleted",
        sql: "DELETE FROM events WHERE deploy = 1; DELETE FROM tenants WHERE deploy = 1; DELETE FROM deploys WHERE key = 1",
        found: &[("WL0707", 2, None, None)],
    },
    Tampering {
        act: "two deploys exchanged",
        sql: "PRAGMA foreign_keys = OFF; UPDATE deploys SET key = 3 WHERE key = 1; UPDATE events SET deploy = 3 WHERE deploy = 1; \
              UPDATE tenants SET deploy = 3 WHERE deploy = 1",
        found: &[("WL0707", 1, None, None), ("WL0707", 2, None, None)],
    },
    Tampering {
        act: "a deploy made older",
        sql: "UPDATE deploys SET created_at = created_at - 1 WHERE key = 1",
        found: &[("WL0705", 1, None, None)],
    },
    Tampering {
        act: "a status that there is not",
        sql: "UPDATE tenants SET status = 'fine' WHERE key = 1",
        found: &[("WL0708", 1, None, None)],
    },
    Tampering {
        act: "an event moved to the end of time",
        sql: "UPDATE events SET seq = 1000000000000 WHERE deploy = 1 AND tenant = 1 AND seq = 10",
        found: &[("WL0702", 1, Some("acme"), Some(10))],
    },
    Tampering {
        act: "an event given to a tenant that there is not",
        sql: "INSERT INTO events (deploy, tenant, seq, body, hash) SELECT deploy, 77, 1, body, hash FROM events WHERE tenant = 1 AND seq = 1",
        found: &[("WL0708", 1, None, None)],
    },
];

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
    for Tampering { act, sql, found } in TABLE {
        let copy = finished.copy();
        copy.sql("windlass.db", sql).await.unwrap_or_else(|error| panic!("{act}: {error}"));
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

/// A row of the table of what is tampered with and how that is found, in `docs/reliability/tampering.md`.
pub fn documented<'a>(act: &str, codes: impl Iterator<Item = &'a str>) -> Result<(), String> {
    const DOC: &str = include_str!("../../docs/reliability/tampering.md");
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
    let mut connection = copy.sqlite("windlass.db").await;
    let stream = StreamId::tenant(finished.deploys[0].parse().unwrap(), TenantId::new("acme").unwrap());
    let mut head: Digest = chain::genesis(&stream);
    let events = sqlx::query("SELECT position, body FROM events WHERE tenant = 1 ORDER BY seq");
    for event in events.fetch_all(&mut connection).await.unwrap() {
        head = chain::link(&head, event.get::<String, _>("body").as_bytes());
        let update = sqlx::query("UPDATE events SET hash = ?1 WHERE position = ?2");
        let update = update.bind(head.as_bytes().as_slice()).bind(event.get::<i64, _>("position"));
        update.execute(&mut connection).await.unwrap();
    }
    let header = sqlx::query("UPDATE tenants SET head = ?1 WHERE key = 1").bind(head.as_bytes().as_slice());
    header.execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let found = findings(&copy.windlass("audit verify --json").ends_with(1));
    let deploy = finished.deploys[0].clone();
    assert!(found.contains(&("WL0704".to_owned(), deploy, None, None)), "{found:?}");
}
