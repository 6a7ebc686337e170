//! A file that is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::output::Failure;
use crate::base::digest::Hasher;
use crate::base::{Code, Digest};

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and nothing is written.
    Keep,
    /// It is replaced, at once, when the new one is whole.
    Replace,
}

/// A file under way, beside the place that it is for. Dropped, it is gone; killed, it stays beside it under its own name.
pub(super) struct NewFile {
    target: PathBuf,
    draft: PathBuf,
    existing: Existing,
    out: BufWriter<File>,
    hasher: Hasher,
    bytes: u64,
}

/// A file that was written.
pub(super) struct Written {
    /// How long it is.
    pub(super) bytes: u64,
    /// SHA-256 of all of it.
    pub(super) digest: Digest,
}

impl NewFile {
    /// Begins a file for its owner's eyes alone: what is exported of a log is as confidential as the log, and a key more so.
    pub(super) fn create(target: &Path, existing: Existing) -> Result<Self, Failure> {
        if existing == Existing::Keep && target.symlink_metadata().is_ok() {
            return Err(in_the_way(target));
        }
        let name = target.file_name().ok_or_else(|| failed(target, "it has no name"))?.to_string_lossy();
        let draft = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let open = File::options().write(true).create_new(true).mode(0o600).open(&draft);
        let file = open.map_err(|error| failed(target, error))?;
        let out = BufWriter::new(file);
        Ok(Self { target: target.to_owned(), draft, existing, out, hasher: Hasher::new(), bytes: 0 })
    }

    /// Puts the file in its place, once the disk has it.
    pub(super) fn commit(mut self) -> Result<Written, Failure> {
        let failed = |error: io::Error| failed(&self.target, error);
        self.out.flush().map_err(failed)?;
        self.out.get_ref().sync_all().map_err(failed)?;
        match self.existing {
            Existing::Replace => fs::rename(&self.draft, &self.target).map_err(failed)?,
            // A link is made only where nothing is: whoever was quicker keeps theirs.
            Existing::Keep => match fs::hard_link(&self.draft, &self.target) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(in_the_way(&self.target)),
                // Some file systems have no links: there, the look at the beginning and this one have to do.
                Err(_) if self.target.symlink_metadata().is_err() => {
                    fs::rename(&self.draft, &self.target).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            },
        }
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let digest = std::mem::replace(&mut self.hasher, Hasher::new()).finish();
        Ok(Written { bytes: self.bytes, digest })
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Gone already where it was renamed.
        let _ = fs::remove_file(&self.draft);
    }
}

fn in_the_way(target: &Path) -> Failure {
    let message = format!("{} is there already, and was left as it is", target.display());
    Failure::new(Code::FileNotWritten, message, "the same command with another name, or, of an export, with --force")
}

fn failed(target: &Path, why: impl std::fmt::Display) -> Failure {
    let message = format!("{} cannot be written: {why}. Nothing is there that was not there before", target.display());
    Failure::new(Code::FileNotWritten, message, "the same command with a place that can be written to")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_was_not_finished_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("export");
        let mut file = NewFile::create(&target, Existing::Keep).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        drop(file);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_that_came_meanwhile_is_kept_and_one_to_be_replaced_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("export");
        let mut file = NewFile::create(&target, Existing::Keep).unwrap();
        file.write_all(b"ours").unwrap();
        fs::write(&target, "theirs").unwrap();
        assert!(file.commit().is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        let mut file = NewFile::create(&target, Existing::Replace).unwrap();
        file.write_all(b"ours").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        let Written { bytes, digest } = file.commit().unwrap();
        assert_eq!((bytes, digest), (4, Digest::of(b"ours")));
        assert_eq!(
            (names(folder.path()), fs::read_to_string(&target).unwrap()),
            (vec!["export".to_owned()], "ours".into())
        );
    }
}
