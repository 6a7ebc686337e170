//! `pause`, `resume`, `unwind`, `retry`, `resolve`: said to a deploy through its server, which heeds it; then followed.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Remote;
use super::look::{Tells, end, follow};
use crate::base::DeployId;
use crate::cli::deploy::nothing_to_resume;
use crate::cli::operate::{PAUSED_ALREADY, ResolveArgs, What};
use crate::cli::output::{Exit, Failure};
use crate::cli::progress::account_text;

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    changed: bool,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    busy: Vec<String>,
}

/// A deploy to which something was said.
struct Told {
    id: DeployId,
    said: Said,
    /// Where its log ended before: what is heard of it from there on may come of what was said.
    before: u64,
}

async fn say(remote: &Arc<Remote>, named: Option<&str>, what: &str, body: &Value) -> Result<Told, Failure> {
    let id = remote.which(named).await?;
    let before = end(remote, id).await;
    let said = remote.post(&format!("/v1/deploys/{id}/{what}"), body).await?;
    Ok(Told { id, said, before })
}

pub(super) async fn pause(remote: &Arc<Remote>, named: Option<&str>, reason: &str) -> Result<Exit, Failure> {
    let Told { id, said, .. } = say(remote, named, "pause", &json!({ "reason": reason })).await?;
    if !said.changed {
        remote.output.line(PAUSED_ALREADY);
    }
    match remote.deploy(id).await?.account {
        Some(account) => remote.output.answer(&account, || account_text(&account)),
        // It has just been paused, so it is one.
        None => remote.output.line(format!("deploy {id} is paused")),
    }
    Ok(Exit::Done)
}

pub(super) async fn resume(remote: &Arc<Remote>, named: Option<&str>) -> Result<Exit, Failure> {
    if named.is_none() {
        let id = remote.which(None).await?;
        if let Some((account, outcome)) =
            remote.deploy(id).await?.account.and_then(|of| of.outcome.map(|how| (of, how)))
        {
            return Ok(nothing_to_resume(remote.output, outcome, &account));
        }
    }
    let Told { id, before, .. } = say(remote, named, "resume", &json!({})).await?;
    follow(remote, id, Tells::After(before)).await
}

pub(super) async fn unwind(remote: &Arc<Remote>, named: Option<&str>, reason: &str) -> Result<Exit, Failure> {
    let Told { id, before, .. } = say(remote, named, "unwind", &json!({ "reason": reason })).await?;
    // To have been unwound is what was asked for.
    follow(remote, id, Tells::After(before)).await.map(|exit| if exit == Exit::Unwound { Exit::Done } else { exit })
}

pub(super) async fn retry(
    remote: &Arc<Remote>,
    named: Option<&str>,
    tenant: Option<String>,
    reason: &str,
) -> Result<Exit, Failure> {
    let mut body = json!({ "reason": reason });
    if let Some(tenant) = tenant {
        body["tenant"] = Value::String(tenant);
    }
    let Told { id, said, before } = say(remote, named, "retry", &body).await?;
    remote.output.line(format!("to be tried again: {}", said.tenants.join(", ")));
    tell_busy(remote, &said);
    follow(remote, id, Tells::After(before)).await
}

pub(super) async fn resolve(remote: &Arc<Remote>, args: &ResolveArgs) -> Result<Exit, Failure> {
    let what = match args.what {
        What::Undone => "undone",
        What::Applied => "applied",
    };
    let mut body = json!({ "as": what, "reason": args.reason });
    if let Some(tenant) = &args.tenant {
        body["tenant"] = Value::String(tenant.clone());
    }
    let Told { id, said, before } = say(remote, args.deploy.as_deref(), "resolve", &body).await?;
    tell_busy(remote, &said);
    follow(remote, id, Tells::After(before)).await
}

fn tell_busy(remote: &Remote, said: &Said) {
    if !said.busy.is_empty() {
        let busy = said.busy.join(", ");
        remote.output.line(format!("being worked on at this moment, and not settled: {busy}; say it again for them"));
    }
}
