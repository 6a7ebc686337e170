//! `audit`: what happened, and whether the log still says so.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::context::{Context, Creates, tenant_id};
use super::export::{ExportArgs, export};
use super::keys::{keygen, public_key, show_key};
use super::output::{Exit, Failure, Output, table};
use crate::audit::{Finding, LogReport, Report, Scope, account, timeline, verify, verify_export, verify_log};
use crate::base::{Code, DeployId, PublicKey, count, one_line};
use crate::log::LogError;

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
    /// Check hashes, folds, summaries, files and seals; unless one deploy is named, of all in the log, and what it remembers of tenants
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
        /// Also demand that the export is one of a whole log (`audit export --all`), so that no deploy of it was left out
        #[arg(long, requires = "export")]
        whole_log: bool,
    },
    /// Write a deploy to a file: to be verified elsewhere, to be read, or for a spreadsheet
    Export(ExportArgs),
    /// Make a key to sign the ends of deploys with
    Keygen {
        /// The file for the secret key, which must not exist; the public one is printed
        file: PathBuf,
    },
    /// Show the public key of a key that is there
    Key {
        /// The file that `audit keygen` wrote
        file: PathBuf,
    },
}

/// What an export must be, beside as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    Any,
    WholeLog,
}

impl Demand {
    pub(super) const fn of(whole_log: bool) -> Self {
        if whole_log { Self::WholeLog } else { Self::Any }
    }
}

pub(super) async fn audit(context: &Context, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Show { deploy, tenant } => show(context, deploy.as_deref(), tenant.as_deref()).await,
        AuditCommand::Verify { export: Some(file), key, whole_log, .. } => {
            check_export(&file, &key, Demand::of(whole_log), context.output).await
        }
        AuditCommand::Verify { deploy, export: None, key, .. } => check(context, deploy.as_deref(), &key).await,
        AuditCommand::Export(args) => export(context, &args).await,
        AuditCommand::Keygen { file } => keygen(&file, context.output),
        AuditCommand::Key { file } => show_key(&file, context.output),
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
pub(super) async fn check_export(
    file: &Path,
    keys: &[String],
    demand: Demand,
    output: Output,
) -> Result<Exit, Failure> {
    let keys = public_keys(keys)?;
    let opened = std::fs::File::open(file).map_err(|error| {
        let message = format!("the export {} cannot be read: {error}", file.display());
        Failure::new(Code::ExportDamaged, message, "windlass audit export --output FILE, where the log is")
    })?;
    let verified = verify_export(BufReader::new(opened), &keys).await?;
    let (log, scope) = (verified.log, verified.scope);
    let mut found = LogReport { deploys: verified.deploys, findings: Vec::new() };
    let of = match scope {
        Scope::WholeLog => format!("all deploys of log {log}"),
        Scope::Some => {
            if demand == Demand::WholeLog {
                let message = "the export says of itself that it holds some deploys of its log, and all were asked for";
                let (code, message) = (Code::DeployMissing, message.to_owned());
                found.findings.push(Finding { code, deploy: None, tenant: None, seq: None, message });
            }
            format!("of log {log}")
        }
    };
    let head = (format!("export {}, {of}\n", file.display()), json!({ "file": file, "log": log, "scope": scope }));
    Ok(tell(output, head, &found))
}

fn public_keys(typed: &[String]) -> Result<Vec<PublicKey>, Failure> {
    typed.iter().map(|text| public_key(text)).collect()
}

async fn check(context: &Context, named: Option<&str>, keys: &[String]) -> Result<Exit, Failure> {
    let keys = public_keys(keys)?;
    let log = context.log(Creates::No).await?;
    let found = if named.is_some() {
        let deploy = context.which(&*log, named).await?.id;
        LogReport { deploys: vec![(deploy, verify(&*log, deploy, &keys).await?)], findings: Vec::new() }
    } else {
        verify_log(&*log, &keys).await?
    };
    // Nothing was checked, which is no answer to who asks for a signature.
    if found.deploys.is_empty() && found.findings.is_empty() && !keys.is_empty() {
        let message = "the log holds no deploy: nothing in it is signed by the key that was given";
        return Err(Failure::new(Code::DeployUnknown, message, "windlass doctor"));
    }
    let head = if found.deploys.is_empty() { "the log holds no deploy\n" } else { "" };
    Ok(tell(context.output, (head.to_owned(), json!({})), &found))
}

/// Tells what was found, after a head for people and for machines.
fn tell(output: Output, (head, mut answer): (String, serde_json::Value), found: &LogReport) -> Exit {
    let LogReport { deploys, findings } = found;
    let whole = findings.is_empty() && deploys.iter().all(|(_, report)| report.holds());
    let reports: Vec<_> =
        deploys.iter().map(|(deploy, report)| json!({ "deploy": deploy, "report": report })).collect();
    (answer["verified"], answer["deploys"], answer["findings"]) = (whole.into(), reports.into(), json!(findings));
    output.answer(&answer, || {
        let mut text = head;
        for (deploy, report) in deploys {
            text.push_str(&report_text(*deploy, report));
        }
        text.extend(findings.iter().map(finding_text));
        text
    });
    if whole { Exit::Done } else { Exit::Refused }
}

fn report_text(deploy: DeployId, report: &Report) -> String {
    let (streams, events) = (count(report.streams, "stream"), count(report.events, "event"));
    let files = count(report.blobs, "file");
    if report.holds() {
        let seal = report.seal.map_or_else(|| "not sealed yet".to_owned(), |seal| format!("seal {seal}"));
        let signed = report.signed_by.iter().map(|key| format!("; signed by {key}")).collect::<Vec<_>>().concat();
        return format!("deploy {deploy}: verified ({streams}, {events}, {files}; {seal}{signed})\n");
    }
    let findings = count(report.findings.len() as u64 + report.unlisted, "finding");
    // A signature that is not there says nothing against what was written.
    let unsigned = report.unlisted == 0 && report.findings.iter().all(|of| of.code == Code::SignatureMissing);
    let verdict = if unsigned { "as it was written, and NOT signed as was asked" } else { "NOT as it was written" };
    let mut text = format!("deploy {deploy}: {verdict}, {findings} ({streams}, {events}, {files} looked at)\n");
    text.extend(report.findings.iter().map(finding_text));
    if report.unlisted > 0 {
        text.push_str(&format!("  … and {} more\n", report.unlisted));
    }
    text
}

/// One line, whatever a message holds that was not ours.
fn finding_text(finding: &Finding) -> String {
    format!("  {} {}: {}\n", finding.code, finding.place(), one_line(&finding.message))
}
