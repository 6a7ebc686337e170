//! Where statements end.

use serde::Serialize;

use super::classify::classify_sentence;
use super::lexer::{Kind, Lexer, Token};
use super::sentence::Sentence;
use super::{Class, Dialect};
use crate::base::{Code, Coded};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Its text from its first to its last token: no comment or white space around it, and no semicolon behind it.
    pub text: String,
    /// Where it starts in the script, in bytes: `script[start..start + text.len()] == text`.
    pub start: usize,
    /// The line where it starts, from 1.
    pub line: u32,
    /// What is known of it.
    pub class: Class,
}

impl Statement {
    /// How it begins, on one line and at most 60 characters long, for messages.
    #[must_use]
    pub fn beginning(&self) -> String {
        const CHARS_MAX: usize = 60;
        let mut words = self.text.split_whitespace();
        let mut line = words.next().unwrap_or_default().to_owned();
        for word in words {
            if line.chars().count() > CHARS_MAX {
                break;
            }
            line.push(' ');
            line.push_str(word);
        }
        match line.char_indices().nth(CHARS_MAX) {
            Some((cut, _)) => format!("{}…", &line[..cut]),
            None => line,
        }
    }
}

/// The statements of a script cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote, a comment or a body never ends.
    #[error("line {line}: this {what} is never closed")]
    Unterminated {
        /// What was opened.
        what: &'static str,
        /// The line where it was opened, from 1.
        line: u32,
    },
    /// A `COPY` between the client and the server: its data is no SQL, and only psql knows where it ends.
    #[error(
        "line {line}: COPY with STDIN or STDOUT moves data between the server and psql, and a migration has no such stream"
    )]
    CopyStream {
        /// The line of the `COPY`, from 1.
        line: u32,
    },
    /// A command of `psql` or of the `sqlite3` shell: the server does not know it.
    #[error("line {line}: {command:?} is a command of the {shell} shell, which the server does not know")]
    ShellCommand {
        /// The command as written, to the end of its line, cut at 60 characters.
        command: String,
        /// Whose command it is.
        shell: &'static str,
        /// Its line, from 1.
        line: u32,
    },
}

impl SplitError {
    /// The line that the error speaks of, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        match self {
            Self::Unterminated { line, .. } | Self::CopyStream { line } | Self::ShellCommand { line, .. } => *line,
        }
    }
}

impl Coded for SplitError {
    fn code(&self) -> Code {
        Code::UnsplittableSql
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::Unterminated { what, .. } => format!("close the {what}"),
            Self::CopyStream { .. } => "write the rows as INSERT statements".to_owned(),
            Self::ShellCommand { .. } => "write it as SQL, or leave it out".to_owned(),
        })
    }
}

/// The line of a byte, from 1.
pub(super) fn line_at(text: &str, at: usize) -> u32 {
    let breaks = text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks).unwrap_or(u32::MAX).saturating_add(1)
}

/// Tells the statements of `text` apart by the rules of `dialect`, and classifies each.
///
/// What the server would take as one statement is one statement; empty statements are dropped. Everything between two
/// statements is white space, comments and semicolons.
///
/// # Errors
/// When a quote, comment, parenthesis or body never ends, or the text is meant for a shell rather than for a server.
pub fn split(dialect: Dialect, text: &str) -> Result<Vec<Statement>, SplitError> {
    let mut lexer = Lexer::new(dialect, text);
    let mut statements = Vec::new();
    let mut open = Open::new(dialect, text);
    let mut lines = Lines { text, at: 0, line: 1 };
    while let Some(token) = lexer.next()? {
        if token.kind == Kind::Symbol(b';') && open.may_end() {
            statements.extend(open.finish(&mut lines)?);
            open = Open::new(dialect, text);
        } else {
            open.take(token)?;
        }
    }
    statements.extend(open.finish(&mut lines)?);
    Ok(statements)
}

/// Counts lines forward, so that a long script is read once.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl Lines<'_> {
    fn of(&mut self, at: usize) -> u32 {
        self.line = self.line.saturating_add(line_at(&self.text[self.at..at], usize::MAX) - 1);
        self.at = at;
        self.line
    }
}

/// A statement that has begun, and what is still open in it.
struct Open<'a> {
    dialect: Dialect,
    text: &'a str,
    tokens: Vec<Token>,
    /// The opening parentheses that are not closed yet: how many, and where the outermost stands.
    parentheses: usize,
    outermost: usize,
    body: Body,
}

/// A body that holds semicolons of its own.
#[derive(Clone, Copy)]
enum Body {
    None,
    /// `BEGIN ATOMIC … END` of a routine, with this many `BEGIN`s and `CASE`s still open.
    Atomic {
        start: usize,
        depth: usize,
    },
    /// `CREATE TRIGGER` before the `END` that closes it.
    Trigger {
        start: usize,
    },
    Closed,
}

impl<'a> Open<'a> {
    fn new(dialect: Dialect, text: &'a str) -> Self {
        Self { dialect, text, tokens: Vec::new(), parentheses: 0, outermost: 0, body: Body::None }
    }

    fn sentence(&self) -> Sentence<'_> {
        Sentence::new(self.text, &self.tokens)
    }

    /// Whether a semicolon here ends the statement. Neither server takes a semicolon within parentheses except in
    /// `CREATE RULE … DO ( a; b )`.
    fn may_end(&self) -> bool {
        self.parentheses == 0 && matches!(self.body, Body::None | Body::Closed)
    }

    fn take(&mut self, token: Token) -> Result<(), SplitError> {
        self.refuse_shell_command(token)?;
        match token.kind {
            Kind::Symbol(b'(') => {
                if self.parentheses == 0 {
                    self.outermost = token.start;
                }
                self.parentheses += 1;
            }
            Kind::Symbol(b')') => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
        self.tokens.push(token);
        if token.kind == Kind::Word {
            match self.dialect {
                Dialect::Postgres => self.follow_atomic(token),
                Dialect::Sqlite => self.follow_trigger(token),
            }
        }
        Ok(())
    }

    /// A backslash is no part of any `PostgreSQL` statement, nor is a leading dot of an `SQLite` one.
    fn refuse_shell_command(&self, token: Token) -> Result<(), SplitError> {
        let shell = match (self.dialect, token.kind) {
            (Dialect::Postgres, Kind::Symbol(b'\\')) => "psql",
            (Dialect::Sqlite, Kind::Symbol(b'.')) if self.tokens.is_empty() => "sqlite3",
            _ => return Ok(()),
        };
        let command = self.text[token.start..].lines().next().unwrap_or_default().chars().take(60).collect();
        Err(SplitError::ShellCommand { command, shell, line: line_at(self.text, token.start) })
    }

    /// `ATOMIC` after `BEGIN` opens the body of a routine. Inside, `CASE` and `END` are reserved words, and mean something else
    /// only as a label: behind `AS` or a dot.
    fn follow_atomic(&mut self, token: Token) {
        let sentence = self.sentence();
        let last = self.tokens.len() - 1;
        let label = last > 0 && (sentence.is(last - 1, "AS") || sentence.symbol(last - 1, b'.'));
        self.body = match self.body {
            Body::None if self.parentheses == 0 && opens_atomic(sentence, last) => {
                Body::Atomic { start: token.start, depth: 1 }
            }
            Body::Atomic { start, depth } if !label && (sentence.is(last, "CASE") || opens_atomic(sentence, last)) => {
                Body::Atomic { start, depth: depth + 1 }
            }
            Body::Atomic { depth: 1, .. } if !label && sentence.is(last, "END") => Body::Closed,
            Body::Atomic { start, depth } if !label && sentence.is(last, "END") => {
                Body::Atomic { start, depth: depth - 1 }
            }
            other => other,
        };
    }

    /// `CREATE TRIGGER` ends at the `END` that follows a semicolon, as in `sqlite3_complete`: no statement of the body can begin
    /// with `END`, and the `END` of a `CASE` never follows a semicolon.
    fn follow_trigger(&mut self, token: Token) {
        let sentence = self.sentence();
        let last = self.tokens.len() - 1;
        self.body = match self.body {
            Body::None if sentence.is(last, "TRIGGER") && is_trigger(sentence, last) => {
                Body::Trigger { start: token.start }
            }
            Body::Trigger { .. } if sentence.is(last, "END") && sentence.symbol(last - 1, b';') => Body::Closed,
            other => other,
        };
    }

    fn finish(self, lines: &mut Lines<'_>) -> Result<Option<Statement>, SplitError> {
        let (Some(first), Some(last)) = (self.tokens.first(), self.tokens.last()) else { return Ok(None) };
        let unterminated = |what, start| Err(SplitError::Unterminated { what, line: line_at(self.text, start) });
        match self.body {
            Body::Atomic { start, .. } => return unterminated("BEGIN ATOMIC", start),
            Body::Trigger { start } => return unterminated("CREATE TRIGGER", start),
            Body::None | Body::Closed if self.parentheses > 0 => return unterminated("parenthesis", self.outermost),
            Body::None | Body::Closed => {}
        }
        let line = lines.of(first.start);
        let sentence = self.sentence();
        if self.dialect == Dialect::Postgres && is_copy_stream(sentence) {
            return Err(SplitError::CopyStream { line });
        }
        Ok(Some(Statement {
            text: self.text[first.start..last.end].to_owned(),
            start: first.start,
            line,
            class: classify_sentence(self.dialect, sentence),
        }))
    }
}

fn opens_atomic(sentence: Sentence<'_>, at: usize) -> bool {
    let name = sentence.skip(1, &["OR", "REPLACE"]);
    at > 0
        && sentence.reads(at - 1, &["BEGIN", "ATOMIC"])
        && sentence.is(0, "CREATE")
        && sentence.is_any(name, &["FUNCTION", "PROCEDURE"])
}

fn is_trigger(sentence: Sentence<'_>, at: usize) -> bool {
    let create = sentence.skip(sentence.skip(0, &["EXPLAIN"]), &["QUERY", "PLAN"]);
    sentence.is(create, "CREATE") && sentence.skip_any(create + 1, &["TEMP", "TEMPORARY"]) == at
}

/// The grammar takes `STDIN` and `STDOUT` for each other.
fn is_copy_stream(sentence: Sentence<'_>) -> bool {
    sentence.is(0, "COPY")
        && sentence
            .top()
            .any(|at| sentence.is_any(at, &["FROM", "TO"]) && sentence.is_any(at + 1, &["STDIN", "STDOUT"]))
}
