//! `deploy`, `rollback`, `release push`: asked of the server, and followed there.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Remote;
use super::look::{Tells, follow};
use crate::base::{Code, DeployId, Digest};
use crate::cli::deploy::{DeployArgs, RollbackArgs};
use crate::cli::output::{Exit, Failure};
use crate::config::Config;
use crate::release::load;

#[derive(Deserialize)]
struct Accepted {
    id: DeployId,
    again: bool,
}

/// Whether the server is to let it wait for another deploy of the fleet.
fn when_busy(wait: bool) -> &'static str {
    if wait { "queue" } else { "refuse" }
}

pub(super) async fn deploy(remote: &Arc<Remote>, args: &DeployArgs, project: Option<&Config>) -> Result<Exit, Failure> {
    if !args.disown.is_empty() {
        let message = "what a lost log leaves behind is answered for where the log is, and not through a server";
        return Err(Failure::new(Code::BadArgument, message, "windlass deploy --disown DEPLOY, without --server"));
    }
    let release = match (&args.revision, &args.release) {
        (None, None) => Some(send(remote, project, None, None).await?.digest),
        (_, release) => *release,
    };
    let selection = &args.selection;
    let mut body = json!({
        "revision": args.revision, "release": release, "workflow": selection.workflow, "only": selection.only,
        "select": selection.select, "new_databases": selection.new_database, "fleet": remote.fleet,
        "when_busy": when_busy(args.wait.is_some()),
    });
    drop_nulls(&mut body);
    // Sent twice, where the first answer is lost, it is still one deploy.
    let key = DeployId::fresh().to_string();
    let request = || remote.ask(Method::POST, "/v1/deploys").header("idempotency-key", &key).json(&body);
    let accepted: Accepted = match remote.send(request()).await {
        Err(failure) if failure.is(Code::ServerUnreachable) => remote.send(request()).await?,
        answer => answer?,
    };
    if accepted.again {
        remote.output.line(format!("this release was asked for before, as deploy {}", accepted.id));
    }
    let id = accepted.id;
    let Some(wait) = args.wait else { return followed(remote, id).await };
    let whose = if accepted.again { Whose::Another } else { Whose::Ours };
    tokio::select! {
        exit = followed(remote, id) => exit,
        failure = give_up(remote, id, wait, whose) => Err(failure),
    }
}

/// Who has asked for a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// This command.
    Ours,
    /// Somebody else, before.
    Another,
}

/// Ends the waiting when it has lasted for as long as it may, and calls off what only this command has asked for; never, where it has begun
/// by then.
async fn give_up(remote: &Remote, id: DeployId, wait: std::time::Duration, whose: Whose) -> Failure {
    tokio::time::sleep(wait).await;
    let next = "windlass status --server URL";
    if !remote.deploy(id).await.is_ok_and(|deploy| deploy.standing == "queued") {
        return std::future::pending().await;
    }
    let waited = format!("deploy {id} has waited for as long as it may");
    if whose == Whose::Another {
        return Failure::new(
            Code::FleetBusy,
            format!("{waited}; others have asked for it too, and it goes on waiting at the server"),
            next,
        );
    }
    let body = json!({ "reason": "it has waited for as long as it may", "only_queued": true });
    let called_off: Result<Value, Failure> = remote.post(&format!("/v1/deploys/{id}/cancel"), &body).await;
    match called_off {
        Ok(_) => Failure::new(Code::FleetBusy, format!("{waited}, and is called off. Nothing was started"), next),
        // It has begun in this very moment.
        Err(failure) if failure.is(Code::WrongState) => std::future::pending().await,
        Err(_) => Failure::new(
            Code::FleetBusy,
            format!("{waited}, could not be called off, and still waits at the server"),
            next,
        ),
    }
}

/// Follows it until its end or until Ctrl-C, which ends the following alone.
async fn followed(remote: &Arc<Remote>, id: DeployId) -> Result<Exit, Failure> {
    tokio::select! {
        exit = follow(remote, id, Tells::All) => exit,
        _ = tokio::signal::ctrl_c() => {
            remote.output.line(format!("deploy {id} goes on at the server. next: windlass watch {id} --server URL"));
            Ok(Exit::Waiting)
        }
    }
}

fn drop_nulls(body: &mut Value) {
    if let Value::Object(fields) = body {
        fields.retain(|_, value| !value.is_null());
    }
}

pub(super) async fn rollback(remote: &Arc<Remote>, args: &RollbackArgs) -> Result<Exit, Failure> {
    let of = remote.which(Some(&args.deploy)).await?;
    let mut body = json!({ "workflow": args.workflow, "when_busy": when_busy(false) });
    drop_nulls(&mut body);
    let accepted: Accepted = remote.post(&format!("/v1/deploys/{of}/rollback"), &body).await?;
    followed(remote, accepted.id).await
}

/// A release that the server has.
struct Sent {
    digest: Digest,
    name: String,
    migrations: usize,
}

/// Sends the release of the migration folder.
async fn send(
    remote: &Remote,
    project: Option<&Config>,
    dir: Option<PathBuf>,
    revision: Option<&str>,
) -> Result<Sent, Failure> {
    let Some(dir) = dir.or_else(|| project.map(|project| project.release_dir.clone())) else {
        let message = "there is no windlass.toml here that says where the migrations are";
        return Err(Failure::new(
            Code::ConfigMissing,
            message,
            "the same command with --revision REV, or: windlass release push --dir DIR",
        ));
    };
    let release = load(&dir, None)?;
    let bytes = release.to_bytes()?;
    let digest = Digest::of(&bytes);
    let revision = revision.map(|revision| format!("&revision={revision}")).unwrap_or_default();
    let path = format!("/v1/releases/{digest}?{}{revision}", remote.fleet_query().trim_start_matches('&'));
    let request =
        remote.ask(Method::PUT, path.trim_end_matches('?')).header("content-type", "application/json").body(bytes);
    let _: Value = remote.send(request).await?;
    Ok(Sent { digest, name: release.name.clone(), migrations: release.migrations.len() })
}

pub(super) async fn push(
    remote: &Arc<Remote>,
    project: Option<&Config>,
    dir: Option<PathBuf>,
    revision: Option<&str>,
) -> Result<Exit, Failure> {
    if let Some(revision) = revision {
        let fits = crate::base::Revision::new(revision);
        fits.map_err(|error| Failure::new(Code::BadArgument, error.to_string(), "windlass release push --help"))?;
    }
    let sent = send(remote, project, dir, revision).await?;
    let answer =
        json!({ "digest": sent.digest, "name": sent.name, "migrations": sent.migrations, "revision": revision });
    remote.output.answer(&answer, || {
        let Sent { digest, name, migrations } = &sent;
        format!(
            "release {name} ({migrations} migrations) is at the server as {digest}\nnext: windlass deploy --server URL, with --release {digest}"
        )
    });
    Ok(Exit::Done)
}
