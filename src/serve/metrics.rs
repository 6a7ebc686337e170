//! `GET /metrics`, and what is measured of HTTP.
//!
//! What happens is counted where it happens, under the names in [`measure`]. What merely is so (tenants under way, what waits, who is
//! connected) is read when somebody asks.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::access::Principal;
use super::app::App;
use super::problem::Problem;
use crate::base::Code;
use crate::base::limits::PAGE_MAX;
use crate::base::measure::{self, Kind, METRICS};
use crate::log::{LogError, RequestState};
use crate::saga::summary::TenantStatus;

/// Bounds of what takes seconds: from a commit on a fast disk to a migration of hours.
const SECONDS: [f64; 16] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0, 3600.0];

/// Bounds of how many shared a commit.
const COMMANDS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The recorder of this process: there can be one.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Puts a recorder behind the facade; once for a process, however many servers it has. Where somebody else has put one there, theirs is
/// left, and `/metrics` has nothing to show.
pub(super) fn record() {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets(&SECONDS)
            .and_then(|of| of.set_buckets_for_metric(Matcher::Full(measure::LOG_GROUP.to_owned()), &COMMANDS));
        let recorder = builder.ok()?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        for metric in METRICS {
            match metric.kind {
                Kind::Counter => describe_counter!(metric.name, metric.help),
                Kind::Gauge => describe_gauge!(metric.name, metric.help),
                Kind::Histogram => describe_histogram!(metric.name, metric.help),
            }
        }
        gauge!(measure::BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        // What has no label is there from the start, as 0: a rate needs a first value.
        for metric in METRICS.iter().filter(|metric| metric.labels.is_empty()) {
            match metric.kind {
                Kind::Counter => counter!(metric.name).absolute(0),
                Kind::Gauge => gauge!(metric.name).set(0.0),
                Kind::Histogram => drop(histogram!(metric.name)),
            }
        }
        Some(handle)
    });
}

/// What the recorder has to do from time to time, so that what is measured and never asked for takes no room.
pub(super) fn tidy() {
    if let Some(Some(recorder)) = RECORDER.get() {
        recorder.run_upkeep();
    }
}

/// A number that fits whatever is counted here.
#[expect(clippy::cast_precision_loss, reason = "what is counted stays far below 2^52")]
const fn number(count: u64) -> f64 {
    count as f64
}

/// `GET /metrics`.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    if !app.fleets.keys().all(|fleet| principal.covers(fleet)) {
        return Err(Problem::new(
            Code::NotAllowed,
            "the metrics are of all fleets, and this token is for some of them",
        ));
    }
    look(&app).await?;
    let text = RECORDER.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Reads what merely is so.
async fn look(app: &App) -> Result<(), LogError> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 stay below 2^52 for a hundred thousand years"
    )]
    gauge!(measure::START_TIME).set(app.started_at.0 as f64 / 1_000.0);
    gauge!(measure::LIVE_FOLLOWERS).set(number(app.pulses.followers() as u64));
    let (open, failing, given_up) = app.desk.reports_standing().await?;
    for (state, count) in [("open", open), ("failing", failing), ("given_up", given_up)] {
        gauge!(measure::REPORTS, "state" => state).set(number(count));
    }
    for fleet in app.fleets.values() {
        let name = fleet.name().to_owned();
        let queued = app.desk.requests(Some(&name), Some(RequestState::Queued), None, PAGE_MAX).await?.len();
        gauge!(measure::QUEUED, "fleet" => name.clone()).set(number(queued as u64));
        // The one that is under way is the newest.
        let newest = app.log.deploys(Some(&name), 1).await?.into_iter().next();
        let census = match newest.filter(|row| row.summary.outcome.is_none()) {
            Some(row) => app.log.census(row.id).await?,
            None => crate::saga::summary::Census::default(),
        };
        for status in TenantStatus::ALL {
            let of = gauge!(measure::TENANTS, "fleet" => name.clone(), "status" => status.as_str());
            of.set(number(census.count(*status)));
        }
    }
    Ok(())
}

/// Counts a request and says that it was answered: with its route and not its address, which holds ids, and without its query and body.
pub(super) async fn measured(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = method(request.method());
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |at| at.as_str().to_owned());
    let answer = next.run(request).await;
    let (took, status) = (began.elapsed(), answer.status());
    counter!(measure::HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => status.as_u16().to_string())
        .increment(1);
    histogram!(measure::HTTP_SECONDS, "method" => method, "route" => route.clone()).record(took.as_secs_f64());
    let who = answer.extensions().get::<Who>().map_or("-", |who| who.0.as_str());
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    // What only looks is said where somebody wants it all; what changes something or is refused, always.
    if matches!(method, "GET" | "HEAD") && status.as_u16() < 400 {
        tracing::debug!(target: "windlass::access", method, route, status = status.as_u16(), ms, who, "answered");
    } else {
        tracing::info!(target: "windlass::access", method, route, status = status.as_u16(), ms, who, "answered");
    }
    answer
}

/// Whoever asked, as the answer carries them to the one who writes it down.
#[derive(Debug, Clone)]
pub(super) struct Who(String);

impl Who {
    /// By the name alone.
    pub(super) fn of(principal: &Principal) -> Self {
        Self(principal.name.clone())
    }
}

/// A method that HTTP knows: a client may write any other, and each would be a series of its own.
fn method(of: &http::Method) -> &'static str {
    match of.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// A connection, as long as it is there.
pub(super) struct Connection;

impl Connection {
    pub(super) fn open() -> Self {
        gauge!(measure::HTTP_CONNECTIONS).increment(1.0);
        Self
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        gauge!(measure::HTTP_CONNECTIONS).decrement(1.0);
    }
}
