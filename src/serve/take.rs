//! Takes requests in: from webhooks, the API and the page alike.
//!
//! What is quickly known to be wrong is said to whoever asks, and nothing is kept of it. What is taken in is durable before it is
//! answered. A release is looked for here where that takes a moment, so that two names of one release are one request at once; what only
//! git can find is found later, and may then turn out to be what somebody else has asked for.

use std::sync::Arc;

use http::StatusCode;

use super::app::{App, Fleet};
use super::problem::Problem;
use super::report::Target;
use super::source::{Found, Revision, SourceError};
use crate::base::crash::{Point, point};
use crate::base::{Code, DeployId, Digest};
use crate::log::{Asked, Blob, Delivery, NewRequest, TakenIn, What, WhenBusy};

/// What is asked for, and how it came.
pub(super) struct Ask {
    pub(super) asked: Asked,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) when_busy: WhenBusy,
    /// Who is told besides those who are told of everything.
    pub(super) reports: Vec<String>,
}

/// Takes a request in.
///
/// # Errors
/// Whatever is known to be wrong with it now; then nothing of it is kept.
pub(super) async fn take(app: &App, fleet: &Arc<Fleet>, ask: Ask) -> Result<TakenIn, Problem> {
    let Ask { mut asked, deliveries, when_busy, mut reports } = ask;
    reports.extend(Target::standing(&app.settings).map(|target| target.text()));
    let mut bytes = None;
    if let What::Deploy { revision, release, selection, .. } = &mut asked.what {
        // Of a workflow that is not there nothing better can be said later.
        fleet.project.ready_workflow(selection.workflow.as_deref())?;
        match (&*release, &*revision) {
            (Some(digest), _) => pushed(app, fleet, digest).await?,
            (None, Some(revision)) => {
                let revision = Revision::new(revision.as_str())
                    .map_err(|error| Problem::new(Code::BadArgument, error.to_string()))?;
                if let Some((digest, found)) = found_here(app, fleet, &revision).await? {
                    *release = Some(digest);
                    bytes = found;
                }
            }
            (None, None) => {
                let problem = Problem::new(Code::BadArgument, "name a revision, or a release by its digest");
                return Err(problem.with_status(StatusCode::UNPROCESSABLE_ENTITY));
            }
        }
    }
    let new = NewRequest {
        id: DeployId::fresh(),
        fleet: fleet.name().to_owned(),
        asked,
        release: bytes,
        deliveries,
        when_busy,
        reports,
    };
    let taken = app.desk.take_in(new).await?;
    point(Point::RequestAccepted);
    fleet.wake.notify_one();
    Ok(taken)
}

/// Refuses a digest that this fleet has nothing to do with. One that it has been deployed from is as good as one that was pushed to it.
async fn pushed(app: &App, fleet: &Fleet, digest: &Digest) -> Result<(), Problem> {
    if app.desk.has_release(fleet.name(), digest).await? {
        return Ok(());
    }
    let detail = format!("no release {digest} has been pushed to this server for fleet {}", fleet.name());
    Err(Problem::new(Code::RevisionUnknown, detail).next("windlass release push --server URL"))
}

/// The release of a revision, where it was pushed under that name or lies in its folder. None: only git can say.
async fn found_here(app: &App, fleet: &Fleet, revision: &Revision) -> Result<Option<(Digest, Option<Blob>)>, Problem> {
    let first = app.desk.revision(fleet.name(), revision.as_str()).await?;
    if fleet.sources.takes_pushed()
        && let Some(digest) = first
        && app.desk.pushed(fleet.name(), &digest).await?.is_some()
    {
        return Ok(Some((digest, None)));
    }
    let Found { release, source, .. } = match fleet.sources.find_folder(revision).await? {
        Some(found) => found,
        None if fleet.sources.asks_git() => return Ok(None),
        // Which says where it was looked for.
        None => fleet.sources.find(revision).await?,
    };
    let blob = Blob::new(release.to_bytes()?);
    let seen = app.desk.see_revision(fleet.name(), revision.as_str(), blob.digest).await?;
    if seen != blob.digest {
        let changed = SourceError::RevisionChanged {
            revision: revision.clone(),
            source_kind: source,
            first: seen,
            now: blob.digest,
        };
        return Err(changed.into());
    }
    Ok(Some((blob.digest, Some(blob))))
}
