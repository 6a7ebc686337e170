//! The server killed with -9 between a delivery's arrival and its deploy's end: nothing is lost, and nothing is done twice.

use reqwest::StatusCode;
use serde_json::json;

use super::house::{House, Server, deployment};

/// Delivers until it dies; the answer, where there was one.
async fn deliver_to_the_dying(server: &Server, id: &str, revision: &str) -> Option<String> {
    let sent = server.delivery(id, &deployment(id, revision)).send().await.ok()?;
    let answer: serde_json::Value = sent.json().await.ok()?;
    answer["id"].as_str().map(str::to_owned)
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn a_server_killed_anywhere_leaves_a_deploy_that_the_next_one_ends() {
    let points = [
        ("request-accepted", 1),
        ("request-taken", 1),
        ("before-create", 1),
        ("after-create", 1),
        ("request-created", 1),
        ("after-claim", 1),
        ("before-effect", 2),
        ("inside-effect", 1),
        ("after-effect", 2),
        ("before-log-commit", 4),
        ("after-log-commit", 5),
        ("before-finish", 1),
    ];
    for (revision, standing) in [("v2", "completed"), ("bad", "unwound")] {
        for (point, nth) in points {
            let house = House::of(3, "");
            let dying = house.serve_with(&[("WINDLASS_CRASH_AT", &format!("{point}:{nth}"))]);
            let told = deliver_to_the_dying(&dying, "d", revision).await;
            let status = dying.ends().await;
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}:{nth} was not passed");
            let server = house.serve();
            let (status, again) = server.deliver("d", revision).await;
            let id = again["id"].as_str().unwrap().to_owned();
            assert_eq!(status, StatusCode::OK, "{point}: what was durable is known: {again}");
            assert!(told.is_none_or(|told| told == id), "{point}");
            let deploy = server.until(&id, standing).await;
            let census =
                if standing == "completed" { json!({ "completed": 3 }) } else { deploy["account"]["census"].clone() };
            assert_eq!(deploy["account"]["census"], census, "{point}");
            let (_, list) = server.get("/v1/deploys").await;
            assert_eq!(list["items"].as_array().unwrap().len(), 1, "{point}: {list:#}");
            drop(server);
            house.project.windlass("audit verify").ends_with(0);
            let tables =
                house.project.sql("tenants/t0001.db", "SELECT name FROM pragma_table_info('orders')").await.unwrap();
            assert_eq!(tables.len(), if standing == "completed" { 3 } else { 0 }, "{point}: {tables:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_told_to_end_lets_go_and_the_next_one_goes_on() {
    let house = House::of(40, "");
    let server = house.serve();
    let (_, taken) = server.deliver("d", "v2").await;
    server.signal("TERM");
    assert!(server.ends().await.success());
    let server = house.serve();
    server.until(taken["id"].as_str().unwrap(), "completed").await;
}
