//! How many requests a server answers, how late, and what it weighs while it drives a large fleet.
//!
//! The server is the program itself on loopback, with SQLite tenants in a temporary folder; whoever asks runs on the same machine and takes
//! its part of it.
//!
//! ```text
//! cargo bench --bench serve
//! cargo bench --bench serve -- --seconds 10 --connections 32 --tenants 10000
//! ```

// A benchmark speaks by panicking, like a test.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
// A count of requests is no number whose last digit matters.
#![allow(clippy::cast_precision_loss)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;

/// What is measured, and for how long.
#[derive(Debug, Parser)]
struct Args {
    /// How long each kind of request is asked for
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections that ask at once
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Tenants of the large fleet
    #[arg(long, default_value_t = 10_000)]
    tenants: usize,
    /// Cargo says this to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

const SECRET: &str = "the benchmark's secret";

/// A server in a folder of its own.
struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(tenants: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for number in 0..tenants {
            write(&format!("tenants/t{number:05}.db"), "");
        }
        write(
            "windlass.toml",
            "name = \"bench\"\n[fleet]\nsource = { glob = \"tenants/*.db\" }\n[serve]\nrequests_per_second = 1000000\n\
             [serve.release]\nfolder = \"releases/{revision}\"\n\
             [[serve.webhook]]\nname = \"github\"\nsender = \"github\"\nsecrets = [\"${env:HOOK_SECRET}\"]\n\
             [[serve.webhook.rule]]\nevent = \"deployment\"\nrevision = \"{deployment.ref}\"\n",
        );
        for number in 1..=3 {
            write(&format!("releases/v1/000{number}_table.up.sql"), &format!("CREATE TABLE t{number} (x INTEGER);\n"));
            write(&format!("releases/v1/000{number}_table.down.sql"), &format!("DROP TABLE t{number};\n"));
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(folder.path())
            .env("HOOK_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { child, url, _folder: folder }
    }

    /// What the kernel says of its memory, in MiB: now, and at most.
    fn memory(&self) -> (u64, u64) {
        let status =
            std::fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("status")).unwrap();
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signed delivery.
fn delivery(http: &Client, server: &Server) -> RequestBuilder {
    let body = serde_json::to_vec(&json!({ "action": "created", "deployment": { "id": 1, "ref": "v1" } })).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&body);
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    http.post(format!("{}/webhooks/github", server.url))
        .header("x-github-event", "deployment")
        .header("x-github-delivery", "1")
        .header("x-hub-signature-256", format!("sha256={signature}"))
        .header("content-type", "application/json")
        .body(body)
}

async fn answer(request: RequestBuilder) -> Value {
    request.send().await.unwrap().json().await.unwrap()
}

/// Delivers, and waits for the deploy's end, looking at what the server weighs.
async fn deploy(http: &Client, server: &Server) -> (String, Duration, u64) {
    let begun = Instant::now();
    let id = answer(delivery(http, server)).await["id"].as_str().unwrap().to_owned();
    let mut most = 0;
    loop {
        let deploy = answer(http.get(format!("{}/v1/deploys/{id}", server.url))).await;
        most = most.max(server.memory().0);
        match deploy["standing"].as_str().unwrap() {
            "queued" | "under_way" => tokio::time::sleep(Duration::from_millis(250)).await,
            "completed" => return (id, begun.elapsed(), most),
            other => panic!("the deploy is {other}: {deploy:#}"),
        }
    }
}

/// Asks over and over, and prints how often and how late it was answered.
async fn ask(what: &str, args: &Args, request: impl Fn() -> RequestBuilder) {
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let asking = (0..args.connections).map(|_| async {
        let mut late = Vec::new();
        while Instant::now() < until {
            let begun = Instant::now();
            let answer = request().send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.unwrap();
            late.push(begun.elapsed());
        }
        late
    });
    let begun = Instant::now();
    let mut late: Vec<Duration> = futures_util::future::join_all(asking).await.into_iter().flatten().collect();
    late.sort_unstable();
    let at = |part: usize| late[(late.len() - 1) * part / 1000].as_secs_f64() * 1e3;
    let rate = late.len() as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{what:<42} {rate:>7.0} a second   median {:>6.2} ms   p99 {:>6.2} ms   p99.9 {:>6.2} ms",
        at(500),
        at(990),
        at(999)
    );
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Client::builder().pool_max_idle_per_host(args.connections).build().unwrap();
    println!("{} connections, {} s each, 100 SQLite tenants", args.connections, args.seconds);
    let server = Server::start(100);
    let (id, _, _) = deploy(&http, &server).await;
    ask("GET /healthz", &args, || http.get(format!("{}/healthz", server.url))).await;
    ask("GET /v1/deploys/{id}", &args, || http.get(format!("{}/v1/deploys/{id}", server.url))).await;
    ask("POST /webhooks/github, a replay", &args, || delivery(&http, &server)).await;
    let (now, most) = server.memory();
    println!("memory afterwards {now} MiB, at most {most} MiB");
    drop(server);

    let server = Server::start(args.tenants);
    let (idle, _) = server.memory();
    let (_, took, seen) = deploy(&http, &server).await;
    let (now, most) = server.memory();
    println!(
        "a deploy of 3 migrations to {} SQLite tenants: {:.1} s; memory {idle} MiB before, {seen} MiB seen and {most} MiB at most during it, {now} MiB after",
        args.tenants,
        took.as_secs_f64()
    );
}
