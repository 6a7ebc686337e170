//! Who sends: one file per sender, each knowing how its deliveries are proved, named and written.

mod azure;
mod bitbucket;
mod gitea;
mod github;
mod gitlab;
mod standard;

use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::Rejected;
use super::proof::StandardKey;
use crate::base::limits::{DELIVERY_BYTES_MAX, DELIVERY_ID_BYTES_MAX};
use crate::base::{Digest, Timestamp};
use crate::config::serve::Sender;
use crate::fleet::Secret;

/// The secrets of a webhook, any of which proves a delivery.
pub(super) type Secrets<'a> = &'a [Secret];

/// A delivery that has proved where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Whose form it had.
    pub sender: Sender,
    /// The sender's name for it, the same each time it is sent: 1 to 200 bytes of printable ASCII.
    ///
    /// GitHub, Bitbucket, Gitea and GitLab's clear token do not sign it. So whoever overheard one delivery can send it again under
    /// another id: what it would start is known by [`Delivery::body`], and by the release that it asks for.
    pub id: String,
    /// The event, as the sender names it: 1 to 200 bytes of printable ASCII.
    pub event: String,
    /// What it says: a JSON object.
    pub payload: Value,
    /// The digest of the body as it was sent.
    pub body: Digest,
}

/// What was received.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// A delivery, for the rules.
    Delivery(Delivery),
    /// The sender tries whether somebody is there, and has proved who it is. There is nothing to do.
    Ping,
}

/// Verifies a delivery over its raw body and reads it.
///
/// # Errors
/// 413 before anything else; 401 where its origin is not proved; 400 where it is not of its sender's form.
pub fn receive(
    sender: Sender,
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Received, Rejected> {
    if body.len() > DELIVERY_BYTES_MAX {
        return Err(Rejected::TooLarge);
    }
    let read = match sender {
        Sender::Github => github::receive(secrets, headers, body),
        Sender::Gitlab => gitlab::receive(secrets, headers, body, now),
        Sender::Azure => azure::receive(secrets, headers, body),
        Sender::Bitbucket => bitbucket::receive(secrets, headers, body),
        Sender::Gitea => gitea::receive(secrets, headers, body),
        Sender::Standard => standard::receive(secrets, headers, body, now),
    }?;
    Ok(read.map_or(Received::Ping, |Read { id, event, payload }| {
        Received::Delivery(Delivery { sender, id, event, payload, body: Digest::of(body) })
    }))
}

/// Whether a secret can ever prove anything for this sender. For the server's start: better there than at the first delivery.
///
/// # Errors
/// What its form must be. Never a part of it.
pub fn check_secret(sender: Sender, secret: &Secret) -> Result<(), &'static str> {
    let text = secret.expose();
    match sender {
        _ if text.is_empty() => Err("it is empty"),
        Sender::Azure if !text.contains(':') => {
            Err("it must be user:password, as in the service hook's basic authentication")
        }
        Sender::Standard if StandardKey::parse(text).is_none() => {
            Err("it must be whsec_ with 24 to 64 bytes in base64, or whpk_ with an Ed25519 public key in base64")
        }
        Sender::Gitlab if text.starts_with(StandardKey::SHARED_PREFIX) && StandardKey::parse(text).is_none() => {
            Err("it begins like a signing token, which is whsec_ with 24 to 64 bytes in base64")
        }
        _ => Ok(()),
    }
}

/// What a sender's file reads out of a delivery.
struct Read {
    id: String,
    event: String,
    payload: Value,
}

/// The one value of a header that names something, where it is there.
fn name(headers: &HeaderMap, header: &str) -> Result<Option<String>, Rejected> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Rejected::malformed(format!("the header {header} is there twice")));
    }
    let text = HeaderValue::to_str(value).ok();
    text.and_then(printable).map(Some).ok_or_else(|| bad_name(&format!("the header {header}")))
}

/// The one value of a header that must be there.
fn required(headers: &HeaderMap, header: &str) -> Result<String, Rejected> {
    name(headers, header)?.ok_or_else(|| Rejected::malformed(format!("there is no header {header}")))
}

/// The first of these headers that is there.
fn first(headers: &HeaderMap, names: &[&str]) -> Result<String, Rejected> {
    for header in names {
        if let Some(found) = name(headers, header)? {
            return Ok(found);
        }
    }
    Err(Rejected::malformed(format!("there is no header {}", names.join(" and no "))))
}

fn bad_name(what: &str) -> Rejected {
    Rejected::malformed(format!("{what} is not plain text of 1 to {DELIVERY_ID_BYTES_MAX} bytes"))
}

fn printable(text: &str) -> Option<String> {
    let fits = (1..=DELIVERY_ID_BYTES_MAX).contains(&text.len());
    (fits && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))).then(|| text.to_owned())
}

/// A text in the payload that names something.
fn text(payload: &Value, field: &str) -> Result<String, Rejected> {
    let text = payload.get(field).and_then(Value::as_str);
    text.and_then(printable).ok_or_else(|| bad_name(&format!("{field} in its body")))
}
