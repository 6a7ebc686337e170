//! What programs ask of the server, and are refused.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::house::{House, Server, answer};

/// A deploy of this revision, taken to its end.
async fn deployed(server: &Server, revision: &str, standing: &str) -> String {
    let (status, taken) = server.post("/v1/deploys", &json!({ "revision": revision })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{taken}");
    let id = taken["id"].as_str().unwrap().to_owned();
    server.until(&id, standing).await;
    id
}

#[tokio::test]
async fn one_tenant_is_shown_with_its_steps_their_proof_and_its_story() {
    let house = House::of(2, "");
    let server = house.serve();
    let id = deployed(&server, "v1", "completed").await;
    let (status, tenant) = server.get(&format!("/v1/deploys/{id}/tenants/t0000")).await;
    assert_eq!((status, &tenant["status"]), (StatusCode::OK, &json!("completed")));
    let steps = tenant["steps"].as_array().unwrap();
    let migrate = steps.iter().find(|step| step["step"] == "migrate:0001_orders").unwrap();
    assert_eq!(
        (&migrate["uses"], &migrate["starts"], &migrate["status"]),
        (&json!("migrate"), &json!(1), &json!("completed"))
    );
    assert_eq!(migrate["evidence"]["statements"], 1);
    assert_eq!(migrate["evidence"]["digest"], migrate["digest"]);
    let events = tenant["events"].as_array().unwrap();
    assert_eq!(events[0]["event"]["type"], "tenant_planned");
    assert!(events.iter().zip(1..).all(|(event, seq)| event["seq"] == seq), "{events:#?}");

    let failed = deployed(&server, "bad", "unwound").await;
    let (_, tenant) = server.get(&format!("/v1/deploys/{failed}/tenants/t0000")).await;
    let failure = |tenant: &Value| {
        let steps = tenant["steps"].as_array().unwrap().clone();
        steps.into_iter().find(|step| !step["failure"].is_null()).map(|step| step["failure"]["code"].clone())
    };
    let (_, other) = server.get(&format!("/v1/deploys/{failed}/tenants/t0001")).await;
    assert!(failure(&tenant).or_else(|| failure(&other)).is_some_and(|code| code == "WL0606"), "{tenant:#} {other:#}");
    for tenant in ["nobody", "%20", "%FF"] {
        assert_eq!(
            server.get(&format!("/v1/deploys/{id}/tenants/{tenant}")).await.0,
            StatusCode::NOT_FOUND,
            "{tenant}"
        );
    }
}

#[tokio::test]
async fn workflows_are_listed_and_shown_also_those_that_are_not_valid() {
    let house = House::of(1, "");
    house.project.write("workflows/broken.toml", "name = 7\n");
    let server = house.serve();
    let (_, listed) = server.get("/v1/workflows").await;
    let items = listed["items"].as_array().unwrap();
    assert_eq!(
        (&items[0]["name"], &items[0]["origin"], &items[0]["default"]),
        (&json!("all-or-nothing"), &json!("built_in"), &json!(true))
    );
    assert!(items[1]["name"] == "broken" && items[1]["problem"].is_string(), "{listed:#}");
    let (_, shown) = server.get("/v1/workflows/all-or-nothing").await;
    assert_eq!((&shown["on_failure"], &shown["problem"]), (&json!("unwind"), &Value::Null));
    assert!(shown["stages"][0]["steps"].as_array().unwrap().iter().any(|step| step["uses"] == "migrate"));
    assert!(server.get("/v1/workflows/broken").await.0.is_client_error());
    for name in ["none", "..%2Fwindlass", "%00"] {
        assert_eq!(server.get(&format!("/v1/workflows/{name}")).await.0, StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn what_the_client_has_already_is_not_sent_again() {
    let house = House::of(1, "");
    let server = house.serve();
    let id = deployed(&server, "v1", "completed").await;
    let (_, known) = server.get("/v1/tenants").await;
    let release = known["items"][0]["release"].as_str().unwrap();
    for path in [
        format!("/v1/deploys/{id}"),
        format!("/v1/deploys/{id}/tenants/t0000"),
        format!("/v1/releases/{release}"),
        "/v1/workflows/all-or-nothing".to_owned(),
        "/v1/openapi.json".to_owned(),
    ] {
        let first = server.ask(Method::GET, &path).send().await.unwrap();
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        for had in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let again = server.ask(Method::GET, &path).header("if-none-match", &had).send().await.unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path} {had}");
            assert_eq!(again.headers()["etag"], tag.as_str());
            assert!(again.bytes().await.unwrap().is_empty());
        }
        let other = server.ask(Method::GET, &path).header("if-none-match", "\"other\"").send().await.unwrap();
        assert_eq!(other.status(), StatusCode::OK, "{path}");
        let head = server.ask(Method::HEAD, &path).send().await.unwrap();
        assert_eq!((head.status(), head.headers()["etag"].to_str().unwrap()), (StatusCode::OK, tag.as_str()), "{path}");
    }
    for path in ["/v1/server", "/v1/deploys", "/v1/audit/export", "/healthz"] {
        let head = server.ask(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK, "{path}");
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_request_under_one_key_is_one_deploy_for_ever() {
    let house = House::of(1, "");
    let server = house.serve();
    let ask = |key: &'static str, body: Value| {
        answer(server.ask(Method::POST, "/v1/deploys").header("idempotency-key", key).json(&body))
    };
    let v1 = json!({ "revision": "v1" });
    let (status, first) = ask("run-1", v1.clone()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    let id = first["id"].as_str().unwrap();
    server.until(id, "completed").await;
    deployed(&server, "v2", "completed").await;
    let (status, again) = ask("run-1", v1.clone()).await;
    assert_eq!((status, &again["id"], &again["again"]), (StatusCode::OK, &first["id"], &json!(true)));
    let (status, problem) = ask("run-1", json!({ "revision": "v2" })).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("WL0822")), "{problem}");
    for key in ["", " ", "two words"] {
        assert_eq!(ask(key, v1.clone()).await.0, StatusCode::BAD_REQUEST, "{key:?}");
    }
    // A rollback has keys of the same kind.
    let back = || {
        let path = format!("/v1/deploys/{id}/rollback");
        answer(server.ask(Method::POST, &path).header("idempotency-key", "run-1"))
    };
    assert_eq!(back().await.1["code"], "WL0822");
}

#[tokio::test]
async fn what_cannot_be_read_or_done_is_refused_with_its_code() {
    let house = House::of(1, "");
    let server = house.serve();
    let id = deployed(&server, "v1", "completed").await;
    let none = "00000000-0000-7000-8000-000000000000";
    let post = |path: String, kind: &'static str, body: &'static str| {
        answer(server.ask(Method::POST, &path).header("content-type", kind).body(body))
    };
    let json = "application/json";
    for (path, kind, body, status, code) in [
        ("/v1/deploys".to_owned(), json, "", 422, "WL0005"),
        ("/v1/deploys".to_owned(), json, "{", 400, "WL0823"),
        ("/v1/deploys".to_owned(), json, "[]", 400, "WL0823"),
        ("/v1/deploys".to_owned(), json, r#"["shop","v1"]"#, 400, "WL0823"),
        ("/v1/deploys".to_owned(), json, r#"{"revision":7}"#, 400, "WL0823"),
        ("/v1/deploys".to_owned(), json, r#"{"revisoin":"v1"}"#, 400, "WL0823"),
        ("/v1/deploys".to_owned(), "text/plain", r#"{"revision":"v1"}"#, 415, "WL0823"),
        ("/v1/deploys".to_owned(), json, r#"{"revision":"../v1"}"#, 400, "WL0005"),
        ("/v1/deploys".to_owned(), json, r#"{"revision":"nowhere"}"#, 422, "WL0811"),
        ("/v1/deploys".to_owned(), json, r#"{"revision":"v1","only":"a","select":"b"}"#, 422, "WL0005"),
        ("/v1/deploys".to_owned(), json, r#"{"revision":"v1","workflow":"none"}"#, 404, "WL0301"),
        ("/v1/deploys".to_owned(), json, r#"{"revision":"v1","fleet":"none"}"#, 404, "WL0826"),
        (format!("/v1/deploys/{none}/pause"), json, "", 404, "WL0401"),
        ("/v1/deploys/x/pause".to_owned(), json, "", 404, "WL0401"),
        (format!("/v1/deploys/{id}/unwind"), json, r#"{"reason":7}"#, 400, "WL0823"),
        (format!("/v1/deploys/{id}/resolve"), json, "{}", 400, "WL0823"),
        (format!("/v1/deploys/{id}/rollback"), json, r#"{"workflow":"none"}"#, 404, "WL0301"),
        ("/v1/nothing".to_owned(), json, "", 404, "WL0826"),
    ] {
        let (got, problem) = post(path.clone(), kind, body).await;
        assert_eq!((got.as_u16(), problem["code"].as_str()), (status, Some(code)), "{path} {body}: {problem}");
        assert!(problem["type"].as_str().unwrap().ends_with(&format!("{code}.md")), "{problem}");
        assert_eq!(problem["status"], status);
    }
    let wrong = server.ask(Method::PATCH, "/v1/deploys").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(wrong.headers()["allow"].to_str().unwrap().contains("POST"), "{:?}", wrong.headers());
    for path in ["releases/x", "releases/0", &format!("releases/{}", "0".repeat(64)), "deploys/x", "tokens/%FF"] {
        let status = server.get(&format!("/v1/{path}")).await.0;
        assert!(matches!(status.as_u16(), 404 | 405), "{path}: {status}");
    }
}

#[tokio::test]
async fn exports_are_what_the_command_line_writes_and_can_be_verified() {
    let house = House::of(3, "");
    let server = house.serve();
    let id = deployed(&server, "v1", "completed").await;
    deployed(&server, "bad", "unwound").await;
    for (query, command, kind) in [
        (format!("deploy={id}"), format!("audit export {id}"), "application/jsonl"),
        (
            format!("deploy={id}&fleet=shop&format=csv"),
            format!("audit export {id} --format csv"),
            "text/csv; charset=utf-8",
        ),
        (format!("deploy={id}&format=html"), format!("audit export {id} --format html"), "text/html; charset=utf-8"),
        (String::new(), "audit export --all".to_owned(), "application/jsonl"),
        ("format=csv".to_owned(), "audit export --all --format csv".to_owned(), "text/csv; charset=utf-8"),
    ] {
        let got = server.ask(Method::GET, &format!("/v1/audit/export?{query}")).send().await.unwrap();
        assert_eq!((got.status(), got.headers()["content-type"].to_str().unwrap()), (StatusCode::OK, kind), "{query}");
        assert!(got.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
        let text = got.text().await.unwrap();
        assert!(text == house.project.windlass(&command).ends_with(0).stdout, "{query} is another than {command}");
    }
    let fleet = server.ask(Method::GET, "/v1/audit/export?fleet=shop").send().await.unwrap().text().await.unwrap();
    house.project.write("export.jsonl", &fleet);
    house.project.windlass("audit verify --export export.jsonl").ends_with(0);
    for (query, status) in [
        ("format=html", 422),
        ("format=pdf", 400),
        ("deploy=x", 404),
        ("fleet=elsewhere", 404),
        (&format!("deploy={id}&fleet=elsewhere"), 404),
    ] {
        assert_eq!(server.get(&format!("/v1/audit/export?{query}")).await.0.as_u16(), status, "{query}");
    }
}

#[tokio::test]
async fn a_deploy_that_is_another_says_which() {
    let house = House::of(1, "");
    let server = house.serve();
    let id = deployed(&server, "v1", "completed").await;
    // As it is left where only git could tell that two revisions are one release.
    let same = "01994dd1-0000-7000-8000-0123456789ab";
    let body = r#"{"what":{"kind":"deploy","revision":"v1","selection":{}},"trigger":{"api":{}},"actor":{"name":"a","host":"b"}}"#;
    let settled = format!(r#"{{"state":"same","deploy":"{id}"}}"#);
    let insert = format!(
        "INSERT INTO requests (id, fleet, identity, body, received_at, state, settled, settled_at) \
         VALUES ('{same}', 'shop', x'00', '{body}', 0, 'same', '{settled}', 0)"
    );
    let mut log = house.project.sqlite("windlass.db").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut log).await.unwrap();
    let (status, shown) = server.get(&format!("/v1/deploys/{same}")).await;
    assert_eq!((status, &shown["standing"]), (StatusCode::OK, &json!("same")));
    assert_eq!(shown["same_as"], json!({ "id": id, "url": format!("{}/v1/deploys/{id}", server.url) }));
    let (status, problem) = server.get(&format!("/v1/deploys/{same}/tenants")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
}

#[tokio::test]
async fn a_deploy_is_steered_and_what_does_not_go_is_refused() {
    let house = House::of(3, "");
    let server = house.serve();
    // As long as somebody else writes to a tenant, the deploy does not end.
    let mut held = house.project.sqlite("tenants/t0001.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let (_, taken) = server.post("/v1/deploys", &json!({ "revision": "v1" })).await;
    let id = taken["id"].as_str().unwrap();
    server.until(id, "under_way").await;
    let say = async |what: &str, body: Value| server.post(&format!("/v1/deploys/{id}/{what}"), &body).await;
    let (status, said) = say("pause", json!({ "reason": "lunch" })).await;
    assert_eq!((status, &said["standing"], &said["changed"]), (StatusCode::OK, &json!("paused"), &json!(true)));
    assert_eq!(say("pause", json!({})).await.1["changed"], false);
    let (status, problem) = say("rollback", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert_eq!(say("retry", json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(say("resume", json!({})).await.1["standing"], "under_way");
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    server.until(id, "completed").await;
    assert_eq!(say("pause", json!({})).await.0, StatusCode::CONFLICT);
    let (status, back) = say("rollback", json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{back}");
    server.until(back["id"].as_str().unwrap(), "completed").await;
}
