//! `doctor`: everything that a deploy needs, looked at one by one. Touches nothing.

use std::path::Path;

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use super::context::{Context, Creates};
use super::output::{Exit, Failure, table};
use crate::base::{Code, Coded, count};
use crate::engine::{Gateway as _, is_dead};

/// Troubled tenants that are named; the rest are counted.
const NAMED_MAX: usize = 20;

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Look {
    what: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

impl Look {
    fn good(what: &str, detail: impl Into<String>) -> Self {
        Self { what: what.to_owned(), verdict: Verdict::Good, detail: detail.into(), code: None }
    }

    fn warning(what: &str, detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, ..Self::good(what, detail) }
    }

    fn bad(what: &str, error: &impl Coded) -> Self {
        Self { verdict: Verdict::Bad, code: Some(error.code()), ..Self::good(what, error.to_string()) }
    }
}

pub(super) async fn doctor(context: &Context) -> Result<Exit, Failure> {
    let mut looks = vec![Look::good(
        "configuration",
        format!("fleet {}, in {}", context.config.name, context.config.base_dir.display()),
    )];
    looks.extend(look_at_log(context).await?);
    looks.push(match crate::release::load(&context.config.release_dir, None) {
        Ok(release) => {
            Look::good("release", format!("{}, {}", release.name, count(release.migrations.len() as u64, "migration")))
        }
        Err(error) => Look::bad("release", &error),
    });
    let workflow = &context.config.deploy.workflow;
    looks.push(match context.ready_workflow(None) {
        Ok(found) => Look::good("workflow", format!("{workflow} ({})", found.origin)),
        Err(failure) => Look::bad("workflow", &failure),
    });
    looks.extend(match context.signer() {
        Ok(None) => None,
        Ok(Some(key)) => Some(Look::good("signing key", format!("ends of deploys are signed by {}", key.public()))),
        Err(failure) => Some(Look::bad("signing key", &failure)),
    });
    looks.extend(look_at_tenants(context).await);
    let bad = looks.iter().any(|look| look.verdict == Verdict::Bad);
    context.output.answer(&looks, || {
        let rows: Vec<[String; 3]> = looks
            .iter()
            .map(|look| {
                let verdict = match look.verdict {
                    Verdict::Good => "ok",
                    Verdict::Warning => "WARNING",
                    Verdict::Bad => "BAD",
                };
                let code = look.code.map(|code| format!(" [{code}]")).unwrap_or_default();
                [verdict.to_owned(), look.what.clone(), format!("{}{code}", look.detail)]
            })
            .collect();
        table(&rows)
    });
    Ok(if bad { Exit::Refused } else { Exit::Done })
}

async fn look_at_log(context: &Context) -> Result<Vec<Look>, Failure> {
    let path = context.log_path().await?;
    let mut looks = Vec::new();
    if let Some(reason) = will_not_outlive(&path, &["/tmp", "/dev/shm", "/run", "/var/tmp"]) {
        let detail = format!(
            "{} lies {reason}: when it is gone, a deploy that was under way can be neither resumed nor unwound",
            path.display()
        );
        looks.push(Look::warning("log's disk", detail));
    }
    if !path.exists() {
        looks.push(Look::good("log", format!("{} does not exist yet; the first deploy makes it", path.display())));
        return Ok(looks);
    }
    let log = match context.log(Creates::No).await {
        Ok(log) => log,
        Err(failure) => {
            looks.push(Look::bad("log", &failure));
            return Ok(looks);
        }
    };
    let newest = log.deploys(Some(&context.config.name), 1).await?;
    looks.push(match newest.first() {
        None => Look::good("log", format!("{}, no deploy yet", path.display())),
        Some(row) if row.summary.outcome.is_some() => {
            Look::good("log", format!("{}, no deploy under way", path.display()))
        }
        Some(row) => {
            let holders = log.holders(row.id).await?;
            let alive = holders.iter().filter(|holder| !is_dead(holder)).count();
            let who = if alive > 0 { "a worker holds tenants of it" } else { "no worker is known to be on it" };
            Look::warning("log", format!("deploy {} is under way and {who}; next: windlass resume", row.id))
        }
    });
    Ok(looks)
}

/// Why a log in this place would not outlive what it is there for: what lies below one of these is gone sooner or later.
pub(super) fn will_not_outlive(path: &Path, fleeting: &[&str]) -> Option<String> {
    if std::env::var_os("CI").is_some() {
        return Some("on the disk of a CI runner".to_owned());
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    fleeting.iter().find(|of| path.starts_with(of)).map(|of| format!("below {of}"))
}

async fn look_at_tenants(context: &Context) -> Vec<Look> {
    let tenants = match context.fleet().await {
        Ok(tenants) => tenants,
        Err(failure) => {
            return vec![Look::bad("fleet", &failure)];
        }
    };
    let gateway = context.gateway();
    let answers: Vec<_> = stream::iter(&tenants)
        .map(|tenant| {
            let gateway = &gateway;
            async move { (tenant, gateway.survey(tenant).await) }
        })
        .buffer_unordered(context.concurrency())
        .collect()
        .await;
    let mut troubled: Vec<_> =
        answers.iter().filter_map(|(tenant, answer)| Some((*tenant, answer.as_ref().err()?))).collect();
    troubled.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    let answering = tenants.len() - troubled.len();
    let mut looks =
        vec![Look::good("fleet", format!("{answering} of {} answer", count(tenants.len() as u64, "tenant")))];
    let named = troubled.iter().take(NAMED_MAX);
    looks.extend(named.map(|(tenant, error)| Look::bad(&format!("tenant {}", tenant.id), *error)));
    if troubled.len() > NAMED_MAX {
        looks.push(Look::warning("fleet", format!("and {} more do not answer", troubled.len() - NAMED_MAX)));
    }
    looks
}
