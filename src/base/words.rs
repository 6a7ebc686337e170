//! Words for people.

use std::borrow::Cow;

/// `1 tenant`, `2 tenants`.
pub(crate) fn count(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A length of time, for people.
pub(crate) fn span(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else if seconds < 3_600 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60)
    }
}

/// Text as a terminal or a page may have it. What servers and files say is not ours: a control character in it could write over what
/// stands on the screen, or turn round what is read there, and is shown as the sign for what cannot be shown.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let unfit = |c: char| (c.is_control() && c != '\n' && c != '\t') || turns_text_round(c);
    if !text.contains(unfit) {
        return Cow::Borrowed(text);
    }
    // The ends of lines that were written elsewhere are ends of lines.
    Cow::Owned(text.replace("\r\n", "\n").replace(unfit, "\u{fffd}"))
}

/// The same on one line: for what is one entry of a list, and must not look like two.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).replace('\n', " ")
}

/// The signs by which text is made to be read from right to left, whatever it holds.
pub(crate) const fn turns_text_round(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
