//! Where a release comes from: what a [`Revision`] leads to.
//!
//! A payload or a person names a revision, and nothing else of what they send is believed. [`Sources`] looks for its release where the
//! configuration says: in a folder per revision, in a git repository at that revision. A release that was pushed is read by
//! [`bundle::read`], and found again in the log by its digest. Whatever is found is read within limits, through
//! [`crate::release::Files`], by the same rules as the folder of `windlass deploy`.
//!
//! What this room does not know is the past: that a revision still has the bytes that it had when it was first seen is for whoever has
//! the log to say, by [`SourceError::RevisionChanged`].

pub mod bundle;
mod error;
mod folder;
mod git;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::error::SourceError;
use self::folder::Folder;
use self::git::Repository;
pub use crate::base::Revision;
use crate::base::limits::GIT_AT_ONCE_MAX;
use crate::fleet::Secret;
use crate::release::Release;

/// Where releases come from, as the configuration says it, unchecked: [`Sources::new`] checks it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The migration folder of a revision: an absolute path with `{revision}` in it once.
    pub folder: Option<String>,
    /// A git repository.
    pub git: Option<GitSettings>,
    /// Whether releases may be pushed.
    pub pushed: bool,
    /// Where git keeps what it fetches while it is read, in a folder that only this user can enter.
    pub scratch: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self { folder: None, git: None, pushed: true, scratch: std::env::temp_dir() }
    }
}

/// A git repository.
#[derive(Debug, Clone)]
pub struct GitSettings {
    /// Its URL, with its references resolved: `https://` with or without `user:password@`, `ssh://`, `user@host:path`, `file://`, and
    /// `http://` to this machine itself.
    pub url: Secret,
    /// The migration folder in it: `db/migrations`; `.`, or nothing, for the repository's top.
    pub path: String,
    /// How long finding a release in it may take, from the first word to the server until its files are read.
    pub timeout: Duration,
}

/// Which of the sources a release came from. Its written form is kept in the log beside the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// The folder of the revision.
    Folder,
    /// The git repository.
    Git,
    /// Somebody pushed it.
    Pushed,
}

impl SourceKind {
    /// The written form: a contract with every log that exists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Git => "git",
            Self::Pushed => "pushed",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A release that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The release, read whole. It is called after its last migration, whatever the revision is called.
    pub release: Release,
    /// Which source had it.
    pub source: SourceKind,
    /// Where exactly, for people: `folder /srv/app/releases/v7/migrations`, `git https://… at <commit>`. Without secrets.
    pub origin: String,
}

/// What looking in one source came to.
enum Look {
    Found(Box<Found>),
    /// It is not there, and why: completing "looked in …".
    Not(String),
}

/// Where releases come from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sources(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: Option<Folder>,
    git: Option<Repository>,
    pushed: bool,
    scratch: PathBuf,
    fetches: Semaphore,
}

impl Sources {
    /// Checks the settings. Touches neither the folder nor the repository.
    ///
    /// # Errors
    /// WL0002 naming the key that makes no sense, without a secret.
    pub fn new(settings: Settings) -> Result<Self, SourceError> {
        let invalid = |key| move |reason| SourceError::Setting { key, reason };
        let folder =
            settings.folder.as_deref().map(Folder::new).transpose().map_err(invalid("serve.release.folder"))?;
        let git =
            settings.git.as_ref().map(Repository::new).transpose().map_err(|(key, reason)| invalid(key)(reason))?;
        let fetches = Semaphore::new(GIT_AT_ONCE_MAX);
        Ok(Self(Arc::new(Inner { folder, git, pushed: settings.pushed, scratch: settings.scratch, fetches })))
    }

    /// Whether releases may be pushed.
    #[must_use]
    pub fn takes_pushed(&self) -> bool {
        self.0.pushed
    }

    /// The release of a revision, looked for in the folder and then in the git repository. May be dropped at any moment: what it
    /// started ends.
    ///
    /// # Errors
    /// WL0811 when no source has it, with where it was looked for; WL0812 when the repository cannot be read; the release's own code
    /// where it is there and is none. A source that has it and cannot give it is not passed over.
    pub async fn find(&self, revision: &Revision) -> Result<Found, SourceError> {
        let mut looked = Vec::new();
        if let Some(folder) = &self.0.folder {
            match folder.look(revision).await? {
                Look::Found(found) => return Ok(*found),
                Look::Not(why) => looked.push(why),
            }
        }
        if let Some(git) = &self.0.git {
            // The semaphore is never closed; without its permit there would only be more of them at once.
            let _permit = self.0.fetches.acquire().await.ok();
            match git.look(revision, &self.0.scratch).await? {
                Look::Found(found) => return Ok(*found),
                Look::Not(why) => looked.push(why),
            }
        }
        Err(SourceError::NotFound { revision: revision.clone(), looked })
    }

    /// What the configuration of a project says.
    ///
    /// # Errors
    /// As [`Sources::new`].
    pub fn of(written: &crate::config::serve::ReleaseSources) -> Result<Self, SourceError> {
        let git = written.git.as_ref().map(|git| GitSettings {
            url: Secret::new(git.url.as_str()),
            path: if git.path.as_os_str().is_empty() { ".".to_owned() } else { git.path.display().to_string() },
            timeout: git.timeout,
        });
        let folder = written.folder.as_ref().map(crate::config::serve::FolderTemplate::absolute);
        Self::new(Settings { folder, git, pushed: written.pushed, ..Settings::default() })
    }

    /// Whether a revision that no folder has may be in a git repository, which takes its time to say.
    #[must_use]
    pub fn asks_git(&self) -> bool {
        self.0.git.is_some()
    }

    /// The release of a revision as far as its folder has it, which is quickly said.
    ///
    /// # Errors
    /// As [`Sources::find`], but that nothing is wrong where it is not there.
    pub async fn find_folder(&self, revision: &Revision) -> Result<Option<Found>, SourceError> {
        let Some(folder) = &self.0.folder else { return Ok(None) };
        match folder.look(revision).await? {
            Look::Found(found) => Ok(Some(*found)),
            Look::Not(_) => Ok(None),
        }
    }

    /// Removes what processes that were killed have left in the scratch folder, and says how much that was. What another living
    /// process works in stays. To be called once at the start.
    pub async fn clean(&self) -> usize {
        let parent = self.0.scratch.clone();
        tokio::task::spawn_blocking(move || git::clean(&parent)).await.unwrap_or(0)
    }
}
