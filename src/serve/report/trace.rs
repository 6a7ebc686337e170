//! A finished deploy as one trace: OTLP/HTTP, JSON.
//!
//! Nothing is measured while the deploy runs. The spans are read out of the log when it has ended, so they tell of all its processes alike
//! and of what a crash cut off; and their ids follow from their names, so that what is sent twice is the same spans twice.
//!
//! The encoding is the Protobuf JSON mapping with the exceptions of OTLP: ids in hexadecimal, enums as numbers, 64-bit numbers as texts.

use serde_json::{Value, json};

use crate::base::{Attempt, DeployId, Digest, StepId, TenantId, Timestamp};
use crate::log::{DeployRow, TenantRow};
use crate::saga::event::{DeployEvent, Event, Evidence, Found, Half, Recorded, TenantEvent};
use crate::saga::failure::Failure;

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u8 = 1;

/// `STATUS_CODE_OK` and `STATUS_CODE_ERROR`.
const OK: u8 = 1;
const ERROR: u8 = 2;

/// The id of the trace of a deploy: its own, which has the same length.
fn trace_id(deploy: DeployId) -> String {
    deploy.0.simple().to_string()
}

/// Hexadecimal digits of a span's id: eight bytes.
const SPAN_ID_CHARS: usize = 16;

/// The id of a span: by its names, which no other span of the trace has.
fn span_id(deploy: DeployId, names: &[&str]) -> String {
    let own = deploy.0.as_bytes().as_slice();
    let fields = std::iter::once(own).chain(names.iter().map(|name| name.as_bytes()));
    let digest = Digest::of_fields("windlass span 1", fields);
    digest.to_string().chars().take(SPAN_ID_CHARS).collect()
}

fn nanos(at: Timestamp) -> String {
    (i128::from(at.0.max(0)) * 1_000_000).to_string()
}

fn text(key: &str, value: &(impl ToString + ?Sized)) -> Value {
    json!({ "key": key, "value": { "stringValue": value.to_string() } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// An enum's written form.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Something that took its time.
struct Span<'a> {
    deploy: DeployId,
    id: String,
    parent: Option<&'a str>,
    name: String,
    from: Timestamp,
    to: Timestamp,
    attributes: Vec<Value>,
    failed: Option<String>,
}

impl Span<'_> {
    fn json(self) -> Value {
        let status = match self.failed {
            Some(message) => json!({ "code": ERROR, "message": message }),
            None => json!({ "code": OK }),
        };
        let mut span = json!({
            "traceId": trace_id(self.deploy), "spanId": self.id, "name": self.name, "kind": INTERNAL,
            "startTimeUnixNano": nanos(self.from), "endTimeUnixNano": nanos(self.to.max(self.from)),
            "attributes": self.attributes, "status": status,
        });
        if let (Some(parent), Some(fields)) = (self.parent, span.as_object_mut()) {
            fields.insert("parentSpanId".to_owned(), json!(parent));
        }
        span
    }
}

/// The span of a deploy, the root of its trace; none for one that has not ended.
pub(super) fn of_deploy(row: &DeployRow, events: &[Recorded]) -> Option<Value> {
    let mut attributes = vec![text("windlass.deploy", &row.id), text("windlass.fleet", &row.fleet)];
    let mut ended = None;
    for recorded in events {
        match &recorded.event {
            Event::Deploy(DeployEvent::DeployCreated {
                release_name, workflow_name, tenant_count, changing, ..
            }) => {
                attributes.push(text("windlass.release", release_name));
                attributes.push(text("windlass.workflow", workflow_name));
                attributes.push(number("windlass.tenants", *tenant_count));
                attributes.push(number("windlass.changing", *changing));
            }
            Event::Deploy(DeployEvent::DeployFinished { outcome, .. }) => ended = Some((recorded.at, word(outcome))),
            _ => {}
        }
    }
    let (to, outcome) = ended?;
    attributes.push(text("windlass.outcome", &outcome));
    let span = Span {
        deploy: row.id,
        id: span_id(row.id, &[]),
        parent: None,
        name: format!("deploy {}", row.fleet),
        from: row.created_at,
        to,
        attributes,
        failed: (outcome != "completed").then_some(outcome),
    };
    Some(span.json())
}

/// The spans of a tenant and of its steps; none where nothing was started there.
pub(super) fn of_tenant(row: &DeployRow, tenant: &TenantRow, events: &[Recorded]) -> Vec<Value> {
    let mut of = Tenant { deploy: row.id, id: &tenant.tenant, open: None, steps: Vec::new(), ended: None };
    let id = span_id(row.id, &[tenant.tenant.as_str()]);
    for recorded in events {
        if let Event::Tenant(event) = &recorded.event {
            of.hear(event, recorded.at, &id);
        }
    }
    // What was started and never heard of again: the deploy ended by a human's word on it.
    of.close(&id, events.last().map_or(row.created_at, |last| last.at), End::lost());
    let (Some(from), Some(last)) = (of.steps.first().map(|(from, _)| *from), events.last()) else { return Vec::new() };
    let (outcome, reason, code) = of.ended.unwrap_or_default();
    let mut attributes = vec![
        text("windlass.fleet", &row.fleet),
        text("windlass.tenant", &tenant.tenant),
        text("windlass.outcome", &outcome),
    ];
    attributes.extend(code.map(|code| text("windlass.code", &code)));
    let whole = Span {
        deploy: row.id,
        id,
        parent: Some(&span_id(row.id, &[])),
        name: format!("tenant {}", tenant.tenant),
        from,
        to: last.at,
        attributes,
        failed: (outcome != "completed").then_some(reason),
    };
    std::iter::once(whole.json()).chain(of.steps.into_iter().map(|(_, span)| span)).collect()
}

/// How a step ended.
struct End {
    outcome: &'static str,
    /// How long it took by the clock of who did it, which the log was told only later.
    took: Option<u64>,
    failure: Option<(String, String)>,
}

impl End {
    fn succeeded(evidence: &Evidence) -> Self {
        let took = (!evidence.probed).then_some(evidence.elapsed_ms);
        Self { outcome: "succeeded", took, failure: None }
    }

    fn failed(failure: &Failure) -> Self {
        let failure = Some((failure.code.to_string(), failure.message.clone()));
        Self { outcome: "failed", took: None, failure }
    }

    fn lost() -> Self {
        Self { outcome: "unknown", took: None, failure: None }
    }

    fn of(found: &Found) -> Self {
        match found {
            Found::Applied => Self { outcome: "succeeded", took: None, failure: None },
            Found::NotApplied => Self { outcome: "cut_off", took: None, failure: None },
            Found::Partial { .. } => Self { outcome: "partial", took: None, failure: None },
            Found::Unknown { failure, .. } => Self { outcome: "unknown", ..Self::failed(failure) },
        }
    }
}

/// A tenant's stream as it is read.
struct Tenant<'a> {
    deploy: DeployId,
    id: &'a TenantId,
    open: Option<(StepId, Half, Attempt, Timestamp)>,
    steps: Vec<(Timestamp, Value)>,
    ended: Option<(String, String, Option<String>)>,
}

impl Tenant<'_> {
    fn hear(&mut self, event: &TenantEvent, at: Timestamp, parent: &str) {
        match event {
            TenantEvent::StepStarted { step, attempt } => self.begin(step, Half::Act, *attempt, at, parent),
            TenantEvent::UndoStarted { step, attempt } => self.begin(step, Half::Undo, *attempt, at, parent),
            TenantEvent::StepSucceeded { evidence, .. } | TenantEvent::UndoSucceeded { evidence, .. } => {
                self.close(parent, at, End::succeeded(evidence));
            }
            TenantEvent::StepFailed { failure, .. } | TenantEvent::UndoFailed { failure, .. } => {
                self.close(parent, at, End::failed(failure));
            }
            TenantEvent::StepProbed { found, .. } => self.close(parent, at, End::of(found)),
            TenantEvent::TenantFinished { outcome, reason, code } => {
                self.ended = Some((word(outcome), reason.clone(), code.map(|code| code.to_string())));
            }
            TenantEvent::TenantPlanned { .. }
            | TenantEvent::StepSkipped { .. }
            | TenantEvent::TenantTurned { .. }
            | TenantEvent::UndoSkipped { .. }
            | TenantEvent::TenantResolved { .. } => {}
        }
    }

    fn begin(&mut self, step: &StepId, half: Half, attempt: Attempt, at: Timestamp, parent: &str) {
        // One that a crash cut off, and that was begun again.
        self.close(parent, at, End::lost());
        self.open = Some((step.clone(), half, attempt, at));
    }

    fn close(&mut self, parent: &str, at: Timestamp, end: End) {
        let Some((step, half, attempt, from)) = self.open.take() else { return };
        let half = word(&half);
        // Attempts count from 1 again after a human's word: the place among the tenant's spans sets two of them apart.
        let nth = self.steps.len().to_string();
        let to = end.took.and_then(|took| i64::try_from(took).ok()).map_or(at, |took| Timestamp(from.0 + took).min(at));
        let mut attributes = vec![
            text("windlass.tenant", self.id),
            text("windlass.step", &step),
            text("windlass.half", &half),
            number("windlass.attempt", u64::from(attempt.0)),
            text("windlass.outcome", end.outcome),
        ];
        attributes.extend(end.failure.as_ref().map(|(code, _)| text("windlass.code", code)));
        let span = Span {
            deploy: self.deploy,
            id: span_id(self.deploy, &[self.id.as_str(), step.as_str(), &half, &nth]),
            parent: Some(parent),
            name: if half == "undo" { format!("undo {step}") } else { step.to_string() },
            from,
            to,
            attributes,
            failed: match end.failure {
                Some((_, message)) => Some(message),
                None => (end.outcome != "succeeded").then(|| end.outcome.to_owned()),
            },
        };
        self.steps.push((from, span.json()));
    }
}

/// A request with these spans.
pub(super) fn request(spans: &[Value]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "windlass"), text("service.version", version)] },
        "scopeSpans": [{ "scope": { "name": "windlass", "version": version }, "spans": spans }],
    }] })
}
