//! What is not quite a delivery is refused, each with its status and its code, and without a word about secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use windlass::base::Timestamp;
use windlass::base::limits::{DELIVERY_BYTES_MAX, DELIVERY_TIME_TOLERANCE};
use windlass::serve::webhook::check_secret;

use super::prove::{SECRET, SIGNING, hex_hmac, set, sign_standard};
use super::*;

/// A good delivery of each sender, and the header that proves it.
fn all() -> Vec<(Sent, &'static str)> {
    vec![
        (Sent::new(Sender::Github, "deployment", payload("github_deployment")), "x-hub-signature-256"),
        (Sent::new(Sender::Gitlab, "Deployment Hook", payload("gitlab_deployment")), "x-gitlab-token"),
        (Sent::new(Sender::Azure, "", payload("azure_build_complete")), "authorization"),
        (Sent::new(Sender::Bitbucket, "repo:push", payload("bitbucket_push")), "x-hub-signature"),
        (Sent::new(Sender::Gitea, "push", payload("gitea_push")), "x-gitea-signature"),
        (Sent::new(Sender::Standard, "", payload("standard_release_ready")), "webhook-signature"),
    ]
}

#[test]
fn without_its_proof_every_delivery_is_refused_with_the_same_words() {
    let mut said = Vec::new();
    for (sent, proof) in all() {
        sent.delivery();
        let value = sent.headers[proof].to_str().unwrap().to_owned();
        let twice = |second: &str| {
            let mut twice = sent.clone();
            twice.headers.append(proof, HeaderValue::from_str(second).unwrap());
            twice
        };
        let mut not_text = sent.clone();
        not_text.headers.insert(proof, HeaderValue::from_bytes(b"sha256=\xff\xfe").unwrap());
        let bad = [
            sent.clone().without(proof),
            sent.clone().with(proof, ""),
            sent.clone().with(proof, &value[..value.len() - 1]),
            sent.clone().with(proof, &format!("{value}0")),
            sent.clone().with(proof, &value.replace("sha256=", "sha1=")),
            sent.clone().with(proof, &value.to_uppercase()),
            sent.clone().with(proof, "sha256="),
            twice(&value),
            twice("x"),
            not_text,
        ];
        for (at, bad) in bad.iter().enumerate() {
            // A prefix that is not there cannot be wrong.
            if at == 4 && !value.contains("sha256=") {
                continue;
            }
            let rejected = bad.received().unwrap_err();
            assert_eq!(refusal(&rejected), unproven(), "{} {at}", sent.sender);
            said.push(rejected.to_string());
        }
        let none: [&str; 0] = [];
        for secrets in [none.as_slice(), &[""], &["another:secret"], &["whsec_", "whpk_"]] {
            let rejected = sent.received_with(secrets).unwrap_err();
            assert_eq!(refusal(&rejected), unproven(), "{}", sent.sender);
        }
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn an_empty_secret_proves_nothing_for_whoever_knows_that_it_is_empty() {
    for sender in [Sender::Github, Sender::Bitbucket, Sender::Gitea, Sender::Gitlab] {
        let sent = Sent::signed(sender, "push", "{}", "");
        assert_eq!(refusal(&sent.received_with(&[""]).unwrap_err()), unproven(), "{sender}");
    }
}

#[test]
fn a_body_that_was_cut_or_changed_is_not_the_one_that_was_signed() {
    for (sent, _) in all() {
        if matches!(sent.sender, Sender::Gitlab | Sender::Azure) {
            continue; // They sign nothing: what they send in clear proves itself alone.
        }
        let cut = |length: usize| Sent { body: sent.body[..length].to_vec(), ..sent.clone() };
        for bad in [cut(0), cut(sent.body.len() / 2), cut(sent.body.len() - 1)] {
            assert_eq!(bad.refused(), unproven(), "{}", sent.sender);
        }
        let reformatted = serde_json::from_slice::<serde_json::Value>(&sent.body).unwrap().to_string();
        assert_eq!(Sent { body: reformatted.into_bytes(), ..sent.clone() }.refused(), unproven(), "{}", sent.sender);
    }
}

#[test]
fn sha_1_of_github_is_never_accepted() {
    // Of the true body under the true secret.
    let sent = Sent::new(Sender::Github, "push", "{}").without("x-hub-signature-256");
    let sha256_there = format!("sha256={}", hex_hmac(SECRET, &sent.body));
    for value in ["sha1=7eb2b1ae1a0d6c6fb21d1a4e9d6c0d8c3c5ad8a7", &sha256_there] {
        assert_eq!(sent.clone().with("X-Hub-Signature", value).refused(), unproven());
    }
}

#[test]
fn the_time_of_a_signed_delivery_is_within_five_minutes_of_ours() {
    let at = |millis: i64| {
        let mut sent = Sent::new(Sender::Standard, "", payload("standard_release_ready"));
        let body = sent.body.clone();
        sign_standard(&mut sent.headers, SIGNING, "msg", Timestamp(NOW.0 + millis), &body);
        sent
    };
    let edge = i64::try_from(DELIVERY_TIME_TOLERANCE.as_millis()).unwrap();
    for millis in [0, -edge, edge] {
        assert!(at(millis).received().is_ok(), "{millis}");
    }
    for millis in [-edge - 1_000, edge + 1_000, -NOW.0] {
        assert_eq!(at(millis).refused(), unproven(), "{millis}");
    }
    let signed = at(0);
    for written in
        ["", "-1", "+1795000000", " 1795000000", "1795000000.0", "01795000000", "99999999999999999999", "now"]
    {
        assert_eq!(signed.clone().with("webhook-timestamp", written).refused(), unproven(), "{written}");
    }
}

#[test]
fn a_header_that_names_a_delivery_is_there_once_and_is_plain_text() {
    let long = "x".repeat(201);
    let table = [
        (Sender::Github, ["x-github-event", "x-github-delivery"]),
        (Sender::Gitlab, ["x-gitlab-event", "idempotency-key"]),
        (Sender::Bitbucket, ["x-event-key", "x-request-uuid"]),
        (Sender::Gitea, ["x-gitea-event", "x-gitea-delivery"]),
    ];
    for (sender, names) in table {
        let sent = Sent::new(sender, "push", "{}");
        for name in names {
            let mut twice = sent.clone();
            twice.headers.append(name, HeaderValue::from_static("push"));
            let mut not_ascii = sent.clone();
            not_ascii.headers.insert(name, HeaderValue::from_bytes("püsh".as_bytes()).unwrap());
            let bad = [
                sent.clone().without(name),
                sent.clone().with(name, ""),
                sent.clone().with(name, &long),
                twice,
                not_ascii,
            ];
            for bad in bad {
                let rejected = bad.received().unwrap_err();
                assert_eq!(refusal(&rejected), malformed(), "{name}");
                assert!(rejected.to_string().contains(name), "{rejected}");
            }
        }
    }
}

#[test]
fn what_stands_in_the_body_instead_has_its_form_too() {
    let azure = |subscription: &str, number: &str, event: &str| {
        let body = format!("{{\"subscriptionId\":{subscription},\"notificationId\":{number},\"eventType\":{event}}}");
        Sent::new(Sender::Azure, "", body).received().map_err(|rejected| refusal(&rejected))
    };
    assert!(azure("\"s\"", "1", "\"git.push\"").is_ok());
    let long = format!("\"{}\"", "x".repeat(200));
    let table = [
        ("1", "1", "\"e\""),
        ("\"\"", "1", "\"e\""),
        (long.as_str(), "1", "\"e\""),
        ("\"s\"", "\"1\"", "\"e\""),
        ("\"s\"", "-1", "\"e\""),
        ("\"s\"", "1e30", "\"e\""),
        ("\"s\"", "null", "\"e\""),
        ("\"s\"", "1", "[]"),
        ("\"s\"", "1", "\"\\u0000\""),
    ];
    for (subscription, number, event) in table {
        assert_eq!(azure(subscription, number, event).unwrap_err(), malformed(), "{subscription} {number} {event}");
    }
    for body in ["{}", "{\"type\":1}", "{\"type\":\"\"}", "{\"type\":\"ä\"}"] {
        assert_eq!(Sent::new(Sender::Standard, "", body).refused(), malformed(), "{body}");
    }
    let mut dotted = Sent::new(Sender::Standard, "", "{\"type\":\"t\"}");
    sign_standard(&mut dotted.headers, SIGNING, "msg.1795000000", NOW, b"{\"type\":\"t\"}");
    assert_eq!(dotted.refused(), malformed());
}

#[test]
fn garbage_that_is_signed_is_garbage() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(200_001));
    let bodies: [&[u8]; 10] = [
        b"",
        b"\0\0\0",
        b"null",
        b"[]",
        b"\"push\"",
        b"{\"a\":1}}",
        b"{\"a\":1e400}",
        b"\xef\xbb\xbf{}",
        deep.as_bytes(),
        wide.as_bytes(),
    ];
    for sender in Sender::ALL {
        for body in bodies {
            assert_eq!(Sent::new(sender, "push", body).refused(), malformed(), "{sender} {} bytes", body.len());
        }
    }
    // As they parse: the last of two fields that have one name counts, and a number beyond 64 bits is none that a rule takes.
    let twice = Sent::new(Sender::Github, "push", "{\"ref\":\"a\",\"ref\":\"b\",\"n\":18446744073709551616}");
    assert_eq!(twice.delivery().payload["ref"], "b");
    let rejected =
        decide(&reporting(Sender::Github, "event = \"push\"\nrevision = \"{n}\""), &twice.delivery()).unwrap_err();
    assert_eq!(refusal(&rejected), (422, "WL0805".to_owned()));
}

#[test]
fn only_json_is_read() {
    for sender in Sender::ALL {
        let file = if sender == Sender::Azure { "azure_git_push" } else { "standard_release_ready" };
        let sent = Sent::new(sender, "push", payload(file));
        for kind in ["application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"] {
            assert!(sent.clone().with("Content-Type", kind).received().is_ok(), "{sender} {kind}");
        }
        for kind in ["text/plain", "application/xml", "multipart/form-data", "", "json"] {
            assert_eq!(sent.clone().with("Content-Type", kind).refused(), malformed(), "{sender} {kind}");
        }
        let form = sent.clone().with("Content-Type", "application/x-www-form-urlencoded");
        assert_eq!(form.refused(), malformed(), "{sender}");
        let mut twice = sent;
        twice.headers.append("Content-Type", HeaderValue::from_static("application/json"));
        assert_eq!(twice.refused(), malformed(), "{sender}");
    }
}

#[test]
fn a_body_beyond_the_limit_is_refused_before_it_is_looked_at() {
    for sender in Sender::ALL {
        let body = vec![b' '; DELIVERY_BYTES_MAX + 1];
        let sent = Sent { sender, headers: HeaderMap::new(), body };
        assert_eq!(sent.refused(), (413, "WL0803".to_owned()));
    }
    let mut body = b"{}".to_vec();
    body.resize(DELIVERY_BYTES_MAX, b' ');
    assert!(Sent::new(Sender::Github, "push", body).received().is_ok());
}

#[test]
fn an_event_that_no_rule_maps_is_answered_with_what_was_looked_at() {
    let rules = r#"
        [[serve.webhook.rule]]
        event = "deployment"
        when = { "action" = "created", "deployment.environment" = "hidden-from-the-answer" }
        revision = "{deployment.sha}"
        [[serve.webhook.rule]]
        event = "push"
        when = { "deployment.id" = ["145988746"] }
        revision = "{after}"
    "#;
    let hook = webhook(Sender::Github, rules);
    let said = |event: &str| {
        let rejected =
            decide(&hook, &Sent::new(Sender::Github, event, payload("github_deployment")).delivery()).unwrap_err();
        assert_eq!(refusal(&rejected), (422, "WL0804".to_owned()));
        rejected.to_string()
    };
    assert_eq!(
        said("deployment"),
        "no rule of the webhook hook maps this delivery: its event is \"deployment\", and one of these fields is not as the rules \
         about it want: action, deployment.environment; nothing was started"
    );
    assert!(said("release").contains("its event is \"release\", and there are rules about deployment, push"));
    assert!(said("push").contains("deployment.id"), "a text is not a number");
    assert!(!said(&"x".repeat(200)).contains(&"x".repeat(61)), "a long name is cut");
}

#[test]
fn a_payload_that_does_not_hold_what_its_rule_asks_for_is_named_by_rule_key_and_path() {
    let said = |rule: &str| {
        let hook = webhook(
            Sender::Github,
            &format!(
                "[[serve.webhook.rule]]\nevent = \"x\"\nrevision = \"x\"\n[[serve.webhook.rule]]\nevent = \"deployment\"\n{rule}"
            ),
        );
        let rejected = decide(&hook, &Sent::new(Sender::Github, "deployment", payload("github_deployment")).delivery())
            .unwrap_err();
        assert_eq!(refusal(&rejected), (422, "WL0805".to_owned()));
        rejected.to_string()
    };
    let revision = said("revision = \"{deployment.commit}\"");
    assert!(
        revision.contains("rule 2 of the webhook hook, revision: the payload has no deployment.commit"),
        "{revision}"
    );
    assert!(said("revision = \"x\"\nfleet = \"{workflow}\"").contains("fleet: workflow is null"));
    assert!(said("revision = \"x\"\nenvironment = \"{deployment}\"").contains("environment: deployment is neither"));
    let spaces = said("revision = \"{deployment.description}\"");
    assert!(spaces.contains("is not usable") && !spaces.contains("week"), "{spaces}");
}

#[test]
fn a_secret_that_can_never_prove_anything_is_found_before_the_first_delivery() {
    let short = format!("whsec_{}", STANDARD.encode([7; 23]));
    let weak = format!("whpk_{}", STANDARD.encode([0; 32]));
    let refused = [
        (Sender::Github, ""),
        (Sender::Azure, "hunter2"),
        (Sender::Standard, SECRET),
        (Sender::Standard, "whsec_hunter2!"),
        (Sender::Standard, short.as_str()),
        (Sender::Standard, weak.as_str()),
        (Sender::Standard, "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        (Sender::Gitlab, "whsec_hunter2!"),
    ];
    for (sender, secret) in refused {
        let reason = check_secret(sender, &Secret::new(secret)).unwrap_err();
        assert!(secret.is_empty() || !reason.contains(secret), "{reason}");
    }
    for sender in Sender::ALL {
        assert_eq!(check_secret(sender, &Secret::new(prove::secret(sender))), Ok(()));
    }
    assert_eq!(check_secret(Sender::Gitlab, &Secret::new(SIGNING)), Ok(()));
}

#[test]
fn basic_credentials_are_compared_whole() {
    let sent = Sent::new(Sender::Azure, "", payload("azure_git_push"));
    for pair in ["windlass", "windlass:", ":a-secret-of-the-tests", "windlass:a-secret-of-the-tests "] {
        let header = format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(sent.clone().with("Authorization", &header).refused(), unproven(), "{pair}");
    }
    let encoded = STANDARD.encode(SECRET);
    for header in [format!("Bearer {encoded}"), encoded.clone(), format!("Basic  {encoded}"), format!("Basic {SECRET}")]
    {
        assert_eq!(sent.clone().with("Authorization", &header).refused(), unproven(), "{header}");
    }
    assert!(sent.clone().with("Authorization", &format!("basic {encoded}")).received().is_ok());
    let mut bare = sent;
    set(&mut bare.headers, "Authorization", &format!("Basic {}", STANDARD.encode("password")));
    assert_eq!(refusal(&bare.received_with(&["password"]).unwrap_err()), unproven(), "a secret without a user is none");
}
