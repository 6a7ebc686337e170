//! How answers, failures and ends are put.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::base::{Code, Coded, one_line, plain, turns_text_round};
use crate::engine::{EngineError, Refusal};
use crate::saga::event::DeployOutcome;

/// Tenants named in one failure; the rest are counted.
const NAMED_MAX: usize = 20;

/// The exit codes: a contract with whoever runs `windlass` in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Refused before anything was touched.
    Refused = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Failed and fully unwound: the fleet is as it was.
    Unwound = 3,
    /// Completed, and some tenants were set aside.
    Quarantined = 4,
    /// Waiting for a human: stuck, paused, stopped, or the log failed on the way.
    Waiting = 5,
    /// Failed and unwound, but for tenants that a human decided to leave as they are.
    EndedByHand = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// The code of a deploy that ended like this.
    #[must_use]
    pub const fn of(outcome: DeployOutcome) -> Self {
        match outcome {
            DeployOutcome::Completed => Exit::Done,
            DeployOutcome::Unwound => Exit::Unwound,
            DeployOutcome::CompletedWithQuarantine => Exit::Quarantined,
            // Only an unwind leaves tenants to a decision: whoever takes 4 for deployed must not take this for it.
            DeployOutcome::EndedByHand => Exit::EndedByHand,
        }
    }
}

/// A command that did not do what it was asked to.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    message: String,
    next: Option<String>,
    refusals: Vec<Refusal>,
    /// Tenants that are refused and are not among the refusals.
    unnamed: usize,
    pub(super) exit: Exit,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            next: Some(next.into()),
            refusals: Vec::new(),
            unnamed: 0,
            exit: Exit::Refused,
        }
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What somebody else has refused, in their words.
    pub(super) fn told(code: Code, message: String, next: Option<String>, refusals: Vec<Refusal>) -> Self {
        Self { code, message, next, refusals, unnamed: 0, exit: Exit::Refused }
    }

    /// Whether this is what is wrong.
    pub(super) fn is(&self, code: Code) -> bool {
        self.code == code
    }

    /// The same, when the deploy had begun: it is not "refused" any more, and somebody has to look.
    pub(super) fn on_the_way(self) -> Self {
        Self { exit: Exit::Waiting, ..self }
    }
}

impl<E: Coded> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::from_coded(&error)
    }
}

/// As [`Failure::from`], with the tenants that a preparation names.
pub(super) fn prepared(error: EngineError) -> Failure {
    let mut failure = Failure::from_coded(&error);
    if let EngineError::Refused { refusals, all, .. } = error {
        failure.unnamed = all.saturating_sub(refusals.len());
        failure.refusals = refusals;
    }
    failure
}

impl Failure {
    fn from_coded(error: &impl Coded) -> Self {
        let (code, message, next) = (error.code(), error.to_string(), error.next());
        Self { code, message, next, refusals: Vec::new(), unnamed: 0, exit: Exit::Refused }
    }
}

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
    /// Whether standard output is a terminal, which can be written over.
    pub(super) live: bool,
    quiet: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json, live: !json && std::io::stdout().is_terminal(), quiet: false }
    }

    /// The same for a command that another command runs and does not show: it says nothing unless it fails.
    pub(super) const fn quiet(self) -> Self {
        Self { live: false, quiet: true, ..self }
    }

    /// A line for people; nothing where the answer is JSON.
    pub(super) fn line(self, text: impl AsRef<str>) {
        if !self.json && !self.quiet {
            emit(&plain(text.as_ref()));
        }
    }

    /// The answer: JSON, or the text made by `people`.
    pub(super) fn answer<T: Serialize>(self, value: &T, people: impl FnOnce() -> String) {
        if self.quiet {
            return;
        }
        if self.json {
            // The answers are our own types, which have no key that JSON could not take.
            emit(&printable(serde_json::to_string_pretty(value).unwrap_or_default()));
        } else {
            emit(&plain(people().trim_end()));
        }
    }

    pub(super) fn failure(self, failure: &Failure) {
        if self.json {
            let error = json!({
                "error": {
                    "code": failure.code,
                    "title": failure.code.title(),
                    "message": failure.message,
                    "next": failure.next,
                    "tenants": failure.refusals,
                }
            });
            emit(&printable(serde_json::to_string_pretty(&error).unwrap_or_default()));
            return;
        }
        let mut text = format!("{}: {}\n", failure.code, failure.message);
        for refusal in failure.refusals.iter().take(NAMED_MAX) {
            text.push_str(&format!("  {}  {}  {}\n", refusal.tenant, refusal.code, refusal.message));
        }
        let named = failure.refusals.len();
        if named > NAMED_MAX {
            let all = if failure.unnamed == 0 { "them all".to_owned() } else { format!("the first {named}") };
            text.push_str(&format!("  … and {} more (--json names {all})\n", named - NAMED_MAX + failure.unnamed));
        }
        if let Some(next) = &failure.next {
            text.push_str(&format!("next: {next}\n"));
        }
        let _ = std::io::stderr().lock().write_all(plain(&text).as_bytes());
    }
}

/// JSON escapes the control characters of ASCII itself; the others it may hold as they are, and terminals know those as well.
fn printable(json: String) -> String {
    let unfit = |c: char| (c.is_control() && !c.is_ascii_control()) || c == '\u{7f}' || turns_text_round(c);
    if !json.contains(unfit) {
        return json;
    }
    // All of them stand inside of strings, and none needs more than four digits.
    json.chars().fold(String::new(), |mut text, c| {
        if unfit(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
        text
    })
}

/// Writes a line; a reader that has gone away (`| head`) is no reason to fail a deploy.
fn emit(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Columns, as wide as their widest cell, two spaces apart; the last is not padded.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| one_line(cell))).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            line.push_str(cell);
            if at + 1 < N {
                line.push_str(&" ".repeat(width - cell.chars().count() + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_can_write_over_what_stands_there() {
        assert_eq!(plain("two\tlines\r\nof text\n"), "two\tlines\nof text\n");
        let over = "said\r\u{1b}[2Kverified\u{9b}1A\u{7f}\u{202e}";
        assert_eq!(plain(over), "said\u{fffd}\u{fffd}[2Kverified\u{fffd}1A\u{fffd}\u{fffd}");
        assert_eq!(one_line("a\nb"), "a b");
        let json = printable(serde_json::to_string(over).unwrap());
        assert_eq!(json, r#""said\r\u001b[2Kverified\u009b1A\u007f\u202e""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), over);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "b".to_owned()], ["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows), "  a    b\n  ccc  d\n");
    }
}
