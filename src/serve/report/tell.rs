//! Tells one thing to one target: makes the request, sends it, notes how far it has been told.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use metrics::counter;
use reqwest::Client;
use serde_json::Value;

use super::backoff::pause;
use super::post::{Post, Refused, post};
use super::{Target, notify, trace};
use crate::base::crash::{Point, point};
use crate::base::limits::{REPORT_CLAIM, REPORT_GIVE_UP, REPORT_GIVE_UP_FAILURES_MIN, SPANS_AT_ONCE_MAX};
use crate::base::{Timestamp, measure};
use crate::config::serve::Serve;
use crate::fleet::{Secret, SecretResolver};
use crate::log::{LogError, Report, ReportState as Stand, TenantQuery};
use crate::saga::event::StreamId;
use crate::serve::app::App;
use crate::serve::webhook::{ReportState, ReportTo, sign_standard};

/// What is told.
pub(super) struct Message {
    /// How far the target has been told with it.
    pub(super) place: u64,
    /// Whether nothing comes after it.
    pub(super) last: bool,
    pub(super) say: Say,
}

/// In the words of the kind of target.
pub(super) enum Say {
    /// To the sender of a webhook.
    Status { state: ReportState, description: String, url: String },
    /// To a receiver of outgoing webhooks.
    Event { id: String, body: Value },
    /// To the collector of traces.
    Spans(Vec<Value>),
    /// Nobody wants to hear it.
    Nothing,
}

/// One report in hand.
pub(super) struct Telling {
    pub(super) app: Arc<App>,
    pub(super) client: Client,
    pub(super) report: Report,
    pub(super) target: Target,
    /// None for a trace, which is read out of the log in parts.
    pub(super) message: Option<Message>,
}

impl Telling {
    /// Takes the report in hand, tells, and notes it.
    pub(super) async fn run(self) {
        let (deploy, to) = (self.report.deploy, self.target.words());
        if let Err(error) = self.told().await {
            // Whether it was told or not, it is told again when the claim on it has run out.
            tracing::warn!(%deploy, to, %error, "how far somebody has been told cannot be noted");
        }
    }

    async fn told(self) -> Result<(), LogError> {
        let Self { app, client, mut report, target, message } = self;
        let now = app.log.clock().now();
        let until = now.plus(REPORT_CLAIM);
        if !app.desk.claim_report(&report, until).await? {
            return Ok(());
        }
        let message = match message {
            Some(message) => message,
            None => batch(&app, &report).await?,
        };
        let resolver = app.fleet(None).map(|home| home.project.config.resolver()).unwrap_or_default();
        let (place, last) = (message.place, message.last);
        let silent = matches!(message.say, Say::Nothing);
        let sent = match request(&app, &resolver, &target, message.say).await {
            Ok(None) => Ok(()),
            Ok(Some(request)) => {
                let upon = if let Target::Sender { upon, .. } = &target { Some(upon) } else { None };
                let known =
                    |status, answer: &str| upon.is_some_and(|upon: &ReportTo| upon.knows_already(status, answer));
                post(&client, request, known).await
            }
            Err(refused) => Err(refused),
        };
        let now = app.log.clock().now();
        let result = match sent {
            Ok(()) => {
                if !silent {
                    point(Point::ReportSent);
                }
                report.position = place;
                report.state = if last { Stand::Done } else { Stand::Open };
                (report.attempts, report.next_at, report.error, report.failing_since) = (0, now, None, None);
                "told"
            }
            Err(refused) => {
                report = failed(report, &refused, now);
                let (deploy, to, reason) = (report.deploy, target.words(), refused.reason);
                let given_up = report.state == Stand::GivenUp;
                tracing::warn!(%deploy, to, reason, given_up, next_at = %report.next_at, "somebody could not be told");
                if given_up { "given_up" } else { "failed" }
            }
        };
        if !silent {
            counter!(measure::REPORTS_SENT, "target" => target.kind(), "result" => result).increment(1);
        }
        app.desk.note_report(report).await
    }
}

/// A report after one more failure.
pub(super) fn failed(report: Report, refused: &Refused, now: Timestamp) -> Report {
    // Where the clock was set back since: from now on.
    let since = report.failing_since.unwrap_or(now).min(now);
    let attempts = report.attempts.saturating_add(1);
    // By the clock and by count: a clock that jumps ahead by days is no reason to have given up.
    let give_up = refused.for_good || (since.until(now) >= REPORT_GIVE_UP && attempts >= REPORT_GIVE_UP_FAILURES_MIN);
    Report {
        attempts,
        next_at: now.plus(pause(report.deploy, &report.target, attempts, refused.retry_after)),
        state: if give_up { Stand::GivenUp } else { Stand::Open },
        error: Some(refused.reason.clone()),
        failing_since: Some(since),
        ..report
    }
}

/// The next part of a trace. Places: 0 for nothing, beyond that one more than the number of the last tenant whose spans were sent.
async fn batch(app: &App, report: &Report) -> Result<Message, LogError> {
    let row = app.log.deploy(report.deploy).await?;
    let mut spans = Vec::new();
    if report.position == 0 {
        spans.extend(trace::of_deploy(&row, &app.log.read(&StreamId::deploy(row.id)).await?));
    }
    let mut query =
        TenantQuery { statuses: Vec::new(), after: report.position.checked_sub(2), limit: SPANS_AT_ONCE_MAX };
    let mut place = report.position.max(1);
    loop {
        let page = app.log.tenants(row.id, &query).await?;
        if page.is_empty() {
            let say = if spans.is_empty() { Say::Nothing } else { Say::Spans(spans) };
            return Ok(Message { place, last: true, say });
        }
        for tenant in page {
            let events = app.log.read(&StreamId::tenant(row.id, tenant.tenant.clone())).await?;
            let more = trace::of_tenant(&row, &tenant, &events);
            if !spans.is_empty() && spans.len() + more.len() > SPANS_AT_ONCE_MAX {
                return Ok(Message { place, last: false, say: Say::Spans(spans) });
            }
            spans.extend(more);
            place = tenant.ordinal.saturating_add(2);
            query.after = Some(tenant.ordinal);
        }
    }
}

/// The request that says it; none where there is nothing to say.
async fn request(app: &App, resolver: &SecretResolver, target: &Target, say: Say) -> Result<Option<Post>, Refused> {
    let gone = || Refused::for_good("it is not configured any more");
    match (target, say) {
        (_, Say::Nothing) => Ok(None),
        (Target::Sender { webhook, upon }, Say::Status { state, description, url }) => {
            let report = app.settings.webhook(webhook).and_then(|webhook| webhook.report.as_ref()).ok_or_else(gone)?;
            let token = report.token.resolve("serve.webhook.report.token", resolver).await.map_err(|error| {
                // Which names the reference, and never what it leads to.
                Refused::new(error.to_string())
            })?;
            let said = upon.request(state, &description, &url);
            let headers = headers([
                (header::AUTHORIZATION, secret_value(&upon.authorization(&token))),
                (header::ACCEPT, Ok(HeaderValue::from_static("application/json"))),
            ])?;
            let url = format!("{}{}", report.api.as_str(), said.path);
            Ok(Some(Post { url, headers, body: said.body.to_string().into_bytes() }))
        }
        (Target::Notify { .. }, Say::Event { id, body }) => {
            signed(&app.settings, resolver, target, (id, body), app.log.clock().now().0 / 1_000).await.map(Some)
        }
        (Target::Traces, Say::Spans(spans)) => {
            let traces = app.settings.traces.as_ref().ok_or_else(gone)?;
            let url = format!("{}/v1/traces", traces.otlp.as_str());
            Ok(Some(Post { url, headers: HeaderMap::new(), body: trace::request(&spans).to_string().into_bytes() }))
        }
        _ => Err(Refused::for_good("it cannot be told this")),
    }
}

/// An outgoing webhook, signed for the moment in which it is sent.
async fn signed(
    settings: &Serve,
    resolver: &SecretResolver,
    target: &Target,
    (id, body): (String, Value),
    seconds: i64,
) -> Result<Post, Refused> {
    let notify = target.notify(settings).ok_or_else(|| Refused::for_good("it is not configured any more"))?;
    let secret = notify.secret.resolve("serve.notify.secret", resolver).await;
    let secret = secret.map_err(|error| Refused::new(error.to_string()))?;
    let (timestamp, body) = (seconds.to_string(), body.to_string().into_bytes());
    let signature = sign_standard(&secret, &id, &timestamp, &body);
    let form = "its secret is not whsec_ with 24 to 64 bytes in base64";
    let signature = signature.ok_or_else(|| Refused::new(form))?;
    let plain = |text: &str| HeaderValue::from_str(text).map_err(drop);
    let headers = headers([
        (HeaderName::from_static("webhook-id"), plain(&id)),
        (HeaderName::from_static("webhook-timestamp"), plain(&timestamp)),
        (HeaderName::from_static("webhook-signature"), plain(&signature)),
    ])?;
    Ok(Post { url: notify.url.as_str().to_owned(), headers, body })
}

fn secret_value(secret: &Secret) -> Result<HeaderValue, ()> {
    let mut value = HeaderValue::from_str(secret.expose()).map_err(drop)?;
    value.set_sensitive(true);
    Ok(value)
}

fn headers<const N: usize>(of: [(HeaderName, Result<HeaderValue, ()>); N]) -> Result<HeaderMap, Refused> {
    let read = |(name, value): (HeaderName, Result<HeaderValue, ()>)| Ok((name, value?));
    let headers: Result<HeaderMap, ()> = of.into_iter().map(read).collect();
    headers.map_err(|()| Refused::new("its secret holds a character that no header has"))
}

/// What of a story a target has not been told yet, in order; the first is the next.
///
/// Of the states that the sender of a webhook is told, only the last one counts once telling has failed: after an outage of hours nobody
/// wants to read what was so meanwhile. Receivers of outgoing webhooks get each moment, however late.
pub(super) fn next(
    story: &super::story::Story,
    report: &Report,
    target: &Target,
    settings: &Serve,
    url: &str,
) -> Option<Message> {
    let left = story.moments.iter().filter(|moment| moment.place > report.position);
    match target {
        Target::Sender { .. } => {
            let mut states = left.filter_map(|moment| Some((moment, super::status::status(story, moment)?)));
            let (moment, (state, description)) = if report.attempts > 0 { states.next_back() } else { states.next() }?;
            let say = Say::Status { state, description, url: url.to_owned() };
            Some(Message { place: moment.place, last: moment.is_last(), say })
        }
        Target::Notify { .. } => {
            let events = target.notify(settings).and_then(|notify| notify.events.as_deref());
            let wanted = |name| notify::wanted(events, name);
            let moment = left.into_iter().find(|moment| moment.is_last() || wanted(notify::name(moment)))?;
            let say = if wanted(notify::name(moment)) {
                Say::Event { id: notify::id(story, moment), body: notify::body(story, moment, url) }
            } else {
                Say::Nothing
            };
            Some(Message { place: moment.place, last: moment.is_last(), say })
        }
        Target::Traces => None,
    }
}
