//! One stream, followed from its genesis without trust.

use crate::base::limits::FINDINGS_MAX;
use crate::base::{Code, Digest, Epoch, Seq};
use crate::log::{RawEvent, RawStream};
use crate::saga::chain;
use crate::saga::event::{DeployEvent, Event, Recorded};

/// What could be read.
pub(super) struct Walked {
    /// The events, in their order; those that do not read as one are left out.
    pub(super) events: Vec<Recorded>,
    /// Their places in the log as a whole, where they come from one.
    pub(super) positions: Vec<Option<i64>>,
    /// Length and head before the end, and the end, for a deploy's own stream.
    pub(super) end: Option<(Seq, Digest, Digest)>,
}

/// What is wrong, and at which event.
type Fault = (Code, Seq, String);

/// What is wrong with a stream.
#[derive(Default)]
pub(super) struct Faults {
    /// The first of it.
    pub(super) listed: Vec<Fault>,
    /// How much there is beyond that.
    pub(super) unlisted: u64,
}

impl Faults {
    fn push(&mut self, fault: Fault) {
        if self.listed.len() < FINDINGS_MAX {
            self.listed.push(fault);
        } else {
            self.unlisted += 1;
        }
    }
}

/// Follows the chain. After a break it goes on from what is stored, so that one act of tampering gives one finding.
pub(super) fn walk(stream: &RawStream) -> (Walked, Faults) {
    let mut faults = Faults::default();
    let count = stream.events.len();
    let mut walked = Walked { events: Vec::with_capacity(count), positions: Vec::with_capacity(count), end: None };
    let mut head = Some(chain::genesis(&stream.stream));
    let mut expected = Seq(1);
    for raw in &stream.events {
        if expected < raw.seq {
            let message = match raw.seq.0 - expected.0 {
                1 => "this event is not there any more".to_owned(),
                n => format!("this event and {} after it are not there any more", n - 1),
            };
            faults.push((Code::EventMissing, expected, message));
            head = None;
        }
        let recorded = serde_json::from_str::<Recorded>(&raw.body).ok();
        if let Some(why) = changed(head, expected, raw, recorded.as_ref()) {
            faults.push((Code::ChainBroken, raw.seq, format!("this is not the event that was written: {why}")));
        }
        if let Some(recorded) = recorded {
            if let Event::Deploy(DeployEvent::DeployFinished { outcome, account }) = &recorded.event {
                let digest = chain::end_digest(*outcome, account);
                walked.end = head.map(|head| (Seq(raw.seq.0.saturating_sub(1)), head, digest));
            }
            if let Some(why) = stray(stream, &recorded) {
                faults.push((Code::IllegalEvent, raw.seq, why.to_owned()));
            }
            walked.events.push(recorded);
            walked.positions.push(raw.position);
        }
        head = Some(raw.hash);
        expected = Seq(raw.seq.0.saturating_add(1));
    }
    if let Some(fault) = out_of_order(&stream.events) {
        faults.push(fault);
    }
    let length = Seq(expected.0 - 1);
    if length != stream.last_seq {
        let message = format!("the stream has {length} events and its header says {}", stream.last_seq);
        faults.push((Code::StreamTruncated, stream.last_seq.max(length), message));
    } else if head.is_some_and(|head| head != stream.head) {
        let message = "the header's head is not that of the last event".to_owned();
        faults.push((Code::ChainBroken, length, message));
    }
    (walked, faults)
}

/// Why an event that reads as one has no business in its stream, if so. The fold of a stream looks at the events of its own kind alone.
fn stray(stream: &RawStream, recorded: &Recorded) -> Option<&'static str> {
    match (&stream.stream.tenant, &recorded.event) {
        (None, Event::Tenant(_)) => Some("an event of a tenant stands in the deploy's own stream"),
        (Some(_), Event::Deploy(_)) => Some("an event of the deploy stands in a tenant's stream"),
        (None, Event::Deploy(_)) if recorded.epoch != Epoch(0) => {
            Some("the deploy's own stream has no lease, and this event says that it was written under one")
        }
        _ => None,
    }
}

/// The first event whose place in the log as a whole does not come after that of the event before it.
fn out_of_order(events: &[RawEvent]) -> Option<Fault> {
    let mut before = 0;
    for event in events {
        let position = event.position?;
        if position <= before {
            let message = format!("its place in the log is {position}, which does not come after {before}");
            return Some((Code::OrderWrong, event.seq, message));
        }
        before = position;
    }
    None
}

/// Why this is not the event that was written, if it is not.
fn changed(head: Option<Digest>, expected: Seq, raw: &RawEvent, recorded: Option<&Recorded>) -> Option<&'static str> {
    let Some(recorded) = recorded else { return Some("it does not read as an event") };
    if recorded.seq != raw.seq {
        return Some("it says that it stands elsewhere");
    }
    // In a log the numbers are in order, whatever was done to it; the lines of an export are in whatever order they were put.
    if raw.seq < expected {
        return Some("it stands after one that comes later");
    }
    // No seal covers the last two events of a deploy: what of them is not in it is at least in the one form in which it is written.
    let last = matches!(recorded.event, Event::Deploy(DeployEvent::DeployFinished { .. } | DeployEvent::Sealed { .. }));
    if last && serde_json::to_string(recorded).is_ok_and(|body| body != raw.body) {
        return Some("it is not in the form in which Windlass writes it");
    }
    let follows = head.is_none_or(|head| chain::link(&head, raw.body.as_bytes()) == raw.hash);
    (!follows).then_some("its hash does not follow from it and from the event before")
}
