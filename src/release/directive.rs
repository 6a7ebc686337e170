//! The `-- windlass:` lines at the head of a migration file.

use super::ReleaseError;
use super::model::{Directives, ForeignKeys};

/// What the head of one file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    /// What it asks of whoever runs the script.
    pub(super) directives: Directives,
    /// The line, from 1, that says the migration cannot be undone.
    pub(super) irreversible_at: Option<u32>,
}

const IRREVERSIBLE: &str = "irreversible";

/// Reads the head of `text`: its comment lines and blank lines before anything else.
///
/// # Errors
/// When a `-- windlass:` line is not understood, is repeated, or stands behind the head, where it would be passed over in
/// silence.
pub(super) fn read(file: &str, text: &str) -> Result<Head, ReleaseError> {
    let mut head = Head::default();
    let mut foreign_keys: Option<ForeignKeys> = None;
    let mut in_head = true;
    for (line, number) in text.lines().map(str::trim).zip(1_u32..) {
        in_head &= line.is_empty() || line.starts_with("--");
        let Some(directive) = directive_in(line) else { continue };
        let refuse = |reason: &str| {
            let (file, directive) = (file.to_owned(), line.chars().take(120).collect());
            Err(ReleaseError::BadDirective { file, line: number, directive, reason: reason.to_owned() })
        };
        if !in_head {
            return refuse("must stand before the first statement");
        }
        let (key, value) =
            directive.split_once('=').map_or((directive, None), |(key, value)| (key, Some(value.trim())));
        match (key.trim(), value) {
            (IRREVERSIBLE, None) if head.irreversible_at.is_none() => head.irreversible_at = Some(number),
            ("foreign-keys", Some(_)) if foreign_keys.is_some() => return refuse("stands here twice"),
            ("foreign-keys", Some("unchecked")) => foreign_keys = Some(ForeignKeys::Unchecked),
            ("foreign-keys", Some("checked")) => foreign_keys = Some(ForeignKeys::Checked),
            ("foreign-keys", _) => return refuse("must be `checked` or `unchecked`"),
            (IRREVERSIBLE, None) => return refuse("stands here twice"),
            (IRREVERSIBLE, Some(_)) => return refuse("takes no value"),
            _ => return refuse("is no directive that this version knows"),
        }
    }
    head.directives.foreign_keys = foreign_keys.unwrap_or_default();
    Ok(head)
}

/// What follows `-- windlass:` in this line.
fn directive_in(line: &str) -> Option<&str> {
    let (word, directive) = line.strip_prefix("--")?.split_once(':')?;
    word.trim().eq_ignore_ascii_case("windlass").then(|| directive.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, Coded};

    #[test]
    fn directives_are_read_from_the_comment_lines_at_the_head() {
        let text = "-- Adds a table.\n\n--windlass:irreversible\n  -- Windlass:  foreign-keys=unchecked\nSELECT 1;\n";
        let head = read("1_a.up.sql", text).unwrap();
        assert_eq!(head.directives.foreign_keys, ForeignKeys::Unchecked);
        assert_eq!(head.irreversible_at, Some(3));
        assert_eq!(read("1_a.up.sql", "-- windlass is a tool\nSELECT 1").unwrap(), Head::default());
    }

    #[test]
    fn a_directive_that_cannot_be_followed_is_refused_with_its_file_and_line() {
        for (text, line) in [
            ("-- windlass: irreversable", 1),
            ("\n-- windlass: foreign-keys = off", 2),
            ("-- windlass: foreign-keys", 1),
            ("-- windlass: irreversible = no", 1),
            ("-- windlass:", 1),
            ("-- windlass: irreversible\n-- windlass: irreversible", 2),
            ("-- windlass: foreign-keys = checked\n-- windlass: foreign-keys = unchecked", 2),
            ("SELECT 1;\n-- windlass: irreversible", 2),
            ("/* licence */\n-- windlass: irreversible", 2),
        ] {
            let error = read("1_a.up.sql", text).unwrap_err();
            assert_eq!(error.code(), Code::BadDirective, "{text:?}");
            assert!(error.to_string().starts_with(&format!("1_a.up.sql, line {line}: ")), "{error}");
        }
    }
}
