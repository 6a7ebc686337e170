//! When to try again.

use std::time::Duration;

use crate::base::limits::{REPORT_PAUSE_FIRST, REPORT_PAUSE_MAX, REPORT_RETRY_AFTER_MAX};
use crate::base::{DeployId, Digest};

/// The pause after so many failures, at least one: doubled each time up to a limit, of which it takes between half and all. How much is
/// the same for the same names, so that what is tried can be foretold, and another for others, so that they do not all come at once. What
/// the other side asks for is waited for, unless it asks for more than a day.
pub(super) fn pause(deploy: DeployId, target: &str, failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = REPORT_PAUSE_FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let digest = Digest::of_fields(
        "windlass report jitter 1",
        [deploy.0.as_bytes().as_slice(), target.as_bytes(), &failures.to_be_bytes()],
    );
    let share = f64::from(digest.as_bytes()[0]) / f64::from(u8::MAX);
    let ours = doubled.min(REPORT_PAUSE_MAX).mul_f64(0.5 + 0.5 * share);
    retry_after.map_or(ours, |theirs| ours.max(theirs.min(REPORT_RETRY_AFTER_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_are_the_same_for_the_same_names() {
        let of = |failures| pause(DeployId(uuid::Uuid::nil()), "x", failures, None);
        for (failures, full) in [(1, 1), (2, 2), (3, 4), (11, 1_024), (13, 3_600), (40, 3_600), (u32::MAX, 3_600)] {
            let (pause, full) = (of(failures), Duration::from_secs(full));
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
            assert_eq!(pause, of(failures));
        }
        let others: std::collections::BTreeSet<_> =
            (0..20).map(|n| pause(DeployId(uuid::Uuid::nil()), &n.to_string(), 3, None)).collect();
        assert!(others.len() > 10, "{others:?}");
    }

    #[test]
    fn what_the_other_side_asks_for_is_waited_for_up_to_a_day() {
        let of = |seconds| pause(DeployId(uuid::Uuid::nil()), "x", 1, Some(Duration::from_secs(seconds)));
        assert_eq!(of(90), Duration::from_secs(90));
        assert!(of(0) >= Duration::from_millis(500));
        assert_eq!(of(10_000_000), Duration::from_hours(24));
    }
}
