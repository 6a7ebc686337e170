//! Commands against a server: the words and exit codes that they have on the log itself.

use std::process::Command;

use serde_json::Value;

use super::fake::{Answer, Fake};
use super::house::{House, Server};
use crate::support::project::{Project, Ran};

/// A pipeline's folder: no project, only the commands.
fn runner(server: &Server) -> (Project, impl Fn(&Project, &str) -> Ran + use<>) {
    let url = server.url.clone();
    let run = move |project: &Project, arguments: &str| {
        let mut command: Command = project.command();
        command.env("WINDLASS_SERVER", &url).args(arguments.split_whitespace());
        Ran::of(command.output().unwrap())
    };
    (Project::new(), run)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_through_a_server_ends_like_one_on_the_log() {
    let house = House::of(3, "");
    let server = house.serve();
    let (place, run) = runner(&server);
    let done = run(&place, "deploy --revision v1").ends_with(0);
    assert!(
        done.stdout.contains("t0000 completed") && done.stdout.contains("every tenant is on the release"),
        "{}",
        done.stdout
    );
    let again = run(&place, "deploy --revision v1").ends_with(0);
    assert!(again.stdout.contains("nothing to do: all 3 tenants"), "{}", again.stdout);
    let failed = run(&place, "deploy --revision bad").ends_with(3);
    assert!(
        failed.stdout.contains("no such table") && failed.stdout.contains("the fleet is as it was before"),
        "{}",
        failed.stdout
    );
    let nowhere = run(&place, "deploy --revision nowhere").ends_with(1);
    assert!(nowhere.stderr.contains("WL0811"), "{}", nowhere.stderr);
    let wrong = run(&place, "deploy --revision v2 --only nobody").ends_with(1);
    assert!(wrong.stderr.contains("WL0207") || wrong.stderr.contains("WL0208"), "{}", wrong.stderr);
    run(&place, "deploy --revision v2 --only t0001").ends_with(0);
    let json: Value = serde_json::from_str(&run(&place, "--json status").ends_with(0).stdout).unwrap();
    let id = json["deploy"].as_str().unwrap();
    run(&place, &format!("rollback {id}")).ends_with(0);
    run(&place, "watch latest").ends_with(0);
    assert!(run(&place, "status --all").ends_with(0).stdout.lines().count() >= 4);
    assert!(run(&place, "plan").ends_with(1).stderr.contains("works on the log itself"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_pushed_and_deployed_by_its_digest_or_by_the_name_it_was_given() {
    let house = House::of(2, "");
    let server = house.serve();
    let (place, run) = runner(&server);
    place.write("db/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY, number TEXT);\n");
    place.write("db/0001_orders.down.sql", "DROP TABLE orders;\n");
    let pushed: Value =
        serde_json::from_str(&run(&place, "--json release push --dir db --revision pushed-1").ends_with(0).stdout)
            .unwrap();
    let digest = pushed["digest"].as_str().unwrap();
    run(&place, &format!("deploy --release {digest}")).ends_with(0);
    run(&place, "deploy --revision pushed-1").ends_with(0);
    place.write("db/0002_more.up.sql", "CREATE TABLE more (x INTEGER);\n");
    place.write("db/0002_more.down.sql", "DROP TABLE more;\n");
    let changed = run(&place, "release push --dir db --revision pushed-1").ends_with(1);
    assert!(changed.stderr.contains("WL0813"), "{}", changed.stderr);
    run(&place, &format!("deploy --release {}", "0".repeat(64))).ends_with(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_wants_a_token_is_told() {
    let house = House::of(1, "");
    let server = house.serve();
    let (place, run) = runner(&server);
    let made: Value = serde_json::from_str(
        &house.project.windlass("--json token create --name ci --role deployer").ends_with(0).stdout,
    )
    .unwrap();
    let refused = run(&place, "deploy --revision v1").ends_with(1);
    assert!(refused.stderr.contains("WL0824"), "{}", refused.stderr);
    place.write("token", made["token"].as_str().unwrap());
    run(&place, "deploy --revision v1 --token-file token").ends_with(0);
    let denied = run(&place, "unwind --token-file token").ends_with(1);
    assert!(denied.stderr.contains("WL0825"), "{}", denied.stderr);
    drop(server);
    let gone = run(&place, "status --token-file token").ends_with(1);
    assert!(gone.stderr.contains("WL0830"), "{}", gone.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_is_followed_survives_the_death_of_its_server() {
    let house = House::of(30, "listen = \"127.0.0.1:0\"");
    let server = house.serve();
    let address = server.url.trim_start_matches("http://").to_owned();
    let (place, _) = runner(&server);
    let mut held = house.project.sqlite("tenants/t0029.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let mut command = place.command();
    command.args(["deploy", "--server", &server.url, "--revision", "v1"]);
    let follower = std::thread::spawn(move || Ran::of(command.output().unwrap()));
    let id = loop {
        let (_, list) = server.get("/v1/deploys").await;
        if let Some(id) = list["items"][0]["id"].as_str() {
            break id.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    server.until(&id, "under_way").await;
    server.kill();
    let server = house.serve_at(&address);
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    server.until(&id, "completed").await;
    let ran = follower.join().unwrap().ends_with(0);
    assert!(ran.stdout.contains("every tenant is on the release"), "{}", ran.stdout);
}

/// What a command says, as far as it says the same each time.
fn words(ran: &Ran) -> (Option<i32>, Value) {
    let said = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| Value::String(ran.stdout.clone()));
    (ran.code, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_through_a_server_is_what_is_said_on_the_log() {
    // Somebody who is to be told of everything, and never listens.
    let nobody = Fake::new(|_, _| Answer::Status(410)).await;
    let house = House::of(3, "");
    let text = std::fs::read_to_string(house.project.at("windlass.toml")).unwrap();
    let notify = format!("[[serve.notify]]\nurl = \"{}\"\nsecret = \"${{env:NOTIFY_SECRET}}\"\n", nobody.url);
    house.project.write("windlass.toml", &format!("{text}{notify}"));
    let server = house.serve_with(&[("NOTIFY_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]);
    let (place, run) = runner(&server);
    run(&place, "deploy --revision v1").ends_with(0);
    run(&place, "deploy --revision bad").ends_with(3);
    // It is given up for good: from then on the same is said of it each time.
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !run(&place, "status").ends_with(0).stdout.contains("it was given up") {
        assert!(std::time::Instant::now() < deadline, "{}", server.said());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for command in ["status", "status --all", "status --tenants", "status latest", "pause", "resume", "unwind", "retry"]
    {
        for json in ["", "--json "] {
            let command = format!("{json}{command}");
            let (there, here) = (run(&place, &command), house.project.windlass(&command));
            assert_eq!(words(&there), words(&here), "{command}\n{}\n{}", there.stderr, here.stderr);
        }
    }
    for json in ["", "--json "] {
        let there = run(&place, &format!("{json}deploy --revision v1"));
        let here = house.project.windlass(&format!("{json}deploy"));
        assert_eq!(words(&there), words(&here));
    }
    // One that does not end, as somebody else writes to a tenant.
    let mut held = house.project.sqlite("tenants/t0001.db").await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let (_, taken) = server.deliver("d", "v2").await;
    server.until(taken["id"].as_str().unwrap(), "under_way").await;
    let paused = run(&place, "pause --reason lunch").ends_with(0).stdout;
    assert!(paused.contains("paused") && paused.contains("next: windlass resume"), "{paused}");
    let again = run(&place, "pause --reason lunch").ends_with(0).stdout;
    assert!(again.starts_with("it was paused already"), "{again}");
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    run(&place, "resume").ends_with(0);
}
