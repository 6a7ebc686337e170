//! One seed from its first moment to its last.

use std::cell::RefCell;
use std::sync::{Arc, Once};
use std::time::Duration;

use windlass::audit;
use windlass::base::Digest;
use windlass::log::Log as _;
use windlass::saga::event::Event;

use crate::coverage::{self, Seen};
use crate::human;
use crate::scenario::{Cuts, Scenario};
use crate::worker;
use crate::world::{Broken, Fault, Telling, World};

/// By when a deploy has ended, whatever befell it: the faults are few, and then nothing goes wrong any more.
const JOB_MAX: Duration = Duration::from_hours(2);
/// After which nothing is on its way any more.
const SETTLED: Duration = Duration::from_mins(10);

/// What became of a seed.
#[derive(Debug, Clone)]
pub struct Run {
    pub broken: Option<Broken>,
    pub events: u64,
    pub calls: u64,
    /// How much time went by in the simulation.
    pub lasted: Duration,
    /// As they were drawn.
    pub faults: Vec<(usize, Fault, String)>,
    /// Those that had an effect.
    pub struck: Seen,
    /// What it came past, faults apart.
    pub seen: Seen,
    pub refused: Option<String>,
    /// Of the bytes of all events of all deploys.
    pub bytes: Digest,
    pub history: Vec<String>,
}

thread_local! {
    /// The panic of the simulation that runs in this thread.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static SIMULATING: RefCell<bool> = const { RefCell::new(false) };
}

/// A panic inside a simulation is a finding of that seed: the engine catches those of its drivers, and would go on.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if SIMULATING.with_borrow(|simulating| *simulating) {
                PANIC.with_borrow_mut(|panic| {
                    panic.get_or_insert_with(|| info.to_string());
                });
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs a seed.
pub fn simulate(seed: u64, cuts: &Cuts, telling: Telling) -> Run {
    watch_panics();
    PANIC.take();
    SIMULATING.set(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let local = tokio::task::LocalSet::new();
    let mut run = local.block_on(&runtime.expect("a runtime"), live(Scenario::draw(seed, cuts), telling));
    SIMULATING.set(false);
    if let Some(panic) = PANIC.take() {
        run.broken = Some(Broken { promise: "panic", what: panic });
    }
    run
}

async fn live(scenario: Scenario, telling: Telling) -> Run {
    let world = World::new(scenario, telling);
    let mut people = tokio::task::JoinSet::new();
    people.spawn_local(human::settles(Arc::clone(&world)));
    for number in 1..=world.scenario.workers {
        people.spawn_local(worker::works(Arc::clone(&world), number));
    }
    for (number, job) in world.scenario.jobs.clone().into_iter().enumerate() {
        if number > 0 && world.scenario.mends_between {
            world.inner().databases.values_mut().for_each(|db| _ = db.mend());
        }
        let deploys = world.log.deploys(None, usize::MAX).await.unwrap_or_default();
        {
            let board = &mut world.inner().board;
            (board.job, board.done, board.before) =
                (Some(job), false, (deploys.len(), deploys.first().map(|of| of.id)));
        }
        world.tell(&"asked for", || format!("{job:?}"));
        if !comes_to_an_end(&world).await {
            break;
        }
    }
    people.abort_all();
    tokio::time::sleep(SETTLED).await;
    reads_back(&world).await
}

/// Whether the job came to its end, so that the next can be done.
async fn comes_to_an_end(world: &World) -> bool {
    let began = world.clock.elapsed();
    let (deploys, _) = world.inner().board.before;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if world.is_over() {
            return false;
        }
        // With reason: the oracle has looked at it.
        if world.inner().board.refused.is_some() {
            return false;
        }
        let all = world.log.deploys(None, usize::MAX).await.unwrap_or_default();
        if all.len() > deploys && all.iter().all(|of| of.summary.outcome.is_some()) {
            world.inner().board.done = true;
        }
        if world.inner().board.done && all.iter().all(|of| of.summary.outcome.is_some()) {
            return true;
        }
        if world.clock.elapsed() > began + JOB_MAX {
            let state = all.first().map(|of| format!("{:?}", of.summary));
            world.broke("P7", format!("no end after {JOB_MAX:?}: {state:?}"));
            return false;
        }
    }
}

/// When nothing happens any more: the databases, the chains and the seals, and the bytes.
async fn reads_back(world: &Arc<World>) -> Run {
    let deploys = world.log.deploys(None, usize::MAX).await.unwrap_or_default();
    let mut bytes = Vec::new();
    for deploy in deploys.iter().rev() {
        for stream in world.log.raw(deploy.id).await.unwrap_or_default() {
            bytes.extend(stream.events.iter().flat_map(|event| event.body.bytes()));
        }
        if world.broken().is_some() {
            continue;
        }
        match audit::verify(&*world.log, deploy.id, &[]).await {
            Ok(report) if report.findings.is_empty() => {}
            Ok(report) => world.broke("P8", format!("{:?}", report.findings)),
            Err(error) => world.broke("P8", error.to_string()),
        }
    }
    if let Some(last) = deploys.first().filter(|_| world.broken().is_none()) {
        let found = {
            let inner = &*world.inner();
            if inner.oracle.is_finished(last.id) { inner.oracle.finished(last.id, &inner.databases) } else { Ok(()) }
        };
        world.judge(found);
    }
    if world.inner().oracle.is_beyond_evidence {
        world.met("a torn transaction that nobody heard of");
    }
    let mut seen = coverage::seen(world, deploys.iter().map(|of| of.id)).await;
    seen.extend(world.take_met());
    let (struck, history) = (world.take_struck(), world.take_history());
    let inner = world.inner();
    Run {
        broken: inner.broken().cloned(),
        events: inner.oracle.events,
        calls: inner.calls(),
        lasted: world.clock.elapsed(),
        faults: inner.faults.taken.clone(),
        struck,
        seen,
        refused: inner.board.refused.clone(),
        bytes: Digest::of(&bytes),
        history,
    }
}

/// An event in a line for people.
pub fn line(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap_or_default();
    let mut words = vec![json.get("type").and_then(|of| of.as_str()).unwrap_or_default().to_owned()];
    for (key, value) in json.as_object().into_iter().flatten().filter(|(key, _)| *key != "type") {
        words.push(format!("{key}={value}"));
    }
    let line = words.join(" ");
    if line.chars().count() > 220 { line.chars().take(220).chain(['…']).collect() } else { line }
}
