//! The waves of a deploy: which are open, and who stands there.

use crate::log::{Log, LogError};
use crate::saga::event::{DeployEvent, Direction};
use crate::saga::summary::{Census, DeploySummary};
use crate::saga::workflow::Workflow;

use super::bar::Bar;

/// Waves of a stage that are shown one by one, around the last open one.
const WAVES_SHOWN: u32 = 12;

/// A stage.
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) waves: Vec<Wave>,
    /// Waves before and behind those that are shown.
    pub(super) before: u32,
    pub(super) behind: u32,
}

/// A wave.
pub(super) struct Wave {
    /// From 1.
    pub(super) number: u32,
    /// Whether its tenants may start.
    pub(super) open: bool,
    /// Who stands there: their next step lies in it, or their last one did.
    pub(super) bar: Option<Bar>,
}

/// The stages of a deploy that was created so and stands so.
pub(super) async fn stages(
    log: &dyn Log,
    created: &DeployEvent,
    summary: &DeploySummary,
    census: &Census,
) -> Result<Vec<Stage>, LogError> {
    let DeployEvent::DeployCreated { workflow, waves, .. } = created else { return Ok(Vec::new()) };
    let text = log.blob(workflow).await?;
    // Names alone are taken from it: one that an older Windlass wrote and this one does not read costs the page nothing else.
    let workflow = std::str::from_utf8(&text).ok().and_then(|text| Workflow::parse("", text).ok());
    let names = |stage: usize| workflow.as_ref().and_then(|of| of.stages.get(stage)).map(|stage| stage.name.clone());
    let stage = |(at, count): (u32, &u32)| {
        let last_open = summary.open.map_or(0, |(stage, wave)| if stage == at { wave } else { 0 });
        let first = last_open.saturating_sub(WAVES_SHOWN / 2).min(count.saturating_sub(WAVES_SHOWN));
        let last = (first + WAVES_SHOWN).min(*count);
        Stage {
            name: names(at as usize).unwrap_or_else(|| format!("stage {}", at + 1)),
            waves: (first..last).map(|wave| shown(at, wave, summary, census)).collect(),
            before: first,
            behind: count - last,
        }
    };
    Ok((0..).zip(waves).map(stage).collect())
}

fn shown(stage: u32, wave: u32, summary: &DeploySummary, census: &Census) -> Wave {
    let there = census.groups.iter().filter(|((_, of, at), _)| (*of, *at) == (stage, wave));
    let bar = Bar::of(there.map(|((status, _, _), count)| (*status, *count)));
    let reached = summary.open.is_some_and(|open| (stage, wave) <= open);
    Wave {
        number: wave + 1,
        open: reached && summary.outcome.is_none() && summary.direction != Direction::Unwind,
        bar: (!bar.pieces.is_empty()).then_some(bar),
    }
}
