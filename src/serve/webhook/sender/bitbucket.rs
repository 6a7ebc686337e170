//! Bitbucket Cloud: `X-Hub-Signature`, which is the name of GitHub's older header and holds SHA-256 here.

use http::HeaderMap;

use super::{Read, Secrets, required};
use crate::serve::webhook::{Rejected, json, proof};

pub(super) fn receive(secrets: Secrets, headers: &HeaderMap, body: &[u8]) -> Result<Option<Read>, Rejected> {
    let signature = proof::header(headers, "x-hub-signature");
    proof::demand(proof::hex_signed(secrets, body, signature, "sha256="))?;
    let event = required(headers, "x-event-key")?;
    let id = required(headers, "x-request-uuid")?;
    Ok(Some(Read { id, event, payload: json::payload(headers, body)? }))
}
