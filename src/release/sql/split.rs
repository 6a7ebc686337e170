//! Where statements end.

use serde::Serialize;

use super::classify::classify_tokens;
use super::compound::{Compound, only_in_bodies};
use super::lexer::{Kind, Lexer, Token};
use super::sentence::Sentence;
use super::{Class, Dialect, SqlModes, mysql};
use crate::base::{Code, Coded};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Its text from its first to its last token: no comment or white space around it, and no semicolon behind it. A comment
    /// that some `MySQL` servers execute (`/*!50001 … */`) is part of it.
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
    /// A file of the client's machine: `LOAD DATA LOCAL`.
    #[error(
        "line {line}: LOCAL reads a file of the machine where the client runs, and any worker may carry a deploy out"
    )]
    LocalFile {
        /// The line of the statement, from 1.
        line: u32,
    },
    /// A `DELIMITER` line that cannot be followed.
    #[error("line {line}: this DELIMITER cannot be followed: {reason}")]
    BadDelimiter {
        /// Why not, as a sentence without its full stop.
        reason: &'static str,
        /// Its line, from 1.
        line: u32,
    },
    /// More than one statement before a delimiter that is no semicolon: the client would send them to the server in one message.
    #[error("line {line}: a second statement begins here before the delimiter has ended the first one")]
    SeveralStatements {
        /// The line of the second, from 1.
        line: u32,
    },
    /// What servers, or settings of a server, read in different ways.
    #[error("line {line}: {what}")]
    Unclear {
        /// What it is.
        what: &'static str,
        /// Its line, from 1.
        line: u32,
    },
    /// A word with which no statement begins: the body that it belongs to has been taken for ended too early.
    #[error(
        "line {line}: {word} begins no statement outside of a body, and the body that it belongs to has ended before it"
    )]
    OutsideBody {
        /// The word as written.
        word: String,
        /// Its line, from 1.
        line: u32,
    },
    /// A setting after which the rest of the file would be read by other rules than those that it has been split by.
    #[error("line {line}: {setting} changes how the text behind it is read")]
    OtherRules {
        /// Which setting.
        setting: &'static str,
        /// The line of the statement, from 1.
        line: u32,
    },
    /// A command of `psql`, of `mysql` or of the `sqlite3` shell: the server does not know it.
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
            Self::Unterminated { line, .. }
            | Self::CopyStream { line }
            | Self::LocalFile { line }
            | Self::BadDelimiter { line, .. }
            | Self::SeveralStatements { line }
            | Self::Unclear { line, .. }
            | Self::OutsideBody { line, .. }
            | Self::OtherRules { line, .. }
            | Self::ShellCommand { line, .. } => *line,
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
            Self::CopyStream { .. } | Self::LocalFile { .. } => "write the rows as INSERT statements".to_owned(),
            Self::BadDelimiter { .. } => {
                "give a line of its own to `DELIMITER` and what it shall be, such as //".to_owned()
            }
            Self::SeveralStatements { .. } => "end each statement with the delimiter that is in force".to_owned(),
            Self::Unclear { .. } => "write it in the way that every server reads alike".to_owned(),
            Self::OutsideBody { .. } => {
                "put a name that is also a keyword, such as `end`, in quotes; the body cannot be followed otherwise"
                    .to_owned()
            }
            Self::OtherRules { .. } => "leave it out, and write the file for the server's usual settings".to_owned(),
            Self::ShellCommand { .. } => "write it as SQL, or leave it out".to_owned(),
        })
    }
}

/// The line of a byte, from 1.
pub(super) fn line_at(text: &str, at: usize) -> u32 {
    let breaks = text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks).unwrap_or(u32::MAX).saturating_add(1)
}

/// Tells the statements of `text` apart by the rules of `dialect`, and classifies each. `MySQL` is taken with its usual
/// [`SqlModes`].
///
/// What the server would take as one statement is one statement; empty statements are dropped. Everything between two
/// statements is white space, comments and semicolons; in `MySQL` also `DELIMITER` lines and what they put in the semicolon's place.
///
/// # Errors
/// When a quote, comment, parenthesis or body never ends, or the text is meant for a shell rather than for a server.
pub fn split(dialect: Dialect, text: &str) -> Result<Vec<Statement>, SplitError> {
    split_in(dialect, SqlModes::default(), text)
}

/// As [`split()`], for a `MySQL` server with these modes. The other dialects have none.
///
/// # Errors
/// As [`split()`].
pub fn split_in(dialect: Dialect, modes: SqlModes, text: &str) -> Result<Vec<Statement>, SplitError> {
    let mut lexer = Lexer::new(dialect, modes, text);
    let mut statements = Vec::new();
    let mut open = Open::new(dialect, text);
    let mut lines = Lines { text, at: 0, line: 1 };
    while let Some(token) = lexer.next()? {
        let semicolon = token.kind == Kind::Symbol(b';') && open.may_end();
        if (semicolon || token.kind == Kind::Delimiter) && lexer.within_conditional() {
            let what = "the end of a statement within a comment that only some servers execute";
            return Err(SplitError::Unclear { what, line: line_at(text, token.start) });
        }
        if semicolon && lexer.is_delimited() {
            open.complete = true;
        } else if semicolon || token.kind == Kind::Delimiter {
            statements.extend(open.finish(&mut lines)?);
            open = Open::new(dialect, text);
            lexer.begin_statement();
        } else if open.is_delimiter_line(token)? {
            lexer.follow_delimiter()?;
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
    /// From its first token, or the mark of a conditional comment, to its last.
    span: Option<(usize, usize)>,
    /// A semicolon has ended it, and the delimiter that is in force has not come yet.
    complete: bool,
    /// The opening parentheses that are not closed yet: how many, and where the outermost stands.
    parentheses: usize,
    outermost: usize,
    body: Body,
    compound: Compound,
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

/// What only the `mysql` client understands, and takes for a command where a statement could begin. `USE` and `HELP` are known to
/// the server too.
const CLIENT_COMMANDS: [&str; 22] = [
    "CHARSET",
    "CLEAR",
    "CONNECT",
    "EDIT",
    "EGO",
    "EXIT",
    "GO",
    "NOPAGER",
    "NOTEE",
    "NOWARNING",
    "PAGER",
    "PRINT",
    "PROMPT",
    "QUIT",
    "REHASH",
    "RESETCONNECTION",
    "SANDBOX",
    "SOURCE",
    "STATUS",
    "SYSTEM",
    "TEE",
    "WARNINGS",
];

impl<'a> Open<'a> {
    fn new(dialect: Dialect, text: &'a str) -> Self {
        Self {
            dialect,
            text,
            tokens: Vec::new(),
            span: None,
            complete: false,
            parentheses: 0,
            outermost: 0,
            body: Body::None,
            compound: Compound::new(),
        }
    }

    fn sentence(&self) -> Sentence<'_> {
        Sentence::new(self.text, &self.tokens)
    }

    /// Whether a semicolon here ends the statement. Neither server takes a semicolon within parentheses except in
    /// `CREATE RULE … DO ( a; b )`.
    fn may_end(&self) -> bool {
        self.parentheses == 0 && matches!(self.body, Body::None | Body::Closed) && self.compound.open().is_none()
    }

    /// Whether this token is the `DELIMITER` of a line for the `mysql` client. No statement begins with that word.
    fn is_delimiter_line(&self, token: Token) -> Result<bool, SplitError> {
        let named = self.dialect == Dialect::Mysql
            && token.kind == Kind::Word
            && self.text[token.start..token.end].eq_ignore_ascii_case("DELIMITER");
        if !named || self.tokens.is_empty() {
            return Ok(named);
        }
        // To the client, it is one on any line. To the server, it is a name like any other. Only the next character is looked at:
        // it belongs to the same statement, so that the statement by itself is read in the same way.
        let before = self.text[..token.start].rsplit('\n').next().unwrap_or_default();
        let behind = self.text[token.end..].split('\n').next().unwrap_or_default();
        let spaced = behind.starts_with(|c: char| c.is_ascii_whitespace());
        if before.trim().is_empty()
            && spaced
            && behind.trim_start().starts_with(['/', '$', '|', ';', '\\', '~', '^', '@'])
        {
            let reason = "the statement before it has not been ended";
            return Err(SplitError::BadDelimiter { reason, line: line_at(self.text, token.start) });
        }
        Ok(false)
    }

    fn take(&mut self, token: Token) -> Result<(), SplitError> {
        if self.complete {
            return Err(SplitError::SeveralStatements { line: line_at(self.text, token.start) });
        }
        self.refuse_shell_command(token)?;
        self.span = Some((self.span.map_or(token.start, |(start, _)| start), token.end));
        match token.kind {
            Kind::Marker => return Ok(()),
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
        match self.dialect {
            Dialect::Postgres if token.kind == Kind::Word => self.follow_atomic(token),
            Dialect::Sqlite if token.kind == Kind::Word => self.follow_trigger(token),
            Dialect::Postgres | Dialect::Sqlite => {}
            Dialect::Mysql => self.compound.take(Sentence::new(self.text, &self.tokens), self.parentheses),
        }
        Ok(())
    }

    /// A backslash is no part of any `PostgreSQL` or `MySQL` statement (but `\N`, which is a word there), nor is a leading dot of
    /// an `SQLite` one.
    fn refuse_shell_command(&self, token: Token) -> Result<(), SplitError> {
        let shell = match (self.dialect, token.kind) {
            (Dialect::Postgres, Kind::Symbol(b'\\')) => "psql",
            (Dialect::Sqlite, Kind::Symbol(b'.')) if self.tokens.is_empty() => "sqlite3",
            (Dialect::Mysql, Kind::Symbol(b'\\')) => "mysql",
            (Dialect::Mysql, Kind::Word) if self.tokens.is_empty() && self.is_client_command(token) => "mysql",
            _ => return Ok(()),
        };
        let command = self.text[token.start..].lines().next().unwrap_or_default().chars().take(60).collect();
        Err(SplitError::ShellCommand { command, shell, line: line_at(self.text, token.start) })
    }

    fn is_client_command(&self, token: Token) -> bool {
        CLIENT_COMMANDS.iter().any(|command| self.text[token.start..token.end].eq_ignore_ascii_case(command))
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
        let (Some((start, end)), false) = (self.span, self.tokens.is_empty()) else { return Ok(None) };
        let unterminated = |what, start| Err(SplitError::Unterminated { what, line: line_at(self.text, start) });
        if let Some(token) = self.compound.open().and_then(|at| self.tokens.get(at)) {
            return unterminated("body", token.start);
        }
        match self.body {
            Body::Atomic { start, .. } => return unterminated("BEGIN ATOMIC", start),
            Body::Trigger { start } => return unterminated("CREATE TRIGGER", start),
            Body::None | Body::Closed if self.parentheses > 0 => return unterminated("parenthesis", self.outermost),
            Body::None | Body::Closed => {}
        }
        let line = lines.of(start);
        let sentence = self.sentence();
        match self.dialect {
            Dialect::Postgres if is_copy_stream(sentence) => return Err(SplitError::CopyStream { line }),
            Dialect::Mysql => self.refuse_unclear(line)?,
            Dialect::Postgres | Dialect::Sqlite => {}
        }
        Ok(Some(Statement {
            text: self.text[start..end].to_owned(),
            start,
            line,
            class: classify_tokens(self.dialect, self.text, &self.tokens),
        }))
    }

    /// What must not be sent to a `MySQL` server, because it, or what follows it, may not be what it was taken for.
    fn refuse_unclear(&self, line: u32) -> Result<(), SplitError> {
        let sentence = self.sentence();
        if only_in_bodies(sentence) {
            return Err(SplitError::OutsideBody { word: sentence.written(0).to_owned(), line });
        }
        if self.compound.goes_on() {
            let what = "more than a label follows the END of this statement's body";
            return Err(SplitError::Unclear { what, line });
        }
        if sentence.is(0, "LOAD") && sentence.top().take(5).any(|at| sentence.is(at, "LOCAL")) {
            return Err(SplitError::LocalFile { line });
        }
        match mysql::other_rules(sentence) {
            Some(setting) => Err(SplitError::OtherRules { setting, line }),
            None => Ok(()),
        }
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
