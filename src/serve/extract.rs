//! Out of requests, with our own words where something cannot be read.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::access::Principal;
use super::app::{App, Fleet};
use super::problem::Problem;
use crate::base::limits::BODY_BYTES_MAX;
use crate::base::{Code, DeployId};
use crate::log::{DeployRow, LogError, Request as Asked};

/// A JSON body of at most [`BODY_BYTES_MAX`].
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let json = |value: &str| {
            value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        };
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(json);
        let bytes = read(request, BODY_BYTES_MAX).await.map_err(Problem::into_response)?;
        // Nothing was sent: what has no field that must be there reads well from nothing.
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        if !bytes.is_empty() && kind != Some(true) {
            let problem = Problem::new(Code::RequestMalformed, "the body must be application/json");
            return Err(problem.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE).into_response());
        }
        // An array would be taken for the fields of an object, in the order in which they happen to be written down.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::new(Code::RequestMalformed, "the body must be a JSON object").into_response());
        }
        let value = serde_json::from_slice(text);
        value.map(Self).map_err(|error| {
            Problem::new(Code::RequestMalformed, format!("the body cannot be read: {error}")).into_response()
        })
    }
}

/// Reads a body whole. A length that is announced and too large is refused before anything is read.
///
/// # Errors
/// Beyond `bytes_max`, and where the client goes away.
pub(super) async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(Code::BodyTooLarge, format!("the body is larger than {bytes_max} bytes; nothing of it was kept"))
    };
    if announced(request.headers()).is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Code::RequestMalformed, "the body broke off before its end")),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The query of a request.
pub(super) struct Asks<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asks<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|error| Problem::new(Code::RequestMalformed, error.body_text()))
    }
}

/// What the path of a request names.
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|error| Problem::new(Code::NoSuchThing, error.body_text()))
    }
}

/// A deploy as the server knows it: asked for, or made, or both.
pub(super) struct Known {
    pub(super) fleet: Arc<Fleet>,
    pub(super) request: Option<Asked>,
    pub(super) row: Option<DeployRow>,
}

/// The deploy with this id, if whoever asks has to do with its fleet. Of others they do not learn that they are there.
pub(super) async fn known(app: &App, principal: &Principal, id: &str) -> Result<(DeployId, Known), Problem> {
    let unknown = || Problem::of(&LogError::DeployUnknown { text: id.to_owned() });
    let parsed: DeployId = id.parse().map_err(|_| unknown())?;
    let request = app.desk.request(parsed).await?;
    let row = match app.log.deploy(parsed).await {
        Ok(row) => Some(row),
        Err(LogError::DeployUnknown { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let name = row.as_ref().map(|row| &row.fleet).or(request.as_ref().map(|request| &request.fleet));
    let fleet = name.filter(|name| principal.covers(name)).and_then(|name| app.fleet(Some(name)));
    let fleet = Arc::clone(fleet.ok_or_else(unknown)?);
    Ok((parsed, Known { fleet, request, row }))
}

/// The fleet of this name, or the server's own, if whoever asks has to do with it.
pub(super) fn fleet<'a>(app: &'a App, principal: &Principal, name: Option<&str>) -> Result<&'a Arc<Fleet>, Problem> {
    let found = app.fleet(name).filter(|fleet| principal.covers(fleet.name()));
    found.ok_or_else(|| {
        let detail = match name {
            Some(name) => format!("this server has no fleet {name:?} that this token has to do with"),
            None => "this token has nothing to do with the server's own fleet: name another".to_owned(),
        };
        Problem::new(Code::NoSuchThing, detail)
    })
}
