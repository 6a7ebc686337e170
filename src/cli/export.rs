//! `audit export`: a deploy out of the log and into a file.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::context::{Context, Creates};
use super::file::{Existing, NewFile};
use super::output::{Exit, Failure};
use crate::audit::{ExportError, Exported, Scope, verify, write_csv, write_html, write_jsonl};
use crate::base::limits::EXPORT_DEPLOYS_MAX;
use crate::base::{Code, DeployId, SigningKey, count};
use crate::log::Log;
use crate::project::signing_key;

#[derive(Debug, Clone, Args)]
pub(super) struct ExportArgs {
    /// The deploy; by default the one under way, else the latest
    deploy: Option<String>,
    /// All deploys in the log, the oldest first
    #[arg(long, conflicts_with = "deploy")]
    all: bool,
    /// jsonl can be verified without the log, csv has a row per event, html is a report to be read
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    /// Where to; by default standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    force: bool,
    /// Sign the seal with the key in this file (jsonl)
    #[arg(long, value_name = "FILE")]
    sign_with: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
    Html,
}

pub(super) async fn export(context: &Context, args: &ExportArgs) -> Result<Exit, Failure> {
    sensible(context, args)?;
    let next = "the same command with the file of your key, or without --sign-with";
    let signer = args.sign_with.as_deref().map(|path| signing_key(path, next)).transpose()?;
    let log = context.log(Creates::No).await?;
    let deploys: Vec<DeployId> = if args.all {
        log.deploys(None, EXPORT_DEPLOYS_MAX).await?.into_iter().rev().map(|row| row.id).collect()
    } else {
        vec![context.which(&*log, args.deploy.as_deref()).await?.id]
    };
    if deploys.is_empty() {
        let message = "the log holds no deploy: there is nothing to export";
        return Err(Failure::new(Code::DeployUnknown, message, "windlass deploy"));
    }
    if signer.is_some() {
        refuse_damaged(&*log, &deploys).await?;
    }
    let Some(path) = &args.output else {
        let mut out = io::stdout();
        return match write(&*log, args, &deploys, signer.as_ref(), &mut out).await {
            // A reader that has gone away (`| head`) has seen what it wanted.
            Err(ExportError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            exported => Ok(exported.map(|_| Exit::Done)?),
        };
    };
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let mut file = NewFile::create(path, existing)?;
    let Exported { deploys, events } = write(&*log, args, &deploys, signer.as_ref(), &mut file).await?;
    let written = file.commit()?;
    let file = path.display().to_string();
    let (bytes, digest) = (written.bytes, written.digest);
    let answer = json!({ "file": file, "deploys": deploys, "events": events, "bytes": bytes, "sha256": digest });
    context.output.answer(&answer, || {
        let (deploys, events) = (count(deploys, "deploy"), count(events, "event"));
        let next = if args.format == Format::Jsonl {
            format!("next: windlass audit verify --export {file}")
        } else {
            String::new()
        };
        format!("{file}: {deploys}, {events}, SHA-256 {digest}\n{next}")
    });
    written.settled()?;
    Ok(Exit::Done)
}

/// What clap cannot say.
fn sensible(context: &Context, args: &ExportArgs) -> Result<(), Failure> {
    let why = if context.output.json && args.output.is_none() {
        "with --json the answer is one object, which an export is not: name a file for it with --output"
    } else if args.format == Format::Html && args.all {
        "a report is one of one deploy: name it, or use --format jsonl or csv with --all"
    } else if args.format != Format::Jsonl && args.sign_with.is_some() {
        "only an export as jsonl is signed: nothing else can be verified"
    } else {
        return Ok(());
    };
    Err(Failure::new(Code::BadArgument, why, "windlass audit export --help"))
}

/// What is signed is vouched for: it must be what was written.
async fn refuse_damaged(log: &dyn Log, deploys: &[DeployId]) -> Result<(), Failure> {
    for deploy in deploys {
        let report = verify(log, *deploy, &[]).await?;
        if let Some(first) = report.findings.first() {
            let message = format!(
                "deploy {deploy} is not as it was written, and is not signed: {}: {}; nothing was exported",
                first.place(),
                first.message
            );
            return Err(Failure::new(first.code, message, format!("windlass audit verify {deploy}")));
        }
    }
    Ok(())
}

async fn write(
    log: &dyn Log,
    args: &ExportArgs,
    deploys: &[DeployId],
    signer: Option<&SigningKey>,
    out: &mut (dyn Write + Send),
) -> Result<Exported, ExportError> {
    let scope = if args.all { Scope::WholeLog } else { Scope::Some };
    match args.format {
        Format::Jsonl => write_jsonl(log, deploys, scope, signer, out).await,
        Format::Csv => write_csv(log, deploys, out).await,
        Format::Html => match deploys {
            [deploy, ..] => write_html(log, *deploy, out).await,
            [] => Ok(Exported::default()),
        },
    }
}
