//! The server killed with -9 between a delivery's arrival and its deploy's end: nothing is lost, nothing is done twice, and whoever has asked
//! is told how it ended. And the server told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::SqliteConnection;

use super::fake::{Answer, Fake, Heard};
use super::house::{House, Server};

/// A revision, how its deploy ends, and the last word to whoever has sent it.
const ENDS: [(&str, &str, &str); 2] = [("v2", "completed", "success"), ("bad", "unwound", "failure")];

/// A server that can tell, with this variable.
fn serve(house: &House, more: &[(&str, &str)]) -> Server {
    house.serve_with(&[&[("HUB_TOKEN", "a token")], more].concat())
}

/// Delivers until it dies; the answer, where there was one.
#[cfg(feature = "crash-points")]
async fn deliver_to_the_dying(server: &Server, id: &str, revision: &str) -> Option<String> {
    let sent = server.delivery(id, &super::house::deployment(id, revision)).send().await.ok()?;
    let answer: serde_json::Value = sent.json().await.ok()?;
    answer["id"].as_str().map(str::to_owned)
}

/// How often it was told this, and took it.
fn told(heard: &[Heard], state: &str) -> usize {
    heard.iter().filter(|of| of.body["state"] == state && matches!(of.answered, Some(200 | 201))).count()
}

/// One server after the other is killed at these points; the next one ends what the first had begun, and tells of it.
#[cfg(feature = "crash-points")]
async fn die_at(deaths: &[(&str, u32)], (revision, standing, last): (&str, &str, &str)) {
    let fake = Fake::kind().await;
    let house = House::of(3, "").telling(&fake.url);
    let mut known = None;
    for (death, (point, nth)) in deaths.iter().enumerate() {
        let dying = serve(&house, &[("WINDLASS_CRASH_AT", &format!("{point}:{nth}"))]);
        if death == 0 {
            known = deliver_to_the_dying(&dying, "d", revision).await;
        }
        let status = dying.ends().await;
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}:{nth} was not passed");
    }
    assert_eq!(told(&fake.heard(), last), 0, "{deaths:?}: it is told of before it has ended");
    let server = serve(&house, &[]);
    let (status, again) = server.deliver("d", revision).await;
    let id = again["id"].as_str().unwrap().to_owned();
    assert_eq!(status, reqwest::StatusCode::OK, "{deaths:?}: what was durable is known: {again}");
    assert!(known.is_none_or(|known| known == id), "{deaths:?}");
    let deploy = server.until(&id, standing).await;
    let census = if standing == "completed" { json!({ "completed": 3 }) } else { deploy["account"]["census"].clone() };
    assert_eq!(deploy["account"]["census"], census, "{deaths:?}");
    let (_, all) = server.get("/v1/deploys").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "{deaths:?}: {all:#}");
    let heard = fake.until(|heard| heard.last().is_some_and(|of| of.body["state"] == last)).await;
    assert_eq!(told(&heard, last), 1, "{deaths:?}");
    drop(server);
    house.project.windlass("audit verify").ends_with(0);
    let tables = house.project.sql("tenants/t0001.db", "SELECT name FROM pragma_table_info('orders')").await.unwrap();
    assert_eq!(tables.len(), if standing == "completed" { 3 } else { 0 }, "{deaths:?}: {tables:?}");
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn a_server_killed_anywhere_leaves_a_deploy_that_the_next_one_ends_and_tells_of() {
    let points = [
        ("request-accepted", 1),
        ("request-taken", 1),
        ("before-create", 1),
        ("after-create", 1),
        ("request-created", 1),
        ("before-append", 3),
        ("after-append", 3),
        ("after-claim", 1),
        ("after-open", 1),
        ("before-effect", 2),
        ("inside-effect", 1),
        ("after-effect", 2),
        ("before-log-commit", 4),
        ("after-log-commit", 5),
        ("before-finish", 1),
    ];
    for end in ENDS {
        for death in points {
            die_at(&[death], end).await;
        }
    }
    // Only what goes down undoes.
    for death in [("before-undo-effect", 1), ("inside-undo-effect", 1), ("after-undo-effect", 1)] {
        die_at(&[death], ENDS[1]).await;
    }
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn a_server_killed_while_it_looks_what_the_one_before_it_has_left_leaves_it_to_the_next_one() {
    // Evidence is read only where there is a doubt, and that takes a death.
    die_at(&[("after-effect", 1), ("after-probe", 1)], ENDS[0]).await;
    die_at(&[("after-undo-effect", 1), ("after-probe", 1)], ENDS[1]).await;
}

#[tokio::test]
async fn an_end_that_was_durable_and_not_told_when_the_server_died_is_told_by_the_next_one() {
    for (revision, standing, last) in ENDS {
        let open = Arc::new(AtomicBool::new(false));
        let is_open = Arc::clone(&open);
        let turns_away = move |_, of: &Heard| {
            Answer::Status(if of.body["state"] == last && !is_open.load(Ordering::SeqCst) { 503 } else { 201 })
        };
        let fake = Fake::new(turns_away).await;
        let house = House::of(2, "").telling(&fake.url);
        let server = serve(&house, &[]);
        let (_, taken) = server.deliver("d", revision).await;
        let id = taken["id"].as_str().unwrap();
        server.until(id, standing).await;
        server.kill();
        assert_eq!(told(&fake.heard(), last), 0);
        open.store(true, Ordering::SeqCst);
        let server = serve(&house, &[]);
        let heard = fake.until(|heard| told(heard, last) > 0).await;
        assert!(heard.last().unwrap().body["description"].as_str().unwrap().starts_with(standing), "{heard:#?}");
        let (_, deploy) = server.get(&format!("/v1/deploys/{id}")).await;
        assert_eq!(deploy["standing"], standing, "{deploy:#}");
        assert_eq!(told(&fake.heard(), last), 1);
    }
}

async fn hold(house: &House, tenant: &str) -> SqliteConnection {
    let mut held = house.project.sqlite(&format!("tenants/{tenant}.db")).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    held
}

async fn let_go(mut held: SqliteConnection) {
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
}

/// The tenants on which steps were started, by the log, each with how many.
async fn started(house: &House) -> Vec<String> {
    let sql = "SELECT tenants.tenant, count(*) FROM events JOIN tenants ON events.tenant = tenants.key \
               WHERE events.body LIKE '%\"step_started\"%' GROUP BY tenants.tenant ORDER BY 1";
    house.project.sql("windlass.db", sql).await.unwrap()
}

/// Waits until steps were started on so many tenants.
async fn until_started(house: &House, server: &Server, tenants: usize) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while started(house).await.len() < tenants {
        assert!(Instant::now() < deadline, "nothing is started: {}", server.said());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Who holds a tenant, by the log.
async fn holders(house: &House) -> Vec<String> {
    house.project.sql("windlass.db", "SELECT tenant, owner FROM tenants WHERE owner IS NOT NULL").await.unwrap()
}

#[tokio::test]
async fn a_server_that_is_told_to_end_starts_nothing_more_and_lets_go_and_the_next_one_goes_on() {
    let house = House::of(12, "[deploy]\nconcurrency = 2\n");
    // It has two hands, and both are full.
    let held = [hold(&house, "t0000").await, hold(&house, "t0001").await];
    let server = house.serve();
    let (_, taken) = server.deliver("d", "v2").await;
    until_started(&house, &server, 2).await;
    assert!(!holders(&house).await.is_empty());
    server.signal("TERM");
    server.until_closed().await;
    let before = started(&house).await;
    for held in held {
        let_go(held).await;
    }
    assert!(server.ends().await.success());
    assert_eq!(started(&house).await, before, "something is started although it is to end");
    assert!(before.len() < 12, "there was nothing left to be started: {before:?}");
    assert_eq!(holders(&house).await, Vec::<String>::new());
    let server = house.serve();
    let deploy = server.until(taken["id"].as_str().unwrap(), "completed").await;
    assert_eq!(deploy["account"]["census"], json!({ "completed": 12 }));
}

#[tokio::test]
async fn a_server_that_is_told_to_end_twice_ends_at_once_and_the_next_one_goes_on() {
    let house = House::of(3, "[deploy]\nworkflow = \"patient\"\n");
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/all-or-nothing.toml");
    let patient = std::fs::read_to_string(built_in).unwrap();
    // It would be waited for the tenant longer than a server that is told to end once waits for anything.
    let patient = patient.replace("name = \"all-or-nothing\"", "name = \"patient\"");
    house.project.write("workflows/patient.toml", &patient.replace("lock_timeout = \"3s\"", "lock_timeout = \"5m\""));
    let held = hold(&house, "t0001").await;
    let mut server = house.serve();
    let (_, taken) = server.deliver("d", "v2").await;
    until_started(&house, &server, 3).await;
    server.signal("TERM");
    server.until_closed().await;
    assert!(server.is_running(), "it does not wait for what is running");
    let told = Instant::now();
    server.signal("TERM");
    assert!(server.ends().await.success());
    assert!(told.elapsed() < Duration::from_secs(20), "it took {:?}", told.elapsed());
    assert_eq!(holders(&house).await, Vec::<String>::new());
    let server = house.serve();
    let_go(held).await;
    let deploy = server.until(taken["id"].as_str().unwrap(), "completed").await;
    assert_eq!(deploy["account"]["census"], json!({ "completed": 3 }));
}
