//! What can be wrong with `windlass.toml`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::FILE_NAME;
use crate::base::{Code, Coded};

/// A configuration that is missing or not valid. Nothing has been touched.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No file.
    #[error("there is no {FILE_NAME} {place}")]
    Missing {
        /// Where it was looked for.
        place: String,
    },
    /// Not valid.
    #[error("{}{}: {reason}", .path.display(), location(*.line, .key.as_deref()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: Option<usize>,
        /// The key whose value is meant.
        key: Option<String>,
        /// What is wrong, without the value.
        reason: String,
    },
}

fn location(line: Option<usize>, key: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(line) = line {
        let _ = write!(text, ", line {line}");
    }
    if let Some(key) = key {
        let _ = write!(text, ", {key}");
    }
    text
}

impl ConfigError {
    /// The error of the TOML reader. Its own `Display` shows the line's text, which may hold a password.
    pub(super) fn in_text(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| before.matches('\n').count() + 1);
        let reason = without_value(error.message());
        Self::Invalid { path: FILE_NAME.into(), line, key: before.and_then(key), reason }
    }

    pub(super) fn invalid(key: &str, reason: impl Into<String>) -> Self {
        Self::Invalid { path: FILE_NAME.into(), line: None, key: Some(key.to_owned()), reason: reason.into() }
    }

    /// The same error, now that it is known which file the text came from.
    pub(super) fn at(self, file: &Path) -> Self {
        match self {
            Self::Invalid { line, key, reason, .. } => Self::Invalid { path: file.to_owned(), line, key, reason },
            missing @ Self::Missing { .. } => missing,
        }
    }
}

/// The key whose value begins where `before` ends.
fn key(before: &str) -> Option<String> {
    let line = before.rsplit('\n').next()?.trim_end().strip_suffix('=')?;
    let key = line.rsplit(['{', ',']).next()?.trim();
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!key.is_empty() && key.chars().all(is_bare)).then(|| key.to_owned())
}

/// serde repeats a text that it did not expect: `invalid type: string "postgres://app:…", expected a map`.
fn without_value(message: &str) -> String {
    let shows_text = ["invalid type: string ", "invalid value: string "].iter().any(|start| message.starts_with(start));
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if shows_text => format!("a text stands where there should be {expected}"),
        _ => message.to_owned(),
    }
}

impl Coded for ConfigError {
    fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::ConfigMissing,
            Self::Invalid { .. } => Code::ConfigInvalid,
        }
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => "windlass init".to_owned(),
            Self::Invalid { path, .. } => format!("correct {}, then run the command again", path.display()),
        })
    }
}
