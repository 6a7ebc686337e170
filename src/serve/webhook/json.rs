//! Bodies: JSON within limits.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::Rejected;
use crate::base::limits::{DELIVERY_DEPTH_MAX, DELIVERY_VALUES_MAX};

/// What a body says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, or nothing is said.
    Json,
    /// `application/x-www-form-urlencoded`.
    UrlEncoded,
}

/// What the `Content-Type` says.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, Rejected> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(Form::Json) };
    let text = value.to_str().ok().filter(|_| second.is_none());
    let kind = text.and_then(|text| text.split(';').next()).map(|kind| kind.trim().to_ascii_lowercase());
    match kind.as_deref() {
        Some(json) if json == "application/json" || (json.starts_with("application/") && json.ends_with("+json")) => {
            Ok(Form::Json)
        }
        Some("application/x-www-form-urlencoded") => Ok(Form::UrlEncoded),
        _ => Err(Rejected::malformed("its Content-Type is not application/json")),
    }
}

/// The payload of a body that must be JSON.
pub(super) fn payload(headers: &HeaderMap, body: &[u8]) -> Result<Value, Rejected> {
    match form(headers)? {
        Form::Json => parse(body),
        Form::UrlEncoded => {
            Err(Rejected::malformed("its body is a form: set the content type to application/json at the sender"))
        }
    }
}

/// A JSON object within the limits of depth and number.
pub(super) fn parse(body: &[u8]) -> Result<Value, Rejected> {
    measure(body)?;
    // Its errors name a line and a column and nothing of what stands there.
    let value: Value =
        serde_json::from_slice(body).map_err(|error| Rejected::malformed(format!("its body is not JSON: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(Rejected::malformed("its body is JSON and no object")) }
}

/// Refuses what would cost more than it can be worth, before any of it is built.
fn measure(body: &[u8]) -> Result<(), Rejected> {
    let (mut depth, mut values) = (0_usize, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for byte in body {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => (depth, values) = (depth + 1, values + 1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > DELIVERY_DEPTH_MAX {
            return Err(Rejected::malformed(format!("its body is nested deeper than {DELIVERY_DEPTH_MAX}")));
        }
        if values > DELIVERY_VALUES_MAX {
            return Err(Rejected::malformed(format!("its body holds more than {DELIVERY_VALUES_MAX} values")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> String {
        parse(body).unwrap_err().to_string()
    }

    #[test]
    fn depth_and_number_are_limited_and_texts_do_not_count() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DELIVERY_DEPTH_MAX - 1).as_bytes()).is_ok());
        assert!(refused(nested(DELIVERY_DEPTH_MAX).as_bytes()).contains("deeper than 64"));
        assert!(refused(nested(1_000_000).as_bytes()).contains("deeper than 64"));
        let text = format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(100), "{".repeat(100));
        assert!(parse(text.as_bytes()).is_ok());
        let many = |number: usize| format!("{{\"a\":[{}0]}}", "0,".repeat(number));
        assert!(parse(many(DELIVERY_VALUES_MAX - 2).as_bytes()).is_ok());
        assert!(refused(many(DELIVERY_VALUES_MAX).as_bytes()).contains("more than 200000 values"));
    }

    #[test]
    fn what_is_no_json_object_is_refused_without_repeating_it() {
        let bodies: [&[u8]; 8] = [
            b"",
            b"hunter2",
            b"\"hunter2\"",
            b"[1]",
            b"{\"hunter2\":1",
            b"{\"a\":1e999}",
            b"{\"a\":\"\xff\"}",
            b"null",
        ];
        for body in bodies {
            assert!(!refused(body).contains("hunter2"));
        }
    }
}
