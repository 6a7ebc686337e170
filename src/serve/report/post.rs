//! Sends one request to somebody else's server.
//!
//! Nothing of it is shown: of the addresses and headers many hold secrets, and an answer may repeat them. What is said of a failure is
//! the status, or that there was no answer.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio_rustls::rustls::crypto::ring;

use crate::base::limits::{REPORT_ANSWER_BYTES_MAX, REPORT_TIMEOUT};

/// What is sent, as JSON, with POST.
pub(super) struct Post {
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// It was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// In a few words, without anything secret.
    pub(super) reason: String,
    /// What the other side asks to wait for.
    pub(super) retry_after: Option<Duration>,
    /// Whether to try again at all.
    pub(super) for_good: bool,
}

impl Refused {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry_after: None, for_good: false }
    }

    pub(super) fn for_good(reason: impl Into<String>) -> Self {
        Self { for_good: true, ..Self::new(reason) }
    }
}

/// The client that all reports share. It follows nobody elsewhere: a token is for the address in the configuration alone.
///
/// # Errors
/// When the system gives no certificates to trust.
pub(in crate::serve) fn client() -> Result<Client, String> {
    // Whoever comes second finds it told, and the same.
    let _ = ring::default_provider().install_default();
    let client = Client::builder()
        .redirect(Policy::none())
        .timeout(REPORT_TIMEOUT)
        .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(|error| error.to_string())
}

/// Sends it. `taken` may find that what reads like a refusal is none.
pub(super) async fn post(client: &Client, post: Post, taken: impl Fn(StatusCode, &str) -> bool) -> Result<(), Refused> {
    let Post { url, headers, body } = post;
    let request = client.post(url).headers(headers).header(header::CONTENT_TYPE, "application/json").body(body);
    let answer = request.send().await.map_err(|error| Refused::new(failure(&error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = retry_after(answer.headers());
    if taken(status, &text(answer).await) {
        return Ok(());
    }
    let reason = format!("it answered {status}");
    // Standard Webhooks: who answers so is not to be sent anything more.
    let for_good = status == StatusCode::GONE;
    Err(Refused { reason, retry_after, for_good })
}

/// What went wrong, in words that hold nothing of the address. An error's own text would.
fn failure(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_builder() {
        "its address or a header of it cannot be written"
    } else {
        "the connection broke before the answer"
    }
}

/// Seconds alone: a date would have to be compared with the clock of somebody else.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The beginning of an answer.
async fn text(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk[..chunk.len().min(REPORT_ANSWER_BYTES_MAX - bytes.len())]);
        if bytes.len() >= REPORT_ANSWER_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
