//! Deliveries of webhooks, from the socket to the deploy.

use reqwest::StatusCode;
use serde_json::json;

use super::house::{House, SECRET, answer, deployment, hmac};

#[tokio::test]
async fn a_signed_delivery_becomes_a_deploy_and_a_replay_is_answered_with_it() {
    let house = House::of(3, "");
    let server = house.serve();
    let (status, first) = server.deliver("d-1", "v1").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    let id = first["id"].as_str().unwrap();
    assert_eq!(first["url"], format!("{}/v1/deploys/{id}", server.url));
    let (status, again) = server.deliver("d-1", "v1").await;
    assert_eq!((status, &again["id"], &again["again"]), (StatusCode::OK, &first["id"], &json!(true)));
    let deploy = server.until(id, "completed").await;
    let webhook = &deploy["account"]["trigger"]["webhook"];
    assert_eq!(webhook["delivery"], "d-1");
    assert_eq!(webhook["environment"], "production");
    assert_eq!(deploy["account"]["actor"]["name"], "webhook:github");
    assert_eq!(deploy["account"]["census"], json!({ "completed": 3 }));
    let (status, again) = server.deliver("d-1", "v1").await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &first["id"]), "long after its end");
}

#[tokio::test]
async fn two_deliveries_of_one_release_at_the_same_instant_are_one_deploy() {
    let house = House::of(3, "");
    let server = house.serve();
    let answers =
        futures_util::future::join_all((0..20).map(|n| server.deliver(if n % 2 == 0 { "a" } else { "b" }, "v1"))).await;
    let ids: std::collections::BTreeSet<_> = answers.iter().map(|(_, answer)| answer["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    let new = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
    assert_eq!(new, 1, "{answers:?}");
    server.until(answers[0].1["id"].as_str().unwrap(), "completed").await;
    let (_, list) = server.get("/v1/deploys").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_release_that_failed_can_be_delivered_again() {
    let house = House::of(3, "");
    let server = house.serve();
    let (_, first) = server.deliver("a", "bad").await;
    server.until(first["id"].as_str().unwrap(), "unwound").await;
    let (status, second) = server.deliver("b", "bad").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_ne!(first["id"], second["id"]);
    server.until(second["id"].as_str().unwrap(), "unwound").await;
}

#[tokio::test]
async fn what_is_overheard_cannot_be_sent_again_under_another_id() {
    let house = House::of(1, "");
    let server = house.serve();
    let body = deployment("x", "bad");
    let (_, first) = answer(server.delivery("x", &body)).await;
    server.until(first["id"].as_str().unwrap(), "unwound").await;
    let (status, second) = answer(server.delivery("y", &body)).await;
    assert_eq!((status, &second["id"]), (StatusCode::OK, &first["id"]));
}

#[tokio::test]
async fn what_is_not_a_delivery_starts_nothing_and_the_server_goes_on() {
    let house = House::of(1, "");
    let server = house.serve();
    let body = serde_json::to_vec(&deployment("n", "v1")).unwrap();
    let send = |event: &'static str, signature: String, body: Vec<u8>| {
        let request = server.ask(reqwest::Method::POST, "/webhooks/github").header("x-github-event", event);
        answer(
            request
                .header("x-github-delivery", "n")
                .header("x-hub-signature-256", signature)
                .header("content-type", "application/json")
                .body(body),
        )
    };
    let signed = |body: &[u8]| format!("sha256={}", hmac(SECRET, body));
    let table = [
        ("deployment", format!("sha256={}", hmac("another secret", &body)), body.clone(), 401, "WL0801"),
        ("deployment", "sha1=00".to_owned(), body.clone(), 401, "WL0801"),
        ("push", signed(&body), body.clone(), 422, "WL0804"),
        ("deployment", signed(b"[1, 2"), b"[1, 2".to_vec(), 400, "WL0802"),
        (
            "deployment",
            signed(b"{\"action\":\"created\",\"deployment\":{\"ref\":[]}}"),
            b"{\"action\":\"created\",\"deployment\":{\"ref\":[]}}".to_vec(),
            422,
            "WL0805",
        ),
    ];
    for (event, signature, body, status, code) in table {
        let (got, problem) = send(event, signature, body).await;
        assert_eq!((got.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    let unknown = answer(server.delivery("u", &deployment("u", "nowhere"))).await;
    assert_eq!((unknown.0.as_u16(), unknown.1["code"].as_str()), (422, Some("WL0811")), "{}", unknown.1);
    let (_, list) = server.get("/v1/deploys").await;
    assert_eq!(list["items"], json!([]));
    let (status, ok) = server.deliver("good", "v1").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{ok}");
    server.until(ok["id"].as_str().unwrap(), "completed").await;
    assert!(!server.said().contains(SECRET));
}

#[tokio::test]
async fn a_revision_whose_bytes_have_changed_is_refused() {
    let house = House::of(1, "");
    let server = house.serve();
    let (_, first) = server.deliver("a", "v1").await;
    server.until(first["id"].as_str().unwrap(), "completed").await;
    house.release("v1", &[("0002_more", "CREATE TABLE more (x INTEGER);\n", "DROP TABLE more;\n")]);
    let (status, problem) = server.deliver("b", "v1").await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("WL0813")), "{problem}");
}

#[tokio::test]
async fn while_the_fleet_is_busy_a_delivery_waits_or_is_refused_as_it_is_set() {
    for (setting, status) in [("queue", StatusCode::ACCEPTED), ("refuse", StatusCode::CONFLICT)] {
        let house = House::of(3, &format!("when_busy = \"{setting}\""));
        let server = house.serve();
        // As long as somebody else writes to a tenant, the first deploy does not end.
        let mut held = house.project.sqlite("tenants/t0001.db").await;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
        let (_, first) = server.deliver("a", "v1").await;
        let first = first["id"].as_str().unwrap();
        server.until(first, "under_way").await;
        let (got, second) = server.deliver("b", "v2").await;
        assert_eq!(got, status, "{second}");
        sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
        server.until(first, "completed").await;
        match second["id"].as_str() {
            Some(second) => drop(server.until(second, "completed").await),
            None => assert_eq!(second["code"], "WL0402"),
        }
    }
}

#[tokio::test]
async fn a_request_that_waits_can_be_called_off() {
    let house = House::of(3, "");
    let server = house.serve();
    let mut held = house.project.sqlite("tenants/t0001.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let (_, first) = server.deliver("a", "v1").await;
    let first = first["id"].as_str().unwrap();
    server.until(first, "under_way").await;
    let (_, second) = server.deliver("b", "v2").await;
    let second = second["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/deploys/{second}")).await.1["standing"], "queued");
    let (status, said) = server.post(&format!("/v1/deploys/{second}/cancel"), &json!({ "reason": "not today" })).await;
    assert_eq!((status, &said["standing"]), (StatusCode::OK, &json!("cancelled")), "{said}");
    // And one that is under way is unwound by the same word.
    let (status, said) = server.post(&format!("/v1/deploys/{first}/cancel"), &json!({})).await;
    assert_eq!((status, &said["changed"]), (StatusCode::OK, &json!(true)), "{said}");
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    server.until(first, "unwound").await;
    assert_eq!(server.get(&format!("/v1/deploys/{second}")).await.1["standing"], "cancelled");
}

#[tokio::test]
async fn what_was_refused_can_be_delivered_again_when_the_cause_is_gone() {
    let house = House::of(3, "");
    let server = house.serve();
    // A tenant that is no database.
    let (file, kept) = (house.project.at("tenants/t0001.db"), house.project.at("t0001.kept"));
    std::fs::rename(&file, &kept).unwrap();
    std::fs::write(
        &file,
        "this is no database, and it is longer than the header of one would have to be, by some words",
    )
    .unwrap();
    let (status, first) = server.deliver("a", "v1").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let refused = server.until(first["id"].as_str().unwrap(), "refused").await;
    assert_eq!(refused["request"]["settled"]["tenants"][0][0], "t0001", "{refused:#}");
    std::fs::rename(&kept, &file).unwrap();
    let (status, second) = server.deliver("a", "v1").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{second}");
    assert_ne!(first["id"], second["id"]);
    server.until(second["id"].as_str().unwrap(), "completed").await;
    let (status, third) = server.deliver("a", "v1").await;
    assert_eq!((status, &third["id"]), (StatusCode::OK, &second["id"]));
}

#[tokio::test]
async fn a_tenant_that_came_after_a_release_gets_it_when_that_is_asked_for_again() {
    let house = House::of(2, "");
    let server = house.serve();
    let (_, first) = server.deliver("a", "v1").await;
    server.until(first["id"].as_str().unwrap(), "completed").await;
    let (_, again) = server.deliver("b", "v1").await;
    server.until(again["id"].as_str().unwrap(), "nothing_to_do").await;
    house.project.write("tenants/t0009.db", "");
    let (status, later) = server.deliver("c", "v1").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let deploy = server.until(later["id"].as_str().unwrap(), "completed").await;
    assert_eq!(deploy["account"]["changing"], 1);
}
