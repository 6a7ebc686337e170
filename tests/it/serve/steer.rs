//! A deploy steered through its server, by command, over the API and from the page, to every end that it can have.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::house::{House, ORDERS, Server, answer};
use super::page::{Visitor, location};
use crate::support::project::Ran;

/// A house on `v1`, with data on which the release `steep` fails (two orders of one number, `t0002`) and others on which its undo does (two
/// numbers of one length, `t0001`). With the deploy of `v1`.
async fn founded() -> (House, Server, String) {
    let house = House::of(3, "");
    let up = "CREATE UNIQUE INDEX by_number ON orders (number);\nALTER TABLE orders ADD COLUMN state TEXT;\n";
    let down = "CREATE UNIQUE INDEX guard ON orders (length(number));\nDROP INDEX guard;\n\
                ALTER TABLE orders DROP COLUMN state;\nDROP INDEX by_number;\n";
    house.release("steep", &[("0001_orders", ORDERS, "DROP TABLE orders;\n"), ("0002_steep", up, down)]);
    let server = house.serve();
    let (_, taken) = server.post("/v1/deploys", &json!({ "revision": "v1" })).await;
    let first = id(&taken);
    server.until(&first, "completed").await;
    for (tenant, numbers) in [("t0001", "('7'), ('8')"), ("t0002", "('7'), ('7')")] {
        in_tenant(&house, tenant, &format!("INSERT INTO orders (number) VALUES {numbers}")).await;
    }
    (house, server, first)
}

async fn in_tenant(house: &House, tenant: &str, sql: &str) {
    house.project.sql(&format!("tenants/{tenant}.db"), sql).await.unwrap();
}

/// The columns of the table that the releases make: two with `v1`, three with `v2` and `steep`.
async fn columns(house: &House, tenant: &str) -> usize {
    let file = format!("tenants/{tenant}.db");
    house.project.sql(&file, "SELECT name FROM pragma_table_info('orders')").await.unwrap().len()
}

async fn hold(house: &House, tenant: &str) -> SqliteConnection {
    let mut held = house.project.sqlite(&format!("tenants/{tenant}.db")).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    held
}

async fn let_go(mut held: SqliteConnection) {
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
}

/// Waits until a tenant of a deploy is stuck and nothing else moves.
async fn until_still(server: &Server, id: &str) {
    until_counted(server, id, "unwound", 2).await;
    until_counted(server, id, "stuck", 1).await;
}

/// The deploy of `steep`, arrived on the two tenants that can take it. The third is held by somebody else.
async fn climbed(house: &House, server: &Server) -> (String, SqliteConnection) {
    let held = hold(house, "t0002").await;
    let (status, taken) = server.post("/v1/deploys", &json!({ "revision": "steep" })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{taken}");
    until_counted(server, &id(&taken), "completed", 2).await;
    (id(&taken), held)
}

/// The same, failed on the third, and stuck on the way down.
async fn stuck(house: &House, server: &Server) -> String {
    let (id, held) = climbed(house, server).await;
    let_go(held).await;
    until_still(server, &id).await;
    id
}

/// Waits until so many tenants of a deploy stand like this.
async fn until_counted(server: &Server, id: &str, status: &str, tenants: u64) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let (_, deploy) = server.get(&format!("/v1/deploys/{id}")).await;
        if deploy["account"]["census"][status] == tenants {
            return;
        }
        assert!(Instant::now() < deadline, "never {tenants} {status}: {deploy:#}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn standing(server: &Server, id: &str) -> String {
    let (_, deploy) = server.get(&format!("/v1/deploys/{id}")).await;
    deploy["standing"].as_str().unwrap_or_else(|| panic!("no standing in {deploy}")).to_owned()
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap_or_else(|| panic!("no id in {answer}")).to_owned()
}

/// A command against the server.
fn run(house: &House, server: &Server, arguments: &str) -> Ran {
    let mut command = house.project.command();
    Ran::of(command.args(arguments.split_whitespace()).args(["--server", &server.url]).output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_command_a_deploy_is_paused_and_resumed_and_what_is_stuck_is_tried_again_until_it_ends() {
    let (house, server, _) = founded().await;
    let (id, held) = climbed(&house, &server).await;
    let said = run(&house, &server, "pause --reason lunch").ends_with(0).stdout;
    assert_eq!(said, house.project.windlass("status").ends_with(0).stdout, "as on the log");
    assert!(said.contains(&format!("next: windlass resume {id}")), "{said}");
    assert_eq!(standing(&server, &id).await, "paused");
    let said = run(&house, &server, "status").ends_with(0).stdout;
    assert!(said.contains("paused") && said.contains("2 completed"), "{said}");
    run(&house, &server, "watch").ends_with(5);
    let_go(held).await;
    // What fails on t0002 turns the deploy, and t0001 cannot be lowered.
    let said = run(&house, &server, "resume").ends_with(5).stdout;
    assert!(said.contains("waits for a human: 1 tenant stuck, and nothing else moves"), "{said}");
    assert_eq!(standing(&server, &id).await, "unwinding");
    let said = run(&house, &server, "status").ends_with(0).stdout;
    assert!(said.contains("1 stuck") && said.contains(&format!("windlass retry {id}")), "{said}");
    // It goes down already, and waits for a human, wherever that is asked.
    run(&house, &server, "unwind").ends_with(5);
    house.project.windlass("unwind").ends_with(5);
    let said = run(&house, &server, "retry --tenant t0001").ends_with(5).stdout;
    assert!(said.contains("  t0001 stuck: "), "what came of it is told: {said}");
    assert!(said.contains("to be tried again: t0001") && said.contains("waits for a human: 1 tenant stuck"), "{said}");
    assert_eq!((standing(&server, &id).await.as_str(), columns(&house, "t0001").await), ("unwinding", 3));
    in_tenant(&house, "t0001", "UPDATE orders SET number = 'longer' WHERE id = 1").await;
    let said = run(&house, &server, "retry").ends_with(3).stdout;
    assert!(said.contains("to be tried again: t0001"), "{said}");
    assert_eq!(standing(&server, &id).await, "unwound");
    for tenant in ["t0000", "t0001", "t0002"] {
        assert_eq!(columns(&house, tenant).await, 2, "{tenant}");
    }
    let refused = run(&house, &server, "retry").ends_with(1).stderr;
    assert!(refused.contains("WL04"), "{refused}");
    house.project.windlass("audit verify").ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_command_a_deploy_is_unwound_and_a_human_says_what_is_true_of_what_is_stuck() {
    for (words, exit, end, left) in
        [("--all --yes --as undone", 3, "unwound", 2), ("t0001 --as applied", 6, "ended_by_hand", 3)]
    {
        let (house, server, _) = founded().await;
        let (id, held) = climbed(&house, &server).await;
        let mut command = house.project.command();
        command.args(["unwind", "--reason", "wrong", "--server", &server.url]);
        let unwinding = std::thread::spawn(move || Ran::of(command.output().unwrap()));
        server.until(&id, "unwinding").await;
        let_go(held).await;
        let said = unwinding.join().unwrap().ends_with(5).stdout;
        assert!(said.contains("waits for a human: 1 tenant stuck"), "{said}");
        assert_eq!(standing(&server, &id).await, "unwinding");
        if left == 2 {
            in_tenant(&house, "t0001", "ALTER TABLE orders DROP COLUMN state; DROP INDEX by_number").await;
        }
        run(&house, &server, &format!("resolve {words} --reason looked")).ends_with(exit);
        assert_eq!((standing(&server, &id).await.as_str(), columns(&house, "t0001").await), (end, left));
        assert_eq!(columns(&house, "t0000").await, 2, "nobody has said anything of this one");
        // The tenant itself knows what was said: the next deploy goes by it.
        for tenant in ["t0001", "t0002"] {
            in_tenant(&house, tenant, "DELETE FROM orders").await;
        }
        run(&house, &server, "deploy --revision steep").ends_with(0);
        for tenant in ["t0000", "t0001", "t0002"] {
            assert_eq!(columns(&house, tenant).await, 3, "{tenant} after {words}");
        }
        house.project.windlass("audit verify").ends_with(0);
    }
}

#[tokio::test]
async fn over_the_api_what_is_stuck_is_tried_again_and_settled_by_a_word() {
    let (house, server, _) = founded().await;
    let id = stuck(&house, &server).await;
    let say = async |what: &str, body: Value| server.post(&format!("/v1/deploys/{id}/{what}"), &body).await;
    for (what, body) in [
        ("retry", json!({ "tenant": "t0000" })),
        ("resolve", json!({ "tenant": "t0000", "as": "applied", "reason": "looked" })),
    ] {
        let (status, problem) = say(what, body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{what} of one that is not stuck: {problem}");
    }
    for body in [json!({ "tenant": "t0001", "reason": "once more" }), json!({})] {
        let (status, said) = say("retry", body).await;
        assert_eq!((status, &said["changed"], &said["tenants"]), (StatusCode::OK, &json!(true), &json!(["t0001"])));
        assert_eq!((&said["id"], &said["standing"], &said["busy"]), (&json!(id), &json!("unwinding"), &Value::Null));
        // Nothing was mended.
        until_still(&server, &id).await;
    }
    let (status, said) = say("resolve", json!({ "tenant": "t0001", "as": "applied", "reason": "it may stay" })).await;
    assert_eq!((status, &said["changed"], &said["tenants"]), (StatusCode::OK, &json!(true), &json!(["t0001"])));
    let deploy = server.until(&id, "ended_by_hand").await;
    assert_eq!(deploy["account"]["outcome"], "ended_by_hand", "{deploy:#}");
    assert_eq!((columns(&house, "t0000").await, columns(&house, "t0001").await), (2, 3));
    let (_, tenant) = server.get(&format!("/v1/deploys/{id}/tenants/t0001")).await;
    let words: Vec<&Value> = tenant["events"].as_array().unwrap().iter().map(|of| &of["event"]).collect();
    let resolved: Vec<&Value> = words.into_iter().filter(|of| of["type"] == "tenant_resolved").collect();
    let reasons: Vec<&str> = resolved.iter().map(|of| of["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["once more", "no reason given", "it may stay"], "{tenant:#}");
    assert_eq!(say("retry", json!({})).await.0, StatusCode::CONFLICT);
    let over = say("resolve", json!({ "as": "undone", "reason": "too late" })).await;
    assert_eq!(over.0, StatusCode::CONFLICT, "{}", over.1);
}

#[tokio::test]
async fn from_the_page_a_deploy_is_paused_called_off_resolved_and_rolled_back() {
    let (house, server, first) = founded().await;
    let (id, held) = climbed(&house, &server).await;
    let visitor = Visitor::of(&server);
    let say = async |id: &str, command: &str, more: &[(&str, &str)]| {
        let page = format!("/deploys/{id}");
        let csrf = visitor.csrf(&page).await;
        let fields = [&[("csrf", csrf.as_str()), ("confirm", "yes")], more].concat();
        location(&visitor.send(&format!("{page}/{command}"), &fields).await).to_owned()
    };
    let page = format!("/deploys/{id}");
    assert_eq!(say(&id, "pause", &[("reason", "lunch")]).await, page);
    let (_, deploy) = server.get(&format!("/v1/deploys/{id}")).await;
    assert_eq!(deploy["standing"], "paused");
    assert!(deploy["account"]["paused"].to_string().contains("lunch"), "{deploy:#}");
    let (_, waiting) = server.post("/v1/deploys", &json!({ "revision": "v2" })).await;
    let waiting = self::id(&waiting);
    assert_eq!(standing(&server, &waiting).await, "queued");
    assert_eq!(say(&waiting, "cancel", &[("reason", "not today")]).await, format!("/deploys/{waiting}"));
    let (_, cancelled) = server.get(&format!("/v1/deploys/{waiting}")).await;
    assert_eq!(cancelled["standing"], "cancelled");
    assert_eq!(cancelled["request"]["settled"]["reason"], "not today", "{cancelled:#}");
    assert_eq!(say(&id, "resume", &[]).await, page);
    let_go(held).await;
    until_still(&server, &id).await;
    in_tenant(&house, "t0001", "ALTER TABLE orders DROP COLUMN state; DROP INDEX by_number").await;
    let fields = [("tenant", "t0001"), ("as", "undone"), ("reason", "taken back by hand")];
    assert_eq!(say(&id, "resolve", &fields).await, format!("{page}/tenants/t0001"));
    server.until(&id, "unwound").await;
    assert_eq!(columns(&house, "t0001").await, 2);
    let to = say(&first, "rollback", &[]).await;
    let back = to.strip_prefix("/deploys/").unwrap_or_else(|| panic!("it leads to {to}"));
    assert!(back != first && back != id, "it is a deploy of its own");
    server.until(back, "completed").await;
    for tenant in ["t0000", "t0001", "t0002"] {
        assert_eq!(columns(&house, tenant).await, 0, "{tenant}");
    }
    drop(server);
    house.project.windlass("audit verify").ends_with(0);
}

/// Makes a token of this name.
fn token(house: &House, name: &str, role: &str) -> String {
    let ran = house.project.windlass(&format!("--json token create --name {name} --role {role}")).ends_with(0);
    let made: Value = serde_json::from_str(&ran.stdout).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_has_asked_may_call_it_off_while_it_waits_and_anything_else_is_for_operators() {
    let mut house = House::of(3, "");
    let (ann, ben) = (token(&house, "ann", "deployer"), token(&house, "ben", "deployer"));
    let (olga, eve) = (token(&house, "olga", "operator"), token(&house, "eve", "viewer"));
    // Who only looks, looks as eve.
    let bearer = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {eve}").parse().unwrap())]);
    house.http = Client::builder().default_headers(bearer).build().unwrap();
    let server = house.serve();
    let held = hold(&house, "t0001").await;
    let say = |who: &str, path: &str, body: Value| answer(server.ask(Method::POST, path).bearer_auth(who).json(&body));
    let mut asked = Vec::new();
    for (who, revision) in [(&ann, "v2"), (&ann, "bad"), (&ben, "v1")] {
        let (status, taken) = say(who, "/v1/deploys", json!({ "revision": revision })).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{taken}");
        asked.push(id(&taken));
        server.until(&asked[0], "under_way").await;
    }
    let [begun, anns, bens] = asked.try_into().unwrap();
    let cancel = |who: &str, id: &str, body: Value| say(who, &format!("/v1/deploys/{id}/cancel"), body);
    let queued = || json!({ "only_queued": true });
    let refused = [
        (&eve, &anns, queued(), 403, "a viewer calls nothing off"),
        (&ben, &anns, queued(), 403, "somebody else's"),
        (&ann, &bens, queued(), 403, "somebody else's"),
        (&ann, &anns, json!({}), 403, "it may have begun by then"),
        (&ann, &begun, json!({}), 403, "it has begun"),
        (&ben, &begun, queued(), 403, "somebody else's, and begun"),
        (&ann, &begun, queued(), 409, "it has begun"),
        (&olga, &begun, queued(), 409, "it has begun, and that was not meant"),
    ];
    for (who, id, body, code, why) in refused {
        let (status, problem) = cancel(who, id, body).await;
        assert_eq!(status, code, "{why}: {problem}");
    }
    for (id, stands) in [(&begun, "under_way"), (&anns, "queued"), (&bens, "queued")] {
        assert_eq!(standing(&server, id).await, stands, "what is refused changes nothing");
    }
    let (status, said) = cancel(&ann, &anns, json!({ "only_queued": true, "reason": "a mistake" })).await;
    assert_eq!(
        (status, &said["standing"], &said["changed"]),
        (StatusCode::OK, &json!("cancelled"), &json!(true)),
        "{said}"
    );
    let (status, problem) = cancel(&ann, &anns, queued()).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is called off already: {problem}");
    let (status, said) = cancel(&olga, &bens, json!({})).await;
    assert_eq!((status, &said["standing"]), (StatusCode::OK, &json!("cancelled")), "{said}");
    let (status, said) = cancel(&olga, &begun, json!({ "reason": "wrong" })).await;
    assert_eq!(
        (status, &said["standing"], &said["changed"]),
        (StatusCode::OK, &json!("unwinding"), &json!(true)),
        "{said}"
    );
    let_go(held).await;
    server.until(&begun, "unwound").await;
    for tenant in ["t0000", "t0001", "t0002"] {
        assert_eq!(columns(&house, tenant).await, 0, "{tenant}");
    }
    for id in [&anns, &bens] {
        assert_eq!(standing(&server, id).await, "cancelled", "it is not begun afterwards either");
    }
}
