//! Bad luck: a disk that is full, a clock that is set, a repository that cannot be reached, a defect, a change of mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::fake::{Answer, Fake};
use super::house::{House, Server, answer, deployment};
use crate::source::http;
use crate::source::repository::Repository;
use crate::support::project::Ran;

/// As long as somebody else writes to a tenant, the deploy does not end.
async fn hold(house: &House) -> SqliteConnection {
    let mut held = house.project.sqlite("tenants/t0001.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    held
}

async fn let_go(mut held: SqliteConnection) {
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
}

/// The columns of the table that the releases make: none without it, two with `v1`, three with `v2`.
async fn columns(house: &House, tenant: &str) -> usize {
    let file = format!("tenants/{tenant}.db");
    house.project.sql(&file, "SELECT name FROM pragma_table_info('orders')").await.unwrap().len()
}

/// How a deploy stands, by the command.
fn told(house: &House, server: &Server, deploy: &str) -> Ran {
    Ran::of(house.project.command().args(["status", deploy, "--server", &server.url]).output().unwrap())
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap_or_else(|| panic!("no id in {answer}")).to_owned()
}

#[tokio::test]
async fn on_a_full_disk_deliveries_are_turned_away_and_with_room_again_everything_goes_on() {
    let house = House::of(3, "");
    let server = house.serve();
    let (_, first) = server.deliver("a", "v1").await;
    server.until(&id(&first), "completed").await;
    server.files_may_grow(false);
    for _ in 0..2 {
        let sent = server.delivery("b", &deployment("b", "v2")).send().await.unwrap();
        let (status, wait) = (sent.status(), sent.headers().get("retry-after").cloned());
        let problem: Value = sent.json().await.unwrap();
        assert_eq!((status, problem["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("WL0503")), "{problem}");
        assert!(wait.is_some() && problem["next"].as_str().unwrap().contains("make room"), "{problem}");
    }
    for path in ["/healthz", "/readyz", "/v1/deploys", "/", "/metrics", &format!("/v1/deploys/{}", id(&first))] {
        let status = server.ask(Method::GET, path).send().await.unwrap().status();
        assert_eq!(status, StatusCode::OK, "{path}: what is there can be read");
    }
    assert_eq!(server.get("/v1/deploys").await.1["items"].as_array().unwrap().len(), 1);
    server.files_may_grow(true);
    let held = hold(&house).await;
    let (status, second) = server.deliver("b", "v2").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{second}");
    server.until(&id(&second), "under_way").await;
    // In the middle of the deploy.
    server.files_may_grow(false);
    server.until_trouble("WL0503").await;
    let_go(held).await;
    server.files_may_grow(true);
    server.until(&id(&second), "completed").await;
    assert_eq!(server.get("/v1/server").await.1["fleets"][0]["trouble"], Value::Null);
    drop(server);
    house.project.windlass("audit verify").ends_with(0);
    for tenant in ["t0000", "t0001", "t0002"] {
        assert_eq!(columns(&house, tenant).await, 3, "{tenant}");
    }
}

/// Moves the log, with what lies beside it.
fn move_log(house: &House, from: &str, to: &str) {
    for beside in ["", "-wal", "-shm"] {
        std::fs::rename(house.project.at(&format!("{from}{beside}")), house.project.at(&format!("{to}{beside}")))
            .unwrap();
    }
}

#[tokio::test]
async fn while_the_log_is_gone_nothing_is_accepted_and_when_it_is_back_everything_goes_on() {
    let house = House::of(3, "");
    let server = house.serve();
    let held = hold(&house).await;
    let (_, taken) = server.deliver("a", "v1").await;
    server.until(&id(&taken), "under_way").await;
    move_log(&house, "windlass.db", "away.db");
    for _ in 0..2 {
        // What is written to an open file without a name is found by nobody: it must not be called accepted.
        let sent = server.delivery("b", &deployment("b", "v2")).send().await.unwrap();
        let (status, wait) = (sent.status(), sent.headers().get("retry-after").cloned());
        let problem: Value = sent.json().await.unwrap();
        assert_eq!((status, problem["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("WL0501")), "{problem}");
        assert!(wait.is_some() && problem["detail"].as_str().unwrap().contains("moved away"), "{problem}");
    }
    assert_eq!(server.get("/healthz").await.0, StatusCode::OK);
    assert_eq!(server.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    // Neither can it be told who may look; what is no request for anything is answered.
    assert_eq!(server.get("/v1/server").await.0, StatusCode::SERVICE_UNAVAILABLE);
    move_log(&house, "away.db", "windlass.db");
    let (status, ready) = server.get("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{ready}");
    let_go(held).await;
    let (status, second) = server.deliver("b", "v2").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{second}");
    server.until(&id(&taken), "completed").await;
    server.until(&id(&second), "completed").await;
    assert_eq!(server.get("/v1/deploys").await.1["items"].as_array().unwrap().len(), 2);
    // Another file in its place is another log: it is not written to, and the next process takes what lies there.
    let before = std::fs::read(house.project.at("windlass.db")).unwrap();
    std::fs::copy(house.project.at("windlass.db"), house.project.at("copy.db")).unwrap();
    std::fs::rename(house.project.at("copy.db"), house.project.at("windlass.db")).unwrap();
    let (status, problem) = server.deliver("c", "v2").await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("WL0501")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("another file"), "{problem}");
    assert_eq!(std::fs::read(house.project.at("windlass.db")).unwrap(), before);
    drop(server);
    for tenant in ["t0000", "t0001", "t0002"] {
        assert_eq!(columns(&house, tenant).await, 3, "{tenant}");
    }
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn a_clock_that_is_set_forth_and_back_costs_nobody_a_wait_and_no_tenant_anything() {
    const HOUR: i64 = 60 * 60 * 1_000;
    let mut house = House::of(3, "");
    // Nobody listens to what is told until the clock is back.
    let back = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&back);
    let fake = Fake::new(move |_, _| Answer::Status(if open.load(Ordering::SeqCst) { 200 } else { 503 })).await;
    house = house.telling(&fake.url);
    let file = house.project.at("clock");
    let set = |hours: i64| std::fs::write(&file, (hours * HOUR).to_string()).unwrap();
    let clock = file.display().to_string();
    let serve = || house.serve_with(&[("WINDLASS_TEST_CLOCK", &clock), ("HUB_TOKEN", "a token")]);
    let tried = async |server: &Server, deploy: &str| {
        let (_, tenant) = server.get(&format!("/v1/deploys/{deploy}/tenants/t0001")).await;
        let mut failed = tenant["events"].as_array().unwrap().iter().filter(|of| of["event"]["type"] == "step_failed");
        failed.next_back().map(|of| of["at"].clone())
    };
    set(0);
    let server = serve();
    let held = hold(&house).await;
    let (_, taken) = server.deliver("d", "v2").await;
    let deploy = id(&taken);
    server.until(&deploy, "under_way").await;
    // Four days forth: every lease is over, every session, and whatever gives up after three days could give up.
    set(4 * 24);
    let (status, again) = server.deliver("d", "v2").await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &taken["id"]));
    let before = tried(&server, &deploy).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while tried(&server, &deploy).await == before {
        assert!(std::time::Instant::now() < deadline, "it is not tried again\n{}", server.said());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let told = fake.heard().len();
    fake.until(|heard| heard.len() > told).await;
    // The process dies with its leases four days ahead, and with a try and a report that are to come only then.
    server.kill();
    set(0);
    let server = serve();
    let (status, again) = server.deliver("d", "v2").await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &taken["id"]));
    back.store(true, Ordering::SeqCst);
    let_go(held).await;
    server.until(&deploy, "completed").await;
    fake.until(|heard| heard.last().is_some_and(|of| of.body["state"] == "success" && of.answered == Some(200))).await;
    // And back by more than it ever was.
    set(-400 * 24);
    let (status, back) = server.post(&format!("/v1/deploys/{deploy}/rollback"), &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{back}");
    server.until(&id(&back), "completed").await;
    // Back by a little, while everybody listens.
    let held = hold(&house).await;
    let (_, taken) = server.deliver("e", "v1").await;
    server.until(&id(&taken), "under_way").await;
    let before = fake.until(|heard| heard.last().is_some_and(|of| of.body["state"] == "in_progress")).await.len();
    set(-400 * 24 - 3);
    let_go(held).await;
    server.until(&id(&taken), "completed").await;
    fake.until(|heard| heard.len() > before && heard.last().is_some_and(|of| of.body["state"] == "success")).await;
    assert_eq!(server.get(&format!("/v1/deploys/{deploy}")).await.1["reports"][0]["state"], "done");
    drop(server);
    house.project.windlass("audit verify").ends_with(0);
    for tenant in ["t0000", "t0001", "t0002"] {
        assert_eq!(columns(&house, tenant).await, 2, "{tenant}");
    }
}

#[tokio::test]
async fn what_is_asked_for_while_it_is_unwound_is_a_deploy_of_its_own_afterwards() {
    let house = House::of(3, "");
    let server = house.serve();
    let held = hold(&house).await;
    let (_, first) = server.deliver("a", "v2").await;
    let first = id(&first);
    server.until(&first, "under_way").await;
    let (status, same) = server.deliver("b", "v2").await;
    assert_eq!((status, id(&same)), (StatusCode::OK, first.clone()), "it goes up: this is what is asked for");
    let (status, turned) = server.post(&format!("/v1/deploys/{first}/unwind"), &json!({ "reason": "wrong" })).await;
    assert_eq!((status, &turned["standing"]), (StatusCode::OK, &json!("unwinding")), "{turned}");
    let (status, second) = server.deliver("c", "v2").await;
    let second = id(&second);
    assert_eq!(status, StatusCode::ACCEPTED, "what goes down is not what is asked for");
    assert_ne!(first, second);
    assert_eq!(server.get(&format!("/v1/deploys/{second}")).await.1["standing"], "queued");
    // The deliveries that meant the first deploy still do.
    for (delivery, deploy) in [("a", &first), ("b", &first), ("c", &second)] {
        let (status, again) = server.deliver(delivery, "v2").await;
        assert_eq!((status, &id(&again)), (StatusCode::OK, deploy), "{delivery}");
    }
    let_go(held).await;
    server.until(&first, "unwound").await;
    server.until(&second, "completed").await;
    assert_eq!(columns(&house, "t0001").await, 3);
    assert_eq!(server.get("/v1/deploys").await.1["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_repository_that_cannot_be_reached_is_waited_for_and_what_waits_is_not_lost() {
    let repository = Repository::new();
    let commit = repository.commit(&[
        ("db/migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER)"),
        ("db/migrations/0001_orders.down.sql", "DROP TABLE orders"),
    ]);
    // Which lets go of whoever connects, for now.
    let open = Arc::new(AtomicBool::new(false));
    let address = http::serve(repository.path().parent().unwrap().to_owned(), Arc::clone(&open));
    let house = House::of(2, "");
    let file = house.project.at("windlass.toml");
    let git = format!("git = {{ url = \"http://{address}/open/shop.git\", path = \"db/migrations\" }}\n");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[serve.release]\n", &format!("[serve.release]\n{git}"))).unwrap();
    let server = house.serve();
    let (status, taken) = server.deliver("a", &commit).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{taken}");
    server.until_trouble("WL0812").await;
    assert_eq!(server.get(&format!("/v1/deploys/{}", id(&taken))).await.1["standing"], "queued");
    let said = told(&house, &server, &id(&taken)).ends_with(0).stdout;
    assert!(
        said.contains("is queued") && said.contains("cannot move this fleet") && said.contains("[WL0812]"),
        "{said}"
    );
    open.store(true, Ordering::SeqCst);
    server.until(&id(&taken), "completed").await;
    // What the repository itself says no to is refused at once.
    let (_, unknown) = server.deliver("b", "no-such-tag").await;
    assert_eq!(server.until_settled(&id(&unknown)).await["standing"], "refused");
    let said = told(&house, &server, &id(&unknown)).ends_with(0).stdout;
    assert!(said.contains("is refused") && said.contains("[WL0811]") && said.contains("next: "), "{said}");
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn a_defect_met_at_any_point_of_a_request_costs_at_most_that_request() {
    let points = [
        "request-accepted",
        "request-taken",
        "before-create",
        "after-create",
        "request-created",
        "before-append",
        "after-append",
        "before-log-commit",
        "after-log-commit",
        "after-claim",
        "after-open",
        "before-effect",
        "inside-effect",
        "after-effect",
        "before-finish",
        "report-sent",
    ];
    for point in points {
        let fake = Fake::kind().await;
        let house = House::of(3, "").telling(&fake.url);
        let server = house.serve_with(&[("WINDLASS_PANIC_AT", &format!("{point}:1")), ("HUB_TOKEN", "a token")]);
        let sent = server.delivery("d", &deployment("d", "v2")).send().await;
        // A request in which a defect is met has no answer; what was taken in was taken in.
        assert_eq!(sent.is_err(), point == "request-accepted", "{point}");
        let taken = match sent {
            Ok(sent) => sent.json().await.unwrap(),
            Err(_) => server.deliver("d", "v2").await.1,
        };
        let mut deploy = server.until_settled(&id(&taken)).await;
        if matches!(point, "request-taken" | "before-create") {
            // Nothing was begun, and whoever asked is told so; it may be asked for again.
            let refused = (deploy["standing"].as_str().unwrap(), deploy["request"]["settled"]["code"].as_str());
            assert_eq!(refused, ("refused", Some("WL0409")), "{point}: {deploy:#}");
            let (status, again) = server.deliver("d", "v2").await;
            assert_eq!(status, StatusCode::ACCEPTED, "{point}: {again}");
            deploy = server.until_settled(&id(&again)).await;
        }
        assert_eq!(deploy["standing"], "completed", "{point}: {deploy:#}\n{}", server.said());
        fake.until(|heard| heard.last().is_some_and(|of| of.body["state"] == "success")).await;
        assert!(server.said().contains(&format!("a defect, as asked for, at {point}")), "{point}: {}", server.said());
        let (status, _) = answer(server.ask(Method::GET, "/readyz")).await;
        assert_eq!(status, StatusCode::OK);
        drop(server);
        house.project.windlass("audit verify").ends_with(0);
        for tenant in ["t0000", "t0001", "t0002"] {
            assert_eq!(columns(&house, tenant).await, 3, "{point}: {tenant}");
        }
    }
}
