//! What holds of every delivery: one flipped bit is seen, and nothing at all brings the reader down.

use http::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::*;

use super::anything::check;
use super::prove::set;
use super::*;

/// Senders whose proof covers the body, with the headers that it covers and what of the first one is the proof itself.
const SIGNING_SENDERS: [(Sender, &[&str]); 4] = [
    (Sender::Github, &["x-hub-signature-256"]),
    (Sender::Bitbucket, &["x-hub-signature"]),
    (Sender::Gitea, &["x-gitea-signature"]),
    (Sender::Standard, &["webhook-signature", "webhook-id", "webhook-timestamp"]),
];

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

proptest! {
    #[test]
    fn a_flipped_bit_anywhere_in_the_body_is_refused(at in any::<prop::sample::Index>(), sender in 0..SIGNING_SENDERS.len()) {
        let (sender, _) = SIGNING_SENDERS[sender];
        let mut sent = Sent::new(sender, "push", payload("standard_release_ready"));
        prop_assert!(sent.received().is_ok());
        let bit = at.index(sent.body.len() * 8);
        flip(&mut sent.body, bit);
        prop_assert_eq!(sent.refused(), unproven());
    }

    #[test]
    fn whatever_is_sent_keeps_the_rules(data in vec(any::<u8>(), 0..400)) {
        check(&data);
    }

    #[test]
    fn whatever_is_sent_in_nearly_the_right_form_keeps_the_rules(
        choice in any::<u8>(),
        headers in vec(header(), 0..8),
        body in body(),
    ) {
        let mut data = vec![choice];
        for (name, value) in headers {
            data.extend_from_slice(format!("{name}:{value}\n").as_bytes());
        }
        data.push(b'\n');
        data.extend_from_slice(body.as_bytes());
        check(&data);
    }
}

/// Each of the few hundred bits of a proof, not some of them.
#[test]
fn a_flipped_bit_anywhere_in_the_proof_is_refused() {
    let mut tried = 0;
    for (sender, names) in SIGNING_SENDERS {
        let sent = Sent::new(sender, "push", payload("standard_release_ready"));
        for name in names {
            let value = sent.headers[*name].as_bytes().to_vec();
            for bit in 0..value.len() * 8 {
                let mut flipped = value.clone();
                flip(&mut flipped, bit);
                // What no header can hold never arrives.
                let Ok(flipped) = HeaderValue::from_bytes(&flipped) else { continue };
                let mut sent = sent.clone();
                sent.headers.insert(*name, flipped);
                assert_eq!(sent.refused(), unproven(), "{sender} {name}, bit {bit}");
                tried += 1;
            }
        }
    }
    assert!(tried > 2_000, "only {tried} were tried");
}

#[test]
fn a_flipped_bit_in_what_is_sent_in_clear_is_refused() {
    for (sender, name, from) in
        [(Sender::Gitlab, "x-gitlab-token", 0), (Sender::Azure, "authorization", "Basic ".len())]
    {
        let file = if sender == Sender::Azure { "azure_git_push" } else { "gitlab_pipeline" };
        let sent = Sent::new(sender, "push", payload(file));
        let value = sent.headers[name].as_bytes().to_vec();
        for bit in from * 8..value.len() * 8 {
            let mut flipped = value.clone();
            flip(&mut flipped, bit);
            let Ok(flipped) = HeaderValue::from_bytes(&flipped) else { continue };
            let mut sent = sent.clone();
            sent.headers.insert(name, flipped);
            assert_eq!(sent.refused(), unproven(), "{sender}, bit {bit}");
        }
    }
}

/// The entry point must come as far as an order, or it says nothing about one.
#[test]
fn the_entry_point_of_the_properties_reaches_orders_and_reports() {
    let reach = |sender: Sender, event: &str, body: &str| {
        let choice = Sender::ALL.iter().position(|one| *one == sender).unwrap();
        let mut headers = HeaderMap::new();
        prove::name(sender, &mut headers, event);
        let mut data = vec![u8::try_from(choice).unwrap() | 8];
        for (name, value) in &headers {
            data.extend_from_slice(format!("{name}:{}\n", value.to_str().unwrap()).as_bytes());
        }
        data.push(b'\n');
        data.extend_from_slice(body.as_bytes());
        check(&data);
        set(&mut headers, "x-none", "");
        let sent = Sent { headers, ..Sent::new(sender, event, body) };
        let signed = Sent::new(sender, event, sent.body);
        ordered(&reporting(sender, "event = \"push\"\nrevision = \"{ref|after:refs/tags/}\""), &signed)
    };
    let body = format!(
        "{{\"a\":[\"xy\"],\"ref\":\"refs/tags/v1\",\"after\":\"{COMMIT}\",\"repository\":{{\"full_name\":\"o/r\"}}}}"
    );
    assert!(reach(Sender::Github, "push", &body).report.is_some());
    assert!(reach(Sender::Gitea, "push", &body).report.is_some());
}

fn header() -> impl Strategy<Value = (String, String)> {
    const NAMES: &[&str] = &[
        "x-github-event",
        "x-github-delivery",
        "x-gitlab-event",
        "idempotency-key",
        "x-event-key",
        "x-request-uuid",
        "x-gitea-event",
        "x-gitea-delivery",
        "content-type",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-hub-signature-256",
        "authorization",
    ];
    const VALUES: &[&str] = &[
        "push",
        "ping",
        "deployment",
        "application/json",
        "application/x-www-form-urlencoded",
        "1795000000",
        "v1,AAAA",
        "",
    ];
    let value = prop_oneof![3 => prop::sample::select(VALUES).prop_map(str::to_owned), 1 => "\\PC{0,20}"];
    (prop::sample::select(NAMES).prop_map(str::to_owned), value)
}

fn body() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "a",
        "b",
        "ref",
        "after",
        "type",
        "eventType",
        "subscriptionId",
        "notificationId",
        "repository",
        "full_name",
        "project",
        "id",
        "deployment",
        "resource",
        "push",
        "changes",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("7".to_owned()),
        Just("true".to_owned()),
        Just("1e300".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("\"refs/tags/v1\"".to_owned()),
        Just(format!("\"{COMMIT}\"")),
        Just("\"o/r\"".to_owned()),
        Just("\"push\"".to_owned()),
        Just("\"../..\"".to_owned()),
        "\"[a-z0-9./ -]{0,12}\"",
    ];
    let name = prop::sample::select(NAMES);
    let value = leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            vec((name.clone(), inner), 0..6).prop_map(|fields| object(&fields)),
        ]
    });
    let fields = vec((prop::sample::select(NAMES), value), 0..10).prop_map(|fields| object(&fields));
    prop_oneof![9 => fields, 1 => "\\PC{0,40}"]
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}
