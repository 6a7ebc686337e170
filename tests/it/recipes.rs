//! The recipes for pipelines: what they run is a command, what they are written in is read by its own program, and the one that needs
//! no server is run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::{AN_ID, Lacks, files, refusal};
use crate::support::project::{Project, Ran};

fn recipes() -> Vec<(String, PathBuf)> {
    let patterns = ["examples/ci/*/*.yml", "examples/ci/*/*.rake", "examples/ci/*/*.sh"];
    let found: Vec<_> = patterns.into_iter().flat_map(files).collect();
    assert_eq!(found.len(), 6, "{found:?}");
    found
}

/// The commands in a line, up to where the shell's or Ruby's sentence ends. A comment has none.
fn commands(line: &str) -> Vec<String> {
    if line.trim_start().starts_with('#') {
        return Vec::new();
    }
    let starts = line.match_indices("windlass ").map(|(at, _)| at);
    let starts = starts.filter(|at| line[..*at].is_empty() || line[..*at].ends_with([' ', '(', '[', '"', '\'']));
    starts.map(|at| command(&line[at..], line[..at].matches('"').count() % 2 == 1)).collect()
}

/// `text` up to the end of the command, with its variables filled in. `quoted`: it stands in double quotes that end with it.
fn command(text: &str, quoted: bool) -> String {
    let mut end = text.len();
    let mut inside = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if quoted => end = end.min(at),
            '"' => inside = !inside,
            '|' | ')' | ';' | ']' | '\'' | '>' if !inside => end = end.min(at),
            _ => {}
        }
    }
    let mut words: Vec<String> = Vec::new();
    for word in text[..end].split_whitespace() {
        let filled = match words.last().map(String::as_str) {
            _ if !word.contains(['$', '{']) => word,
            Some("--server") => "https://windlass.example.org",
            Some("--revision") => "v1",
            Some("--release") => "DIGEST",
            _ => "AN_ID",
        };
        words.push(filled.to_owned());
    }
    words.join(" ")
}

#[test]
fn every_command_in_a_recipe_is_one() {
    let (mut all, mut refused) = (0, BTreeSet::new());
    for (_, path) in recipes() {
        for command in fs::read_to_string(path).unwrap().lines().flat_map(commands) {
            all += 1;
            let filled = command.replace("AN_ID", AN_ID).replace("DIGEST", &"a".repeat(64));
            if refusal(&filled, Lacks::Nothing).is_some() {
                refused.insert(command);
            }
        }
    }
    // Three push and deploy, two roll back, Capistrano deploys, and the script deploys, resumes, and speaks of two more.
    assert_eq!(all, 13);
    assert_eq!(refused, BTreeSet::new());
}

/// Whether this program is there and runs so.
fn has(program: &str, arguments: &[&str]) -> bool {
    let there = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("not looked at: there is no {program} here that takes {arguments:?}");
    }
    there
}

fn passes(program: &str, arguments: &[&str], file: &Path) {
    let output = Command::new(program).args(arguments).arg(file).output().unwrap();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_recipes_are_read_by_the_programs_that_they_are_for() {
    // The scripts of a pipeline's file as well, wherever they stand in it.
    const YAML: &str = r#"
import subprocess, sys, yaml
def scripts(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("run", "bash") and isinstance(value, str): yield value
            if key in ("script", "before_script"): yield "\n".join(value)
            yield from scripts(value)
    elif isinstance(node, list):
        for value in node: yield from scripts(value)
found = list(scripts(yaml.safe_load(open(sys.argv[1]))))
assert found, "no script"
for script in found: subprocess.run(["bash", "-n"], input=script.encode(), check=True)
"#;
    let (yaml, ruby) = (has("python3", &["-c", "import yaml"]), has("ruby", &["--version"]));
    for (name, path) in recipes() {
        match path.extension().unwrap().to_str().unwrap() {
            "sh" => passes("bash", &["-n"], &path),
            "yml" if yaml => passes("python3", &["-c", YAML], &path),
            "rake" if ruby => passes("ruby", &["-c"], &path),
            _ => {}
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains('\t'), "{name} is indented with a tab");
        assert!(["5)", "5 =>", "human"].iter().any(|words| text.contains(words)), "{name} does not say what 5 is");
    }
}

#[test]
fn a_deploy_whose_log_goes_with_the_runner_says_so() {
    let machine = Machine::new();
    let project = &machine.0;
    std::os::unix::fs::symlink(project.at("db/migrations"), project.at("home/current")).unwrap();
    let deploy = |variable: &str| {
        let mut command = project.command();
        Ran::of(command.args(["--config", "home/windlass.toml", "deploy"]).env(variable, "true").output().unwrap())
    };
    let ran = deploy("NO_CI").ends_with(0);
    assert!(!ran.stdout.contains("warning: the log"), "{ran:?}");
    let ran = deploy("CI");
    assert!(ran.code == Some(0) && ran.stdout.contains("lies on the disk of a CI runner"), "{ran:?}");
}

/// The machine that stays, and a checkout; `ssh` runs its command right here, in the shell that the machine would have.
struct Machine(Project);

impl Machine {
    fn new() -> Self {
        let machine = Self(Project::copy_of("examples/ci/ssh"));
        let project = &machine.0;
        project.write(
            "home/windlass.toml",
            "[release]\ndir = \"current\"\n[fleet]\nsource = { glob = \"tenants/*.db\" }\n",
        );
        project.write("home/tenants/acme.db", "");
        project.write("db/migrations/0001_orders.sql", "CREATE TABLE orders (id INTEGER);\n");
        project.write("db/migrations/0001_orders.down.sql", "DROP TABLE orders;\n");
        // A file `lost-<n>` breaks the connection of the n-th call: before its command, or after it.
        let ssh = "#!/bin/sh\nwhile [ \"$1\" = -o ]; do shift 2; done\nshift\necho call >>calls\n\
                   lost=lost-$(wc -l <calls | tr -d ' ')\n[ \"$(cat $lost 2>/dev/null)\" != before ] || exit 255\n\
                   sh -c \"$*\"; status=$?\n[ \"$(cat $lost 2>/dev/null)\" != after ] || exit 255\nexit $status\n";
        project.write("bin/ssh", ssh);
        fs::set_permissions(project.at("bin/ssh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        machine
    }

    fn deploy(&self, revision: &str) -> Ran {
        let project = &self.0;
        let _ = fs::remove_file(project.at("calls"));
        let script = format!("PATH=$PWD/bin:$PATH exec bash ./deploy.sh {revision}");
        let mut shell = project.command_of("bash");
        shell.args(["-c", &script]).env("WINDLASS_HOST", "deploy@ops.example.org").env("WINDLASS_PAUSE", "0");
        Ran::of(shell.env("WINDLASS_HOME", project.at("home")).output().unwrap())
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.0.at("calls")).unwrap().lines().count()
    }
}

#[test]
fn over_ssh_a_release_is_deployed_once_and_a_revision_stays_what_it_is() {
    let machine = Machine::new();
    let ran = machine.deploy("v1");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("acme completed") && ran.stdout.ends_with("every tenant is on v1\n"), "{ran:?}");
    let ran = machine.deploy("v1");
    assert!(ran.code == Some(0) && ran.stdout.contains("nothing to do"), "{ran:?}");
    machine.0.write("db/migrations/0002_more.up.sql", "CREATE TABLE more (id INTEGER);");
    machine.0.write("db/migrations/0002_more.down.sql", "DROP TABLE more;");
    let ran = machine.deploy("v1");
    assert!(ran.code == Some(1) && ran.stderr.contains("sent before, with other files"), "{ran:?}");
    assert_eq!(machine.deploy("v2").code, Some(0));
    for revision in ["../v3", "v3/x", "-v3", "'v3;id'", ".."] {
        assert_eq!(machine.deploy(revision).code, Some(2), "{revision}");
    }
}

#[test]
fn over_ssh_a_failing_migration_ends_with_its_own_code() {
    let machine = Machine::new();
    machine.0.write("db/migrations/0001_orders.sql", "INSERT INTO nowhere VALUES (1);\n");
    let ran = machine.deploy("v1");
    assert!(ran.code == Some(3) && ran.stderr.contains("every tenant is as it was"), "{ran:?}");
    assert_eq!(machine.calls(), 2, "a deploy that has ended is not tried again");
}

#[test]
fn over_ssh_a_lost_connection_is_made_again_and_what_it_left_is_taken_up() {
    // Sending, deploying; then from the start with a look at what was left.
    for (call, when) in [(1, "before"), (1, "after"), (2, "before"), (2, "after")] {
        let machine = Machine::new();
        machine.0.write(&format!("lost-{call}"), when);
        let ran = machine.deploy("v1");
        assert_eq!(ran.code, Some(0), "{call} {when}: {ran:?}");
        assert!(ran.stderr.contains("the connection was lost; again (2 of 5)"), "{ran:?}");
        assert_eq!(machine.calls(), call + 3, "{ran:?}");
    }
    let machine = Machine::new();
    (1..=5).for_each(|call| machine.0.write(&format!("lost-{call}"), "before"));
    let ran = machine.deploy("v1");
    assert!(ran.code == Some(255) && ran.stderr.contains("can be taken up"), "{ran:?}");
}
