//! When a failed step is tried again: a pure function of the policy, the failure and the names of what failed.

use std::time::Duration;

use super::failure::{ErrorClass, Failure};
use crate::base::limits::LOOKS_WHILE_HELD_MAX;
use crate::base::{Attempt, Code, DeployId, Digest, StepId, TenantId};

/// How often, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all, the first included. At least 1.
    pub attempts: u32,
    /// The pause after the first try.
    pub first: Duration,
    /// By how much each pause is longer than the one before. At least 1.
    pub factor: f64,
    /// No pause is longer.
    pub max: Duration,
}

impl Default for RetryPolicy {
    /// Four tries over about seven seconds: longer than a failover of a connection pooler, shorter than an operator's patience.
    fn default() -> Self {
        Self { attempts: 4, first: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(30) }
    }
}

/// What was tried, by name: the seed of its jitter.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// The deploy.
    pub deploy: DeployId,
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The step.
    pub step: &'a StepId,
    /// Which try just failed.
    pub attempt: Attempt,
}

impl RetryPolicy {
    /// How long to wait before the next try; `None` where there is none.
    ///
    /// The pause grows by `factor` up to `max`, and between half and all of it is taken ("equal jitter"), so that tenants that
    /// failed together do not come back together. The share is derived from the names and not drawn, so that a replay of the same
    /// log decides the same.
    #[must_use]
    pub fn pause(&self, failure: &Failure, tried: Tried<'_>) -> Option<Duration> {
        if failure.class == ErrorClass::Permanent || tried.attempt.0 >= self.attempts {
            return None;
        }
        Some(self.after(tried))
    }

    /// How long to wait before the next look for evidence; `None` where there is none. `tried` counts the looks that failed like this
    /// one.
    #[must_use]
    pub fn pause_of_look(&self, failure: &Failure, tried: Tried<'_>) -> Option<Duration> {
        if waits_for_predecessor(failure) {
            return (tried.attempt.0 < LOOKS_WHILE_HELD_MAX).then(|| self.after(tried));
        }
        self.pause(failure, tried)
    }

    fn after(&self, tried: Tried<'_>) -> Duration {
        let exponent = i32::try_from(tried.attempt.0.saturating_sub(1)).unwrap_or(i32::MAX);
        let full = (self.first.as_secs_f64() * self.factor.powi(exponent)).min(self.max.as_secs_f64());
        Duration::from_secs_f64(full * (0.5 + 0.5 * share(tried)))
    }
}

/// Whether a failed look for evidence says nothing about the evidence: an earlier session still has the tenant to itself. Such a look
/// does not count as a try: what holds the tenant ends when its statement has had its time. See [`LOOKS_WHILE_HELD_MAX`].
#[must_use]
pub fn waits_for_predecessor(failure: &Failure) -> bool {
    failure.class == ErrorClass::Transient && failure.code == Code::PredecessorAlive
}

/// A number in 0..1, the same for the same names on every machine.
fn share(tried: Tried<'_>) -> f64 {
    let digest = Digest::of_fields(
        "windlass jitter 1",
        [
            tried.deploy.0.as_bytes().as_slice(),
            tried.tenant.as_str().as_bytes(),
            tried.step.as_str().as_bytes(),
            &tried.attempt.0.to_be_bytes(),
        ],
    );
    let [a, b, c, d, ..] = digest.0;
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(class: ErrorClass, tenant: &str, attempt: u32) -> Option<Duration> {
        let failure = Failure::new(class, Code::TenantUnreachable, "gone");
        let tenant = TenantId::new(tenant).unwrap();
        let deploy = DeployId(uuid::Uuid::nil());
        let tried = Tried { deploy, tenant: &tenant, step: &"migrate:1".into(), attempt: Attempt(attempt) };
        RetryPolicy::default().pause(&failure, tried)
    }

    #[test]
    fn a_permanent_failure_and_the_last_try_are_not_repeated() {
        assert_eq!(pause(ErrorClass::Permanent, "acme", 1), None);
        assert!(pause(ErrorClass::Transient, "acme", 3).is_some());
        assert_eq!(pause(ErrorClass::Transient, "acme", 4), None);
    }

    #[test]
    fn pauses_grow_and_stay_between_half_and_all_of_their_length() {
        for (attempt, full) in [(1, 1.0), (2, 2.0), (3, 4.0)] {
            let seconds = pause(ErrorClass::Transient, "acme", attempt).unwrap().as_secs_f64();
            assert!(seconds >= full / 2.0 && seconds <= full, "{seconds}");
        }
    }

    #[test]
    fn the_same_names_wait_the_same_and_other_names_do_not() {
        assert_eq!(pause(ErrorClass::Transient, "acme", 1), pause(ErrorClass::Transient, "acme", 1));
        assert_ne!(pause(ErrorClass::Transient, "acme", 1), pause(ErrorClass::Transient, "bolt", 1));
    }
}
