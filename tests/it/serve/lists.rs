//! Lists, gone through page by page while they grow.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::house::{House, Server};

/// Goes through a list by pages of this size, and does something after each; what all pages held.
async fn through<F: AsyncFnMut()>(server: &Server, path: &str, limit: usize, mut between: F) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let (status, page) = server.get(&format!("{path}{sign}limit={limit}{after}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let found = page["items"].as_array().unwrap();
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        let Some(next) = page["next"].as_str() else { return items };
        after = format!("&after={next}");
        between().await;
    }
}

fn texts(items: &[Value], field: &str) -> Vec<String> {
    items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn whoever_goes_through_the_deploys_gets_each_once_while_others_are_begun() {
    let house = House::of(1, "");
    let server = house.serve();
    let mut before = BTreeSet::new();
    // Each is another environment's, and so another request. They run while the list is read.
    let ask = async |name: &str| {
        let asked = json!({ "revision": "v1", "environment": name });
        server.post("/v1/deploys", &asked).await.1["id"].as_str().unwrap().to_owned()
    };
    for number in 0..12 {
        before.insert(ask(&format!("before-{number}")).await);
    }
    let mut number = 0;
    let between = async || {
        number += 1;
        ask(&format!("meanwhile-{number}")).await;
    };
    let ids = texts(&through(&server, "/v1/deploys", 3, between).await, "id");
    assert_eq!(ids, before.into_iter().rev().collect::<Vec<_>>());
    let all = through(&server, "/v1/deploys", 1000, async || {}).await;
    assert!(all.len() > 12);
    for item in all {
        server.until_settled(item["id"].as_str().unwrap()).await;
    }
    let done = through(&server, "/v1/deploys?standing=completed", 1000, async || {}).await;
    let none = through(&server, "/v1/deploys?standing=paused", 1, async || {}).await;
    assert!(
        done.len() == 1 && none.is_empty(),
        "the first has changed the tenant, the others had nothing to do: {done:?}"
    );
    let nothing = through(&server, "/v1/deploys?standing=nothing_to_do", 2, async || {}).await;
    assert!(nothing.len() >= 12, "{}", nothing.len());
}

#[tokio::test]
async fn the_tenants_of_a_deploy_and_of_a_fleet_come_in_pages() {
    let house = House::of(25, "");
    let server = house.serve();
    let (_, taken) = server.deliver("d", "v1").await;
    let id = taken["id"].as_str().unwrap();
    server.until(id, "completed").await;
    let expected: Vec<String> = (0..25).map(|number| format!("t{number:04}")).collect();
    let of_deploy = through(&server, &format!("/v1/deploys/{id}/tenants"), 7, async || {}).await;
    assert_eq!(texts(&of_deploy, "tenant"), expected);
    assert!(of_deploy.iter().all(|of| of["summary"]["status"] == "completed"));
    let failed = through(&server, &format!("/v1/deploys/{id}/tenants?status=failed"), 7, async || {}).await;
    assert_eq!(failed, Vec::<Value>::new());
    let known = through(&server, "/v1/tenants", 7, async || {}).await;
    assert_eq!(texts(&known, "tenant"), expected);
    let release = known[0]["release"].as_str().unwrap();
    assert!(known.iter().all(|of| of["release"] == release && of["seen_at"].as_i64().unwrap() > 0));
    assert_eq!(server.get(&format!("/v1/releases/{release}")).await.0, StatusCode::OK);
    let events = server.get(&format!("/v1/deploys/{id}/events?limit=10")).await.1;
    let next = server.get(&format!("/v1/deploys/{id}/events?limit=10&after={}", events["next"])).await.1;
    assert!(next["items"][0]["position"].as_u64() > events["items"][9]["position"].as_u64());
}

#[tokio::test]
async fn what_is_no_page_of_a_list_is_refused() {
    let house = House::of(2, "");
    let server = house.serve();
    server.post("/v1/deploys", &json!({ "revision": "v1" })).await;
    server.post("/v1/deploys", &json!({ "revision": "v2" })).await;
    let (_, page) = server.get("/v1/deploys?limit=1").await;
    let cursor = page["next"].as_str().unwrap();
    for list in ["/v1/deploys", "/v1/tenants", "/v1/releases"] {
        for (query, status) in [
            ("limit=0", 400),
            ("limit=1001", 400),
            ("limit=-1", 400),
            ("limit=ten", 400),
            ("limit=1&limit=2", 400),
            ("unknown=1", 400),
            ("after=", 422),
            ("after=%00", 422),
            ("after=W10", 422),
            ("fleet=elsewhere", 404),
        ] {
            let (got, problem) = server.get(&format!("{list}?{query}")).await;
            assert_eq!(got.as_u16(), status, "{list}?{query}: {problem}");
        }
    }
    let (got, problem) = server.get(&format!("/v1/tenants?after={cursor}")).await;
    assert_eq!((got.as_u16(), problem["code"].as_str()), (422, Some("WL0823")), "a cursor of another list");
}
