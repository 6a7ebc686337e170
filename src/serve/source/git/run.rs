//! One command of git at a time, with its environment, its limits and its end.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::SourceError;
use super::remote::Remote;
use super::scratch::Scratch;
use crate::base::limits::{GIT_END_TIMEOUT, GIT_MEMORY_BYTES_MAX, GIT_SAID_BYTES_MAX};

/// What git calls the one repository that it is told of.
pub(super) const REMOTE: &str = "source";

/// The private repository in the scratch folder.
pub(super) const REPOSITORY: &str = "repository";

/// Bytes in which the shell counts the size of a file.
const BLOCK: u64 = 512;

/// The shell's part: limits on git, and its life bound to ours.
///
/// Its standard input is a pipe of which this process has the other end and never writes to it. When that end is closed, because the
/// time is over, because nobody wants the answer any more, or because this process was killed, `read` returns and ends the whole
/// process group: git, and whatever git has started. No signal has to be sent by a process that may be dead.
///
/// The size of a file is limited, so that what a server sends cannot fill the disk; the memory, where the system can do that.
const GUARD: &str = r#"
ulimit -f "$1" || exit 125
ulimit -v "$2" 2>/dev/null
input=$3
shift 3
exec 3<&0
"$@" <"$input" 3<&- &
git=$!
{ read -r line <&3; kill -s KILL 0; } >/dev/null 2>&1 &
guard=$!
wait "$git"
status=$?
kill -s KILL "$guard" 2>/dev/null
exit "$status"
"#;

/// The variables of this process that git sees: how to find programs, keys and certificates, and the way out.
const KEPT: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "GIT_SSH_COMMAND",
];

/// What git is told whatever it does.
const SETTINGS: [(&str, &str); 20] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    // Larger ones are not unfolded in memory.
    ("core.bigFileThreshold", "16m"),
    ("core.packedGitWindowSize", "16m"),
    ("core.packedGitLimit", "256m"),
    ("pack.threads", "1"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    // One pack, so that the limit on the size of a file is one on all of it.
    ("fetch.unpackLimit", "1"),
    ("transfer.unpackLimit", "1"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("transfer.bundleURI", "false"),
    ("protocol.version", "2"),
    ("protocol.allow", "never"),
    // Only the server of the URL is spoken to.
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1"),
    // No helper of this machine is asked.
    ("credential.helper", ""),
    ("filter.lfs.process", ""),
];

/// Answers with what stands in its environment, when it is asked.
const LOGIN_HELPER: &str = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$WINDLASS_GIT_USER" "$WINDLASS_GIT_PASSWORD"; }; f"#;

/// The git program, for one reading.
pub(super) struct Git<'a> {
    remote: &'a Remote,
    program: PathBuf,
    shell: PathBuf,
    folder: PathBuf,
    deadline: Instant,
    timeout: Duration,
    /// Bytes that git may write into one file.
    file_bytes_max: u64,
}

/// What a command came to.
pub(super) struct Ran<T> {
    /// What it answered; none where that was too long.
    pub(super) answer: T,
    /// Whether it ended well.
    pub(super) well: bool,
    /// What it said besides, without secrets.
    pub(super) said: String,
}

impl<'a> Git<'a> {
    /// Finds the program.
    ///
    /// # Errors
    /// WL0812 where it is not in the PATH.
    pub(super) fn new(
        remote: &'a Remote,
        scratch: &Scratch,
        deadline: Instant,
        timeout: Duration,
        file_bytes_max: u64,
    ) -> Result<Self, SourceError> {
        let find = |program: &'static str| {
            in_path(program).ok_or_else(|| SourceError::GitMissing { url: remote.shown().to_owned(), program })
        };
        let folder = scratch.path().to_owned();
        Ok(Self { remote, program: find("git")?, shell: find("sh")?, folder, deadline, timeout, file_bytes_max })
    }

    /// The folder that it works in.
    pub(super) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Runs a command whose answer is short.
    ///
    /// # Errors
    /// WL0812 when it cannot be started, or does not end in time.
    pub(super) async fn text(&self, args: &[&str], limit: u64) -> Result<Ran<Option<Vec<u8>>>, SourceError> {
        self.run(args, None, async |out: BufReader<ChildStdout>| {
            let mut answer = Vec::new();
            out.take(limit + 1).read_to_end(&mut answer).await.map_err(|error| self.broken(error))?;
            Ok((answer.len() as u64 <= limit).then_some(answer))
        })
        .await
    }

    /// Runs a command, which reads the file `input` in the scratch folder, and reads its answer with `read`.
    ///
    /// # Errors
    /// WL0812 when it cannot be started or does not end in time, and whatever `read` says. It has ended then.
    pub(super) async fn run<T, F: Future<Output = Result<T, SourceError>>>(
        &self,
        args: &[&str],
        input: Option<&str>,
        read: impl FnOnce(BufReader<ChildStdout>) -> F,
    ) -> Result<Ran<T>, SourceError> {
        let mut child = self.command(args, input).spawn().map_err(|error| self.broken(error))?;
        // Closed when this is dropped, with all that follows from it.
        let lifeline = child.stdin.take();
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(self.broken(io::ErrorKind::BrokenPipe.into()));
        };
        let whole = async {
            let (answer, said) = tokio::join!(read(BufReader::new(out)), said(err));
            (answer, said)
        };
        let result = match timeout_at(self.deadline, whole).await {
            Ok((Ok(answer), said)) => match timeout_at(self.deadline, child.wait()).await {
                Ok(status) => {
                    let well = status.map_err(|error| self.broken(error))?.success();
                    return Ok(Ran { answer, well, said: self.clean(&said) });
                }
                Err(_) => Err(self.late()),
            },
            Ok((Err(error), _)) => Err(error),
            Err(_) => Err(self.late()),
        };
        drop(lifeline);
        end(&mut child).await;
        result
    }

    /// Which limit a command that failed has come up against, and of what. Git does not say it where a part of it was ended by a signal;
    /// the file that has reached its limit does.
    pub(super) fn limit_reached(&self, said: &str) -> Option<(u64, &'static str)> {
        if said.contains("Out of memory") || said.contains("out of memory") {
            return Some((GIT_MEMORY_BYTES_MAX, "bytes of memory are needed to unpack it"));
        }
        let packs = std::fs::read_dir(self.folder.join(REPOSITORY).join("objects/pack")).ok()?;
        let mut sizes = packs.flatten().filter_map(|pack| pack.metadata().ok()).map(|pack| pack.len());
        // The limit counts blocks.
        let full = self.file_bytes_max / BLOCK * BLOCK;
        sizes.any(|size| size >= full).then_some((self.file_bytes_max, "bytes of packed files"))
    }

    fn command(&self, args: &[&str], input: Option<&str>) -> Command {
        let blocks = (self.file_bytes_max / BLOCK).to_string();
        let kibibytes = (GIT_MEMORY_BYTES_MAX / 1024).to_string();
        let mut command = Command::new(&self.shell);
        command.args(["-c", GUARD, "windlass", &blocks, &kibibytes, input.unwrap_or("/dev/null")]);
        command.arg(&self.program).args(args);
        command.current_dir(&self.folder).env_clear().envs(self.environment());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    fn environment(&self) -> Vec<(String, String)> {
        let kept = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let mut variables: Vec<(String, String)> =
            vec![("GIT_SSH_COMMAND".to_owned(), "ssh -o BatchMode=yes".to_owned())];
        variables.extend(kept);
        let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        set("LC_ALL", "C");
        for name in ["GIT_CONFIG_NOSYSTEM", "GIT_ATTR_NOSYSTEM", "GIT_LFS_SKIP_SMUDGE", "GIT_NO_REPLACE_OBJECTS"] {
            set(name, "1");
        }
        for name in ["GIT_NO_LAZY_FETCH", "GIT_LITERAL_PATHSPECS"] {
            set(name, "1");
        }
        for name in ["GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL"] {
            set(name, "/dev/null");
        }
        set("GIT_TERMINAL_PROMPT", "0");
        set("GIT_OPTIONAL_LOCKS", "0");
        set("GIT_ALLOW_PROTOCOL", self.remote.protocol());
        // Where there is no repository yet, none is looked for above.
        if let Some(parent) = self.folder.parent() {
            set("GIT_CEILING_DIRECTORIES", &parent.display().to_string());
        }
        if self.folder.join(REPOSITORY).is_dir() {
            set("GIT_DIR", &self.folder.join(REPOSITORY).display().to_string());
        }
        let slow = self.timeout.as_secs().max(1).to_string();
        let mut settings: Vec<(String, &str)> =
            SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        settings.push((format!("remote.{REMOTE}.url"), self.remote.url()));
        settings.push(("http.lowSpeedTime".to_owned(), &slow));
        if let Some(login) = self.remote.login() {
            set("WINDLASS_GIT_USER", login.user.expose());
            set("WINDLASS_GIT_PASSWORD", login.password.expose());
            settings.push((format!("credential.{}.helper", self.remote.url()), LOGIN_HELPER));
        }
        set("GIT_CONFIG_COUNT", &settings.len().to_string());
        for (at, (key, value)) in settings.iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{at}"), key);
            set(&format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        variables
    }

    /// What git said, on one line, without secrets and without what could move a terminal's cursor.
    fn clean(&self, said: &[u8]) -> String {
        let text = self.remote.redact(&String::from_utf8_lossy(said));
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let plain: String = lines.collect::<Vec<_>>().join(" · ").chars().filter(|c| !c.is_control()).collect();
        match plain.char_indices().find(|(at, _)| *at >= GIT_SAID_BYTES_MAX) {
            Some((end, _)) => format!("{}…", &plain[..end]),
            None => plain,
        }
    }

    fn late(&self) -> SourceError {
        SourceError::GitTimeout { url: self.remote.shown().to_owned(), after: self.timeout }
    }

    pub(super) fn broken(&self, source: io::Error) -> SourceError {
        SourceError::Scratch { url: self.remote.shown().to_owned(), path: self.program.clone(), source }
    }
}

/// Waits for the end of a command whose pipe was closed; where the shell itself hangs, it is killed.
async fn end(child: &mut Child) {
    if timeout(GIT_END_TIMEOUT, child.wait()).await.is_err() {
        let _ = child.start_kill();
    }
}

/// The beginning of what it says; the rest is read and forgotten, or it would wait for us.
async fn said(err: ChildStderr) -> Vec<u8> {
    let mut said = Vec::new();
    let mut err = BufReader::new(err);
    // A pipe that breaks has said what it said.
    let _ = (&mut err).take(16 * GIT_SAID_BYTES_MAX as u64).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut err, &mut tokio::io::sink()).await;
    said
}

/// Whether the server has said that it does not give this object by its id: in the second version of git's protocol because it has
/// none, in the first also because no tag or branch points to it.
pub(super) fn is_refused_by_id(said: &str) -> bool {
    ["not our ref", "unadvertised object", "couldn't find remote ref"].iter().any(|mark| said.contains(mark))
}

/// The program of this name in the PATH.
fn in_path(program: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(program)).find(|file| {
        std::fs::metadata(file).is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
    })
}

/// Reads exactly so many bytes, without taking the memory for them before they come.
pub(super) async fn exactly(from: &mut (impl AsyncRead + Unpin), bytes: u64) -> io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    from.take(bytes).read_to_end(&mut taken).await?;
    if taken.len() as u64 == bytes { Ok(taken) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
