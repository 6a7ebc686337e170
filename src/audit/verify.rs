//! Whether the log still says what was written (promise P8).
//!
//! Every stream is walked from its genesis: an edited event breaks the chain where it stands, a deleted one leaves a gap, two that
//! were swapped carry each other's numbers, a cut leaves the stream shorter than its header says. The fold shows whether what remains
//! makes sense, the projections are compared with it, and the seal binds the heads of all streams together, so that a header that
//! was cut to match is found too. Whoever can rewrite the whole file, hashes and seal included, is found only by somebody who has
//! kept the seal elsewhere: `windlass audit show` prints it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::{Code, DeployId, Digest, Seq, TenantId, Timestamp};
use crate::log::{DeployRow, Log, LogError, RawStream, TenantQuery, TenantRecord};
use crate::saga::chain;
use crate::saga::deploy::DeployState;
use crate::saga::event::{DeployEvent, Event, Previous, Recorded, StreamId, TenantEvent};
use crate::saga::plan::Plan;
use crate::saga::summary::Place;
use crate::saga::tenant::TenantState;

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The page to look it up under.
    pub code: Code,
    /// Which deploy.
    pub deploy: DeployId,
    /// Whose stream; none for the deploy's own, or for the deploy as a whole.
    pub tenant: Option<TenantId>,
    /// Which event, where it is one.
    pub seq: Option<Seq>,
    /// In words.
    pub message: String,
}

impl Finding {
    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        let stream = StreamId { deploy: self.deploy, tenant: self.tenant.clone() };
        self.seq.map_or_else(|| stream.to_string(), |seq| format!("{stream}, event {seq}"))
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Streams walked.
    pub streams: u64,
    /// Events checked.
    pub events: u64,
    /// Stored files checked.
    pub blobs: u64,
    /// The seal, where the deploy has one.
    pub seal: Option<Digest>,
    /// What does not hold; empty where all is well.
    pub findings: Vec<Finding>,
}

/// Checks one deploy, and the files it refers to.
pub async fn verify(log: &dyn Log, deploy: DeployId) -> Result<Report, LogError> {
    let row = log.deploy(deploy).await?;
    let raw = log.raw(deploy).await?;
    let mut check = Check { deploy, report: Report { seal: row.summary.seal, ..Report::default() } };
    let walked: Vec<Walked> = raw.iter().map(|stream| check.walk(stream)).collect();
    let blobs = check.blobs(log, &walked).await?;
    check.fold_all(&row, &raw, &walked, &blobs);
    check.seal(&row, &raw, &walked);
    check.created(log, &row, &raw, &walked).await?;
    check.among_others(log, &row, &raw, &walked, &blobs).await?;
    Ok(check.report)
}

/// A stream that was read without trust: the events that could be read, and whether all is as the header says.
struct Walked {
    events: Vec<Event>,
    whole: bool,
    /// Length and head before the end, and the end, for the deploy's own stream.
    end: Option<(Seq, Digest, Digest)>,
}

struct Check {
    deploy: DeployId,
    report: Report,
}

impl Check {
    fn find(&mut self, code: Code, tenant: Option<&TenantId>, seq: Option<Seq>, message: impl Into<String>) {
        let (deploy, tenant, message) = (self.deploy, tenant.cloned(), message.into());
        self.report.findings.push(Finding { code, deploy, tenant, seq, message });
    }

    /// Follows the chain. After a break it goes on from what is stored, so that one act of tampering gives one finding.
    fn walk(&mut self, stream: &RawStream) -> Walked {
        self.report.streams += 1;
        let tenant = stream.stream.tenant.as_ref();
        let found_before = self.report.findings.len();
        let mut head = Some(chain::genesis(&stream.stream));
        let mut expected = Seq(1);
        let mut events = Vec::with_capacity(stream.events.len());
        let mut end = None;
        for raw in &stream.events {
            self.report.events += 1;
            if expected < raw.seq {
                let message = match raw.seq.0 - expected.0 {
                    1 => "this event is not there any more".to_owned(),
                    n => format!("this event and {} after it are not there any more", n - 1),
                };
                self.find(Code::EventMissing, tenant, Some(expected), message);
                head = None;
            }
            let recorded = serde_json::from_str::<Recorded>(&raw.body);
            let right_hash = head.is_none_or(|head| chain::link(&head, raw.body.as_bytes()) == raw.hash);
            let right_place = recorded.as_ref().is_ok_and(|recorded| recorded.seq == raw.seq);
            if !right_hash || !right_place {
                let why = match &recorded {
                    Err(_) => "it does not read as an event",
                    Ok(_) if !right_place => "it says that it stands elsewhere",
                    Ok(_) => "its hash does not follow from it and from the event before",
                };
                let message = format!("this is not the event that was written: {why}");
                self.find(Code::ChainBroken, tenant, Some(raw.seq), message);
            }
            if let Ok(recorded) = recorded {
                if let Event::Deploy(DeployEvent::DeployFinished { outcome, account }) = &recorded.event {
                    let digest = chain::end_digest(*outcome, account);
                    end = head.map(|head| (Seq(raw.seq.0.saturating_sub(1)), head, digest));
                }
                events.push(recorded.event);
            }
            head = Some(raw.hash);
            expected = raw.seq.next();
        }
        let length = Seq(expected.0 - 1);
        if length != stream.last_seq {
            let message = format!("the stream has {length} events and its header says {}", stream.last_seq);
            self.find(Code::StreamTruncated, tenant, Some(stream.last_seq.max(length)), message);
        } else if head.is_some_and(|head| head != stream.head) {
            self.find(Code::ChainBroken, tenant, Some(length), "the header's head is not that of the last event");
        }
        Walked { events, whole: self.report.findings.len() == found_before, end }
    }

    /// Reads every file that the events refer to; the log checks each against its digest.
    async fn blobs(&mut self, log: &dyn Log, walked: &[Walked]) -> Result<BTreeMap<Digest, Vec<u8>>, LogError> {
        let mut wanted: BTreeSet<Digest> = BTreeSet::new();
        for event in walked.iter().flat_map(|of| &of.events) {
            match event {
                Event::Deploy(DeployEvent::DeployCreated { release, workflow, .. }) => {
                    wanted.extend([*release, *workflow]);
                }
                Event::Tenant(TenantEvent::TenantPlanned { plan, .. }) => {
                    wanted.insert(*plan);
                }
                _ => {}
            }
        }
        let mut read = BTreeMap::new();
        for digest in wanted {
            match log.blob(&digest).await {
                Ok(bytes) => {
                    self.report.blobs += 1;
                    read.insert(digest, bytes);
                }
                Err(error @ LogError::BlobMissing { .. }) => {
                    self.find(Code::BlobMissing, None, None, error.to_string());
                }
                Err(error @ LogError::BlobAltered { .. }) => {
                    self.find(Code::BlobAltered, None, None, error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    /// Compares what the rows say with the fold; only where the events themselves are whole.
    fn fold_all(&mut self, row: &DeployRow, raw: &[RawStream], walked: &[Walked], blobs: &BTreeMap<Digest, Vec<u8>>) {
        for (stream, of) in raw.iter().zip(walked).filter(|(_, of)| of.whole) {
            let tenant = stream.stream.tenant.as_ref();
            let problem = if tenant.is_none() { deploy_problem(row, of) } else { tenant_problem(stream, of, blobs) };
            if let Some((code, seq, message)) = problem {
                self.find(code, tenant, seq, message);
            }
        }
    }

    /// The seal over the heads as they are now.
    fn seal(&mut self, row: &DeployRow, raw: &[RawStream], walked: &[Walked]) {
        let Some(own) = walked.first() else { return };
        let sealed = own.events.iter().find_map(|event| match event {
            Event::Deploy(DeployEvent::Sealed { root }) => Some(*root),
            _ => None,
        });
        let head = |stream: &RawStream| Some((stream.stream.tenant.clone()?, stream.last_seq, stream.head));
        let tenants: Vec<(TenantId, Seq, Digest)> = raw.iter().filter_map(head).collect();
        match (sealed, own.end) {
            (Some(root), Some((seq, head, end))) if chain::seal(self.deploy, (seq, head), end, &tenants) != root => {
                let message = "the streams are not those that were sealed when the deploy ended";
                self.find(Code::SealBroken, None, None, message);
            }
            (None, _) if row.summary.seal.is_some() => {
                self.find(Code::SealBroken, None, None, "the deploy's row says that it is sealed, and no event does");
            }
            (None, Some(_)) => {
                let message =
                    "the deploy has ended and is not sealed: both are written at once, so the seal was cut off";
                self.find(Code::SealBroken, None, None, message);
            }
            _ => {}
        }
    }

    /// The fleet and the list of tenants that the deploy was created with.
    async fn created(
        &mut self,
        log: &dyn Log,
        row: &DeployRow,
        raw: &[RawStream],
        walked: &[Walked],
    ) -> Result<(), LogError> {
        let Some(Event::Deploy(DeployEvent::DeployCreated { tenants, fleet, .. })) =
            walked.first().and_then(|own| own.events.first())
        else {
            return Ok(());
        };
        if row.fleet != *fleet {
            let message = format!("the deploy was created for fleet {fleet}, and its row says {}", row.fleet);
            self.find(Code::ProjectionWrong, None, None, message);
        }
        let at = raw_first_at(raw);
        if at.is_some_and(|at| at != row.created_at) {
            let message = "the deploy's row gives another moment of its creation than its first event";
            self.find(Code::ProjectionWrong, None, None, message);
        }
        let everyone = TenantQuery { statuses: Vec::new(), after: None, limit: usize::MAX };
        let rows = log.tenants(self.deploy, &everyone).await?;
        if chain::tenants_digest(rows.iter().map(|row| row.spec.as_str())) != *tenants {
            let message = "the tenants, or how they are reached, are not those that the deploy was created with";
            self.find(Code::ProjectionWrong, None, None, message);
        }
        Ok(())
    }
}

impl Check {
    /// Its place among the deploys of its fleet: the one that it was planned after must be there, as it was sealed, right before it.
    /// And what the log remembers of its tenants must be what their streams lead to, where no later deploy has gone on from there.
    async fn among_others(
        &mut self,
        log: &dyn Log,
        row: &DeployRow,
        raw: &[RawStream],
        walked: &[Walked],
        blobs: &BTreeMap<Digest, Vec<u8>>,
    ) -> Result<(), LogError> {
        let Some(Event::Deploy(DeployEvent::DeployCreated { fleet, previous, .. })) =
            walked.first().and_then(|own| own.events.first())
        else {
            return Ok(());
        };
        let deploys = log.deploys(Some(fleet), usize::MAX).await?;
        let Some(at) = deploys.iter().position(|of| of.id == row.id) else { return Ok(()) };
        let before = deploys.get(at + 1).map(|of| Previous { deploy: of.id, seal: of.summary.seal });
        let previous = previous.as_deref().copied();
        if before != previous {
            let name = |of: &Option<Previous>| of.map_or_else(|| "none".to_owned(), |of| of.deploy.to_string());
            let message = if before.map(|of| of.deploy) == previous.map(|of| of.deploy) {
                format!("deploy {}, which came before this one, is not as it was sealed then", name(&previous))
            } else {
                format!(
                    "the fleet's deploy before this one was {}, and in the log it is {}",
                    name(&previous),
                    name(&before)
                )
            };
            self.find(Code::DeployMissing, None, None, message);
        }
        if at == 0 {
            let records = log.records(fleet).await?;
            for (stream, of) in raw.iter().zip(walked).filter(|(_, of)| of.whole) {
                let Some(tenant) = &stream.stream.tenant else { continue };
                if let Some(message) = record_problem(records.get(tenant), of, blobs) {
                    self.find(Code::ProjectionWrong, Some(tenant), None, message);
                }
            }
        }
        Ok(())
    }
}

/// What does not fit between a tenant's stream and the record of which release it is on.
fn record_problem(record: Option<&TenantRecord>, of: &Walked, blobs: &BTreeMap<Digest, Vec<u8>>) -> Option<String> {
    let Some(record) = record else { return Some("the record of which release the tenant is on is gone".to_owned()) };
    let events: Vec<&TenantEvent> = tenant_events(of).collect();
    let Some(TenantEvent::TenantPlanned { plan, .. }) = events.first() else { return None };
    let plan = Plan::from_bytes(blobs.get(plan)?).ok()?;
    let fits = match TenantState::fold(&plan, events).ok()?.place(&plan) {
        // Nothing was learnt here, so the record may say whatever it said before.
        Place::Unchanged => true,
        Place::Unknown => record.release.is_none(),
        Place::At(release) => record.release == Some(release),
    };
    (!fits).then(|| "the record of which release the tenant is on does not say what its events say".to_owned())
}

fn tenant_events(of: &Walked) -> impl Iterator<Item = &TenantEvent> {
    of.events.iter().filter_map(|event| match event {
        Event::Tenant(event) => Some(event),
        Event::Deploy(_) => None,
    })
}

/// When the deploy's first event was written.
fn raw_first_at(raw: &[RawStream]) -> Option<Timestamp> {
    let first = raw.first()?.events.first()?;
    serde_json::from_str::<Recorded>(&first.body).ok().map(|recorded| recorded.at)
}

type Problem = (Code, Option<Seq>, String);

fn deploy_problem(row: &DeployRow, of: &Walked) -> Option<Problem> {
    let own = of.events.iter().filter_map(|event| match event {
        Event::Deploy(event) => Some(event),
        Event::Tenant(_) => None,
    });
    match DeployState::fold(own) {
        Err(error) => Some((Code::IllegalEvent, Some(error.seq), error.to_string())),
        Ok(state) if *state.summary() != row.summary => {
            Some((Code::ProjectionWrong, None, "the deploy's row does not say what its events say".to_owned()))
        }
        Ok(_) => None,
    }
}

fn tenant_problem(stream: &RawStream, of: &Walked, blobs: &BTreeMap<Digest, Vec<u8>>) -> Option<Problem> {
    let events: Vec<&TenantEvent> = tenant_events(of).collect();
    let Some(TenantEvent::TenantPlanned { plan, .. }) = events.first() else {
        return Some((Code::IllegalEvent, Some(Seq(1)), "the stream does not begin with tenant_planned".to_owned()));
    };
    // A missing plan has been found already.
    let plan = match Plan::from_bytes(blobs.get(plan)?) {
        Ok(plan) => plan,
        Err(error) => return Some((Code::BlobAltered, None, error.to_string())),
    };
    match TenantState::fold(&plan, events) {
        Err(error) => Some((Code::IllegalEvent, Some(error.seq), error.to_string())),
        Ok(state) if stream.summary.as_ref() != Some(&state.summary(&plan)) => {
            Some((Code::ProjectionWrong, None, "the tenant's row does not say what its events say".to_owned()))
        }
        Ok(_) => None,
    }
}
