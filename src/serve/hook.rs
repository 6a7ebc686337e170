//! `POST /webhooks/{name}`: a delivery becomes a request, once.
//!
//! It is answered when the request is durable, and not before: 202 with the deploy's URL, 200 with the same one when the same delivery
//! comes again. A sender that was not answered sends again, and finds what became of the first time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use metrics::counter;
use serde_json::json;
use tokio::sync::Mutex;

use super::access::Client;
use super::api::accepted_but;
use super::app::App;
use super::extract::{At, read};
use super::problem::Problem;
use super::report::Target;
use super::take::{Ask, take};
use super::webhook::{Order, Received, Rejected, decide, receive};
use crate::base::Code;
use crate::base::limits::{DELIVERY_BYTES_MAX, DELIVERY_TIMEOUT};
use crate::base::measure;
use crate::config::serve::{Sender, Webhook};
use crate::fleet::Secret;
use crate::log::{Asked, Delivery, Selection, TakenIn, What};
use crate::saga::event::{Actor, Trigger};

/// How long secrets that were read are used: each delivery of a flood must not start a program that says them, and one that was changed
/// must be known before its sender has given up.
const SECRETS_KEPT: Duration = Duration::from_secs(5);

/// Secrets, and when they were read.
type Kept = (Instant, Arc<[Secret]>);

/// Secrets that were read a moment ago, by webhook.
#[derive(Default)]
pub struct Secrets(Mutex<HashMap<String, Kept>>);

impl Secrets {
    async fn of(&self, app: &App, webhook: &Webhook) -> Result<Arc<[Secret]>, Problem> {
        // Held while they are read: of a flood one reads them, and the others have what it has found, also where that is nothing.
        let mut all = self.0.lock().await;
        let kept = all.get(&webhook.name).filter(|(at, _)| at.elapsed() < SECRETS_KEPT);
        let secrets = if let Some((_, secrets)) = kept {
            Arc::clone(secrets)
        } else {
            let read = Self::read(app, webhook).await?;
            all.insert(webhook.name.clone(), (Instant::now(), Arc::clone(&read)));
            read
        };
        if secrets.is_empty() {
            let detail = "the server cannot read the secrets of this webhook at the moment; nothing was started";
            return Err(Problem::new(Code::SecretUnresolved, detail).with_status(StatusCode::SERVICE_UNAVAILABLE));
        }
        Ok(secrets)
    }

    /// Those that can be read now.
    async fn read(app: &App, webhook: &Webhook) -> Result<Arc<[Secret]>, Problem> {
        let Some(home) = app.fleet(None) else {
            return Err(Problem::new(Code::Defect, "the server has lost its own fleet"));
        };
        let resolver = home.project.config.resolver();
        let (mut found, mut missing) = (Vec::new(), None);
        for reference in &webhook.secrets {
            match reference.resolve("serve.webhook.secrets", &resolver).await {
                Ok(secret) => found.push(secret),
                Err(error) => missing = Some(error),
            }
        }
        // While secrets are changed one of them may be gone already, or not be there yet: the others are as good as ever.
        match (found.is_empty(), missing) {
            (true, Some(error)) => {
                tracing::error!(webhook = webhook.name, %error, "no secret of this webhook can be read: deliveries are turned away");
            }
            (false, Some(error)) => {
                tracing::warn!(webhook = webhook.name, %error, "a secret of this webhook cannot be read");
            }
            _ => {}
        }
        Ok(found.into())
    }
}

pub(super) async fn deliver(
    State(app): State<Arc<App>>,
    At(name): At<String>,
    Extension(Client(client)): Extension<Client>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(webhook) = app.settings.webhook(&name) else {
        // Not by its name: whoever asks could make as many as they like.
        counter!(measure::DELIVERIES, "webhook" => "none", "result" => "no_such_webhook").increment(1);
        return Err(Problem::new(Code::NoSuchThing, "this server has no webhook of this name"));
    };
    let answer = delivered(&app, webhook, client, request).await;
    let result = match &answer {
        Ok(answer) if answer.status() == StatusCode::ACCEPTED => "accepted",
        Ok(_) => "again_or_ping",
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => "unproven",
        Err(problem) if problem.status.is_server_error() => "failed",
        Err(_) => "refused",
    };
    counter!(measure::DELIVERIES, "webhook" => name, "result" => result).increment(1);
    answer
}

async fn delivered(
    app: &App,
    webhook: &Webhook,
    client: std::net::SocketAddr,
    request: Request,
) -> Result<Response, Problem> {
    let name = &webhook.name;
    let headers = request.headers().clone();
    // The semaphore is never closed; without its permit there would only be more of them at once.
    let _place = app.deliveries.acquire().await.ok();
    let body = match tokio::time::timeout(DELIVERY_TIMEOUT, read(request, DELIVERY_BYTES_MAX)).await {
        Ok(body) => body.map_err(|problem| match problem.code() {
            Code::BodyTooLarge => rejected(&Rejected::TooLarge),
            _ => problem,
        })?,
        Err(_) => return Err(Problem::new(Code::TooSlow, "the delivery did not arrive in time; nothing was started")),
    };
    let secrets = app.secrets.of(app, webhook).await?;
    let delivery = match receive(webhook.sender, &secrets, &headers, &body, app.log.clock().now()) {
        Ok(Received::Delivery(delivery)) => delivery,
        Ok(Received::Ping) => return Ok(Json(json!({ "pong": true })).into_response()),
        Err(error) => {
            tracing::warn!(webhook = name, client = %client.ip(), code = %crate::base::Coded::code(&error), %error, "a delivery is not taken");
            if error == Rejected::Unproven && !app.keys.refused(client.ip()) {
                return Err(Problem::new(
                    Code::TooManyRequests,
                    "too many deliveries without a good signature from this address",
                ));
            }
            return Err(rejected(&error));
        }
    };
    let order = decide(webhook, &delivery).map_err(|error| rejected(&error))?;
    let Order { fleet, revision, environment, workflow, report, unreported } = order;
    let Some(fleet) = app.fleet(fleet.as_deref()) else {
        let detail = "the rule of this webhook leads to a fleet that this server does not serve; nothing was started";
        return Err(Problem::new(Code::DeliveryUnfit, detail));
    };
    let trigger = Trigger::Webhook {
        webhook: name.clone(),
        sender: webhook.sender.to_string(),
        delivery: delivery.id.clone(),
        event: delivery.event.clone(),
        revision: revision.to_string(),
        environment: environment.clone(),
    };
    let what = What::Deploy {
        revision: Some(revision.into()),
        release: None,
        environment,
        selection: Selection { workflow, ..Selection::default() },
    };
    let actor = Actor { name: format!("webhook:{name}"), host: client.ip().to_string() };
    let reports = report.map(|upon| Target::Sender { webhook: name.clone(), upon }.text());
    let ask = Ask {
        asked: Asked { what, trigger, actor },
        deliveries: names(webhook, &delivery),
        when_busy: app.settings.when_busy,
        reports: reports.into_iter().collect(),
    };
    let taken = take(app, fleet, ask).await?;
    if let (TakenIn::New(deploy), Some(reason)) = (taken, &unreported) {
        tracing::warn!(webhook = name, %deploy, reason, "its sender will not be told how this deploy goes");
    }
    Ok(accepted_but(app, taken, unreported))
}

/// What a delivery is known by. Where its id is not signed, whoever overheard it could send it again under another one: there its body
/// is a name of it too. Such senders put moments and numbers of their own into every body, so that no two deliveries have the same one.
fn names(webhook: &Webhook, delivery: &super::webhook::Delivery) -> Vec<Delivery> {
    let by_id = Delivery { source: format!("webhook:{}", webhook.name), id: delivery.id.clone(), content: None };
    if webhook.sender == Sender::Standard {
        return vec![by_id];
    }
    let source = format!("webhook:{}:body", webhook.name);
    vec![by_id, Delivery { source, id: delivery.body.to_string(), content: None }]
}

fn rejected(error: &Rejected) -> Problem {
    Problem::of(error).with_status(error.status())
}
