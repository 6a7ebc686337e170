//! `audit`: what happened, and whether the log still says so.

use clap::Subcommand;
use serde_json::json;

use super::context::{Context, Creates, tenant_id};
use super::output::{Exit, Failure, Output, table};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::export::{ExportArgs, export};
use super::keys::{keygen, public_key};
use crate::audit::{Finding, Report, Scope, account, timeline, verify, verify_export};
use crate::base::{Code, DeployId, PublicKey, count};
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
        /// Check this export (jsonl) instead of the log; needs neither the log nor a windlass.toml
        #[arg(long, value_name = "FILE", conflicts_with = "deploy")]
        export: Option<PathBuf>,
        /// Also demand that each deploy is signed by this public key (ed25519:…), or by the one in this file; by one of them, where
        /// there are several
        #[arg(long, value_name = "PUBLIC")]
        key: Vec<String>,
    },
    /// Write a deploy to a file: to be verified elsewhere, to be read, or for a spreadsheet
    Export(ExportArgs),
    /// Make a key to sign the ends of deploys with
    Keygen {
        /// The file for the secret key, which must not exist; the public one is printed
        file: PathBuf,
    },
}

pub(super) async fn audit(context: &Context, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Show { deploy, tenant } => show(context, deploy.as_deref(), tenant.as_deref()).await,
        AuditCommand::Verify { export: Some(file), key, .. } => check_export(&file, &key, context.output).await,
        AuditCommand::Verify { deploy, export: None, key } => check(context, deploy.as_deref(), &key).await,
        AuditCommand::Export(args) => export(context, &args).await,
        AuditCommand::Keygen { file } => keygen(&file, context.output),
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

/// Checks a file, wherever it comes from.
pub(super) async fn check_export(file: &Path, keys: &[String], output: Output) -> Result<Exit, Failure> {
    let keys = public_keys(keys)?;
    let opened = std::fs::File::open(file).map_err(|error| {
        let message = format!("the export {} cannot be read: {error}", file.display());
        Failure::new(Code::ExportDamaged, message, "windlass audit export --output FILE, where the log is")
    })?;
    let verified = verify_export(BufReader::new(opened), &keys).await?;
    let (log, scope) = (verified.log, verified.scope);
    let of = match scope {
        Scope::WholeLog => format!("all deploys of log {log}"),
        Scope::Some => format!("of log {log}"),
    };
    let head = (format!("export {}, {of}\n", file.display()), json!({ "file": file, "log": log, "scope": scope }));
    Ok(tell(output, head, &verified.deploys))
}

fn public_keys(typed: &[String]) -> Result<Vec<PublicKey>, Failure> {
    typed.iter().map(|text| public_key(text)).collect()
}

async fn check(context: &Context, named: Option<&str>, keys: &[String]) -> Result<Exit, Failure> {
    let keys = public_keys(keys)?;
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
        let report = match verify(&*log, deploy, &keys).await {
            Err(LogError::Corrupt { place, reason }) => {
                let message = format!("{place}: {reason}");
                let finding = Finding { code: Code::LogUnreadable, deploy, tenant: None, seq: None, message };
                Report { findings: vec![finding], ..Report::default() }
            }
            report => report?,
        };
        reports.push((deploy, report));
    }
    Ok(tell(context.output, (String::new(), json!({})), &reports))
}

/// Tells what was found, after a head for people and for machines.
fn tell(output: Output, (head, mut answer): (String, serde_json::Value), reports: &[(DeployId, Report)]) -> Exit {
    let whole = reports.iter().all(|(_, report)| report.findings.is_empty());
    let deploys: Vec<_> =
        reports.iter().map(|(deploy, report)| json!({ "deploy": deploy, "report": report })).collect();
    (answer["verified"], answer["deploys"]) = (whole.into(), deploys.into());
    output.answer(&answer, || {
        head + &reports.iter().map(|(deploy, report)| report_text(*deploy, report)).collect::<String>()
    });
    if whole { Exit::Done } else { Exit::Refused }
}

fn report_text(deploy: DeployId, report: &Report) -> String {
    let (streams, events) = (count(report.streams, "stream"), count(report.events, "event"));
    let files = count(report.blobs, "file");
    if report.findings.is_empty() {
        let seal = report.seal.map_or_else(|| "not sealed yet".to_owned(), |seal| format!("seal {seal}"));
        let signed = report.signed_by.iter().map(|key| format!("; signed by {key}")).collect::<Vec<_>>().concat();
        return format!("deploy {deploy}: verified ({streams}, {events}, {files}; {seal}{signed})\n");
    }
    let findings = count(report.findings.len() as u64, "finding");
    let mut text =
        format!("deploy {deploy}: NOT as it was written, {findings} ({streams}, {events}, {files} looked at)\n");
    for finding in &report.findings {
        text.push_str(&format!("  {} {}: {}\n", finding.code, finding.place(), finding.message));
    }
    text
}
