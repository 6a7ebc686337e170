//! The files of a release while they are gathered, from wherever they come: names and bytes, within limits.
//!
//! A folder, the tree of a git commit and a release that somebody sent all pass through here, so that what one of them refuses the
//! others refuse as well.

use std::collections::BTreeMap;

use super::model::normal;
use super::{Release, ReleaseError, formats};
use crate::base::limits::{MIGRATION_BYTES_MAX, MIGRATION_NAME_BYTES_MAX, RELEASE_BYTES_MAX, RELEASE_MIGRATIONS_MAX};

/// The files of one release: each by its name, which is no path.
#[derive(Debug)]
pub struct Files {
    /// Where they are, for messages.
    place: String,
    /// By name, in their normal form.
    texts: BTreeMap<String, String>,
    added: Tally,
    announced: Tally,
}

/// How much there is.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    bytes: u64,
}

impl Tally {
    fn take(&mut self, place: &str, file: &str, bytes: u64) -> Result<(), ReleaseError> {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        check(file, "bytes", bytes, MIGRATION_BYTES_MAX)?;
        let release = format!("the release in {place}");
        check(&release, "bytes", self.bytes, RELEASE_BYTES_MAX)?;
        // Each migration has at most two files.
        check(&release, "files", self.files, 2 * RELEASE_MIGRATIONS_MAX as u64)
    }
}

fn check(what: &str, unit: &'static str, count: u64, limit: u64) -> Result<(), ReleaseError> {
    if count > limit {
        return Err(ReleaseError::TooLarge { what: what.to_owned(), limit, unit });
    }
    Ok(())
}

impl Files {
    /// None yet. `place` is where they are, for messages: a folder's path.
    #[must_use]
    pub fn new(place: impl Into<String>) -> Self {
        let (added, announced) = (Tally::default(), Tally::default());
        Self { place: place.into(), texts: BTreeMap::new(), added, announced }
    }

    /// Whether a file of this name belongs to a release: an SQL file that is not hidden. Others are passed over.
    #[must_use]
    pub fn wants(file: &str) -> bool {
        let extension = file.rsplit_once('.').map(|(_, extension)| extension);
        !file.starts_with('.') && extension.is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
    }

    /// A file of this many bytes is going to be added. For whoever knows sizes before contents: what is too large is refused before
    /// anything of it is in memory.
    ///
    /// # Errors
    /// WL0113 when it, or the release with it, is larger than its limit.
    pub fn announce(&mut self, file: &str, bytes: u64) -> Result<(), ReleaseError> {
        self.announced.take(&self.place, file, bytes)
    }

    /// Adds a file as it was read.
    ///
    /// # Errors
    /// When it is larger than its limit, no text, or has a name that no file has.
    pub fn add(&mut self, file: &str, bytes: Vec<u8>) -> Result<(), ReleaseError> {
        self.added.take(&self.place, file, bytes.len() as u64)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            unreadable(file, format!("it is not UTF-8 text, from byte {at} on"))
        })?;
        self.keep(file, normal(&text).into_owned())
    }

    /// Adds a text that is in its normal form already. Bringing it there once more could change it (`\r\r\n`).
    ///
    /// # Errors
    /// As [`Files::add`].
    pub(super) fn add_normal(&mut self, file: &str, text: String) -> Result<(), ReleaseError> {
        self.added.take(&self.place, file, text.len() as u64)?;
        self.keep(file, text)
    }

    fn keep(&mut self, file: &str, text: String) -> Result<(), ReleaseError> {
        if file.len() > MIGRATION_NAME_BYTES_MAX || file.contains(['/', '\\']) || !Self::wants(file) {
            let file = file.chars().take(MIGRATION_NAME_BYTES_MAX).collect();
            return Err(ReleaseError::BadName { file });
        }
        // To a server, a NUL ends the text: what stands behind it would be passed over in silence.
        if let Some(at) = text.find('\0') {
            return Err(unreadable(file, format!("byte {at} is a NUL, which no SQL text can hold")));
        }
        match self.texts.insert(file.to_owned(), text) {
            Some(_) => Err(unreadable(file, "it is there twice".to_owned())),
            None => Ok(()),
        }
    }

    /// The release that they make. Without a name, it is called after its last migration.
    ///
    /// # Errors
    /// When there is no migration among them, or they make no release.
    pub fn into_release(self, name: Option<String>) -> Result<Release, ReleaseError> {
        let release = formats::read(name, self.texts)?;
        if release.migrations.is_empty() {
            return Err(ReleaseError::FolderEmpty { place: self.place });
        }
        let what = format!("the release in {}", self.place);
        check(&what, "migrations", release.migrations.len() as u64, RELEASE_MIGRATIONS_MAX as u64)?;
        Ok(release)
    }
}

fn unreadable(file: &str, reason: String) -> ReleaseError {
    ReleaseError::Unreadable { file: file.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, Coded};

    fn added(file: &str, bytes: &[u8]) -> Result<(), ReleaseError> {
        Files::new("here").add(file, bytes.to_owned())
    }

    #[test]
    fn a_name_that_is_a_path_or_longer_than_any_file_has_is_refused() {
        let long = format!("1_{}.sql", "a".repeat(MIGRATION_NAME_BYTES_MAX));
        for file in ["1_../../x.sql", "/1_a.sql", "1_a\\b.sql", ".1_a.sql", "1_a.txt", "sql", &long] {
            assert_eq!(added(file, b"").unwrap_err().code(), Code::BadMigrationName, "{file}");
        }
        added("1_a.sql", b"SELECT 1").unwrap();
    }

    #[test]
    fn what_is_too_large_is_refused_when_it_is_announced() {
        let mut files = Files::new("here");
        assert_eq!(files.announce("1_a.sql", MIGRATION_BYTES_MAX + 1).unwrap_err().code(), Code::TooLarge);
        let mut files = Files::new("here");
        let fitting = RELEASE_BYTES_MAX / MIGRATION_BYTES_MAX;
        for at in 0..fitting {
            files.announce(&format!("{at}_a.sql"), MIGRATION_BYTES_MAX).unwrap();
        }
        let error = files.announce("99_a.sql", 1).unwrap_err();
        assert_eq!(error.to_string(), format!("the release in here: more than {RELEASE_BYTES_MAX} bytes"));
    }

    #[test]
    fn a_file_that_is_there_twice_is_refused() {
        let mut files = Files::new("here");
        files.add("1_a.sql", Vec::new()).unwrap();
        assert_eq!(files.add("1_a.sql", Vec::new()).unwrap_err().code(), Code::UnreadableMigration);
    }
}
