//! Somebody who is told: a listener on loopback that keeps what it is sent, and answers as a test says.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use tokio::sync::Notify;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What it was sent.
#[derive(Debug, Clone)]
pub struct Heard {
    pub path: String,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub body: Value,
    /// The status it was answered with; none where it was not answered.
    pub answered: Option<u16>,
    pub at: Instant,
}

impl Heard {
    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16),
    /// With `Retry-After`, in seconds.
    Later(u16, u64),
    /// Elsewhere.
    Redirect(String),
    /// With these words.
    Words(u16, &'static str),
    Never,
}

/// The listener. It ends with the test.
pub struct Fake {
    pub url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    bell: Arc<Notify>,
}

impl Fake {
    /// One that takes everything.
    pub async fn kind() -> Self {
        Self::new(|_, _| Answer::Status(200)).await
    }

    /// One that answers the n-th request (from 0) so.
    pub async fn new(answer: impl Fn(usize, &Heard) -> Answer + Send + Sync + 'static) -> Self {
        let (heard, bell) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (kept, ringing, answer) = (Arc::clone(&heard), Arc::clone(&bell), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (kept, ringing, answer) = (Arc::clone(&kept), Arc::clone(&ringing), Arc::clone(&answer));
            async move { hear(request, &kept, &ringing, &*answer).await }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, heard, bell }
    }

    /// What it has been sent so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until it has heard enough.
    pub async fn until(&self, enough: impl Fn(&[Heard]) -> bool) -> Vec<Heard> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let rings = self.bell.notified();
            let heard = self.heard();
            if enough(&heard) {
                return heard;
            }
            let waited = tokio::time::timeout_at(deadline, rings).await;
            assert!(
                waited.is_ok(),
                "it never hears enough: {:#?}",
                heard.iter().map(|of| &of.body).collect::<Vec<_>>()
            );
        }
    }
}

async fn hear(
    request: Request,
    kept: &Mutex<Vec<Heard>>,
    bell: &Notify,
    answer: &(impl Fn(usize, &Heard) -> Answer + Send + Sync),
) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, 16 * 1024 * 1024).await.unwrap().to_vec();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut heard = Heard { path, headers: parts.headers, bytes, body, answered: None, at: Instant::now() };
    let answer = {
        let mut kept = kept.lock().unwrap();
        let answer = answer(kept.len(), &heard);
        heard.answered = match &answer {
            Answer::Status(status) | Answer::Later(status, _) | Answer::Words(status, _) => Some(*status),
            Answer::Redirect(_) => Some(307),
            Answer::Never => None,
        };
        kept.push(heard);
        answer
    };
    bell.notify_waiters();
    let status = |status| StatusCode::from_u16(status).unwrap();
    match answer {
        Answer::Status(code) => status(code).into_response(),
        Answer::Later(code, seconds) => (status(code), [(header::RETRY_AFTER, seconds.to_string())]).into_response(),
        Answer::Words(code, words) => (status(code), words).into_response(),
        Answer::Redirect(to) => (status(307), [(header::LOCATION, to)]).into_response(),
        Answer::Never => std::future::pending().await,
    }
}
