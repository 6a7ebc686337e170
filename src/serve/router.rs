//! The routes, and what stands around all of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue};

use super::access::guard;
use super::app::App;
use super::problem::Problem;
use super::{api, health, hook, metrics, page};
use crate::base::Code;
use crate::base::limits::{PUSH_TIMEOUT, REQUEST_TIMEOUT};

/// What every answer carries. Nothing from elsewhere is loaded, nothing is put into frames, nothing is guessed, and no cache keeps what
/// only one token may see.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (http::header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // Not `no-referrer`: under that, browsers say of a form that it comes from nowhere, also where it is one of ours.
    (http::header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (http::header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        http::header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// All routes.
pub(super) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/webhooks/{name}", post(hook::deliver))
        .merge(api::routes())
        .merge(page::routes())
        .route_layer(from_fn_with_state(Arc::clone(app), guard))
        .route_layer(from_fn(in_time))
        .fallback(nothing_here)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(Arc::clone(app), dressed))
        .layer(from_fn(metrics::measured))
        .with_state(Arc::clone(app))
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NoSuchThing, "there is nothing at this address")
}

async fn no_such_method() -> Problem {
    let problem =
        Problem::new(Code::NoSuchThing, "there is something at this address, and this cannot be done with it");
    problem.with_status(http::StatusCode::METHOD_NOT_ALLOWED)
}

/// How long a route may take until its answer begins. Live events begin at once, and then take as long as they take.
fn limit(path: &str) -> Duration {
    if path == "/v1/releases/{digest}" { PUSH_TIMEOUT } else { REQUEST_TIMEOUT }
}

async fn in_time(matched: MatchedPath, request: Request, next: Next) -> Response {
    let Ok(answer) = tokio::time::timeout(limit(matched.as_str()), next.run(request)).await else {
        let detail = "the request was not done in time; what it asked for may have been taken in: ask again with the same delivery or \
                      Idempotency-Key";
        return Problem::new(Code::TooSlow, detail).into_response();
    };
    answer
}

/// Puts the headers of every answer on, and puts problems in words for browsers.
async fn dressed(State(_app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let browser = looks(&request);
    let mut answer = next.run(request).await;
    if browser && let Some(problem) = answer.extensions_mut().remove::<Problem>() {
        let retry_after = answer.headers_mut().remove(http::header::RETRY_AFTER);
        answer = page::problem_page(&problem);
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(http::header::RETRY_AFTER, seconds);
        }
    }
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    answer
}

/// Whether somebody looks at the answer in a browser. Under `/v1` they see what programs see.
fn looks(request: &Request) -> bool {
    let html = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/html"));
    !request.uri().path().starts_with("/v1") && request.headers().get(http::header::ACCEPT).is_some_and(html)
}
