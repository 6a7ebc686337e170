//! Reading a migration folder, once, within limits.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::{Files, Release, ReleaseError};
use crate::base::limits::MIGRATION_BYTES_MAX;

/// Reads the migrations in `dir`. Without a name, the release is called after its last migration.
///
/// Sub-folders, hidden files and files that are not `.sql` are passed over; an `.sql` file with a name that is no migration's is
/// refused, because whoever put it there meant it to run.
///
/// # Errors
/// When the folder or a file cannot be read, the folder holds no migration, or what it holds makes no release.
pub fn load(dir: &Path, name: Option<String>) -> Result<Release, ReleaseError> {
    let unreadable = |source| ReleaseError::FolderUnreadable { dir: dir.to_owned(), source };
    let mut files = Files::new(dir.display().to_string());
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file_name = entry.file_name();
        let file = file_name.to_string_lossy();
        // A link is what it points to: orchestrators mount folders of links.
        if !Files::wants(&file) || entry.path().is_dir() {
            continue;
        }
        if file_name.to_str().is_none() {
            // Two such names can look the same, and one of the files would be passed over.
            let reason = "its name is not UTF-8 text".to_owned();
            return Err(ReleaseError::Unreadable { file: file.into_owned(), reason });
        }
        let bytes = read_within(&entry.path(), MIGRATION_BYTES_MAX)
            .map_err(|error| ReleaseError::Unreadable { file: file.clone().into_owned(), reason: error.to_string() })?;
        files.add(&file, bytes)?;
    }
    files.into_release(name)
}

/// The file's bytes; one more than `limit` where it is longer.
fn read_within(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::base::{Code, Coded};

    fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, bytes) in files {
            fs::write(dir.path().join(file), bytes).unwrap();
        }
        dir
    }

    fn code_of(dir: &TempDir) -> Code {
        load(dir.path(), None).unwrap_err().code()
    }

    #[test]
    fn a_folder_is_read_without_what_is_no_migration() {
        let dir = folder(&[
            ("0001_a.up.sql", b"SELECT 1"),
            ("0001_a.down.sql", b"SELECT 2"),
            ("README.md", b"\xff"),
            (".gitkeep", b""),
            (".0002_hidden.up.sql", b""),
        ]);
        fs::create_dir(dir.path().join("old.sql")).unwrap();
        let release = load(dir.path(), Some("v1".to_owned())).unwrap();
        assert_eq!((release.name.as_str(), release.migrations.len()), ("v1", 1));
    }

    #[test]
    fn a_folder_that_is_missing_or_empty_is_told_apart() {
        let dir = folder(&[("README.md", b"")]);
        assert_eq!(code_of(&dir), Code::ReleaseEmpty);
        let error = load(&dir.path().join("none"), None).unwrap_err();
        assert_eq!(error.code(), Code::ReleaseMissing);
        assert!(error.to_string().contains("none"));
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_by_its_name() {
        for bytes in [b"SELECT '\xff'".as_slice(), b"SELECT 1;\0 DROP TABLE t"] {
            let error = load(folder(&[("1_a.up.sql", bytes)]).path(), None).unwrap_err();
            assert_eq!(error.code(), Code::UnreadableMigration);
            assert!(error.to_string().starts_with("1_a.up.sql "), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn two_names_that_look_the_same_because_they_are_no_text_are_refused() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        for name in [b"1_\xfe.sql", b"1_\xff.sql"] {
            fs::write(dir.path().join(OsStr::from_bytes(name)), "SELECT 1").unwrap();
        }
        assert_eq!(code_of(&dir), Code::UnreadableMigration);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_read_as_what_it_points_to_and_a_broken_one_is_refused() {
        let dir = folder(&[("data", b"SELECT 1")]);
        std::os::unix::fs::symlink("data", dir.path().join("1_a.up.sql")).unwrap();
        assert_eq!(load(dir.path(), None).unwrap().migrations[0].up.text, "SELECT 1");
        std::os::unix::fs::symlink("nowhere", dir.path().join("2_b.up.sql")).unwrap();
        assert_eq!(code_of(&dir), Code::UnreadableMigration);
    }

    #[test]
    fn a_file_beyond_its_limit_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("1_a.up.sql")).unwrap();
        file.set_len(MIGRATION_BYTES_MAX + 1).unwrap();
        assert_eq!(code_of(&dir), Code::TooLarge);
    }

    #[test]
    fn an_sql_file_with_another_name_is_refused_and_so_is_one_in_capitals() {
        assert_eq!(code_of(&folder(&[("1_a.up.sql", b""), ("seed.sql", b"")])), Code::BadMigrationName);
        assert_eq!(code_of(&folder(&[("1_a.up.sql", b""), ("2_B.UP.SQL", b"")])), Code::BadMigrationName);
    }
}
