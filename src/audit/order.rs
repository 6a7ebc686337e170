//! What the places of events in the log as a whole say of the order across streams.
//!
//! Chains are per stream, so no hash covers that order. It can be changed by whoever can write the file, as long as these rules still
//! hold; an export has no places, and nothing to say of it.

use super::walk::Walked;
use crate::base::Seq;
use crate::saga::event::{DeployEvent, Direction, Event};

/// The places of a deploy's own stream by which those of its tenants are judged.
#[derive(Debug, Default)]
pub(super) struct Order {
    created: Option<i64>,
    /// The turn: no forward step starts after it (promise P5).
    turned: Option<i64>,
    /// The pauses, each from the event that began it to that which ended it: nothing starts between.
    pauses: Vec<(i64, Option<i64>)>,
    ended: Option<i64>,
}

impl Order {
    /// Of the deploy's own stream.
    pub(super) fn of_own(walked: &Walked) -> Self {
        let mut order = Self::default();
        for (recorded, position) in walked.events.iter().zip(&walked.positions) {
            if let (Event::Deploy(event), Some(position)) = (&recorded.event, *position) {
                order.pause(event, position);
            }
            let place = match &recorded.event {
                Event::Deploy(DeployEvent::DeployCreated { .. }) => &mut order.created,
                Event::Deploy(DeployEvent::DirectionSet { direction: Direction::Unwind, .. }) => &mut order.turned,
                Event::Deploy(DeployEvent::DeployFinished { .. }) => &mut order.ended,
                _ => continue,
            };
            *place = place.or(*position);
        }
        order
    }

    fn pause(&mut self, event: &DeployEvent, position: i64) {
        match (event, self.pauses.last_mut()) {
            (DeployEvent::DeployPaused { .. }, _) => self.pauses.push((position, None)),
            (DeployEvent::DeployResumed { .. } | DeployEvent::DirectionSet { .. }, Some((_, end))) => {
                *end = end.or(Some(position));
            }
            _ => {}
        }
    }

    fn is_paused(&self, position: i64) -> bool {
        self.pauses.iter().any(|(from, to)| position > *from && to.is_none_or(|to| position < to))
    }

    /// The first event of a tenant's stream that stands where it cannot have been written, and why.
    pub(super) fn fault(&self, walked: &Walked) -> Option<(Seq, &'static str)> {
        walked.events.iter().zip(&walked.positions).find_map(|(recorded, position)| {
            let position = (*position)?;
            let starts = matches!(&recorded.event, Event::Tenant(event) if event.is_forward_start());
            let starts_at_all = matches!(&recorded.event, Event::Tenant(event) if event.is_start());
            let why = if self.created.is_some_and(|created| position < created) {
                "its place in the log is before that of the deploy's creation"
            } else if self.ended.is_some_and(|ended| position > ended) {
                "its place in the log is after the end of the deploy"
            } else if starts && self.turned.is_some_and(|turned| position > turned) {
                "a forward step starts, and its place in the log is after the turn of the deploy"
            } else if starts_at_all && self.is_paused(position) {
                "a step or an undo starts, and its place in the log is within a pause of the deploy"
            } else {
                return None;
            };
            Some((recorded.seq, why))
        })
    }
}
