//! A deploy of a handful of tenants: the deploy machine's stream, a coordinator that takes a census, decides and appends, and the tenants
//! with their workers. The tenants know of each other by the deploy's row alone, and the deploy knows of them by the census.

use super::luck::Choose;
use super::{Tenant, TenantEvent};
use crate::base::Seq;
use crate::saga::deploy::{Decision, DeployState};
use crate::saga::event::{DeployEvent, DeployOutcome, Direction};
use crate::saga::plan::Plan;
use crate::saga::summary::{Census, TenantStatus};
use crate::saga::tenant::StepState;
use crate::saga::testing::{created, paused, policy, resumed, set};
use crate::saga::workflow::{OnFailure, Then};

/// Rounds in which everybody moves once, in one deploy.
const ROUNDS_MAX: usize = 4_000;

#[derive(Clone)]
pub struct Fleet<'p> {
    pub deploy: DeployState,
    pub on_failure: OnFailure,
    pub tenants: Vec<Tenant<'p>>,
    /// For each tenant, its wave in each stage.
    waves: Vec<Vec<u32>>,
    /// What the coordinator is about to append, and after how many events of the deploy stream it decided so.
    pub proposal: Option<(Seq, Decision)>,
}

impl<'p> Fleet<'p> {
    /// A deploy with so many waves in each stage, of tenants with a plan and their waves.
    pub fn new(waves: &[u32], tenants: impl IntoIterator<Item = (&'p Plan, Vec<u32>)>) -> Self {
        let (tenants, own): (Vec<_>, Vec<_>) =
            tenants.into_iter().map(|(plan, own)| (Tenant::new(plan, &own), own)).unzip();
        let deploy = DeployState::fold(&[created(waves, tenants.len() as u64)]).unwrap();
        Self { deploy, on_failure: policy(Then::Unwind), tenants, waves: own, proposal: None }
    }

    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for tenant in &self.tenants {
            let row = tenant.state.summary(tenant.plan);
            *census.groups.entry((row.status, row.stage, row.wave)).or_default() += 1;
        }
        census
    }

    pub fn is_forward(&self) -> bool {
        self.deploy.summary().direction.admits_starts()
    }

    /// Whether somebody may still turn it by hand.
    pub fn may_turn(&self) -> bool {
        let row = self.deploy.summary();
        row.direction == Direction::Forward && row.outcome.is_none()
    }

    /// Somebody turns it.
    pub fn turn(&mut self) {
        self.take(&set(Direction::Unwind));
    }

    fn take(&mut self, event: &DeployEvent) {
        if let Err(error) = self.deploy.apply(event) {
            panic!("{error}");
        }
    }

    pub fn is_paused(&self) -> bool {
        self.deploy.summary().paused
    }

    /// Whether somebody may pause it.
    pub fn may_pause(&self) -> bool {
        !self.is_paused() && self.deploy.summary().outcome.is_none()
    }

    /// Somebody pauses it.
    pub fn pause(&mut self) {
        self.take(&paused());
    }

    /// Somebody lets it go on.
    pub fn resume(&mut self) {
        self.take(&resumed());
    }

    /// Whether every step that belongs before this stage and wave has succeeded.
    fn is_done_before(&self, wave: (u32, u32)) -> bool {
        self.tenants.iter().zip(&self.waves).all(|(tenant, waves)| {
            tenant.state.steps(tenant.plan).all(|(step, state)| {
                (step.stage, waves[step.stage as usize]) >= wave || matches!(state, StepState::Succeeded(_))
            })
        })
    }

    /// What a coordinator that takes the census now has to append.
    pub fn decision(&self) -> Option<Decision> {
        match self.deploy.next(&self.census(), &self.on_failure) {
            Decision::Wait | Decision::WaitForHuman | Decision::Paused | Decision::Rest => None,
            decision => Some(decision),
        }
    }

    /// The coordinator takes the census and decides; false where it has nothing to append.
    pub fn decide(&mut self) -> bool {
        self.proposal = self.decision().map(|decision| (self.deploy.seq(), decision));
        self.proposal.is_some()
    }

    /// The coordinator appends what it decided, however long ago: the log takes it if the deploy stream has not grown since.
    pub fn append(&mut self) {
        let (seq, decision) = self.proposal.take().expect("a decision");
        if seq != self.deploy.seq() {
            return;
        }
        match decision {
            Decision::Append(event) => {
                if let DeployEvent::DeployFinished { account, .. } = &*event {
                    let accounted: u64 = account.values().sum();
                    assert_eq!(accounted, self.tenants.len() as u64, "P7: every tenant is in the account");
                    assert_eq!(self.deploy.next(&self.census(), &self.on_failure), Decision::Append(event.clone()));
                }
                if let DeployEvent::WaveOpened { stage, wave } = *event {
                    assert!(self.is_done_before((stage, wave)), "a wave opened before the one before it was done");
                }
                self.take(&event);
            }
            Decision::Unwind => {
                let troubled = |tenant: &Tenant<'_>| {
                    matches!(tenant.status(), TenantStatus::Failed | TenantStatus::Stuck | TenantStatus::Abandoned)
                };
                let by_a_human = self.tenants.iter().any(Tenant::is_settled_by_hand);
                assert!(self.tenants.iter().any(troubled) || by_a_human, "the deploy turns without a reason");
                self.turn();
            }
            Decision::Wait | Decision::WaitForHuman | Decision::Paused | Decision::Rest => {}
        }
    }

    /// One decision of a coordinator, with nobody between; false where it waits.
    pub fn coordinate(&mut self) -> bool {
        let decided = self.decide();
        if decided {
            self.append();
        }
        decided
    }

    /// One small step of a tenant's worker; false where it finds nothing to do.
    pub fn work(&mut self, at: usize, choose: &mut dyn Choose) -> bool {
        let (may_start, paused, open) = (self.is_forward(), self.is_paused(), self.deploy.summary().open);
        let tenant = &mut self.tenants[at];
        let before = tenant.history.len();
        let moved = tenant.step(self.deploy.summary(), choose);
        for event in &tenant.history[before..] {
            assert!(!(paused && event.is_start()), "{event:?} started while the deploy was paused");
            if let TenantEvent::StepStarted { step, .. } = &**event {
                assert!(may_start, "P5: {step} started after the turn");
                let stage = tenant.plan.step(step).unwrap().stage;
                let due = (stage, self.waves[at][stage as usize]);
                assert!(open.is_some_and(|open| due <= open), "{step} started before its wave was open");
            }
        }
        moved
    }

    /// Everybody in turn, until nobody moves.
    pub fn settle(&mut self, choose: &mut dyn Choose) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = self.coordinate();
            for at in 0..self.tenants.len() {
                moved |= self.work(at, choose) || self.tenants[at].is_held();
            }
            if !moved {
                return;
            }
        }
        panic!("no end: {:?}", self.census());
    }

    /// What must be true where nobody moves any more.
    pub fn check_end(&self) {
        let row = self.deploy.summary();
        if self.tenants.iter().any(|tenant| tenant.status() == TenantStatus::Stuck) {
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
