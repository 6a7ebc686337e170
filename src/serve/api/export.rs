//! Deploys out of the log, as they are written: nothing is held of them but what is being written.

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::events::made;
use super::openapi::{Malformed, Missing, Unfit};
use crate::audit::{ExportError, Exported, Scope, write_csv, write_html, write_jsonl};
use crate::base::limits::{EXPORT_DEPLOYS_MAX, EXPORTS_MAX};
use crate::base::{Code, DeployId};
use crate::log::LogError;
use crate::serve::access::Principal;
use crate::serve::app::App;
use crate::serve::extract::{Asks, fleet};
use crate::serve::problem::Problem;

/// What an export is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::serve) enum Format {
    /// Can be verified without the log.
    #[default]
    Jsonl,
    /// A row per event.
    Csv,
    /// A report of one deploy, to be read.
    Html,
}

/// Which deploys, and as what.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct ExportQuery {
    /// This deploy; all of the log where neither it nor a fleet is named.
    #[param(value_type = Option<DeployId>)]
    deploy: Option<String>,
    /// All deploys of this fleet.
    fleet: Option<String>,
    #[param(value_type = Option<Format>)]
    format: Format,
}

/// An export
///
/// Of one deploy, of all deploys of a fleet, or of the whole log, for whoever has to do with all fleets. It is sent as it is written: one
/// that breaks off before its end is not whole, and `windlass audit verify --export` says so.
#[utoipa::path(
    get, path = "/v1/audit/export", tag = "audit", params(ExportQuery),
    responses(
        (status = 200, description = "The export.", content(
            (String = "application/jsonl"), (String = "text/csv"), (String = "text/html")
        )),
        Malformed, Missing, Unfit
    ),
)]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Asks(query): Asks<ExportQuery>,
) -> Result<Response, Problem> {
    let (deploys, scope, name) = which(&app, &principal, &query).await?;
    let permit = Arc::clone(&app.exports).try_acquire_owned().map_err(|_| {
        let detail = format!("{EXPORTS_MAX} exports are being written, which is as many as may");
        Problem::new(Code::TooManyRequests, detail)
    })?;
    let (kind, extension) = match query.format {
        Format::Jsonl => ("application/jsonl", "jsonl"),
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Html => ("text/html; charset=utf-8", "html"),
    };
    let mut pieces = Box::pin(stream::unfold(Writing::of(app, deploys, scope, query.format, permit), Writing::next));
    // What cannot be begun is said so, and not as an answer that breaks off.
    let first = pieces.next().await.transpose().map_err(|error| Problem::of(&*error))?;
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(pieces));
    let disposition = format!("attachment; filename=\"windlass-{name}.{extension}\"");
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition.as_str())], body).into_response())
}

/// The deploys that are asked for, the oldest first; what they are of the log; and what a file of them is called.
async fn which(
    app: &App,
    principal: &Principal,
    query: &ExportQuery,
) -> Result<(Vec<DeployId>, Scope, String), Problem> {
    let fleet = query.fleet.as_deref().map(|name| fleet(app, principal, Some(name))).transpose()?;
    if let Some(deploy) = &query.deploy {
        let id = made(app, principal, deploy).await?;
        if let Some(fleet) = fleet
            && app.log.deploy(id).await?.fleet != fleet.name()
        {
            return Err(LogError::DeployUnknown { text: format!("{id} in fleet {}", fleet.name()) }.into());
        }
        return Ok((vec![id], Scope::Some, id.to_string()));
    }
    if query.format == Format::Html {
        let problem = Problem::new(Code::BadArgument, "a report is one of one deploy: name it with `deploy`");
        return Err(problem.with_status(StatusCode::UNPROCESSABLE_ENTITY));
    }
    if fleet.is_none() && principal.fleets.is_some() {
        let detail =
            "the whole log holds all fleets, and this token has to do with some: name a `fleet`, or a `deploy`";
        return Err(Problem::new(Code::NotAllowed, detail));
    }
    let name = fleet.map(|fleet| fleet.name());
    let rows = app.log.deploys(name, EXPORT_DEPLOYS_MAX).await?;
    let scope = if name.is_none() { Scope::WholeLog } else { Scope::Some };
    let file = name.unwrap_or("log").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok((rows.into_iter().rev().map(|row| row.id).collect(), scope, file))
}

/// What has been written and not been sent.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Writer = Pin<Box<dyn Future<Output = Result<Exported, ExportError>> + Send>>;

/// An export as it is written. It goes on only while somebody takes what it has written: whoever reads slowly has it written slowly.
struct Writing {
    /// None once it has ended.
    writer: Option<Writer>,
    written: Written,
    _permit: OwnedSemaphorePermit,
}

impl Writing {
    fn of(app: Arc<App>, deploys: Vec<DeployId>, scope: Scope, format: Format, permit: OwnedSemaphorePermit) -> Self {
        let written = Written::default();
        let mut out = written.clone();
        let writer: Writer = Box::pin(async move {
            match (format, deploys.as_slice()) {
                (Format::Jsonl, _) => write_jsonl(&*app.log, &deploys, scope, None, &mut out).await,
                (Format::Csv, _) => write_csv(&*app.log, &deploys, &mut out).await,
                (Format::Html, [deploy, ..]) => write_html(&*app.log, *deploy, &mut out).await,
                (Format::Html, []) => Ok(Exported::default()),
            }
        });
        Self { writer: Some(writer), written, _permit: permit }
    }

    /// The next piece: what the writer has written by the time it waits for something.
    async fn next(mut self) -> Option<(Result<Bytes, Box<ExportError>>, Self)> {
        let piece = poll_fn(|context| {
            let Some(writer) = &mut self.writer else { return Poll::Ready(Ok(None)) };
            let ended = match writer.as_mut().poll(context) {
                Poll::Ready(Err(error)) => Some(Err(error)),
                Poll::Ready(Ok(_)) => Some(Ok(())),
                Poll::Pending => None,
            };
            if ended.is_some() {
                self.writer = None;
            }
            match (ended, self.written.take()) {
                (Some(Err(error)), _) => Poll::Ready(Err(Box::new(error))),
                (_, piece) if !piece.is_empty() => Poll::Ready(Ok(Some(piece))),
                (Some(Ok(())), _) => Poll::Ready(Ok(None)),
                (None, _) => Poll::Pending,
            }
        })
        .await;
        match piece {
            Ok(Some(piece)) => Some((Ok(piece.into()), self)),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "an export has broken off");
                Some((Err(error), self))
            }
        }
    }
}
