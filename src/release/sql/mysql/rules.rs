//! Settings that change how a `MySQL` server reads the text behind them.

use crate::release::sql::lexer::Kind;
use crate::release::sql::sentence::Sentence;

/// Whether the name at `at` is that of a variable of the user's own: `@autocommit`, and not `@@autocommit`.
pub(super) fn is_own_variable(s: Sentence<'_>, at: usize) -> bool {
    at > 0 && s.symbol(at - 1, b'@') && !(at > 1 && s.symbol(at - 2, b'@'))
}

/// The modes by which a server reads text otherwise than it has been split; also those that include them.
const OTHER_MODES: [&str; 7] = ["ANSI", "NO_BACKSLASH_ESCAPES", "ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL"];

/// Character sets of a client in which every byte of a quote or a backslash is that, as in UTF-8. Not so in `gbk` or `sjis`.
const CHARACTER_SETS: [&str; 7] = ["UTF8", "UTF8MB3", "UTF8MB4", "BINARY", "LATIN1", "ASCII", "DEFAULT"];

/// The setting in this statement that would make the server read what follows by other rules. The body of a routine is not looked
/// into: the server takes back there what it sets.
pub(in crate::release::sql) fn other_rules(s: Sentence<'_>) -> Option<&'static str> {
    if !s.is_any(0, &["SET", "BEGIN", "IF", "CASE", "LOOP", "REPEAT", "WHILE", "FOR"]) {
        return None;
    }
    let value = |at: usize| {
        let sign = at + usize::from(s.symbol(at, b':'));
        if s.symbol(sign, b'=') { Some(sign + 1) } else { None }
    };
    for at in (1..s.len()).filter(|at| !is_own_variable(s, *at)) {
        if s.is(at, "SQL_MODE") && value(at + 1).is_some() {
            let number = value(at + 1).is_some_and(|at| s.kind(at) == Some(Kind::Number) && s.written(at) != "0");
            let named = (at..s.len()).any(|at| {
                let written = s.written(at).to_ascii_uppercase();
                OTHER_MODES.iter().any(|mode| written.contains(mode))
            });
            if number || named {
                return Some("sql_mode");
            }
        }
        let set = if s.is_any(at, &["CHARACTER_SET_CLIENT"]) {
            value(at + 1)
        } else {
            let word = at <= 2 && (s.is(at, "CHARSET") || s.reads(at - 1, &["CHARACTER", "SET"]));
            (word || (at == 1 && s.is(at, "NAMES"))).then_some(at + 1)
        };
        if set.is_some_and(|at| !s.symbol(at, b'@') && !is_safe_character_set(s.written(at))) {
            return Some("the client's character set");
        }
    }
    None
}

fn is_safe_character_set(written: &str) -> bool {
    let name = written.trim_matches(['\'', '"', '`']).to_ascii_uppercase();
    CHARACTER_SETS.contains(&name.as_str())
}
