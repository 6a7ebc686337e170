//! A worker: a program that is started, dies, and is started again, and drives whatever deploy there is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use windlass::base::DeployId;
use windlass::base::limits::LEASE;
use windlass::engine::{
    Engine, EngineError, Gateway, OutOfOrder, Prepared, Request, Settings, SurveyMode, prepare, prepare_rollback,
};
use windlass::log::{CreateError, Log};
use windlass::saga::event::{Actor, Trigger};
use windlass::saga::workflow::Workflow;
use windlass::step::Kinds;

use crate::chaos::Chaos;
use crate::gateway::SimGateway;
use crate::log::SimLog;
use crate::oracle::asked::is_unanswered;
use crate::process::Process;
use crate::scenario::Job;
use crate::world::World;

/// The fleet's name.
pub const FLEET: &str = "sim";

/// Lives for ever, one life after the other.
pub async fn works(world: Arc<World>, number: usize) {
    for life in 1.. {
        // Under its own name a worker's leases are known to be free when it comes back; under another they have to run out.
        let name = if world.either_way() { format!("w{number}") } else { format!("w{number}.{life}") };
        let process = Process::new(&name);
        let mut running = tokio::task::spawn_local(lives(Arc::clone(&world), Arc::clone(&process)));
        let rest = tokio::select! {
            biased;
            () = process.killed() => {
                running.abort();
                let _ = (&mut running).await;
                world.tell(&*process, || "is dead".to_owned());
                world.inner().chance.between(10, 30_000)
            }
            _ = &mut running => world.inner().chance.between(50, 3_000),
        };
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
}

/// One life: what `windlass deploy`, or `windlass resume`, does.
async fn lives(world: Arc<World>, process: Arc<Process>) {
    let deploys = world.log.deploys(Some(FLEET), usize::MAX).await.unwrap_or_default();
    let (job, (count, last)) = {
        let board = &world.inner().board;
        (board.job.filter(|_| !board.done), board.before)
    };
    let deploy = match (deploys.first(), job) {
        (Some(row), _) if row.summary.outcome.is_none() => Some(row.id),
        (_, Some(job)) if deploys.len() == count => asks(&world, &process, job, last).await,
        _ => None,
    };
    let Some(deploy) = deploy else { return };
    let (log, gateway) = ways(&world, &process);
    let settings = Settings { concurrency: world.scenario.concurrency, lease: LEASE };
    let engine = Engine::new(log, gateway, process.worker(), settings);
    world.tell(&*process, || "runs".to_owned());
    let ended = engine.run(deploy, process.stop()).await;
    world.tell(&*process, || {
        format!("comes back: {}", ended.map_or_else(|error| error.to_string(), |of| format!("{of:?}")))
    });
}

fn ways(world: &Arc<World>, process: &Arc<Process>) -> (Arc<dyn Log>, Arc<dyn Gateway>) {
    let chaos = Chaos { world: Arc::clone(world) };
    let gateway = SimGateway { world: Arc::clone(world), process: Arc::clone(process), chaos };
    (SimLog::of(world, process), Arc::new(gateway))
}

/// Has a deploy prepared and created; gives the one that there is then.
async fn asks(world: &Arc<World>, process: &Arc<Process>, job: Job, newest: Option<DeployId>) -> Option<DeployId> {
    let (log, gateway) = ways(world, process);
    let prepared = match (job, newest) {
        (Job::Release(count), _) => prepare(&*log, &*gateway, request(world, count)).await,
        (Job::Rollback, Some(of)) => prepare_rollback(&*log, &*gateway, request(world, 1), of).await,
        (Job::Rollback, None) => return None,
    };
    let prepared = match prepared {
        Ok(prepared) if prepared.changing() == 0 => {
            nothing_to_do(world, process, job, newest).await;
            return None;
        }
        Ok(prepared) => prepared,
        Err(error) => {
            refused(world, process, (job, newest), &error);
            return None;
        }
    };
    let trigger = match (job, newest) {
        (Job::Rollback, Some(of)) => Trigger::Rollback { of },
        _ => Trigger::Command,
    };
    creates(world, process, &*log, prepared, trigger).await
}

async fn creates(
    world: &World,
    process: &Process,
    log: &dyn Log,
    prepared: Prepared,
    trigger: Trigger,
) -> Option<DeployId> {
    let id = {
        let board = &mut world.inner().board;
        board.asked += 1;
        DeployId(uuid::Uuid::from_u128(board.asked))
    };
    let actor = Actor { name: process.to_string(), host: "sim".to_owned() };
    let new = prepared.into_new_deploy(id, trigger, actor, process.worker()).expect("a prepared deploy can be created");
    match log.create_deploy(new).await {
        Ok(()) => Some(id),
        Err(CreateError::FleetBusy { deploy, .. }) => {
            world.met("a deploy asked for twice");
            Some(deploy)
        }
        Err(error) => {
            world.tell(process, || format!("creates nothing: {error}"));
            None
        }
    }
}

/// Taken at its word only while nobody else has begun a deploy: of one that has, the log tells how it ends.
async fn nothing_to_do(world: &World, process: &Process, job: Job, newest: Option<DeployId>) {
    let deploys = world.log.deploys(Some(FLEET), usize::MAX).await.unwrap_or_default();
    let found = {
        let inner = &mut *world.inner();
        if deploys.len() != inner.board.before.0 {
            return;
        }
        inner.board.done = true;
        inner.oracle.nothing_to_do(job, newest, &inner.databases)
    };
    world.tell(process, || "has nothing to do".to_owned());
    world.met("nothing to do");
    world.judge(found);
}

/// What is only for want of an answer is asked for again in the next life.
fn refused(world: &World, process: &Process, (job, newest): (Job, Option<DeployId>), error: &EngineError) {
    world.tell(process, || format!("is refused: {error:?}"));
    let for_good = match error {
        // Whoever came first has a deploy under way, or had: it is asked for again if it still has to be.
        EngineError::Log(_) | EngineError::Create(_) => false,
        EngineError::Refused { refusals, .. } => refusals.iter().any(|of| !is_unanswered(of.code)),
        _ => true,
    };
    if for_good {
        world.met(match error {
            EngineError::WrongState { .. } => "a rollback refused: it was unwound",
            _ => "a rollback refused: it is irreversible",
        });
        let found = world.inner().oracle.refused(job, newest, error);
        world.judge(found);
        world.inner().board.refused = Some(format!("{error:?}"));
    }
}

fn request(world: &World, migrations: usize) -> Request {
    let workflow_text = world.scenario.workflow();
    Request {
        fleet: FLEET.to_owned(),
        release: world.scenario.release(migrations),
        workflow: Workflow::parse("sim.toml", &workflow_text).expect("a workflow"),
        workflow_text,
        tenants: world.scenario.fleet(),
        whole_fleet: true,
        survey: if world.scenario.trusts_log { SurveyMode::Unknown } else { SurveyMode::All },
        out_of_order: OutOfOrder::Refuse,
        disowned: BTreeSet::new(),
        new_databases: BTreeSet::new(),
        concurrency: world.scenario.concurrency,
        kinds: Kinds::default(),
    }
}
