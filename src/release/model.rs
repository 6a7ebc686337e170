//! What a release is made of.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ReleaseError;
use crate::base::Digest;

/// A migration's version: digits, compared as the number they write, of any length. Kept without leading zeros, so that `7` and
/// `007` are the same version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

impl Version {
    /// The digits, without leading zeros.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without leading zeros, the longer number is the greater one.
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The text is no version.
#[derive(Debug, thiserror::Error)]
#[error("not a version: {text:?}; a version is written in digits alone")]
pub struct BadVersion {
    text: String,
}

impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadVersion { text: text.chars().take(80).collect() });
        }
        let digits = text.trim_start_matches('0');
        Ok(Self(if digits.is_empty() { "0" } else { digits }.to_owned()))
    }
}

impl TryFrom<String> for Version {
    type Error = BadVersion;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One file of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The name of the file it was read from, for messages.
    pub file: String,
    /// The text, without a byte order mark and with LF line endings.
    pub text: String,
    /// The digest of `text`.
    pub digest: Digest,
    /// What its head asks of whoever runs it.
    pub directives: Directives,
}

impl Script {
    /// A script as it was read from `file`, brought into its normal form; it has no directives yet.
    #[must_use]
    pub fn new(file: String, raw: &str) -> Self {
        Self::of_normal(file, normal(raw).into_owned(), Directives::default())
    }

    /// A script whose text is in its normal form already.
    pub(super) fn of_normal(file: String, text: String, directives: Directives) -> Self {
        Self { file, digest: Digest::of(text.as_bytes()), text, directives }
    }
}

/// A text without what editors and systems put into it: a byte order mark, CRLF line endings. Not idempotent (`\r\r\n`): done once,
/// when a file is read.
pub(super) fn normal(raw: &str) -> Cow<'_, str> {
    let text = raw.strip_prefix('\u{feff}').unwrap_or(raw);
    if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
}

/// What a script asks of whoever runs it, in `-- windlass:` lines at its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// Whether `SQLite` checks foreign keys while the script runs.
    pub foreign_keys: ForeignKeys,
}

/// Whether a script must leave no row that points nowhere. `SQLite` only: keys are never enforced while a migration runs, because
/// the rebuild of a table needs them off and `DROP TABLE` would otherwise delete its children; the whole database is checked before
/// the commit instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignKeys {
    /// It must: the check before the commit fails it.
    #[default]
    Checked,
    /// Its author answers for it: no check, which on a large database also takes time.
    Unchecked,
}

impl ForeignKeys {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Checked => "checked",
            Self::Unchecked => "unchecked",
        }
    }
}

/// How a migration is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// By a script that its author wrote.
    Written(Script),
    /// Not at all, and its author said so.
    Irreversible,
    /// Its author wrote none and said nothing. Whether that may run is a matter of policy.
    Missing,
}

/// One versioned change, with its undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its place in the order.
    pub version: Version,
    /// What its author called it: `add_email`.
    pub name: String,
    /// The change.
    pub up: Script,
    /// The way back.
    pub undo: Undo,
    label: String,
}

impl Migration {
    /// A migration whose version is written as `digits` in its file names.
    ///
    /// # Errors
    /// When `digits` is no version.
    pub fn new(digits: &str, name: String, up: Script, undo: Undo) -> Result<Self, BadVersion> {
        Ok(Self { version: digits.parse()?, label: format!("{digits}_{name}"), name, up, undo })
    }

    /// Its name as its files have it, with the digits as they were written: `0007_add_email`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The digits of its version as they were written.
    pub(super) fn digits(&self) -> &str {
        self.label.split('_').next().unwrap_or_default()
    }

    /// What it is recognised by after it was applied: the digest of its up script.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.up.digest
    }
}

/// An ordered set of migrations: what a tenant must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// What people call it. No part of its digest.
    pub name: String,
    /// In ascending order of version, each version once.
    pub migrations: Vec<Migration>,
}

impl Release {
    /// Puts `migrations` in order. Without a name, the release is called after its last migration.
    ///
    /// # Errors
    /// When two migrations share a version.
    pub fn new(name: Option<String>, mut migrations: Vec<Migration>) -> Result<Self, ReleaseError> {
        migrations.sort_by(|left, right| left.version.cmp(&right.version));
        if let Some([first, second]) = migrations.array_windows().find(|[left, right]| left.version == right.version) {
            return Err(ReleaseError::DuplicateVersion {
                version: first.version.clone(),
                first: first.up.file.clone(),
                second: second.up.file.clone(),
            });
        }
        let name = name.or_else(|| migrations.last().map(|last| last.label().to_owned())).unwrap_or_default();
        Ok(Self { name, migrations })
    }

    /// The migration of this version.
    #[must_use]
    pub fn get(&self, version: &Version) -> Option<&Migration> {
        let at = self.migrations.binary_search_by(|migration| migration.version.cmp(version)).ok()?;
        self.migrations.get(at)
    }

    /// The digest over everything that decides what is run: versions, names, scripts, undos and directives, in order. The
    /// release's own name and the spelling of its file names are no part of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut fields: Vec<&[u8]> = Vec::with_capacity(self.migrations.len() * 7);
        for migration in &self.migrations {
            fields.push(migration.version.as_str().as_bytes());
            fields.push(migration.name.as_bytes());
            push_script(&mut fields, &migration.up);
            match &migration.undo {
                Undo::Written(script) => {
                    fields.push(b"written");
                    push_script(&mut fields, script);
                }
                Undo::Irreversible => fields.push(b"irreversible"),
                Undo::Missing => fields.push(b"missing"),
            }
        }
        Digest::of_fields("windlass release 1", fields)
    }
}

fn push_script<'a>(fields: &mut Vec<&'a [u8]>, script: &'a Script) {
    fields.push(script.digest.as_bytes());
    fields.push(script.directives.foreign_keys.as_str().as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn script(text: &str) -> Script {
        Script::new("x.sql".to_owned(), text)
    }

    fn migration(digits: &str, up: &str, undo: Undo) -> Migration {
        Migration::new(digits, "change".to_owned(), script(up), undo).unwrap()
    }

    fn digest_of(migration: Migration) -> Digest {
        Release::new(None, vec![migration]).unwrap().digest()
    }

    proptest! {
        #[test]
        fn versions_compare_as_numbers_however_many_zeros_they_are_written_with(
            left: u64, right: u64, zeros in 0_usize..5
        ) {
            let padded: Version = format!("{}{left}", "0".repeat(zeros)).parse().unwrap();
            let plain: Version = right.to_string().parse().unwrap();
            prop_assert_eq!(padded.cmp(&plain), left.cmp(&right));
            prop_assert_eq!(padded.to_string(), left.to_string());
        }
    }

    #[test]
    fn a_version_may_be_longer_than_any_integer_and_zero_is_one() {
        let huge: Version = "9".repeat(60).parse().unwrap();
        assert!(huge > u128::MAX.to_string().parse().unwrap());
        assert_eq!("000".parse::<Version>().unwrap().as_str(), "0");
        for bad in ["", "-1", "1.2", " 1", "٣"] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_release_is_named_after_its_last_migration_with_the_digits_as_written() {
        let migrations = vec![migration("0010", "b", Undo::Missing), migration("9", "a", Undo::Missing)];
        let release = Release::new(None, migrations).unwrap();
        assert_eq!(release.name, "0010_change");
        assert_eq!(release.get(&"010".parse().unwrap()).unwrap().up.text, "b");
        assert!(release.get(&"11".parse().unwrap()).is_none());
    }

    #[test]
    fn the_digest_changes_with_whatever_is_run_and_with_nothing_else() {
        let base = digest_of(migration("1", "a", Undo::Missing));
        let mut unchecked = migration("1", "a", Undo::Missing);
        unchecked.up.directives.foreign_keys = ForeignKeys::Unchecked;
        let different = [
            digest_of(migration("2", "a", Undo::Missing)),
            digest_of(migration("1", "b", Undo::Missing)),
            digest_of(migration("1", "a", Undo::Irreversible)),
            digest_of(migration("1", "a", Undo::Written(script("")))),
            digest_of(migration("1", "a", Undo::Written(script("b")))),
            digest_of(unchecked),
        ];
        assert!(different.iter().all(|digest| *digest != base));
        assert_eq!(digest_of(migration("001", "a", Undo::Missing)), base);
    }
}
