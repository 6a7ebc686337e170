//! The examples' own words: every `sh` block of their READMEs is run, in order, and must end and answer as the README shows.
//!
//! A block ends well unless the `text` block after it closes with `(exit code N)`. The lines of the `text` block must come in that
//! order; where it says `…`, others may stand between. What differs from run to run is replaced on both sides.

use std::path::Path;
use std::process::Command;

use crate::cases::redact::redact;
use crate::support::postgres;
use crate::support::project::{Project, Ran};

/// Stands for lines that are left out.
const OMITTED: &str = "…";

/// A block of commands, and what it is said to answer.
struct Block {
    /// The line it begins in, from 1.
    line: usize,
    commands: String,
    answer: Option<Vec<String>>,
    exit: i32,
}

/// The `sh` blocks of a README, each with the `text` block that follows it.
fn blocks(readme: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = readme.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let inside: Vec<String> =
            lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").map(str::to_owned).collect();
        match kind {
            "sh" => blocks.push(Block { line: number, commands: inside.join("\n"), answer: None, exit: 0 }),
            "text" => {
                let block = blocks.last_mut().unwrap();
                assert!(block.answer.is_none(), "line {number}: two answers to one block");
                let mut answer = inside;
                let exit =
                    answer.last().and_then(|line| line.strip_prefix("(exit code ")?.strip_suffix(')')?.parse().ok());
                if let Some(exit) = exit {
                    block.exit = exit;
                    answer.pop();
                }
                block.answer = Some(answer);
            }
            other => panic!("line {number}: nobody runs a block of {other:?}"),
        }
    }
    blocks
}

/// Whether what was printed is what is shown.
fn shows(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == OMITTED => (0..=printed.len()).any(|skipped| shows(rest, &printed[skipped..])),
        Some((line, rest)) => printed.split_first().is_some_and(|(first, others)| first == line && shows(rest, others)),
    }
}

/// Runs the README of an example in a copy of its folder; `programs` are the further ones that it needs.
fn run(example: &str, programs: Option<&Path>, variables: &[(&str, String)]) {
    let project = Project::copy_of(&format!("examples/{example}"));
    let folder = project.path().to_str().unwrap();
    let readme = std::fs::read_to_string(project.at("README.md")).unwrap();
    let blocks = blocks(&readme);
    assert!(blocks.iter().any(|block| block.commands.contains("windlass deploy")), "{example} deploys nothing");
    // A shell keeps its variables from one block to the next, as the reader's does.
    let mut exports = programs.map(|folder| format!("PATH=\"$PATH:{}\"\n", folder.display())).unwrap_or_default();
    for Block { line, commands, answer, exit } in blocks {
        let script = format!("exec 2>&1\n{exports}\n{commands}");
        let mut shell: Command = project.command_of("sh");
        let ran = Ran::of(shell.args(["-eu", "-c", &script]).envs(variables.iter().cloned()).output().unwrap());
        let place = format!("examples/{example}/README.md:{line}");
        assert_eq!(ran.code, Some(exit), "{place}:\n{commands}\n\n{}", ran.stdout);
        if let Some(answer) = answer {
            let lines =
                |text: &str| redact(text, folder).lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
            let (shown, printed) = (lines(&answer.join("\n")), lines(&ran.stdout));
            assert!(
                shows(&shown, &printed),
                "{place}: shown is\n{}\n\nprinted is\n{}",
                shown.join("\n"),
                printed.join("\n")
            );
        }
        let exported = commands.lines().filter(|line| line.starts_with("export "));
        exports.extend(exported.map(|line| format!("{line}\n")));
    }
}

#[test]
fn the_quickstart_goes_as_its_readme_says() {
    run("quickstart", None, &[]);
}

#[tokio::test]
async fn the_catalog_example_goes_as_its_readme_says() {
    let server = postgres::shared().await;
    let variables = [
        ("PGHOST", "127.0.0.1".to_owned()),
        ("PGPORT", server.port().to_string()),
        ("PGUSER", "postgres".to_owned()),
        ("PGPASSWORD", postgres::SUPERUSER_PASSWORD.to_owned()),
    ];
    run("postgres-catalog", Some(&postgres::binaries()), &variables);
}

#[test]
fn an_answer_is_compared_line_by_line() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = lines("a\nb\nc");
    for shown in ["a\nb\nc", "…", "a\n…", "…\nc", "a\n…\nc", "…\nb\n…", "a\n…\nb\nc"] {
        assert!(shows(&lines(shown), &printed), "{shown}");
    }
    for shown in ["", "a\nb", "b\nc", "a\nc", "…\nb", "…\nc\n…\nb\n…", "a\nb\nc\nd"] {
        assert!(!shows(&lines(shown), &printed), "{shown}");
    }
}

#[test]
fn the_readme_leads_to_the_examples() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for example in ["quickstart", "postgres-catalog", "ci"] {
        assert!(readme.contains(&format!("(examples/{example})")), "the README does not link to examples/{example}");
    }
}
