//! Checks an export without the log that it was made of, and without any configuration.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use async_trait::async_trait;

use super::jsonl::Scope;
use super::lines::{FORMAT, Line};
use crate::audit::check::{Check, Files, Report};
use crate::base::limits::EXPORT_LINE_BYTES_MAX;
use crate::base::{Code, Coded, DeployId, Digest, LogId, PublicKey, Signature, TenantId};
use crate::log::{LogError, RawEvent, RawStream};
use crate::saga::event::{DeployEvent, Previous, StreamId};

/// What was found in an export.
#[derive(Debug)]
pub struct Verified {
    /// The log that it says it was made of. Only a signature binds it.
    pub log: LogId,
    /// Whether it says that it holds all deploys of that log.
    pub scope: Scope,
    /// The deploys, in the order of the file.
    pub deploys: Vec<(DeployId, Report)>,
}

/// A file that is no export, or not one that this program can read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("the export cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It does not begin as one, or holds what belongs to no deploy.
    #[error("this is not an export of Windlass, or not a whole one: line {line}: {reason}")]
    NotAnExport {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Of a later version.
    #[error("the export was written by a newer Windlass (format {found}; this one knows {FORMAT})")]
    Newer {
        /// What it says of itself.
        found: u32,
    },
}

impl Coded for ReadError {
    fn code(&self) -> Code {
        match self {
            Self::Io(_) | Self::NotAnExport { .. } => Code::ExportDamaged,
            Self::Newer { .. } => Code::LogNewer,
        }
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::Io(_) | Self::NotAnExport { .. } => {
                "windlass audit export --output FILE, where the log is".to_owned()
            }
            Self::Newer { .. } => "install the Windlass that wrote it, or a later one".to_owned(),
        })
    }
}

/// Checks an export. Where keys are given, each of its deploys must be signed by one of them.
pub async fn verify_export(file: impl BufRead + Send, keys: &[PublicKey]) -> Result<Verified, ReadError> {
    let mut reader = Reader { file, line: 0, ahead: None };
    let first = reader.next()?;
    let (log, scope, announced) = match first.map(|(_, line)| line) {
        Some(Ok(Line::Export { format, .. })) if format != FORMAT => return Err(ReadError::Newer { found: format }),
        Some(Ok(Line::Export { log, scope, deploys, .. })) => (log, scope, deploys),
        Some(Ok(_)) => return Err(reader.not_an_export("the line that says what the file is does not come first")),
        Some(Err(reason)) => return Err(reader.not_an_export(reason)),
        None => return Err(reader.not_an_export("the file is empty")),
    };
    let mut verified = Verified { log, scope, deploys: Vec::new() };
    let mut newest: BTreeMap<String, Previous> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    while let Some((_, line)) = reader.next()? {
        let Ok(Line::Deploy { deploy, files, streams }) = line else {
            let reason = line.err().unwrap_or_else(|| "it stands outside of any deploy".to_owned());
            return Err(reader.not_an_export(reason));
        };
        let header = Header { log, deploy, files, streams };
        let (mut report, fleet) = header.check(&mut reader, scope, &newest, keys).await?;
        if let Some(fleet) = fleet {
            newest.insert(fleet, Previous { deploy, seal: report.seal });
        }
        if !seen.insert(deploy) {
            report.findings.push(damaged(deploy, "the export holds this deploy twice".to_owned()));
        }
        verified.deploys.push((deploy, report));
    }
    let found = verified.deploys.len() as u64;
    match verified.deploys.last_mut() {
        Some((deploy, report)) if found != announced => {
            let message =
                format!("the export announces {announced} deploys and holds {found}, of which this is the last");
            report.findings.push(damaged(*deploy, message));
        }
        Some(_) => {}
        None => return Err(reader.not_an_export("it holds no deploy")),
    }
    Ok(verified)
}

fn damaged(deploy: DeployId, message: String) -> crate::audit::Finding {
    crate::audit::Finding { code: Code::ExportDamaged, deploy, tenant: None, seq: None, message }
}

/// The files of a deploy, by their digests.
#[derive(Default)]
struct InExport(BTreeMap<Digest, Vec<u8>>);

#[async_trait]
impl Files for InExport {
    async fn file(&self, digest: &Digest) -> Result<Vec<u8>, LogError> {
        let bytes = self.0.get(digest).ok_or(LogError::BlobMissing { digest: *digest })?;
        if Digest::of(bytes) == *digest { Ok(bytes.clone()) } else { Err(LogError::BlobAltered { digest: *digest }) }
    }
}

/// What a deploy's line says.
struct Header {
    log: LogId,
    deploy: DeployId,
    files: u64,
    streams: u64,
}

/// What was found between a deploy's line and the end of its part.
#[derive(Default)]
struct Part {
    /// How each tenant was reached, by its place in the deploy's order.
    reached: Vec<(u64, TenantId, String)>,
    /// The line of the seal.
    seal: Option<(Option<Digest>, Option<Signature>)>,
    /// What is wrong with the lines.
    faults: Vec<String>,
}

impl Header {
    /// Reads the deploy's part, up to its seal or to where it breaks off. Also the fleet.
    async fn check<R: BufRead + Send>(
        &self,
        reader: &mut Reader<R>,
        scope: Scope,
        newest: &BTreeMap<String, Previous>,
        keys: &[PublicKey],
    ) -> Result<(Report, Option<String>), ReadError> {
        let mut part = Part::default();
        let files = self.files(reader, &mut part)?;
        let mut check = Check::new(self.log, self.deploy, &files);
        self.streams(reader, &mut check, &mut part).await?;
        if let Some(extra) = files.0.keys().find(|digest| !check.wanted().contains(digest)) {
            part.faults.push(format!("no event refers to the file {extra}"));
        }
        let own_root = check.report.seal;
        let signature = match part.seal.take() {
            None => {
                part.faults.push("the deploy's part ends without the line of its seal".to_owned());
                None
            }
            Some((root, signature)) => {
                if root != own_root {
                    let message = "the line of its seal does not have the root that its last event has";
                    check.find(Code::SealBroken, None, None, message);
                }
                signature
            }
        };
        for fault in part.faults {
            check.find(Code::ExportDamaged, None, None, fault);
        }
        check.seal(None);
        check.signatures(signature, keys);
        part.reached.sort_by_key(|(ordinal, ..)| *ordinal);
        check.tenants(&part.reached.into_iter().map(|(_, tenant, spec)| (tenant, spec)).collect::<Vec<_>>());
        let fleet = match &check.own.created {
            Some((_, DeployEvent::DeployCreated { fleet, .. })) => Some(fleet.clone()),
            _ => None,
        };
        if let (Scope::WholeLog, Some(fleet)) = (scope, &fleet) {
            check.follows(newest.get(fleet).copied());
        }
        Ok((check.report, fleet))
    }

    fn files<R: BufRead>(&self, reader: &mut Reader<R>, part: &mut Part) -> Result<InExport, ReadError> {
        let mut files = InExport::default();
        let mut found = 0;
        while let Some((at, line)) = reader.peek()? {
            let at = *at;
            match line {
                Ok(Line::File { digest, text }) => {
                    found += 1;
                    if files.0.insert(*digest, std::mem::take(text.to_mut()).into_bytes()).is_some() {
                        part.faults.push(format!("line {at}: the file {digest} is there a second time"));
                    }
                }
                Ok(_) => break,
                Err(reason) => part.faults.push(format!("line {at}: {reason}")),
            }
            reader.next()?;
        }
        if found != self.files {
            part.faults.push(format!("{} files are announced, and {found} are there", self.files));
        }
        Ok(files)
    }

    async fn streams<R: BufRead>(
        &self,
        reader: &mut Reader<R>,
        check: &mut Check<'_>,
        part: &mut Part,
    ) -> Result<(), ReadError> {
        let mut under_way: Option<RawStream> = None;
        let mut last: Option<Option<TenantId>> = None;
        let mut found = 0;
        while let Some((at, line)) = reader.next_of_deploy()? {
            match line {
                Ok(Line::Stream { tenant, ordinal, spec, events, head }) => {
                    walk(check, under_way.take()).await?;
                    found += 1;
                    // None comes before every tenant.
                    if last.as_ref().map_or(tenant.is_some(), |last| tenant <= *last) {
                        part.faults.push(format!("line {at}: this stream is not where it belongs"));
                    }
                    if let Some(tenant) = &tenant {
                        part.reached.push((
                            ordinal.unwrap_or(u64::MAX),
                            tenant.clone(),
                            spec.map(Cow::into_owned).unwrap_or_default(),
                        ));
                    }
                    last = Some(tenant.clone());
                    let stream = StreamId { deploy: self.deploy, tenant };
                    under_way = Some(RawStream { stream, last_seq: events, head, summary: None, events: Vec::new() });
                }
                Ok(Line::Event { seq, hash, body }) => match &mut under_way {
                    Some(stream) => stream.events.push(RawEvent { seq, hash, body: body.into_owned() }),
                    None => part.faults.push(format!("line {at}: an event outside of any stream")),
                },
                Ok(Line::Seal { root, signature }) => {
                    part.seal = Some((root, signature));
                    break;
                }
                Ok(Line::File { .. } | Line::Export { .. } | Line::Deploy { .. }) => {
                    part.faults.push(format!("line {at}: this line is not where it belongs"));
                }
                Err(reason) => part.faults.push(format!("line {at}: {reason}")),
            }
        }
        walk(check, under_way).await?;
        if found != self.streams {
            part.faults.push(format!("{} streams are announced, and {found} are there", self.streams));
        }
        Ok(())
    }
}

async fn walk(check: &mut Check<'_>, stream: Option<RawStream>) -> Result<(), ReadError> {
    let Some(stream) = stream else { return Ok(()) };
    // The files are in memory, so that nothing but their digests can be wrong, which is a finding.
    check.stream(&stream).await.map(drop).map_err(|error| ReadError::Io(io::Error::other(error.to_string())))
}

/// The number of a line, and the line, or what is wrong with it.
type Numbered = (u64, Result<Line<'static>, String>);

/// The lines of a file, one at a time.
struct Reader<R> {
    file: R,
    line: u64,
    ahead: Option<Numbered>,
}

impl<R: BufRead> Reader<R> {
    fn next(&mut self) -> Result<Option<Numbered>, ReadError> {
        match self.ahead.take() {
            Some(ahead) => Ok(Some(ahead)),
            None => self.read(),
        }
    }

    fn peek(&mut self) -> Result<Option<&mut Numbered>, ReadError> {
        if self.ahead.is_none() {
            self.ahead = self.read()?;
        }
        Ok(self.ahead.as_mut())
    }

    /// The next line, unless it begins another deploy.
    fn next_of_deploy(&mut self) -> Result<Option<Numbered>, ReadError> {
        match self.peek()? {
            Some((_, Ok(Line::Deploy { .. }))) | None => Ok(None),
            Some(_) => self.next(),
        }
    }

    fn read(&mut self) -> Result<Option<Numbered>, ReadError> {
        let mut bytes = Vec::new();
        self.line += 1;
        let mut limited = io::Read::take(&mut self.file, EXPORT_LINE_BYTES_MAX);
        if limited.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() != Some(&b'\n') && limited.limit() == 0 {
            return Err(self.not_an_export(format!("it is longer than {EXPORT_LINE_BYTES_MAX} bytes")));
        }
        let line = serde_json::from_slice(&bytes).map_err(|error| format!("it does not read: {error}"));
        Ok(Some((self.line, line)))
    }

    fn not_an_export(&self, reason: impl Into<String>) -> ReadError {
        ReadError::NotAnExport { line: self.line, reason: reason.into() }
    }
}
