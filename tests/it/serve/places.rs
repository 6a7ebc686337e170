//! Where the server is: behind a certificate, with several projects, on a log that others hold.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::json;

use super::house::{House, answer, deployment};
use crate::support::project::Ran;

#[tokio::test]
async fn it_speaks_tls_by_itself() {
    let house = House::of(1, "tls = { cert = \"cert.pem\", key = \"key.pem\" }");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    house.project.write("cert.pem", &made.cert.pem());
    house.project.write("key.pem", &made.signing_key.serialize_pem());
    let server = house.serve();
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let port = server.url.rsplit(':').next().unwrap();
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let http = Client::builder().tls_certs_only([root]).build().unwrap();
    let (status, ready) = answer(http.get(format!("https://localhost:{port}/readyz"))).await;
    assert_eq!((status, &ready["status"]), (StatusCode::OK, &json!("ready")));
    // Who speaks something else is not answered, and costs nobody else anything.
    let mut plain = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    plain.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"));
}

#[tokio::test]
async fn a_certificate_or_a_secret_that_is_none_is_refused_at_the_start() {
    let refused = |house: &House| {
        let mut command = house.project.command();
        Ran::of(command.args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap()).ends_with(1).stderr
    };
    let house = House::of(1, "tls = { cert = \"cert.pem\", key = \"key.pem\" }");
    house.project.write("cert.pem", "no certificate");
    house.project.write("key.pem", "no key");
    assert!(refused(&house).contains("WL0831"));
    // HOOK_SECRET is not set here.
    let house = House::of(1, "");
    let said = refused(&house);
    assert!(said.contains("WL0003") && said.contains("HOOK_SECRET"), "{said}");
}

#[tokio::test]
async fn one_server_serves_several_projects_on_one_log_and_each_keeps_to_its_own() {
    let house = House::of(2, "projects = [\"billing\"]");
    let log = house.project.at("windlass.db");
    let log = log.display();
    for number in 0..2 {
        house.project.write(&format!("billing/tenants/b{number}.db"), "");
    }
    house.project.write(
        "billing/windlass.toml",
        &format!("name = \"billing\"\n[log]\nurl = \"sqlite://{log}\"\n[fleet]\nsource = {{ glob = \"tenants/*.db\" }}\n[serve.release]\nfolder = \"{}/{{revision}}\"\n", house.project.at("releases").display()),
    );
    let server = house.serve();
    let ask = |fleet: &'static str| json!({ "fleet": fleet, "revision": "v1" });
    let (_, shop) = server.post("/v1/deploys", &ask("shop")).await;
    let (_, billing) = server.post("/v1/deploys", &ask("billing")).await;
    let shop = server.until(shop["id"].as_str().unwrap(), "completed").await;
    let billing = server.until(billing["id"].as_str().unwrap(), "completed").await;
    assert_eq!((&shop["fleet"], &billing["fleet"]), (&json!("shop"), &json!("billing")));
    assert_eq!(house.project.sql("billing/tenants/b1.db", "SELECT count(*) FROM orders").await.unwrap(), ["0"]);
    let (status, _) = server.post("/v1/deploys", &ask("elsewhere")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_project_with_another_log_is_refused() {
    let house = House::of(1, "projects = [\"billing\"]");
    house.project.write("billing/windlass.toml", "name = \"billing\"\n[fleet]\nsource = { glob = \"tenants/*.db\" }\n");
    let ran = Ran::of(
        house.project.command().args(["serve", "--listen", "127.0.0.1:0"]).env("HOOK_SECRET", "x").output().unwrap(),
    );
    assert!(ran.ends_with(1).stderr.contains("share one log"));
}

#[tokio::test]
async fn while_the_log_is_held_deliveries_are_turned_away_with_a_word_and_nothing_accepted_is_lost() {
    let house = House::of(2, "");
    let server = house.serve();
    let (_, first) = server.deliver("a", "v1").await;
    server.until(first["id"].as_str().unwrap(), "completed").await;
    let mut held = house.project.sqlite("windlass.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let sent = server.delivery("b", &deployment("b", "v2")).timeout(Duration::from_mins(1)).send().await.unwrap();
    let status = sent.status();
    let wait = sent.headers().get("retry-after").cloned();
    let problem: serde_json::Value = sent.json().await.unwrap();
    assert_eq!((status, problem["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("WL0506")), "{problem}");
    assert!(wait.is_some());
    assert_eq!(server.get("/healthz").await.0, StatusCode::OK);
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    let (status, again) = server.deliver("b", "v2").await;
    // What could not be answered may yet have been taken in: either way it is one deploy.
    assert!(matches!(status, StatusCode::ACCEPTED | StatusCode::OK), "{again}");
    server.until(again["id"].as_str().unwrap(), "completed").await;
    assert_eq!(server.get("/v1/deploys").await.1["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_local_command_beside_a_server_says_so_and_both_come_to_the_same_end() {
    let house = House::of(3, "");
    let server = house.serve();
    let ran = house.project.windlass("deploy").ends_with(0);
    assert!(ran.stdout.contains(&format!("the server at {} drives this deploy as well", server.url)), "{}", ran.stdout);
    let (_, list) = server.get("/v1/deploys").await;
    assert_eq!(list["items"][0]["standing"], "completed");
    house.project.windlass("audit verify").ends_with(0);
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_let_go() {
    let house = House::of(1, "");
    let server = house.serve();
    let mut silent = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    silent.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut idle = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    idle.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    write!(idle, "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    assert!(silent.read_to_end(&mut rest).is_ok(), "a silent connection is kept for ever");
    let mut answered = String::new();
    assert!(idle.read_to_string(&mut answered).is_ok(), "an idle connection is kept for ever");
    assert!(answered.starts_with("HTTP/1.1 200"));
}
