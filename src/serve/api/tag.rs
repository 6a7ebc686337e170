//! Answers under a tag, so that a client that has one already is told so.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::base::{Code, Digest};
use crate::serve::problem::Problem;

/// An answer under the digest of its text, or only the word that it is still the one the client has.
pub(super) fn tagged<T: Serialize>(headers: &HeaderMap, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => tagged_bytes(headers, text),
        Err(_) => Problem::new(Code::Defect, "an answer cannot be written").into_response(),
    }
}

/// The same of JSON that is written already.
pub(super) fn tagged_bytes(headers: &HeaderMap, text: Vec<u8>) -> Response {
    let tag = format!("\"{}\"", Digest::of(&text).short());
    let had = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_it = |of: &str| of.trim() == "*" || of.trim().trim_start_matches("W/") == tag;
    let mut answer = if had.is_some_and(|had| had.split(',').any(is_it)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], text).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}
