//! The text form of a case: what is given, what is run, what it answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A case, as written.
pub struct Archive {
    /// The text up to the script, kept byte for byte.
    head: String,
    /// Files to be made: path and content.
    pub files: BTreeMap<String, String>,
    /// What is run.
    pub steps: Vec<Step>,
}

/// One command with its expected answer.
pub struct Step {
    /// The comment lines above it.
    comment: String,
    /// The line it stands in, from 1.
    pub line: usize,
    /// The command, without its `$ `.
    pub command: String,
    /// The lines up to `EOF`, where the command ends in `<<EOF`.
    pub input: Option<String>,
    /// What it answers.
    pub answer: Answer,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its output, redacted; lines of standard error begin with `! `.
    pub text: String,
    /// Its exit code; `killed` where it has none.
    pub exit: String,
}

/// The folder of the cases.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

impl Archive {
    /// Reads a case, and the archives that it uses.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.starts_with("# "), "{}: a case begins by saying what it shows", path.display());
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut under_way = None;
        let mut head = String::new();
        let mut lines = text.split_inclusive('\n').zip(1..);
        let mut steps = Vec::new();
        while let Some((line, _)) = lines.next() {
            head.push_str(line);
            match line.trim_end().strip_prefix("-- ").and_then(|line| line.strip_suffix(" --")) {
                None => {
                    if let Some(content) = under_way.as_ref().and_then(|file| files.get_mut(file)) {
                        content.push_str(line);
                    }
                }
                Some("script") => {
                    steps = script(path, &mut lines);
                    break;
                }
                Some(section) => {
                    if let Some(name) = section.strip_prefix("use ") {
                        files.extend(Self::read(&folder().join(format!("use/{name}.txt"))).files);
                    } else {
                        files.insert(section.to_owned(), String::new());
                        under_way = Some(section.to_owned());
                    }
                }
            }
        }
        // The empty line before the next section is there for the reader.
        for content in files.values_mut() {
            content.truncate(content.trim_end_matches('\n').len());
            content.push('\n');
        }
        Self { head, files, steps }
    }

    /// The text again, with these answers.
    pub fn with(&self, answers: &[Answer]) -> String {
        let mut text = self.head.clone();
        for (step, Answer { text: output, exit }) in self.steps.iter().zip(answers) {
            let _ = writeln!(text, "{}$ {}", step.comment, step.command);
            if let Some(input) = &step.input {
                let _ = writeln!(text, "{input}EOF");
            }
            text.push_str(output);
            if exit != "0" {
                let _ = writeln!(text, "? {exit}");
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

fn script<'a>(path: &Path, lines: &mut impl Iterator<Item = (&'a str, usize)>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut comment = String::new();
    while let Some((line, number)) = lines.next() {
        if line.starts_with("# ") {
            comment.push_str(line);
        } else if let Some(command) = line.strip_prefix("$ ") {
            let command = command.trim_end().to_owned();
            let input = command.ends_with("<<EOF").then(|| {
                let inside = lines.by_ref().map(|(line, _)| line);
                inside.take_while(|line| line.trim_end() != "EOF").collect::<String>()
            });
            let answer = Answer { text: String::new(), exit: "0".to_owned() };
            steps.push(Step { comment: std::mem::take(&mut comment), line: number, command, input, answer });
        } else if let Some(step) = steps.last_mut() {
            match line.strip_prefix("? ") {
                Some(exit) => exit.trim_end().clone_into(&mut step.answer.exit),
                None => step.answer.text.push_str(line),
            }
        } else {
            assert!(line.trim().is_empty(), "{}:{number}: output before the first command", path.display());
        }
    }
    for step in &mut steps {
        let text = step.answer.text.trim_end_matches('\n').len();
        step.answer.text.truncate(text);
        if text > 0 {
            step.answer.text.push('\n');
        }
    }
    steps
}
