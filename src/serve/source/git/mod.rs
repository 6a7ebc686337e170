//! A git repository at a revision, read by the `git` program and never checked out.
//!
//! ```text
//! ls-remote   which of tag and branch the name is          (not for a commit's id)
//! fetch       that one commit, shallow, into a private bare repository that lives as long as the reading
//! ls-tree     down to the folder: names, kinds and sizes; everything that is too large or no file is refused here
//! cat-file    the texts
//! ```
//!
//! Git sees none of this process's environment but what [`run`] names, none of the machine's configuration, no hook, no filter and no
//! prompt, and speaks the one protocol of the configured URL.

mod remote;
mod run;
mod scratch;
mod tree;

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use self::remote::Remote;
use self::run::{Git, Ran};
use self::scratch::Scratch;
pub(super) use self::scratch::clean;
use super::{Found, GitSettings, Look, Revision, SourceError, SourceKind};
use crate::base::limits::{GIT_FETCH_BYTES_MAX, GIT_LIST_BYTES_MAX, GIT_PATH_DEPTH_MAX, GIT_TIMEOUT_MAX};

/// Where the fetched commit is put in the private repository.
const FETCHED: &str = "refs/windlass/fetched";

/// A checked repository.
#[derive(Debug)]
pub(super) struct Repository {
    remote: Remote,
    /// The folder's parts, from the top.
    path: Vec<String>,
    timeout: Duration,
    fetch_bytes_max: u64,
}

impl Repository {
    /// Checks the settings.
    ///
    /// # Errors
    /// The key, and what is wrong with its value.
    pub(super) fn new(settings: &GitSettings) -> Result<Self, (&'static str, String)> {
        let remote = Remote::parse(settings.url.expose()).map_err(|reason| ("serve.release.git.url", reason))?;
        let path = parts(&settings.path).map_err(|reason| ("serve.release.git.path", reason))?;
        if settings.timeout.is_zero() || settings.timeout > GIT_TIMEOUT_MAX {
            let reason = format!("not between nothing and {} minutes", GIT_TIMEOUT_MAX.as_secs() / 60);
            return Err(("serve.release.git.timeout", reason));
        }
        Ok(Self { remote, path, timeout: settings.timeout, fetch_bytes_max: GIT_FETCH_BYTES_MAX })
    }

    pub(super) async fn look(&self, revision: &Revision, scratch: &Path) -> Result<Look, SourceError> {
        let deadline = Instant::now() + self.timeout;
        let scratch = Scratch::new(scratch).map_err(|(path, source)| SourceError::Scratch {
            url: self.remote.shown().to_owned(),
            path,
            source,
        })?;
        let git = Git::new(&self.remote, &scratch, deadline, self.timeout, self.fetch_bytes_max)?;
        let reading = Reading { repository: self, revision, git };
        let look = reading.look().await;
        // Many files, maybe. Where this is never come to, they are removed all the same, as the reading is dropped.
        let _ = tokio::task::spawn_blocking(move || drop(scratch)).await;
        look
    }
}

/// The parts of a path inside a repository.
fn parts(path: &str) -> Result<Vec<String>, String> {
    if matches!(path, "" | ".") {
        return Ok(Vec::new());
    }
    let parts: Vec<String> = path.strip_suffix('/').unwrap_or(path).split('/').map(str::to_owned).collect();
    let bad = |part: &String| matches!(part.as_str(), "" | "." | "..") || part.chars().any(char::is_control);
    if parts.iter().any(bad) {
        return Err("it is not a path from the repository's top: db/migrations, or . for the top itself".to_owned());
    }
    if parts.len() > GIT_PATH_DEPTH_MAX {
        return Err(format!("it has more than {GIT_PATH_DEPTH_MAX} parts"));
    }
    Ok(parts)
}

/// One revision being read.
struct Reading<'a> {
    repository: &'a Repository,
    revision: &'a Revision,
    git: Git<'a>,
}

impl Reading<'_> {
    async fn look(&self) -> Result<Look, SourceError> {
        let url = self.repository.remote.shown();
        let named = match self.revision.as_str() {
            id if self.revision.is_object_id() => Some((id.to_ascii_lowercase(), id.len())),
            _ => self.reference().await?,
        };
        let Some((reference, id_length)) = named else {
            return Ok(Look::Not(format!("git {url} ({})", self.not_named())));
        };
        self.init(id_length).await?;
        self.fetch(&reference).await?;
        let commit = self.commit().await?;
        let shown = self.repository.path.join("/");
        let Some(tree) = self.folder(&commit).await? else {
            return Ok(Look::Not(format!("git {url} at {commit} (there is no folder {shown})")));
        };
        let origin = match shown.as_str() {
            "" => format!("git {url} at {commit}"),
            path => format!("git {url} at {commit} in {path}"),
        };
        let release = self.read(&tree, &origin).await?;
        Ok(Look::Found(Box::new(Found { release, source: SourceKind::Git, origin })))
    }

    /// The full name of the tag or the branch that is meant, a tag before a branch, as git has it; and how long the ids of this
    /// repository are. Asked for by itself, so that what is not there is told from what cannot be read.
    async fn reference(&self) -> Result<Option<(String, usize)>, SourceError> {
        let candidates = ["refs/tags/", "refs/heads/"].map(|kind| format!("{kind}{}", self.revision));
        let [tag, branch] = &candidates;
        let args = ["ls-remote", "--quiet", "--end-of-options", run::REMOTE, tag, branch];
        let text = self.text("ls-remote", &args).await?;
        // A pattern also matches the ends of longer names.
        let found = candidates.iter().find_map(|wanted| {
            let mut lines = text.lines().filter_map(|line| line.split_once('\t'));
            lines.find(|(_, name)| name == wanted).map(|(id, _)| (wanted.clone(), id.len()))
        });
        Ok(found)
    }

    fn not_named(&self) -> String {
        let hint = match self.revision.as_str().len() {
            7..40 if self.revision.is_hexadecimal() => "; a commit is named by all digits of its id",
            _ => "",
        };
        format!("there is neither a tag nor a branch of this name{hint}")
    }

    async fn init(&self, id_length: usize) -> Result<(), SourceError> {
        let format = if id_length == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        let args = ["init", "--quiet", "--bare", "--template=", format, run::REPOSITORY];
        self.text("init", &args).await.map(|_| ())
    }

    async fn fetch(&self, reference: &str) -> Result<(), SourceError> {
        let refspec = format!("+{reference}:{FETCHED}");
        let quiet = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"];
        let alone = ["--no-auto-maintenance", "--no-write-commit-graph", "--no-write-fetch-head", "--end-of-options"];
        let args: Vec<&str> = quiet.into_iter().chain(alone).chain([run::REMOTE, &refspec]).collect();
        let Ran { answer: _, well, said } = self.git.text(&args, GIT_LIST_BYTES_MAX).await?;
        if well {
            return Ok(());
        }
        let (url, revision) = (self.repository.remote.shown().to_owned(), self.revision.clone());
        if let Some((limit, unit)) = self.git.limit_reached(&said) {
            return Err(SourceError::GitTooLarge { url, revision, limit, unit });
        }
        if self.revision.is_object_id() && run::is_refused_by_id(&said) {
            return Err(SourceError::GitRefusesId { url, revision });
        }
        Err(SourceError::GitFailed { url, doing: "fetch", said })
    }

    async fn commit(&self) -> Result<String, SourceError> {
        let wanted = format!("{FETCHED}^{{commit}}");
        let text = self.text("rev-parse", &["rev-parse", "--verify", "--quiet", &wanted]).await?;
        Ok(text.trim().to_owned())
    }

    /// What a command that must succeed answers.
    async fn text(&self, doing: &'static str, args: &[&str]) -> Result<String, SourceError> {
        let Ran { answer, well, said } = self.git.text(args, GIT_LIST_BYTES_MAX).await?;
        let url = || self.repository.remote.shown().to_owned();
        match answer {
            Some(answer) if well => Ok(String::from_utf8_lossy(&answer).into_owned()),
            Some(_) => Err(SourceError::GitFailed { url: url(), doing, said }),
            None => Err(self.too_long()),
        }
    }

    fn too_long(&self) -> SourceError {
        let (url, revision) = (self.repository.remote.shown().to_owned(), self.revision.clone());
        SourceError::GitTooLarge { url, revision, limit: GIT_LIST_BYTES_MAX, unit: "bytes of names" }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::fleet::Secret;

    /// Random bytes do not get smaller in a pack.
    #[tokio::test]
    async fn a_commit_that_is_larger_than_what_is_fetched_is_given_up_at_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("shop");
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(dir.path()).env("GIT_CONFIG_GLOBAL", "/dev/null").args(args);
            assert!(command.status().unwrap().success(), "{args:?}");
        };
        git(&["init", "--quiet", "--initial-branch=main", "shop"]);
        let mut noise = vec![0; 3_000_000];
        getrandom::fill(&mut noise).unwrap();
        std::fs::write(work.join("noise"), noise).unwrap();
        git(&["-C", "shop", "add", "noise"]);
        git(&["-C", "shop", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "x"]);
        let url = Secret::new(format!("file://{}", work.display()));
        let settings = GitSettings { url, path: ".".to_owned(), timeout: Duration::from_mins(1) };
        let repository = Repository { fetch_bytes_max: 1_000_000, ..Repository::new(&settings).unwrap() };
        let scratch = dir.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let error = repository.look(&Revision::new("main").unwrap(), &scratch).await.err().unwrap();
        assert!(error.to_string().contains("more than 1000000 bytes of packed files"), "{error}");
        assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    }

    #[test]
    fn a_path_in_a_repository_stays_inside_and_is_not_deep() {
        assert_eq!(parts("db/migrations/").unwrap(), ["db", "migrations"]);
        assert_eq!(parts(".").unwrap(), Vec::<String>::new());
        let deep = vec!["a"; GIT_PATH_DEPTH_MAX + 1].join("/");
        assert_eq!(parts("").unwrap(), Vec::<String>::new());
        for bad in ["/", "/db", "db//m", "../db", "db/../..", "./db", "db\nm", &deep] {
            parts(bad).unwrap_err();
        }
    }
}
