//! What differs from run to run is replaced by what it is.

use super::super::support::project::USER;

/// The text, with ids, digests, moments, durations and the folder replaced.
pub fn redact(text: &str, folder: &str) -> String {
    let text = text.replace(folder, "[dir]");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        let (put, skip) = replacement(word, after);
        out.push_str(put);
        rest = &after[skip..];
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.:@".contains(c)
}

/// What stands for a word, and how many bytes after it belong to it.
fn replacement<'a>(word: &'a str, after: &str) -> (&'a str, usize) {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let bare = word.trim_end_matches(['.', ':']);
    let unit = [" ms", " s"].into_iter().find(|unit| {
        after.strip_prefix(unit).is_some_and(|then| !then.starts_with(|c: char| c.is_ascii_alphanumeric()))
    });
    if bare.len() == 36 && bare.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && is_hex(&bare.replace('-', "")) {
        (keep_end("[id]", "[id].", "[id]:", word, bare), 0)
    } else if bare.strip_prefix("ed25519:").is_some_and(|key| key.len() == 64 && is_hex(key)) {
        (keep_end("[key]", "[key].", "[key]:", word, bare), 0)
    } else if [12, 64].contains(&bare.len()) && is_hex(bare) {
        (keep_end("[digest]", "[digest].", "[digest]:", word, bare), 0)
    } else if word.len() > 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T' && word.starts_with("20") {
        ("[time]", 0)
    } else if word.starts_with(USER) && word[USER.len()..].starts_with('@') {
        (if word.ends_with(':') { "[who]:" } else { "[who]" }, 0)
    } else if let Some(unit) = unit.filter(|_| word.parse::<f64>().is_ok()) {
        ("[span]", unit.len())
    } else {
        (word, 0)
    }
}

/// A word may end a sentence or stand before a colon.
fn keep_end(alone: &'static str, stop: &'static str, colon: &'static str, word: &str, bare: &str) -> &'static str {
    match &word[bare.len()..] {
        "." => stop,
        ":" => colon,
        _ => alone,
    }
}

#[test]
fn only_what_differs_from_run_to_run_is_replaced() {
    let text = "deploy 01994dd1-0000-7000-8000-0123456789ab: release 0001_a (0123456789ab) at 2026-11-20T14:09:46.123Z \
                by tester@host.example: in 12 ms, 3 tenants, after 0.1 s, [/tmp/x/a.db]";
    let redacted =
        "deploy [id]: release 0001_a ([digest]) at [time] by [who]: in [span], 3 tenants, after [span], [[dir]/a.db]";
    assert_eq!(redact(text, "/tmp/x"), redacted);
}
