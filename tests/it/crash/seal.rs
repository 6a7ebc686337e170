//! A deploy that died between its end and its seal.

use windlass::base::crash::Point;

use super::fleet::{Engine, Template, Way};
use super::judge::Undisturbed;
use crate::support::oracle::Account;

#[tokio::test]
async fn a_deploy_that_died_before_its_seal_is_sealed_by_whoever_comes_next() {
    let template = Template::new(Engine::Sqlite, Way::Unwind, 1).await;
    let undisturbed = Undisturbed::run(&template).await;
    let appends = undisturbed.passages.iter().filter(|point| **point == Point::AfterAppend.name()).count();
    // The last append is the seal, the one before it the end.
    let before_the_seal = format!("{}:{}", Point::AfterAppend.name(), appends - 1);
    for (next, exit) in
        [(&["resume"][..], 3), (&["deploy"], 3), (&["deploy", "--only", "acme"], 0), (&["rollback", "latest"], 1)]
    {
        let fleet = template.copy("n").await;
        let killed = fleet.command(&["deploy"]).env("WINDLASS_CRASH_AT", &before_the_seal).output().unwrap();
        assert_eq!(killed.status.code(), None);
        let ended = Account::read(&fleet.log()).await;
        assert_eq!(ended.own().last().unwrap().kind(), "deploy_finished");
        fleet.run(next).ends_with(exit);
        let verified = fleet.run(&["audit", "verify"]).ends_with(0);
        assert!(!verified.stdout.contains("not sealed"), "after {next:?}: {}", verified.stdout);
    }
}
