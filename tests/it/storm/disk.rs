//! The log's disk: a file system of its own, so small that it can be filled.
//!
//! Where none may be mounted, a process is refused its writes beyond a size of file instead (`ulimit -f`), as by a quota.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Bytes of the small file system.
const SIZE: u64 = 48 * 1024 * 1024;

/// Mounts, says so, and takes it down again when its input ends: also when the tests are killed.
const KEEPER: &str = r#"
mount -t tmpfs -o "size=$2,mode=700" windlass-storm "$1" 2>/dev/null || { echo no; exit; }
echo yes
read -r word
umount -l "$1"
"#;

pub(super) struct Disk {
    folder: PathBuf,
    keeper: Option<Child>,
}

impl Disk {
    /// The disk under a folder, which is made.
    pub(super) fn under(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(folder).arg(SIZE.to_string()).process_group(0);
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let keeper = if said.trim() == "yes" {
            Some(keeper)
        } else {
            keeper.wait().unwrap();
            None
        };
        Self { folder: folder.to_owned(), keeper }
    }

    /// Whether it can be filled.
    pub(super) fn is_small(&self) -> bool {
        self.keeper.is_some()
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves not a byte.
    pub(super) fn fill(&self) {
        assert!(self.is_small(), "this disk is not ours to fill");
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        for block in [vec![0; 64 * 1024], vec![0; 512], vec![0]] {
            while filler.write_all(&block).is_ok() {}
        }
    }

    /// Makes room again.
    pub(super) fn free(&self) {
        let _ = std::fs::remove_file(self.filler());
    }

    /// Copies what is on it to another folder, for those who look at it when it is gone.
    pub(super) fn keep_in(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for entry in std::fs::read_dir(&self.folder).unwrap().flatten() {
            let _ = std::fs::copy(entry.path(), folder.join(entry.file_name()));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}
