//! Azure DevOps service hooks: nothing is signed. What proves the origin is the user and password that the hook sends by basic
//! authentication, so it may only travel over HTTPS. A delivery is named in its body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::{Read, Secrets, printable, text};
use crate::serve::webhook::{Rejected, json, proof};

pub(super) fn receive(secrets: Secrets, headers: &HeaderMap, body: &[u8]) -> Result<Option<Read>, Rejected> {
    let given = proof::header(headers, AUTHORIZATION.as_str()).and_then(credentials).ok_or(Rejected::Unproven)?;
    let pairs = secrets.iter().map(crate::fleet::Secret::expose).filter(|secret| secret.contains(':'));
    proof::demand(proof::same_text(pairs, &given))?;
    let payload = json::payload(headers, body)?;
    let event = text(&payload, "eventType")?;
    let subscription = text(&payload, "subscriptionId")?;
    let number = payload.get("notificationId").and_then(Value::as_u64);
    let id = number.and_then(|number| printable(&format!("{subscription}/{number}")));
    let id = id.ok_or_else(|| Rejected::malformed("notificationId in its body is not a whole number"))?;
    Ok(Some(Read { id, event, payload }))
}

/// `user:password` out of `Basic <base64>`. The scheme's case does not matter (RFC 7617).
fn credentials(header: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") { STANDARD.decode(encoded).ok() } else { None }
}
