//! Exports (promise P8): what is exported can be checked without the log, every way of changing an export that is written down here is
//! found, and what is not found without a signature is found with one.
//!
//! The deploys are those of the tampering table of the log: the first completed, the second was unwound, both with acme and bolt.

mod pages;
mod signatures;
mod tampering;

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use windlass::base::{DeployId, Digest, Seq, TenantId};
use windlass::saga::chain;
use windlass::saga::event::StreamId;

use crate::audit::{CONFIGURATION, deploy_twice, findings};
use crate::support::project::{Project, Ran};

/// Two deploys, a key, and their exports, signed by it.
struct Exports {
    project: Project,
    key: String,
    deploys: [String; 2],
    /// Of the first deploy, of the second, and of the whole log.
    files: [Vec<String>; 3],
}

static EXPORTS: OnceCell<Exports> = OnceCell::const_new();

async fn exports() -> &'static Exports {
    EXPORTS.get_or_init(Exports::make).await
}

/// The lines of an export.
fn lines(project: &Project, file: &str) -> Vec<String> {
    std::fs::read_to_string(project.at(file)).unwrap().lines().map(str::to_owned).collect()
}

fn seed(project: &Project, file: &str) -> String {
    let text = std::fs::read_to_string(project.at(file)).unwrap();
    text.lines().find_map(|line| line.strip_prefix("ed25519-secret:")).unwrap().to_owned()
}

fn keygen(project: &Project, file: &str) -> String {
    let made = project.windlass(&format!("audit keygen {file} --json")).ends_with(0);
    let answer: Value = serde_json::from_str(&made.stdout).unwrap();
    answer["public_key"].as_str().unwrap().to_owned()
}

impl Exports {
    async fn make() -> Self {
        let project = Project::new();
        deploy_twice(&project, CONFIGURATION).await;
        let ids = project.sql("windlass.db", "SELECT id FROM deploys ORDER BY key").await.unwrap();
        let deploys: [String; 2] = ids.try_into().unwrap();
        let key = keygen(&project, "key");
        let export = |what: &str, file: &str| {
            project.windlass(&format!("audit export {what} --sign-with key --output {file}")).ends_with(0);
            lines(&project, file)
        };
        let files = [export(&deploys[0], "first"), export(&deploys[1], "second"), export("--all", "all")];
        Self { project, key, deploys, files }
    }

    /// What `audit verify` says of these lines, in a folder where there is nothing else.
    fn verify(lines: &[String], more: &str) -> Ran {
        let elsewhere = Project::new();
        elsewhere.write("export", &(lines.join("\n") + "\n"));
        elsewhere.windlass(&format!("audit verify --export export --json {more}"))
    }

    fn verify_signed(&self, lines: &[String]) -> Ran {
        Self::verify(lines, &format!("--key {}", self.key))
    }
}

/// Where a tenant's stream begins; the deploy's own for none.
fn stream(lines: &[String], tenant: Option<&str>) -> usize {
    let wanted = json!(tenant);
    let is = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["line"] == "stream" && line["tenant"] == wanted
    };
    lines.iter().position(is).unwrap()
}

/// The line of an event.
fn event(lines: &[String], tenant: Option<&str>, seq: usize) -> usize {
    stream(lines, tenant) + seq
}

/// Changes a line as JSON.
fn change(lines: &mut [String], at: usize, how: impl FnOnce(&mut Value)) {
    let mut line: Value = serde_json::from_str(&lines[at]).unwrap();
    how(&mut line);
    lines[at] = line.to_string();
}

/// Changes an event's body as JSON.
fn change_body(lines: &mut [String], at: usize, how: impl FnOnce(&mut Value)) {
    change(lines, at, |line| {
        let mut body: Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
        how(&mut body);
        line["body"] = body.to_string().into();
    });
}

/// Writes the chain of a stream anew over its bodies as they are, and its line to match. Its length and its head.
fn chain_anew(lines: &mut [String], tenant: Option<&str>) -> (Seq, Digest) {
    let deploy: Value = serde_json::from_str(&lines[1]).unwrap();
    let deploy: DeployId = deploy["deploy"].as_str().unwrap().parse().unwrap();
    let id = StreamId { deploy, tenant: tenant.map(|tenant| TenantId::new(tenant).unwrap()) };
    let (at, mut head) = (stream(lines, tenant), chain::genesis(&id));
    let count = lines[at + 1..].iter().take_while(|line| line.contains("\"line\":\"event\"")).count();
    for at in at + 1..=at + count {
        change(lines, at, |line| {
            head = chain::link(&head, line["body"].as_str().unwrap().as_bytes());
            line["hash"] = head.to_string().into();
        });
    }
    change(lines, at, |line| (line["events"], line["head"]) = (count.into(), head.to_string().into()));
    (Seq(count as u64), head)
}

const ACME: Option<&str> = Some("acme");
const BOLT: Option<&str> = Some("bolt");

#[tokio::test]
async fn what_is_no_export_is_refused_by_name() {
    let exports = exports().await;
    let without_head = exports.files[0][1..].to_vec();
    let only_head = exports.files[0][..1].to_vec();
    for lines in [vec![], vec!["{}".to_owned()], without_head, only_head] {
        let ran = Exports::verify(&lines, "").ends_with(1);
        assert!(ran.stdout.contains("\"WL0711\""), "{}", ran.stdout);
    }
    let mut newer = exports.files[0].clone();
    // Which version it is decides before what that version may write.
    change(&mut newer, 0, |line| (line["format"], line["made_by"]) = (2.into(), "a later one".into()));
    assert!(Exports::verify(&newer, "").ends_with(1).stdout.contains("\"WL0502\""));
}

/// What a file holds is somebody else's text, and must not write over what is said of it.
#[tokio::test]
async fn nothing_in_an_export_reaches_the_terminal_as_a_command_to_it() {
    let exports = exports().await;
    let mut hostile = exports.files[0].clone();
    change(&mut hostile, 2, |line| line["\u{1b}[2K\rdeploy verified\u{9b}1A"] = 1.into());
    let at = event(&hostile, ACME, 4);
    change_body(&mut hostile, at, |body| body["event"]["step"] = "x\u{1b}[2K\r\nverified".into());
    let elsewhere = Project::new();
    elsewhere.write("export", &(hostile.join("\n") + "\n"));
    for json in ["", " --json"] {
        let ran = elsewhere.windlass(&format!("audit verify --export export{json}")).ends_with(1);
        let shown = ran.stdout + &ran.stderr;
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("verified")), "{shown:?}");
    }
}

#[tokio::test]
async fn an_export_of_some_deploys_is_not_one_of_the_whole_log() {
    let exports = exports().await;
    Exports::verify(&exports.files[2], "--whole-log").ends_with(0);
    // A deploy was left out, and the line that would have it missed was made to fit: no signature covers that line.
    let mut some = exports.files[1].clone();
    let ran = exports.verify_signed(&some).ends_with(0);
    assert!(ran.stdout.contains("\"scope\": \"some\""), "{}", ran.stdout);
    let ran = Exports::verify(&some, "--whole-log").ends_with(1);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["findings"][0]["code"], "WL0707");
    change(&mut some, 0, |line| line["scope"] = "whole_log".into());
    assert_eq!(findings(&Exports::verify(&some, "--whole-log").ends_with(1))[0].0, "WL0707");
}

#[tokio::test]
async fn an_export_is_verified_without_log_and_configuration_and_its_signature_with_the_public_key_alone() {
    let exports = exports().await;
    for lines in &exports.files {
        Exports::verify(lines, "").ends_with(0);
        let ran = exports.verify_signed(lines).ends_with(0);
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(
            (&answer["verified"], &answer["deploys"][0]["report"]["signed_by"][0]),
            (&json!(true), &json!(exports.key))
        );
    }
}

#[tokio::test]
async fn one_log_gives_the_same_export_twice_and_each_body_is_the_stored_one() {
    let Exports { project, deploys, .. } = exports().await;
    let export = || project.windlass(&format!("audit export {}", deploys[0])).ends_with(0).stdout;
    let (one, two) = (export(), export());
    assert_eq!(one, two);
    let sql = "SELECT body FROM events WHERE deploy = 1 AND tenant = 1 ORDER BY seq";
    let stored = project.sql("windlass.db", sql).await.unwrap();
    let lines: Vec<String> = one.lines().map(str::to_owned).collect();
    let bodies = (1..=stored.len()).map(|seq| {
        let line: Value = serde_json::from_str(&lines[event(&lines, ACME, seq)]).unwrap();
        line["body"].as_str().unwrap().to_owned()
    });
    assert_eq!(bodies.collect::<Vec<_>>(), stored);
}

#[tokio::test]
async fn a_log_that_was_tampered_with_is_exported_as_it_is_and_never_signed() {
    let Exports { project, deploys, .. } = exports().await;
    let copy = Project::new();
    copy.write("windlass.toml", CONFIGURATION);
    for file in ["windlass.db", "windlass.db-wal", "key"].iter().filter(|file| project.at(file).exists()) {
        std::fs::copy(project.at(file), copy.at(file)).unwrap();
    }
    let sql = "UPDATE events SET body = replace(body, '\"attempt\":1', '\"attempt\":7') WHERE tenant = 1 AND seq = 4";
    copy.sql("windlass.db", sql).await.unwrap();
    copy.windlass(&format!("audit export {} -o export", deploys[0])).ends_with(0);
    let found = findings(&copy.windlass("audit verify --export export --json").ends_with(1));
    assert!(
        found
            .iter()
            .any(|(code, _, tenant, seq)| (code.as_str(), tenant.as_deref(), *seq) == ("WL0701", ACME, Some(4)))
    );
    let ran = copy.windlass(&format!("audit export {} --sign-with key -o signed", deploys[0])).ends_with(1);
    assert!(ran.stderr.contains("WL0701") && !copy.at("signed").exists(), "{}", ran.stderr);
}

#[tokio::test]
async fn a_deploy_that_is_taken_out_of_an_export_of_the_whole_log_is_missed() {
    let exports = exports().await;
    let all = &exports.files[2];
    let second = all.iter().rposition(|line| line.contains("\"line\":\"deploy\"")).unwrap();
    let mut without: Vec<String> = all[..1].iter().chain(&all[second..]).cloned().collect();
    change(&mut without, 0, |line| line["deploys"] = 1.into());
    let found = findings(&exports.verify_signed(&without).ends_with(1));
    assert_eq!(found, [("WL0707".to_owned(), exports.deploys[1].clone(), None, None)]);
    let mut exchanged: Vec<String> = all[..1].iter().chain(&all[second..]).chain(&all[1..second]).cloned().collect();
    let codes = |lines: &[String]| {
        let found = findings(&exports.verify_signed(lines).ends_with(1));
        found.into_iter().map(|(code, ..)| code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&exchanged), ["WL0707", "WL0707"]);
    exchanged.extend(all[1..second].iter().cloned());
    change(&mut exchanged, 0, |line| line["deploys"] = 3.into());
    assert!(codes(&exchanged).contains(&"WL0711".to_owned()));
}
