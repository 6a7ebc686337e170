//! The export that can be checked without the log.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::{Deserialize, Serialize};

use super::lines::{FORMAT, Line};
use super::{ExportError, Exported, not_text};
use crate::base::{DeployId, Digest, SigningKey, TenantId};
use crate::log::{Log, LogError, RawStream, TenantQuery};
use crate::saga::chain;
use crate::saga::event::{DeployEvent, Event, Recorded, TenantEvent};

/// Which deploys of a log an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those that were asked for.
    Some,
    /// All of them, the oldest first.
    WholeLog,
}

/// Writes deploys as they are stored, in the order given, and signs their seals where a key is given. The same log gives the same bytes.
///
/// Of one deploy at a time all streams are in memory: they are read in one transaction, so that they fit together.
pub async fn write_jsonl(
    log: &dyn Log,
    deploys: &[DeployId],
    scope: Scope,
    signer: Option<&SigningKey>,
    out: &mut (dyn Write + Send),
) -> Result<Exported, ExportError> {
    // Before the first line: what is half written to a pipe cannot be taken back.
    if signer.is_some() {
        for deploy in deploys {
            if log.deploy(*deploy).await?.summary.seal.is_none() {
                return Err(ExportError::NotSealed { deploy: *deploy });
            }
        }
    }
    let mut exported = Exported { deploys: deploys.len() as u64, events: 0 };
    put(out, &Line::Export { format: FORMAT, log: log.id(), scope, deploys: exported.deploys })?;
    for deploy in deploys {
        exported.events += write_deploy(log, *deploy, signer, out).await?;
    }
    out.flush()?;
    Ok(exported)
}

async fn write_deploy(
    log: &dyn Log,
    deploy: DeployId,
    signer: Option<&SigningKey>,
    out: &mut (dyn Write + Send),
) -> Result<u64, ExportError> {
    let everyone = TenantQuery { statuses: Vec::new(), after: None, limit: usize::MAX };
    let rows = log.tenants(deploy, &everyone).await?;
    let mut reached: BTreeMap<TenantId, (u64, String)> =
        rows.into_iter().map(|row| (row.tenant, (row.ordinal, row.spec))).collect();
    let streams = log.raw(deploy).await?;
    let root = streams.first().and_then(root);
    let files: BTreeSet<Digest> = streams.iter().flat_map(referred).collect();
    put(out, &Line::Deploy { deploy, files: files.len() as u64, streams: streams.len() as u64 })?;
    for digest in files {
        let text = String::from_utf8(log.blob(&digest).await?).map_err(|_| not_text(digest))?;
        put(out, &Line::File { digest, text: Cow::Owned(text) })?;
    }
    let mut events = 0;
    for RawStream { stream, last_seq, head, events: of, .. } in streams {
        let (ordinal, spec) = stream.tenant.as_ref().and_then(|tenant| reached.remove(tenant)).unzip();
        let spec = spec.map(Cow::Owned);
        put(out, &Line::Stream { tenant: stream.tenant, ordinal, spec, events: last_seq, head })?;
        events += of.len() as u64;
        for event in of {
            put(out, &Line::Event { seq: event.seq, hash: event.hash, body: Cow::Owned(event.body) })?;
        }
        // Whoever passes on what is written does so now, and others have their turn.
        tokio::task::yield_now().await;
    }
    let signature = match (signer, root) {
        (None, _) => None,
        (Some(_), None) => {
            let reason = "its row has a seal, and no event does".to_owned();
            return Err(LogError::Corrupt { place: format!("deploy {deploy}"), reason }.into());
        }
        (Some(key), Some(root)) => Some(key.sign(&chain::signed(log.id(), deploy, &root))),
    };
    put(out, &Line::Seal { root, signature })?;
    Ok(events)
}

fn put(out: &mut (dyn Write + Send), line: &Line<'_>) -> Result<(), ExportError> {
    serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// The files that the first event of a stream refers to; nothing where it does not read as one.
fn referred(stream: &RawStream) -> Vec<Digest> {
    let first = stream.events.first().and_then(|first| serde_json::from_str::<Recorded>(&first.body).ok());
    match first.map(|recorded| recorded.event) {
        Some(Event::Deploy(DeployEvent::DeployCreated { release, workflow, .. })) => vec![release, workflow],
        Some(Event::Tenant(TenantEvent::TenantPlanned { plan, .. })) => vec![plan],
        _ => Vec::new(),
    }
}

/// The root in the seal, where the deploy's own stream ends with one.
fn root(own: &RawStream) -> Option<Digest> {
    let last = serde_json::from_str::<Recorded>(&own.events.last()?.body).ok()?;
    match last.event {
        Event::Deploy(DeployEvent::Sealed { root, .. }) => Some(root),
        _ => None,
    }
}
