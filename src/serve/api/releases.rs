//! Releases: pushed, listed, looked through.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cursor::{Limit, cursor, place};
use super::openapi::{Malformed, Missing, TooLarge, Unchanged, Unfit};
use super::tag::tagged;
use crate::base::limits::PUSHED_BYTES_MAX;
use crate::base::{Code, Digest, Revision, Timestamp};
use crate::log::PushedRelease;
use crate::release::{Dialect, Migration, Release, Reviewed, UndoQuality, review};
use crate::serve::access::Principal;
use crate::serve::app::{App, Fleet};
use crate::serve::extract::{Asks, At, fleet, read};
use crate::serve::problem::Problem;
use crate::serve::source::{SourceError, SourceKind, bundle};

const LIST: &str = "releases";

/// Which releases.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct ReleasesQuery {
    /// The fleet; by default the server's own.
    fleet: Option<String>,
    /// Where to go on: the `next` of the page before.
    after: Option<String>,
    /// At most so many.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Limit,
}

/// Releases, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Releases {
    items: Vec<PushedRelease>,
    /// What to give as `after` for the next page; none where this is the last.
    next: Option<String>,
}

/// The releases that were pushed
#[utoipa::path(
    get, path = "/v1/releases", tag = "releases", params(ReleasesQuery),
    responses((status = 200, description = "A page of them, the newest first.", body = Releases), Malformed, Missing, Unfit),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Asks(query): Asks<ReleasesQuery>,
) -> Result<Json<Releases>, Problem> {
    let fleet = fleet(&app, &principal, query.fleet.as_deref())?;
    let (behind, limit) = (place::<(Timestamp, Digest)>(LIST, query.after.as_deref())?, query.limit.get());
    let mut items = app.desk.releases(fleet.name(), behind, limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|of| cursor(LIST, &(of.pushed_at, of.digest)));
    Ok(Json(Releases { items, next }))
}

/// Which release, and how it is read.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct ShowQuery {
    /// The fleet; by default the server's own.
    fleet: Option<String>,
    /// The SQL that its scripts are read as; by default that of the fleet's tenants.
    dialect: Option<Dialect>,
}

/// A release, looked through.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct LookedThrough {
    /// Its digest.
    digest: Digest,
    /// Its name: that of its last migration.
    name: String,
    dialect: Dialect,
    /// When and by whom it was pushed; none where it was found elsewhere.
    pushed: Option<PushedRelease>,
    /// Its migrations in order.
    migrations: Vec<MigrationBrief>,
    /// Why its scripts cannot be read as this SQL; then nothing is said of statements and undos.
    problem: Option<ReviewProblem>,
}

/// One migration, looked through.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct MigrationBrief {
    version: String,
    /// Its label: `0007_add_email`.
    label: String,
    /// The digest of its up script: what it is recognised by once it was applied.
    digest: Digest,
    /// How many statements it has.
    statements: Option<usize>,
    /// What its undo can bring back.
    undo: Option<UndoQuality>,
}

/// Why a release cannot be read.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct ReviewProblem {
    code: Code,
    message: String,
}

/// A release
///
/// Its migrations, and how good the undo of each is.
#[utoipa::path(
    get, path = "/v1/releases/{digest}", tag = "releases",
    params(
        ("digest" = Digest, Path, description = "SHA-256 of the release as it is pushed."), ShowQuery,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the client has.")
    ),
    responses(
        (status = 200, description = "The release.", body = LookedThrough, headers(("ETag" = String))),
        Unchanged, Malformed, Missing, Unfit
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(digest): At<String>,
    Asks(query): Asks<ShowQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let fleet = fleet(&app, &principal, query.fleet.as_deref())?;
    let unknown = || Problem::new(Code::NoSuchThing, format!("fleet {} has no release {digest:?}", fleet.name()));
    let parsed: Digest = digest.parse().map_err(|_| unknown())?;
    if !app.desk.has_release(fleet.name(), &parsed).await? {
        return Err(unknown());
    }
    let pushed = app.desk.pushed(fleet.name(), &parsed).await?;
    let release = Release::from_bytes(&app.log.blob(&parsed).await?)?;
    let dialect = match query.dialect {
        Some(dialect) => dialect,
        None => fleet.project.dialect().await?,
    };
    let reviewed = review(&release, dialect);
    let brief = |migration: &Migration, of: Option<&Reviewed>| MigrationBrief {
        version: migration.version.to_string(),
        label: migration.label().to_owned(),
        digest: migration.digest(),
        statements: of.map(|of| of.up.len()),
        undo: of.map(|of| of.undo.quality.clone()),
    };
    let of = |index: usize| reviewed.as_ref().ok().and_then(|reviewed| reviewed.get(index));
    let migrations = release.migrations.iter().enumerate().map(|(index, migration)| brief(migration, of(index)));
    let migrations = migrations.collect();
    let problem = reviewed.err().map(|error| Problem::of(&error));
    let problem = problem.map(|of| ReviewProblem { code: of.code(), message: of.detail().to_owned() });
    Ok(tagged(&headers, &LookedThrough { digest: parsed, name: release.name, dialect, pushed, migrations, problem }))
}

/// For whom, and under which name.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct PushQuery {
    /// The fleet; by default the server's own.
    fleet: Option<String>,
    /// A revision that is this release from now on, and no other.
    #[param(value_type = Option<String>, max_length = 200, pattern = r"^[A-Za-z0-9_+][A-Za-z0-9._+/-]*$")]
    revision: Option<String>,
}

/// A release that is there now.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Pushed {
    #[serde(flatten)]
    release: PushedRelease,
    /// The revision that was named for it.
    revision: Option<Revision>,
    /// Where it is looked at.
    url: String,
}

/// Pushes a release
///
/// The body is the release in its one written form, as `windlass release push` sends it, under its own SHA-256. It is read within limits
/// and kept under its digest; pushing it again changes nothing. A revision that is named with it means this release from then on.
#[utoipa::path(
    put, path = "/v1/releases/{digest}", tag = "releases",
    params(("digest" = Digest, Path, description = "SHA-256 of the body."), PushQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "It is there now.", body = Pushed, headers(("Location" = String))),
        (status = 200, description = "It was there already.", body = Pushed, headers(("Location" = String))),
        Malformed, Missing, TooLarge, Unfit
    ),
)]
pub(super) async fn push(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(digest): At<String>,
    Asks(query): Asks<PushQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let fleet = fleet(&app, &principal, query.fleet.as_deref())?;
    if !fleet.sources.takes_pushed() {
        let detail = format!("fleet {} takes no pushed releases: `pushed = false` is set for it", fleet.name());
        return Err(Problem::new(Code::NotAllowed, detail));
    }
    let digest: Digest = digest.parse().map_err(|_| {
        Problem::new(Code::RequestMalformed, "the path ends with the SHA-256 of the body, as 64 hexadecimal digits")
    })?;
    let revision = query.revision.as_deref().map(Revision::new).transpose()?;
    // Before anything is read of what may be large.
    if let Some(revision) = &revision {
        let first = app.desk.revision(fleet.name(), revision.as_str()).await?;
        same_as_first(revision, first.unwrap_or(digest), digest)?;
    }
    let release = receive(&app, fleet, &principal, digest, request).await?;
    let new = app.desk.push_release(release.meta, release.bytes).await?;
    if let Some(revision) = &revision {
        // Somebody else may have named it in the meantime.
        same_as_first(revision, app.desk.see_revision(fleet.name(), revision.as_str(), digest).await?, digest)?;
    }
    let kept = app.desk.pushed(fleet.name(), &digest).await?;
    let kept = kept.ok_or_else(|| Problem::new(Code::Defect, "a release that was kept is not there"))?;
    let url = format!("{}/v1/releases/{digest}", app.url());
    let location = HeaderValue::from_str(&url).ok();
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let mut answer = (status, Json(Pushed { release: kept, revision, url })).into_response();
    if let Some(location) = location {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

struct Received {
    meta: PushedRelease,
    bytes: Vec<u8>,
}

/// Reads a release. As many are read at once as may be in memory; whoever comes then waits with its body unread.
async fn receive(
    app: &App,
    fleet: &Fleet,
    principal: &Principal,
    digest: Digest,
    request: Request,
) -> Result<Received, Problem> {
    // The semaphore is never closed; without its permit there would only be more of them at once.
    let _permit = app.pushes.acquire().await.ok();
    let bytes = read(request, usize::try_from(PUSHED_BYTES_MAX).unwrap_or(usize::MAX)).await?;
    let reading = tokio::task::spawn_blocking(move || bundle::read(&bytes, digest).map(|release| (release, bytes)));
    let read = reading.await.map_err(|_| Problem::new(Code::Defect, "the release could not be read"))?;
    let (release, bytes) = read?;
    let meta = PushedRelease {
        fleet: fleet.name().to_owned(),
        digest,
        name: release.name.clone(),
        migrations: release.migrations.len() as u64,
        bytes: bytes.len() as u64,
        pushed_at: app.log.clock().now(),
        pushed_by: principal.name.clone(),
    };
    Ok(Received { meta, bytes: bytes.into() })
}

/// Refuses a revision that is another release.
fn same_as_first(revision: &Revision, first: Digest, now: Digest) -> Result<(), Problem> {
    if first == now {
        return Ok(());
    }
    let source_kind = SourceKind::Pushed;
    Err(SourceError::RevisionChanged { revision: revision.clone(), source_kind, first, now }.into())
}
