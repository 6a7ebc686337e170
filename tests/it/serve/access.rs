//! Who may do what: every route with every role.

use reqwest::{Method, StatusCode};
use serde_json::json;
use windlass::log::Role;
use windlass::serve::{Need, ROUTES};

use super::house::{House, SECRET, answer};
use crate::support::project::Ran;

/// Makes a token with the command line.
pub fn token(house: &House, role: &str, more: &[&str]) -> String {
    let ran = house
        .project
        .command()
        .args(["--json", "token", "create", "--name", role, "--role", role])
        .args(more)
        .output()
        .unwrap();
    let made: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

/// Who may use a route, written down once more: an oversight in the server's own table is none here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    Anybody,
    /// Who proves it to the route itself.
    Proof,
    Viewer,
    Deployer,
    Operator,
    Admin,
}

use Least::{Admin, Anybody, Deployer, Operator, Proof, Viewer};

const EXPECTED: [(&str, &str, Least); 39] = [
    ("GET", "/healthz", Anybody),
    ("GET", "/readyz", Anybody),
    ("GET", "/metrics", Viewer),
    ("POST", "/webhooks/{name}", Proof),
    ("GET", "/v1/openapi.json", Anybody),
    ("GET", "/v1/server", Viewer),
    ("GET", "/v1/deploys", Viewer),
    ("POST", "/v1/deploys", Deployer),
    ("GET", "/v1/deploys/{id}", Viewer),
    ("GET", "/v1/deploys/{id}/events", Viewer),
    ("GET", "/v1/deploys/{id}/live", Viewer),
    ("GET", "/v1/deploys/{id}/tenants", Viewer),
    ("GET", "/v1/deploys/{id}/tenants/{tenant}", Viewer),
    ("POST", "/v1/deploys/{id}/pause", Operator),
    ("POST", "/v1/deploys/{id}/resume", Operator),
    ("POST", "/v1/deploys/{id}/unwind", Operator),
    ("POST", "/v1/deploys/{id}/cancel", Deployer),
    ("POST", "/v1/deploys/{id}/retry", Operator),
    ("POST", "/v1/deploys/{id}/resolve", Operator),
    ("POST", "/v1/deploys/{id}/rollback", Operator),
    ("GET", "/v1/tenants", Viewer),
    ("GET", "/v1/releases", Viewer),
    ("GET", "/v1/releases/{digest}", Viewer),
    ("PUT", "/v1/releases/{digest}", Deployer),
    ("GET", "/v1/workflows", Viewer),
    ("GET", "/v1/workflows/{name}", Viewer),
    ("GET", "/v1/audit/export", Viewer),
    ("GET", "/v1/tokens", Admin),
    ("POST", "/v1/tokens", Admin),
    ("DELETE", "/v1/tokens/{id}", Admin),
    ("GET", "/", Viewer),
    ("GET", "/login", Anybody),
    ("POST", "/login", Proof),
    ("POST", "/logout", Viewer),
    ("GET", "/assets/{name}", Anybody),
    ("GET", "/deploys/{id}", Viewer),
    ("GET", "/deploys/{id}/parts/{part}", Viewer),
    ("GET", "/deploys/{id}/tenants/{tenant}", Viewer),
    ("POST", "/deploys/{id}/{command}", Operator),
];

#[test]
fn the_servers_table_of_routes_is_the_one_that_is_written_here() {
    let written: Vec<(&str, &str, Need)> = EXPECTED
        .iter()
        .map(|(method, path, least)| {
            let need = match least {
                Anybody => Need::Nothing,
                Proof => Need::Proof,
                Viewer => Need::Role(Role::Viewer),
                Deployer => Need::Role(Role::Deployer),
                Operator => Need::Role(Role::Operator),
                Admin => Need::Role(Role::Admin),
            };
            (*method, *path, need)
        })
        .collect();
    let served: Vec<(&str, &str, Need)> =
        ROUTES.iter().map(|(method, path, need)| (method.as_str(), *path, *need)).collect();
    for route in &served {
        assert!(written.contains(route), "nobody has written down who may use {route:?}");
    }
    assert_eq!(served.len(), written.len(), "a route is gone, or is there twice");
}

#[tokio::test]
async fn every_route_admits_its_role_and_those_above_it_and_nobody_else() {
    let house = House::of(1, "");
    let server = house.serve();
    let roles = ["viewer", "deployer", "operator", "admin"];
    let tokens: Vec<String> = roles.iter().map(|role| token(&house, role, &[])).collect();
    let mut table =
        String::from("route                                              nobody  viewer  deployer  operator  admin\n");
    for (method, path, least) in EXPECTED {
        // Nothing there: who is let in is told so, or that something is missing; who is not, is told that.
        let filled = path
            .replace("{id}", "00000000-0000-7000-8000-000000000000")
            .replace("{tenant}", "t")
            .replace("{digest}", &"0".repeat(64));
        // A webhook that is there, so that it is the proof that is missing.
        let filled = filled.replace("/webhooks/{name}", "/webhooks/github");
        let filled = filled.replace("{name}", "none").replace("{part}", "none").replace("{command}", "none");
        let mut cells = Vec::new();
        for who in std::iter::once(None).chain(tokens.iter().map(Some)) {
            let mut request = server.ask(Method::from_bytes(method.as_bytes()).unwrap(), &filled);
            if let Some(token) = who {
                request = request.bearer_auth(token);
            }
            if path == "/login" && method == "POST" {
                let form = "application/x-www-form-urlencoded";
                request = request.header("content-type", form).body("token=wl_00000000_nothing");
            }
            let (status, _) = answer(request).await;
            cells.push(match status {
                StatusCode::UNAUTHORIZED => "401",
                StatusCode::FORBIDDEN => "403",
                // Too many of something would look like being let in, and an error like an answer.
                StatusCode::TOO_MANY_REQUESTS => "429",
                status if status.is_server_error() => "5xx",
                _ => "yes",
            });
        }
        table.push_str(&format!(
            "{method:6} {path:42}  {:6}  {:6}  {:8}  {:8}  {}\n",
            cells[0], cells[1], cells[2], cells[3], cells[4]
        ));
        let expected = match least {
            Anybody => ["yes"; 5],
            // No token takes the place of a signature, or of the token in the form.
            Proof => ["401"; 5],
            Viewer => ["401", "yes", "yes", "yes", "yes"],
            Deployer => ["401", "403", "yes", "yes", "yes"],
            Operator => ["401", "403", "403", "yes", "yes"],
            Admin => ["401", "403", "403", "403", "yes"],
        };
        assert_eq!(cells, expected, "{method} {path}\n{}", server.said());
    }
    println!("{table}");
}

#[tokio::test]
async fn a_token_is_good_until_it_is_revoked_or_has_expired_and_only_for_its_fleets() {
    let house = House::of(1, "");
    let server = house.serve();
    let (ours, theirs) = (token(&house, "viewer", &[]), token(&house, "viewer", &["--fleet", "elsewhere"]));
    let get = |token: String, path: &'static str| answer(server.ask(Method::GET, path).bearer_auth(token));
    assert_eq!(get(ours.clone(), "/v1/deploys").await.0, StatusCode::OK);
    assert_eq!(get(theirs, "/v1/deploys").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get("wl_00000000_nothing".to_owned(), "/v1/deploys").await.0, StatusCode::UNAUTHORIZED);
    let short = token(&house, "viewer", &["--expires", "1ms"]);
    assert_eq!(get(short, "/v1/deploys").await.0, StatusCode::UNAUTHORIZED);
    let id = ours.split('_').nth(1).unwrap();
    house.project.windlass(&format!("token revoke {id}")).ends_with(0);
    assert_eq!(get(ours.clone(), "/v1/deploys").await.0, StatusCode::UNAUTHORIZED);
    let listed = house.project.windlass("token list").ends_with(0).stdout;
    assert!(listed.contains("revoked") && !listed.contains(ours.splitn(3, '_').nth(2).unwrap()));
    let log = std::fs::read(house.project.at("windlass.db")).unwrap();
    let secret = ours.splitn(3, '_').nth(2).unwrap().as_bytes();
    assert!(!log.windows(secret.len()).any(|at| at == secret), "the log holds the token itself");
}

#[tokio::test]
async fn a_page_of_another_site_can_do_nothing_with_a_server_that_needs_no_token() {
    let house = House::of(1, "");
    let server = house.serve();
    let post = |name: &'static str, value: &'static str| {
        answer(server.ask(Method::POST, "/v1/deploys").header(name, value).json(&json!({ "revision": "v1" })))
    };
    assert_eq!(post("origin", "https://evil.example").await.0, StatusCode::FORBIDDEN);
    assert_eq!(post("sec-fetch-site", "cross-site").await.0, StatusCode::FORBIDDEN);
    assert_eq!(post("host", "evil.example").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/v1/deploys").await.1["items"], json!([]));
}

#[tokio::test]
async fn a_public_address_is_not_served_without_a_token() {
    let house = House::of(1, "");
    let mut command = house.project.command();
    command.args(["serve", "--listen", "0.0.0.0:0"]).env("HOOK_SECRET", SECRET);
    let ran = Ran::of(command.output().unwrap()).ends_with(1);
    assert!(ran.stderr.contains("WL0831") && ran.stderr.contains("windlass token create"), "{}", ran.stderr);
}

#[tokio::test]
async fn whoever_comes_through_a_proxy_is_not_somebody_on_this_machine() {
    let house = House::of(1, "");
    let server = house.serve();
    assert_eq!(server.get("/v1/deploys").await.0, StatusCode::OK);
    for header in ["x-forwarded-for", "forwarded", "via"] {
        let (status, _) = answer(server.ask(Method::GET, "/v1/deploys").header(header, "203.0.113.9")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{header}");
    }
    drop(server);
    let house = House::of(1, "url = \"https://windlass.example.org\"");
    let mut command = house.project.command();
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("HOOK_SECRET", SECRET);
    let ran = Ran::of(command.output().unwrap()).ends_with(1);
    assert!(ran.stderr.contains("WL0831") && ran.stderr.contains("windlass.example.org"), "{}", ran.stderr);
}
