//! GitHub: `X-Hub-Signature-256`, the HMAC-SHA-256 of the raw body in hexadecimal.
//!
//! `X-Hub-Signature`, of SHA-1, is not looked at. What GitHub calls the content type `application/x-www-form-urlencoded`, and proposes
//! for new webhooks, is the same JSON as the one field of a form; the signature is over the form.

use http::HeaderMap;
use serde_json::Value;

use super::{Read, Secrets, required};
use crate::serve::webhook::json::{Form, form, parse};
use crate::serve::webhook::{Rejected, proof};

pub(super) fn receive(secrets: Secrets, headers: &HeaderMap, body: &[u8]) -> Result<Option<Read>, Rejected> {
    let signature = proof::header(headers, "x-hub-signature-256");
    proof::demand(proof::hex_signed(secrets, body, signature, "sha256="))?;
    let event = required(headers, "x-github-event")?;
    if event == "ping" {
        return Ok(None);
    }
    let id = required(headers, "x-github-delivery")?;
    Ok(Some(Read { id, event, payload: payload(headers, body)? }))
}

fn payload(headers: &HeaderMap, body: &[u8]) -> Result<Value, Rejected> {
    match form(headers)? {
        Form::Json => parse(body),
        Form::UrlEncoded => {
            let mut fields = url::form_urlencoded::parse(body);
            match (fields.next(), fields.next()) {
                (Some((name, text)), None) if name == "payload" => parse(text.as_bytes()),
                _ => Err(Rejected::malformed("its body is a form without payload, or with more than that")),
            }
        }
    }
}
