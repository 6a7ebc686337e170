//! Text as a page may hold it.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::{Timestamp, plain};

/// How every text comes into a page: nothing in it is markup, and control characters and those that turn text round are shown as the sign
/// for what cannot be shown. Named in `askama.toml`, so no template can do without.
#[derive(Debug, Clone, Copy, Default)]
pub struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, dest: W, string: &str) -> fmt::Result {
        Html.write_escaped_str(dest, &plain(string))
    }
}

/// What stands in a part of a path as it is.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A name as one part of a path, or as a value in a query.
pub(super) fn in_url(name: &str) -> String {
    utf8_percent_encode(name, &PATH).to_string()
}

/// A moment to the second, for people; all pages say that times are in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    // 2026-11-21T19:03:04.123Z
    text.get(..19).map_or(text.clone(), |text| text.replace('T', " "))
}

/// A number with its thousands apart.
pub(super) fn number(value: impl Into<u64>) -> String {
    let digits = value.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            // Narrow, and no place to break a line at.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// With a capital letter at its beginning.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup_and_nothing_turns_it_round() {
        let mut page = String::new();
        Visible.write_escaped_str(&mut page, "<b>\u{202e}x\u{1b}[2K</b> & \"y\" 'z'").unwrap();
        assert_eq!(page, "&#60;b&#62;\u{fffd}x\u{fffd}[2K&#60;/b&#62; &#38; &#34;y&#34; &#39;z&#39;");
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(in_url("a/b?c#d é%"), "a%2Fb%3Fc%23d%20%C3%A9%25");
    }

    #[test]
    fn numbers_and_moments_are_for_people() {
        assert_eq!(
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"],
            [0_u64, 999, 1_000, 1_234_567].map(number)[..]
        );
        assert_eq!(moment(Timestamp(1_000)), "1970-01-01 00:00:01");
        assert_eq!(sentence("is under way"), "Is under way");
    }
}
