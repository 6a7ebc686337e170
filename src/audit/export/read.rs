//! Checks an export without the log that it was made of, and without any configuration.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use async_trait::async_trait;
use serde::Deserialize;

use super::jsonl::Scope;
use super::lines::{FORMAT, Line};
use crate::audit::check::{Check, Files, Report};
use crate::base::limits::{
    EXPORT_DEPLOYS_MAX, EXPORT_KEPT_BYTES_MAX, EXPORT_LINE_BYTES_MAX, EXPORT_STREAM_BYTES_MAX, FINDINGS_MAX,
    FLEET_TENANTS_MAX,
};
use crate::base::{Code, Coded, DeployId, Digest, LogId, PublicKey, Signature, TenantId};
use crate::log::{LogError, RawEvent, RawStream};
use crate::saga::event::{DeployEvent, Previous, StreamId};

/// How much of a file is held in memory at once. Whoever wrote it need not have been us.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Bytes of one line.
    line: u64,
    /// Bytes of a deploy's files, and of how its tenants are reached.
    kept: u64,
    /// Bytes of the events of one stream.
    stream: u64,
    /// Streams of one deploy.
    streams: u64,
    /// Deploys.
    deploys: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            line: EXPORT_LINE_BYTES_MAX,
            kept: EXPORT_KEPT_BYTES_MAX,
            stream: EXPORT_STREAM_BYTES_MAX,
            // The tenants' and the deploy's own.
            streams: FLEET_TENANTS_MAX as u64 + 1,
            deploys: EXPORT_DEPLOYS_MAX as u64,
        }
    }
}

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
    /// It holds more than any export that Windlass writes, and is not read to its end.
    #[error(
        "the export holds {what}, up to line {line}: no log that Windlass keeps has that, and the rest was not read"
    )]
    TooMuch {
        /// From 1.
        line: u64,
        /// Of what there is too much.
        what: String,
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
            Self::Io(_) | Self::NotAnExport { .. } | Self::TooMuch { .. } => Code::ExportDamaged,
            Self::Newer { .. } => Code::LogNewer,
        }
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::Io(_) | Self::NotAnExport { .. } | Self::TooMuch { .. } => {
                "windlass audit export --output FILE, where the log is".to_owned()
            }
            Self::Newer { .. } => "install the Windlass that wrote it, or a later one".to_owned(),
        })
    }
}

/// Checks an export. Where keys are given, each of its deploys must be signed by one of them.
pub async fn verify_export(file: impl BufRead + Send, keys: &[PublicKey]) -> Result<Verified, ReadError> {
    verify_within(file, keys, Bounds::default()).await
}

async fn verify_within(file: impl BufRead + Send, keys: &[PublicKey], bounds: Bounds) -> Result<Verified, ReadError> {
    let mut reader = Reader { file, line: 0, bad: 0, ahead: None, bounds };
    let first = reader.first()?;
    let (log, scope, announced) = match first.map(|(_, line)| line) {
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
            report.find(damaged(deploy, "the export holds this deploy twice".to_owned()));
        }
        // All deploys together list no more than one may: what is wrong with a file is told by the first of them.
        let listed: usize = verified.deploys.iter().map(|(_, report)| report.findings.len()).sum();
        report.shorten(FINDINGS_MAX.saturating_sub(listed).max(1));
        verified.deploys.push((deploy, report));
        if verified.deploys.len() as u64 > reader.bounds.deploys {
            return Err(reader.too_much(format!("more than {} deploys", reader.bounds.deploys)));
        }
    }
    let found = verified.deploys.len() as u64;
    match verified.deploys.last_mut() {
        Some((deploy, report)) if found != announced => {
            let message =
                format!("the export announces {announced} deploys and holds {found}, of which this is the last");
            report.find(damaged(*deploy, message));
        }
        Some(_) => {}
        None => return Err(reader.not_an_export("it holds no deploy")),
    }
    Ok(verified)
}

fn damaged(deploy: DeployId, message: String) -> crate::audit::Finding {
    crate::audit::Finding { code: Code::ExportDamaged, deploy: Some(deploy), tenant: None, seq: None, message }
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

/// What any format says of itself in its first line.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    line: &'a str,
    format: u32,
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
    /// What is wrong with the lines: the first so many of it.
    faults: Vec<String>,
    unlisted: u64,
    /// Bytes of files, and of how tenants are reached.
    kept: u64,
}

impl Part {
    fn fault(&mut self, what: impl Into<String>) {
        if self.faults.len() < FINDINGS_MAX {
            self.faults.push(what.into());
        } else {
            self.unlisted += 1;
        }
    }

    /// Takes down how a tenant was reached, which the deploy's own stream says nothing of.
    fn reach<R: BufRead>(
        &mut self,
        reader: &Reader<R>,
        at: u64,
        tenant: Option<&TenantId>,
        ordinal: Option<u64>,
        spec: Option<Cow<'_, str>>,
    ) -> Result<(), ReadError> {
        match (tenant, ordinal, spec) {
            (Some(tenant), ordinal, spec) => {
                let spec = spec.map(Cow::into_owned).unwrap_or_default();
                self.keep(reader, tenant.as_str().len() + spec.len())?;
                self.reached.push((ordinal.unwrap_or(u64::MAX), tenant.clone(), spec));
            }
            (None, None, None) => {}
            (None, ..) => self.fault(format!("line {at}: the deploy's own stream is not one of a tenant")),
        }
        Ok(())
    }

    /// Takes account of what stays in memory until the deploy has been checked.
    fn keep<R: BufRead>(&mut self, reader: &Reader<R>, bytes: usize) -> Result<(), ReadError> {
        self.kept = self.kept.saturating_add(bytes as u64);
        let most = reader.bounds.kept;
        if self.kept <= most { Ok(()) } else { Err(reader.too_much(format!("more than {most} bytes of files"))) }
    }
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
            part.fault(format!("no event refers to the file {extra}"));
        }
        let own_root = check.report.seal;
        let signature = match part.seal.take() {
            None => {
                part.fault("the deploy's part ends without the line of its seal");
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
        // In the order of the log there is one place for each.
        part.reached.sort_by_key(|(ordinal, ..)| *ordinal);
        if (0..).zip(&part.reached).any(|(place, (ordinal, ..))| place != *ordinal) {
            part.fault("the tenants' ordinals are not 0, 1, 2 and so on");
        }
        for fault in std::mem::take(&mut part.faults) {
            check.find(Code::ExportDamaged, None, None, fault);
        }
        check.report.unlisted += part.unlisted;
        check.seal(None);
        check.signatures(signature, keys);
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
                    let (digest, text) = (*digest, std::mem::take(text.to_mut()).into_bytes());
                    part.keep(reader, text.len())?;
                    if files.0.insert(digest, text).is_some() {
                        part.fault(format!("line {at}: the file {digest} is there a second time"));
                    }
                }
                Ok(_) => break,
                Err(reason) => part.fault(format!("line {at}: {reason}")),
            }
            reader.next()?;
        }
        if found != self.files {
            part.fault(format!("{} files are announced, and {found} are there", self.files));
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
        let (mut found, mut held) = (0, 0);
        while let Some((at, line)) = reader.next_of_deploy()? {
            match line {
                Ok(Line::Stream { tenant, ordinal, spec, events, head }) => {
                    walk(check, under_way.take()).await?;
                    found += 1;
                    // None comes before every tenant.
                    if last.as_ref().map_or(tenant.is_some(), |last| tenant <= *last) {
                        part.fault(format!("line {at}: this stream is not where it belongs"));
                    }
                    if found > reader.bounds.streams {
                        return Err(reader.too_much(format!("more than {} streams", reader.bounds.streams)));
                    }
                    part.reach(reader, at, tenant.as_ref(), ordinal, spec)?;
                    held = 0;
                    last = Some(tenant.clone());
                    let stream = StreamId { deploy: self.deploy, tenant };
                    under_way = Some(RawStream { stream, last_seq: events, head, summary: None, events: Vec::new() });
                }
                Ok(Line::Event { seq, hash, body }) => match &mut under_way {
                    Some(stream) => {
                        // Beside its text an event costs memory of its own.
                        held += (body.len() + size_of::<RawEvent>()) as u64;
                        if held > reader.bounds.stream {
                            let most = reader.bounds.stream;
                            return Err(reader.too_much(format!("a stream of more than {most} bytes")));
                        }
                        stream.events.push(RawEvent { seq, hash, body: body.into_owned(), position: None });
                    }
                    None => part.fault(format!("line {at}: an event outside of any stream")),
                },
                Ok(Line::Seal { root, signature }) => {
                    part.seal = Some((root, signature));
                    break;
                }
                Ok(Line::File { .. } | Line::Export { .. } | Line::Deploy { .. }) => {
                    part.fault(format!("line {at}: this line is not where it belongs"));
                }
                Err(reason) => part.fault(format!("line {at}: {reason}")),
            }
        }
        walk(check, under_way).await?;
        if found != self.streams {
            part.fault(format!("{} streams are announced, and {found} are there", self.streams));
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
    /// Lines that were none.
    bad: usize,
    bounds: Bounds,
    ahead: Option<Numbered>,
}

impl<R: BufRead> Reader<R> {
    /// The first line. What it says of the format is looked at before the rest of it, which a later one may write otherwise.
    fn first(&mut self) -> Result<Option<Numbered>, ReadError> {
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        match serde_json::from_slice::<Head<'_>>(&bytes) {
            Ok(Head { line: "export", format }) if format > FORMAT => Err(ReadError::Newer { found: format }),
            Ok(Head { line: "export", format }) if format < FORMAT => {
                Err(self.not_an_export(format!("there is no format {format}")))
            }
            _ => self.parsed(&bytes).map(Some),
        }
    }

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
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        self.parsed(&bytes).map(Some)
    }

    /// A line, or what is wrong with it; an error once so much was wrong that this is another kind of file.
    fn parsed(&mut self, bytes: &[u8]) -> Result<Numbered, ReadError> {
        let line = serde_json::from_slice(bytes).map_err(|error| format!("it does not read: {error}"));
        if let Err(reason) = &line {
            self.bad += 1;
            if self.bad > FINDINGS_MAX {
                let reason =
                    format!("{reason}; {FINDINGS_MAX} lines before it were none either, and the rest was not read");
                return Err(self.not_an_export(reason));
            }
        }
        Ok((self.line, line))
    }

    fn bytes(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut bytes = Vec::new();
        self.line += 1;
        let most = self.bounds.line;
        let mut limited = io::Read::take(&mut self.file, most);
        if limited.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() != Some(&b'\n') && limited.limit() == 0 {
            return Err(self.not_an_export(format!("it is longer than {most} bytes")));
        }
        Ok(Some(bytes))
    }

    fn too_much(&self, what: String) -> ReadError {
        ReadError::TooMuch { line: self.line, what }
    }

    fn not_an_export(&self, reason: impl Into<String>) -> ReadError {
        ReadError::NotAnExport { line: self.line, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
