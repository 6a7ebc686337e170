//! A folder for what git fetches, which is gone when it was read.
//!
//! A process that is killed leaves it behind. It is known again by its name, and by its lock being free: the system lets go of a lock
//! with the process that held it, so that nothing has to be guessed from ages and process numbers.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// How the names of the folders begin.
const PREFIX: &str = "windlass-git-";

/// The file in each whose lock says that somebody works there.
const LOCK: &str = "lock";

/// How often a folder is made anew because a cleaner took it as it came into being.
const TRIES: u32 = 10;

/// The folder. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    /// Held until the folder is gone.
    _lock: File,
}

impl Scratch {
    /// A new folder in `parent` that only this user can enter.
    ///
    /// # Errors
    /// The path at which the system refused, and what it said.
    pub(super) fn new(parent: &Path) -> Result<Self, (PathBuf, io::Error)> {
        // Git compares paths; a link in this one would be another path to it.
        let parent = fs::canonicalize(parent).map_err(|error| (parent.to_owned(), error))?;
        let mut refused = None;
        for _ in 0..TRIES {
            let path = parent.join(format!("{PREFIX}{}", Uuid::now_v7()));
            DirBuilder::new().mode(0o700).create(&path).map_err(|error| (path.clone(), error))?;
            match lock(&path) {
                Ok(Some(lock)) => return Ok(Self { path, _lock: lock }),
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        let error = refused.unwrap_or_else(|| io::ErrorKind::ResourceBusy.into());
        Err((parent, error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now, because git is only just ending, is removed at the next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The lock of this folder, where it is free. Who has it, has the folder: a cleaner makes the file where it is missing, so that there
/// is no moment at which both could think so.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let name = path.join(LOCK);
    // In a folder for everybody, somebody else may have made one of this name, with a pipe in it that nobody writes to.
    if fs::symlink_metadata(&name).is_ok_and(|there| !there.is_file()) {
        return Ok(None);
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&name)?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    // A cleaner may have had the lock, and taken the file away, between the opening and the lock.
    let (ours, there) = (file.metadata()?, fs::symlink_metadata(&name)?);
    Ok(((ours.dev(), ours.ino()) == (there.dev(), there.ino())).then_some(file))
}

/// Removes the folders in `parent` in which nobody works any more, and says how many.
pub(in crate::serve::source) fn clean(parent: &Path) -> usize {
    let Ok(entries) = fs::read_dir(parent) else { return 0 };
    let left = entries.flatten().filter(|entry| {
        // Of a link, this is the kind of the link itself.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        is_folder && entry.file_name().to_string_lossy().starts_with(PREFIX)
    });
    left.filter(|entry| match lock(&entry.path()) {
        Ok(Some(_held)) => fs::remove_dir_all(entry.path()).is_ok(),
        Ok(None) | Err(_) => false,
    })
    .count()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_nobody_works_in_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let busy = Scratch::new(parent.path()).unwrap();
        assert_eq!(fs::metadata(busy.path()).unwrap().permissions().mode() & 0o777, 0o700);
        // As a killed process leaves them: with a lock file that nobody holds, and without one.
        for (name, locked) in [("windlass-git-dead", true), ("windlass-git-young", false), ("windlass-other", true)] {
            fs::create_dir_all(parent.path().join(name).join("repository/objects")).unwrap();
            if locked {
                fs::write(parent.path().join(name).join(LOCK), "").unwrap();
            }
        }
        fs::write(parent.path().join("windlass-git-file"), "").unwrap();
        std::os::unix::fs::symlink(busy.path(), parent.path().join("windlass-git-link")).unwrap();
        assert_eq!(clean(parent.path()), 2);
        assert!(busy.path().is_dir() && parent.path().join("windlass-other").is_dir());
        let path = busy.path().to_owned();
        drop(busy);
        assert!(!path.exists());
        assert_eq!(clean(parent.path()), 0);
    }
}
