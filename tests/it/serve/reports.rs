//! What others are told of a deploy.

use std::time::Duration;

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use windlass::base::{Clock as _, SystemClock};
use windlass::config::serve::Sender;
use windlass::fleet::Secret;
use windlass::serve::webhook::{Received, receive};

use super::fake::{Answer, Fake, Heard};
use super::house::{House, SECRET, Server, answer, deployment, hmac};

const TOKEN: &str = "gh-a-token-that-nobody-else-has";

/// 24 bytes in base64.
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A house whose webhook `github` reports back to `api`, with more behind its configuration.
fn house(tenants: usize, api: Option<&str>, more: &str) -> House {
    let house = House::of(tenants, "");
    let house = match api {
        Some(api) => house.telling(api),
        None => house,
    };
    let text = std::fs::read_to_string(house.project.at("windlass.toml")).unwrap();
    house.project.write("windlass.toml", &format!("{text}{more}"));
    house
}

fn serve(house: &House) -> Server {
    serve_with(house, &[])
}

fn serve_with(house: &House, more: &[(&str, &str)]) -> Server {
    let mut environment = vec![("HUB_TOKEN", TOKEN), ("NOTIFY_SECRET", SIGNING)];
    environment.extend(more);
    house.serve_with(&environment)
}

fn notify(fake: &Fake, events: &str) -> String {
    format!("[[serve.notify]]\nurl = \"{}/hooks/hunter2\"\nsecret = \"${{env:NOTIFY_SECRET}}\"\n{events}\n", fake.url)
}

fn states(heard: &[Heard]) -> Vec<&str> {
    heard.iter().map(|of| of.body["state"].as_str().unwrap()).collect()
}

/// The types of what was taken.
fn types(heard: &[Heard]) -> Vec<&str> {
    let taken = heard.iter().filter(|of| of.answered == Some(200));
    taken.map(|of| of.body["type"].as_str().unwrap()).collect()
}

fn has_type(name: &'static str) -> impl Fn(&[Heard]) -> bool {
    move |heard| types(heard).contains(&name)
}

/// Waits until a report of a deploy is as a test wants it.
async fn report(server: &Server, deploy: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..6_000 {
        let (_, shown) = server.get(&format!("/v1/deploys/{deploy}")).await;
        if let Some(report) = shown["reports"].as_array().unwrap().iter().find(|report| wanted(report)) {
            return report.clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there is no such report\n{}", server.said())
}

#[tokio::test]
async fn github_is_told_the_states_of_a_deployment_in_order() {
    for (revision, last, words) in [("v1", "success", "completed: 2 tenants"), ("bad", "failure", "unwound")] {
        let hub = Fake::kind().await;
        let house = house(2, Some(&hub.url), "");
        let server = serve(&house);
        let (_, taken) = server.deliver("d", revision).await;
        let heard = hub.until(|heard| heard.last().is_some_and(|of| of.body["state"] == last)).await;
        let told = states(&heard);
        assert_eq!(told[..2], ["queued", "in_progress"], "{told:?}");
        assert!(told[2..told.len() - 1].iter().all(|state| *state == "in_progress"), "{told:?}");
        for of in &heard {
            assert_eq!(of.path, "/repos/octo/shop/deployments/42/statuses");
            assert_eq!(of.header("authorization"), format!("Bearer {TOKEN}"));
            assert!(of.header("user-agent").starts_with("windlass/"));
            assert_eq!(of.body["log_url"], format!("{}/deploys/{}", server.url, taken["id"].as_str().unwrap()));
        }
        let description = heard.last().unwrap().body["description"].as_str().unwrap();
        assert!(description.starts_with(words), "{description}");
        let done = report(&server, taken["id"].as_str().unwrap(), |report| report["state"] == "done").await;
        assert_eq!(done, json!({ "to": "GitHub (webhook github)", "state": "done", "failures": 0 }));
    }
}

#[tokio::test]
async fn a_second_deployment_of_the_same_release_is_told_as_well() {
    let hub = Fake::kind().await;
    let house = house(1, Some(&hub.url), "");
    let server = serve(&house);
    let mut second = deployment("b", "v1");
    second["deployment"]["id"] = json!(43);
    let (_, first) = server.deliver("a", "v1").await;
    let (_, again) = answer(server.delivery("b", &second)).await;
    assert_eq!(first["id"], again["id"]);
    let of = |heard: &[Heard], id: &str| {
        let to = heard.iter().filter(|of| of.path.contains(id)).cloned().collect::<Vec<_>>();
        states(&to).join(" ")
    };
    let both = |heard: &[Heard]| ["/42/", "/43/"].iter().all(|id| of(heard, id) == "queued in_progress success");
    hub.until(both).await;
}

#[tokio::test]
async fn a_request_that_is_refused_is_told_although_it_never_was_a_deploy() {
    let (hub, chat) = (Fake::kind().await, Fake::kind().await);
    let house = house(1, Some(&hub.url), &notify(&chat, ""));
    let server = serve(&house);
    let (_, first) = server.deliver("a", "v2").await;
    server.until(first["id"].as_str().unwrap(), "completed").await;
    // Behind what the fleet is on.
    let (_, second) = server.deliver("b", "v1").await;
    let refused = server.until(second["id"].as_str().unwrap(), "refused").await;
    // The end of the first may be told after it: order is kept for each deploy.
    let heard = hub.until(|heard| states(heard).contains(&"error")).await;
    let code = refused["request"]["settled"]["code"].as_str().unwrap();
    let told = heard.iter().find(|of| of.body["state"] == "error").unwrap();
    assert!(told.body["description"].as_str().unwrap().contains(code), "{told:#?}");
    let heard = chat.until(has_type("request.refused")).await;
    let told = heard.iter().find(|of| of.body["type"] == "request.refused").unwrap();
    assert_eq!(told.body["data"]["settled"]["code"], code);
    assert_eq!(told.body["data"]["deploy"], second["id"]);
    // The same once more is another request, and has nothing to do.
    let (_, third) = server.deliver("c", "v2").await;
    server.until(third["id"].as_str().unwrap(), "nothing_to_do").await;
}

#[tokio::test]
async fn who_fails_is_tried_again_and_told_the_newest_state_and_the_token_is_never_shown() {
    let hub = Fake::new(|nth, _| match nth {
        0 => Answer::Status(502),
        1 => Answer::Redirect("http://127.0.0.1:9/elsewhere".to_owned()),
        2 => Answer::Later(429, 2),
        3 => Answer::Never,
        _ => Answer::Status(201),
    })
    .await;
    let house = house(1, Some(&hub.url), "");
    let server = serve(&house);
    let (_, taken) = server.deliver("d", "v1").await;
    let id = taken["id"].as_str().unwrap();
    server.until(id, "completed").await;
    let failing = report(&server, id, |report| report["error"] == "it answered 502 Bad Gateway").await;
    assert_eq!((&failing["to"], &failing["state"]), (&json!("GitHub (webhook github)"), &json!("open")));
    assert!(failing["failing_since"].is_u64() && failing["next_at"].is_u64(), "{failing}");
    report(&server, id, |report| report["error"].as_str().is_some_and(|error| error.contains("307"))).await;
    let status = house.project.windlass("status").ends_with(0).stdout;
    let line =
        status.lines().find(|line| line.starts_with("GitHub (webhook github) has not been told since 20")).unwrap();
    assert!(line.contains("; trying again at 20"), "{line}");
    report(&server, id, |report| report["error"] == "no answer in time").await;
    let heard = hub.until(|heard| heard.last().is_some_and(|of| of.answered == Some(201))).await;
    assert_eq!(states(&heard), ["queued", "success", "success", "success", "success"], "only the newest is told late");
    assert!(heard[3].at - heard[2].at >= Duration::from_secs(2), "it is waited as long as it asks for");
    let told = report(&server, id, |report| report["state"] == "done").await;
    assert_eq!(told["failures"], 0);
    let (_, shown) = server.get(&format!("/v1/deploys/{id}")).await;
    let database = std::fs::read(house.project.at("windlass.db")).unwrap();
    let everything = format!("{}{shown}{status}{}", server.said(), String::from_utf8_lossy(&database));
    assert!(server.said().contains("somebody could not be told"));
    assert!(!everything.contains(TOKEN), "the token is to be seen somewhere");
}

#[tokio::test]
async fn a_wrong_token_is_said_by_its_answer_and_a_missing_one_by_its_reference() {
    let hub = Fake::new(|_, _| Answer::Words(401, "Bad credentials gh-a-token-that-nobody-else-has")).await;
    let house = house(1, Some(&hub.url), "");
    let server = serve(&house);
    let (_, taken) = server.deliver("d", "v1").await;
    let id = taken["id"].as_str().unwrap().to_owned();
    report(&server, &id, |report| report["error"] == "it answered 401 Unauthorized").await;
    assert!(!server.said().contains(TOKEN), "an answer may repeat what it was sent");
    drop(server);
    let server = house.serve();
    let missing =
        report(&server, &id, |report| report["error"].as_str().is_some_and(|error| error.contains("HUB_TOKEN"))).await;
    assert_eq!(missing["state"], "open");
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn what_was_sent_and_not_noted_is_sent_again_under_the_same_id() {
    let chat = Fake::kind().await;
    let house = house(1, None, &notify(&chat, ""));
    let dying = serve_with(&house, &[("WINDLASS_CRASH_AT", "report-sent:2")]);
    let (_, taken) = server_taken(&dying).await;
    let status = dying.ends().await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_eq!(types(&chat.heard()), ["request.queued", "deploy.created"]);
    let server = serve(&house);
    let heard = chat.until(has_type("deploy.finished")).await;
    let told = types(&heard);
    assert_eq!(told[..3], ["request.queued", "deploy.created", "deploy.created"], "{told:?}");
    assert_eq!(heard[1].header("webhook-id"), heard[2].header("webhook-id"));
    assert_eq!(heard[1].bytes.len(), heard[2].bytes.len());
    let ids: std::collections::BTreeSet<_> = heard.iter().map(|of| of.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), heard.len() - 1, "everything else came once");
    drop(server);
    assert!(taken["id"].is_string());
}

#[cfg(feature = "crash-points")]
async fn server_taken(server: &Server) -> (StatusCode, Value) {
    server.deliver("d", "v1").await
}

#[tokio::test]
async fn an_outgoing_webhook_proves_itself_and_tells_what_a_receiver_asked_for() {
    let (all, some) = (Fake::kind().await, Fake::kind().await);
    let more = notify(&all, "") + &notify(&some, "events = [\"deploy.turned\", \"request.*\"]");
    let house = house(2, None, &more);
    let server = serve(&house);
    let (_, taken) = server.deliver("d", "bad").await;
    let heard = all.until(has_type("deploy.finished")).await;
    assert_eq!(types(&heard), ["request.queued", "deploy.created", "deploy.turned", "deploy.finished"]);
    for of in &heard {
        assert_eq!(of.path, "/hooks/hunter2");
        let mut headers = http::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type"] {
            headers.insert(name, of.headers[name].clone());
        }
        let received = receive(Sender::Standard, &[Secret::new(SIGNING)], &headers, &of.bytes, SystemClock.now());
        let Ok(Received::Delivery(delivery)) = received else { panic!("{received:?}") };
        assert_eq!(
            (delivery.event.as_str(), delivery.id.as_str()),
            (of.body["type"].as_str().unwrap(), of.header("webhook-id"))
        );
        assert_eq!(of.body["data"]["deploy"], taken["id"]);
    }
    let end = &heard[3].body["data"];
    assert_eq!(
        (&end["outcome"], &end["standing"], &end["fleet"]),
        (&json!("unwound"), &json!("unwound"), &json!("shop"))
    );
    assert_eq!(end["account"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 2);
    let id = taken["id"].as_str().unwrap();
    report(&server, id, |report| report["to"] == some.url && report["state"] == "done").await;
    assert_eq!(types(&some.heard()), ["request.queued", "deploy.turned"]);
    let (_, shown) = server.get(&format!("/v1/deploys/{id}")).await;
    assert!(!format!("{shown}{}", server.said()).contains("hunter2"), "an address may be a secret as a whole");
}

#[tokio::test]
async fn a_receiver_that_never_answers_delays_nobody_else() {
    let (slow, quick) = (Fake::new(|_, _| Answer::Never).await, Fake::kind().await);
    let house = house(1, Some(&slow.url), &(notify(&slow, "") + &notify(&quick, "")));
    let server = serve(&house);
    server.deliver("d", "v1").await;
    let heard = quick.until(has_type("deploy.finished")).await;
    let first = slow.heard()[0].at;
    assert!(heard.last().unwrap().at - first < Duration::from_secs(8), "before anything that is slow has timed out");
    assert!(slow.heard().len() <= 2);
}

#[tokio::test]
async fn who_is_gone_is_given_up_and_told_nothing_more() {
    let chat = Fake::new(|_, _| Answer::Status(410)).await;
    let house = house(1, None, &notify(&chat, ""));
    let server = serve(&house);
    let (_, taken) = server.deliver("d", "v1").await;
    let id = taken["id"].as_str().unwrap();
    server.until(id, "completed").await;
    let gone = report(&server, id, |report| report["state"] == "given_up").await;
    assert_eq!(gone["error"], "it answered 410 Gone");
    assert!(house.project.windlass("status").ends_with(0).stdout.contains("it answered 410 Gone; it was given up"));
    assert_eq!(chat.heard().len(), 1);
}

#[tokio::test]
async fn a_deploy_that_a_command_began_is_told_of_too() {
    let chat = Fake::kind().await;
    let house = house(1, None, &notify(&chat, ""));
    let server = serve(&house);
    house.project.windlass("deploy").ends_with(0);
    let heard = chat.until(has_type("deploy.finished")).await;
    assert_eq!(types(&heard)[0], "deploy.created");
    drop(server);
    // What begins and ends while no server runs is nobody's news.
    house.project.windlass("rollback latest").ends_with(0);
    let server = serve(&house);
    house.project.windlass("deploy").ends_with(0);
    let ends = |heard: &[Heard]| types(heard).iter().filter(|name| **name == "deploy.finished").count();
    let heard = chat.until(|heard| ends(heard) == 2).await;
    let deploys: std::collections::BTreeSet<_> = heard.iter().map(|of| of.body["data"]["deploy"].to_string()).collect();
    assert_eq!(deploys.len(), 2);
    drop(server);
}

const SHA: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";
const GUID: &str = "be9b3917-87e6-42a4-a549-2bc06a7a878f";

#[tokio::test]
async fn every_sender_is_told_in_its_own_place_and_words() {
    let hub = Fake::new(|_, heard| {
        // As GitLab answers a state that it has already.
        let again = heard.path.starts_with("/gitlab/") && heard.body["state"] == "running";
        if again {
            Answer::Words(400, "{\"message\":\"Cannot transition status via :run from :running\"}")
        } else {
            Answer::Status(201)
        }
    })
    .await;
    let hook = |name: &str, event: &str, revision: &str, secret: &str| {
        format!(
            "[[serve.webhook]]\nname = \"{name}\"\nsender = \"{name}\"\nsecrets = [\"${{env:{secret}}}\"]\n\
             report = {{ api = \"{}/{name}\", token = \"${{env:HUB_TOKEN}}\" }}\n\
             [[serve.webhook.rule]]\nevent = \"{event}\"\nrevision = \"{revision}\"\n",
            hub.url
        )
    };
    let more = hook("gitlab", "Push Hook", "{ref}", "HOOK_SECRET")
        + &hook("azure", "git.push", "{resource.refUpdates.0.name}", "AZURE_SECRET")
        + &hook("bitbucket", "repo:push", "{push.changes.0.new.name}", "HOOK_SECRET")
        + &hook("gitea", "push", "{ref}", "HOOK_SECRET");
    let house = house(1, None, &more);
    let server = serve_with(&house, &[("AZURE_SECRET", "windlass:hunter3")]);
    let bodies = [
        ("gitlab", json!({ "ref": "v1", "project": { "id": 7 }, "checkout_sha": SHA })),
        (
            "azure",
            json!({
                "eventType": "git.push", "subscriptionId": GUID, "notificationId": 5,
                "resource": {
                    "repository": { "id": GUID, "project": { "id": GUID } },
                    "refUpdates": [{ "name": "v1", "newObjectId": SHA }],
                },
            }),
        ),
        (
            "bitbucket",
            json!({
                "repository": { "full_name": "octo/shop" },
                "push": { "changes": [{ "new": { "name": "v1", "target": { "hash": SHA } } }] },
            }),
        ),
        ("gitea", json!({ "ref": "v1", "after": SHA, "repository": { "full_name": "octo/shop" } })),
    ];
    for (name, body) in &bodies {
        let body = serde_json::to_vec(body).unwrap();
        let signature = hmac(SECRET, &body);
        let request = server.ask(Method::POST, &format!("/webhooks/{name}")).header("content-type", "application/json");
        let request = match *name {
            "gitlab" => request
                .header("x-gitlab-token", SECRET)
                .header("x-gitlab-event", "Push Hook")
                .header("x-gitlab-event-uuid", "u-1"),
            "azure" => request.basic_auth("windlass", Some("hunter3")),
            "bitbucket" => request
                .header("x-hub-signature", format!("sha256={signature}"))
                .header("x-event-key", "repo:push")
                .header("x-request-uuid", "u-2"),
            _ => request
                .header("x-gitea-signature", signature)
                .header("x-gitea-event", "push")
                .header("x-gitea-delivery", "u-3"),
        };
        let (status, taken) = answer(request.body(body)).await;
        assert!(status.is_success(), "{name}: {taken}");
    }
    let places = [
        ("gitlab", format!("/gitlab/projects/7/statuses/{SHA}"), "pending running success", format!("Bearer {TOKEN}")),
        (
            "azure",
            format!("/azure/{GUID}/_apis/git/repositories/{GUID}/commits/{SHA}/statuses?api-version=7.1"),
            "pending pending succeeded",
            String::new(),
        ),
        (
            "bitbucket",
            format!("/bitbucket/repositories/octo/shop/commit/{SHA}/statuses/build"),
            "INPROGRESS INPROGRESS SUCCESSFUL",
            format!("Bearer {TOKEN}"),
        ),
        (
            "gitea",
            format!("/gitea/repos/octo/shop/statuses/{SHA}"),
            "pending pending success",
            format!("token {TOKEN}"),
        ),
    ];
    let of = |heard: &[Heard], path: &str| heard.iter().filter(|of| of.path == path).cloned().collect::<Vec<_>>();
    let all = |heard: &[Heard]| places.iter().all(|(_, path, words, _)| states(&of(heard, path)).join(" ") == *words);
    let heard = hub.until(all).await;
    for (name, path, _, authorization) in &places {
        let to = of(&heard, path);
        let given = to[0].header("authorization");
        if *name == "azure" {
            assert!(given.starts_with("Basic "), "{given}");
        } else {
            assert_eq!(given, authorization, "{name}");
        }
    }
}

#[tokio::test]
async fn a_finished_deploy_arrives_as_a_trace_that_is_a_tree() {
    let collector = Fake::new(|nth, _| Answer::Status(if nth == 0 { 503 } else { 200 })).await;
    let house = house(3, None, &format!("[serve.traces]\notlp = \"{}\"\n", collector.url));
    let server = serve(&house);
    let (_, taken) = server.deliver("d", "bad").await;
    let heard = collector.until(|heard| heard.iter().any(|of| of.answered == Some(200))).await;
    assert!(heard.iter().all(|of| of.path == "/v1/traces"));
    assert_eq!(heard[0].body, heard[1].body, "the same spans, with the same ids");
    let sent = &heard[1].body["resourceSpans"][0];
    assert_eq!(
        sent["resource"]["attributes"][0],
        json!({ "key": "service.name", "value": { "stringValue": "windlass" } })
    );
    let spans = sent["scopeSpans"][0]["spans"].as_array().unwrap();
    let trace = taken["id"].as_str().unwrap().replace('-', "");
    let ids: std::collections::BTreeMap<&str, &Value> =
        spans.iter().map(|of| (of["spanId"].as_str().unwrap(), of)).collect();
    assert_eq!(ids.len(), spans.len(), "no id is there twice");
    let time = |of: &Value, which: &str| of[which].as_str().unwrap().parse::<u64>().unwrap();
    let mut roots = 0;
    for span in spans {
        assert_eq!(span["traceId"], trace);
        assert!(span["spanId"].as_str().unwrap().len() == 16);
        assert!(time(span, "startTimeUnixNano") <= time(span, "endTimeUnixNano"), "{span:#}");
        match span["parentSpanId"].as_str() {
            None => roots += 1,
            Some(parent) => {
                let parent = ids.get(parent).unwrap_or_else(|| panic!("a span without its parent: {span:#}"));
                assert!(time(parent, "startTimeUnixNano") <= time(span, "startTimeUnixNano"), "{span:#}");
                assert!(time(parent, "endTimeUnixNano") >= time(span, "endTimeUnixNano"), "{span:#}");
            }
        }
    }
    assert_eq!(roots, 1);
    let named = |name: &str| spans.iter().filter(|of| of["name"].as_str().unwrap().starts_with(name)).count();
    assert_eq!(named("deploy shop"), 1);
    assert!(named("tenant t000") >= 1 && named("undo ") >= 1 && named("migrate") >= 2, "{spans:#?}");
    assert!(spans.iter().any(|of| of["status"]["code"] == 2 && of["attributes"].to_string().contains("WL0")));
    report(&server, taken["id"].as_str().unwrap(), |report| report["state"] == "done").await;
}
