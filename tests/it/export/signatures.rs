//! What a signature finds, and where keys do not go.

use serde_json::{Value, json};
use windlass::base::TenantId;
use windlass::saga::chain;
use windlass::saga::event::{DeployEvent, Event, Recorded, StreamId};

use super::{ACME, Exports, change, change_body, event, exports, keygen, lines, stream};
use crate::audit::{CONFIGURATION, deploy_twice, findings};
use crate::support::project::{Project, Ran};

/// Writes the export of the first deploy anew, with the time of an event changed and every hash and the seal made to fit.
fn written_anew(lines: &[String], deploy: &str) -> Vec<String> {
    let deploy = deploy.parse().unwrap();
    let mut lines = lines.to_vec();
    let at = event(&lines, ACME, 4);
    change_body(&mut lines, at, |body| body["at"] = 1.into());
    let mut heads = Vec::new();
    for tenant in ["acme", "bolt"] {
        let id = TenantId::new(tenant).unwrap();
        let mut head = chain::genesis(&StreamId::tenant(deploy, id.clone()));
        let at = stream(&lines, Some(tenant));
        let count = lines[at + 1..].iter().take_while(|line| line.contains("\"line\":\"event\"")).count();
        for at in at + 1..=at + count {
            change(&mut lines, at, |line| {
                head = chain::link(&head, line["body"].as_str().unwrap().as_bytes());
                line["hash"] = head.to_string().into();
            });
        }
        change(&mut lines, at, |line| line["head"] = head.to_string().into());
        heads.push((id, windlass::base::Seq(count as u64), head));
    }
    let own = stream(&lines, None);
    let count = lines[own + 1..].iter().take_while(|line| line.contains("\"line\":\"event\"")).count();
    let mut head = chain::genesis(&StreamId::deploy(deploy));
    let mut root = None;
    for seq in 1..=count {
        let line: Value = serde_json::from_str(&lines[own + seq]).unwrap();
        let recorded: Recorded = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
        if let Event::Deploy(DeployEvent::DeployFinished { outcome, account }) = &recorded.event {
            let before = (windlass::base::Seq(seq as u64 - 1), head);
            root = Some(chain::seal(deploy, before, chain::end_digest(*outcome, account), &heads).to_string());
        }
        if let Event::Deploy(DeployEvent::Sealed { .. }) = &recorded.event {
            change_body(&mut lines, own + seq, |body| body["event"]["root"] = root.clone().into());
        }
        change(&mut lines, own + seq, |line| {
            head = chain::link(&head, line["body"].as_str().unwrap().as_bytes());
            line["hash"] = head.to_string().into();
        });
    }
    change(&mut lines, own, |line| line["head"] = head.to_string().into());
    let last = lines.len() - 1;
    change(&mut lines, last, |line| line["root"] = root.into());
    lines
}

/// What a signature is for: there is nothing in such a file by which it could be found without one.
#[tokio::test]
async fn a_deploy_that_was_written_anew_with_hashes_and_seal_is_found_by_its_signature_alone() {
    let exports = exports().await;
    let mut anew = written_anew(&exports.files[0], &exports.deploys[0]);
    let codes = |ran: &Ran| findings(ran).into_iter().map(|(code, ..)| code).collect::<Vec<_>>();
    assert_eq!(codes(&Exports::verify(&anew, "").ends_with(1)), ["WL0710"]);
    let last = anew.len() - 1;
    change(&mut anew, last, |line| drop(line.as_object_mut().unwrap().remove("signature")));
    Exports::verify(&anew, "").ends_with(0);
    assert_eq!(codes(&exports.verify_signed(&anew).ends_with(1)), ["WL0709"]);
}

#[tokio::test]
async fn a_signature_by_another_key_holds_and_is_not_the_one_that_was_asked_for() {
    let exports = exports().await;
    let other = keygen(&exports.project, "other");
    exports
        .project
        .windlass(&format!("audit export {} --sign-with other -o by-another", exports.deploys[0]))
        .ends_with(0);
    let by_another = lines(&exports.project, "by-another");
    let ran = exports.verify_signed(&by_another).ends_with(1);
    assert_eq!(findings(&ran), [("WL0709".to_owned(), exports.deploys[0].clone(), None, None)]);
    // Where several keys are good, one of them is enough.
    Exports::verify(&by_another, &format!("--key {} --key {other}", exports.key)).ends_with(0);
    // The name of the right key beside the signature of the wrong one.
    let mut renamed = by_another.clone();
    let last = renamed.len() - 1;
    change(&mut renamed, last, |line| line["signature"]["key"] = exports.key.clone().into());
    let codes: Vec<_> = findings(&exports.verify_signed(&renamed).ends_with(1)).into_iter().map(|of| of.0).collect();
    assert_eq!(codes, ["WL0710", "WL0709"]);
}

#[tokio::test]
async fn the_end_of_a_deploy_is_signed_in_the_log_and_what_is_done_to_that_is_found() {
    let project = Project::new();
    let key = keygen(&project, "key");
    deploy_twice(&project, &format!("{CONFIGURATION}[audit]\nsign_with = \"key\"\n")).await;
    let verify = |more: &str| project.windlass(&format!("audit verify --json {more}"));
    let ran = verify(&format!("--key {key}")).ends_with(0);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["deploys"][1]["report"]["signed_by"], json!([key]));
    let other = keygen(&project, "other");
    let codes = |ran: &Ran| findings(ran).into_iter().map(|(code, ..)| code).collect::<Vec<_>>();
    assert_eq!(codes(&verify(&format!("--key {other}")).ends_with(1)), ["WL0709", "WL0709"]);
    // It goes with every export, and the exporter's own beside it.
    project.windlass("audit export --sign-with other -o export").ends_with(0);
    for good in [&key, &other] {
        Exports::verify(&lines(&project, "export"), &format!("--key {good}")).ends_with(0);
    }
    // A signature that another deploy was given, in a chain that fits.
    let sql = "UPDATE events SET body = json_set(body, '$.event.signature', json((SELECT body -> '$.event.signature' \
               FROM events WHERE deploy = 1 AND body LIKE '%\"sealed\"%'))) WHERE deploy = 2 AND body LIKE '%\"sealed\"%'";
    project.sql("windlass.db", sql).await.unwrap();
    let last = "FROM events WHERE deploy = 2 AND tenant = 0 ORDER BY seq DESC LIMIT";
    let hash = project.sql("windlass.db", &format!("SELECT lower(hex(hash)) {last} 1 OFFSET 1")).await.unwrap();
    let body = project.sql("windlass.db", &format!("SELECT body {last} 1")).await.unwrap();
    let head = chain::link(&hash[0].parse().unwrap(), body[0].as_bytes());
    let fit = format!(
        "UPDATE events SET hash = unhex('{head}') WHERE position = (SELECT position {last} 1); \
         UPDATE deploys SET head = unhex('{head}') WHERE key = 2"
    );
    project.sql("windlass.db", &fit).await.unwrap();
    assert_eq!(codes(&verify("").ends_with(1)), ["WL0710"]);
    assert_eq!(codes(&verify(&format!("--key {key}")).ends_with(1)), ["WL0710", "WL0709"]);
}

#[tokio::test]
async fn a_deploy_is_not_begun_where_it_could_not_be_signed_at_its_end() {
    let project = Project::new();
    project.write("windlass.toml", &format!("{CONFIGURATION}[audit]\nsign_with = \"key\"\n"));
    project.sql("tenants/acme.db", "CREATE TABLE customers (name TEXT)").await.unwrap();
    project.write("migrations/0001_a.up.sql", "CREATE TABLE a (id INTEGER);\n");
    project.write("migrations/0001_a.down.sql", "DROP TABLE a;\n");
    let ran = project.windlass("deploy").ends_with(1);
    assert!(ran.stderr.starts_with("WL0007") && !project.at("windlass.db").exists(), "{}", ran.stderr);
    keygen(&project, "key");
    project.windlass("deploy").ends_with(0);
}

/// Promise P9, of keys.
#[tokio::test]
async fn a_secret_key_is_in_its_own_file_and_nowhere_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let Exports { project, seed, files, .. } = exports().await;
    assert_eq!(project.at("key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(files.iter().flatten().all(|line| !line.contains(seed)));
    for file in ["windlass.db", "windlass.db-wal"].iter().filter(|file| project.at(file).exists()) {
        let bytes = std::fs::read(project.at(file)).unwrap();
        assert!(!bytes.windows(seed.len()).any(|part| part == seed.as_bytes()), "{file}");
    }
    let key = std::fs::read(project.at("key")).unwrap();
    // Whatever is typed in its place, it is not repeated.
    for typed in [format!("ed25519-secret:{seed}"), format!("ed25519:{seed}0"), seed.clone(), "key".to_owned()] {
        let ran = project.windlass(&format!("audit verify --key {typed}")).ends_with(1);
        assert!(ran.stderr.starts_with("WL0007") && !ran.stderr.contains(seed), "{}", ran.stderr);
    }
    let ran = project.windlass("audit keygen key").ends_with(1);
    assert!(ran.stderr.starts_with("WL0006") && !ran.stderr.contains(seed), "{}", ran.stderr);
    assert_eq!(std::fs::read(project.at("key")).unwrap(), key);
}
