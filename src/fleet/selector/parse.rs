//! From the text of a selector to its meaning.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::TenantId;
use crate::base::limits::{SELECTOR_BYTES_MAX, SELECTOR_DEPTH_MAX};
use crate::fleet::error::FleetError;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Label(String),
}

/// What a selector means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    All,
    Has(String),
    Is(Field, Pattern),
    In(Field, BTreeSet<String>),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

impl Expression {
    pub(super) fn ids(ids: BTreeSet<String>) -> Self {
        Self::In(Field::Id, ids)
    }

    pub(super) fn matches(&self, id: &TenantId, labels: &BTreeMap<String, String>) -> bool {
        let value = |field: &Field| match field {
            Field::Id => Some(id.as_str().to_owned()),
            Field::Label(name) => labels.get(name).cloned(),
        };
        match self {
            Self::All => true,
            Self::Has(name) => labels.contains_key(name),
            Self::Is(field, pattern) => value(field).is_some_and(|value| pattern.matches(&value)),
            Self::In(field, values) => value(field).is_some_and(|value| values.contains(&value)),
            Self::Not(inner) => !inner.matches(id, labels),
            Self::And(all) => all.iter().all(|one| one.matches(id, labels)),
            Self::Or(any) => any.iter().any(|one| one.matches(id, labels)),
        }
    }
}

/// A value in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(String);

impl Pattern {
    fn matches(&self, value: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else { return self.0 == value };
        let Some(mut left) = value.strip_prefix(start) else { return false };
        let mut middle: Vec<&str> = rest.split('*').collect();
        let end = middle.pop().unwrap_or_default();
        for part in middle {
            // The earliest place leaves the most text for the parts behind it.
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        left.ends_with(end)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(&'static str),
    End,
}

/// A token and where it begins: in characters, from 1.
type Placed = (usize, Token);

const SIGNS: [&str; 5] = ["!=", "=", "(", ")", ","];

pub(super) fn parse(text: &str) -> Result<Expression, FleetError> {
    let fail = |(position, reason): Failure| FleetError::BadSelector { text: text.to_owned(), position, reason };
    if text.len() > SELECTOR_BYTES_MAX {
        return Err(FleetError::BadSelector {
            text: text.chars().take(80).collect(),
            position: 1,
            reason: format!("it is longer than {SELECTOR_BYTES_MAX} bytes"),
        });
    }
    let tokens = tokens(text).map_err(fail)?;
    let mut parser = Parser { tokens, at: 0 };
    let expression = parser.any(0).map_err(fail)?;
    match parser.peek() {
        (_, Token::End) => Ok(expression),
        (position, _) => Err(fail((position, "expected \"and\", \"or\" or the end".to_owned()))),
    }
}

/// A value, written so that it reads back as itself.
pub(super) fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

/// The text up to the closing `quote`, two of which are one, and the bytes that it took.
fn unquote(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return Some((value, at + 1));
        }
        value.push(c);
    }
    None
}

/// Where, and what.
type Failure = (usize, String);

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || "_-.:/@+~*".contains(c)
}

fn tokens(text: &str) -> Result<Vec<Placed>, Failure> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut position = 1;
    while let Some(c) = rest.chars().next() {
        let (token, length) = if c.is_whitespace() {
            (None, c.len_utf8())
        } else if c == '"' || c == '\'' {
            let (value, length) = unquote(&rest[1..], c).ok_or_else(|| (position, format!("the {c} is not closed")))?;
            (Some(Token::Quoted(value)), length + 1)
        } else if is_bare(c) {
            let end = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            (Some(if word == "*" { Token::Sign("*") } else { Token::Word(word.to_owned()) }), end)
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            (Some(Token::Sign(sign)), sign.len())
        } else {
            return Err((position, format!("{c:?} means nothing here; a value that holds it must be quoted")));
        };
        tokens.extend(token.map(|token| (position, token)));
        position += rest[..length].chars().count();
        rest = &rest[length..];
    }
    tokens.push((position, Token::End));
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Placed {
        self.tokens.get(self.at).cloned().unwrap_or((1, Token::End))
    }

    fn next(&mut self) -> Placed {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek().1, Token::Word(next) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek().1, Token::Sign(next) if next == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str, what: &str) -> Result<(), Failure> {
        let position = self.peek().0;
        if self.sign(sign) { Ok(()) } else { Err((position, format!("expected {what}"))) }
    }

    fn any(&mut self, depth: usize) -> Result<Expression, Failure> {
        let mut any = vec![self.all(depth)?];
        while self.keyword("or") {
            any.push(self.all(depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expression::Or(any) })
    }

    fn all(&mut self, depth: usize) -> Result<Expression, Failure> {
        let mut all = vec![self.one(depth)?];
        while self.keyword("and") {
            all.push(self.one(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, Failure> {
        let position = self.peek().0;
        if depth >= SELECTOR_DEPTH_MAX {
            return Err((position, format!("more than {SELECTOR_DEPTH_MAX} parentheses and nots inside each other")));
        }
        if self.keyword("not") {
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.sign("(") {
            let inner = self.any(depth + 1)?;
            self.expect(")", "\")\"")?;
            return Ok(inner);
        }
        if self.sign("*") {
            return Ok(Expression::All);
        }
        self.test()
    }

    fn test(&mut self) -> Result<Expression, Failure> {
        let (position, token) = self.next();
        let field = match token {
            Token::Word(word) if word == "id" => Field::Id,
            Token::Word(word) => match word.strip_prefix("label.") {
                Some(name) if !name.is_empty() && !name.contains('*') => Field::Label(name.to_owned()),
                _ => return Err((position, format!("{word:?} is neither \"id\" nor \"label.<name>\""))),
            },
            _ => return Err((position, "expected \"id\", \"label.<name>\", \"not\", \"*\" or \"(\"".to_owned())),
        };
        if self.sign("=") {
            return Ok(Expression::Is(field, Pattern(self.value()?)));
        }
        if self.sign("!=") {
            return Ok(Expression::Not(Box::new(Expression::Is(field, Pattern(self.value()?)))));
        }
        if self.keyword("in") {
            return Ok(Expression::In(field, self.values()?));
        }
        match field {
            Field::Label(name) => Ok(Expression::Has(name)),
            Field::Id => Err((self.peek().0, "expected \"=\", \"!=\" or \"in\" after \"id\"".to_owned())),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, Failure> {
        self.expect("(", "\"(\" after \"in\"")?;
        let mut values = BTreeSet::from([self.value()?]);
        while self.sign(",") {
            values.insert(self.value()?);
        }
        self.expect(")", "\",\" or \")\"")?;
        Ok(values)
    }

    fn value(&mut self) -> Result<String, Failure> {
        match self.next() {
            (_, Token::Word(value) | Token::Quoted(value)) => Ok(value),
            (_, Token::Sign("*")) => Ok("*".to_owned()),
            (position, _) => Err((position, "expected a value".to_owned())),
        }
    }
}
