//! What is told of a deploy: the moments of its life that somebody outside would want to hear of, folded from the log.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{actor_words, cause_words};
use crate::base::{Code, DeployId, TenantId, Timestamp};
use crate::log::{Request, Settled, TailEvent};
use crate::saga::event::{DeployEvent, DeployOutcome, Direction, Event, Resolution, TenantEvent, TenantOutcome};

/// The place of the moment in which a deploy was asked for: before all events.
pub(super) const ASKED: u64 = 1;

/// The place of the moment in which a request was settled without becoming a deploy, so that there are no events.
pub(super) const SETTLED: u64 = 2;

/// A deploy that was asked for, or begun, or both, as far as it has been read.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) deploy: DeployId,
    /// None for a deploy that a command began.
    pub(super) request: Option<Request>,
    /// None as long as it is only asked for.
    pub(super) begun: Option<Begun>,
    pub(super) moments: Vec<Moment>,
    /// The place in the log up to which it has been read.
    pub(super) read: u64,
    paused: bool,
    stuck: BTreeSet<TenantId>,
}

/// What a deploy set out to do.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) fleet: String,
    pub(super) release: String,
    pub(super) workflow: String,
    pub(super) tenants: u64,
    pub(super) changing: u64,
}

/// Something worth telling.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// Grows along the story; the same whenever it is read.
    pub(super) place: u64,
    pub(super) at: Timestamp,
    pub(super) what: What,
}

/// What happened. Words are for people.
#[derive(Debug, Clone)]
pub(super) enum What {
    Asked,
    Settled(Settled),
    Created,
    Turned {
        why: String,
    },
    Paused {
        by: String,
        reason: String,
    },
    /// Taken up again: after a pause, or because whoever drove it had gone.
    Resumed {
        by: String,
        paused: bool,
    },
    /// The first tenant of a deploy in which none was stuck.
    Stuck {
        tenant: TenantId,
        reason: String,
        code: Option<Code>,
    },
    /// A human has spoken on the last tenant that was.
    Unstuck,
    Finished {
        outcome: DeployOutcome,
        account: BTreeMap<TenantOutcome, u64>,
    },
}

impl Moment {
    /// Whether nothing comes after it.
    pub(super) const fn is_last(&self) -> bool {
        matches!(self.what, What::Finished { .. } | What::Settled(_))
    }
}

impl Story {
    /// One of which nothing has been read.
    pub(super) fn new(deploy: DeployId) -> Self {
        Self { deploy, request: None, begun: None, moments: Vec::new(), read: 0, paused: false, stuck: BTreeSet::new() }
    }

    /// The fleet; none as long as nothing is known.
    pub(super) fn fleet(&self) -> Option<&str> {
        let begun = self.begun.as_ref().map(|begun| begun.fleet.as_str());
        begun.or_else(|| self.request.as_ref().map(|request| request.fleet.as_str()))
    }

    /// Whether nothing more will be in it.
    pub(super) fn is_over(&self) -> bool {
        self.moments.last().is_some_and(Moment::is_last)
    }

    /// Takes note of the request. One that was settled without becoming a deploy ends the story.
    pub(super) fn asked(&mut self, request: Request) {
        if self.request.is_none() {
            self.moments.insert(0, Moment { place: ASKED, at: request.received_at, what: What::Asked });
        }
        if let (Some(settled), Some(at), None) = (&request.settled, request.settled_at, &self.begun)
            && *settled != Settled::Created
            && !self.is_over()
        {
            self.moments.push(Moment { place: SETTLED, at, what: What::Settled(settled.clone()) });
        }
        self.request = Some(request);
    }

    /// Takes the next event in.
    pub(super) fn hear(&mut self, event: &TailEvent) {
        self.read = event.position;
        let what = match &event.recorded.event {
            Event::Deploy(of) => self.of_deploy(of),
            Event::Tenant(of) => event.stream.tenant.as_ref().and_then(|tenant| self.of_tenant(tenant, of)),
        };
        if let Some(what) = what {
            // Behind those that have no place in the log.
            let place = event.position.saturating_add(SETTLED);
            self.moments.push(Moment { place, at: event.recorded.at, what });
        }
    }

    fn of_deploy(&mut self, event: &DeployEvent) -> Option<What> {
        Some(match event {
            DeployEvent::DeployCreated { release_name, workflow_name, tenant_count, changing, fleet, .. } => {
                self.begun = Some(Begun {
                    fleet: fleet.clone(),
                    release: release_name.clone(),
                    workflow: workflow_name.clone(),
                    tenants: *tenant_count,
                    changing: *changing,
                });
                What::Created
            }
            DeployEvent::DirectionSet { direction, cause } => {
                self.paused = false;
                if *direction != Direction::Unwind {
                    return None;
                }
                What::Turned { why: cause_words(cause) }
            }
            DeployEvent::DeployPaused { actor, reason } => {
                self.paused = true;
                What::Paused { by: actor_words(actor), reason: reason.clone() }
            }
            DeployEvent::DeployResumed { actor } => {
                let paused = std::mem::take(&mut self.paused);
                What::Resumed { by: actor_words(actor), paused }
            }
            DeployEvent::DeployFinished { outcome, account } => {
                What::Finished { outcome: *outcome, account: account.clone() }
            }
            DeployEvent::StageEntered { .. } | DeployEvent::WaveOpened { .. } | DeployEvent::Sealed { .. } => {
                return None;
            }
        })
    }

    fn of_tenant(&mut self, tenant: &TenantId, event: &TenantEvent) -> Option<What> {
        match event {
            TenantEvent::TenantFinished { outcome: TenantOutcome::Stuck, reason, code } => {
                let first = self.stuck.is_empty();
                self.stuck.insert(tenant.clone());
                first.then(|| What::Stuck { tenant: tenant.clone(), reason: reason.clone(), code: *code })
            }
            TenantEvent::TenantResolved {
                resolution: Resolution::Retry | Resolution::Undone | Resolution::Applied,
                ..
            } => (self.stuck.remove(tenant) && self.stuck.is_empty()).then_some(What::Unstuck),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::{Epoch, Seq, WorkerId};
    use crate::saga::event::{Recorded, StreamId};
    use crate::saga::testing::{created, decided, finished, paused, resumed, set, started};

    /// A story of these events, each at ten times its number.
    pub(in crate::serve::report) fn story(events: Vec<Event>) -> Story {
        let deploy = DeployId(uuid::Uuid::nil());
        let mut story = Story::new(deploy);
        for (position, event) in (1..).zip(events) {
            let tenant = matches!(event, Event::Tenant(_)).then(|| TenantId::new("acme").unwrap());
            let (at, by) = (Timestamp(0), WorkerId("w".to_owned()));
            let recorded = Recorded { seq: Seq(1), at, by, epoch: Epoch(0), event };
            story.hear(&TailEvent { position: position * 10, stream: StreamId { deploy, tenant }, recorded });
        }
        story
    }

    /// One with everything that is told.
    pub(in crate::serve::report) fn eventful() -> Story {
        let end = DeployEvent::DeployFinished {
            outcome: DeployOutcome::EndedByHand,
            account: BTreeMap::from([(TenantOutcome::Abandoned, 1)]),
        };
        story(vec![
            created(&[1], 2).into(),
            started("a", 1).into(),
            resumed().into(),
            paused().into(),
            resumed().into(),
            set(Direction::Unwind).into(),
            finished(TenantOutcome::Stuck).into(),
            decided("a", Resolution::Retry).into(),
            finished(TenantOutcome::Stuck).into(),
            decided("a", Resolution::Applied).into(),
            end.into(),
        ])
    }

    #[test]
    fn the_moments_of_a_deploy_are_told_in_its_order_and_nothing_of_its_steps() {
        let story = eventful();
        let places: Vec<u64> = story.moments.iter().map(|moment| moment.place).collect();
        assert_eq!(places, [12, 32, 42, 52, 62, 72, 82, 92, 102, 112]);
        assert!(story.is_over() && places.iter().all(|place| *place > SETTLED));
        assert_eq!(story.fleet(), story.begun.as_ref().map(|begun| begun.fleet.as_str()));
    }

    #[test]
    fn a_forward_only_turn_is_no_news() {
        assert_eq!(story(vec![created(&[1], 2).into(), set(Direction::ForwardOnly).into()]).moments.len(), 1);
    }
}
