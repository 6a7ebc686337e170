//! The tenants' server killed with -9 in the middle of a deploy.
//!
//! These servers run without fsync: what a process has written outlives it without one, and only a power cut would tell the
//! difference. A server that syncs its whole cluster while it recovers takes longer than most of these tests.

use std::io::Write as _;

use super::fleet::{ACT, Fleet, Gate, Template, UNDO, Way};
use super::home::Home;
use super::judge::Undisturbed;
use super::running::{Running, until};
use crate::support::oracle;
use crate::support::postgres::{Admin, Durability, PrivatePostgres};

/// When the server dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Inside a transaction of a tenant.
    At(&'static str, Gate),
    /// As soon as the log has so many events of a type; where the deploy is by then is up to chance.
    After(i64, &'static str),
}

impl Moment {
    /// Starts a deploy, and comes back when it is there.
    async fn reached_by(self, fleet: &Fleet) -> (Running, Option<Admin>) {
        match self {
            Self::At(tenant, gate) => {
                let mut gatekeeper = fleet.close(tenant, gate).await;
                let running = Running::start(fleet.command(&DEPLOY));
                super::until_it_waits(&mut gatekeeper).await;
                (running, Some(gatekeeper))
            }
            Self::After(count, kind) => {
                // Beyond those of the deploys that founded the fleet.
                let count = oracle::count(&fleet.log(), kind).await + count;
                let running = Running::start(fleet.command(&DEPLOY));
                until(kind, async || oracle::count(&fleet.log(), kind).await >= count).await;
                (running, None)
            }
        }
    }
}

/// A server of this module's own: it is killed.
async fn template(server: &PrivatePostgres, way: Way, name: &str) -> (Template, Undisturbed) {
    let template = Template::new(Home::Postgres(server.port()), way, 1, name).await;
    let undisturbed = Undisturbed::run(&template).await;
    (template, undisturbed)
}

/// Retries for as long as a loaded machine may take to bring a server up.
pub(super) const PATIENT: &str = r#"retry = { attempts = 100, first = "200ms", factor = 1.0, max = "200ms" }"#;
/// Hardly any.
const IMPATIENT: &str = r#"retry = { attempts = 2, first = "100ms", factor = 1.0, max = "100ms" }"#;

/// Gives a fleet the workflow `retrying`: the usual one with other retries.
pub(super) fn retrying(fleet: &Fleet, retry: &str) {
    let workflow = include_str!("../../../workflows/all-or-nothing.toml");
    let usual = workflow.lines().find(|line| line.starts_with("retry = ")).unwrap();
    let workflow = workflow.replace(usual, retry).replace("all-or-nothing", "retrying");
    fleet.project.write("workflows/retrying.toml", &workflow);
}

/// A deploy with it.
pub(super) const DEPLOY: [&str; 3] = ["deploy", "--workflow", "retrying"];

#[tokio::test]
async fn a_deploy_whose_tenants_server_is_killed_and_comes_back_ends_as_if_it_had_not_been() {
    let mut server = PrivatePostgres::start(Durability::None).await;
    let (mut killed, mut in_the_middle) = (0, 0);
    for (way, moments) in [
        (
            Way::Forward,
            &[
                Moment::At("acme", ACT),
                Moment::At("crow", ACT),
                Moment::After(1, "step_started"),
                Moment::After(9, "step_started"),
                Moment::After(14, "step_succeeded"),
            ],
        ),
        (
            Way::Unwind,
            &[
                Moment::At("crow", ACT),
                Moment::At("acme", UNDO),
                Moment::At("bolt", UNDO),
                Moment::After(1, "direction_set"),
                Moment::After(4, "undo_started"),
            ],
        ),
    ] {
        let (template, undisturbed) = template(&server, way, "server").await;
        for (at, moment) in moments.iter().enumerate() {
            let fleet = template.copy(&format!("n{at}")).await;
            retrying(&fleet, PATIENT);
            let (mut running, _gatekeeper) = moment.reached_by(&fleet).await;
            let under_way = running.is_running();
            server.kill9();
            server.restart_in_place().await;
            let ran = running.ends().await;
            assert_eq!(ran.code, Some(way.exit()), "{moment:?}: {ran:?}");
            assert_eq!(undisturbed.faults(&fleet).await, Vec::<String>::new(), "{moment:?}: {ran:?}");
            fleet.remove().await;
            assert!(under_way || matches!(moment, Moment::After(..)), "{moment:?}");
            killed += 1;
            in_the_middle += usize::from(under_way);
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "server killed: postgres: {killed} times, {in_the_middle} in the middle of a deploy, all ended as undisturbed"
    );
}

#[tokio::test]
async fn a_deploy_that_died_together_with_its_tenants_server_is_resumed() {
    let mut server = PrivatePostgres::start(Durability::None).await;
    for (way, moment) in [(Way::Forward, Moment::At("bolt", ACT)), (Way::Unwind, Moment::At("bolt", UNDO))] {
        let (template, undisturbed) = template(&server, way, "both").await;
        let fleet = template.copy("n").await;
        retrying(&fleet, PATIENT);
        let (running, _gatekeeper) = moment.reached_by(&fleet).await;
        server.kill9();
        // With the value goes the process, by SIGKILL.
        drop(running);
        server.restart_in_place().await;
        fleet.run(&["resume"]).ends_with(way.exit());
        undisturbed.assert_same_end(&fleet).await;
    }
}

#[tokio::test]
async fn a_deploy_that_gave_its_tenants_server_up_says_so_and_lowers_everyone_when_it_is_told_to_try_again() {
    let mut server = PrivatePostgres::start(Durability::None).await;
    let (template, undisturbed) = template(&server, Way::Forward, "gone").await;
    let fleet = template.copy("n").await;
    retrying(&fleet, IMPATIENT);
    let (running, _gatekeeper) = Moment::At("bolt", ACT).reached_by(&fleet).await;
    server.kill9();
    let ran = running.ends().await.ends_with(5);
    assert!(ran.stdout.contains("waits for a human") && ran.stdout.contains("windlass retry"), "{ran:?}");
    fleet.run(&["resume"]).ends_with(5);
    server.restart_in_place().await;
    fleet.run(&["retry", "--reason", "the server is back"]).ends_with(3);
    undisturbed.assert_lowered(&fleet).await;
}
