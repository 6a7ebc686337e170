//! How a course ended, and whether one without a death and without a pause could have ended so in the same world.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::saga::event::{DeployOutcome, Half, TenantEvent};
use crate::saga::sim::{Draw, Fate, Fleet, Memory, Tenant};
use crate::saga::summary::TenantStatus;

/// What can be seen of a deploy that has come to rest, from the outside.
///
/// A tenant that was never started is as it was, and so is one that has been unwound: which of the two words it gets depends on whether its
/// first start was announced before the turn, and a worker may die between that and its effect. That the word is right is checked, and
/// that they count as one here is the only difference that a death may make.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct End {
    /// Not a failure, but somebody turned it.
    turned_by_hand: bool,
    outcome: Option<DeployOutcome>,
    tenants: Vec<TenantEnd>,
}

/// Where a tenant stands, and what is in effect there.
type TenantEnd = (TenantStatus, Vec<(usize, u32)>);

/// Step by step: how its commits and their undos went, as far as it came to that.
type Met = Vec<Option<Fate>>;

/// What the databases did in one course.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    met: Vec<Met>,
    /// What was not met cannot be told from what would have gone well: a human has done some of it in the databases' stead, or a
    /// death was what stopped a step between two of its statements, where a turn finds it and would not have without.
    loose: bool,
}

impl World {
    fn of(fleet: &Fleet<'_>, memory: Memory) -> Self {
        let fate = |draw: &Draw| match draw.fate {
            Some(Fate::WorksSecond) if memory == Memory::Future => Some(Fate::Works),
            fate => fate,
        };
        let met = |tenant: &Tenant<'_>| {
            tenant.luck.iter().flat_map(|luck| luck.acts.iter().chain(&luck.undos).map(fate)).collect()
        };
        let loose = |tenant: &Tenant<'_>| {
            tenant.is_settled_by_hand() || (0..tenant.plan.steps().len()).any(|step| tenant.commits(step) > 1)
        };
        Self { met: fleet.tenants.iter().map(met).collect(), loose: fleet.tenants.iter().any(loose) }
    }

    /// Whether all that this course met the other met too, and in the same way: then every world of the other is one of these.
    /// Where either is loose, that they do not contradict each other.
    fn holds(&self, other: &Self) -> bool {
        let loose = self.loose || other.loose;
        let mut pairs = self.met.iter().flatten().zip(other.met.iter().flatten());
        pairs.all(|(met, also)| met.is_none() || met == also || (loose && also.is_none()))
    }

    fn reversed(&self) -> Self {
        Self { met: self.met.iter().rev().cloned().collect(), ..*self }
    }
}

impl End {
    pub(super) fn of(fleet: &Fleet<'_>, turned_by_hand: bool) -> Self {
        for tenant in &fleet.tenants {
            check_tenant(tenant);
        }
        let seen = |tenant: &Tenant<'_>| match tenant.status() {
            TenantStatus::Untouched => (TenantStatus::Unwound, tenant.effects.clone()),
            status => (status, tenant.effects.clone()),
        };
        Self {
            turned_by_hand,
            outcome: fleet.deploy.summary().outcome,
            tenants: fleet.tenants.iter().map(seen).collect(),
        }
    }
}

/// The ends of one deploy.
pub(super) struct Ends {
    /// It does not matter which of the tenants ended how.
    alike: bool,
    undisturbed: HashMap<End, HashSet<World>>,
    recovered: HashMap<End, HashSet<World>>,
}

/// An end and what each tenant met on the way to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    outcome: Option<u8>,
    tenants: Vec<(TenantEnd, Met)>,
}

impl Seen {
    /// The same with the tenants in the other places.
    pub(super) fn reversed(mut self) -> Self {
        self.tenants.reverse();
        self
    }
}

impl Ends {
    pub(super) fn new(alike: bool) -> Self {
        Self { alike, undisturbed: HashMap::new(), recovered: HashMap::new() }
    }

    pub(super) fn add(&mut self, mut end: End, fleet: &Fleet<'_>, paused: bool, memory: Memory) {
        let lost = fleet.tenants.iter().any(lost_evidence);
        let waits = |tenant: &Tenant<'_>| matches!(tenant.status(), TenantStatus::Stuck | TenantStatus::Abandoned);
        if lost && fleet.tenants.iter().any(waits) {
            return;
        }
        let mut world = World::of(fleet, memory);
        if self.alike {
            let mut tenants: Vec<_> = end.tenants.into_iter().zip(world.met).collect();
            tenants.sort_unstable();
            (end.tenants, world.met) = tenants.into_iter().unzip();
        }
        // The want of evidence turns a deploy as a hand does: for no reason that lies in its steps.
        end.turned_by_hand |= lost;
        let disturbed = paused || fleet.tenants.iter().any(|tenant| tenant.deaths > 0);
        let kind = if disturbed { &mut self.recovered } else { &mut self.undisturbed };
        kind.entry(end).or_default().insert(world);
    }

    /// All of them, with what was met on the way.
    pub(super) fn seen(&self) -> BTreeSet<Seen> {
        let all = self.undisturbed.iter().chain(&self.recovered);
        let each = |(end, worlds): (&End, &HashSet<World>)| {
            let tenants = |world: &World| end.tenants.iter().cloned().zip(world.met.iter().cloned()).collect();
            worlds
                .iter()
                .map(|world| Seen { outcome: end.outcome.map(|outcome| outcome as u8), tenants: tenants(world) })
                .collect::<Vec<_>>()
        };
        all.flat_map(each).collect()
    }

    /// Every end after a death or a pause is one that is reached without either, in each world in which it was reached.
    pub(super) fn check(&self) {
        let none = HashSet::new();
        for (end, worlds) in &self.recovered {
            let without = self.undisturbed.get(end).unwrap_or(&none);
            for world in worlds {
                let among = |world: &World| without.contains(world) || without.iter().any(|other| other.holds(world));
                let reached = among(world) || (self.alike && is_same(&end.tenants) && among(&world.reversed()));
                assert!(reached, "only a death or a pause leads to {end:?} where {world:?}");
            }
        }
    }
}

fn is_same<T: PartialEq>(of: &[T]) -> bool {
    of.windows(2).all(|pair| pair[0] == pair[1])
}

/// Only a death makes a worker look for evidence, so only a death can end in the want of it.
fn lost_evidence(tenant: &Tenant<'_>) -> bool {
    let lost = |draw: &Draw| matches!(draw.fate, Some(Fate::Fails | Fate::Tires));
    tenant.luck.iter().any(|luck| lost(&luck.look))
}

/// What a tenant's end claims must be so in its database and in its history.
fn check_tenant(tenant: &Tenant<'_>) {
    let history = &tenant.history;
    let all = (0..tenant.plan.steps().len()).flat_map(|step| (0..tenant.commits(step)).map(move |of| (step, of)));
    let ever_started = history.iter().any(|event| event.is_forward_start());
    let mut after_turn = history.iter().skip_while(|event| !matches!(***event, TenantEvent::TenantTurned { .. }));
    let has_turned = after_turn.clone().next().is_some();
    assert!(!after_turn.any(|event| event.is_forward_start()), "P5: {history:#?}");
    let status = tenant.status();
    let at_rest = !matches!(status, TenantStatus::Stuck | TenantStatus::Abandoned);
    assert!(!at_rest || tenant.is_ledger_right(), "P4: the ledger is not told what was undone: {history:#?}");
    match status {
        TenantStatus::Completed => {
            assert_eq!(tenant.effects, all.collect::<Vec<_>>(), "P3: what is in effect, in the plan's order");
            assert!(!has_turned);
        }
        TenantStatus::Unwound => assert!(tenant.effects.is_empty() && ever_started && has_turned, "P4: {history:#?}"),
        TenantStatus::Untouched => {
            assert!(tenant.effects.is_empty() && !ever_started && has_turned, "P4: {history:#?}");
        }
        TenantStatus::Stuck => {
            let (half, step) = tenant.stuck().unwrap();
            let luck = &tenant.luck[step];
            let gave_up = |draw: &Draw| matches!(draw.fate, Some(Fate::Fails | Fate::Tires));
            let undo_failed = half == Half::Undo && luck.undos.iter().any(gave_up);
            assert!(gave_up(&luck.look) || undo_failed, "stuck without a reason: {history:#?}");
        }
        TenantStatus::Abandoned => assert!(tenant.is_settled_by_hand(), "only a human abandons: {history:#?}"),
        other => panic!("{other} is no end: {history:#?}"),
    }
}
