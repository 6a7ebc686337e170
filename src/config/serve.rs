//! `[serve]` of `windlass.toml`: what `windlass serve` listens to, whom it believes, where it finds releases and whom it tells.
//!
//! Plain checked data. Nothing here knows of HTTP or reads a secret: secrets are [`SecretRef`]s, resolved by whoever uses them.

mod file;
mod template;
#[cfg(test)]
mod tests;
mod url;
mod webhook;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::Revision;
use crate::base::limits::REQUESTS_PER_SECOND;
use crate::fleet::SecretRef;

pub(super) use self::file::File;
pub use self::template::{BadTemplateText, BadValue, FieldPath, Piece, Purpose, Template};
pub use self::url::{GitUrl, HttpUrl};
pub use self::webhook::{Accepted, Condition, ReportBack, Rule, Sender, Webhook};

/// What `[serve]` says; where the section is missing, its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// The address and port that are listened on.
    pub listen: SocketAddr,
    /// How others reach this server, where that is not what it listens on: [`Serve::public_url`].
    pub url: Option<HttpUrl>,
    /// Further projects that are served, absolute: folders with a `windlass.toml`, or such files.
    pub projects: Vec<PathBuf>,
    /// The certificate, where the server speaks TLS itself.
    pub tls: Option<Tls>,
    /// What becomes of a request while the fleet has a deploy under way.
    pub when_busy: WhenBusy,
    /// Requests a second of one address that are answered.
    pub requests_per_second: NonZeroU32,
    /// Where releases are looked for.
    pub release: ReleaseSources,
    /// Who may start deploys by a webhook. Their names are unique.
    pub webhooks: Vec<Webhook>,
    /// Who is told what happens.
    pub notify: Vec<Notify>,
    /// Where traces go.
    pub traces: Option<Traces>,
}

/// Files of a certificate, absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// What becomes of a request while the fleet has a deploy under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenBusy {
    /// It waits for its turn.
    #[default]
    Queue,
    /// It is refused (WL0402).
    Refuse,
}

/// Where a release comes from, looked for in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSources {
    /// A folder per revision.
    pub folder: Option<FolderTemplate>,
    /// A git repository.
    pub git: Option<Git>,
    /// Whether releases that were pushed to this server count.
    pub pushed: bool,
}

/// A folder per revision, such as `/srv/app/releases/{revision}/migrations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderTemplate {
    base_dir: PathBuf,
    text: String,
}

/// What stands in a folder template for the revision.
const REVISION_FIELD: &str = "{revision}";

impl FolderTemplate {
    /// The folder of one revision, absolute. A revision's form has no way out of its place.
    #[must_use]
    pub fn at(&self, revision: &Revision) -> PathBuf {
        self.base_dir.join(self.text.replace(REVISION_FIELD, revision.as_str()))
    }

    /// The template, absolute.
    #[must_use]
    pub fn absolute(&self) -> String {
        self.base_dir.join(&self.text).display().to_string()
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn new(text: String, base_dir: &Path) -> Result<Self, String> {
        let rest = text.replace(REVISION_FIELD, "");
        if rest.len() == text.len() {
            return Err(format!("it must hold {REVISION_FIELD}, which stands for the revision"));
        }
        if rest.contains(['{', '}']) || rest.chars().any(char::is_control) {
            return Err(format!("only {REVISION_FIELD} stands for something in it"));
        }
        Ok(Self { base_dir: base_dir.to_owned(), text })
    }
}

/// A git repository that releases are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Git {
    /// The repository. The only one that is asked.
    pub url: GitUrl,
    /// The migration folder in it, relative, in its parts; empty for the repository's root.
    pub path: PathBuf,
    /// How long one visit may take: one second to one hour.
    pub timeout: Duration,
}

/// A receiver of outgoing Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Where they go. May have a query.
    pub url: HttpUrl,
    /// What they are signed with: `whsec_…`.
    pub secret: SecretRef,
    /// Which events; none: all. Each is one of [`NOTIFY_EVENTS`], or `deploy.*`, or `request.*`.
    pub events: Option<Vec<String>>,
}

/// What receivers of outgoing webhooks are told of, by name.
pub const NOTIFY_EVENTS: [&str; 12] = [
    "request.queued",
    "request.refused",
    "request.nothing_to_do",
    "request.same",
    "request.cancelled",
    "deploy.created",
    "deploy.turned",
    "deploy.paused",
    "deploy.resumed",
    "deploy.stuck",
    "deploy.unstuck",
    "deploy.finished",
];

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// The OTLP/HTTP endpoint, without `/v1/traces`.
    pub otlp: HttpUrl,
}

impl Serve {
    /// How others reach this server, given what it came to listen on. Without a slash at its end.
    #[must_use]
    pub fn public_url(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.url.as_ref().map_or_else(|| format!("{scheme}://{bound}"), |url| url.as_str().to_owned())
    }

    /// The webhook of this name.
    #[must_use]
    pub fn webhook(&self, name: &str) -> Option<&Webhook> {
        self.webhooks.iter().find(|webhook| webhook.name == name)
    }
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8400)),
            url: None,
            projects: Vec::new(),
            tls: None,
            when_busy: WhenBusy::Queue,
            requests_per_second: REQUESTS_PER_SECOND,
            release: ReleaseSources::default(),
            webhooks: Vec::new(),
            notify: Vec::new(),
            traces: None,
        }
    }
}

impl Default for ReleaseSources {
    fn default() -> Self {
        Self { folder: None, git: None, pushed: true }
    }
}
