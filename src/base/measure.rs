//! What can be measured: every metric by its name, with what it means.
//!
//! Whatever measures does so through the facade of the crate `metrics`, under these names. Only a server puts a recorder behind it;
//! elsewhere, in the commands, the simulator and the benchmark, a measurement is one look at an atomic that says nobody listens. Nothing is
//! ever decided by one, so a run with a recorder and one without it are the same run.
//!
//! No label names a tenant or a deploy: their number has no limit, and that of the series must have one.

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

impl Kind {
    /// The word, as Prometheus writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, which ends in its unit.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

macro_rules! metrics {
    ($( $constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal; )*) => {
        $( #[doc = $help] pub const $constant: &str = $name; )*

        /// Every metric, in the order of `docs/metrics.md`.
        pub const METRICS: &[Metric] = &[
            $( Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help }, )*
        ];
    };
}

metrics! {
    DEPLOYS = "windlass_deploys_total", Counter, ["outcome"], "Deploys that this process brought to their end";
    REQUESTS = "windlass_requests_total", Counter, ["outcome"], "Requests that were settled: became a deploy, or why not";
    DELIVERIES = "windlass_webhook_deliveries_total", Counter, ["webhook", "result"], "Deliveries that reached a webhook";
    TENANTS = "windlass_tenants", Gauge, ["fleet", "status"], "Tenants of the deploys under way, by where they stand";
    QUEUED = "windlass_requests_queued", Gauge, ["fleet"], "Requests that wait for their turn";
    STEP_SECONDS = "windlass_step_seconds", Histogram, ["kind", "half", "outcome"], "How long steps and their undos took";
    RETRIES = "windlass_step_retries_total", Counter, ["kind", "half"], "Steps and undos that failed and are tried again";
    UNDOS = "windlass_undos_total", Counter, ["outcome"], "Undos that ended";
    STUCK = "windlass_tenants_stuck_total", Counter, [], "Tenants that were left for a human to decide on";
    LOG_APPEND_SECONDS = "windlass_log_append_seconds", Histogram, [], "From handing something to the log until it was durable";
    LOG_GROUP = "windlass_log_group_commands", Histogram, [], "Commands that shared a commit of the log";
    LOG_FAILURES = "windlass_log_commit_failures_total", Counter, [], "Commits of the log that failed";
    FENCED = "windlass_log_fenced_total", Counter, [], "Appends that were refused because somebody else holds the tenant now";
    LEASES_LOST = "windlass_leases_lost_total", Counter, [], "Tenants that a worker had to let go of before it was done";
    REPORTS = "windlass_reports", Gauge, ["state"], "Reports to others that are open, that fail, and that were given up";
    REPORTS_SENT = "windlass_reports_sent_total", Counter, ["target", "result"], "Tries to tell somebody something";
    HTTP_REQUESTS = "windlass_http_requests_total", Counter, ["method", "route", "status"], "Requests that were answered";
    HTTP_SECONDS = "windlass_http_request_seconds", Histogram, ["method", "route"], "From the head of a request to the head of its answer";
    HTTP_CONNECTIONS = "windlass_http_connections", Gauge, [], "Open connections";
    LIVE_FOLLOWERS = "windlass_live_followers", Gauge, [], "Clients that follow live events";
    START_TIME = "windlass_start_time_seconds", Gauge, [], "When the server started, in seconds since 1970";
    BUILD = "windlass_build_info", Gauge, ["version"], "1, under the version";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_in_what_they_count_and_no_label_names_a_tenant_or_a_deploy() {
        for metric in METRICS {
            assert!(metric.name.starts_with("windlass_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(!metric.labels.iter().any(|label| matches!(*label, "tenant" | "deploy")), "{}", metric.name);
        }
    }
}
