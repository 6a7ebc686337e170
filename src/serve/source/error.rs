//! Why there is no release.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use super::{Revision, SourceKind};
use crate::base::{Code, Coded, Digest};
use crate::release::ReleaseError;

/// No release could be had. Nothing has been touched, and no deploy has been begun.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The configuration names a source that can be none.
    #[error("{key}: {reason}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What is wrong, without the value of a secret.
        reason: String,
    },
    /// No source has it.
    #[error("no release is found for revision {revision}: {}", looked_text(looked))]
    NotFound {
        /// The revision.
        revision: Revision,
        /// Where it was looked for, and what was found instead; in that order.
        looked: Vec<String>,
    },
    /// The folder of the revision, or a file in it, is a link to somewhere else.
    #[error(
        "the release of revision {revision} is not read: {} leads to {}, which is not in {}",
        path.display(), to.display(), within.display()
    )]
    LeadsOut {
        /// The revision.
        revision: Revision,
        /// The link.
        path: PathBuf,
        /// Where it leads.
        to: PathBuf,
        /// Where it should have stayed: the part of the template before the revision.
        within: PathBuf,
    },
    /// The system does not let us see whether the folder is there.
    #[error("the release of revision {revision} cannot be looked for in {}: {source}", path.display())]
    FolderUnreadable {
        /// The revision.
        revision: Revision,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there, and it is no release.
    #[error("revision {revision}, {origin}: {source}")]
    Unusable {
        /// The revision.
        revision: Revision,
        /// Where it was found.
        origin: String,
        /// Why it is none.
        source: Box<ReleaseError>,
    },
    /// The `git` program is not there, or not the shell that watches over it.
    #[error("the git repository {url} cannot be read: the program `{program}` is not in the PATH of this server")]
    GitMissing {
        /// The repository, without secrets.
        url: String,
        /// The program.
        program: &'static str,
    },
    /// It did not answer in time. Every process that was started for it has been ended.
    #[error("the git repository {url} cannot be read: it took longer than {} s", after.as_secs_f64())]
    GitTimeout {
        /// The repository, without secrets.
        url: String,
        /// The limit.
        after: Duration,
    },
    /// Git failed.
    #[error("the git repository {url} cannot be read: git {doing} failed{}", said_text(said))]
    GitFailed {
        /// The repository, without secrets.
        url: String,
        /// The command of git.
        doing: &'static str,
        /// What git said, without secrets and control characters.
        said: String,
    },
    /// The server does not give the commit by its id.
    #[error(
        "the git repository {url} does not give commit {revision} by its id: it is not there, or the server gives only what a tag or a branch points to"
    )]
    GitRefusesId {
        /// The repository, without secrets.
        url: String,
        /// The commit.
        revision: Revision,
    },
    /// The commit holds something that is not read.
    #[error("the git repository {url} cannot be read at revision {revision}: {entry} {what}")]
    GitEntry {
        /// The repository, without secrets.
        url: String,
        /// The revision.
        revision: Revision,
        /// Its path in the repository.
        entry: String,
        /// What it is, completing "this entry …".
        what: &'static str,
    },
    /// The commit is larger than what is fetched.
    #[error("the git repository {url} cannot be read at revision {revision}: more than {limit} {unit}")]
    GitTooLarge {
        /// The repository, without secrets.
        url: String,
        /// The revision.
        revision: Revision,
        /// The limit.
        limit: u64,
        /// Its unit, and of what.
        unit: &'static str,
    },
    /// There is no room for what git fetches.
    #[error("the git repository {url} cannot be read: {}: {source}", path.display())]
    Scratch {
        /// The repository, without secrets.
        url: String,
        /// The folder, or the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The revision has other bytes than when it was first seen.
    #[error(
        "revision {revision} ({source_kind}) is not what it was: its release was {} when it was first seen, and is {} now",
        first.short(), now.short()
    )]
    RevisionChanged {
        /// The revision.
        revision: Revision,
        /// Where it was found, both times.
        source_kind: SourceKind,
        /// The digest of the release that was seen first.
        first: Digest,
        /// The digest of the release that was found now.
        now: Digest,
    },
    /// What was pushed is none.
    #[error("what was pushed as {} is not a release: {reason}", claimed.short())]
    NotARelease {
        /// The digest under which it was sent.
        claimed: Digest,
        /// Why not.
        reason: String,
    },
}

fn looked_text(looked: &[String]) -> String {
    if looked.is_empty() {
        return "this server has neither a folder nor a git repository to look in".to_owned();
    }
    format!("looked in {}", looked.join("; in "))
}

fn said_text(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// What git says, in the language that it is told to speak, when it is the way to the server that fails and not what is asked of it: the
/// words of git's own transport, of curl, of ssh, and statuses of a server that is overworked; and when there
/// is no room here for what it sends.
const ON_THE_WAY: [&str; 23] = [
    "Could not resolve host",
    "Could not resolve proxy",
    "Temporary failure in name resolution",
    "Failed to connect to",
    "Could not connect to",
    "Connection refused",
    "Connection reset",
    "Connection closed by",
    "Connection timed out",
    "Operation timed out",
    "Network is unreachable",
    "No route to host",
    "Recv failure",
    "unexpected disconnect",
    "hung up unexpectedly",
    "Empty reply from server",
    "SSL_ERROR_SYSCALL",
    "gnutls_handshake() failed",
    "early EOF",
    "The requested URL returned error: 5",
    "The requested URL returned error: 429",
    "No space left on device",
    "Disk quota exceeded",
];

/// What ssh says before the words of a connection that breaks, when it is not let in.
const NOT_LET_IN: &str = "Permission denied";

impl SourceError {
    /// Whether it may pass by itself: the way to the repository fails, or there is no room for what it sends. What is asked for may be
    /// right, and is asked for again.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::GitTimeout { .. } => true,
            Self::GitFailed { said, .. } => {
                !said.contains(NOT_LET_IN) && ON_THE_WAY.iter().any(|words| said.contains(words))
            }
            Self::Scratch { source, .. } => is_want(source),
            _ => false,
        }
    }
}

/// Whether the system has too little of something at the moment: room, memory, processes, open files.
fn is_want(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, StorageFull, WouldBlock};
    let files = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    matches!(error.kind(), StorageFull | QuotaExceeded | OutOfMemory | WouldBlock)
        || error.raw_os_error().is_some_and(|number| files.contains(&number))
}

impl Coded for SourceError {
    fn code(&self) -> Code {
        match self {
            Self::Setting { .. } => Code::ConfigInvalid,
            Self::NotFound { .. } | Self::LeadsOut { .. } | Self::FolderUnreadable { .. } => Code::RevisionUnknown,
            Self::Unusable { source, .. } => source.code(),
            Self::GitMissing { .. }
            | Self::GitTimeout { .. }
            | Self::GitFailed { .. }
            | Self::GitRefusesId { .. }
            | Self::GitEntry { .. }
            | Self::GitTooLarge { .. }
            | Self::Scratch { .. } => Code::GitUnreadable,
            Self::RevisionChanged { .. } => Code::RevisionChanged,
            Self::NotARelease { .. } => Code::PushedUnreadable,
        }
    }

    fn next(&self) -> Option<String> {
        let next = match self {
            Self::Setting { .. } => "correct it under [serve.release] in windlass.toml",
            Self::NotFound { looked, .. } if looked.is_empty() => {
                "push the release, or say under [serve.release] in windlass.toml where releases are"
            }
            Self::NotFound { .. } => "bring the release there, or name another revision; then ask again",
            Self::LeadsOut { .. } => "put the folder itself there, or a link that stays inside",
            Self::FolderUnreadable { .. } => "let the user that runs this server read the folder; then ask again",
            Self::Unusable { source, .. } => return source.next(),
            Self::GitMissing { .. } => "install git on this server, or push the release",
            Self::GitTimeout { .. } => {
                "ask again; if it stays so, see whether this server can reach the repository, or raise `timeout`"
            }
            Self::GitFailed { .. } => "see whether this server may read the repository; then ask again",
            Self::GitRefusesId { .. } => "tag the commit and name the tag, or push the release",
            Self::GitEntry { .. } => "put the file itself there, in a new commit",
            Self::GitTooLarge { .. } => "push the release instead",
            Self::Scratch { .. } => "make room in the folder for temporary files; then ask again",
            Self::RevisionChanged { .. } => "name the new bytes by a revision of their own: the commit, or a new tag",
            Self::NotARelease { .. } => "push it with the program that made it, of the version of this server",
        };
        Some(next.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_the_way_to_a_repository_passes() {
        let failed = |said: &str| SourceError::GitFailed { url: String::new(), doing: "fetch", said: said.to_owned() };
        for said in [
            "fatal: unable to access 'https://git.example.org/shop/': Could not resolve host: git.example.org",
            "fatal: unable to access 'http://127.0.0.1:1/shop/': Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
            "fatal: unable to access 'https://git.example.org/shop/': The requested URL returned error: 503",
            "fatal: unable to access 'http://127.0.0.1:1/shop/': Empty reply from server",
            "error: RPC failed; curl 56 Recv failure: Connection reset by peer · fatal: early EOF",
            "fatal: the remote end hung up unexpectedly",
            "fatal: write error: No space left on device · fatal: index-pack failed",
            "ssh: connect to host git.example.org port 22: Connection refused · fatal: Could not read from remote repository.",
        ] {
            assert!(failed(said).passes(), "{said}");
        }
        for said in [
            "fatal: Authentication failed for 'https://git.example.org/shop/'",
            "remote: Repository not found. · fatal: repository 'https://git.example.org/shop/' not found",
            "git@git.example.org: Permission denied (publickey). · fatal: Could not read from remote repository.",
            "git@git.example.org: Permission denied (publickey). · fatal: The remote end hung up unexpectedly",
            "fatal: unable to access 'https://git.example.org/shop/': The requested URL returned error: 403",
        ] {
            assert!(!failed(said).passes(), "{said}");
        }
        let scratch = |source| SourceError::Scratch { url: String::new(), path: PathBuf::new(), source };
        assert!(scratch(io::ErrorKind::StorageFull.into()).passes());
        assert!(scratch(io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())).passes());
        assert!(!scratch(io::ErrorKind::PermissionDenied.into()).passes());
    }

    #[test]
    fn a_revision_that_changed_is_told_with_both_releases() {
        let revision = Revision::new("v1").unwrap();
        let (first, now) = (Digest::of(b"first"), Digest::of(b"now"));
        let error = SourceError::RevisionChanged { revision, source_kind: SourceKind::Git, first, now };
        assert_eq!(error.code(), Code::RevisionChanged);
        let (first, now) = (first.short(), now.short());
        let said = format!(
            "revision v1 (git) is not what it was: its release was {first} when it was first seen, and is {now} now"
        );
        assert_eq!(error.to_string(), said);
    }
}
