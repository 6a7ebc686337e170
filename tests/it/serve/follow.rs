//! Live events, followed by many whose connections do not last.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::house::{House, Server};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What one connection came to: the places of its events in their order, and whether it was told the end.
async fn connection(server: &Server, id: &str, last: Option<u64>, events_max: u64) -> Option<(Vec<u64>, bool)> {
    let mut request = server.ask(Method::GET, &format!("/v1/deploys/{id}/live"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut answer = request.send().await.unwrap();
    // As many follow as may; or two hundred who come at once keep the log's readers busy on a small machine. Both say when to come again.
    if matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        assert!(answer.headers().contains_key("retry-after"), "{:?}", answer.headers());
        return None;
    }
    assert_eq!(answer.status(), StatusCode::OK);
    let (mut text, mut places) = (Vec::new(), Vec::new());
    while let Some(chunk) = answer.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            match field("event:") {
                Some("end") => return Some((places, true)),
                Some("event") => {
                    let place: u64 = field("id:").unwrap().parse().unwrap();
                    let data: Value = serde_json::from_str(field("data:").unwrap()).unwrap();
                    assert_eq!(data["position"], place);
                    places.push(place);
                }
                // A sign of life.
                _ => {}
            }
            if places.len() as u64 >= events_max {
                // Cut, with whatever was on its way.
                return Some((places, false));
            }
        }
    }
    Some((places, false))
}

/// Follows a deploy to its end over connections that are cut again and again; how many they were.
async fn follower(server: &Server, id: &str, throw: u64) -> (Vec<u64>, usize) {
    let (mut dice, mut seen, mut connections) = (Dice(throw), Vec::new(), 0);
    loop {
        let until_cut = 1 + dice.below(900);
        match connection(server, id, seen.last().copied(), until_cut).await {
            None => tokio::time::sleep(std::time::Duration::from_millis(20 + dice.below(50))).await,
            Some((places, over)) => {
                connections += 1;
                seen.extend(places);
                if over {
                    return (seen, connections);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_followers_whose_connections_are_cut_see_every_event_once_and_in_order() {
    let house = House::of(300, "");
    let server = house.serve();
    let (_, taken) = server.deliver("d", "v2").await;
    let id = taken["id"].as_str().unwrap();
    server.until(id, "under_way").await;
    let followers = join_all((0..200).map(|throw| follower(&server, id, throw))).await;
    server.until(id, "completed").await;
    let (mut all, mut after) = (Vec::new(), json!(0));
    while !after.is_null() {
        let (status, page) = server.get(&format!("/v1/deploys/{id}/events?limit=1000&after={after}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        all.extend(page["items"].as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()));
        after = page["next"].clone();
    }
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    let connections: usize = followers.iter().map(|(_, connections)| connections).sum();
    for (number, (seen, _)) in followers.iter().enumerate() {
        assert!(*seen == all, "follower {number} saw {} of {} events", seen.len(), all.len());
    }
    println!("200 followers, {} events, {connections} connections", all.len());
    assert!(connections > 400, "{connections} connections: hardly any was cut");
}

#[tokio::test]
async fn whoever_follows_from_a_place_that_is_none_is_told_so() {
    let house = House::of(1, "");
    let server = house.serve();
    let (_, taken) = server.deliver("d", "v1").await;
    let id = taken["id"].as_str().unwrap();
    server.until(id, "completed").await;
    for last in ["x", "-1", "18446744073709551615", ""] {
        let request = server.ask(Method::GET, &format!("/v1/deploys/{id}/live")).header("last-event-id", last);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{last:?}");
    }
    let (places, over) = connection(&server, id, None, u64::MAX).await.unwrap();
    assert!(over && places.iter().collect::<BTreeSet<_>>().len() == places.len());
    let (rest, over) = connection(&server, id, places.last().copied(), u64::MAX).await.unwrap();
    assert!(over && rest.is_empty());
}

#[tokio::test]
async fn whoever_follows_goes_on_at_the_next_server_where_the_last_one_died() {
    let house = House::of(3, "");
    let server = house.serve();
    // As long as somebody else writes to a tenant, the deploy does not end.
    let mut held = house.project.sqlite("tenants/t0001.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let (_, taken) = server.deliver("d", "v1").await;
    let id = taken["id"].as_str().unwrap();
    server.until(id, "under_way").await;
    let (mut seen, over) = connection(&server, id, None, 5).await.unwrap();
    assert!(!over && seen.len() >= 5);
    let address = server.url.trim_start_matches("http://").to_owned();
    server.kill();
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    let server = house.serve_at(&address);
    let (rest, over) = connection(&server, id, seen.last().copied(), u64::MAX).await.unwrap();
    assert!(over);
    seen.extend(rest);
    let (_, page) = server.get(&format!("/v1/deploys/{id}/events?limit=1000")).await;
    let all: Vec<u64> =
        page["items"].as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert_eq!(seen, all);
}
