//! Whole deploys: the deploy machine over a handful of tenants, each with its database and a worker that may die, all interleaved at
//! random. What must be true at every moment and at the end is DESIGN §3.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::saga::plan::Plan;
use crate::saga::sim::{Choose, Tenant};
use crate::saga::tenant::StepState;
use crate::saga::testing::{plan, planned_step};

/// Moves of all hands together in one deploy.
const MOVES_MAX: usize = 4_000;

/// Choices from a list; quiet ones once it is used up, so that every run ends.
struct Script<'s>(std::slice::Iter<'s, u8>);

impl Choose for Script<'_> {
    fn pick(&mut self, of: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % of)
    }
}

/// Two stages of two waves each; a tenant's waves follow from its number.
fn waves(tenant: u32) -> [u32; 2] {
    [tenant % 2, u32::from(tenant % 3 == 1)]
}

struct Fleet<'p> {
    deploy: DeployState,
    on_failure: OnFailure,
    tenants: Vec<Tenant<'p>>,
}

impl<'p> Fleet<'p> {
    fn new(plans: &'p [Plan], count: u32) -> Self {
        let deploy = DeployState::fold(&[created(&[2, 2], u64::from(count))]).unwrap();
        let tenants = plans.iter().cycle().zip(0..count).map(|(plan, at)| Tenant::new(plan, &waves(at))).collect();
        Self { deploy, on_failure: policy(Then::Unwind), tenants }
    }

    fn census(&self) -> Census {
        let mut census = Census::default();
        for tenant in &self.tenants {
            let row = tenant.state.summary(tenant.plan);
            *census.groups.entry((row.status, row.stage, row.wave)).or_default() += 1;
        }
        census
    }

    fn is_forward(&self) -> bool {
        self.deploy.summary().direction.admits_starts()
    }

    /// Whether every step that belongs before this stage and wave has succeeded.
    fn is_done_before(&self, wave: (u32, u32)) -> bool {
        self.tenants.iter().zip(0..).all(|(tenant, at)| {
            tenant.state.steps(tenant.plan).all(|(step, state)| {
                (step.stage, waves(at)[usize::from(step.stage == 1)]) >= wave
                    || matches!(state, StepState::Succeeded(_))
            })
        })
    }

    /// One decision of a coordinator; what it did, or `None` where it waits.
    fn coordinate(&mut self) -> Option<Decision> {
        let decision = self.deploy.next(&self.census(), &self.on_failure);
        match &decision {
            Decision::Append(event) => {
                if let DeployEvent::DeployFinished { account, .. } = &**event {
                    let accounted: u64 = account.values().sum();
                    assert_eq!(accounted, self.tenants.len() as u64, "P7: every tenant is in the account");
                }
                if let DeployEvent::WaveOpened { stage, wave } = **event {
                    assert!(self.is_done_before((stage, wave)), "a wave opened before the one before it was done");
                }
                self.deploy.apply(event).unwrap();
            }
            Decision::Unwind => self.deploy.apply(&set(Direction::Unwind)).unwrap(),
            Decision::Wait | Decision::WaitForHuman | Decision::Rest => return None,
        }
        Some(decision)
    }

    fn work(&mut self, at: usize, choose: &mut dyn Choose) -> bool {
        let may_start = self.is_forward();
        let tenant = &mut self.tenants[at];
        let before = tenant.history.len();
        let moved = tenant.step(self.deploy.summary(), choose);
        let started = tenant.history[before..].iter().any(crate::saga::event::TenantEvent::is_forward_start);
        assert!(may_start || !started, "P5: a step started after the turn");
        moved
    }

    /// One move of somebody; `luck` is what the databases draw from.
    fn chosen_move(&mut self, choose: &mut dyn Choose, luck: &mut dyn Choose) {
        let at = choose.pick(self.tenants.len());
        let row = self.deploy.summary();
        let may_turn = row.direction == Direction::Forward && row.outcome.is_none();
        match choose.pick(16) {
            0..=9 => {
                self.work(at, luck);
            }
            10..=12 => {
                self.coordinate();
            }
            13 | 14 => self.tenants[at].crash(),
            // A person turns it.
            _ if may_turn && choose.pick(8) == 7 => self.deploy.apply(&set(Direction::Unwind)).unwrap(),
            _ => {}
        }
    }

    /// Everybody in turn, until nobody moves.
    fn settle(&mut self, choose: &mut dyn Choose) {
        for _ in 0..MOVES_MAX {
            let mut moved = self.coordinate().is_some();
            for at in 0..self.tenants.len() {
                moved |= self.work(at, choose) || self.tenants[at].is_held();
            }
            if !moved {
                return;
            }
        }
        panic!("no end: {:?}", self.census());
    }

    fn check_end(&self) {
        let row = self.deploy.summary();
        let stuck = self.tenants.iter().any(|tenant| tenant.status() == TenantStatus::Stuck);
        if stuck {
            assert_eq!(self.deploy.next(&self.census(), &self.on_failure), Decision::WaitForHuman);
            assert_eq!(row.outcome, None);
            return;
        }
        let outcome = row.outcome.expect("P7: a deploy without stuck tenants ends");
        let turned = !row.direction.admits_starts();
        assert!(self.tenants.iter().all(|tenant| !turned || tenant.status() != TenantStatus::Completed));
        let is = |tenant: &Tenant<'_>, status| tenant.status() == status;
        match outcome {
            DeployOutcome::Completed => {
                assert!(self.tenants.iter().all(|tenant| is(tenant, TenantStatus::Completed)));
                for tenant in &self.tenants {
                    let due: u32 = (0..tenant.plan.steps().len()).map(|step| tenant.commits(step)).sum();
                    assert_eq!(tenant.effects.len(), due as usize, "P7: completed is on the release");
                }
            }
            DeployOutcome::Unwound => assert!(self.tenants.iter().all(|tenant| tenant.effects.is_empty())),
            DeployOutcome::EndedByHand => {
                assert!(self.tenants.iter().any(|tenant| is(tenant, TenantStatus::Abandoned)));
            }
            DeployOutcome::CompletedWithQuarantine => panic!("nobody is set aside under this policy"),
        }
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
        let mut fleet = Fleet::new(&plans, count);
        let (mut order, mut luck) = (Script(order.iter()), Script(luck.iter()));
        while count > 0 && order.0.len() > 0 {
            fleet.chosen_move(&mut order, &mut luck);
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
