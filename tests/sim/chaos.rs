//! What befalls a process at its calls: drawn here, and done here as far as it concerns the process and not the call.

use std::sync::Arc;
use std::time::Duration;

use windlass::base::limits::LEASE;
use windlass::engine::Stop;
use windlass::log::Log as _;

use crate::human;
use crate::process::Process;
use crate::world::{Fault, Menu, World};

/// What befalls a process, wherever it is.
const PROCESS: [(u64, Fault); 11] = [
    (4, Fault::CrashBefore),
    (4, Fault::CrashDuring),
    (5, Fault::CrashAfter),
    (2, Fault::Pause(3_000)),
    (4, Fault::Pause(40_000)),
    (5, Fault::TakenForDead),
    (1, Fault::Drain),
    (2, Fault::StopNow),
    (2, Fault::Unwind),
    (1, Fault::Retry),
    (2, Fault::Slow(800)),
];

/// What befalls a call to a database.
const TENANT: [(u64, Fault); 8] = [
    (3, Fault::Slow(8_000)),
    (2, Fault::Slow(45_000)),
    (6, Fault::Refused),
    (6, Fault::Lost),
    (9, Fault::ReplyLost),
    (3, Fault::Hang),
    (4, Fault::Down(3_000)),
    (6, Fault::Down(40_000)),
];

/// Calls to a database are fewer than those to the log, and more can become of them.
const ROUGH_AT_TENANTS: u64 = 2;

/// What befalls a call to the log.
const LOG: [(u64, Fault); 3] = [(3, Fault::Slow(20_000)), (5, Fault::Refused), (3, Fault::Gone { with_effect: false })];

/// What befalls a call to the log that, by the contract, may have had its effect although it failed.
const LOG_UNSURE: [(u64, Fault); 2] = [(6, Fault::ReplyLost), (4, Fault::Gone { with_effect: true })];

/// Whether a call to the log may fail and have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsure {
    Yes,
    /// Only if the log is not there any more. Of one that was busy, its writer knows that the group was not committed.
    IfGone,
    No,
}

/// Strikes.
#[derive(Clone)]
pub struct Chaos {
    pub world: Arc<World>,
}

impl Chaos {
    pub async fn at_tenant(&self, process: &Arc<Process>, may_tear: bool, place: &str) -> Option<Fault> {
        let mut menu = TENANT.to_vec();
        if may_tear {
            menu.push((12, Fault::Torn));
        }
        let menu = Menu { rough: ROUGH_AT_TENANTS, faults: menu };
        self.strike(process, menu, place).await
    }

    pub async fn at_log(&self, process: &Arc<Process>, unsure: Unsure, place: &str) -> Option<Fault> {
        let mut menu = LOG.to_vec();
        match unsure {
            Unsure::Yes => menu.extend(LOG_UNSURE),
            Unsure::IfGone => menu.push((4, Fault::Gone { with_effect: true })),
            Unsure::No => {}
        }
        let fault = self.strike(process, Menu { rough: 1, faults: menu }, place).await;
        // It may have been a sign of life, or what gives a lease back.
        if fault.is_some() {
            process.harm();
        }
        fault
    }

    async fn strike(&self, process: &Arc<Process>, mut menu: Menu, place: &str) -> Option<Fault> {
        // A human is not killed.
        if !process.is_human() {
            menu.faults.extend(PROCESS);
        }
        let fault = self.world.fault(process, &menu, place);
        for lasts in self.world.pauses_due() {
            drop(tokio::spawn(human::pauses(Arc::clone(&self.world), lasts)));
        }
        let fault = fault?;
        match fault {
            Fault::CrashBefore => {
                self.world.struck(fault);
                process.kill();
                std::future::pending::<()>().await;
            }
            Fault::Pause(ms) => {
                let outlasts = Duration::from_millis(ms) >= LEASE;
                if !outlasts || self.world.inner().oracle.holds_any(process) {
                    self.world.struck(fault);
                }
                if outlasts {
                    process.harm();
                }
                process.pause(ms);
                // Before the message is on its way, or before its answer is read.
                if self.world.either_way() {
                    process.gate().await;
                }
            }
            Fault::TakenForDead => self.take_for_dead(process).await,
            Fault::Drain => {
                if process.say(Stop::Drain) {
                    self.world.struck(fault);
                }
            }
            Fault::StopNow => {
                process.say(Stop::Drain);
                if process.say(Stop::Now) {
                    self.world.struck(fault);
                }
            }
            Fault::Unwind => drop(tokio::spawn(human::unwinds(Arc::clone(&self.world)))),
            Fault::Retry => drop(tokio::spawn(human::retries(Arc::clone(&self.world)))),
            fault => return Some(fault),
        }
        None
    }

    /// As a successor does that cannot find the process: its leases are over, and nobody tells it.
    async fn take_for_dead(&self, process: &Process) {
        let newest = self.world.log.deploys(None, 1).await.unwrap_or_default().pop();
        let Some(deploy) = newest.map(|row| row.id) else { return };
        let worker = process.worker();
        let expelled = self.world.log.expel(deploy, &worker).await.unwrap_or_default();
        self.world.inner().oracle.expelled(deploy, &worker);
        if expelled > 0 {
            self.world.struck(Fault::TakenForDead);
        }
        self.world.tell(&"somebody", || format!("takes {worker} for dead: {expelled} leases are over"));
    }
}
