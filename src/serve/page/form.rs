//! Forms: what they carry, and the proof that they come from a page of ours.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use subtle::ConstantTimeEq as _;

use crate::base::limits::FORM_BYTES_MAX;
use crate::base::{Code, Digest};
use crate::serve::access::{Principal, Via};
use crate::serve::extract::read;
use crate::serve::problem::Problem;

/// What the forms of a server without tokens carry: nobody but who has read a page of this very process knows it. None where the system
/// has no random bytes to give; then no form is taken.
static OPEN: LazyLock<Option<String>> = LazyLock::new(|| {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(Digest(bytes).to_string())
});

/// The fields of a form that was sent.
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// A field that was filled in.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// A field that was filled in, to be kept.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.trim().to_owned())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let form = |kind: &str| {
            kind.split(';').next().is_some_and(|of| of.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
        };
        if !kind.is_some_and(form) {
            let problem = Problem::new(Code::RequestMalformed, "the body must be application/x-www-form-urlencoded");
            return Err(problem.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE).into_response());
        }
        let body = read(request, FORM_BYTES_MAX).await.map_err(Problem::into_response)?;
        let pairs = url::form_urlencoded::parse(&body);
        Ok(Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }
}

/// What the forms on this person's pages carry; none for who has a token with every request, which no other site can make a browser send.
pub(super) fn proof(principal: &Principal) -> Option<&str> {
    match &principal.via {
        Via::Session { csrf } => Some(csrf),
        Via::Open => OPEN.as_deref(),
        Via::Token => None,
    }
}

/// Refuses a form that no page of ours has shown to this person. Compared in constant time.
pub(super) fn ours(principal: &Principal, fields: &Fields) -> Result<(), Problem> {
    if principal.via == Via::Token {
        return Ok(());
    }
    let (given, expected) = (fields.get("csrf").unwrap_or_default(), proof(principal));
    if expected.is_some_and(|expected| given.as_bytes().ct_eq(expected.as_bytes()).into()) {
        return Ok(());
    }
    let detail = "the form does not come from a page that this session was shown, or the server was started anew since; nothing was done";
    Err(Problem::new(Code::FormNotOurs, detail).next("load the page again, and send its form"))
}
