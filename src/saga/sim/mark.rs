//! What tells one state of the model from another, as bytes: two states with the same mark go on in the same ways.
//!
//! Left out is what nothing that follows can read: the histories (their folds are in it), the time and the evidence of steps that
//! succeeded, and why the deploy turned. Everything else that the machines, the workers, the databases or the checks go by is in it.

use super::{Fleet, Tenant, Worker};
use crate::base::Seq;
use crate::saga::deploy::Decision;
use crate::saga::event::{DeployEvent, Found, Half, TenantEvent};
use crate::saga::failure::Retry;

/// A number that is small in every model.
fn byte(number: impl TryInto<u8>) -> u8 {
    number.try_into().unwrap_or_else(|_| panic!("too large for a byte"))
}

/// What a mark keeps of an act or an undo that has worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// At which try it worked. Nothing that follows depends on it; it tells worlds apart.
    Whole,
    /// That it worked.
    Future,
}

impl Tenant<'_> {
    /// What tells apart what the log says and what the database holds.
    pub fn log_mark(&self) -> Vec<u8> {
        let mut mark = Vec::with_capacity(64);
        self.state.mark(&mut mark);
        mark.extend(self.effects.iter().flat_map(|(step, statement)| [byte(*step), byte(*statement)]));
        mark
    }

    pub fn mark(&self, memory: Memory) -> Vec<u8> {
        let mut mark = Vec::with_capacity(24 * self.plan.steps().len() + 16);
        self.state.mark(&mut mark);
        mark.extend([byte(self.deaths), byte(self.effects.len())]);
        mark.extend(self.effects.iter().flat_map(|(step, statement)| [byte(*step), byte(*statement)]));
        for ((commits, undone), luck) in self.ledger.iter().zip(&self.luck) {
            mark.extend([byte(*commits), u8::from(*undone)]);
            for draw in luck.acts.iter().chain(&luck.undos).chain([&luck.look, &luck.reach]) {
                match draw.fate {
                    Some(_) if draw.passed && memory == Memory::Future => mark.push(100),
                    fate => mark.extend([fate.map_or(0, |fate| 1 + fate as u8), byte(draw.met), u8::from(draw.mended)]),
                }
            }
        }
        match &self.worker {
            Worker::Away => mark.push(0),
            Worker::Asking => mark.push(1),
            Worker::Reaching(step) => mark.extend([2, byte(*step)]),
            Worker::Acting(half, step) => mark.extend([3, half_mark(*half), byte(*step)]),
            Worker::Appending(event, then) => {
                mark.push(4);
                mark.extend(then.map_or([0, 0], |(half, step)| [half_mark(half), byte(step)]));
                event_mark(event, &mut mark);
            }
        }
        mark
    }
}

fn half_mark(half: Half) -> u8 {
    match half {
        Half::Act => 1,
        Half::Undo => 2,
    }
}

/// An event as the machine reads it: without evidence, reasons and times.
fn event_mark(event: &TenantEvent, mark: &mut Vec<u8>) {
    use TenantEvent as E;
    let retried = |retry: &Retry| u8::from(*retry != Retry::No);
    let (step, rest) = match event {
        E::StepStarted { step, attempt } => (step, vec![1, byte(attempt.0)]),
        E::StepSucceeded { step, .. } => (step, vec![2]),
        E::StepFailed { step, retry, in_effect, .. } => (step, vec![3, retried(retry), byte(*in_effect)]),
        E::UndoStarted { step, attempt } => (step, vec![4, byte(attempt.0)]),
        E::UndoSucceeded { step, .. } => (step, vec![5]),
        E::UndoFailed { step, retry, .. } => (step, vec![6, retried(retry)]),
        E::UndoSkipped { step, .. } => (step, vec![7]),
        E::StepProbed { step, half, found: Found::Applied } => (step, vec![8, half_mark(*half)]),
        E::StepProbed { step, half, found: Found::NotApplied } => (step, vec![9, half_mark(*half)]),
        other => return mark.extend(serde_json::to_vec(other).expect("an event has a written form")),
    };
    mark.extend(rest);
    mark.extend(step.as_str().bytes());
}

impl Fleet<'_> {
    /// What tells apart what a worker that takes this tenant up reads in the log.
    pub fn read_mark(&self, at: usize) -> Vec<u8> {
        let mut mark = self.deploy_mark();
        self.tenants[at].state.mark(&mut mark);
        mark
    }

    /// The deploy stream has one order: with its length and its row its state is known.
    fn deploy_mark(&self) -> Vec<u8> {
        let row = self.deploy.summary();
        let mut mark = vec![byte(self.deploy.seq().0), row.direction as u8, u8::from(row.outcome.is_some())];
        mark.push(u8::from(row.paused));
        mark.extend(row.open.map_or([0, 0], |(stage, wave)| [1 + byte(stage), byte(wave)]));
        mark
    }

    /// The mark of the whole; `alike`: the tenants can be told apart by their order only, which is left out.
    pub fn mark(&self, alike: bool, memory: Memory) -> Vec<u8> {
        let mut tenants: Vec<_> = self.tenants.iter().map(|tenant| tenant.mark(memory)).collect();
        if alike {
            tenants.sort_unstable();
        }
        let mut mark = self.deploy_mark();
        mark.extend(proposal_mark(self.proposal.as_ref(), self.deploy.seq()));
        for tenant in tenants {
            mark.extend(byte(tenant.len() / 200).to_be_bytes());
            mark.push(byte(tenant.len() % 200));
            mark.extend(tenant);
        }
        mark
    }
}

/// A proposal that came too late will be refused, whatever it is.
fn proposal_mark(proposal: Option<&(Seq, Decision)>, now: Seq) -> Vec<u8> {
    match proposal {
        None => vec![0],
        Some((seq, _)) if *seq != now => vec![1],
        Some((_, Decision::Append(event))) => {
            let mut mark = vec![2];
            mark.extend(serde_json::to_vec::<DeployEvent>(event).expect("an event has a written form"));
            mark.push(0);
            mark
        }
        Some(_) => vec![3],
    }
}
