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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, Timestamp, WorkerId};
    use crate::saga::event::Recorded;
    use crate::saga::testing::{created, paused, resumed, set, started, succeeded, undo_started};

    /// A stream, each event with its place in the log.
    fn walked(events: impl IntoIterator<Item = (i64, Event)>) -> Walked {
        let (positions, events): (Vec<_>, Vec<_>) = events.into_iter().map(|(at, event)| (Some(at), event)).unzip();
        let by = WorkerId("w".to_owned());
        let recorded =
            |(seq, event)| Recorded { seq: Seq(seq), at: Timestamp(0), by: by.clone(), epoch: Epoch(0), event };
        Walked { events: (1..).zip(events).map(recorded).collect(), positions, end: None }
    }

    #[test]
    fn nothing_starts_between_a_pause_and_what_ends_it() {
        let own =
            [(0, created(&[1], 1)), (10, paused()), (20, resumed()), (30, set(Direction::Unwind)), (40, paused())];
        let order = Order::of_own(&walked(own.map(|(at, event)| (at, Event::Deploy(event)))));
        let fault = |at, event| order.fault(&walked([(at, Event::Tenant(event))])).is_some();
        for (at, is_paused) in [(9, false), (11, true), (19, true), (21, false), (31, false), (41, true), (99, true)] {
            assert_eq!(fault(at, undo_started("a", 1)), is_paused, "an undo at {at}");
            assert_eq!(fault(at, started("a", 1)), is_paused || at > 30, "a step at {at}");
            assert!(!fault(at, succeeded("a")), "an end at {at}");
        }
    }

    #[test]
    fn a_turn_ends_a_pause() {
        let own = [(0, created(&[1], 1)), (10, paused()), (20, set(Direction::Unwind))];
        let order = Order::of_own(&walked(own.map(|(at, event)| (at, Event::Deploy(event)))));
        let fault = |at| order.fault(&walked([(at, Event::Tenant(undo_started("a", 1)))])).is_some();
        assert!(fault(15) && !fault(25));
    }
}
