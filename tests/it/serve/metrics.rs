//! What can be measured, and what is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use windlass::base::measure::METRICS;
use windlass::saga::summary::TenantStatus;

use super::fake::{Answer, Fake};
use super::house::{House, Server};

/// An exposition as it is read: the kind of each family, and the value of each series by its text.
struct Exposition {
    kinds: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads the text format of Prometheus.
    fn parse(text: &str) -> Self {
        let (mut kinds, mut series, mut helped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped.insert(rest.split(' ').next().unwrap().to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no series: {line}"));
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                let bare = name.split('{').next().unwrap();
                let family =
                    ["_bucket", "_sum", "_count"].iter().find_map(|end| bare.strip_suffix(end)).unwrap_or(bare);
                assert!(kinds.contains_key(family) || kinds.contains_key(bare), "a series without its kind: {line}");
                assert!(series.insert(name.to_owned(), value).is_none(), "{name} is there twice");
            }
        }
        assert!(kinds.keys().all(|name| helped.contains(name)), "not all are described: {text}");
        Self { kinds, series }
    }

    /// The sum of a metric's series in which all of these labels are.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |series: &str| {
            series.split('{').next() == Some(name)
                && labels.iter().all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
        };
        self.series.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    }
}

async fn metrics(server: &Server) -> Exposition {
    let answer = server.ask(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    Exposition::parse(&answer.text().await.unwrap())
}

#[track_caller]
fn is(exposition: &Exposition, name: &str, labels: &[(&str, &str)], value: f64) {
    let sum = exposition.sum(name, labels);
    assert!((sum - value).abs() < 0.001, "{name} {labels:?} is {sum}, not {value}: {:#?}", exposition.series);
}

/// A house of three tenants that tells `chat` what happens.
fn telling(chat: &Fake) -> House {
    let house = House::of(3, "");
    let file = house.project.at("windlass.toml");
    let notify = format!("[[serve.notify]]\nurl = \"{}\"\nsecret = \"${{env:NOTIFY_SECRET}}\"\n", chat.url);
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &notify).unwrap();
    house
}

const SIGNING: (&str, &str) = ("NOTIFY_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");

#[tokio::test]
async fn after_a_deploy_and_an_unwind_the_numbers_are_right() {
    let chat = Fake::kind().await;
    let house = telling(&chat);
    let server = house.serve_with(&[SIGNING]);
    for (delivery, revision, standing) in [("a", "v1", "completed"), ("b", "bad", "unwound")] {
        let (_, taken) = server.deliver(delivery, revision).await;
        server.until(taken["id"].as_str().unwrap(), standing).await;
    }
    server.deliver("b", "bad").await;
    let nobody = server.ask(Method::POST, "/webhooks/github").body("{}").send().await.unwrap();
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    server.ask(Method::GET, "/v1/deploys/00000000-0000-7000-8000-000000000000?token=x").send().await.unwrap();
    chat.until(|heard| heard.iter().filter(|of| of.body["type"] == "deploy.finished").count() == 2).await;
    let found = metrics(&server).await;
    is(&found, "windlass_deploys_total", &[("outcome", "completed")], 1.0);
    is(&found, "windlass_deploys_total", &[("outcome", "unwound")], 1.0);
    is(&found, "windlass_requests_total", &[("outcome", "created")], 2.0);
    let delivered = |result: &'static str| [("webhook", "github"), ("result", result)];
    is(&found, "windlass_webhook_deliveries_total", &delivered("accepted"), 2.0);
    is(&found, "windlass_webhook_deliveries_total", &delivered("again_or_ping"), 1.0);
    is(&found, "windlass_webhook_deliveries_total", &delivered("unproven"), 1.0);
    is(&found, "windlass_tenants", &[("fleet", "shop")], 0.0);
    let migrated = [("kind", "migrate"), ("half", "act"), ("outcome", "succeeded")];
    is(&found, "windlass_step_seconds_count", &migrated, 3.0);
    assert!(found.sum("windlass_step_seconds_count", &[("kind", "migrate"), ("outcome", "failed")]) >= 1.0);
    assert!(found.sum("windlass_log_append_seconds_count", &[]) >= 6.0);
    assert!(found.sum("windlass_log_group_commands_count", &[]) >= 6.0);
    let statuses = [("method", "GET"), ("route", "/v1/deploys/{id}"), ("status", "404")];
    is(&found, "windlass_http_requests_total", &statuses, 1.0);
    assert!(found.sum("windlass_http_request_seconds_count", &[("route", "/webhooks/{name}")]) >= 4.0);
    assert!(found.sum("windlass_http_connections", &[]) >= 1.0);
    is(&found, "windlass_reports_sent_total", &[("target", "notify"), ("result", "failed")], 0.0);
    assert!(found.sum("windlass_reports_sent_total", &[("target", "notify"), ("result", "told")]) >= 6.0);
    is(&found, "windlass_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    assert!(found.sum("windlass_start_time_seconds", &[]) > 1.7e9);
    // P10: the number of series does not grow with the fleet.
    assert!(found.series.keys().all(|series| !series.contains("t0001") && !series.contains("0000-7000")));
    let known: BTreeMap<&str, &str> = METRICS.iter().map(|of| (of.name, of.kind.as_str())).collect();
    for (name, kind) in &found.kinds {
        assert_eq!(known.get(name.as_str()), Some(&kind.as_str()), "{name} is on no page");
    }
    // What this run had no reason to count has labels, so it is not there yet.
    let missing: Vec<&str> = known.keys().copied().filter(|name| !found.kinds.contains_key(*name)).collect();
    assert!(
        missing.iter().all(|name| ["windlass_step_retries_total", "windlass_undos_total"].contains(name)),
        "{missing:?}"
    );
}

#[tokio::test]
async fn while_a_tenant_is_held_the_numbers_and_the_record_say_what_waits_and_what_fails() {
    let chat = Fake::new(|_, _| Answer::Status(503)).await;
    let house = telling(&chat);
    let server = house.serve_with(&[SIGNING, ("WINDLASS_LOG_FORMAT", "json")]);
    // As long as somebody else writes to it, what is to be done there fails and is tried again.
    let mut held = house.project.sqlite("tenants/t0001.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let (_, first) = server.deliver("a", "v1").await;
    let first = first["id"].as_str().unwrap();
    server.until(first, "under_way").await;
    let (status, second) = server.deliver("b", "v2").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{second}");
    let census = async || server.get(&format!("/v1/deploys/{first}")).await.1["account"]["census"].clone();
    let begun = Instant::now();
    let (found, census) = loop {
        let before = census().await;
        let found = metrics(&server).await;
        let after = census().await;
        let tried = found.sum("windlass_step_retries_total", &[("half", "act")]);
        let failed = found.sum("windlass_reports_sent_total", &[("target", "notify"), ("result", "failed")]);
        // What changed while it was looked at cannot be compared.
        if before == after && tried >= 1.0 && failed >= 1.0 {
            break (found, before);
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "never: {:#?}\n{}", found.series, server.said());
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let mut tenants = 0;
    for status in TenantStatus::ALL {
        let count = u32::try_from(census[status.as_str()].as_u64().unwrap_or(0)).unwrap();
        is(&found, "windlass_tenants", &[("fleet", "shop"), ("status", status.as_str())], f64::from(count));
        tenants += count;
    }
    assert_eq!(tenants, 3, "{census}");
    assert!(census["running"].as_u64() >= Some(1), "the one that is held: {census}");
    is(&found, "windlass_requests_queued", &[("fleet", "shop")], 1.0);
    is(&found, "windlass_reports_sent_total", &[("result", "told")], 0.0);
    assert!(found.sum("windlass_reports", &[("state", "failing")]) >= 1.0, "{:#?}", found.series);
    let said = server.said();
    let mut lines = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let line = lines.find(|line| line["tenant"] == "t0001").unwrap_or_else(|| panic!("nothing about it: {said}"));
    assert_eq!((&line["deploy"], &line["again"]), (&first.into(), &true.into()), "{line}");
    assert!(line["step"].is_string() && line["code"].is_string(), "{line}");
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    server.until(first, "completed").await;
    server.until(second["id"].as_str().unwrap(), "completed").await;
    let found = metrics(&server).await;
    is(&found, "windlass_tenants", &[("fleet", "shop")], 0.0);
    is(&found, "windlass_requests_queued", &[("fleet", "shop")], 0.0);
}

#[test]
fn the_page_lists_every_metric_with_its_kind_labels_and_meaning() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("| `windlass_")).collect();
    let expected: Vec<String> = METRICS
        .iter()
        .map(|of| {
            let labels: Vec<String> = of.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", of.name, of.kind.as_str(), labels.join(", "), of.help)
        })
        .collect();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn the_metrics_need_a_viewer_who_sees_all_fleets() {
    let house = House::of(1, "");
    let server = house.serve();
    let made = |more: &[&str]| {
        let mut command = house.project.command();
        let ran = command.args(["--json", "token", "create", "--name", "x", "--role", "viewer"]).args(more).output();
        let made: serde_json::Value = serde_json::from_slice(&ran.unwrap().stdout).unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    let (all, some) = (made(&[]), made(&["--fleet", "elsewhere"]));
    let status = async |token: Option<&str>| {
        let request = server.ask(Method::GET, "/metrics");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap().status()
    };
    assert_eq!(status(None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(Some(&some)).await, StatusCode::FORBIDDEN);
    assert_eq!(status(Some(&all)).await, StatusCode::OK);
}

#[tokio::test]
async fn the_record_of_accesses_is_json_with_the_route_and_the_name_and_nothing_secret() {
    let house = House::of(1, "");
    let ran =
        house.project.command().args(["--json", "token", "create", "--name", "ada", "--role", "deployer"]).output();
    let made: serde_json::Value = serde_json::from_slice(&ran.unwrap().stdout).unwrap();
    let token = made["token"].as_str().unwrap();
    let server = house.serve_with(&[("WINDLASS_LOG_FORMAT", "json"), ("WINDLASS_LOG", "debug")]);
    let ask = |method: Method, path: &str| server.ask(method, path).bearer_auth(token);
    ask(Method::GET, "/v1/deploys?limit=7").send().await.unwrap();
    let body = serde_json::json!({ "revision": "v1", "environment": "hunter4" });
    let accepted: serde_json::Value =
        ask(Method::POST, "/v1/deploys").json(&body).send().await.unwrap().json().await.unwrap();
    let id = accepted["id"].as_str().unwrap();
    let address = format!("/v1/deploys/{id}");
    loop {
        let deploy: serde_json::Value = ask(Method::GET, &address).send().await.unwrap().json().await.unwrap();
        if deploy["standing"] == "completed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.signal("TERM");
    let said = loop {
        let said = server.said();
        if said.contains("is let go of") && said.contains("told to end") {
            break said;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let access: Vec<_> = lines.iter().filter(|line| line["target"] == "windlass::access").collect();
    let created = access.iter().find(|line| line["method"] == "POST").unwrap();
    assert_eq!(
        (&created["route"], &created["status"], &created["who"]),
        (&"/v1/deploys".into(), &202.into(), &"ada".into())
    );
    assert!(created["ms"].is_u64() && created["level"] == "INFO");
    assert!(
        access
            .iter()
            .any(|line| line["method"] == "GET" && line["level"] == "DEBUG" && line["route"] == "/v1/deploys/{id}")
    );
    assert!(lines.iter().any(|line| line["deploy"] == id), "{said}");
    let of_access: String = access.iter().map(ToString::to_string).collect();
    assert!(!said.contains(token) && !of_access.contains("limit=7") && !of_access.contains("hunter4"));
}
