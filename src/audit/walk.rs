//! One stream, followed from its genesis without trust.

use crate::base::{Code, Digest, Seq};
use crate::log::{RawEvent, RawStream};
use crate::saga::chain;
use crate::saga::event::{DeployEvent, Event, Recorded};

/// What could be read.
pub(super) struct Walked {
    /// The events, in their order; those that do not read as one are left out.
    pub(super) events: Vec<Recorded>,
    /// Length and head before the end, and the end, for a deploy's own stream.
    pub(super) end: Option<(Seq, Digest, Digest)>,
}

/// What is wrong, and at which event.
type Fault = (Code, Seq, String);

/// Follows the chain. After a break it goes on from what is stored, so that one act of tampering gives one finding.
pub(super) fn walk(stream: &RawStream) -> (Walked, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut walked = Walked { events: Vec::with_capacity(stream.events.len()), end: None };
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
            walked.events.push(recorded);
        }
        head = Some(raw.hash);
        expected = Seq(raw.seq.0.saturating_add(1));
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
    let follows = head.is_none_or(|head| chain::link(&head, raw.body.as_bytes()) == raw.hash);
    (!follows).then_some("its hash does not follow from it and from the event before")
}
