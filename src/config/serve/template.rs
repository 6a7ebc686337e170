//! Paths into a payload, and texts with such paths in them: `{deployment.sha}`, `v{release.id}`, `{ref|after:refs/tags/}`.
//!
//! The syntax is the configuration's, so it is read here, and a mistake in it is found before the server starts. What a payload
//! holds at a path is looked up by `serve::webhook`: this room does not know what a payload is.

use std::fmt;

use crate::base::Revision;
use crate::base::limits::{FIELD_PATH_NAMES_MAX, REVISION_BYTES_MAX, TEMPLATE_BYTES_MAX};

/// Bytes of one name in a path.
const FIELD_NAME_BYTES_MAX: usize = 100;

/// The way to one field of a payload: names joined by dots, with a number for the place in an array, from 0: `commits.0.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(String);

impl FieldPath {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is empty, too deep, or a name in it is not of `A-Z a-z 0-9 _ - $`.
    pub fn new(text: &str) -> Result<Self, BadTemplateText> {
        let is_name = |name: &str| {
            (1..=FIELD_NAME_BYTES_MAX).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-$".contains(c))
        };
        if text.split('.').count() > FIELD_PATH_NAMES_MAX || !text.split('.').all(is_name) {
            return Err(BadTemplateText::Path);
        }
        Ok(Self(text.to_owned()))
    }

    /// The names, from the payload's root on.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the text that a template makes is used as, and so what it may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A [`Revision`].
    Revision,
    /// The name of an environment, a workflow or a fleet: 1 to 200 bytes of letters, digits and `. _ - / + @ : ( )`, with spaces
    /// between them.
    Name,
}

/// The text cannot be what it is meant as. It is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(String);

impl Purpose {
    /// Checks a whole text.
    ///
    /// # Errors
    /// The rule that it does not keep.
    pub fn check(self, text: &str) -> Result<(), BadValue> {
        match self {
            Self::Revision => Revision::new(text).map(drop).map_err(|error| BadValue(error.to_string())),
            Self::Name => {
                let fits = (1..=REVISION_BYTES_MAX).contains(&text.len()) && text.trim() == text;
                if fits && text.chars().all(|c| self.may_hold(c)) { Ok(()) } else { Err(BadValue(self.rule())) }
            }
        }
    }

    fn may_hold(self, c: char) -> bool {
        match self {
            Self::Revision => Revision::may_hold(c),
            Self::Name => c.is_alphanumeric() || "._-/+@:() ".contains(c),
        }
    }

    fn rule(self) -> String {
        match self {
            Self::Revision => "it is 1 to 200 letters, digits and . _ + / - of ASCII".to_owned(),
            Self::Name => format!(
                "it is 1 to {REVISION_BYTES_MAX} bytes of letters, digits and . _ - / + @ : ( ), with spaces only between them"
            ),
        }
    }
}

/// A text with fields of the payload in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    purpose: Purpose,
    pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// `{path}` or `{path|after:prefix}`.
    Field {
        /// Where the value is found.
        path: FieldPath,
        /// What the value must begin with. Only what follows it is taken.
        after: Option<String>,
    },
}

/// The text is no template. None of it is repeated but the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplateText {
    /// Empty, or too long.
    #[error("it must be a text of 1 to {TEMPLATE_BYTES_MAX} bytes")]
    Length,
    /// `{` without `}`, or the other way round.
    #[error("a {{ is not closed, or a }} was not opened: a field is written {{name}} or {{name.name}}")]
    Unclosed,
    /// A path that is none.
    #[error(
        "a field is 1 to {FIELD_PATH_NAMES_MAX} names of letters, digits, _, - and $, joined by dots: deployment.sha, commits.0.id"
    )]
    Path,
    /// A filter that is none.
    #[error("the one filter there is takes off a beginning: {{ref|after:refs/tags/}}")]
    Filter,
    /// Text that what it is used as can never hold.
    #[error("what stands beside its fields does not fit: {0}")]
    Literal(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is none, or when what stands in it beside the fields could never be right.
    pub fn new(text: &str, purpose: Purpose) -> Result<Self, BadTemplateText> {
        if !(1..=TEMPLATE_BYTES_MAX).contains(&text.len()) {
            return Err(BadTemplateText::Length);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, field) = rest.split_once('{').map_or((rest, None), |(literal, field)| (literal, Some(field)));
            if literal.contains('}') {
                return Err(BadTemplateText::Unclosed);
            }
            if !literal.chars().all(|c| purpose.may_hold(c)) {
                return Err(BadTemplateText::Literal(purpose.rule()));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(literal.to_owned()));
            }
            let Some(field) = field else { break };
            let (inside, behind) = field.split_once('}').ok_or(BadTemplateText::Unclosed)?;
            pieces.push(Piece::field(inside)?);
            rest = behind;
        }
        if let [Piece::Text(whole)] = pieces.as_slice() {
            purpose.check(whole).map_err(|error| BadTemplateText::Literal(error.to_string()))?;
        }
        Ok(Self { text: text.to_owned(), purpose, pieces })
    }

    /// Its parts, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What the text it makes is used as.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Piece {
    fn field(inside: &str) -> Result<Self, BadTemplateText> {
        let (path, filter) = inside.split_once('|').map_or((inside, None), |(path, filter)| (path, Some(filter)));
        let after = match filter {
            None => None,
            Some(filter) => {
                let prefix = filter.strip_prefix("after:").ok_or(BadTemplateText::Filter)?;
                if prefix.is_empty() || prefix.contains(['{', '|']) || prefix.chars().any(char::is_control) {
                    return Err(BadTemplateText::Filter);
                }
                Some(prefix.to_owned())
            }
        };
        Ok(Self::Field { path: FieldPath::new(path)?, after })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(text: &str) -> Result<Vec<Piece>, BadTemplateText> {
        Template::new(text, Purpose::Revision).map(|template| template.pieces)
    }

    fn field(path: &str, after: Option<&str>) -> Piece {
        Piece::Field { path: FieldPath::new(path).unwrap(), after: after.map(str::to_owned) }
    }

    #[test]
    fn fields_and_text_are_told_apart() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let parsed = pieces("v{commits.0.id}-{ref|after:refs/tags/}.x").unwrap();
        let expected =
            [text("v"), field("commits.0.id", None), text("-"), field("ref", Some("refs/tags/")), text(".x")];
        assert_eq!(parsed, expected);
        assert_eq!(pieces("main").unwrap(), [text("main")]);
        assert_eq!(pieces("{a}{b}").unwrap(), [field("a", None), field("b", None)]);
        assert_eq!(
            pieces("{a|after:https://h/-/commit/}").unwrap(),
            [field("a", Some("https://h/-/commit/"))],
            "a prefix may hold what the result may not"
        );
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_rule_it_breaks() {
        let deep = format!("{{{}a}}", "a.".repeat(FIELD_PATH_NAMES_MAX));
        let table = [
            ("", BadTemplateText::Length),
            (&"a".repeat(TEMPLATE_BYTES_MAX + 1), BadTemplateText::Length),
            ("{a", BadTemplateText::Unclosed),
            ("a}", BadTemplateText::Unclosed),
            ("{a}}", BadTemplateText::Unclosed),
            ("{}", BadTemplateText::Path),
            ("{a..b}", BadTemplateText::Path),
            ("{.a}", BadTemplateText::Path),
            ("{a b}", BadTemplateText::Path),
            ("{{a}", BadTemplateText::Path),
            ("{a[0]}", BadTemplateText::Path),
            (&deep, BadTemplateText::Path),
            ("{a|upper}", BadTemplateText::Filter),
            ("{a|after:}", BadTemplateText::Filter),
            ("{a|after:x|after:y}", BadTemplateText::Filter),
        ];
        for (text, expected) in table {
            assert_eq!(pieces(text), Err(expected), "{text}");
        }
        for text in ["a b{x}", "../{x}$", "é{x}", "a/../b", "-x"] {
            assert!(matches!(pieces(text), Err(BadTemplateText::Literal(_))), "{text}");
        }
    }

    #[test]
    fn a_name_may_be_in_any_script_and_has_no_edges_of_space() {
        for text in ["production", "Läden (EU)", "review/feature-1", "a b", "@all", "日本"] {
            assert_eq!(Purpose::Name.check(text), Ok(()), "{text}");
        }
        for text in ["", " a", "a ", "a\nb", "a\"b", "<b>", "a;b", "\u{202e}a", &"a".repeat(201)] {
            assert!(Purpose::Name.check(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z{}|:.0]{0,40}") {
            if let Ok(template) = Template::new(&text, Purpose::Name) {
                let written: String = template.pieces().iter().map(|piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Field { path, after: None } => format!("{{{path}}}"),
                    Piece::Field { path, after: Some(prefix) } => format!("{{{path}|after:{prefix}}}"),
                }).collect();
                prop_assert_eq!(written, text);
            }
        }
    }
}
