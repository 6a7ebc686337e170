//! Text with references in it: `${env:NAME}`, `${file:/path}`, `${source}`, and `$${` for a literal `${`.
//!
//! A reference may hold the very characters that a URL is split at (`${file:/run/secrets/pw}`), so text is *masked* first: each
//! reference becomes one private-use character that carries its index. What is then cut out of the masked text, a *piece*,
//! still knows its references.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::error::{FleetError, Subject};

/// What is wrong with a URL or a template, before it is known whose it is. Never holds a part of the text that could be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The URL.
    Url { reason: String },
    /// A reference in it.
    Reference { reference: String, reason: String },
}

/// Kinds of reference that other tools have, and that are worth naming when they are refused. Any other word may be a piece of a clear
/// password that happens to begin with `${`.
const FOREIGN_KINDS: [&str; 8] = ["exec", "cmd", "vault", "ssm", "aws", "gcp", "azure", "op"];

impl Fault {
    pub(super) fn url(reason: impl Into<String>) -> Self {
        Self::Url { reason: reason.into() }
    }

    /// The error, now that it is known whose URL it is.
    pub(super) fn of(self, subject: &Subject) -> FleetError {
        let subject = subject.clone();
        match self {
            Self::Url { reason } => FleetError::BadUrl { subject, reason },
            Self::Reference { reference, reason } => FleetError::SecretUnresolved { subject, reference, reason },
        }
    }
}

/// Where a value stands that is not in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    /// `${env:NAME}`.
    Env { name: String },
    /// `${file:/path}`.
    File { path: String },
    /// `${source}`: the password that the fleet's source gives for this tenant.
    Source,
    /// `{column}`, only in the URL of a source: what the query, or the glob, gives under that name.
    Column { name: String },
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { name } => write!(f, "${{env:{name}}}"),
            Self::File { path } => write!(f, "${{file:{path}}}"),
            Self::Source => f.write_str("${source}"),
            Self::Column { name } => write!(f, "{{{name}}}"),
        }
    }
}

impl Reference {
    /// The inside of `${…}`. What is not understood is not repeated: it may be a piece of a clear password.
    fn parse(inside: &str) -> Result<Self, Fault> {
        match inside.split_once(':') {
            Some(("env", name)) if is_name(name) => Ok(Self::Env { name: name.to_owned() }),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File { path: path.to_owned() }),
            None if inside == "source" => Ok(Self::Source),
            Some((kind, _)) if FOREIGN_KINDS.contains(&kind) => Err(Fault::Reference {
                reference: format!("${{{kind}:…}}"),
                reason: "references are ${env:NAME} and ${file:/path}".to_owned(),
            }),
            _ => Err(Fault::Reference {
                reference: "${…}".to_owned(),
                reason: "references are ${env:NAME} and ${file:/path}; a literal ${ is written $${".to_owned(),
            }),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether `{column}` means something in the text at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// A placeholder.
    Named,
    /// Text.
    Literal,
}

/// The first mark. Planes 15 and 16 are for private use: no URL holds them, and one that does is refused.
const MARK: u32 = 0xF_0000;

/// References in one URL.
const REFERENCES_MAX: usize = 64;

/// Values found for the references of one [`Masked`], by index.
pub(super) type Values = BTreeMap<usize, String>;

/// Text whose references are marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Masked {
    pub(super) text: String,
    pub(super) references: Vec<Reference>,
}

impl Masked {
    pub(super) fn parse(text: &str, columns: Columns) -> Result<Self, Fault> {
        check_characters(text)?;
        let mut masked = Self::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("$${") {
                masked.text.push_str("${");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("${") {
                let (inside, after) = closed(after)?;
                masked.push(Reference::parse(inside)?)?;
                rest = after;
            } else if columns == Columns::Named && c == '{' {
                let (name, after) = closed(&rest[1..])?;
                masked.push(Reference::Column { name: name.to_owned() })?;
                rest = after;
            } else {
                masked.text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        Ok(masked)
    }

    /// Text without references, whatever it looks like: the value of one.
    pub(super) fn verbatim(text: &str) -> Result<Self, Fault> {
        check_characters(text)?;
        Ok(Self { text: text.to_owned(), references: Vec::new() })
    }

    /// One more reference, which stands nowhere yet: its mark.
    pub(super) fn add(&mut self, reference: Reference) -> Result<String, Fault> {
        if self.references.len() >= REFERENCES_MAX {
            return Err(Fault::url(format!("it holds more than {REFERENCES_MAX} references")));
        }
        let mark = u32::try_from(self.references.len()).ok().and_then(|at| char::from_u32(MARK + at));
        self.references.push(reference);
        Ok(mark.map(String::from).unwrap_or_default())
    }

    fn push(&mut self, reference: Reference) -> Result<(), Fault> {
        let mark = self.add(reference)?;
        self.text.push_str(&mark);
        Ok(())
    }

    /// The reference that the text begins with. Its value is (the beginning of) a URL, and goes in as it is.
    pub(super) fn head(&self) -> Option<usize> {
        self.text.chars().next().and_then(index)
    }

    /// The same text with its first reference replaced by `value`, which may hold references of its own.
    pub(super) fn with_head(&self, value: &Masked) -> Result<Self, Fault> {
        let mut joined = value.clone();
        for c in self.text.chars().skip(1) {
            match index(c).and_then(|at| self.references.get(at)) {
                Some(reference) => joined.push(reference.clone())?,
                None => joined.text.push(c),
            }
        }
        Ok(joined)
    }

    /// A piece as template text.
    pub(super) fn unmask(&self, piece: &str) -> String {
        let mut text = String::with_capacity(piece.len());
        for segment in segments(piece) {
            match segment {
                Segment::Text(literal) => text.push_str(&literal.replace("${", "$${")),
                Segment::Mark(at) => {
                    if let Some(reference) = self.references.get(at) {
                        text.push_str(&reference.to_string());
                    }
                }
            }
        }
        text
    }

    /// The whole as template text.
    pub(super) fn to_template(&self) -> String {
        self.unmask(&self.text)
    }

    /// Relative paths in `${file:…}` become absolute, for the template outlives the folder it was written in.
    pub(super) fn absolute_files(&mut self, base_dir: &Path) {
        for reference in &mut self.references {
            if let Reference::File { path } = reference {
                *path = base_dir.join(&*path).to_string_lossy().into_owned();
            }
        }
    }
}

fn closed(text: &str) -> Result<(&str, &str), Fault> {
    text.split_once('}').ok_or_else(|| Fault::url("a reference is opened and not closed; a literal ${ is written $${"))
}

fn check_characters(text: &str) -> Result<(), Fault> {
    if text.chars().any(|c| c.is_control() || u32::from(c) >= MARK) {
        return Err(Fault::url("it holds a control or private-use character"));
    }
    Ok(())
}

/// The index that a mark carries.
pub(super) fn index(c: char) -> Option<usize> {
    u32::from(c).checked_sub(MARK).and_then(|at| usize::try_from(at).ok())
}

/// The indices of the references in a piece.
pub(super) fn marks(piece: &str) -> impl Iterator<Item = usize> + '_ {
    piece.chars().filter_map(index)
}

/// Whether anything in the piece stands there in clear.
pub(super) fn has_text(piece: &str) -> bool {
    piece.chars().any(|c| index(c).is_none())
}

/// A part of a piece.
pub(super) enum Segment<'a> {
    Text(&'a str),
    Mark(usize),
}

/// A piece, taken apart at its marks.
pub(super) fn segments(piece: &str) -> impl Iterator<Item = Segment<'_>> {
    piece.split_inclusive(|c| index(c).is_some()).flat_map(|part| {
        let end = part.chars().next_back().and_then(index);
        let text = part.trim_end_matches(|c| index(c).is_some());
        let text = (!text.is_empty()).then_some(Segment::Text(text));
        text.into_iter().chain(end.map(Segment::Mark))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_literal_text_survives_masking_and_unmasking(text in "[a-z$\\{\\}:/@]{0,40}") {
            let literal = Masked { text: text.clone(), references: Vec::new() };
            let template = literal.to_template();
            prop_assert_eq!(Masked::parse(&template, Columns::Literal).unwrap(), literal);
        }
    }

    #[test]
    fn references_are_found_and_written_back() {
        let text = "postgres://${env:U}:${file:/run/a:b@c}@h/${source}/$${x}";
        let masked = Masked::parse(text, Columns::Literal).unwrap();
        assert_eq!(masked.references.len(), 3);
        assert_eq!(masked.to_template(), text);
    }

    #[test]
    fn an_unknown_reference_names_its_kind_and_nothing_that_may_be_a_password() {
        let Err(Fault::Reference { reference, reason }) = Masked::parse("${vault:hunter2}", Columns::Literal) else {
            panic!("accepted")
        };
        assert_eq!(reference, "${vault:…}");
        assert!(!reason.contains("hunter2"));
        let fault = Masked::parse("postgres://app:pa${hunter2}@h/d", Columns::Literal).unwrap_err();
        assert!(!format!("{fault:?}").contains("hunter2"));
    }
}
