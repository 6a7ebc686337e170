//! The tokens of `MySQL` and `MariaDB`, and what the `mysql` client reads before the server does: `DELIMITER`.

use super::{Kind, Lexer, continues_word, ends_line, is_space};
use crate::release::sql::Dialect;
use crate::release::sql::split::{SplitError, line_at};

/// The client keeps no more of a delimiter.
const DELIMITER_BYTES_MAX: usize = 15;

impl Lexer<'_> {
    /// The token that begins with `byte`.
    pub(super) fn mysql(&mut self, byte: u8) -> Result<Kind, SplitError> {
        if let Some(length) = self.delimiter_here() {
            self.at += length;
            return Ok(Kind::Delimiter);
        }
        match byte {
            b'*' if self.conditional.is_some() && self.byte(1) == Some(b'/') => {
                self.conditional = None;
                self.at += 2;
                Ok(Kind::Marker)
            }
            b'/' if self.opens_conditional() => self.conditional(),
            b'"' if self.modes.ansi_quotes => self.closed_in_comment(|lexer| lexer.name(b'"')),
            b'\'' | b'"' => self.closed_in_comment(|lexer| lexer.string(byte)),
            b'`' => self.closed_in_comment(|lexer| lexer.name(b'`')),
            // NULL, to MariaDB. To MySQL 8 it is an error, as is any other backslash.
            b'\\' if self.byte(1) == Some(b'N') => {
                self.at += 2;
                Ok(Kind::Word)
            }
            b'0'..=b'9' => Ok(self.mysql_number()),
            byte if continues_word(byte) => self.mysql_word(),
            _ => {
                self.at += 1;
                Ok(Kind::Symbol(byte))
            }
        }
    }

    /// Blank to the server: white space and comments. Not blank is a comment that some servers execute.
    pub(super) fn skip_mysql_blank(&mut self) -> Result<(), SplitError> {
        loop {
            // The client looks for the delimiter before it looks for comments.
            if self.delimiter_here().is_some() {
                return Ok(());
            }
            match (self.byte(0), self.byte(1)) {
                (Some(byte), _) if is_space(Dialect::Mysql, byte) => self.at += 1,
                (Some(b'#'), _) => self.line_comment()?,
                (Some(b'-'), Some(b'-')) if self.begins_line_comment() => self.line_comment()?,
                (Some(b'/'), Some(b'*')) if !self.opens_conditional() => self.block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    /// To the server, `--` begins a comment only before white space, a control character or the end. To the client it does so
    /// at the beginning of a statement as well, where it can mean nothing else.
    fn begins_line_comment(&self) -> bool {
        self.fresh || self.byte(2).is_none_or(|byte| is_space(Dialect::Mysql, byte) || byte.is_ascii_control())
    }

    fn line_comment(&mut self) -> Result<(), SplitError> {
        self.closed_in_comment(|lexer| {
            lexer.advance_while(|byte| !ends_line(Dialect::Mysql, byte));
            Ok(())
        })
    }

    fn opens_conditional(&self) -> bool {
        let rest = self.rest();
        rest.starts_with(b"/*!") || rest.starts_with(b"/*M!")
    }

    /// `/*!`, `/*!50001`, `/*!100100`, `/*M!100100`: what follows is executed by the servers it is meant for. Which servers those
    /// are, and whether a second one may open inside, differs between `MySQL` and `MariaDB`.
    fn conditional(&mut self) -> Result<Kind, SplitError> {
        if self.conditional.is_some() {
            return Err(
                self.unclear("a conditional comment within another one ends in different places on different servers")
            );
        }
        self.conditional = Some(self.at);
        self.at += if self.byte(2) == Some(b'M') { 4 } else { 3 };
        let digits = self.rest().iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        if digits >= 5 {
            self.at += digits;
        }
        Ok(Kind::Marker)
    }

    /// Runs `read`. A server that skips a conditional comment knows no quotes in it: its end must be the same either way.
    fn closed_in_comment<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, SplitError>) -> Result<T, SplitError> {
        let start = self.at;
        let token = read(self)?;
        let inside = &self.text[start..self.at];
        if self.conditional.is_some() && (inside.contains("*/") || inside.contains("/*")) {
            self.at = start;
            return Err(self.unclear("a comment's delimiter within quotes, within a conditional comment"));
        }
        Ok(token)
    }

    /// `'…'`, `"…"`: a doubled quote stands for itself, and a backslash takes the next byte with it.
    fn string(&mut self, quote: u8) -> Result<Kind, SplitError> {
        let start = self.at;
        let escapes = !self.modes.no_backslash_escapes;
        self.at += 1;
        loop {
            self.advance_while(|byte| byte != quote && !(escapes && byte == b'\\'));
            match (self.byte(0), self.byte(1)) {
                (Some(b'\\'), Some(_)) if escapes => self.at += 2,
                (Some(byte), Some(next)) if byte == quote && next == quote => self.at += 2,
                (Some(byte), _) if byte == quote => {
                    self.at += 1;
                    return Ok(Kind::Text);
                }
                _ => return Err(self.unterminated("string literal", start)),
            }
        }
    }

    fn name(&mut self, quote: u8) -> Result<Kind, SplitError> {
        self.quoted(quote, Kind::Quoted, "quoted identifier")
    }

    /// A number; or a name, which may begin with a digit.
    fn mysql_number(&mut self) -> Kind {
        let digits = self.run(|byte| byte.is_ascii_digit() || byte == b'.');
        let rest = &self.rest()[digits..];
        let exponent = match rest {
            [b'e' | b'E', b'+' | b'-', digit, ..] if digit.is_ascii_digit() => 2,
            _ => 0,
        };
        if exponent > 0 && self.delimiter_within(digits + exponent).is_none() {
            self.at += digits + exponent;
            self.at += self.run(|byte| byte.is_ascii_digit());
            return Kind::Number;
        }
        self.at += digits;
        let behind = self.run(continues_word);
        let exponent = behind > 1 && matches!(self.byte(0), Some(b'e' | b'E'));
        let number = exponent && self.rest()[1..behind].iter().all(u8::is_ascii_digit);
        self.at += behind;
        if behind == 0 || number { Kind::Number } else { Kind::Word }
    }

    fn mysql_word(&mut self) -> Result<Kind, SplitError> {
        let length = self.run(continues_word);
        let word = &self.rest()[..length];
        if word.starts_with(b"$") && word[1..].contains(&b'$') {
            return Err(
                self.unclear("this begins a string in dollar quotes for MySQL 9, and is a name for other servers")
            );
        }
        self.at += length;
        Ok(Kind::Word)
    }

    fn unclear(&self, what: &'static str) -> SplitError {
        SplitError::Unclear { what, line: line_at(self.text, self.at) }
    }

    /// How many bytes from here on belong together; the client cuts a word where the delimiter stands in it.
    fn run(&self, belongs: impl Fn(u8) -> bool) -> usize {
        let length = self.rest().iter().take_while(|byte| belongs(**byte)).count();
        self.delimiter_within(length).unwrap_or(length)
    }

    /// Where the delimiter begins within the next `length` bytes.
    fn delimiter_within(&self, length: usize) -> Option<usize> {
        let delimiter = self.delimiter?.as_bytes();
        (0..length).find(|at| self.rest()[*at..].starts_with(delimiter))
    }

    /// The length of the delimiter, where it stands here.
    fn delimiter_here(&self) -> Option<usize> {
        let delimiter = self.delimiter?;
        self.rest().starts_with(delimiter.as_bytes()).then_some(delimiter.len())
    }

    /// Whether a delimiter other than the semicolon is in force.
    pub(in crate::release::sql) fn is_delimited(&self) -> bool {
        self.delimiter.is_some()
    }

    /// Where the conditional comment began that is open.
    pub(in crate::release::sql) fn within_conditional(&self) -> bool {
        self.conditional.is_some()
    }

    /// Follows a `DELIMITER` that has just been read as a word, to the end of its line.
    ///
    /// # Errors
    /// When the line holds no delimiter, one that the client could not use, or more than that: the client would ignore the rest.
    pub(in crate::release::sql) fn follow_delimiter(&mut self) -> Result<(), SplitError> {
        let line = line_at(self.text, self.at);
        let refuse = |reason| Err(SplitError::BadDelimiter { reason, line });
        let rest = self.text[self.at..].split('\n').next().unwrap_or_default();
        self.at += rest.len();
        self.fresh = true;
        if self.conditional.is_some() {
            return refuse("it stands in a comment");
        }
        let mut words = rest.split_ascii_whitespace();
        let delimiter = words.next().unwrap_or_default();
        if delimiter.is_empty() || !rest.starts_with(|c: char| c.is_ascii_whitespace()) {
            return refuse("it gives no delimiter");
        }
        if delimiter.contains(['\\', '\'', '"', '`']) {
            return refuse("the delimiter holds a quote or a backslash");
        }
        if delimiter.len() > DELIMITER_BYTES_MAX {
            return refuse("the delimiter is longer than 15 bytes, and the client would cut it");
        }
        if words.next().is_some_and(|word| !(word.starts_with('#') || word.starts_with("--"))) {
            return refuse("more than the delimiter stands on it");
        }
        self.delimiter = (delimiter != ";").then_some(delimiter);
        Ok(())
    }
}
