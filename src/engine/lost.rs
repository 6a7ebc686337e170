//! Finding a deploy that lives in another log.
//!
//! Every tenant's fence row names the log and the deploy that last held it, how many tenants that deploy set out to change, and how
//! far it came there. From the rows of the whole fleet it can be told whether an unknown deploy had come to an end: a log that was
//! lost with a CI runner's disk after its last deploy finished is no reason to stop; one that was lost in the middle is.

use std::collections::BTreeMap;

use crate::base::DeployId;
use crate::tenant::{FenceMark, FenceState};

/// A deploy that this log does not know and that looks unfinished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) deploy: DeployId,
    pub(super) marked: usize,
    pub(super) why: String,
}

/// Which tenants' fence rows are at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Those of the whole fleet.
    Fleet,
    /// Those of a selection, or of the tenants that had to be asked: how many others carry a mark is not known.
    Part,
}

/// Looks through the fence rows of all surveyed tenants, `None` for a tenant without one; `known` says whether this log knows a
/// deploy (and so keeps its end itself).
pub(super) fn find(marks: &[Option<FenceMark>], seen: Seen, known: impl Fn(DeployId) -> bool) -> Option<Lost> {
    let mut by_deploy: BTreeMap<DeployId, Vec<&FenceMark>> = BTreeMap::new();
    for mark in marks.iter().flatten().filter(|mark| !known(mark.deploy)) {
        by_deploy.entry(mark.deploy).or_default().push(mark);
    }
    by_deploy.into_iter().find_map(|(deploy, of)| {
        let why = unfinished(deploy, &of, marks, seen)?;
        Some(Lost { deploy, marked: of.len(), why })
    })
}

/// Why the deploy cannot have ended, if it cannot.
fn unfinished(deploy: DeployId, of: &[&FenceMark], all: &[Option<FenceMark>], seen: Seen) -> Option<String> {
    let count = |state| of.iter().filter(|mark| mark.state == state).count();
    let (open, done, undone) = (count(FenceState::Open), count(FenceState::Done), count(FenceState::Undone));
    if open > 0 {
        return Some(format!("its work is under way on {open}"));
    }
    if done > 0 && undone > 0 {
        return Some(format!("{undone} have been lowered again and {done} have not"));
    }
    let planned = of.first().map_or(0, |mark| mark.tenants);
    // A tenant without a mark, or with one of an earlier deploy, has not been reached; one with a later mark has moved on. Ids are
    // ordered by time, which is good enough for a warning that can be overridden, and for nothing else.
    let behind = all.iter().any(|mark| mark.as_ref().is_none_or(|mark| mark.deploy < deploy));
    let reached = u64::try_from(done).unwrap_or(u64::MAX);
    (seen == Seen::Fleet && done > 0 && reached < planned && behind)
        .then(|| format!("it has reached {done} of its {planned}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, LogId};

    fn id(n: u128) -> DeployId {
        DeployId(uuid::Uuid::from_u128(n))
    }

    fn mark(deploy: u128, tenants: u64, state: FenceState) -> FenceMark {
        FenceMark { epoch: Epoch(1), log: LogId(uuid::Uuid::nil()), deploy: id(deploy), tenants, state }
    }

    fn why(marks: &[Option<FenceMark>]) -> Option<String> {
        find(marks, Seen::Fleet, |_| false).map(|lost| lost.why)
    }

    #[test]
    fn a_deploy_that_reached_all_its_tenants_has_ended() {
        assert_eq!(why(&[Some(mark(1, 2, FenceState::Done)), Some(mark(1, 2, FenceState::Done)), None]), None);
    }

    #[test]
    fn a_deploy_that_lowered_all_it_had_touched_has_ended() {
        assert_eq!(why(&[Some(mark(1, 3, FenceState::Undone)), Some(mark(1, 3, FenceState::Undone)), None]), None);
    }

    #[test]
    fn open_mixed_and_half_way_deploys_are_unfinished() {
        assert!(why(&[Some(mark(1, 2, FenceState::Open)), None]).is_some());
        assert!(why(&[Some(mark(1, 2, FenceState::Done)), Some(mark(1, 2, FenceState::Undone))]).is_some());
        assert_eq!(why(&[Some(mark(1, 2, FenceState::Done)), None]).unwrap(), "it has reached 1 of its 2");
    }

    #[test]
    fn an_older_deploy_whose_tenants_have_moved_on_has_ended() {
        assert_eq!(why(&[Some(mark(1, 2, FenceState::Done)), Some(mark(2, 1, FenceState::Done))]), None);
    }

    #[test]
    fn a_deploy_that_this_log_knows_is_its_own_business() {
        assert_eq!(find(&[Some(mark(1, 2, FenceState::Open))], Seen::Fleet, |_| true), None);
    }

    #[test]
    fn from_a_part_of_the_fleet_it_cannot_be_told_how_far_a_deploy_came() {
        let marks = [Some(mark(1, 9, FenceState::Done)), None];
        assert!(find(&marks, Seen::Fleet, |_| false).is_some());
        assert_eq!(find(&marks, Seen::Part, |_| false), None);
        assert!(find(&[Some(mark(1, 9, FenceState::Open))], Seen::Part, |_| false).is_some());
    }
}
