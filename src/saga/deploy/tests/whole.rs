//! Whole deploys: the deploy machine over a handful of tenants, each with its database and a worker that may die, all interleaved at
//! random. What must be true at every moment and at the end is DESIGN §3.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use crate::saga::plan::Plan;
use crate::saga::sim::{Choose, Fleet};
use crate::saga::summary::TenantStatus;
use crate::saga::testing::{plan, planned_step};

/// Choices from a list; quiet ones once it is used up, so that every run ends.
struct Script<'s>(std::slice::Iter<'s, u8>);

impl Choose for Script<'_> {
    fn pick(&mut self, of: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % of)
    }
}

/// Two stages of two waves each; a tenant's waves follow from its number.
fn waves(tenant: u32) -> Vec<u32> {
    vec![tenant % 2, u32::from(tenant % 3 == 1)]
}

/// One move of somebody; `luck` is what the databases draw from.
fn chosen_move(fleet: &mut Fleet<'_>, choose: &mut dyn Choose, luck: &mut dyn Choose) {
    let at = choose.pick(fleet.tenants.len());
    let may_turn = fleet.may_turn();
    match choose.pick(16) {
        0..=9 => {
            fleet.work(at, luck);
        }
        10..=12 => {
            fleet.coordinate();
        }
        13 | 14 => fleet.tenants[at].crash(),
        // A person turns it.
        _ if may_turn && choose.pick(8) == 7 => fleet.turn(),
        _ => {}
    }
}

fn plans() -> Vec<Plan> {
    let staged =
        |lines: &[(u32, &str)]| Plan::new(lines.iter().map(|(stage, line)| planned_step(*stage, line)).collect());
    vec![
        staged(&[(0, "a"), (0, "check: a"), (1, "c: check")]).unwrap(),
        staged(&[(0, "a"), (0, "b: a"), (0, "check: a"), (1, "d: b check")]).unwrap(),
        staged(&[(0, "a2"), (0, "b3: a2"), (1, "c: b3")]).unwrap(),
        staged(&[(1, "late")]).unwrap(),
        plan(&[]),
    ]
}

/// Steps that were undone from their middle, in all deploys together.
static PARTS_UNDONE: AtomicU32 = AtomicU32::new(0);

#[test]
fn every_deploy_ends_with_an_account_or_waits_for_a_human() {
    whole_deploys();
    let parts = PARTS_UNDONE.load(Ordering::Relaxed);
    println!("whole deploys: {parts} parts of steps undone");
    assert!(parts > 30, "{parts}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    fn whole_deploys(
        count in 0_u32..6,
        order in proptest::collection::vec(any::<u8>(), 0..800),
        luck in proptest::collection::vec(any::<u8>(), 0..30),
        decisions in 0_usize..4,
    ) {
        let plans = plans();
        let mut fleet = Fleet::new(&[2, 2], plans.iter().cycle().zip((0..count).map(waves)));
        let (mut order, mut luck) = (Script(order.iter()), Script(luck.iter()));
        while count > 0 && order.0.len() > 0 {
            chosen_move(&mut fleet, &mut order, &mut luck);
        }
        fleet.settle(&mut luck);
        fleet.check_end();
        for _ in 0..decisions {
            if let Some(tenant) = fleet.tenants.iter_mut().find(|tenant| tenant.status() == TenantStatus::Stuck) {
                tenant.resolve(&mut luck);
                fleet.settle(&mut luck);
                fleet.check_end();
            }
        }
        let parts = fleet.tenants.iter().map(|tenant| tenant.parts_undone).sum();
        PARTS_UNDONE.fetch_add(parts, Ordering::Relaxed);
    }
}
