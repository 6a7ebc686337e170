//! Clients that cost more than they should.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use windlass::base::limits::{CONNECTIONS_OF_ONE_PART, FILES_KEPT};

use super::house::House;

fn socket(url: &str) -> TcpStream {
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
    let other = std::net::SocketAddr::from(([127, 0, 0, 2], 0)).ip();
    let other = reqwest::Client::builder().local_address(other).build().unwrap();
    let answered = other.get(format!("{}/healthz", server.url)).send().await.unwrap();
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
