//! What must hold of every text, for the fuzz targets. `src/release/sql/tests/properties.rs` says the same in the normal tests.

// The same as in the normal tests, which hold it by properties.
#[path = "../../tests/it/webhook/anything.rs"]
pub mod anything;
#[path = "../../tests/it/webhook/prove.rs"]
pub mod prove;

use windlass::release::Dialect;
use windlass::release::sql::{classify, split};
use windlass::release::stepwise::{facts, mode};

/// Splits the text and checks that the parts joined are the whole.
///
/// # Panics
/// When they are not.
pub fn check(dialect: Dialect, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = classify(dialect, &text);
    let Ok(statements) = split(dialect, &text) else { return };
    let _ = mode(dialect, &statements);
    let mut rest = String::new();
    let mut at = 0;
    for statement in &statements {
        let end = statement.start + statement.text.len();
        assert!(at <= statement.start, "statements overlap");
        assert_eq!(text[statement.start..end], statement.text);
        assert_eq!(classify(dialect, &statement.text), statement.class);
        assert_eq!(split(dialect, &statement.text).map(|found| found.len()), Ok(1), "{:?}", statement.text);
        let _ = facts(dialect, statement);
        rest.push_str(&text[at..statement.start]);
        rest.push(' ');
        at = end;
    }
    rest.push_str(&text[at..]);
    assert_eq!(split(dialect, &rest), Ok(Vec::new()), "{rest:?} says something");
}
