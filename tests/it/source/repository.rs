//! A git repository for a test, made by the real program with nobody's configuration.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use windlass::fleet::Secret;
use windlass::serve::source::{Found, GitSettings, Settings, SourceError, Sources};

use super::{revision, sources};

/// A bare repository, and a scratch folder for whoever reads it.
pub struct Repository {
    dir: TempDir,
}

impl Repository {
    pub fn new() -> Self {
        Self::with_format("sha1")
    }

    pub(super) fn with_format(format: &str) -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(repository.scratch()).unwrap();
        let path = repository.path();
        let args =
            ["init", "--quiet", "--bare", "--initial-branch=main", "--object-format", format, path.to_str().unwrap()];
        assert!(git(repository.dir.path()).args(args).status().unwrap().success());
        repository
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("shop.git")
    }

    pub(super) fn scratch(&self) -> PathBuf {
        self.dir.path().join("scratch")
    }

    pub(super) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Commits on `main` what this stream of `git fast-import` says of files: lines such as `M 100644 inline db/x` with their data.
    pub(super) fn import(&self, files: &[u8]) -> String {
        let mut stream = b"commit refs/heads/main\ncommitter T <t@example.org> 0 +0000\ndata 1\nx\n".to_vec();
        if self.run(&["rev-parse", "--verify", "--quiet", "main"]).is_ok() {
            stream.extend_from_slice(b"from refs/heads/main^0\n");
        }
        stream.extend_from_slice(files);
        let mut import = git(&self.path()).args(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
        import.stdin.take().unwrap().write_all(&stream).unwrap();
        assert!(import.wait().unwrap().success());
        self.run(&["rev-parse", "main"]).unwrap()
    }

    /// Commits these files.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        self.import(&files.iter().flat_map(|(path, text)| file("100644", path, text.as_bytes())).collect::<Vec<u8>>())
    }

    /// Runs git in the repository.
    pub(super) fn run(&self, args: &[&str]) -> Result<String, String> {
        let output = git(&self.path()).args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    pub(super) fn sources(&self, url: &str, timeout: Duration) -> Sources {
        let git = GitSettings { url: Secret::new(url), path: "db/migrations".to_owned(), timeout };
        sources(Settings { git: Some(git), ..Settings::default() }, &self.scratch())
    }

    pub(super) async fn find(&self, name: &str) -> Result<Found, SourceError> {
        let found = self.sources(&self.url(), Duration::from_mins(1)).find(&revision(name)).await;
        assert_eq!(std::fs::read_dir(self.scratch()).unwrap().count(), 0, "something of it is left");
        found
    }
}

/// The lines with which `git fast-import` makes this file.
pub(super) fn file(mode: &str, path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut lines = format!("M {mode} inline {path}\ndata {}\n", bytes.len()).into_bytes();
    lines.extend_from_slice(bytes);
    lines.push(b'\n');
    lines
}

fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}
