//! `audit`: what happened, and whether the log still says so.

use clap::Subcommand;
use serde_json::json;

use super::context::{Context, Creates, tenant_id};
use super::output::{Exit, Failure, count, table};
use crate::audit::{Finding, Report, account, timeline, verify};
use crate::base::{Code, DeployId};
use crate::log::LogError;

/// Deploys verified when none is named.
const DEPLOYS_VERIFIED: usize = 100_000;

#[derive(Debug, Clone, Subcommand)]
pub(super) enum AuditCommand {
    /// Show every event of a deploy, in the order of the log
    Show {
        /// The deploy; by default the one under way, else the latest
        deploy: Option<String>,
        /// Only this tenant's
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
    },
    /// Check hashes, folds, summaries, files and seals; all deploys in the log unless one is named
    Verify {
        /// The deploy
        deploy: Option<String>,
    },
}

pub(super) async fn audit(context: &Context, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Show { deploy, tenant } => show(context, deploy.as_deref(), tenant.as_deref()).await,
        AuditCommand::Verify { deploy } => check(context, deploy.as_deref()).await,
    }
}

async fn show(context: &Context, named: Option<&str>, tenant: Option<&str>) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let deploy = context.which(&*log, named).await?.id;
    let tenant = tenant.map(tenant_id).transpose()?;
    let account = account(&*log, deploy).await?;
    let lines = timeline(&*log, deploy, tenant.as_ref()).await?;
    // Every tenant of a deploy has at least been planned.
    if let (Some(tenant), []) = (&tenant, lines.as_slice()) {
        return Err(LogError::TenantUnknown { deploy, tenant: tenant.clone() }.into());
    }
    context.output.answer(&json!({ "account": account, "events": lines }), || {
        let rows = lines.iter().map(|line| {
            let whose = line.tenant.as_ref().map_or_else(|| "(deploy)".to_owned(), ToString::to_string);
            [line.at.to_string(), whose, line.what.clone()]
        });
        format!(
            "deploy {deploy}, release {}, fleet {}\n{}",
            account.release,
            account.fleet,
            table(&rows.collect::<Vec<_>>())
        )
    });
    Ok(Exit::Done)
}

async fn check(context: &Context, named: Option<&str>) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    // All of the log, whatever fleet their rows name: that may be what was changed.
    let deploys: Vec<DeployId> = if named.is_some() {
        vec![context.which(&*log, named).await?.id]
    } else {
        let rows = log.deploys(None, DEPLOYS_VERIFIED).await?;
        rows.into_iter().rev().map(|row| row.id).collect()
    };
    let mut reports = Vec::with_capacity(deploys.len());
    for deploy in deploys {
        // One deploy that cannot be read must not keep the others from being looked at.
        let report = match verify(&*log, deploy).await {
            Err(LogError::Corrupt { place, reason }) => {
                let message = format!("{place}: {reason}");
                let finding = Finding { code: Code::LogUnreadable, deploy, tenant: None, seq: None, message };
                Report { findings: vec![finding], ..Report::default() }
            }
            report => report?,
        };
        reports.push((deploy, report));
    }
    let whole = reports.iter().all(|(_, report)| report.findings.is_empty());
    let answer: Vec<_> = reports.iter().map(|(deploy, report)| json!({ "deploy": deploy, "report": report })).collect();
    context.output.answer(&json!({ "verified": whole, "deploys": answer }), || {
        reports.iter().map(|(deploy, report)| report_text(*deploy, report)).collect()
    });
    Ok(if whole { Exit::Done } else { Exit::Refused })
}

fn report_text(deploy: DeployId, report: &Report) -> String {
    let (streams, events) = (count(report.streams, "stream"), count(report.events, "event"));
    let files = count(report.blobs, "file");
    if report.findings.is_empty() {
        let seal = report.seal.map_or_else(|| "not sealed yet".to_owned(), |seal| format!("seal {seal}"));
        return format!("deploy {deploy}: verified ({streams}, {events}, {files}; {seal})\n");
    }
    let findings = count(report.findings.len() as u64, "finding");
    let mut text =
        format!("deploy {deploy}: NOT as it was written, {findings} ({streams}, {events}, {files} looked at)\n");
    for finding in &report.findings {
        text.push_str(&format!("  {} {}: {}\n", finding.code, finding.place(), finding.message));
    }
    text
}
