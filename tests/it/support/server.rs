//! What the private servers have in common: a keeper that outlives nobody, an unprivileged user, and signals.
//!
//! A keeper process holds each server: when the test process ends, in whatever way, a pipe closes, and the keeper kills the server
//! and removes its folder. So a killed test run leaves nothing behind, and no destructor has to run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The password of `app`, as whom everybody but the tests themselves comes to the tests' databases. No message may ever contain it.
pub const APP_PASSWORD: &str = "app-s3cr3t";
/// How long a server may take to answer.
pub const READY_WITHIN: Duration = Duration::from_mins(1);
/// The pause between two attempts to connect to a server that starts.
pub const KNOCK: Duration = Duration::from_millis(20);
/// How many ports are tried: between finding one free and using it, somebody else may.
pub const PORTS_TRIED_MAX: u32 = 5;

/// Arguments: the folder, the signal that ends the server, its command line. Prints the server's process id. A line `keep` ends it
/// without removing the folder; the end of the input removes both.
const KEEPER: &str = r#"
dir=$1; signal=$2; shift 2
"$@" >>"$dir/server.log" 2>&1 </dev/null &
server=$!
echo "$server"
# The shell would say of each server that it was killed.
exec 2>/dev/null
read -r word
kill "-$signal" "$server" 2>/dev/null
wait "$server"
[ "$word" = keep ] || rm -rf "$dir"
"#;

/// Whether a server's commits survive its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// They do: for tests that kill it.
    Fsync,
    /// For all others.
    None,
}

/// Starts a server under a keeper; answers with the server's process id.
pub fn keep(dir: &Path, signal: &str, server: &Command) -> (u32, Child) {
    let mut keeper = Command::new("sh");
    keeper.arg("-c").arg(KEEPER).arg("keeper").arg(dir).arg(signal).arg(server.get_program()).args(server.get_args());
    // A group of its own: a Ctrl-C at the terminal must not end the keeper before it has cleaned up.
    let keeper = keeper.process_group(0).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut keeper = keeper.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (line.trim().parse().unwrap(), keeper)
}

/// Lets a keeper go, and leaves the folder.
pub fn dismiss(keeper: &mut Child) {
    keeper.stdin.take().unwrap().write_all(b"keep\n").unwrap();
    keeper.wait().unwrap();
}

/// What a server has written.
pub fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("server.log")).unwrap_or_default()
}

/// The folders in which programs are looked for: the path's, and those of packages that keep out of it.
pub fn program_folders(packaged: &str) -> Vec<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let packaged: Vec<_> = glob::glob(packaged).unwrap().flatten().collect();
    // The newest package first.
    std::env::split_paths(&on_path).chain(packaged.into_iter().rev()).collect()
}

/// The user and group that a server runs as, where the tests run as root, as which it refuses to.
fn unprivileged(user: &str) -> Option<(u32, u32)> {
    if id(&["-u"])? != 0 {
        return None;
    }
    [user, "nobody"].iter().find_map(|user| Some((id(&["-u", user])?, id(&["-g", user])?)))
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().ok()
}

/// A program of a server's, to be run as its user.
pub fn unprivileged_command(user: &str, program: &Path) -> Command {
    let Some((uid, gid)) = unprivileged(user) else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups").arg("--").arg(program);
    command
}

/// Hands a file to a server's user.
pub fn give_to(user: &str, path: &Path) {
    if let Some((uid, gid)) = unprivileged(user) {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// Sends a signal.
pub fn signal(name: &str, pids: &[u32]) {
    for pid in pids {
        let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    }
}

/// Waits until killed processes hold nothing any more.
pub fn wait_until_gone(pids: &[u32]) {
    let deadline = Instant::now() + READY_WITHIN;
    while pids.iter().any(|pid| is_running(*pid)) {
        assert!(Instant::now() < deadline, "killed server processes do not go away");
        std::thread::yield_now();
    }
}

/// Whether a process is there, and more than a zombie.
pub fn is_running(pid: u32) -> bool {
    stat_of(pid).is_some_and(|stat| stat[0] != "Z" && stat[0] != "X")
}

fn stat_of(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The processes that a process has started.
pub fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| stat_of(*pid).is_some_and(|stat| stat[1] == parent.to_string()))
        .collect()
}
