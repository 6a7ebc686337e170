//! Which tenant goes in which wave.

use crate::fleet::{Selector, Tenant};
use crate::saga::workflow::{Budget, Stage, Workflow};

use super::EngineError;

/// For every tenant its wave in each stage, and for every stage how many waves it has.
///
/// A wave takes, in the order of the tenants, those that its selector matches and no earlier wave took; with a size it is cut into
/// several. A wave that nobody is in is left out. Tenants that no wave takes go last, in a wave of their own: nobody is skipped in
/// silence (promise P7).
pub(super) fn assign(workflow: &Workflow, tenants: &[&Tenant]) -> Result<(Vec<Vec<u32>>, Vec<u32>), EngineError> {
    let mut waves = vec![Vec::with_capacity(workflow.stages.len()); tenants.len()];
    let mut counts = Vec::with_capacity(workflow.stages.len());
    for stage in &workflow.stages {
        let (of, count) = assign_stage(stage, tenants)?;
        for (tenant, wave) in of.into_iter().enumerate() {
            waves[tenant].push(wave);
        }
        counts.push(count);
    }
    Ok((waves, counts))
}

fn assign_stage(stage: &Stage, tenants: &[&Tenant]) -> Result<(Vec<u32>, u32), EngineError> {
    let mut taken: Vec<Option<u32>> = vec![None; tenants.len()];
    let mut next = 0_u32;
    for wave in &stage.waves {
        let selector = Selector::parse(&wave.select)?;
        let members: Vec<usize> = tenants
            .iter()
            .enumerate()
            .filter(|(index, tenant)| taken[*index].is_none() && selector.matches(&tenant.id, &tenant.labels))
            .map(|(index, _)| index)
            .collect();
        for chunk in members.chunks(size(wave.size, tenants.len())) {
            for index in chunk {
                taken[*index] = Some(next);
            }
            next += 1;
        }
    }
    if taken.iter().any(Option::is_none) {
        for wave in &mut taken {
            wave.get_or_insert(next);
        }
        next += 1;
    }
    // A stage of a deploy without tenants has one wave that is over as soon as it opens.
    Ok((taken.into_iter().map(Option::unwrap_or_default).collect(), next.max(1)))
}

/// How many tenants of a wave go at a time; a percentage is of all tenants, rounded up.
fn size(size: Option<Budget>, all: usize) -> usize {
    let size = match size {
        None => usize::MAX,
        Some(Budget::Count(count)) => usize::try_from(count).unwrap_or(usize::MAX),
        Some(Budget::Percent(percent)) => {
            let (mut low, mut high) = (1, all.max(1));
            // The smallest size that is at least the percentage, without a float that has to become an integer.
            while low < high {
                let middle = usize::midpoint(low, high);
                #[allow(clippy::cast_precision_loss, reason = "a fleet has at most a million tenants")]
                if middle as f64 * 100.0 >= percent * all as f64 { high = middle } else { low = middle + 1 }
            }
            low
        }
    };
    size.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_up_and_never_nothing() {
        assert_eq!(size(Some(Budget::Percent(10.0)), 24), 3);
        assert_eq!(size(Some(Budget::Percent(0.1)), 24), 1);
        assert_eq!(size(Some(Budget::Percent(100.0)), 24), 24);
        assert_eq!(size(Some(Budget::Percent(50.0)), 0), 1);
    }
}
