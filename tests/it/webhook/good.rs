//! What each sender documents is taken, and means what its rule says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass::base::{Digest, Timestamp};

use super::prove::{NOW, SECRET, SIGNING, set, sign_standard};
use super::*;

/// The example in GitHub's documentation: "Validating webhook deliveries".
#[test]
fn githubs_own_example_is_proved() {
    let mut sent = Sent::new(Sender::Github, "push", "Hello, World!");
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    set(&mut sent.headers, "X-Hub-Signature-256", signature);
    let rejected = sent.received_with(&["It's a Secret to Everybody"]).unwrap_err();
    assert_eq!(refusal(&rejected), malformed(), "proved, and then no JSON");
    assert_eq!(refusal(&sent.received_with(&["It's a Secret to Nobody"]).unwrap_err()), unproven());
}

/// The examples of the Standard Webhooks reference implementations, symmetric and asymmetric.
#[test]
fn the_examples_of_standard_webhooks_are_proved() {
    let at = Timestamp(1_614_265_330_000);
    let mut headers = HeaderMap::new();
    set(&mut headers, "webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek");
    set(&mut headers, "webhook-timestamp", "1614265330");
    let body = br#"{"test": 2432232314}"#;
    let public = ed25519_dalek::SigningKey::from_bytes(b"TESTSIGNINGKEYDONOTUSETHISFORANY").verifying_key();
    let asymmetric = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==";
    let symmetric = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let public = format!("whpk_{}", STANDARD.encode(public.as_bytes()));
    let read = |headers: &HeaderMap, secret: &str| {
        refusal(&receive(Sender::Standard, &[Secret::new(secret)], headers, body, at).unwrap_err())
    };
    for (signature, right, wrong) in [(symmetric, SIGNING, public.as_str()), (asymmetric, public.as_str(), SIGNING)] {
        set(&mut headers, "webhook-signature", signature);
        assert_eq!(read(&headers, right), malformed(), "proved, and then without a type");
        assert_eq!(read(&headers, wrong), unproven(), "a key of the other kind proves nothing");
        let several = format!("v1,AAAA v2,x {signature} v1,=");
        set(&mut headers, "webhook-signature", &several);
        assert_eq!(read(&headers, right), malformed(), "one of several is enough");
    }
}

#[test]
fn a_deployment_at_github_is_ordered_and_reported_upon() {
    let sent = Sent::new(Sender::Github, "deployment", payload("github_deployment"));
    let delivery = sent.delivery();
    assert_eq!(delivery.id, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!((delivery.sender, delivery.event.as_str()), (Sender::Github, "deployment"));
    assert_eq!(delivery.body, Digest::of(&sent.body));
    let rule = r#"
        event = "deployment"
        when = { "action" = "created", "deployment.environment" = ["production", "staging"], "deployment.production_environment" = true }
        revision = "{deployment.sha}"
        environment = "{deployment.environment}"
        workflow = "all-or-nothing"
        fleet = "{repository.name}"
    "#;
    let order = ordered(&reporting(Sender::Github, rule), &sent);
    assert_eq!(order.revision.as_str(), COMMIT);
    let named = [order.fleet.as_deref(), order.environment.as_deref(), order.workflow.as_deref()];
    assert_eq!(named, [Some("shop"), Some("production"), Some("all-or-nothing")]);
    assert!(order.report.is_some() && order.unreported.is_none());
    let silent = webhook(Sender::Github, &format!("[[serve.webhook.rule]]\n{rule}"));
    assert_eq!(ordered(&silent, &sent).report, None, "only where the webhook reports back");
}

#[test]
fn every_documented_event_means_what_its_rule_says() {
    let tag = "revision = \"{ref|after:refs/tags/}\"";
    let table = [
        (
            Sender::Github,
            "push",
            "github_push_tag",
            "when = { \"ref\" = \"refs/tags/*\", \"deleted\" = false }",
            tag,
            "v1.4.0",
        ),
        (
            Sender::Github,
            "workflow_run",
            "github_workflow_run",
            "when = { \"action\" = \"completed\", \"workflow_run.conclusion\" = \"success\", \"workflow_run.head_branch\" = \"main\" }",
            "revision = \"{workflow_run.head_sha}\"",
            COMMIT,
        ),
        (
            Sender::Github,
            "release",
            "github_release",
            "when = { \"release.draft\" = false }",
            "revision = \"{release.tag_name}\"",
            "v1.4.0",
        ),
        (
            Sender::Github,
            "repository_dispatch",
            "github_repository_dispatch",
            "when = { \"action\" = \"release-is-ready\" }",
            "revision = \"{client_payload.revision}\"",
            COMMIT,
        ),
        (
            Sender::Gitlab,
            "Release Hook",
            "gitlab_release",
            "when = { \"action\" = \"create\" }",
            "revision = \"{tag}\"",
            "v1.4.0",
        ),
        (
            Sender::Azure,
            "ms.vss-release.deployment-completed-event",
            "azure_deployment_completed",
            "when = { \"resource.environment.status\" = \"succeeded\", \"resource.environment.name\" = \"Production\" }",
            "revision = \"{resource.environment.release.name}\"",
            "Release-14",
        ),
        (
            Sender::Gitlab,
            "Deployment Hook",
            "gitlab_deployment",
            "when = { \"status\" = \"success\" }",
            "revision = \"{commit_url|after:https://gitlab.example.org/team/shop/-/commit/}\"",
            COMMIT,
        ),
        (Sender::Gitlab, "Tag Push Hook", "gitlab_tag_push", "when = { \"ref_protected\" = true }", tag, "v1.4.0"),
        (
            Sender::Gitlab,
            "Pipeline Hook",
            "gitlab_pipeline",
            "when = { \"object_attributes.status\" = \"success\" }",
            "revision = \"{object_attributes.sha}\"",
            COMMIT,
        ),
        (
            Sender::Azure,
            "build.complete",
            "azure_build_complete",
            "when = { \"resource.result\" = \"succeeded\", \"resource.definition.id\" = 7 }",
            "revision = \"{resource.buildNumber}\"",
            "20261120.2",
        ),
        (
            Sender::Azure,
            "git.push",
            "azure_git_push",
            "when = { \"resource.refUpdates.0.name\" = \"refs/heads/main\" }",
            "revision = \"{resource.refUpdates.0.newObjectId}\"",
            COMMIT,
        ),
        (
            Sender::Bitbucket,
            "repo:push",
            "bitbucket_push",
            "when = { \"push.changes.0.new.name\" = \"release/*\" }",
            "revision = \"{push.changes.0.new.name|after:release/}\"",
            "1.4",
        ),
        (
            Sender::Gitea,
            "push",
            "gitea_push",
            "when = { \"ref\" = \"refs/heads/main\" }",
            "revision = \"{after}\"",
            COMMIT,
        ),
        (
            Sender::Gitea,
            "release",
            "gitea_release",
            "when = { \"action\" = \"published\" }",
            "revision = \"{release.tag_name}\"",
            "v1.4.0",
        ),
        (
            Sender::Standard,
            "release.ready",
            "standard_release_ready",
            "when = { \"data.environment\" = \"production\" }",
            "revision = \"{data.revision}\"",
            "2026-11-20.2",
        ),
    ];
    for (sender, event, file, when, revision, expected) in table {
        let hook = webhook(sender, &format!("[[serve.webhook.rule]]\nevent = \"{event}\"\n{when}\n{revision}"));
        let order = ordered(&hook, &Sent::new(sender, event, payload(file)));
        assert_eq!(order.revision.as_str(), expected, "{file}");
    }
}

#[test]
fn a_delivery_is_named_as_its_sender_documents() {
    let id = |sent: &Sent| sent.delivery().id;
    let azure = Sent::new(Sender::Azure, "", payload("azure_build_complete"));
    assert_eq!(id(&azure), "a0d9b1f2-4c3e-4a5b-9c6d-7e8f90a1b2c3/3");
    let standard = Sent::new(Sender::Standard, "", payload("standard_release_ready"));
    assert_eq!(id(&standard), "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W");
    let gitlab = Sent::new(Sender::Gitlab, "Push Hook", "{}");
    assert_eq!(id(&gitlab), "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    let older = gitlab.without("Idempotency-Key").with("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e");
    assert_eq!(id(&older), "13792a34-cac6-4fda-95a8-c58e00a3954e");
}

#[test]
fn a_ping_of_github_is_neither_a_delivery_nor_an_error() {
    let ping = Sent::new(Sender::Github, "ping", payload("github_ping"));
    assert_eq!(ping.received().unwrap(), Received::Ping);
    assert_eq!(ping.clone().without("X-Hub-Signature-256").refused(), unproven());
    assert_eq!(Sent::new(Sender::Gitea, "ping", "{}").delivery().event, "ping", "others have none");
}

#[test]
fn while_a_secret_is_changed_either_proves() {
    for sender in Sender::ALL {
        let mut other = prove::secret(sender).to_owned();
        // Another one of the same form.
        other.insert(10, 'A');
        other.insert_str(10, if sender == Sender::Standard { "AAA" } else { "" });
        let (old, new) = (prove::secret(sender), other.as_str());
        let event = Sent::new(
            sender,
            "push",
            payload(if sender == Sender::Azure { "azure_git_push" } else { "standard_release_ready" }),
        );
        assert!(event.received_with(&[new, old]).is_ok() && event.received_with(&[old, new]).is_ok(), "{sender}");
        assert_eq!(refusal(&event.received_with(&[new]).unwrap_err()), unproven(), "{sender}");
        let by_new = Sent::signed(sender, "push", event.body.clone(), new);
        assert!(by_new.received_with(&[old, new]).is_ok(), "{sender}");
    }
}

#[test]
fn gitlabs_signing_token_signs_and_names_the_delivery() {
    let mut sent = Sent::new(Sender::Gitlab, "Push Hook", "{}").without("X-Gitlab-Token");
    sign_standard(&mut sent.headers, SIGNING, "the-id-that-is-signed", NOW, &sent.body);
    let Received::Delivery(delivery) = sent.received_with(&[SECRET, SIGNING]).unwrap() else { panic!("a ping") };
    assert_eq!(delivery.id, "the-id-that-is-signed");
    sent.body.push(b' ');
    assert_eq!(refusal(&sent.received_with(&[SECRET, SIGNING]).unwrap_err()), unproven());
    let in_clear = sent.with("X-Gitlab-Token", SIGNING);
    assert_eq!(refusal(&in_clear.received_with(&[SIGNING]).unwrap_err()), unproven(), "never compared in clear");
}

#[test]
fn forgejos_headers_are_as_good_as_giteas() {
    let sent = Sent::new(Sender::Gitea, "push", payload("gitea_push"));
    let mut forgejo = Sent { headers: HeaderMap::new(), ..sent.clone() };
    for (gitea, name) in [
        ("X-Gitea-Signature", "X-Forgejo-Signature"),
        ("X-Gitea-Event", "X-Forgejo-Event"),
        ("X-Gitea-Delivery", "X-Forgejo-Delivery"),
    ] {
        set(&mut forgejo.headers, name, sent.headers[gitea].to_str().unwrap());
    }
    assert_eq!(forgejo.delivery(), sent.delivery());
    let both = sent.clone().with("X-Forgejo-Signature", sent.headers["X-Gitea-Signature"].to_str().unwrap());
    assert_eq!(both.delivery(), sent.delivery());
    assert_eq!(sent.with("X-Forgejo-Signature", &"0".repeat(64)).refused(), unproven(), "both must hold");
}

#[test]
fn githubs_form_holds_the_same_json() {
    let json = payload("github_deployment");
    let encoded: String = url::form_urlencoded::byte_serialize(&json).collect();
    let form = |body: String| {
        Sent::new(Sender::Github, "deployment", body).with("Content-Type", "application/x-www-form-urlencoded")
    };
    let plain = Sent::new(Sender::Github, "deployment", json);
    assert_eq!(form(format!("payload={encoded}")).delivery().payload, plain.delivery().payload);
    for body in
        [String::new(), "payload".to_owned(), format!("payload={encoded}&payload=%7B%7D"), format!("x={encoded}")]
    {
        assert_eq!(form(body).refused(), malformed());
    }
}

/// The rules that docs/webhooks.md proposes for each sender, under the heading of its section.
fn proposed(heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/webhooks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) =
        page.split_once(&format!("\n## {heading}")).unwrap_or_else(|| panic!("there is no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let rules = blocks.flat_map(|block| block.split("[[serve.webhook.rule]]").skip(1));
    rules.map(|rule| format!("[[serve.webhook.rule]]{rule}")).collect()
}

#[test]
fn every_rule_that_the_page_proposes_maps_the_documented_payload_of_its_event() {
    let table = [
        (
            "GitHub",
            Sender::Github,
            vec![
                ("deployment", "github_deployment"),
                ("workflow_run", "github_workflow_run"),
                ("release", "github_release"),
                ("push", "github_push_tag"),
                ("repository_dispatch", "github_repository_dispatch"),
            ],
        ),
        (
            "GitLab",
            Sender::Gitlab,
            vec![
                ("Deployment Hook", "gitlab_deployment"),
                ("Pipeline Hook", "gitlab_pipeline"),
                ("Tag Push Hook", "gitlab_tag_push"),
                ("Release Hook", "gitlab_release"),
            ],
        ),
        (
            "Azure DevOps",
            Sender::Azure,
            vec![
                ("build.complete", "azure_build_complete"),
                ("git.push", "azure_git_push"),
                ("ms.vss-release.deployment-completed-event", "azure_deployment_completed"),
            ],
        ),
        ("Bitbucket", Sender::Bitbucket, vec![("repo:push", "bitbucket_push")]),
        ("Gitea and Forgejo", Sender::Gitea, vec![("push", "gitea_push"), ("release", "gitea_release")]),
        ("Everything else", Sender::Standard, vec![("release.ready", "standard_release_ready")]),
    ];
    for (heading, sender, events) in table {
        let rules = proposed(heading);
        assert_eq!(rules.len(), events.len(), "{heading}");
        for (rule, (event, file)) in rules.iter().zip(events) {
            let order = decide(&webhook(sender, rule), &Sent::new(sender, event, payload(file)).delivery());
            assert!(order.is_ok(), "{heading}: {rule}\n{order:?}");
        }
    }
}

#[test]
fn the_configuration_that_the_page_begins_with_is_one() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/webhooks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let whole: Vec<&str> =
        blocks.filter(|block| block.starts_with("[serve]") || block.starts_with("[[serve.webhook]]")).collect();
    assert_eq!(whole.len(), 3);
    for block in whole {
        assert_eq!(Config::parse(block, Path::new("/srv")).unwrap().serve.webhooks.len(), 1);
    }
}

#[test]
fn a_condition_holds_for_the_values_it_names_and_for_no_others() {
    let holds = |condition: &str, payload: &str| {
        let lines = format!("[[serve.webhook.rule]]\nevent = \"push\"\nwhen = {{ {condition} }}\nrevision = \"v1\"");
        decide(&webhook(Sender::Github, &lines), &Sent::new(Sender::Github, "push", payload).delivery()).is_ok()
    };
    let table: [(&str, &[&str], &[&str]); 8] = [
        ("a = 7", &["7"], &["8", "-7", "7.0", "\"7\"", "true", "null", "[7]", "18446744073709551623"]),
        ("a = -1", &["-1"], &["1", "18446744073709551615"]),
        ("a = true", &["true"], &["false", "\"true\"", "1", "null"]),
        ("a = \"x\"", &["\"x\""], &["\"X\"", "\"xy\"", "\"\"", "[\"x\"]", "{\"x\":1}", "null"]),
        ("a = \"x*\"", &["\"x\"", "\"xy\"", "\"x*\""], &["\"yx\"", "\"X\"", "7"]),
        ("a = \"*\"", &["\"\"", "\"x\""], &["7", "null"]),
        ("a = [\"x\", 7, false]", &["\"x\"", "7", "false"], &["\"7\"", "true", "\"y\""]),
        ("\"a.0.b\" = 1", &["[{\"b\":1}]"], &["{\"0\":1}", "[]", "[{\"b\":2}]", "[[1]]"]),
    ];
    for (condition, right, wrong) in table {
        for value in right {
            assert!(holds(condition, &format!("{{\"a\":{value}}}")), "{condition} holds for {value}");
        }
        for value in wrong {
            assert!(!holds(condition, &format!("{{\"a\":{value}}}")), "{condition} does not hold for {value}");
        }
        assert!(!holds(condition, "{\"b\":7}"), "{condition} does not hold where there is nothing");
    }
    assert!(holds("a = 1, b = 2", "{\"a\":1,\"b\":2}") && !holds("a = 1, b = 2", "{\"a\":1,\"b\":3}"), "all of them");
}
