//! Every command that is written down is one: in the documentation, and in what the program itself says to run next.
//!
//! Parsed by the real argument parser. `DEPLOY`, `TENANT`, `NAME` and what a program's text puts in braces stand for an id.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;
use windlass::cli::Cli;

/// What every placeholder stands for: a value that any argument takes.
pub(crate) const AN_ID: &str = "01994dd1-0000-7000-8000-0123456789ab";

/// A command, and where it is written down.
struct Written {
    place: String,
    command: String,
    lacks: Lacks,
}

/// Why the program would not take it, if so. `a|b` in a word stands for either.
pub(crate) fn refusal(command: &str, lacks: Lacks) -> Option<String> {
    let words = words(command);
    let sides = if words.iter().any(|word| word.contains('|')) { 2 } else { 1 };
    (0..sides).find_map(|side| {
        let chosen = words.iter().map(|word| word.split('|').nth(side).unwrap_or(word));
        let error = Cli::try_parse_from(chosen).err()?;
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
            ErrorKind::MissingRequiredArgument if lacks == Lacks::Arguments => None,
            kind => Some(format!("{kind:?}")),
        }
    })
}

/// Whether a command may stand there without all that it takes, because it is spoken of and not to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacks {
    Nothing,
    Arguments,
}

/// As a shell would split them, up to a comment.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(end), _) if c == end => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if words.last().unwrap().is_empty() => break,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    let is_placeholder = |word: &str| {
        ["DEPLOY", "TENANT", "NAME"].iter().any(|name| word.ends_with(name))
            || (word.starts_with('<') && word.ends_with('>'))
    };
    words.retain(|word| !word.is_empty());
    words.into_iter().map(|word| if is_placeholder(&word) { AN_ID.to_owned() } else { word }).collect()
}

pub(crate) fn files(pattern: &str) -> impl Iterator<Item = (String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = glob::glob(root.join(pattern).to_str().unwrap()).unwrap();
    found.map(move |path| {
        let path = path.unwrap();
        (path.strip_prefix(root).unwrap().display().to_string(), path)
    })
}

/// The commands of a page: lines of its blocks, and what stands in backticks.
fn of_page(name: &str, text: &str) -> Vec<Written> {
    let mut inside = false;
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut add = |command: &str, lacks| {
            found.push(Written { place: format!("{name}:{number}"), command: command.to_owned(), lacks });
        };
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            let line = line.trim_start().trim_start_matches("$ ");
            // A line of a Cargo.toml names the library.
            if line.starts_with("windlass ") && !line.starts_with("windlass = ") {
                add(line, Lacks::Nothing);
            }
        } else {
            // Every second piece stands between backticks.
            line.split('`')
                .skip(1)
                .step_by(2)
                .filter(|code| code.starts_with("windlass "))
                .for_each(|command| add(command, Lacks::Arguments));
        }
    }
    found
}

/// The commands in the texts of a source file: what follows `windlass ` up to where the sentence goes on.
fn of_source(name: &str, text: &str) -> Vec<Written> {
    let mut found = Vec::new();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//")) {
        let starts = line.match_indices("windlass ").map(|(at, _)| at);
        for at in starts.filter(|at| line[..*at].ends_with(['"', ' ', '`']) && line[..*at].contains('"')) {
            let rest = &line[at..];
            let end = rest.find(['"', '`', ',', ';', ')', '\\', '.', '(']).unwrap_or(rest.len());
            // Behind two spaces stands what it is for.
            let end = rest.find("  ").map_or(end, |columns| end.min(columns));
            // The domains of digests begin with the same word, and end with their version. A directive is a line of a migration.
            if rest[..end].ends_with(" 1") || rest.starts_with("windlass directive") {
                continue;
            }
            let mut command = String::new();
            for (piece, is_value) in rest[..end].split(['{', '}']).zip([false, true].into_iter().cycle()) {
                command.push_str(if is_value { AN_ID } else { piece });
            }
            let lacks = if line[..at].ends_with('`') { Lacks::Arguments } else { Lacks::Nothing };
            found.push(Written { place: format!("{name}:{number}"), command, lacks });
        }
    }
    found
}

fn refused(written: &[Written]) -> Vec<String> {
    let refused = written.iter().filter_map(|Written { place, command, lacks }| {
        refusal(command, *lacks).map(|why| format!("{place}: {command}: {why}"))
    });
    refused.collect()
}

#[test]
fn every_command_in_the_documentation_is_one() {
    let mut written = Vec::new();
    for pattern in ["*.md", "docs/**/*.md", "examples/*/README.md"] {
        for (name, path) in files(pattern) {
            written.extend(of_page(&name, &std::fs::read_to_string(path).unwrap()));
        }
    }
    assert!(written.len() > 150, "only {} commands were found", written.len());
    assert_eq!(refused(&written), Vec::<String>::new());
}

#[test]
fn every_command_that_the_program_speaks_of_is_one() {
    let mut written = Vec::new();
    for (name, path) in files("src/**/*.rs").filter(|(name, _)| !name.contains("/tests")) {
        written.extend(of_source(&name, &std::fs::read_to_string(path).unwrap()));
    }
    assert!(written.len() > 30, "only {} commands were found", written.len());
    assert_eq!(refused(&written), Vec::<String>::new());
}

/// The first column of the README's table of commands; `a\|b` stands for either.
#[test]
fn every_command_of_the_readmes_table_is_one() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows = readme.lines().skip_while(|line| !line.starts_with("| Command |")).skip(2);
    let mut written = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let column = row.replace("\\|", "\u{0}");
        let column = column.split('|').nth(1).unwrap();
        for code in column.split('`').skip(1).step_by(2) {
            let (before, last) = code.rsplit_once(' ').unwrap_or(("", code));
            let either = last.split('\u{0}').map(|word| format!("windlass {before} {word}"));
            written.extend(either.map(|command| Written { place: row.to_owned(), command, lacks: Lacks::Arguments }));
        }
    }
    assert!(written.len() > 12, "only {} commands were found", written.len());
    assert_eq!(refused(&written), Vec::<String>::new());
}

#[test]
fn what_is_no_command_is_found() {
    for command in [
        "windlass pause",
        "windlass deploy --force",
        "windlass audit import",
        "windlass rollback",
        "windlass status a b",
    ] {
        assert!(refusal(command, Lacks::Nothing).is_some(), "{command}");
    }
}
