//! Tokens, by each dialect's own lexical rules.
//!
//! `PostgreSQL`: `src/backend/parser/scan.l`. `SQLite`: `src/tokenize.c`. `MySQL` and `MariaDB`: `sql/sql_lex.cc`, in the file
//! `lexer/mysql.rs`. Only what decides where a statement ends is told apart; a multi-character operator is several
//! [`Kind::Symbol`]s. Every quote is ASCII and every byte from 0x80 on belongs to a word in all dialects, so a token never ends
//! within a character.

mod mysql;

use super::split::SplitError;
use super::{Dialect, SqlModes, split::line_at};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or an unquoted identifier.
    Word,
    /// A quoted identifier, quotes included.
    Quoted,
    /// A string literal, with its quotes and without its prefix. In single quotes; in `MySQL` also in double ones.
    Text,
    /// A dollar-quoted string literal, delimiters included.
    Dollar,
    /// A number.
    Number,
    /// A bind parameter.
    Parameter,
    /// `/*!50001` or `*/` around text that some servers execute. `MySQL` only.
    Marker,
    /// What `DELIMITER` has put in the place of the semicolon. `MySQL` only.
    Delimiter,
    /// Any other single byte.
    Symbol(u8),
}

/// One token: what it is, and which bytes of the text it covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it stands in a comment that some servers execute.
    pub(super) conditional: bool,
}

/// Yields the tokens of a text, without white space and comments.
pub(super) struct Lexer<'a> {
    dialect: Dialect,
    modes: SqlModes,
    text: &'a str,
    at: usize,
    /// What stands for the semicolon since the last `DELIMITER` line.
    delimiter: Option<&'a str>,
    /// Where the conditional comment began that is still open.
    conditional: Option<usize>,
    /// Whether no token of the statement has been seen yet.
    fresh: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(dialect: Dialect, modes: SqlModes, text: &'a str) -> Self {
        Self { dialect, modes, text, at: 0, delimiter: None, conditional: None, fresh: true }
    }

    /// Whoever reads the tokens has come to the end of a statement.
    pub(super) fn begin_statement(&mut self) {
        self.fresh = true;
    }

    /// The next token; `None` at the end of the text.
    pub(super) fn next(&mut self) -> Result<Option<Token>, SplitError> {
        self.skip_blank()?;
        let start = self.at;
        let conditional = self.conditional.is_some();
        let Some(byte) = self.byte(0) else { return self.end() };
        let kind = match (self.dialect, byte) {
            (Dialect::Mysql, _) => self.mysql(byte)?,
            (_, b'\'') => self.quoted(b'\'', Kind::Text, "string literal")?,
            (_, b'"') => self.quoted(b'"', Kind::Quoted, "quoted identifier")?,
            (Dialect::Sqlite, b'`') => self.quoted(b'`', Kind::Quoted, "quoted identifier")?,
            (Dialect::Sqlite, b'[') => self.bracketed()?,
            (_, b'0'..=b'9') => self.number(),
            (Dialect::Postgres, b'$') => self.dollar()?,
            (Dialect::Sqlite, b'$' | b'@' | b'#' | b':') => self.sqlite_parameter(),
            (_, byte) if starts_word(byte) => self.word()?,
            (_, byte) => {
                self.at += 1;
                Kind::Symbol(byte)
            }
        };
        self.fresh = false;
        Ok(Some(Token { kind, start, end: self.at, conditional }))
    }

    fn end(&self) -> Result<Option<Token>, SplitError> {
        match self.conditional {
            Some(start) => Err(self.unterminated("conditional comment", start)),
            None => Ok(None),
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn advance_while(&mut self, belongs: impl Fn(u8) -> bool) {
        self.at += self.rest().iter().take_while(|byte| belongs(**byte)).count();
    }

    fn unterminated(&self, what: &'static str, start: usize) -> SplitError {
        SplitError::Unterminated { what, line: line_at(self.text, start) }
    }

    fn skip_blank(&mut self) -> Result<(), SplitError> {
        if self.dialect == Dialect::Mysql {
            return self.skip_mysql_blank();
        }
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(byte), _) if is_space(self.dialect, byte) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.skip_line(),
                (Some(b'/'), Some(b'*')) => self.block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        let dialect = self.dialect;
        self.advance_while(|byte| !ends_line(dialect, byte));
    }

    /// Nested in `PostgreSQL` alone. `SQLite` lets the end of the text close a comment; we do not, because what it
    /// swallowed was meant to run.
    fn block_comment(&mut self) -> Result<(), SplitError> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match (self.byte(0), self.byte(1)) {
                (None, _) => return Err(self.unterminated("comment", start)),
                (Some(b'/'), Some(b'*')) if depth == 0 || self.dialect == Dialect::Postgres => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// From an opening quote to its closing one; a doubled quote stands for itself.
    fn quoted(&mut self, quote: u8, kind: Kind, what: &'static str) -> Result<Kind, SplitError> {
        let start = self.at;
        self.at += 1;
        loop {
            self.advance_while(|byte| byte != quote);
            match (self.byte(0), self.byte(1)) {
                (None, _) => return Err(self.unterminated(what, start)),
                (_, Some(next)) if next == quote => self.at += 2,
                _ => {
                    self.at += 1;
                    return Ok(kind);
                }
            }
        }
    }

    /// `[name]`: ends at the first `]`, which cannot be written inside.
    fn bracketed(&mut self) -> Result<Kind, SplitError> {
        let start = self.at;
        self.advance_while(|byte| byte != b']');
        if self.byte(0).is_none() {
            return Err(self.unterminated("quoted identifier", start));
        }
        self.at += 1;
        Ok(Kind::Quoted)
    }

    /// `E'…'`: a backslash takes the next byte with it, and a continuation on a later line keeps the rule.
    fn escaped(&mut self) -> Result<Kind, SplitError> {
        let start = self.at;
        self.at += 1;
        loop {
            self.advance_while(|byte| byte != b'\'' && byte != b'\\');
            match (self.byte(0), self.byte(1)) {
                (Some(b'\\'), Some(_)) | (Some(b'\''), Some(b'\'')) => self.at += 2,
                (Some(b'\''), _) => {
                    self.at += 1;
                    match self.continuation() {
                        Some(quote) => self.at = quote + 1,
                        None => return Ok(Kind::Text),
                    }
                }
                _ => return Err(self.unterminated("string literal", start)),
            }
        }
    }

    /// Two literals with a line break, and nothing but white space and `--` comments, between them are one literal in
    /// `PostgreSQL`. Gives the place of the next opening quote.
    fn continuation(&self) -> Option<usize> {
        let mut probe = Lexer { at: self.at, ..Lexer::new(self.dialect, self.modes, self.text) };
        let mut broken = false;
        loop {
            match (probe.byte(0)?, probe.byte(1)) {
                (b'\n' | b'\r', _) => {
                    broken = true;
                    probe.at += 1;
                }
                (byte, _) if is_space(self.dialect, byte) => probe.at += 1,
                (b'-', Some(b'-')) => probe.skip_line(),
                (b'\'', _) if broken => return Some(probe.at),
                _ => return None,
            }
        }
    }

    /// `$1`, or a dollar-quoted string, or a lone dollar sign that the server will refuse. That an identifier may hold dollar
    /// signs is [`Lexer::word`]'s business.
    fn dollar(&mut self) -> Result<Kind, SplitError> {
        let start = self.at;
        let after = &self.rest()[1..];
        if after.first().is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            self.advance_while(|byte| byte.is_ascii_digit());
            return Ok(Kind::Parameter);
        }
        let name = after.iter().take_while(|byte| starts_word(**byte) || byte.is_ascii_digit()).count();
        if after.get(name) != Some(&b'$') {
            self.at += 1;
            return Ok(Kind::Symbol(b'$'));
        }
        let delimiter = &self.text[start..start + name + 2];
        let body = start + delimiter.len();
        let length = self.text[body..].find(delimiter).ok_or_else(|| self.unterminated("dollar quote", start))?;
        self.at = body + length + delimiter.len();
        Ok(Kind::Dollar)
    }

    /// `$name`, `:name`, `@name`, with Tcl's `::` and `(…)` parts.
    fn sqlite_parameter(&mut self) -> Kind {
        let symbol = self.rest()[0];
        let start = self.at;
        self.at += 1;
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(byte), _) if continues_word(byte) => self.at += 1,
                (Some(b':'), Some(b':')) => self.at += 2,
                (Some(b'('), _) if self.at > start + 1 => {
                    let inside = self.rest().iter().take_while(|byte| !byte.is_ascii_whitespace() && **byte != b')');
                    let length = inside.count();
                    if self.byte(length) == Some(b')') {
                        self.at += length + 1;
                    }
                    return Kind::Parameter;
                }
                _ if self.at > start + 1 => return Kind::Parameter,
                _ => return Kind::Symbol(symbol),
            }
        }
    }

    fn number(&mut self) -> Kind {
        self.advance_while(|byte| byte.is_ascii_digit() || byte == b'.');
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(1), Some(b'+' | b'-')));
            if self.byte(1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1 + sign;
                self.advance_while(|byte| byte.is_ascii_digit());
            }
        }
        Kind::Number
    }

    fn word(&mut self) -> Result<Kind, SplitError> {
        let start = self.at;
        self.advance_while(continues_word);
        let word = &self.text[start..self.at];
        if self.dialect == Dialect::Postgres && word.eq_ignore_ascii_case("e") && self.byte(0) == Some(b'\'') {
            return self.escaped();
        }
        Ok(Kind::Word)
    }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// A vertical tab is no white space to `SQLite`.
fn is_space(dialect: Dialect, byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c) || (byte == 0x0b && dialect != Dialect::Sqlite)
}

/// A carriage return ends a `--` comment in `PostgreSQL`, and belongs to it elsewhere.
fn ends_line(dialect: Dialect, byte: u8) -> bool {
    byte == b'\n' || (byte == b'\r' && dialect == Dialect::Postgres)
}
