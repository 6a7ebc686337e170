//! Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` and `webhook-signature`; the event is the body's `type`.

use http::HeaderMap;

use super::{Read, Secrets, printable, text};
use crate::base::Timestamp;
use crate::serve::webhook::proof::StandardKey;
use crate::serve::webhook::{Rejected, json, proof};

pub(super) fn receive(
    secrets: Secrets,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Option<Read>, Rejected> {
    let keys: Vec<StandardKey> = secrets.iter().filter_map(|secret| StandardKey::parse(secret.expose())).collect();
    let signed = proof::standard_signed(&keys, headers, body, now).ok_or(Rejected::Unproven)?;
    // What is signed is joined by full stops: with one in the id it could be taken apart in another way.
    let id = printable(signed.id).filter(|id| !id.contains('.'));
    let id = id.ok_or_else(|| super::bad_name("the header webhook-id holds a full stop, or"))?;
    let payload = json::payload(headers, body)?;
    Ok(Some(Read { id, event: text(&payload, "type")?, payload }))
}
