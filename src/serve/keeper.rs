//! Keeps the deploys of a fleet going: takes up what is unfinished, makes deploys of what was asked for, one after the other.
//!
//! There is nothing here that a crash could lose. Requests are rows of the desk, deploys are streams of the log, and each round asks
//! both what there is to do. Where this process dies
//!
//! - before a request was taken in: it was not answered, and is sent again;
//! - after it was taken in, whether the sender has been answered or not: the next server finds it queued;
//! - after its deploy was created, and before the request was settled: the next server finds a deploy with the request's id, and
//!   settles the request by that;
//! - in the middle of the deploy: the next server drives it on from its log, like any other process would;
//! - after its end: whoever has not been told yet is told by the next server ([`super::report`]).

use std::sync::Arc;

use tokio::time::Instant;

use super::app::{App, Fleet};
use super::intake;
use super::source::SourceError;
use crate::base::limits::{DEPLOYS_REMEMBERED_MAX, KEEPER_LOOK, KEEPER_PAUSE_MAX};
use crate::base::{Code, Coded, DeployId};
use crate::engine::{self, Ending, Engine, EngineError, Settings, Stop, Word, host};
use crate::log::{CreateError, DeployRow, LogError, RequestState, Settled};
use crate::project::{ProjectError, claimable};
use crate::saga::event::{Actor, Direction};

/// How a round went.
enum Round {
    /// Something has moved: look again at once.
    Moved,
    /// There is nothing to do until somebody says something.
    Rest,
}

/// What ended a round.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("Windlass met a defect of its own, and begins anew; what it was is on the server's standard error")]
    Defect,
}

impl Coded for Trouble {
    fn code(&self) -> Code {
        match self {
            Trouble::Project(error) => error.code(),
            Trouble::Engine(error) => error.code(),
            Trouble::Log(error) => error.code(),
            Trouble::Source(error) => error.code(),
            Trouble::Defect => Code::Defect,
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            Trouble::Project(error) => error.next(),
            Trouble::Engine(error) => error.next(),
            Trouble::Log(error) => error.next(),
            Trouble::Source(error) => error.next(),
            Trouble::Defect => None,
        }
    }
}

/// Keeps one fleet's deploys going until the server ends.
pub(super) async fn keep(app: Arc<App>, fleet: Arc<Fleet>) {
    let mut stop = app.stop.clone();
    let mut pause = KEEPER_LOOK;
    let mut taken_up = None;
    while !app.stopping() {
        let rest = match round(&app, &fleet, &mut taken_up).await {
            Ok(round) => {
                fleet.note(None, app.log.clock().now());
                pause = KEEPER_LOOK;
                match round {
                    Round::Moved => continue,
                    Round::Rest => KEEPER_LOOK,
                }
            }
            Err(trouble) => {
                // Nothing is lost: what could not be done now is still in the log. The pause grows, so that a log that is gone for an
                // hour is not asked ten thousand times.
                tracing::warn!(fleet = fleet.name(), code = %trouble.code(), error = %trouble, "this fleet does not move; trying again");
                fleet.note(Some(&trouble), app.log.clock().now());
                pause = (pause * 2).min(KEEPER_PAUSE_MAX);
                pause
            }
        };
        let until = Instant::now() + rest;
        tokio::select! {
            () = fleet.wake.notified() => {}
            _ = stop.changed() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

/// Takes down that a defect of ours keeps a fleet from moving; the next round that goes well takes it back.
pub(super) fn met_defect(app: &App, fleet: &Fleet) {
    fleet.note(Some(&Trouble::Defect), app.log.clock().now());
}

/// The deploy of a fleet that has not ended.
pub(super) async fn under_way(app: &App, fleet: &Fleet) -> Result<Option<DeployRow>, LogError> {
    let rows = app.log.deploys(Some(fleet.name()), DEPLOYS_REMEMBERED_MAX).await?;
    Ok(rows.into_iter().find(|row| row.summary.outcome.is_none()))
}

async fn round(app: &Arc<App>, fleet: &Arc<Fleet>, taken_up: &mut Option<DeployId>) -> Result<Round, Trouble> {
    if let Some(row) = under_way(app, fleet).await? {
        return carry_on(app, fleet, row, taken_up).await;
    }
    let Some(request) = app.desk.next_queued(fleet.name()).await? else { return Ok(Round::Rest) };
    let id = request.id;
    let mut stop = app.stop.clone();
    let (theirs, project) = (Arc::clone(app), Arc::clone(fleet));
    let mut preparing = tokio::spawn(async move { intake::process(&theirs, &project, request).await });
    let became = tokio::select! {
        became = &mut preparing => became,
        // Looking at a large fleet, or at a repository, takes its time. Nothing of it is lost: the next server begins anew, and finds
        // the deploy by its id should it have been created in this moment.
        _ = stop.wait_for(|stop| *stop != Stop::Run) => {
            preparing.abort();
            return Ok(Round::Rest);
        }
    };
    let became = match became {
        Ok(became) => became?,
        // The runtime ends, and all tasks with it.
        Err(error) if error.is_cancelled() => return Ok(Round::Rest),
        // It would be met again and again, and everything behind it would wait.
        Err(error) => {
            tracing::error!(fleet = fleet.name(), deploy = %id, %error, "a defect of ours has met a request");
            let message = "Windlass met a defect of its own while it prepared this; nothing was touched".to_owned();
            let settled = Settled::Refused { code: Code::Defect, message, next: None, tenants: Vec::new() };
            match app.log.deploy(id).await {
                // It was met after the deploy had been created: the next round settles the request by that.
                Ok(_) => {}
                Err(LogError::DeployUnknown { .. }) => drop(app.desk.settle(id, settled).await?),
                // Whether there is a deploy cannot be known now, and nothing is said about it.
                Err(error) => return Err(error.into()),
            }
            intake::Became::Settled
        }
    };
    match became {
        // It is driven by the next round, like any other, and needs no word that it was taken up.
        intake::Became::Deploy(deploy) => *taken_up = Some(deploy),
        intake::Became::Settled => {}
        // Somebody else's deploy came first.
        intake::Became::Later => return Ok(Round::Rest),
    }
    Ok(Round::Moved)
}

/// Drives a deploy that is under way, whoever began it.
async fn carry_on(
    app: &Arc<App>,
    fleet: &Fleet,
    row: DeployRow,
    taken_up: &mut Option<DeployId>,
) -> Result<Round, Trouble> {
    let id = row.id;
    // Before a pause counts: one that was called off is to go down, whoever has paused it since.
    heed_request(app, id).await?;
    let summary = app.log.deploy(id).await?.summary;
    if summary.paused {
        return Ok(Round::Rest);
    }
    let direction = summary.direction;
    if app.log.census(id).await?.waits_for_human(direction) {
        return Ok(Round::Rest);
    }
    fleet.project.refuse_unresolved(&*app.log, id, &claimable(direction)).await?;
    if *taken_up != Some(id) && !is_driven(app, id).await? {
        if !engine::taken_up(&*app.log, id, &server_actor(), &app.worker).await? {
            return Ok(Round::Moved);
        }
        tracing::info!(fleet = fleet.name(), deploy = %id, "an unfinished deploy is taken up");
    }
    *taken_up = Some(id);
    let settings = Settings { concurrency: fleet.project.concurrency(), ..Settings::default() };
    let gateway = Arc::clone(&fleet.gateway);
    let engine = Engine::new(Arc::clone(&app.log), gateway, app.worker.clone(), settings)
        .knowing(fleet.project.kinds.clone())
        .signing_with(fleet.project.signer()?);
    // In a task of its own, as anywhere: what panics there is told as what it is.
    let stop = app.stop.clone();
    let ending = match tokio::spawn(async move { engine.run(id, stop).await }).await {
        Ok(ending) => ending?,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    tracing::info!(fleet = fleet.name(), deploy = %id, ?ending, "the deploy is let go of");
    Ok(match ending {
        Ending::Finished(_) => Round::Moved,
        Ending::Waiting | Ending::Stopped | Ending::Paused => Round::Rest,
    })
}

/// Whether somebody else is at work on a deploy, as far as can be known: then it goes faster with us, and was not left behind.
async fn is_driven(app: &App, id: DeployId) -> Result<bool, LogError> {
    Ok(app.log.holders(id).await?.iter().any(|holder| *holder != app.worker && !engine::is_dead(holder)))
}

/// What its request says of a deploy: that it is one now; or that somebody called it off while it was being created, which nobody could
/// know then, and which turns it before anything has started.
async fn heed_request(app: &App, id: DeployId) -> Result<(), Trouble> {
    let Some(request) = app.desk.request(id).await? else { return Ok(()) };
    match (request.state, request.settled) {
        (RequestState::Queued, _) => {
            app.desk.settle(id, Settled::Created).await?;
        }
        (_, Some(Settled::Cancelled { actor, reason })) => {
            let row = app.log.deploy(id).await?;
            if row.summary.direction == Direction::Forward {
                engine::turn(&*app.log, id, &Word { actor, by: app.worker.clone(), reason }).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Who takes deploys up here.
fn server_actor() -> Actor {
    Actor { name: "windlass serve".to_owned(), host: host() }
}

/// Whether an error passes by itself, so that what met it is to be tried again and not to be answered with it.
pub(super) fn passes(error: &LogError) -> bool {
    matches!(error, LogError::Busy { .. } | LogError::Full { .. } | LogError::Unavailable { .. })
}

/// As [`passes`], of the engine's errors.
pub(super) fn engine_passes(error: &EngineError) -> bool {
    match error {
        EngineError::Log(error) | EngineError::Create(CreateError::Log(error)) => passes(error),
        _ => false,
    }
}
