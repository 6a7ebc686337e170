//! The `-- undo:` lines that authors write under their statements.
//!
//! ```sql
//! UPDATE orders SET state = 'open' WHERE state IS NULL;
//! -- undo: UPDATE orders SET state = NULL WHERE state = 'open';
//! ```
//!
//! Several lines are one text, which may hold several statements. `-- undo: nothing` says that there is nothing to take back.

use crate::release::sql::{Statement, Transactional, split};
use crate::release::{Dialect, ReleaseError, Script};

/// What stands in place of statements where there is nothing to undo.
const NOTHING: &str = "nothing";

/// One line of a script, with its number from 1.
struct Line<'a> {
    text: &'a str,
    number: u32,
}

/// The undo that stands under each of `statements`.
///
/// # Errors
/// When a line belongs to no statement, or what it says cannot be run.
pub(super) fn read(
    dialect: Dialect,
    script: &Script,
    statements: &[Statement],
) -> Result<Vec<Option<Vec<Statement>>>, ReleaseError> {
    let text = &script.text;
    let starts = statements.iter().map(|statement| statement.start).chain([text.len()]);
    let ends = [0].into_iter().chain(statements.iter().map(|statement| statement.start + statement.text.len()));
    let mut undos = Vec::with_capacity(statements.len());
    for (gap, (end, start)) in ends.zip(starts).enumerate() {
        let first = 1 + u32::try_from(text[..end].matches('\n').count()).unwrap_or(u32::MAX);
        let lines = text[end..start].split('\n').zip(first..).map(|(text, number)| Line { text: text.trim(), number });
        let found = in_gap(script, lines, gap == 0)?;
        if gap > 0 {
            undos.push(match found {
                Some((undo, line)) => Some(parse(dialect, script, &undo, line)?),
                None => None,
            });
        }
    }
    Ok(undos)
}

/// The text of the lines between two statements that say how to undo the first, and where it begins. `before` the first
/// statement there is nothing to undo.
fn in_gap<'a>(
    script: &Script,
    lines: impl Iterator<Item = Line<'a>>,
    before: bool,
) -> Result<Option<(String, u32)>, ReleaseError> {
    let mut found: Option<(String, u32)> = None;
    let mut behind = before;
    for (line, at) in lines.zip(0..) {
        // On the statement's own line, behind what ends it.
        let comment =
            if at == 0 && !before { line.text.find("--").map_or("", |at| &line.text[at..]) } else { line.text };
        let Some(undo) = undo_in(comment) else {
            behind |= found.is_some() || !(at == 0 || is_end(line.text));
            continue;
        };
        if behind {
            return Err(refuse(script, &line, "must stand directly under the statement that it undoes"));
        }
        let (text, _) = found.get_or_insert_with(|| (String::new(), line.number));
        text.push_str(undo);
        text.push('\n');
    }
    Ok(found)
}

/// Whether a line holds nothing but what ends a statement: blank, a delimiter, or the line that changes it.
fn is_end(line: &str) -> bool {
    let symbols =
        line.bytes().all(|byte| byte.is_ascii_punctuation()) && !line.starts_with("--") && !line.contains("/*");
    symbols || line.get(..9).is_some_and(|word| word.eq_ignore_ascii_case("delimiter"))
}

fn undo_in(line: &str) -> Option<&str> {
    let (word, undo) = line.strip_prefix("--")?.split_once(':')?;
    word.trim().eq_ignore_ascii_case("undo").then(|| undo.trim())
}

fn parse(dialect: Dialect, script: &Script, undo: &str, line: u32) -> Result<Vec<Statement>, ReleaseError> {
    let here = Line { text: undo.lines().next().unwrap_or_default(), number: line };
    if undo.trim().eq_ignore_ascii_case(NOTHING) {
        return Ok(Vec::new());
    }
    let statements =
        split(dialect, undo).map_err(|error| refuse(script, &here, &format!("cannot be read: {error}")))?;
    if statements.is_empty() {
        return Err(refuse(script, &here, "holds no statement; where there is nothing to undo, write `nothing`"));
    }
    if statements.iter().any(|statement| statement.class.control.is_some()) {
        return Err(refuse(script, &here, "holds transaction control"));
    }
    let several = statements.len() > 1;
    if several && statements.iter().any(|statement| statement.class.transactional != Transactional::Yes) {
        // Between two that commit by themselves, it could stop in its own middle.
        return Err(refuse(script, &here, "holds more than one statement, and one of them commits by itself"));
    }
    Ok(statements)
}

fn refuse(script: &Script, line: &Line<'_>, reason: &str) -> ReleaseError {
    let undo = line.text.chars().take(120).collect::<String>();
    let directive = if undo.starts_with("--") { undo } else { format!("-- undo: {undo}") };
    ReleaseError::BadDirective { file: script.file.clone(), line: line.number, directive, reason: reason.to_owned() }
}

/// Refuses every such line.
///
/// # Errors
/// When there is one.
pub(super) fn refuse_lines(script: &Script) -> Result<(), ReleaseError> {
    let found = script.text.lines().map(str::trim).zip(1..).find(|(line, _)| undo_in(line).is_some());
    match found {
        Some((text, number)) => {
            Err(refuse(script, &Line { text, number }, "belongs into the up file, under the statement that it undoes"))
        }
        None => Ok(()),
    }
}
