//! Where the bodies of `MySQL`'s and `MariaDB`'s routines, triggers and events end.
//!
//! Their statements end with semicolons too. The `mysql` client does not look into them: it goes by `DELIMITER` alone. Files
//! for other tools have no `DELIMITER`, so the blocks are followed here, and what cannot be followed for certain is refused. Two
//! nets catch what the rules below get wrong: behind the outermost `END` only a label may stand, and no statement may begin with a
//! word that only stands in bodies (see [`only_in_bodies`]).

use super::lexer::Kind;
use super::sentence::Sentence;

/// A block that has been opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Block,
    If,
    Case,
    /// A `CASE` that is an expression: it ends with `END`, and its branches are no statements.
    CaseValue,
    Loop,
    /// Its `END` follows the condition behind `UNTIL`.
    Repeat {
        until: bool,
    },
    /// `WHILE` and `FOR`, and whether their `DO` is still to come.
    While {
        header: bool,
    },
}

/// How far a statement has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may still turn out to have a body.
    Open,
    /// `CREATE PROCEDURE` or `FUNCTION`, before the list of its parameters.
    Parameters,
    /// Behind them.
    Characteristics,
    /// `CREATE TRIGGER`, before `FOR EACH ROW`.
    TriggerHead,
    /// `CREATE EVENT` or `ALTER EVENT`, before `DO`.
    EventHead,
    /// Before the first token of a body: behind `ROW`, which may be followed by the order of triggers, or `DO`.
    BodyNext,
    /// In a body.
    Body,
    /// Behind its outermost `END`.
    Closed,
    /// It has no body that holds semicolons.
    Plain,
}

/// Where in a statement of the body the next token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It begins the statement.
    First,
    /// It is the second one: a colon makes the first a label.
    Second,
    /// Further on.
    Within,
    /// Behind an `END`, up to the semicolon: the kind of the block, and its label.
    Ended,
}

/// `DECLARE … HANDLER FOR condition, … statement`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    No,
    /// Behind `DECLARE`.
    Declared,
    /// Before a condition.
    Wanted,
    /// Behind one.
    Given,
}

/// Follows one statement, token by token.
pub(super) struct Compound {
    state: State,
    frames: Vec<Frame>,
    /// The token where the outermost block was opened.
    opened: usize,
    place: Place,
    handler: Handler,
    /// Tokens behind the outermost `END`.
    trailing: usize,
}

const OPENERS: [&str; 7] = ["BEGIN", "IF", "CASE", "LOOP", "REPEAT", "WHILE", "FOR"];

/// What a routine consists of where it is a single statement.
const VERBS: [&str; 18] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "CALL", "RETURN", "SET", "DO", "WITH", "TRUNCATE", "CREATE",
    "DROP", "ALTER", "VALUES", "EXECUTE", "SIGNAL", "START",
];

/// Words behind which an expression has yet to come, so that an `END` there is a name.
const EXPECTING: [&str; 17] = [
    "CASE", "WHEN", "THEN", "ELSE", "AND", "OR", "XOR", "NOT", "LIKE", "REGEXP", "RLIKE", "IN", "IS", "BETWEEN", "DIV",
    "MOD", "BINARY",
];

/// Whether no statement outside a body begins with this word. Where one seems to, the end of the body before it was missed.
pub(super) fn only_in_bodies(sentence: Sentence<'_>) -> bool {
    sentence.is_any(
        0,
        &[
            "END", "ELSE", "ELSEIF", "WHEN", "THEN", "UNTIL", "LEAVE", "ITERATE", "DECLARE", "FETCH", "OPEN", "CLOSE",
            "RETURN",
        ],
    )
}

impl Compound {
    pub(super) fn new() -> Self {
        Self {
            state: State::Open,
            frames: Vec::new(),
            opened: 0,
            place: Place::Within,
            handler: Handler::No,
            trailing: 0,
        }
    }

    /// Where the outermost block that is still open begins, in tokens.
    pub(super) fn open(&self) -> Option<usize> {
        (!self.frames.is_empty()).then_some(self.opened)
    }

    /// Whether more follows the outermost `END` than the word of its block and a label.
    pub(super) fn goes_on(&self) -> bool {
        self.trailing > 2
    }

    /// Takes the last token of `s`; `depth` parentheses are open around it.
    pub(super) fn take(&mut self, s: Sentence<'_>, depth: usize) {
        let at = s.len() - 1;
        match self.state {
            State::Open => self.head(s, at),
            State::Parameters => {
                if s.symbol(at, b')') && depth == 0 {
                    self.state = State::Characteristics;
                }
            }
            State::Characteristics if depth == 0 => self.characteristic(s, at),
            State::TriggerHead if s.is(at, "ROW") && at >= 2 && s.reads(at - 2, &["FOR", "EACH"]) => {
                self.state = State::BodyNext;
            }
            State::EventHead if depth == 0 && s.is(at, "DO") && !s.is_any(at - 1, &["EVENT", "EXISTS", "TO"]) => {
                self.state = State::BodyNext;
            }
            State::BodyNext => {
                let order = ["FOLLOWS", "PRECEDES"];
                if !(s.is_any(at, &order) || s.is_any(at - 1, &order)) {
                    self.begin_body();
                    self.body(s, at);
                }
            }
            State::Body => self.body(s, at),
            State::Closed => {
                let named = matches!(s.kind(at), Some(Kind::Word | Kind::Quoted));
                self.trailing += if named { 1 } else { 3 };
            }
            State::Characteristics | State::TriggerHead | State::EventHead | State::Plain => {}
        }
    }

    fn begin_body(&mut self) {
        self.state = State::Body;
        self.place = Place::First;
    }

    /// Finds out what statement this is, from its first tokens.
    fn head(&mut self, s: Sentence<'_>, at: usize) {
        // MariaDB takes the statements of bodies outside of routines too.
        if at == 0 && s.is_any(0, &OPENERS[1..]) {
            self.begin_body();
            self.body(s, at);
        } else if s.reads(0, &["BEGIN", "NOT", "ATOMIC"]) {
            self.begin_body();
            self.frames.push(Frame::Block);
        } else if s.is_any(0, &["CREATE", "ALTER"]) {
            let object = behind_definer(s);
            if at >= object {
                self.state = match s.word(object).unwrap_or_default().as_str() {
                    "DEFINER" | "OR" => State::Open,
                    "PROCEDURE" | "FUNCTION" if s.is(0, "CREATE") => State::Parameters,
                    "TRIGGER" if s.is(0, "CREATE") => State::TriggerHead,
                    "EVENT" => State::EventHead,
                    _ => State::Plain,
                };
            }
        } else if at >= 2 || !(at == 0 || s.reads(0, &["BEGIN", "NOT"])) {
            self.state = State::Plain;
        }
    }

    fn characteristic(&mut self, s: Sentence<'_>, at: usize) {
        let of_type = s.is_any(at - 1, &["RETURNS", "CHARACTER", "CHAR"]);
        if s.is_any(at, &OPENERS) {
            self.begin_body();
            self.body(s, at);
        } else if s.symbol(at, b':') {
            self.begin_body();
        } else if s.is_any(at, &VERBS) && !of_type {
            self.state = State::Plain;
        }
    }

    fn body(&mut self, s: Sentence<'_>, at: usize) {
        if s.symbol(at, b';') {
            (self.place, self.handler) = (Place::First, Handler::No);
            return;
        }
        if self.place == Place::Ended {
            return;
        }
        if matches!(self.handler, Handler::Wanted | Handler::Given) && self.condition(s, at) {
            return;
        }
        // Behind a dot or an at sign, any word is a name.
        let named = at > 0 && (s.symbol(at - 1, b'.') || s.symbol(at - 1, b'@'));
        let word = if named { String::new() } else { s.word(at).unwrap_or_default() };
        match self.place {
            Place::First => {
                self.place = Place::Second;
                self.statement(&word, s, at);
            }
            Place::Second if s.symbol(at, b':') => self.place = Place::First,
            Place::Second | Place::Within | Place::Ended => {
                self.place = Place::Within;
                self.within(&word, s, at);
            }
        }
        if self.frames.is_empty() && self.state == State::Body && self.place == Place::Within {
            self.state = State::Plain;
        }
    }

    /// The first word of a statement.
    fn statement(&mut self, word: &str, s: Sentence<'_>, at: usize) {
        match word {
            "BEGIN" => self.open_frame(Frame::Block, at, Place::First),
            "NOT" if s.is(at - 1, "BEGIN") => self.place = Place::First,
            "ATOMIC" if s.is(at - 1, "NOT") => self.place = Place::First,
            "IF" => self.open_frame(Frame::If, at, Place::Within),
            "CASE" => self.open_frame(Frame::Case, at, Place::Within),
            "LOOP" => self.open_frame(Frame::Loop, at, Place::First),
            "REPEAT" => self.open_frame(Frame::Repeat { until: false }, at, Place::First),
            "WHILE" | "FOR" => self.open_frame(Frame::While { header: true }, at, Place::Within),
            "END" => {
                let ends = [Frame::Block, Frame::If, Frame::Case, Frame::Loop, Frame::While { header: false }];
                if self.frames.last().is_some_and(|frame| ends.contains(frame)) {
                    self.close();
                }
            }
            "ELSE" if matches!(self.frames.last(), Some(Frame::If | Frame::Case)) => self.place = Place::First,
            "UNTIL" => {
                if let Some(Frame::Repeat { until }) = self.frames.last_mut() {
                    *until = true;
                }
            }
            "DECLARE" => self.handler = Handler::Declared,
            _ => {}
        }
    }

    /// Any other word of a statement.
    fn within(&mut self, word: &str, s: Sentence<'_>, at: usize) {
        match (word, self.frames.last().copied()) {
            ("CASE", _) => self.frames.push(Frame::CaseValue),
            ("END", Some(Frame::CaseValue)) if ends_value(s, at) => {
                self.frames.pop();
            }
            ("END", Some(Frame::Repeat { until: true })) if ends_value(s, at) => self.close(),
            ("THEN", Some(Frame::If | Frame::Case)) => self.place = Place::First,
            ("DO", Some(Frame::While { header: true })) => {
                self.frames.pop();
                self.frames.push(Frame::While { header: false });
                self.place = Place::First;
            }
            ("FOR", _) if self.handler == Handler::Declared && s.is(at - 1, "HANDLER") => {
                self.handler = Handler::Wanted;
            }
            _ => {}
        }
    }

    /// `HANDLER FOR condition, … statement`: gives whether the token is still one of a condition.
    fn condition(&mut self, s: Sentence<'_>, at: usize) -> bool {
        let given = self.handler == Handler::Given;
        if s.symbol(at, b',') {
            self.handler = Handler::Wanted;
        } else if given {
            (self.handler, self.place) = (Handler::No, Place::First);
            return false;
        } else if !s.is_any(at, &["SQLSTATE", "VALUE", "NOT"]) {
            self.handler = Handler::Given;
        }
        true
    }

    fn open_frame(&mut self, frame: Frame, at: usize, next: Place) {
        if self.frames.is_empty() {
            self.opened = at;
        }
        self.frames.push(frame);
        self.place = next;
    }

    fn close(&mut self) {
        self.frames.pop();
        self.place = Place::Ended;
        if self.frames.is_empty() {
            self.state = State::Closed;
        }
    }
}

/// Whether an expression is complete before the token at `at`.
fn ends_value(s: Sentence<'_>, at: usize) -> bool {
    match s.kind(at - 1) {
        Some(Kind::Symbol(symbol)) => symbol == b')' || symbol == b'?',
        Some(_) => !s.is_any(at - 1, &EXPECTING),
        None => false,
    }
}

/// The position behind `CREATE [OR REPLACE] [DEFINER = user[@host]] [AGGREGATE]`.
fn behind_definer(s: Sentence<'_>) -> usize {
    let mut at = s.skip(1, &["OR", "REPLACE"]);
    if s.is(at, "DEFINER") && s.symbol(at + 1, b'=') {
        at += 3;
        if s.symbol(at, b'(') {
            at += 2;
        }
        if s.symbol(at, b'@') {
            at = s.skip_name(at + 1);
        }
    }
    s.skip(at, &["AGGREGATE"])
}
