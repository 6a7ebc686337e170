//! Clients that cost more than they should.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use windlass::base::limits::{
    CONNECTIONS_MIN, CONNECTIONS_OF_ONE_PART, DELIVERY_TIMEOUT, FILES_KEPT, FOLLOWERS_PART, REQUEST_TIMEOUT,
};

use super::house::{House, SECRET, deployment, hmac};

/// Somebody else, as far as the server can see.
fn neighbour() -> Client {
    let other = std::net::SocketAddr::from(([127, 0, 0, 2], 0)).ip();
    Client::builder().local_address(other).build().unwrap()
}

pub fn socket(url: &str) -> TcpStream {
    let socket = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    socket
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_refused_before_it_is_read() {
    let house = House::of(1, "");
    let server = house.serve();
    let mut socket = socket(&server.url);
    write!(socket, "POST /webhooks/github HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1073741824\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("WL0803"), "{answer}");
}

#[tokio::test]
async fn a_body_without_a_length_is_read_no_further_than_its_limit() {
    let house = House::of(1, "");
    let server = house.serve();
    let mut socket = socket(&server.url);
    write!(socket, "POST /webhooks/github HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = vec![b'x'; 1024 * 1024];
    let mut sent = 0;
    // It answers and closes; what is written to it then fails, sooner or later.
    while sent < 64
        && write!(socket, "100000\r\n")
            .and_then(|()| socket.write_all(&chunk))
            .and_then(|()| write!(socket, "\r\n"))
            .is_ok()
    {
        sent += 1;
    }
    assert!(sent < 64, "it takes whatever comes");
    let (status, _) = server.get("/healthz").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn who_holds_as_many_connections_as_it_can_get_leaves_the_others_as_many() {
    let house = House::of(1, "");
    // Few files, few connections: 64 here, of which one address may have half.
    let server = house.serve_under(&format!("ulimit -n {}", FILES_KEPT + 64));
    let half = 64 / CONNECTIONS_OF_ONE_PART;
    let (mut held, mut refused) = (Vec::new(), 0);
    while refused < 5 {
        let mut socket = socket(&server.url);
        write!(socket, "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
        let mut first = [0; 12];
        // One that is refused is closed without a word; one that is answered may be used again.
        match socket.read_exact(&mut first) {
            Ok(()) => held.push(socket),
            Err(_) => refused += 1,
        }
        assert!(held.len() <= half, "one address has more than half of all connections");
    }
    assert_eq!(held.len(), half);
    let answered = neighbour().get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(answered.status(), StatusCode::OK);
    drop(held);
}

#[tokio::test]
async fn who_sends_its_head_too_slowly_is_let_go_while_others_are_answered() {
    let house = House::of(1, "");
    let server = house.serve();
    let slow: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut socket = socket(&server.url);
            write!(socket, "GET /healthz HTTP/1.1\r\nx-slow: ").unwrap();
            socket
        })
        .collect();
    let (status, _) = server.get("/healthz").await;
    assert_eq!(status, StatusCode::OK);
    let begun = Instant::now();
    for mut socket in slow {
        let mut rest = Vec::new();
        // Closed by the server, with or without a word.
        let _ = socket.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "the server waits for whoever is slow");
}

#[tokio::test]
async fn who_asks_more_often_than_it_may_is_told_to_wait_and_its_neighbour_is_answered() {
    let house = House::of(1, "requests_per_second = 5");
    let server = house.serve();
    let (other, begun) = (neighbour(), Instant::now());
    let mut answered = 0;
    let refused = loop {
        let answer = server.ask(Method::GET, "/healthz").send().await.unwrap();
        if answer.status() != StatusCode::OK {
            break answer;
        }
        answered += 1;
        assert!(begun.elapsed() < Duration::from_secs(30), "{answered} answers, and none of them no");
    };
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait > 0);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "WL0828", "{problem}");
    assert!(answered >= 5, "after {answered}");
    // Five at once, and one more for each fifth of a second that has gone by.
    let at_most = 5 + begun.elapsed().as_millis() / 200 + 1;
    assert!(answered <= at_most, "{answered} in {:?}", begun.elapsed());
    let theirs = other.get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(theirs.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_delivery_whose_body_stops_halfway_is_given_up_while_others_are_answered() {
    let house = House::of(1, "");
    let server = house.serve();
    let body = serde_json::to_string(&deployment("half", "v1")).unwrap();
    let (half, length) = (&body[..body.len() / 2], body.len());
    let signature = hmac(SECRET, body.as_bytes());
    let begun = Instant::now();
    let mut socket = socket(&server.url);
    write!(
        socket,
        "POST /webhooks/github HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         x-github-event: deployment\r\nx-github-delivery: half\r\nx-hub-signature-256: sha256={signature}\r\n\r\n{half}"
    )
    .unwrap();
    let waiting = std::thread::spawn(move || {
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer);
        (answer, begun.elapsed())
    });
    let (status, other) = server.deliver("whole", "v2").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{other}");
    server.until(other["id"].as_str().unwrap(), "completed").await;
    let (answer, took) = tokio::task::spawn_blocking(move || waiting.join().unwrap()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("WL0829"), "{answer}");
    // Before the limit of every request would have cut it.
    assert!(took >= DELIVERY_TIMEOUT && took < REQUEST_TIMEOUT, "{took:?}");
    let (_, list) = server.get("/v1/deploys").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "half a delivery starts nothing: {list}");
    let (status, again) = server.deliver("half", "v1").await;
    assert_eq!(status, StatusCode::ACCEPTED, "and it can be sent again: {again}");
}

#[tokio::test]
async fn as_many_follow_live_events_as_may_and_one_more_is_told_to_wait() {
    let house = House::of(3, "");
    let server = house.serve_under(&format!("ulimit -n {}", FILES_KEPT + CONNECTIONS_MIN));
    // As long as somebody else writes to a tenant, the deploy does not end, and neither do those who follow it.
    let mut held = house.project.sqlite("tenants/t0001.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let (_, deploy) = server.deliver("a", "v1").await;
    let id = deploy["id"].as_str().unwrap();
    server.until(id, "under_way").await;
    let path = format!("/v1/deploys/{id}/live");
    let mut followers = Vec::new();
    for _ in 0..CONNECTIONS_MIN / FOLLOWERS_PART {
        let answer = server.ask(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        followers.push(answer);
    }
    // Not by its address: it is the followers of all addresses that are counted.
    let one_more = neighbour();
    let one_more = || one_more.get(format!("{}{path}", server.url)).header("host", "127.0.0.1").send();
    let refused = one_more().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "WL0828", "{problem}");
    let (status, _) = server.get("/v1/deploys").await;
    assert_eq!(status, StatusCode::OK, "who does not follow is answered");
    drop(followers.pop());
    // The server learns that a follower is gone when it next has something to say to it, or looks.
    let begun = Instant::now();
    while one_more().await.unwrap().status() != StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_mins(1), "the place of who is gone is never free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    server.until(id, "completed").await;
}
