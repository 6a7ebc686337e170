//! From a request to a deploy: the release found, the fleet looked at, the deploy created under the id that the asker was told.
//!
//! Whatever can be known to be wrong settles the request as refused, before anything is touched, and is what the asker is told. What
//! passes by itself (a log that is busy or gone, a full disk) settles nothing: the request stays queued and is looked at again. A
//! repository that cannot be reached is waited for, but not for ever ([`SOURCE_PATIENCE`]).

use std::time::Instant;

use metrics::counter;

use super::app::{App, Fleet};
use super::keeper::{Trouble, engine_passes, passes};
use super::source::{Revision, SourceError, SourceKind};
use crate::base::crash::{Point, point};
use crate::base::limits::{SETTLED_TENANTS_MAX, SOURCE_PATIENCE};
use crate::base::measure;
use crate::base::{Code, Coded, DeployId, Digest};
use crate::engine::{self, EngineError, Prepared};
use crate::log::{Blob, CreateError, LogError, Request, Selection, Settled, What};
use crate::project::ProjectError;
use crate::release::Release;

/// What became of a request.
pub(super) enum Became {
    /// A deploy, which is to be driven.
    Deploy(DeployId),
    /// It is settled, and there is nothing to drive.
    Settled,
    /// Another deploy of the fleet is under way: it waits.
    Later,
}

/// What stands in the way of a request.
enum Obstacle {
    /// It is wrong, and stays so.
    Wrong(Settled),
    /// It passes.
    Passes(Trouble),
    /// It may pass: the repository cannot be reached.
    Away(SourceError),
    /// The fleet is being deployed to.
    Busy,
}

impl Obstacle {
    fn wrong(error: &impl Coded) -> Self {
        Obstacle::Wrong(refused(error))
    }
}

/// Refused for this reason.
fn refused(error: &impl Coded) -> Settled {
    Settled::Refused { code: error.code(), message: error.to_string(), next: error.next(), tenants: Vec::new() }
}

impl From<LogError> for Obstacle {
    fn from(error: LogError) -> Self {
        if passes(&error) { Obstacle::Passes(error.into()) } else { Obstacle::wrong(&error) }
    }
}

impl From<ProjectError> for Obstacle {
    fn from(error: ProjectError) -> Self {
        match error.code() {
            Code::LogBusy | Code::LogFull | Code::LogUnavailable => Obstacle::Passes(error.into()),
            _ => Obstacle::wrong(&error),
        }
    }
}

impl From<EngineError> for Obstacle {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Create(CreateError::FleetBusy { .. }) => Obstacle::Busy,
            error if engine_passes(&error) => Obstacle::Passes(error.into()),
            EngineError::Refused { ref refusals, .. } => {
                let named = refusals.iter().take(SETTLED_TENANTS_MAX);
                let tenants = named.map(|of| (of.tenant.clone(), of.code, of.message.clone())).collect();
                let (code, message, next) = (error.code(), error.to_string(), error.next());
                Obstacle::Wrong(Settled::Refused { code, message, next, tenants })
            }
            error => Obstacle::wrong(&error),
        }
    }
}

impl From<SourceError> for Obstacle {
    fn from(error: SourceError) -> Self {
        if error.passes() { Obstacle::Away(error) } else { Obstacle::wrong(&error) }
    }
}

/// Makes a deploy of a queued request, or settles it otherwise.
pub(super) async fn process(app: &App, fleet: &Fleet, request: Request) -> Result<Became, Trouble> {
    let id = request.id;
    // A deploy that has come to its end before its request was settled: the last server died between the two.
    match app.log.deploy(id).await {
        Ok(_) => {
            settle(app, id, Settled::Created).await?;
            return Ok(Became::Settled);
        }
        Err(LogError::DeployUnknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    point(Point::RequestTaken);
    let tried_at = Instant::now();
    let settled = match try_create(app, fleet, &request).await {
        Ok(None) => {
            point(Point::RequestCreated);
            // Should it have been called off meanwhile, the next round turns the deploy before anything of it starts.
            settle(app, id, Settled::Created).await?;
            return Ok(Became::Deploy(id));
        }
        Ok(Some(settled)) | Err(Obstacle::Wrong(settled)) => settled,
        Err(Obstacle::Busy) => return Ok(Became::Later),
        Err(Obstacle::Passes(trouble)) => return Err(trouble),
        Err(Obstacle::Away(error)) if fleet.is_away(tried_at) < SOURCE_PATIENCE => return Err(error.into()),
        Err(Obstacle::Away(error)) => refused(&error),
    };
    if let Settled::Refused { code, message, .. } = &settled {
        tracing::warn!(fleet = fleet.name(), deploy = %id, %code, %message, "a request is refused");
    }
    settle(app, id, settled).await?;
    Ok(Became::Settled)
}

/// Settles a request, and counts it where it had not been settled.
async fn settle(app: &App, id: DeployId, how: Settled) -> Result<(), LogError> {
    let state = how.state();
    if app.desk.settle(id, how).await? {
        counter!(measure::REQUESTS, "outcome" => state.as_str()).increment(1);
    }
    Ok(())
}

/// Creates the deploy. `Some`: there is none to create, and why.
async fn try_create(app: &App, fleet: &Fleet, request: &Request) -> Result<Option<Settled>, Obstacle> {
    // One that could not be signed at its end is not begun.
    fleet.project.signer()?;
    loop {
        let prepared = match &request.asked.what {
            What::Deploy { revision, release, selection, .. } => {
                let release = match find(app, fleet, request, revision.as_deref(), *release).await? {
                    Found::Release(release) => release,
                    Found::Same(deploy) => return Ok(Some(Settled::Same { deploy })),
                };
                let request = fleet.project.request_of(release, selection, &[]).await?;
                let prepared = engine::prepare(&*app.log, &*fleet.gateway, request).await?;
                if prepared.changing() == 0 && prepared.tenants.iter().all(|of| of.survey.is_none()) {
                    return Ok(Some(Settled::NothingToDo {
                        tenants: prepared.tenants.len() as u64,
                        release: Some(prepared.release.name.clone()),
                    }));
                }
                prepared
            }
            What::Rollback { of, workflow } => {
                let prepared = rollback(app, fleet, *of, workflow.clone()).await?;
                if prepared.changing() == 0 {
                    return Ok(Some(Settled::NothingToDo { tenants: 0, release: None }));
                }
                prepared
            }
        };
        let (trigger, actor) = (request.asked.trigger.clone(), request.asked.actor.clone());
        let new = prepared.into_new_deploy(request.id, trigger, actor, app.worker.clone())?;
        // Looking at a large fleet takes its time, in which the request may have been called off.
        if let Some(Request { settled: Some(settled), .. }) = app.desk.request(request.id).await? {
            return Ok(Some(settled));
        }
        point(Point::BeforeCreate);
        match app.log.create_deploy(new).await {
            Ok(()) => {
                point(Point::AfterCreate);
                return Ok(None);
            }
            // Somebody's deploy has come and gone since the fleet was looked at: it is looked at again.
            Err(CreateError::FleetMoved { .. }) => {}
            Err(error) => return Err(EngineError::Create(error).into()),
        }
    }
}

async fn rollback(app: &App, fleet: &Fleet, of: DeployId, workflow: Option<String>) -> Result<Prepared, Obstacle> {
    let selection = Selection { workflow, ..Selection::default() };
    let release = engine::finished_release(&*app.log, of).await?;
    let request = fleet.project.request_of(release, &selection, &[]).await?;
    Ok(engine::prepare_rollback(&*app.log, &*fleet.gateway, request, of).await?)
}

enum Found {
    Release(Release),
    Same(DeployId),
}

/// The release that is asked for: out of the log where it is known there, else from where the server's configuration says.
async fn find(
    app: &App,
    fleet: &Fleet,
    request: &Request,
    revision: Option<&str>,
    digest: Option<Digest>,
) -> Result<Found, Obstacle> {
    if let Some(digest) = digest {
        let bytes = app.log.blob(&digest).await?;
        return Ok(Found::Release(
            Release::from_bytes(&bytes).map_err(|error| Obstacle::from(EngineError::from(error)))?,
        ));
    }
    let revision = Revision::new(revision.unwrap_or_default()).map_err(|error| Obstacle::wrong(&error))?;
    let found = fleet.sources.find(&revision).await;
    if !found.as_ref().is_err_and(SourceError::passes) {
        fleet.is_back();
    }
    let found = found?;
    let (release, kind) = (found.release, found.source);
    let bytes = release.to_bytes().map_err(|error| Obstacle::from(EngineError::from(error)))?;
    let blob = Blob::new(bytes);
    let now = blob.digest;
    same_as_ever(app, fleet, &revision, kind, now).await?;
    Ok(match app.desk.found(request.id, blob).await? {
        Some(same) => Found::Same(same),
        None => Found::Release(release),
    })
}

/// Refuses a revision that was another release when it was first seen.
async fn same_as_ever(
    app: &App,
    fleet: &Fleet,
    revision: &Revision,
    source_kind: SourceKind,
    now: Digest,
) -> Result<(), Obstacle> {
    let first = app.desk.see_revision(fleet.name(), revision.as_str(), now).await?;
    if first == now {
        return Ok(());
    }
    Err(SourceError::RevisionChanged { revision: revision.clone(), source_kind, first, now }.into())
}
