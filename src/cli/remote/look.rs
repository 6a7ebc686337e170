//! `status`, `watch`: how a deploy stands at the server, and followed there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Deploy, Remote, is_open};
use crate::audit::{Account, Line};
use crate::base::{Code, DeployId};
use crate::cli::deploy::{ended, nothing_to_do};
use crate::cli::output::{Exit, Failure, table};
use crate::cli::progress::{Follower, Watched, account_text};
use crate::cli::status::{DEPLOYS_LISTED, Stands, account_row, told_text};
use crate::log::Settled;
use crate::saga::summary::{TenantStatus, TenantSummary, stands_still};

/// How often the server is asked.
const LOOK: Duration = Duration::from_millis(500);

/// Events that are asked for at a time.
const PAGE: usize = 1_000;

/// Looks after which a request that has not begun is said to wait.
const WAITING_AFTER: u32 = 6;

/// Looks that may fail one after the other before following is given up: a server that is started anew takes a moment.
const LOOKS_FAILED_MAX: u32 = 60;

/// A deploy at the server.
struct AtServer {
    remote: Arc<Remote>,
    deploy: DeployId,
}

#[derive(Deserialize)]
struct Events {
    items: Vec<Line>,
}

#[async_trait]
impl Watched for AtServer {
    fn look(&self) -> Duration {
        LOOK
    }

    async fn end(&self) -> Option<u64> {
        let mut end = 0;
        loop {
            let page = self.tail(end, PAGE).await?;
            let Some(last) = page.last() else { return Some(end) };
            end = last.position;
        }
    }

    async fn tail(&self, after: u64, limit: usize) -> Option<Vec<Line>> {
        let path = format!("/v1/deploys/{}/events?after={after}&limit={limit}", self.deploy);
        let events: Events = self.remote.get(&path).await.ok()?;
        Some(events.items)
    }

    async fn counts(&self) -> Option<BTreeMap<TenantStatus, u64>> {
        Some(self.remote.deploy(self.deploy).await.ok()?.account?.census)
    }
}

/// What is told of a deploy that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// Everything.
    All,
    /// What comes after this place in the log.
    After(u64),
}

/// Where a deploy's log ends now; its beginning where that cannot be read.
pub(super) async fn end(remote: &Arc<Remote>, deploy: DeployId) -> u64 {
    AtServer { remote: Arc::clone(remote), deploy }.end().await.unwrap_or(0)
}

/// Follows a deploy to its end, or to where a human must decide.
pub(super) async fn follow(remote: &Arc<Remote>, id: DeployId, tells: Tells) -> Result<Exit, Failure> {
    let begun = match until_begun(remote, id).await? {
        Begun::Deploy => id,
        Begun::Other(exit) => return Ok(exit),
    };
    let watched = AtServer { remote: Arc::clone(remote), deploy: begun };
    let mut follower = Follower::of(Box::new(watched), begun, remote.output);
    if let Tells::After(place) = tells {
        follower.catch_up_to(place).await;
    }
    let mut failed = 0;
    let (account, exit) = loop {
        match remote.deploy(begun).await {
            Ok(Deploy { account: Some(account), standing, .. }) => {
                failed = 0;
                if let Some(exit) = over(&account, &standing) {
                    break (account, exit);
                }
            }
            Ok(_) => {}
            Err(failure) => {
                failed += 1;
                if failed >= LOOKS_FAILED_MAX {
                    return Err(failure.on_the_way());
                }
            }
        }
        follower.tick().await;
    };
    follower.finish().await;
    remote.output.answer(&account, || account_text(&account));
    Ok(exit)
}

/// The exit code of a deploy that has come to its end, or to where only a human moves it.
fn over(account: &Account, standing: &str) -> Option<Exit> {
    if let Some(outcome) = account.outcome {
        return Some(ended(outcome, account));
    }
    let still = standing == "unwinding" && stands_still(account.census.keys().copied(), account.direction);
    (standing == "paused" || still).then_some(Exit::Waiting)
}

/// What a request has become.
enum Begun {
    Deploy,
    Other(Exit),
}

/// Waits as long as a request waits.
async fn until_begun(remote: &Arc<Remote>, id: DeployId) -> Result<Begun, Failure> {
    let (mut looks, mut failed) = (0, 0);
    loop {
        let deploy = match remote.deploy(id).await {
            Ok(deploy) => deploy,
            // It has been taken in: whatever comes after this server goes on with it.
            Err(failure) if failure.is(Code::ServerUnreachable) && failed < LOOKS_FAILED_MAX => {
                failed += 1;
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(failure) => return Err(failure.on_the_way()),
        };
        failed = 0;
        if deploy.account.is_some() {
            return Ok(Begun::Deploy);
        }
        if let Some(settled) = deploy.request.and_then(|request| request.settled) {
            return match settled {
                Settled::Created => Ok(Begun::Deploy),
                Settled::Same { deploy } => {
                    remote.output.line(format!("the same was asked for before, as deploy {deploy}"));
                    Box::pin(follow(remote, deploy, Tells::All)).await.map(Begun::Other)
                }
                Settled::NothingToDo { tenants, release } => {
                    Ok(Begun::Other(nothing_to_do(remote.output, tenants, release.as_deref())))
                }
                Settled::Refused { code, message, next, tenants } => {
                    let refusals = tenants.into_iter();
                    let refusals = refusals
                        .map(|(tenant, code, message)| crate::engine::Refusal { tenant, code, message })
                        .collect();
                    Err(Failure::told(code, message, next, refusals))
                }
                Settled::Cancelled { actor, reason } => {
                    let message = format!("it was called off by {} before it began: {reason}", actor.name);
                    Err(Failure::told(Code::WrongState, message, None, Vec::new()))
                }
            };
        }
        // The server looks at the fleet before it begins: only what takes longer than that waits for something else.
        looks += 1;
        if looks == WAITING_AFTER {
            let why =
                deploy.trouble.map_or_else(|| " for its turn".to_owned(), |trouble| format!(": {}", trouble.text()));
            remote.output.line(format!("deploy {id} is taken in, and waits{why}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) async fn watch(remote: &Arc<Remote>, named: Option<&str>) -> Result<Exit, Failure> {
    let id = remote.which(named).await?;
    follow(remote, id, Tells::All).await
}

#[derive(Deserialize)]
struct Tenants {
    items: Vec<Tenant>,
    #[serde(default)]
    next: Option<Value>,
}

#[derive(Deserialize, serde::Serialize)]
struct Tenant {
    tenant: String,
    summary: TenantSummary,
}

pub(super) async fn status(
    remote: &Arc<Remote>,
    named: Option<&str>,
    all: bool,
    tenants: bool,
) -> Result<Exit, Failure> {
    if all {
        return every(remote).await;
    }
    let id = remote.which(named).await?;
    let deploy = remote.deploy(id).await?;
    let trouble = deploy.trouble.as_ref().map(|trouble| format!("{}\n", trouble.text())).unwrap_or_default();
    let Some(account) = deploy.account else {
        let settled = deploy.request.and_then(|request| request.settled);
        let answer =
            json!({ "deploy": id, "standing": deploy.standing, "settled": settled, "trouble": deploy.trouble });
        remote.output.answer(&answer, || {
            let words = deploy.standing.replace('_', " ");
            let next = match &settled {
                Some(Settled::Refused { code, message, next, .. }) => {
                    let next = next.as_ref().map(|next| format!("\nnext: {next}")).unwrap_or_default();
                    format!("\n{message} [{code}]{next}")
                }
                _ if is_open(&deploy.standing) => format!("\n{trouble}next: windlass watch {id} --server URL"),
                _ => String::new(),
            };
            format!("deploy {id} is {words}{next}")
        });
        return Ok(Exit::Done);
    };
    let text = || account_text(&account) + &told_text(&deploy.reports) + &trouble;
    if !tenants {
        let mut answer = json!(Stands { account: &account, reports: &deploy.reports });
        if let Some(trouble) = &deploy.trouble {
            answer["trouble"] = json!(trouble);
        }
        remote.output.answer(&answer, text);
        return Ok(Exit::Done);
    }
    let (mut rows, mut after) = (Vec::new(), None::<Value>);
    loop {
        let cursor = after.map(|after| format!("&after={}", after.to_string().trim_matches('"'))).unwrap_or_default();
        let page: Tenants = remote.get(&format!("/v1/deploys/{id}/tenants?limit={PAGE}{cursor}")).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut answer = json!({ "account": account, "reports": deploy.reports, "tenants": rows });
    if let Some(trouble) = &deploy.trouble {
        answer["trouble"] = json!(trouble);
    }
    remote.output.answer(&answer, || {
        let cells = rows.iter().map(|row| {
            let step = row.summary.step.as_ref().map(ToString::to_string).unwrap_or_default();
            [row.tenant.clone(), row.summary.status.to_string(), step, row.summary.message.clone().unwrap_or_default()]
        });
        format!("{}{}", text(), table(&cells.collect::<Vec<_>>()))
    });
    Ok(Exit::Done)
}

/// Every deploy, as on the log; and what has been asked for and is none, which the log's own command does not know of.
async fn every(remote: &Arc<Remote>) -> Result<Exit, Failure> {
    let (mut answers, mut rows) = (Vec::new(), Vec::new());
    for brief in remote.deploys(DEPLOYS_LISTED).await? {
        if let Some(account) = remote.deploy(brief.id).await?.account {
            rows.push(account_row(&account));
            answers.push(json!(account));
            continue;
        }
        let standing = brief.standing.replace('_', " ");
        let (id, at) = (brief.id.to_string(), brief.created_at.to_string());
        rows.push([id, at, "asked for".to_owned(), String::new(), standing]);
        answers.push(json!({ "deploy": brief.id, "standing": brief.standing }));
    }
    remote
        .output
        .answer(&answers, || if rows.is_empty() { "there has been no deploy yet".to_owned() } else { table(&rows) });
    Ok(Exit::Done)
}
