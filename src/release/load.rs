//! Reading a migration folder, once, within limits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::{Release, ReleaseError, formats};
use crate::base::limits::{MIGRATION_BYTES_MAX, RELEASE_BYTES_MAX, RELEASE_MIGRATIONS_MAX};

/// Reads the migrations in `dir`. Without a name, the release is called after its last migration.
///
/// Sub-folders, hidden files and files that are not `.sql` are passed over; an `.sql` file with a name that is no migration's is
/// refused, because whoever put it there meant it to run.
///
/// # Errors
/// When the folder or a file cannot be read, the folder holds no migration, or what it holds makes no release.
pub fn load(dir: &Path, name: Option<String>) -> Result<Release, ReleaseError> {
    let unreadable = |source| ReleaseError::FolderUnreadable { dir: dir.to_owned(), source };
    let mut files = BTreeMap::new();
    let mut bytes = 0_u64;
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if !is_candidate(&file, &entry.path()) {
            continue;
        }
        let text = read_text(&entry.path(), &file)?;
        bytes = bytes.saturating_add(text.len() as u64);
        files.insert(file, text);
        check(dir, "bytes", bytes, RELEASE_BYTES_MAX)?;
        // Each migration has at most two files.
        check(dir, "files", files.len() as u64, 2 * RELEASE_MIGRATIONS_MAX as u64)?;
    }
    let release = formats::read(name, &files)?;
    if release.migrations.is_empty() {
        return Err(ReleaseError::FolderEmpty { dir: dir.to_owned() });
    }
    check(dir, "migrations", release.migrations.len() as u64, RELEASE_MIGRATIONS_MAX as u64)?;
    Ok(release)
}

/// Whether this entry is an SQL file. A link is what it points to: orchestrators mount folders of links.
fn is_candidate(file: &str, path: &Path) -> bool {
    let sql = Path::new(file).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
    sql && !file.starts_with('.') && !path.is_dir()
}

fn check(dir: &Path, unit: &'static str, count: u64, limit: u64) -> Result<(), ReleaseError> {
    if count > limit {
        return Err(ReleaseError::TooLarge { what: format!("the release in {}", dir.display()), limit, unit });
    }
    Ok(())
}

fn read_text(path: &Path, file: &str) -> Result<String, ReleaseError> {
    let refuse = |reason: String| ReleaseError::Unreadable { file: file.to_owned(), reason };
    let bytes = read_within(path, MIGRATION_BYTES_MAX).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > MIGRATION_BYTES_MAX {
        return Err(ReleaseError::TooLarge { what: file.to_owned(), limit: MIGRATION_BYTES_MAX, unit: "bytes" });
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| refuse(format!("it is not UTF-8 text, from byte {} on", error.utf8_error().valid_up_to())))?;
    // To a server, a NUL ends the text: what stands behind it would be passed over in silence.
    match text.find('\0') {
        Some(at) => Err(refuse(format!("byte {at} is a NUL, which no SQL text can hold"))),
        None => Ok(text),
    }
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
