//! Where a sender wants the result, and how it is said there, in its own words.
//!
//! Each request is built of checked fields and goes to the address in the configuration. A payload names URLs for this, such as
//! GitHub's `statuses_url`: whoever could forge one delivery would have our token sent wherever they like.

mod fields;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::fields::{CommitId, Guid, RepositoryName};
use super::Delivery;
use super::template::look;
use crate::base::limits::REPORT_DESCRIPTION_CHARS_MAX;
use crate::base::{Digest, Revision};
use crate::config::serve::Sender;
use crate::fleet::Secret;

/// Upon what the result is told. Holds no secret and no address: it is kept in the log.
///
/// `context` sets what Windlass says about a commit apart from what others say, and what one fleet says from what another one does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case", deny_unknown_fields)]
pub enum ReportTo {
    /// GitHub: the status of a deployment.
    GithubDeployment {
        /// The repository.
        repository: RepositoryName,
        /// The deployment.
        deployment: u64,
    },
    /// GitHub: the status of a commit.
    GithubCommit {
        /// The repository.
        repository: RepositoryName,
        /// The commit.
        commit: CommitId,
        /// Whose status it is.
        context: String,
    },
    /// GitLab: the status of a commit.
    GitlabCommit {
        /// The project.
        project: u64,
        /// The commit.
        commit: CommitId,
        /// Whose status it is.
        context: String,
    },
    /// Azure DevOps: the status of a commit in Azure Repos.
    AzureCommit {
        /// The project.
        project: Guid,
        /// The repository.
        repository: Guid,
        /// The commit.
        commit: CommitId,
        /// Whose status it is.
        context: String,
    },
    /// Bitbucket: the build status of a commit.
    BitbucketCommit {
        /// The repository.
        repository: RepositoryName,
        /// The commit.
        commit: CommitId,
        /// Whose status it is.
        context: String,
    },
    /// Gitea and Forgejo: the status of a commit.
    GiteaCommit {
        /// The repository.
        repository: RepositoryName,
        /// The commit.
        commit: CommitId,
        /// Whose status it is.
        context: String,
    },
}

/// How far what was asked for has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    /// Accepted; it waits.
    Queued,
    /// Under way.
    InProgress,
    /// Every tenant has the release.
    Success,
    /// It ended without: unwound, or with tenants set aside.
    Failure,
    /// It could not be begun, or waits for a human.
    Error,
}

/// A request to the sender's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    /// The method.
    pub method: http::Method,
    /// Path and query, to be put behind the configured address of the API. Begins with `/`.
    pub path: String,
    /// The body, sent as `application/json`.
    pub body: Value,
}

/// The name under which Windlass speaks about a commit.
const NAME: &str = "windlass";

/// Bytes of a context. GitLab keeps 255 of a name.
const CONTEXT_BYTES_MAX: usize = 100;

/// Bytes of the key of a build status at Bitbucket.
const BITBUCKET_KEY_BYTES_MAX: usize = 40;

/// The context of what is said about a fleet and an environment.
pub(super) fn context(fleet: Option<&str>, environment: Option<&str>) -> String {
    let parts = [Some(NAME), fleet, environment];
    shortened(&parts.into_iter().flatten().collect::<Vec<_>>().join("/"), CONTEXT_BYTES_MAX)
}

/// The text, or, where it is too long, one of its own that fits.
fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max { text.to_owned() } else { format!("{NAME}/{}", Digest::of(text.as_bytes()).short()) }
}

impl ReportTo {
    /// Upon what to report for a delivery.
    ///
    /// # Errors
    /// What the payload lacks, or does not hold in its documented form.
    pub(super) fn of(delivery: &Delivery, revision: &Revision, context: &str) -> Result<Self, String> {
        let payload = Payload { delivery, revision };
        let context = context.to_owned();
        match delivery.sender {
            Sender::Github if delivery.event == "deployment" => Ok(Self::GithubDeployment {
                repository: payload.repository("repository.full_name")?,
                deployment: payload.number("deployment.id")?,
            }),
            Sender::Github => Ok(Self::GithubCommit {
                repository: payload.repository("repository.full_name")?,
                commit: payload.commit(&[
                    "workflow_run.head_sha",
                    "head_commit.id",
                    "after",
                    "release.target_commitish",
                ])?,
                context,
            }),
            Sender::Gitlab => Ok(Self::GitlabCommit {
                project: payload.number("project.id")?,
                commit: payload.gitlab_commit()?,
                context,
            }),
            Sender::Azure => Ok(Self::AzureCommit {
                project: payload.guid(&[
                    "resource.repository.project.id",
                    "resource.project.id",
                    "resourceContainers.project.id",
                ])?,
                repository: payload.guid(&["resource.repository.id"])?,
                commit: payload.commit(&["resource.sourceVersion", "resource.refUpdates.0.newObjectId"])?,
                context,
            }),
            Sender::Bitbucket => Ok(Self::BitbucketCommit {
                repository: payload.repository("repository.full_name")?,
                commit: payload.commit(&["push.changes.0.new.target.hash", "commit_status.commit.hash"])?,
                context,
            }),
            Sender::Gitea => Ok(Self::GiteaCommit {
                repository: payload.repository("repository.full_name")?,
                commit: payload.commit(&["head_commit.id", "after", "release.target_commitish"])?,
                context,
            }),
            Sender::Standard => Err("Standard Webhooks have no way back".to_owned()),
        }
    }

    /// Whose it is, for people.
    #[must_use]
    pub const fn product(&self) -> &'static str {
        match self {
            Self::GithubDeployment { .. } | Self::GithubCommit { .. } => "GitHub",
            Self::GitlabCommit { .. } => "GitLab",
            Self::AzureCommit { .. } => "Azure DevOps",
            Self::BitbucketCommit { .. } => "Bitbucket",
            Self::GiteaCommit { .. } => "Gitea",
        }
    }

    /// Whether an answer that reads like a refusal says that it has been told this already. GitLab keeps states and not reports, and
    /// takes the same one only once.
    #[must_use]
    pub fn knows_already(&self, status: http::StatusCode, answer: &str) -> bool {
        matches!(self, Self::GitlabCommit { .. })
            && status == http::StatusCode::BAD_REQUEST
            && answer.contains("Cannot transition status via")
    }

    /// How it is said.
    ///
    /// The description is cut to what every sender takes; `url` is where a person looks further. A sender is told the same state again
    /// after a crash. GitLab then answers 400, "Cannot transition status via …": it has it already.
    #[must_use]
    pub fn request(&self, state: ReportState, description: &str, url: &str) -> ReportRequest {
        let description = cut(description);
        let (path, body) = match self {
            Self::GithubDeployment { repository, deployment } => (
                format!("/repos/{repository}/deployments/{deployment}/statuses"),
                json!({ "state": github_deployment(state), "description": description, "log_url": url }),
            ),
            Self::GithubCommit { repository, commit, context } | Self::GiteaCommit { repository, commit, context } => (
                format!("/repos/{repository}/statuses/{commit}"),
                json!({
                    "state": commit_state(state), "description": description, "target_url": url, "context": context,
                }),
            ),
            Self::GitlabCommit { project, commit, context } => (
                format!("/projects/{project}/statuses/{commit}"),
                json!({
                    "state": gitlab(state), "description": description, "target_url": url, "name": context,
                }),
            ),
            Self::AzureCommit { project, repository, commit, context } => (
                format!("/{project}/_apis/git/repositories/{repository}/commits/{commit}/statuses?api-version=7.1"),
                json!({
                    "state": azure(state), "description": description, "targetUrl": url,
                    "context": { "genre": NAME, "name": context },
                }),
            ),
            Self::BitbucketCommit { repository, commit, context } => (
                format!("/repositories/{repository}/commit/{commit}/statuses/build"),
                json!({
                    "state": bitbucket(state), "description": description, "url": url,
                    "key": shortened(context, BITBUCKET_KEY_BYTES_MAX), "name": context,
                }),
            ),
        };
        ReportRequest { method: http::Method::POST, path, body }
    }

    /// The value of the `Authorization` header that goes with a token.
    ///
    /// Bitbucket: a token, or `user:password`. Azure: a personal access token.
    #[must_use]
    pub fn authorization(&self, token: &Secret) -> Secret {
        let token = token.expose();
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        Secret::new(match self {
            Self::AzureCommit { .. } => basic(&format!(":{token}")),
            Self::BitbucketCommit { .. } if token.contains(':') => basic(token),
            Self::GiteaCommit { .. } => format!("token {token}"),
            _ => format!("Bearer {token}"),
        })
    }
}

fn cut(description: &str) -> String {
    if description.chars().count() <= REPORT_DESCRIPTION_CHARS_MAX {
        return description.to_owned();
    }
    let kept: String = description.chars().take(REPORT_DESCRIPTION_CHARS_MAX - 1).collect();
    format!("{}…", kept.trim_end())
}

fn github_deployment(state: ReportState) -> &'static str {
    match state {
        ReportState::Queued => "queued",
        ReportState::InProgress => "in_progress",
        ReportState::Success => "success",
        ReportState::Failure => "failure",
        ReportState::Error => "error",
    }
}

/// GitHub's and Gitea's words for a commit.
fn commit_state(state: ReportState) -> &'static str {
    match state {
        ReportState::Queued | ReportState::InProgress => "pending",
        ReportState::Success => "success",
        ReportState::Failure => "failure",
        ReportState::Error => "error",
    }
}

fn gitlab(state: ReportState) -> &'static str {
    match state {
        ReportState::Queued => "pending",
        ReportState::InProgress => "running",
        ReportState::Success => "success",
        ReportState::Failure | ReportState::Error => "failed",
    }
}

fn azure(state: ReportState) -> &'static str {
    match state {
        ReportState::Queued | ReportState::InProgress => "pending",
        ReportState::Success => "succeeded",
        ReportState::Failure => "failed",
        ReportState::Error => "error",
    }
}

fn bitbucket(state: ReportState) -> &'static str {
    match state {
        ReportState::Queued | ReportState::InProgress => "INPROGRESS",
        ReportState::Success => "SUCCESSFUL",
        ReportState::Failure | ReportState::Error => "FAILED",
    }
}

/// A payload, with the revision that a rule read out of it.
struct Payload<'a> {
    delivery: &'a Delivery,
    revision: &'a Revision,
}

impl Payload<'_> {
    fn text(&self, path: &str) -> Option<&str> {
        look(&self.delivery.payload, path.split('.')).and_then(Value::as_str)
    }

    fn repository(&self, path: &str) -> Result<RepositoryName, String> {
        let found = self.text(path).and_then(RepositoryName::new);
        found.ok_or_else(|| format!("the payload names no repository at {path}"))
    }

    fn number(&self, path: &str) -> Result<u64, String> {
        let found = look(&self.delivery.payload, path.split('.')).and_then(Value::as_u64);
        found.ok_or_else(|| format!("the payload has no whole number at {path}"))
    }

    fn guid(&self, paths: &[&str]) -> Result<Guid, String> {
        let found = paths.iter().find_map(|path| self.text(path).and_then(Guid::new));
        found.ok_or_else(|| format!("the payload has no id at {}", paths.join(" or ")))
    }

    /// The commit: the revision where that is one, since it is what is deployed; else the first of these that is.
    fn commit(&self, paths: &[&str]) -> Result<CommitId, String> {
        let of_revision = CommitId::new(self.revision.as_str());
        let found = of_revision.or_else(|| paths.iter().find_map(|path| self.text(path).and_then(CommitId::new)));
        found.ok_or_else(|| {
            format!("neither the revision nor the payload is a whole commit id (looked at: {})", paths.join(", "))
        })
    }

    /// GitLab's deployment hook has a shortened commit id, and the whole one at the end of a URL.
    fn gitlab_commit(&self) -> Result<CommitId, String> {
        let end = self.text("commit_url").and_then(|url| url.rsplit('/').next()).and_then(CommitId::new);
        let short = self.text("short_sha").filter(|short| short.len() >= 7);
        let of_url = end.filter(|commit| short.is_some_and(|short| commit.as_str().starts_with(short)));
        let fields = self.commit(&["object_attributes.sha", "checkout_sha", "commit.id", "commit.sha"]);
        fields.or_else(|reason| of_url.ok_or(reason))
    }
}
