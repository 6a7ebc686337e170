//! The command line's behaviour, as plain text: `tests/cases/*.txt`, one behaviour each.
//!
//! A case begins with a comment that says what it shows. `-- PATH --` begins a file; what ends in `.db.sql` is run to make the SQLite
//! file without the `.sql`. `-- use NAME --` brings in the files of `tests/cases/use/NAME.txt`, which later ones of the same path
//! replace. `-- script --` begins the commands:
//!
//! ```text
//! # A comment belongs to the command below it.
//! $ NAME=value windlass deploy --only acme
//! what it prints on standard output,
//! ! then what it prints on standard error,
//! ? 3
//! ```
//!
//! The line `? N` is the exit code, left out where it is 0; `? killed` where a signal ended it. `| grep TEXT` keeps the lines that hold
//! the text, `| get /POINTER …` the named values of a JSON answer. Built in are `sql FILE STATEMENTS`, `write FILE <<EOF`, `rm`, `cp`,
//! `mv`, `ln` (a hard link) and `ls`. Ids, digests, moments, durations, the folder and the user are replaced by `[id]`, `[digest]`,
//! `[time]`, `[span]`, `[dir]` and `[who]`. The text runs from the top; the commands share nothing but the folder.
//!
//! `WINDLASS_BLESS=1 cargo test --all-features --test it cases` writes what is into the files as what is expected: read the
//! difference before you commit it.

mod archive;
mod redact;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use archive::{Answer, Archive, Step, folder};
use redact::redact;

use crate::support::project::{Project, Ran};

/// Makes a test of every case, so that each can be run alone and all run side by side.
macro_rules! cases {
    ($($case:ident)*) => {
        const LISTED: &[&str] = &[$(stringify!($case)),*];
        $(
            #[tokio::test]
            async fn $case() {
                check(stringify!($case)).await;
            }
        )*
    };
}

cases! {
    init
}

#[test]
fn every_file_is_listed() {
    let names = std::fs::read_dir(folder()).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".txt").map(str::to_owned)
    });
    let listed: BTreeSet<String> = LISTED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), listed);
}

async fn check(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let archive = Archive::read(&path);
    let project = Project::new();
    for (file, content) in &archive.files {
        match file.strip_suffix(".sql").filter(|database| is_database(database)) {
            Some(database) => drop(project.sql(database, content).await.unwrap()),
            None => project.write(file, content),
        }
    }
    let mut answers = Vec::new();
    let mut report = String::new();
    for step in &archive.steps {
        let answer = run(&project, step).await;
        if answer != step.answer {
            let _ = write!(report, "\ntests/cases/{name}.txt:{}: $ {}\n", step.line, step.command);
            report.push_str(&difference(&step.answer, &answer));
        }
        answers.push(answer);
    }
    if std::env::var_os("WINDLASS_BLESS").is_some() {
        std::fs::write(&path, archive.with(&answers)).unwrap();
        return;
    }
    assert!(report.is_empty(), "{report}\nWINDLASS_BLESS=1 writes what is into the file");
}

fn is_database(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "db")
}

/// The lines that were expected and are not, and the other way round.
fn difference(expected: &Answer, found: &Answer) -> String {
    let lines = |answer: &Answer| {
        let exit = format!("? {}", answer.exit);
        answer.text.lines().map(str::to_owned).chain([exit]).collect::<Vec<_>>()
    };
    let (expected, found) = (lines(expected), lines(found));
    let same = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let ends = expected[same..].iter().rev().zip(found[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    for line in &expected[same..expected.len() - ends] {
        let _ = writeln!(text, "  - {line}");
    }
    for line in &found[same..found.len() - ends] {
        let _ = writeln!(text, "  + {line}");
    }
    text
}

async fn run(project: &Project, step: &Step) -> Answer {
    let (command, filter) = match step.command.split_once(" | ") {
        Some((command, filter)) if !command.starts_with("sql ") => (command, Some(filter)),
        _ => (step.command.as_str(), None),
    };
    let mut words = words(command);
    let variables: Vec<String> = words.extract_if(.., |word| is_assignment(word)).collect();
    let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran = match arguments.as_slice() {
        ["windlass", arguments @ ..] => {
            let variables = variables.iter().filter_map(|variable| variable.split_once('='));
            Ran::of(project.command().envs(variables).args(arguments).output().unwrap())
        }
        ["sql", file, ..] => {
            let statements = command.splitn(3, ' ').nth(2).unwrap_or_default();
            said(project.sql(file, statements).await.map(|rows| rows.join("\n")).map_err(|error| error.to_string()))
        }
        ["write", file, "<<EOF"] => {
            project.write(file, step.input.as_deref().unwrap_or_default());
            said(Ok(String::new()))
        }
        ["ls", folder] => said(Ok(listing(project, folder))),
        ["rm", file] => done(std::fs::remove_file(project.at(file))),
        ["mv", from, to] => done(std::fs::rename(project.at(from), project.at(to))),
        ["cp", from, to] => done(std::fs::copy(project.at(from), project.at(to)).map(drop)),
        ["ln", from, to] => done(std::fs::hard_link(project.at(from), project.at(to))),
        _ => panic!("line {}: what is {:?}?", step.line, step.command),
    };
    let exit = ran.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
    let mut text = match filter.map(|filter| filter.split_once(' ').unwrap_or((filter, ""))) {
        None => ran.stdout,
        Some(("grep", wanted)) => ran.stdout.lines().filter(|line| line.contains(wanted)).fold(String::new(), add_line),
        Some(("get", pointers)) => selected(&ran.stdout, pointers),
        Some(_) => panic!("line {}: what is {:?}?", step.line, step.command),
    };
    for line in ran.stderr.lines() {
        let _ = writeln!(text, "! {line}");
    }
    let text = redact(&text, &project.path().display().to_string());
    Answer { text, exit }
}

fn add_line(text: String, line: &str) -> String {
    text + line + "\n"
}

/// What a built-in command says.
fn said(answer: Result<String, String>) -> Ran {
    let end = |text: String| if text.is_empty() { text } else { text + "\n" };
    match answer {
        Ok(text) => Ran { code: Some(0), stdout: end(text), stderr: String::new() },
        Err(error) => Ran { code: Some(1), stdout: String::new(), stderr: end(error) },
    }
}

fn done(outcome: std::io::Result<()>) -> Ran {
    said(outcome.map(|()| String::new()).map_err(|error| error.to_string()))
}

fn listing(project: &Project, folder: &str) -> String {
    let entries = std::fs::read_dir(project.at(folder)).unwrap();
    let names: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.into_iter().collect::<Vec<_>>().join("\n")
}

/// The values of a JSON answer that are named by their pointers.
fn selected(answer: &str, pointers: &str) -> String {
    let json: serde_json::Value = match serde_json::from_str(answer) {
        Ok(json) => json,
        Err(error) => return format!("not JSON: {error}\n{answer}"),
    };
    let line = |pointer: &str| {
        let value = json.pointer(pointer).map_or_else(|| "absent".to_owned(), ToString::to_string);
        format!("{pointer} {value}\n")
    };
    pointers.split_whitespace().map(line).collect()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
    })
}

/// Splits at spaces, but inside quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
