//! What is taken out of a payload to report upon. Each has one form, which needs no escaping in a URL.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! checked_text {
    ($name:ident, $check:ident, $doc:literal, $rule:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps; none where the text has another form.
            #[must_use]
            pub fn new(text: &str) -> Option<Self> {
                $check(text).then(|| Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(&text).ok_or($rule)
            }
        }

        impl From<$name> for String {
            fn from(checked: $name) -> Self {
                checked.0
            }
        }
    };
}

checked_text!(
    RepositoryName,
    is_repository_name,
    "`owner/name`, each of 1 to 100 letters, digits and `. _ -` of ASCII, and neither `.` nor `..`.",
    "not the name of a repository"
);
checked_text!(
    CommitId,
    is_commit_id,
    "A whole commit id: 40 or 64 lower-case hexadecimal digits, not all of them zero, which is how a deleted branch is written.",
    "not a whole commit id"
);
checked_text!(
    Guid,
    is_guid,
    "An id of Azure DevOps: `00000000-0000-0000-0000-000000000000` in hexadecimal digits.",
    "not a GUID"
);

fn is_repository_name(text: &str) -> bool {
    let part = |part: &str| {
        (1..=100).contains(&part.len())
            && ![".", ".."].contains(&part)
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

fn is_commit_id(text: &str) -> bool {
    [40, 64].contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|byte| byte != b'0')
}

fn is_guid(text: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(
            |(at, byte)| {
                if hyphens.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_forms_that_need_no_escaping_are_taken() {
        for text in ["octo/shop", "a.b/c_d-e", "o/.github"] {
            assert!(RepositoryName::new(text).is_some(), "{text}");
        }
        for text in ["shop", "a/b/c", "../b", "a/..", "a/b?x", "a/%2e", "/b", "a/", "a/b c", "ä/b", "a/b#", "a\\b/c"] {
            assert!(RepositoryName::new(text).is_none(), "{text}");
        }
        assert!(CommitId::new(&"a1".repeat(20)).is_some() && CommitId::new(&"0f".repeat(32)).is_some());
        for text in ["", "a1b2c3d", &"A1".repeat(20), &"g1".repeat(20), &"0".repeat(40), &"a".repeat(41)] {
            assert!(CommitId::new(text).is_none(), "{text}");
        }
        assert!(Guid::new("be9b3917-87e6-42a4-a549-2bc06a7a878f").is_some());
        for text in [
            "",
            "be9b391787e642a4a5492bc06a7a878f",
            "be9b3917-87e6-42a4-a549-2bc06a7a878g",
            "be9b3917/87e6-42a4-a549-2bc06a7a878f",
        ] {
            assert!(Guid::new(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_reads_back_from_the_log_is_checked_again() {
        assert!(serde_json::from_str::<RepositoryName>("\"octo/shop\"").is_ok());
        assert!(serde_json::from_str::<RepositoryName>("\"octo/shop/../../x\"").is_err());
        assert!(serde_json::from_str::<CommitId>("\"main\"").is_err());
        assert!(serde_json::from_str::<Guid>("\"..\"").is_err());
    }
}
