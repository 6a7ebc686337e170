//! Revisions: what a payload or a person calls the release that is wanted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::limits::REVISION_BYTES_MAX;
use super::{Code, Coded};

/// A commit, a tag, a number: the name under which a release is looked for. 1 to 200 bytes of `A-Z a-z 0-9 . _ + / -`.
///
/// It becomes a part of a path and an argument of `git`, so its form leaves nothing to escape from: no part between slashes is empty
/// or begins with a dot, and the whole does not begin with a hyphen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

/// The text cannot be a revision. It is not repeated: a sender may have written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a revision is 1 to {REVISION_BYTES_MAX} letters, digits and . _ + / - of ASCII; it does not begin with a hyphen, and no part \
     of it between slashes is empty or begins with a dot"
)]
pub struct BadRevision;

impl Coded for BadRevision {
    fn code(&self) -> Code {
        Code::BadArgument
    }
}

impl Revision {
    /// Checks and wraps.
    ///
    /// # Errors
    /// When the text cannot be a revision.
    pub fn new(text: impl Into<String>) -> Result<Self, BadRevision> {
        let text = text.into();
        let plain = text.chars().all(Self::may_hold) && !text.starts_with('-');
        let parts = text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(".."));
        if plain && parts && text.len() <= REVISION_BYTES_MAX { Ok(Self(text)) } else { Err(BadRevision) }
    }

    /// Whether a revision may have this character somewhere.
    #[must_use]
    pub fn may_hold(c: char) -> bool {
        c.is_ascii_alphanumeric() || "._+/-".contains(c)
    }

    /// Whether it consists of hexadecimal digits alone, as a commit's id or a part of one does.
    #[must_use]
    pub fn is_hexadecimal(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// Whether it has the form of a git object's whole id: SHA-1 or SHA-256.
    #[must_use]
    pub fn is_object_id(&self) -> bool {
        matches!(self.0.len(), 40 | 64) && self.is_hexadecimal()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Revision {
    type Err = BadRevision;

    fn from_str(text: &str) -> Result<Self, BadRevision> {
        Self::new(text)
    }
}

impl TryFrom<String> for Revision {
    type Error = BadRevision;

    fn try_from(text: String) -> Result<Self, BadRevision> {
        Self::new(text)
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_tags_and_numbers_are_revisions() {
        for text in
            ["6dcb09b5b57875f334f61aebed695e2e4193db5e", "v1.2.3+build-7", "release/2026_11", "42", &"a".repeat(200)]
        {
            assert_eq!(Revision::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn nothing_that_leaves_its_place_is_a_revision() {
        let long = "a".repeat(201);
        let table = [
            "",
            ".",
            "..",
            "a/../b",
            "a/./b",
            "/etc",
            "a//b",
            "a/",
            "-x",
            "--upload-pack=x",
            ".git/x",
            "a/.git",
            "v1..v2",
            "a b",
            "a\\b",
            "a:b",
            "a@{1}",
            "a~1",
            "a^",
            "a*",
            "ä",
            "a\0",
            "a\n",
            "$x",
            "{x}",
            &long,
        ];
        for text in table {
            assert_eq!(Revision::new(text), Err(BadRevision), "{text:?}");
            assert!(serde_json::from_value::<Revision>(text.into()).is_err());
        }
    }
}
