//! The deploy machine: its legal moves and its decisions as tables, and whole deploys with random outcomes in random order.

mod moves;
mod next;
mod whole;

use super::*;
use crate::base::Digest;
use crate::saga::testing::{created, operator, paused, policy, resumed, set};

fn entered(stage: u32) -> DeployEvent {
    DeployEvent::StageEntered { stage }
}

fn opened(stage: u32, wave: u32) -> DeployEvent {
    DeployEvent::WaveOpened { stage, wave }
}

fn sealed() -> DeployEvent {
    DeployEvent::Sealed { root: Digest::of(b"root"), signature: None }
}
