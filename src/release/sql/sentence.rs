//! The tokens of one statement, with the questions that the classifiers ask.

use super::lexer::{Kind, Lexer, Token};
use super::split::SplitError;
use super::{Dialect, SqlModes};

/// Some tokens of one statement. Positions are counted in tokens; beyond the end, nothing matches.
#[derive(Clone, Copy)]
pub(super) struct Sentence<'a> {
    text: &'a str,
    tokens: &'a [Token],
}

impl<'a> Sentence<'a> {
    pub(super) fn new(text: &'a str, tokens: &'a [Token]) -> Self {
        Self { text, tokens }
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens from `at` on.
    pub(super) fn from(&self, at: usize) -> Self {
        Self { text: self.text, tokens: self.tokens.get(at..).unwrap_or_default() }
    }

    /// What is written at `at`; empty beyond the end.
    pub(super) fn written(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &self.text[token.start..token.end])
    }

    /// The unquoted word at `at`, in upper case.
    pub(super) fn word(&self, at: usize) -> Option<String> {
        (self.kind(at)? == Kind::Word).then(|| self.written(at).to_ascii_uppercase())
    }

    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// Whether the unquoted word at `at` is `word`.
    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(Kind::Word) && self.written(at).eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(at, word))
    }

    pub(super) fn symbol(&self, at: usize, symbol: u8) -> bool {
        self.kind(at) == Some(Kind::Symbol(symbol))
    }

    /// Whether `words` stand one after the other from `at` on.
    pub(super) fn reads(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.is(at + offset, word))
    }

    /// Whether the statement begins with `words`.
    pub(super) fn starts(&self, words: &[&str]) -> bool {
        self.reads(0, words)
    }

    /// The position behind `words` where they stand at `at`, else `at`.
    pub(super) fn skip(&self, at: usize, words: &[&str]) -> usize {
        if self.reads(at, words) { at + words.len() } else { at }
    }

    /// The position behind the one of `words` that stands at `at`, else `at`.
    pub(super) fn skip_any(&self, at: usize, words: &[&str]) -> usize {
        if self.is_any(at, words) { at + 1 } else { at }
    }

    /// The position behind `IF [NOT] EXISTS` where it stands at `at`.
    pub(super) fn skip_if_exists(&self, at: usize) -> usize {
        self.skip(self.skip(at, &["IF", "EXISTS"]), &["IF", "NOT", "EXISTS"])
    }

    /// The position behind the name, with all its qualifiers, that begins at `at`.
    pub(super) fn skip_name(&self, at: usize) -> usize {
        let mut end = at + 1;
        while self.symbol(end, b'.') {
            end += 2;
        }
        end
    }

    /// The name that begins at `at`, as written, without its qualifiers.
    pub(super) fn name(&self, at: usize) -> &'a str {
        self.written(self.skip_name(at) - 1)
    }

    /// The positions outside all parentheses and brackets.
    pub(super) fn top(&self) -> impl Iterator<Item = usize> {
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
    pub(super) fn find(&self, words: &[&str]) -> Option<usize> {
        self.top().find(|at| self.reads(*at, words))
    }

    /// Whether `words` stand anywhere outside parentheses.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        self.find(words).is_some()
    }

    /// The position behind the parenthesis that opens at `at`; the end where it does not close.
    pub(super) fn behind_parentheses(&self, at: usize) -> usize {
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
    pub(super) fn parts(&self) -> Vec<Self> {
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
