//! Releases that are pushed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass::base::Digest;
use windlass::release::load;

use super::access::token;
use super::house::{House, Server, answer};

/// A release of the house as it is pushed, and its digest.
fn bundle(house: &House, revision: &str) -> (Vec<u8>, Digest) {
    let bytes = load(&house.project.at(&format!("releases/{revision}")), None).unwrap().to_bytes().unwrap();
    let digest = Digest::of(&bytes);
    (bytes, digest)
}

async fn push(server: &Server, digest: &str, query: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
    let request = server.ask(Method::PUT, &format!("/v1/releases/{digest}{query}"));
    answer(request.header("content-type", "application/octet-stream").body(bytes)).await
}

#[tokio::test]
async fn a_release_is_pushed_once_and_deployed_by_its_digest_or_its_name() {
    let house = House::of(2, "");
    let server = house.serve();
    let (bytes, digest) = bundle(&house, "v2");
    let digest = digest.to_string();
    assert_eq!(server.get(&format!("/v1/releases/{digest}")).await.0, StatusCode::NOT_FOUND);
    let asked = json!({ "release": digest });
    let (status, problem) = server.post("/v1/deploys", &asked).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("WL0811")), "{problem}");
    let (status, pushed) = push(&server, &digest, "?revision=build-7", bytes.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{pushed}");
    assert_eq!(
        (&pushed["digest"], &pushed["migrations"], &pushed["revision"]),
        (&json!(digest), &json!(2), &json!("build-7"))
    );
    assert_eq!(pushed["bytes"], bytes.len());
    let (status, again) = push(&server, &digest, "?revision=build-7", bytes).await;
    assert_eq!((status, &again["pushed_at"]), (StatusCode::OK, &pushed["pushed_at"]));
    let (_, shown) = server.get(&format!("/v1/releases/{digest}")).await;
    assert_eq!((&shown["dialect"], &shown["problem"]), (&json!("sqlite"), &Value::Null));
    assert_eq!(shown["migrations"][1]["label"], "0002_status");
    assert_eq!(shown["migrations"][1]["undo"], json!({ "is": "lossless" }));
    assert_eq!(server.get("/v1/releases").await.1["items"].as_array().unwrap().len(), 1);
    let (status, first) = server.post("/v1/deploys", &json!({ "revision": "build-7" })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    let (_, second) = server.post("/v1/deploys", &asked).await;
    assert_eq!(first["id"], second["id"], "two names of one release");
    server.until(first["id"].as_str().unwrap(), "completed").await;
}

#[tokio::test]
async fn a_revision_is_one_release_however_it_was_first_seen() {
    let house = House::of(1, "");
    let server = house.serve();
    let ((v1, first), (v2, second)) = (bundle(&house, "v1"), bundle(&house, "v2"));
    assert_eq!(push(&server, &first.to_string(), "?revision=r", v1).await.0, StatusCode::CREATED);
    let (status, problem) = push(&server, &second.to_string(), "?revision=r", v2.clone()).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("WL0813")), "{problem}");
    assert_eq!(server.get(&format!("/v1/releases/{second}")).await.0, StatusCode::NOT_FOUND, "nothing was kept");
    assert_eq!(push(&server, &second.to_string(), "", v2).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_no_release_is_refused_and_nothing_is_kept() {
    let house = House::of(1, "");
    let server = house.serve();
    let (good, digest) = bundle(&house, "v1");
    let good_text = String::from_utf8(good.clone()).unwrap();
    let hostile = |name: &str| good_text.replace("0001_orders.up.sql", name).into_bytes();
    let of = |bytes: &[u8]| Digest::of(bytes).to_string();
    let mut spaced = good.clone();
    spaced.push(b' ');
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"garbage".to_vec(),
        vec![0xff; 1000],
        b"[[[[[[[[".repeat(10_000),
        b"{}".to_vec(),
        spaced,
        good[..good.len() / 2].to_vec(),
        hostile("../../etc/passwd"),
        hostile("/etc/passwd.up.sql"),
        hostile("0001_a/../b.up.sql"),
        hostile("0001_\\u0000.up.sql"),
        hostile("x"),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let (status, problem) = push(&server, &of(&body), "", body).await;
        assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("WL0814")), "{shown}: {problem}");
    }
    let (status, problem) = push(&server, &"0".repeat(64), "", good.clone()).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("WL0814")), "another digest: {problem}");
    for (digest, query, code) in [
        ("nothing".to_owned(), "", "WL0823"),
        (digest.to_string(), "?revision=../up", "WL0005"),
        (digest.to_string(), "?unknown=1", "WL0823"),
        (digest.to_string(), "?fleet=elsewhere", "WL0826"),
    ] {
        let (_, problem) = push(&server, &digest, query, good.clone()).await;
        assert_eq!(problem["code"], code, "{query}: {problem}");
    }
    assert_eq!(server.get("/v1/releases").await.1["items"], json!([]));
}

#[tokio::test]
async fn a_release_that_is_announced_too_large_is_refused_before_it_is_read() {
    let house = House::of(1, "");
    let server = house.serve();
    let mut socket = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    let head = format!("PUT /v1/releases/{} HTTP/1.1\r\nhost: 127.0.0.1\r\n", "0".repeat(64));
    write!(socket, "{head}content-length: 1073741824\r\n\r\n").unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
}

#[tokio::test]
async fn who_may_not_push_does_not_and_who_may_does_it_for_its_fleets() {
    let house = House::of(1, "");
    let server = house.serve();
    let (bytes, digest) = bundle(&house, "v1");
    let with = |token: String| {
        let request = server.ask(Method::PUT, &format!("/v1/releases/{digest}")).bearer_auth(token);
        answer(request.body(bytes.clone()))
    };
    assert_eq!(with(token(&house, "viewer", &[])).await.0, StatusCode::FORBIDDEN);
    assert_eq!(with(token(&house, "deployer", &["--fleet", "elsewhere"])).await.0, StatusCode::NOT_FOUND);
    assert_eq!(with(token(&house, "deployer", &["--fleet", "shop"])).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_fleet_that_takes_no_pushed_releases_says_so() {
    let house = House::of(1, "");
    let text = std::fs::read_to_string(house.project.at("windlass.toml")).unwrap();
    house.project.write("windlass.toml", &text.replace("[serve.release]\n", "[serve.release]\npushed = false\n"));
    let server = house.serve();
    let (bytes, digest) = bundle(&house, "v1");
    let (status, problem) = push(&server, &digest.to_string(), "", bytes).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (403, Some("WL0825")), "{problem}");
}

#[tokio::test]
async fn as_many_releases_are_received_at_once_as_may_and_the_next_one_waits() {
    let house = House::of(1, "");
    let server = house.serve();
    let (bytes, digest) = bundle(&house, "v1");
    // Two that have sent their heads and not their bodies.
    let slow: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut socket = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
            let head = format!("PUT /v1/releases/{} HTTP/1.1\r\nhost: 127.0.0.1\r\n", "0".repeat(64));
            write!(socket, "{head}expect: 100-continue\r\ncontent-length: 10\r\n\r\n").unwrap();
            // It is asked for the body once there is room for it.
            let mut status = [0; 12];
            socket.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 100");
            socket
        })
        .collect();
    let digest = digest.to_string();
    let third = push(&server, &digest, "", bytes);
    tokio::pin!(third);
    let meanwhile = async {
        for _ in 0..20 {
            assert_eq!(server.get("/v1/server").await.0, StatusCode::OK);
        }
    };
    tokio::select! {
        (status, _) = &mut third => panic!("it was received beside two others: {status}"),
        () = meanwhile => {}
    }
    drop(slow);
    assert_eq!(third.await.0, StatusCode::CREATED);
}
