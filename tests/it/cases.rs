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
//! `mv`, `ln` (a hard link) and `ls`; `set NAME COMMAND` keeps what a command prints for `$NAME` in later ones, `$DIR` is the folder.
//! Ids, digests, public keys, moments, durations, the folder and the user are replaced by `[id]`, `[digest]`, `[key]`,
//! `[time]`, `[span]`, `[dir]` and `[who]`. The text runs from the top; the commands share nothing but the folder.
//!
//! `WINDLASS_BLESS=1 cargo test --all-features --test it cases` writes what is into the files as what is expected: read the
//! difference before you commit it.

mod archive;
pub mod redact;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use archive::{Answer, Archive, Step, folder};
use redact::redact;

use crate::support::project::{Project, Ran};

/// Makes a test of every case, so that each can be run alone and all run side by side. Those that kill the program need it to be
/// built for that.
macro_rules! cases {
    ($($case:ident)* ; killed: $($killed:ident)*) => {
        const LISTED: &[&str] = &[$(stringify!($case),)* $(stringify!($killed),)*];
        $(
            #[tokio::test]
            async fn $case() {
                check(stringify!($case)).await;
            }
        )*
        $(
            #[cfg(feature = "crash-points")]
            #[tokio::test]
            async fn $killed() {
                check(stringify!($killed)).await;
            }
        )*
    };
}

cases! {
    a_check_that_fails
    a_check_that_holds
    a_failing_tenant_lowers_everyone
    a_failure_at_once_leaves_the_others_untouched
    a_repaired_tenant_is_deployed
    a_tenant_that_does_not_answer
    a_tenant_that_is_not_there
    audit
    audit_export
    audit_signed
    bad_configuration_value
    bad_file_name
    bad_tenant_url
    changed_migration
    deploy
    deploy_again_connects_to_nobody
    deploy_of_another_fleet
    disown_without_need
    doctor
    doctor_finds
    doctor_on_a_broken_source
    duplicate_tenant
    duplicate_version
    empty_folder
    halfway_refused
    init
    irreversible_and_then_a_failure
    json
    json_of_a_failure
    log_in_a_missing_folder
    log_of_a_newer_windlass
    lost_ledger
    lost_log_after_an_unwind
    lost_log_after_the_end
    missing_folder
    missing_undo
    no_ledger_where_nothing_was_done
    no_place
    no_project
    no_tenants
    not_a_log
    older_release
    only_an_unknown_tenant
    only_some_tenants
    orphan_undo
    out_of_order
    pause_a_finished_deploy
    pause_and_retry
    plan_groups
    plan_in_several_groups
    plan_undo_quality
    postgres_log
    release_show
    resume_after_the_end
    resume_without_need
    retry_that_fails_again
    retry_with_nothing_stuck
    rollback
    rollback_of_a_rollback
    rollback_of_an_irreversible_migration
    rollback_that_fails
    rollback_under_later_migrations
    same_file_by_a_link
    same_path_twice
    select_badly
    select_by_label
    select_nobody
    status
    stepwise
    stuck_and_resolved_as_applied
    stuck_and_resolved_as_undone
    stuck_and_retried
    stuck_halfway_and_resolved_as_applied
    stuck_when_the_undo_fails
    stuck_without_its_secret
    transaction_control
    unknown_configuration_key
    unknown_directive
    unset_variable
    unsplittable
    unwind_a_finished_deploy
    usage
    watch_a_finished_deploy
    waves
    workflow_cycle
    workflow_list_show_graph
    workflow_not_carried_out
    workflow_unknown_key
    workflow_unknown_kind
    workflow_unknown_need
    workflow_unreachable_step
    ;
    killed:
    fleet_busy
    lost_log
    pause_after_a_kill
    pause_and_unwind
    resume_after_a_kill
    resume_without_its_secret
    rollback_of_an_unfinished_deploy
    unwind_after_a_kill
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
    let mut names = BTreeMap::from([("DIR".to_owned(), project.path().display().to_string())]);
    for step in &archive.steps {
        let answer = run(&project, step, &mut names).await;
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

async fn run(project: &Project, step: &Step, names: &mut BTreeMap<String, String>) -> Answer {
    let mut command = step.command.clone();
    for (name, value) in &*names {
        command = command.replace(&format!("${name}"), value);
    }
    let name = command
        .strip_prefix("set ")
        .and_then(|rest| rest.split_once(' '))
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()));
    if let Some((_, rest)) = &name {
        command.clone_from(rest);
    }
    let (command, filter) = match command.split_once(" | ") {
        Some((command, filter)) if !command.starts_with("sql ") => (command, Some(filter)),
        _ => (command.as_str(), None),
    };
    let mut words = words(command);
    let variables: Vec<String> = words.extract_if(.., |word| is_assignment(word)).collect();
    let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran = match arguments.as_slice() {
        ["windlass", arguments @ ..] => {
            let variables = variables.iter().filter_map(|variable| variable.split_once('='));
            let ran = Ran::of(project.command().envs(variables).args(arguments).output().unwrap());
            // How much a killed program had said by then is chance.
            if ran.code.is_none() { Ran { stdout: String::new(), ..ran } } else { ran }
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
    if let Some((name, _)) = name {
        names.insert(name, ran.stdout.trim().to_owned());
    }
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
    let names: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
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
