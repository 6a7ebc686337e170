//! The people: an operator who says things at bad moments, and one who settles what only a human can.
//!
//! They are honest. What they say of a tenant is so, because they look first and, where something is to be done by hand, do it first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use windlass::base::{DeployId, TenantId};
use windlass::engine::{Word, pause, resolve, resumed, retry, turn};
use windlass::log::{Log as _, TenantQuery};
use windlass::saga::event::{Actor, Half, Resolution};
use windlass::saga::summary::TenantStatus;

use crate::gateway::at_site;
use crate::log::SimLog;
use crate::oracle::Stuck;
use crate::process::Process;
use crate::world::{Fault, World};

/// How often the human comes to look.
const ROUND: Duration = Duration::from_secs(5);
/// How often an operator looks who wants to say `retry`, and for how long.
const GLANCE: Duration = Duration::from_secs(1);
const HOPE: Duration = Duration::from_mins(10);

fn word(process: &Process, reason: &str) -> Word {
    let actor = Actor { name: "operator".to_owned(), host: "sim".to_owned() };
    Word { actor, by: process.worker(), reason: reason.to_owned() }
}

async fn newest(world: &World) -> Option<DeployId> {
    world.log.deploys(None, 1).await.unwrap_or_default().pop().map(|row| row.id)
}

/// Says `unwind`, whatever is going on.
pub async fn unwinds(world: Arc<World>) {
    let process = Process::human("operator");
    let Some(deploy) = newest(&world).await else { return };
    let log = SimLog::of(&world, &process);
    let said = turn(&*log, deploy, &word(&process, "second thoughts")).await;
    if matches!(said, Ok(true)) {
        world.struck(Fault::Unwind);
    }
    world.tell(&"operator", || {
        format!("unwind: {}", said.map_or_else(|error| error.to_string(), |new| new.to_string()))
    });
}

/// Says `pause`, whatever is going on, and after a while `resume`, until it is heard.
pub async fn pauses(world: Arc<World>, lasts: Duration) {
    let process = Process::human("pauser");
    let Some(deploy) = newest(&world).await else { return };
    let log = SimLog::of(&world, &process);
    let ours = word(&process, "a look at it");
    let said = pause(&*log, deploy, &ours).await;
    world.tell(&"pauser", || format!("pause: {}", said.map_or_else(|error| error.to_string(), |new| new.to_string())));
    tokio::time::sleep(lasts).await;
    // Whether or not they were told that it was: an answer may be lost.
    while world.log.deploy(deploy).await.is_ok_and(|row| row.summary.paused) {
        let said = resumed(&*log, deploy, &ours.actor, &ours.by).await;
        world.tell(&"pauser", || {
            format!("resume: {}", said.map_or_else(|error| error.to_string(), |new| new.to_string()))
        });
        tokio::time::sleep(GLANCE).await;
    }
}

/// Waits until something is stuck, if anything comes to be, and says `retry` at once, though nobody asked. What is stuck may be so for good;
/// then it is so again.
pub async fn retries(world: Arc<World>) {
    let process = Process::human("operator");
    let waits_until = world.clock.elapsed() + HOPE;
    let (deploy, tenant) = loop {
        // Two people do not see to one tenant at a time, and what is torn or was taken back by hand is not tried again.
        let deploy = newest(&world).await;
        let found = deploy.and_then(|deploy| Some((deploy, world.inner().oracle.may_be_retried(deploy)?)));
        match found {
            Some(found) => break found,
            None if world.clock.elapsed() > waits_until => return,
            None => tokio::time::sleep(GLANCE).await,
        }
    };
    let log = SimLog::of(&world, &process);
    let said = retry(&*log, deploy, Some(&tenant), &word(&process, "once more")).await;
    world.inner().oracle.operator_is_done();
    if said.is_ok() {
        world.struck(Fault::Retry);
    }
    world
        .tell(&"operator", || format!("retry: {}", said.map_or_else(|error| error.to_string(), |_| "said".to_owned())));
}

/// What the human has decided about a stuck step, until the log has heard of it.
type Decided = BTreeMap<(DeployId, TenantId), (u64, Resolution)>;

/// Settles what is stuck, as long as the world lasts.
pub async fn settles(world: Arc<World>) {
    let mut decided = Decided::new();
    let mut life = 0;
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(deploy) = newest(&world).await else { continue };
        let query = TenantQuery { statuses: vec![TenantStatus::Stuck], after: None, limit: usize::MAX };
        for row in world.log.tenants(deploy, &query).await.unwrap_or_default() {
            life += 1;
            let process = Process::human(&format!("human-{life}"));
            settle(&world, &process, deploy, &row.tenant, row.last_seq.0, &mut decided).await;
        }
    }
}

async fn settle(
    world: &Arc<World>,
    process: &Arc<Process>,
    deploy: DeployId,
    tenant: &TenantId,
    at: u64,
    decided: &mut Decided,
) {
    let resolution = match decided.get(&(deploy, tenant.clone())) {
        Some((of, resolution)) if *of == at => *resolution,
        _ => {
            let Some(stuck) = world.inner().oracle.stuck(deploy, tenant) else { return };
            let Some(resolution) = by_hand(world, process, tenant, &stuck) else { return };
            decided.insert((deploy, tenant.clone()), (at, resolution));
            resolution
        }
    };
    let log = SimLog::of(world, process);
    let ours = word(process, "looked at it");
    let said = if resolution == Resolution::Retry {
        retry(&*log, deploy, Some(tenant), &ours).await
    } else {
        resolve(&*log, deploy, tenant, resolution, &ours).await
    };
    world.tell(&**process, || {
        let said = said.map_or_else(|error| error.to_string(), |_| "said".to_owned());
        format!("{tenant}: {resolution:?}: {said}")
    });
}

/// Looks at the database, brings it where it is to be, and says what is so now. None while somebody is still at work there, or the
/// server is down.
fn by_hand(world: &World, process: &Process, tenant: &TenantId, stuck: &Stuck) -> Option<Resolution> {
    let drawn = world.inner().chance.below(3);
    at_site(world, process, tenant, |site| {
        let at_work = site.db.connected.values().any(|session| session.busy > 0);
        if at_work || site.db.down_until > site.now {
            return None;
        }
        for session in site.db.connected.values_mut() {
            session.ended = true;
        }
        let mended = site.db.mend();
        Some(match (drawn, stuck.half) {
            (0, _) if !stuck.torn && (mended || stuck.half == Half::Act) => Resolution::Retry,
            // Of an act in doubt, and of an undo that failed half-way: it is in effect as a whole, and is to stay.
            (1, _) => {
                site.complete(stuck);
                Resolution::Applied
            }
            _ => {
                site.take_back(stuck);
                Resolution::Undone
            }
        })
    })
}

/// Reads the reasons of a deploy's end, and writes into the ledgers what they could not be told.
pub fn tells(world: &World, deploy: DeployId) {
    let process = Process::human("human");
    let release = world.scenario.release(world.scenario.migrations.len());
    let untold = world.inner().oracle.untold(deploy);
    for tenant in untold {
        world.met("a ledger that could not be told");
        at_site(world, &process, &tenant, |site| {
            for (at, migration) in release.migrations.iter().enumerate() {
                let is_there = world.scenario.subjects(at).any(|subject| site.db.present().contains(&subject));
                site.write_by_hand(deploy, migration, is_there);
            }
        });
    }
}
