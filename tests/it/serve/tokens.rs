//! Tokens that are managed over the API.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::access::token;
use super::house::{House, Server, answer};

async fn with(server: &Server, method: Method, path: &str, token: &str, body: Option<Value>) -> (StatusCode, Value) {
    let mut request = server.ask(method, path).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    answer(request).await
}

#[tokio::test]
async fn a_token_is_made_shown_once_used_and_ended() {
    let house = House::of(1, "");
    let server = house.serve();
    // Whoever is on the machine makes the first one; from then on it takes one.
    let asked = json!({ "name": "first", "role": "admin" });
    let (status, made) = server.post("/v1/tokens", &asked).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(server.post("/v1/tokens", &asked).await.0, StatusCode::UNAUTHORIZED);
    let admin = made["token"].as_str().unwrap();
    let asked = json!({ "name": "ci", "role": "viewer", "fleets": ["shop"], "expires_in_seconds": 3600 });
    let (_, made) = with(&server, Method::POST, "/v1/tokens", admin, Some(asked)).await;
    let (viewer, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert!(made["expires_at"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!(with(&server, Method::GET, "/v1/deploys", viewer, None).await.0, StatusCode::OK);
    assert_eq!(with(&server, Method::GET, "/v1/tokens", viewer, None).await.0, StatusCode::FORBIDDEN);
    let (_, listed) = with(&server, Method::GET, "/v1/tokens", admin, None).await;
    let names: Vec<&str> = listed["items"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "ci"]);
    assert!(!listed.to_string().contains(viewer.splitn(3, '_').nth(2).unwrap()), "{listed}");
    let end = format!("/v1/tokens/{id}");
    assert_eq!(with(&server, Method::DELETE, &end, admin, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(with(&server, Method::DELETE, &end, admin, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(with(&server, Method::GET, "/v1/deploys", viewer, None).await.0, StatusCode::UNAUTHORIZED);
    assert!(!server.said().contains(admin) && !server.said().contains(viewer));
}

#[tokio::test]
async fn nobody_ends_the_token_that_they_came_with() {
    let house = House::of(1, "");
    let server = house.serve();
    let admin = token(&house, "admin", &[]);
    let own = format!("/v1/tokens/{}", admin.split('_').nth(1).unwrap());
    let (status, problem) = with(&server, Method::DELETE, &own, &admin, None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert_eq!(with(&server, Method::GET, "/v1/tokens", &admin, None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let house = House::of(1, "");
    let server = house.serve();
    let (all, some) = (token(&house, "admin", &[]), token(&house, "admin", &["--fleet", "shop"]));
    let viewer = |fleets: Option<&str>| json!({ "name": "n", "role": "viewer", "fleets": fleets.map(|of| [of]) });
    for (fleets, status) in [(None, 403), (Some("elsewhere"), 403), (Some("shop"), 201)] {
        let (got, problem) = with(&server, Method::POST, "/v1/tokens", &some, Some(viewer(fleets))).await;
        assert_eq!(got.as_u16(), status, "{fleets:?}: {problem}");
    }
    let (_, listed) = with(&server, Method::GET, "/v1/tokens", &some, None).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "its own, and the one that it made");
    let others = format!("/v1/tokens/{}", all.split('_').nth(1).unwrap());
    assert_eq!(with(&server, Method::DELETE, &others, &some, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(with(&server, Method::GET, "/v1/audit/export", &some, None).await.0, StatusCode::FORBIDDEN);
    assert_eq!(with(&server, Method::GET, "/v1/audit/export?fleet=shop", &some, None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_not_made() {
    let house = House::of(1, "");
    let server = house.serve();
    for (body, status) in [
        (json!({}), 400),
        (json!({ "name": "n" }), 400),
        (json!({ "name": "", "role": "viewer" }), 400),
        (json!({ "name": "x".repeat(101), "role": "viewer" }), 400),
        (json!({ "name": "a\nb", "role": "viewer" }), 400),
        (json!({ "name": "n", "role": "king" }), 400),
        (json!({ "name": "n", "role": "viewer", "more": 1 }), 400),
        (json!({ "name": "n", "role": "viewer", "fleets": [] }), 400),
        (json!({ "name": "n", "role": "viewer", "fleets": ["elsewhere"] }), 404),
        (json!({ "name": "n", "role": "viewer", "expires_in_seconds": 0 }), 400),
        (json!({ "name": "n", "role": "viewer", "expires_in_seconds": 1.5 }), 400),
        (json!({ "name": "n", "role": "viewer", "expires_in_seconds": 1e12 }), 400),
    ] {
        let (got, problem) = server.post("/v1/tokens", &body).await;
        assert_eq!(got.as_u16(), status, "{body}: {problem}");
    }
    assert_eq!(server.get("/v1/tokens").await.1["items"], json!([]));
}
