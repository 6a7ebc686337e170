//! The tokens of one statement, with the questions that the classifiers ask.

use super::lexer::{Kind, Lexer, Token};
use super::split::SplitError;
use super::{Dialect, SqlModes};

/// Some tokens of one statement. Positions are counted in tokens; beyond the end, nothing matches.
#[derive(Clone, Copy)]
pub(in crate::release) struct Sentence<'a> {
    text: &'a str,
    tokens: &'a [Token],
}

impl<'a> Sentence<'a> {
    pub(in crate::release::sql) fn new(text: &'a str, tokens: &'a [Token]) -> Self {
        Self { text, tokens }
    }

    pub(in crate::release) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens from `at` on.
    pub(in crate::release) fn from(&self, at: usize) -> Self {
        Self { text: self.text, tokens: self.tokens.get(at..).unwrap_or_default() }
    }

    /// What is written at `at`; empty beyond the end.
    pub(in crate::release) fn written(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &self.text[token.start..token.end])
    }

    /// What is written from `start` up to the token before `end`, with all that stands between; empty where there is none.
    pub(in crate::release) fn between(&self, start: usize, end: usize) -> &'a str {
        match (self.tokens.get(start), end.checked_sub(1).and_then(|last| self.tokens.get(last))) {
            (Some(first), Some(last)) if first.start < last.end => &self.text[first.start..last.end],
            _ => "",
        }
    }

    /// The unquoted word at `at`, in upper case.
    pub(in crate::release) fn word(&self, at: usize) -> Option<String> {
        (self.kind(at)? == Kind::Word).then(|| self.written(at).to_ascii_uppercase())
    }

    pub(in crate::release::sql) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// Whether the unquoted word at `at` is `word`.
    pub(in crate::release) fn is(&self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(Kind::Word) && self.written(at).eq_ignore_ascii_case(word)
    }

    pub(in crate::release) fn is_any(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(at, word))
    }

    pub(in crate::release) fn symbol(&self, at: usize, symbol: u8) -> bool {
        self.kind(at) == Some(Kind::Symbol(symbol))
    }

    /// Whether `words` stand one after the other from `at` on.
    pub(in crate::release) fn reads(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.is(at + offset, word))
    }

    /// Whether the statement begins with `words`.
    pub(in crate::release) fn starts(&self, words: &[&str]) -> bool {
        self.reads(0, words)
    }

    /// The position behind `words` where they stand at `at`, else `at`.
    pub(in crate::release) fn skip(&self, at: usize, words: &[&str]) -> usize {
        if self.reads(at, words) { at + words.len() } else { at }
    }

    /// The position behind the one of `words` that stands at `at`, else `at`.
    pub(in crate::release) fn skip_any(&self, at: usize, words: &[&str]) -> usize {
        if self.is_any(at, words) { at + 1 } else { at }
    }

    /// The position behind `IF [NOT] EXISTS` where it stands at `at`.
    pub(in crate::release) fn skip_if_exists(&self, at: usize) -> usize {
        self.skip(self.skip(at, &["IF", "EXISTS"]), &["IF", "NOT", "EXISTS"])
    }

    /// The position behind the name, with all its qualifiers, that begins at `at`.
    pub(in crate::release) fn skip_name(&self, at: usize) -> usize {
        let mut end = at + 1;
        while self.symbol(end, b'.') {
            end += 2;
        }
        end
    }

    /// The name that begins at `at`, as written, without its qualifiers.
    pub(in crate::release) fn name(&self, at: usize) -> &'a str {
        self.written(self.skip_name(at) - 1)
    }

    /// The positions outside all parentheses and brackets.
    pub(in crate::release) fn top(&self) -> impl Iterator<Item = usize> {
        let mut depth = 0_usize;
        self.tokens.iter().enumerate().filter_map(move |(at, token)| match token.kind {
            Kind::Symbol(b'(' | b'[') => {
                depth += 1;
                None
            }
            Kind::Symbol(b')' | b']') => {
                depth = depth.saturating_sub(1);
                None
            }
            _ => (depth == 0).then_some(at),
        })
    }

    /// The first position outside parentheses where `words` stand.
    pub(in crate::release) fn find(&self, words: &[&str]) -> Option<usize> {
        self.top().find(|at| self.reads(*at, words))
    }

    /// Whether `words` stand anywhere outside parentheses.
    pub(in crate::release) fn has(&self, words: &[&str]) -> bool {
        self.find(words).is_some()
    }

    /// The position behind the parenthesis that opens at `at`; the end where it does not close.
    pub(in crate::release) fn behind_parentheses(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for position in at..self.len() {
            match self.kind(position) {
                Some(Kind::Symbol(b'(')) => depth += 1,
                Some(Kind::Symbol(b')')) if depth <= 1 => return position + 1,
                Some(Kind::Symbol(b')')) => depth -= 1,
                _ => {}
            }
        }
        self.len()
    }

    /// The parts between the commas outside parentheses.
    pub(in crate::release) fn parts(&self) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut start = 0;
        for comma in self.top().filter(|at| self.symbol(*at, b',')) {
            parts.push(Self { text: self.text, tokens: &self.tokens[start..comma] });
            start = comma + 1;
        }
        parts.push(self.from(start));
        parts
    }
}

/// A name with its qualifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::release) struct Name {
    /// Its parts as the server keeps them: without quotes, and in `PostgreSQL` in lower case where they had none.
    pub(in crate::release) parts: Vec<String>,
    /// The position behind it.
    pub(in crate::release) end: usize,
}

/// The name that begins at `at`; none where something else stands there.
pub(in crate::release) fn name_at(dialect: Dialect, s: Sentence<'_>, at: usize) -> Option<Name> {
    let mut parts = Vec::new();
    let mut end = at;
    loop {
        let written = s.written(end);
        parts.push(match s.kind(end)? {
            Kind::Word if dialect == Dialect::Postgres => written.to_ascii_lowercase(),
            Kind::Word => written.to_owned(),
            Kind::Quoted => unquoted(written)?,
            _ => return None,
        });
        end += 1;
        if !s.symbol(end, b'.') {
            // `U&"…"` is a name with escapes.
            return (!s.symbol(end, b'&')).then_some(Name { parts, end });
        }
        end += 1;
    }
}

fn unquoted(written: &str) -> Option<String> {
    let open = written.chars().next()?;
    let inside = written.get(1..written.len().checked_sub(1)?)?;
    Some(match open {
        '[' => inside.to_owned(),
        quote => inside.replace(&String::from_iter([quote, quote]), &String::from(quote)),
    })
}

/// The tokens of one statement, kept.
pub(in crate::release) struct Words<'a> {
    text: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Words<'a> {
    /// None where the text cannot be read, or holds what some servers execute and others skip.
    pub(in crate::release) fn of(dialect: Dialect, text: &'a str) -> Option<Self> {
        let tokens = tokens(dialect, text).ok()?;
        (!tokens.iter().any(|token| token.conditional)).then_some(Self { text, tokens })
    }

    pub(in crate::release) fn sentence(&self) -> Sentence<'_> {
        Sentence::new(self.text, &self.tokens)
    }
}

/// All tokens of `text`, without the marks of conditional comments.
pub(super) fn tokens(dialect: Dialect, text: &str) -> Result<Vec<Token>, SplitError> {
    let mut lexer = Lexer::new(dialect, SqlModes::default(), text);
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        if token.kind != Kind::Marker {
            tokens.push(token);
        }
    }
    Ok(tokens)
}
