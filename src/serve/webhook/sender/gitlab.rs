//! GitLab: the secret token, sent in clear in `X-Gitlab-Token`, or the signing token, which signs in the Standard Webhooks form.
//!
//! A signing token begins with `whsec_`. It is never compared with what was sent in clear.

use http::HeaderMap;

use super::{Read, Secrets, first, printable, required};
use crate::base::Timestamp;
use crate::fleet::Secret;
use crate::serve::webhook::proof::StandardKey;
use crate::serve::webhook::{Rejected, json, proof};

pub(super) fn receive(
    secrets: Secrets,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Option<Read>, Rejected> {
    let (signing, clear): (Vec<&str>, Vec<&str>) =
        secrets.iter().map(Secret::expose).partition(|secret| secret.starts_with(StandardKey::SHARED_PREFIX));
    let keys: Vec<StandardKey> = signing.into_iter().filter_map(StandardKey::parse).collect();
    let signed = proof::standard_signed(&keys, headers, body, now);
    if signed.is_none() {
        let token = proof::header(headers, "x-gitlab-token").ok_or(Rejected::Unproven)?;
        proof::demand(proof::same_text(clear, token.as_bytes()))?;
    }
    let event = required(headers, "x-gitlab-event")?;
    let id = match signed {
        // Under the signature, which Idempotency-Key is not.
        Some(signed) => printable(signed.id).ok_or_else(|| super::bad_name("the header webhook-id"))?,
        None => first(headers, &["idempotency-key", "x-gitlab-event-uuid"])?,
    };
    Ok(Some(Read { id, event, payload: json::payload(headers, body)? }))
}
