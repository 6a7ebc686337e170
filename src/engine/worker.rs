//! Who this process is, and whether another one is still there.
//!
//! A worker that was killed leaves leases behind. On the same machine its successor need not wait for them to run out: it can see
//! that the process is gone. The id therefore names the boot, the process namespace, the process and its start, so that a reused
//! process id, a reboot or another container is never taken for the same worker.

use std::fs;
use std::io::{self, ErrorKind};

use crate::base::WorkerId;

/// The id of this process.
#[must_use]
pub fn this_worker() -> WorkerId {
    let pid = std::process::id();
    let started = start_of(pid).ok().flatten().unwrap_or_default();
    WorkerId(format!("{}/{}/{pid}/{started}", host(), place()))
}

/// Whether a worker is known to be gone: it ran in this boot and this process namespace, and its process is not there any more.
/// Anything else is "not known", and its leases run out by themselves.
#[must_use]
pub fn is_dead(worker: &WorkerId) -> bool {
    let mut parts = worker.as_str().rsplitn(4, '/');
    let (Some(started), Some(pid), Some(at)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let here = place();
    let Ok(pid) = pid.parse::<u32>() else { return false };
    if here.is_empty() || at != here || started.is_empty() {
        return false;
    }
    match start_of(pid) {
        Ok(now) => now.as_deref() != Some(started),
        // Nothing less proves it: a /proc that cannot be read now says nothing about the process.
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// The machine's name, for people.
#[must_use]
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned()) } else { name.to_owned() }
}

/// This boot and this process namespace; empty where the system does not say.
fn place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot: String = boot.trim().chars().filter(char::is_ascii_hexdigit).take(12).collect();
    let namespace = fs::read_link("/proc/self/ns/pid").ok();
    let namespace: String =
        namespace.map(|link| link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()).unwrap_or_default();
    if boot.is_empty() || namespace.is_empty() { String::new() } else { format!("{boot}.{namespace}") }
}

/// When a process started, in clock ticks since the boot: field 22 of `/proc/<pid>/stat`; none for a zombie, which has ended.
fn start_of(pid: u32) -> io::Result<Option<String>> {
    start_in(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
}

/// The same, from the text of that file; an error where it is another text.
fn start_in(stat: &str) -> io::Result<Option<String>> {
    let unknown = || io::Error::from(ErrorKind::InvalidData);
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')').ok_or_else(unknown)?;
    let mut rest = rest.split_whitespace();
    let state = rest.next().ok_or_else(unknown)?;
    if matches!(state, "Z" | "X" | "x") {
        return Ok(None);
    }
    rest.nth(18).map(|start| Some(start.to_owned())).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive() {
        assert!(!is_dead(&this_worker()));
    }

    #[test]
    fn a_process_that_was_reaped_is_dead_and_one_elsewhere_is_not_known_to_be() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = WorkerId(format!("h/{}/{}/12345", place(), child.id()));
        child.wait().unwrap();
        assert!(is_dead(&id));
        assert!(!is_dead(&WorkerId(format!("h/elsewhere.1/{}/12345", child.id()))));
        assert!(!is_dead(&WorkerId("nonsense".into())));
    }

    #[test]
    fn a_text_that_is_not_understood_says_nothing_and_a_zombie_has_ended() {
        let rest = (0..40).map(|at| at.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(start_in(&format!("7 (a (b) c) S {rest}")).unwrap(), Some("18".to_owned()));
        assert_eq!(start_in(&format!("7 (a) Z {rest}")).unwrap(), None);
        assert!(start_in("").is_err() && start_in("7 (a) S 1 2").is_err());
    }

    #[test]
    fn a_reused_process_id_is_not_the_old_worker() {
        assert!(is_dead(&WorkerId(format!("h/{}/{}/1", place(), std::process::id()))));
    }
}
