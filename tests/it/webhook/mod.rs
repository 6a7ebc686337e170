//! Webhook deliveries: payloads as their senders document them, proved as they do it, and everything that is not quite that.

mod anything;
mod bad;

mod good;
mod properties;
pub mod prove;
mod reports;

use std::path::Path;

use http::HeaderMap;
use windlass::base::Coded as _;
use windlass::config::Config;
use windlass::config::serve::{Sender, Webhook};
use windlass::fleet::Secret;
use windlass::serve::webhook::{Delivery, Order, Received, Rejected, decide, receive};

use prove::NOW;

/// A documented payload.
pub fn payload(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhooks").join(format!("{name}.json"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A delivery on its way.
#[derive(Clone)]
struct Sent {
    sender: Sender,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sent {
    /// Named and proved as this sender does it.
    fn new(sender: Sender, event: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::signed(sender, event, body, prove::secret(sender))
    }

    fn signed(sender: Sender, event: &str, body: impl Into<Vec<u8>>, secret: &str) -> Self {
        let (mut headers, body) = (HeaderMap::new(), body.into());
        prove::name(sender, &mut headers, event);
        prove::prove(sender, &mut headers, secret, &body);
        Self { sender, headers, body }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        prove::set(&mut self.headers, name, value);
        self
    }

    fn without(mut self, name: &str) -> Self {
        assert!(self.headers.remove(name).is_some(), "there is no {name}");
        self
    }

    fn received_with(&self, secrets: &[&str]) -> Result<Received, Rejected> {
        let secrets: Vec<Secret> = secrets.iter().copied().map(Secret::new).collect();
        receive(self.sender, &secrets, &self.headers, &self.body, NOW)
    }

    fn received(&self) -> Result<Received, Rejected> {
        self.received_with(&[prove::secret(self.sender)])
    }

    fn delivery(&self) -> Delivery {
        match self.received().unwrap() {
            Received::Delivery(delivery) => delivery,
            Received::Ping => panic!("a ping"),
        }
    }

    /// Status and code of the refusal.
    fn refused(&self) -> (u16, String) {
        refusal(&self.received().unwrap_err())
    }
}

fn refusal(rejected: &Rejected) -> (u16, String) {
    (rejected.status().as_u16(), rejected.code().to_string())
}

fn unproven() -> (u16, String) {
    (401, "WL0801".to_owned())
}

fn malformed() -> (u16, String) {
    (400, "WL0802".to_owned())
}

/// A webhook of this sender, with these lines in it: its rules, and whether it reports back.
fn webhook(sender: Sender, lines: &str) -> Webhook {
    let text =
        format!("[[serve.webhook]]\nname = \"hook\"\nsender = \"{sender}\"\nsecrets = [\"${{env:X}}\"]\n{lines}");
    Config::parse(&text, Path::new("/srv")).unwrap().serve.webhooks.remove(0)
}

/// The same with a way back and one rule.
fn reporting(sender: Sender, rule: &str) -> Webhook {
    let report = "report = { api = \"http://127.0.0.1\", token = \"${env:TOKEN}\" }";
    webhook(sender, &format!("{report}\n[[serve.webhook.rule]]\n{rule}"))
}

fn ordered(webhook: &Webhook, sent: &Sent) -> Order {
    decide(webhook, &sent.delivery()).unwrap()
}

const COMMIT: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";
