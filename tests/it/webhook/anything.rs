//! What must hold of every delivery, whatever its headers and its body are. The fuzz target takes this file as well.

use std::path::Path;
use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use windlass::base::limits::{DELIVERY_BYTES_MAX, DELIVERY_ID_BYTES_MAX};
use windlass::base::{Coded as _, Revision};
use windlass::config::Config;
use windlass::config::serve::{Purpose, Sender, Serve};
use windlass::fleet::Secret;
use windlass::serve::webhook::{Delivery, Order, Received, Rejected, ReportState, decide, receive};

use super::prove::{NOW, SECRET, SIGNING, prove};

/// Rules that look at whatever a payload may hold, with a way back wherever the sender has one.
fn serve() -> &'static Serve {
    static SERVE: OnceLock<Serve> = OnceLock::new();
    SERVE.get_or_init(|| {
        let hooks = Sender::ALL.iter().map(|sender| {
            let report = "report = { api = \"http://127.0.0.1\", token = \"${env:TOKEN}\" }";
            let report = if *sender == Sender::Standard { "" } else { report };
            format!(
                r#"
                [[serve.webhook]]
                name = "{sender}"
                sender = "{sender}"
                secrets = ["${{env:X}}"]
                {report}
                [[serve.webhook.rule]]
                event = "push"
                when = {{ "a.0" = ["x*", 7, true] }}
                revision = "{{ref|after:refs/tags/}}"
                [[serve.webhook.rule]]
                event = "push"
                revision = "{{ref}}{{after}}"
                environment = "{{a.b}}"
                workflow = "{{a}}"
                fleet = "{{a.0}}"
                [[serve.webhook.rule]]
                event = "deployment"
                revision = "{{ref}}"
                "#
            )
        });
        Config::parse(&hooks.collect::<String>(), Path::new("/srv")).unwrap().serve
    })
}

/// Takes anything for a delivery: the first byte chooses the sender and whether it proves itself, then come header lines, an empty line
/// and the body.
///
/// # Panics
/// Where something does not hold.
pub fn check(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let sender = Sender::ALL[usize::from(choice & 7) % Sender::ALL.len()];
    let proved = choice & 8 != 0;
    let end = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
    let body = rest.get(end + 2..).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in rest[..end].split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    if proved {
        prove(sender, &mut headers, if sender == Sender::Standard { SIGNING } else { SECRET }, body);
    }
    let secrets = [Secret::new(SIGNING), Secret::new(SECRET)];
    match receive(sender, &secrets, &headers, body, NOW) {
        Ok(received) => {
            assert!(proved, "nobody can prove anything without the secret");
            if let Received::Delivery(delivery) = received {
                assert!(body.len() <= DELIVERY_BYTES_MAX && delivery.sender == sender);
                check_delivery(&delivery);
            }
        }
        Err(rejected) => {
            assert!(proved || matches!(rejected, Rejected::Unproven | Rejected::TooLarge), "{rejected}");
            check_rejected(&rejected);
        }
    }
}

fn check_delivery(delivery: &Delivery) {
    for name in [&delivery.id, &delivery.event] {
        assert!((1..=DELIVERY_ID_BYTES_MAX).contains(&name.len()), "{name:?}");
        assert!(name.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name:?}");
    }
    assert!(delivery.payload.is_object());
    match decide(serve().webhook(&delivery.sender.to_string()).unwrap(), delivery) {
        Ok(order) => check_order(&order),
        Err(rejected) => {
            assert_eq!(rejected.status().as_u16(), 422);
            check_rejected(&rejected);
        }
    }
}

fn check_order(order: &Order) {
    assert!(Revision::new(order.revision.as_str()).is_ok());
    for name in [&order.fleet, &order.environment, &order.workflow].into_iter().flatten() {
        assert!(Purpose::Name.check(name).is_ok(), "{name:?}");
    }
    let written = serde_json::to_string(order).unwrap();
    assert_eq!(serde_json::from_str::<Order>(&written).unwrap(), *order);
    let Some(report) = &order.report else { return };
    let request = report.request(ReportState::Failure, "failed", "http://127.0.0.1/");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-?=".contains(c);
    assert!(request.path.starts_with('/') && request.path.chars().all(plain), "{}", request.path);
    assert!(
        request.path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != ".."),
        "{}",
        request.path
    );
}

fn check_rejected(rejected: &Rejected) {
    let shown = format!("{rejected} {rejected:?} {:?}", rejected.next());
    assert!(!shown.contains(SECRET) && !shown.contains(SIGNING), "{shown}");
    assert!(shown.len() < 20_000, "{} bytes", shown.len());
    assert!([400, 401, 413, 422].contains(&rejected.status().as_u16()));
}
