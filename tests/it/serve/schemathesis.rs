//! The API driven from its own description by schemathesis: whatever the description allows is answered as the description says, and
//! whatever it does not allow is refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::access::token;
use super::house::House;

/// The version that the findings are known of. Another one may look for other things.
const VERSION: &str = "4.32.5";

/// Test cases of one operation at most, in each phase.
const EXAMPLES: &str = "25";

/// The program, in an environment of its own beside what is built.
fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python-venv");
    let program = folder.join("bin/schemathesis");
    let installed = Command::new(&program).arg("--version").output();
    if installed.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(VERSION)) {
        return program;
    }
    let run = |program: &Path, arguments: &[&str]| {
        let ran = Command::new(program).args(arguments).output().unwrap_or_else(|error| {
            panic!("this test needs python3 with its module venv (Debian: apt-get install python3-venv): {error}")
        });
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{} {}: {said}", program.display(), arguments.join(" "));
    };
    run(Path::new("python3"), &["-m", "venv", folder.to_str().unwrap()]);
    run(&folder.join("bin/pip"), &["install", "--quiet", &format!("schemathesis=={VERSION}")]);
    program
}

#[tokio::test]
async fn the_api_keeps_to_its_description() {
    let program = program();
    let house = House::of(3, "");
    let server = house.serve();
    // Something to be looked at: a deploy that has completed, and one that was unwound.
    for (id, revision, standing) in [("a", "v1", "completed"), ("b", "bad", "unwound")] {
        let (_, taken) = server.deliver(id, revision).await;
        server.until(taken["id"].as_str().unwrap(), standing).await;
    }
    // The token that it comes with cannot end itself; with this one it can try to.
    let (admin, _other) = (token(&house, "admin", &[]), token(&house, "admin", &[]));
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/serve/schemathesis.toml");
    let ran = tokio::process::Command::new(program)
        .current_dir(house.project.path())
        .arg("--config-file")
        .arg(settings)
        .args(["run", &format!("{}/v1/openapi.json", server.url)])
        .args(["--header", &format!("Authorization: Bearer {admin}")])
        // All checks but one, which takes it for wrong that whoever comes with a token that is not good again and again is told to wait
        // (429). That nobody comes in without a good one is tried with all routes and roles.
        .args(["--exclude-checks", "ignored_auth", "--max-examples", EXAMPLES])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--generation-deterministic", "--continue-on-failure", "--request-timeout", "30", "--no-color"])
        .args(["--rate-limit", "150/s"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let summary = said.find("= SUMMARY =").map_or(&*said, |at| &said[at..]);
    println!("{summary}");
    assert!(ran.status.success(), "{said}{}\n{}", String::from_utf8_lossy(&ran.stderr), server.said());
    assert!(summary.contains("Tested: 27"), "not all operations were tried: {summary}");
    let (status, ready) = server.get("/readyz").await;
    assert_eq!((status.as_u16(), ready), (200, json!({ "status": "ready" })));
    assert!(!server.said().contains("panicked"), "{}", server.said());
    drop(server);
    house.project.windlass("audit verify").ends_with(0);
}
