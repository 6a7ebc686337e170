//! What is answered when something is not done: RFC 9457 problem documents with our codes.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::{Code, Coded, TenantId};

/// Where the page of a code is.
const PAGES: &str = "https://github.com/windlass-db/windlass/blob/main/docs/errors";

/// An answer that says why something was not done.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    code: Code,
    detail: String,
    next: Option<String>,
    tenants: Vec<Named>,
    retry_after_seconds: Option<u64>,
}

/// A tenant that is a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Named {
    /// Which.
    pub tenant: TenantId,
    /// The page to look it up under.
    pub code: Code,
    /// Why.
    pub message: String,
}

/// A problem document (RFC 9457), with the command that comes next.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The page of the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The title of that page.
    pub title: &'static str,
    /// The status, as a number.
    pub status: u16,
    /// What happened, to whom, and what is true now.
    pub detail: String,
    /// The stable code, `WL0402`.
    pub code: Code,
    /// The command, or the act, that comes next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Tenants that are the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Named>,
}

impl Problem {
    /// A problem with the status that its code has.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, retry_after_seconds) = status_of(code);
        Self { status, code, detail: detail.into(), next: None, tenants: Vec::new(), retry_after_seconds }
    }

    /// The same, with what comes next.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// The same, under another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The words of an error.
    pub fn of(error: &impl Coded) -> Self {
        Self { next: error.next(), ..Self::new(error.code(), error.to_string()) }
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What happened, to whom, and what is true now.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The command, or the act, that comes next.
    #[must_use]
    pub fn what_next(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

/// The address of a code's page.
#[must_use]
pub fn page_of(code: Code) -> String {
    format!("{PAGES}/{code}.md")
}

impl<E: Coded> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

/// The status that an answer with this code has, and after how many seconds it may be otherwise.
fn status_of(code: Code) -> (StatusCode, Option<u64>) {
    match code {
        Code::BadArgument | Code::BadSelector | Code::RequestMalformed => (StatusCode::BAD_REQUEST, None),
        Code::NotAuthenticated => (StatusCode::UNAUTHORIZED, None),
        Code::NotAllowed | Code::FormNotOurs => (StatusCode::FORBIDDEN, None),
        Code::DeployUnknown | Code::UnknownTenant | Code::UnknownWorkflow | Code::NoSuchThing => {
            (StatusCode::NOT_FOUND, None)
        }
        Code::FleetBusy | Code::WrongState | Code::NothingToRetry | Code::Fenced => (StatusCode::CONFLICT, None),
        Code::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
        Code::QueueFull | Code::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, Some(60)),
        Code::TooSlow => (StatusCode::REQUEST_TIMEOUT, None),
        Code::LogBusy | Code::LogUnavailable | Code::LogFull => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
        Code::Defect | Code::LogCorrupt | Code::BlobMissing | Code::BlobAltered | Code::IllegalEvent => {
            (StatusCode::INTERNAL_SERVER_ERROR, None)
        }
        _ => (StatusCode::UNPROCESSABLE_ENTITY, None),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // For a browser it is put in other words on the way out.
        let problem = self.clone();
        let body = ProblemBody {
            kind: page_of(self.code),
            title: self.code.title(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            next: self.next,
            tenants: self.tenants,
        };
        let mut answer = (self.status, Json(body)).into_response();
        answer.extensions_mut().insert(problem);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"windlass\""));
        }
        answer
    }
}
