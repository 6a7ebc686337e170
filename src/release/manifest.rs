//! The stored form of a release: the blob that a deploy runs from.
//!
//! JSON, with its fields in the order of these structs, so that equal releases have equal bytes. Digests are not stored but
//! made again from the texts; that the blob as a whole is the one that was written is the log's promise.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::model::{Directives, ForeignKeys};
use super::{Files, Migration, Release, ReleaseError, Script, Undo};
use crate::base::limits::{RELEASE_MIGRATIONS_MAX, RELEASE_NAME_BYTES_MAX};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Manifest<'a> {
    format: u32,
    name: Cow<'a, str>,
    #[serde(deserialize_with = "bounded")]
    migrations: Vec<StoredMigration<'a>>,
}

/// Stops at the limit: a hundred million small ones would be a thousand times their text in memory.
fn bounded<'de, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StoredMigration<'a>>, D::Error> {
    struct Bounded<'a>(PhantomData<&'a ()>);

    impl<'de, 'a> Visitor<'de> for Bounded<'a> {
        type Value = Vec<StoredMigration<'a>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {RELEASE_MIGRATIONS_MAX} migrations")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut migrations = Vec::new();
            while let Some(migration) = seq.next_element()? {
                if migrations.len() >= RELEASE_MIGRATIONS_MAX {
                    return Err(A::Error::custom(format_args!("more than {RELEASE_MIGRATIONS_MAX} migrations")));
                }
                migrations.push(migration);
            }
            Ok(migrations)
        }
    }

    deserializer.deserialize_seq(Bounded(PhantomData))
}

#[derive(Serialize, Deserialize)]
struct StoredMigration<'a> {
    /// As written in the file names, with leading zeros.
    digits: Cow<'a, str>,
    name: Cow<'a, str>,
    up: StoredScript<'a>,
    undo: StoredUndo<'a>,
}

#[derive(Serialize, Deserialize)]
struct StoredScript<'a> {
    file: Cow<'a, str>,
    foreign_keys: ForeignKeys,
    text: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredUndo<'a> {
    Written(StoredScript<'a>),
    Irreversible,
    Missing,
}

/// Read first and alone, so that a later format is told from a damaged blob.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Release {
    /// The release, with all its texts, as bytes. Equal releases give equal bytes.
    ///
    /// # Errors
    /// Never in practice; the serializer's signature allows for it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReleaseError> {
        serde_json::to_vec(&self.manifest()).map_err(bad)
    }

    fn manifest(&self) -> Manifest<'_> {
        let migrations = self.migrations.iter().map(store_migration).collect();
        Manifest { format: FORMAT, name: Cow::Borrowed(&self.name), migrations }
    }

    /// The release that [`Release::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are of a later format, or not a release.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReleaseError> {
        let manifest = read(bytes)?;
        let migrations = manifest.migrations.into_iter().map(restore_migration).collect::<Result<_, _>>()?;
        Self::new(Some(manifest.name.into_owned()), migrations)
    }

    /// A release in the form of [`Release::to_bytes`] that comes from somebody else: of what stands in it beside names of files and
    /// their texts, nothing is believed. It is made anew of those, by the rules of a folder, and must come out byte for byte as it
    /// was sent. So whatever a folder refuses is refused here, and there is one form of each release that is taken.
    ///
    /// # Errors
    /// When the bytes are of a later format, or not a release, or its files make none or another one.
    pub fn from_sent(bytes: &[u8]) -> Result<Self, ReleaseError> {
        let Manifest { name, migrations, .. } = read(bytes)?;
        let fits = !name.is_empty() && name.len() <= RELEASE_NAME_BYTES_MAX && !name.chars().any(char::is_control);
        if !fits {
            let reason = format!("its name is not 1 to {RELEASE_NAME_BYTES_MAX} bytes without control characters");
            return Err(ReleaseError::BadManifest { reason });
        }
        let mut files = Files::new("what was sent");
        for migration in migrations {
            let undo = match migration.undo {
                StoredUndo::Written(script) => Some(script),
                StoredUndo::Irreversible | StoredUndo::Missing => None,
            };
            for script in [Some(migration.up), undo].into_iter().flatten() {
                files.add_normal(&script.file, script.text.into_owned())?;
            }
        }
        let release = files.into_release(Some(name.into_owned()))?;
        let mut rest = Expected(bytes);
        if serde_json::to_writer(&mut rest, &release.manifest()).is_err() || !rest.0.is_empty() {
            let reason = "its files make another release than it says, or it is written in another form".to_owned();
            return Err(ReleaseError::BadManifest { reason });
        }
        Ok(release)
    }
}

fn read(bytes: &[u8]) -> Result<Manifest<'static>, ReleaseError> {
    let Format { format } = serde_json::from_slice(bytes).map_err(bad)?;
    if format != FORMAT {
        return Err(ReleaseError::NewerManifest { format, known: FORMAT });
    }
    serde_json::from_slice(bytes).map_err(bad)
}

/// Takes the bytes that are expected, and no others: compares without a second copy of a whole release.
struct Expected<'a>(&'a [u8]);

impl Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn bad<E: std::error::Error>(error: E) -> ReleaseError {
    ReleaseError::BadManifest { reason: error.to_string() }
}

fn store_migration(migration: &Migration) -> StoredMigration<'_> {
    StoredMigration {
        digits: Cow::Borrowed(migration.digits()),
        name: Cow::Borrowed(&migration.name),
        up: store_script(&migration.up),
        undo: match &migration.undo {
            Undo::Written(script) => StoredUndo::Written(store_script(script)),
            Undo::Irreversible => StoredUndo::Irreversible,
            Undo::Missing => StoredUndo::Missing,
        },
    }
}

fn store_script(script: &Script) -> StoredScript<'_> {
    StoredScript {
        file: Cow::Borrowed(&script.file),
        foreign_keys: script.directives.foreign_keys,
        text: Cow::Borrowed(&script.text),
    }
}

fn restore_migration(stored: StoredMigration<'_>) -> Result<Migration, ReleaseError> {
    let undo = match stored.undo {
        StoredUndo::Written(script) => Undo::Written(restore_script(script)),
        StoredUndo::Irreversible => Undo::Irreversible,
        StoredUndo::Missing => Undo::Missing,
    };
    Migration::new(&stored.digits, stored.name.into_owned(), restore_script(stored.up), undo).map_err(bad)
}

/// The text as it was stored, not brought into normal form again: that is not idempotent (`\r\r\n`), and what was applied must
/// keep its digest.
fn restore_script(stored: StoredScript<'_>) -> Script {
    let directives = Directives { foreign_keys: stored.foreign_keys };
    Script::of_normal(stored.file.into_owned(), stored.text.into_owned(), directives)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{Code, Coded};

    prop_compose! {
        fn script()(text in "\u{feff}{0,2}\\PC{0,40}(\r{0,2}\n\\PC{0,40})?", unchecked: bool) -> Script {
            let foreign_keys = if unchecked { ForeignKeys::Unchecked } else { ForeignKeys::Checked };
            Script { directives: Directives { foreign_keys }, ..Script::new("1_a.up.sql".to_owned(), &text) }
        }
    }

    fn undo() -> impl Strategy<Value = Undo> {
        prop_oneof![script().prop_map(Undo::Written), Just(Undo::Irreversible), Just(Undo::Missing)]
    }

    prop_compose! {
        fn release()(parts in prop::collection::btree_map(0_u32..500, (script(), undo(), "[a-z_ .]{0,9}", 0_usize..4), 1..6))
            -> Release
        {
            let migration = |(version, (up, undo, name, zeros)): (u32, (Script, Undo, String, usize))| {
                Migration::new(&format!("{}{version}", "0".repeat(zeros)), name, up, undo).unwrap()
            };
            Release::new(None, parts.into_iter().map(migration).collect()).unwrap()
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back_the_same_with_the_same_digest_and_bytes(release in release()) {
            let bytes = release.to_bytes().unwrap();
            let read = Release::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&read, &release);
            prop_assert_eq!(read.digest(), release.digest());
            prop_assert_eq!(read.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn a_later_format_is_told_from_a_damaged_blob() {
        assert_eq!(Release::from_bytes(br#"{"format":2,"what":[]}"#).unwrap_err().code(), Code::LogNewer);
        assert_eq!(Release::from_bytes(br#"{"format":1,"name":"x"}"#).unwrap_err().code(), Code::LogCorrupt);
        assert_eq!(Release::from_bytes(b"").unwrap_err().code(), Code::LogCorrupt);
    }
}
