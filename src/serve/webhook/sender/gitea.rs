//! Gitea, and Forgejo, which sends its own headers beside Gitea's: the HMAC-SHA-256 of the raw body in hexadecimal, without a prefix.
//!
//! As a form, which both can send, the signature would be over the JSON inside and not over what is sent: that is refused.

use http::HeaderMap;
use subtle::Choice;

use super::{Read, Secrets, first};
use crate::serve::webhook::{Rejected, json, proof};

const SIGNATURES: [&str; 2] = ["x-gitea-signature", "x-forgejo-signature"];

pub(super) fn receive(secrets: Secrets, headers: &HeaderMap, body: &[u8]) -> Result<Option<Read>, Rejected> {
    let given = SIGNATURES.iter().filter(|name| headers.contains_key(**name));
    let mut signed = given.map(|name| proof::hex_signed(secrets, body, proof::header(headers, name), "")).peekable();
    // Where both are there, both must hold: they are one signature written twice.
    let any = Choice::from(u8::from(signed.peek().is_some()));
    proof::demand(signed.fold(any, |all, one| all & one))?;
    let event = first(headers, &["x-gitea-event", "x-forgejo-event"])?;
    let id = first(headers, &["x-gitea-delivery", "x-forgejo-delivery"])?;
    Ok(Some(Read { id, event, payload: json::payload(headers, body)? }))
}
