//! A deploy stopped from the keyboard, and one that sleeps past its lease.

use super::fleet::{ACT, Fleet, Template, UNDO, Way};
use super::home::{Engine, Home};
use super::judge::Undisturbed;
use super::running::{Running, until};
use super::{AT_THE_GATE, until_it_waits};
use crate::support::oracle::{self, Account};

async fn template(way: Way, name: &str) -> (Template, Undisturbed) {
    let template = Template::new(Home::of(Engine::Postgres).await, way, 1, name).await;
    let undisturbed = Undisturbed::run(&template).await;
    (template, undisturbed)
}

/// The types of the last events of a tenant's stream.
async fn last(fleet: &Fleet, tenant: &str, count: usize) -> Vec<String> {
    let account = Account::read(&fleet.log()).await;
    let of = account.entries.iter().filter(|entry| entry.tenant.as_deref() == Some(tenant));
    let kinds: Vec<String> = of.map(|entry| entry.kind().to_owned()).collect();
    kinds[kinds.len() - count..].to_vec()
}

#[tokio::test]
async fn an_interrupted_deploy_ends_what_runs_starts_nothing_new_and_is_resumed() {
    for (way, gate, end) in [(Way::Forward, ACT, "step_succeeded"), (Way::Unwind, UNDO, "undo_succeeded")] {
        let (template, undisturbed) = template(way, "once").await;
        let fleet = template.copy("n").await;
        let mut gatekeeper = fleet.close("bolt", gate).await;
        let mut running = Running::start(fleet.command(&["deploy"]));
        until_it_waits(&mut gatekeeper).await;
        running.signal("INT");
        running.until_it_says("nothing new is started").await;
        let starts = async |kind| oracle::count(&fleet.log(), kind).await;
        let before = (starts("step_started").await, starts("undo_started").await);
        drop(gatekeeper);
        let ran = running.ends().await.ends_with(5);
        assert!(ran.stdout.contains("next: windlass resume"), "{ran:?}");
        assert_eq!((starts("step_started").await, starts("undo_started").await), before, "something was started");
        assert_eq!(last(&fleet, "bolt", 1).await, [end]);
        assert_eq!(Account::read(&fleet.log()).await.leases, Vec::<String>::new());
        fleet.run(&["resume"]).ends_with(way.exit());
        undisturbed.assert_same_end(&fleet).await;
    }
}

#[tokio::test]
async fn a_deploy_interrupted_twice_stops_at_once_and_is_resumed() {
    for (way, gate, started) in [(Way::Forward, ACT, "step_started"), (Way::Unwind, UNDO, "undo_started")] {
        let (template, undisturbed) = template(way, "twice").await;
        let fleet = template.copy("n").await;
        let mut gatekeeper = fleet.close("bolt", gate).await;
        let mut running = Running::start(fleet.command(&["deploy"]));
        until_it_waits(&mut gatekeeper).await;
        running.signal("INT");
        running.until_it_says("nothing new is started").await;
        running.signal("INT");
        // With the gate still closed: what runs is not waited for.
        let ran = running.ends().await.ends_with(5);
        assert!(ran.stderr.contains("stopping now") && ran.stdout.contains("next: windlass resume"), "{ran:?}");
        assert_eq!(last(&fleet, "bolt", 1).await, [started]);
        drop(gatekeeper);
        fleet.run(&["resume"]).ends_with(way.exit());
        undisturbed.assert_same_end(&fleet).await;
    }
}

#[tokio::test]
async fn a_deploy_is_stopped_though_nobody_reads_what_it_says_and_is_resumed() {
    let (template, undisturbed) = template(Way::Forward, "unheard").await;
    let fleet = template.copy("n").await;
    let mut gatekeeper = fleet.close("bolt", ACT).await;
    let running = Running::unheard(fleet.command(&["deploy"]));
    until_it_waits(&mut gatekeeper).await;
    running.signal("TERM");
    running.signal("INT");
    // With the gate still closed: both orders have arrived.
    running.ends().await.ends_with(5);
    assert_eq!(last(&fleet, "bolt", 1).await, ["step_started"]);
    drop(gatekeeper);
    fleet.run(&["resume"]).ends_with(Way::Forward.exit());
    undisturbed.assert_same_end(&fleet).await;
}

const SESSIONS: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'windlass/%'";

/// The lease in these tests: long enough for two heartbeats of a busy machine, short enough to be waited for.
const LEASE_MS: &str = "1500";

#[tokio::test]
async fn a_worker_that_slept_past_its_lease_appends_nothing_and_leaves_the_tenants_alone() {
    for (way, gate) in [(Way::Forward, ACT), (Way::Unwind, UNDO)] {
        let (template, undisturbed) = template(way, "asleep").await;
        let fleet = template.copy("n").await;
        let leased = |arguments: &[&str]| {
            let mut command = fleet.command(arguments);
            command.env("WINDLASS_TEST_LEASE_MS", LEASE_MS);
            command
        };
        let mut gatekeeper = fleet.close("bolt", gate).await;
        let sleeper = Running::start(leased(&["deploy"]));
        until_it_waits(&mut gatekeeper).await;
        // Not with the log's lock in its hands: then nobody could write until it wakes up, and there would be nothing to see.
        until("asleep beside the log", async || {
            sleeper.signal("STOP");
            let beside = oracle::can_be_written(&fleet.log()).await;
            if !beside {
                sleeper.signal("CONT");
            }
            beside
        })
        .await;
        let asleep = gatekeeper.text(&format!("SELECT string_agg(pid::text, ',') {SESSIONS}")).await;
        let successor = Running::start(leased(&["resume"]));
        // The sleeper's session is ended by its successor, whose own then waits at the gate.
        gatekeeper
            .until(&format!("SELECT count(*) = 1 AND bool_and(pid NOT IN ({asleep}) AND {AT_THE_GATE}) {SESSIONS}"))
            .await;
        drop(gatekeeper);
        let ran = successor.ends().await;
        assert_eq!(ran.code, Some(way.exit()), "{ran:?}");
        let finished = Account::read(&fleet.log()).await.entries.len();
        undisturbed.assert_same_end(&fleet).await;
        sleeper.signal("CONT");
        let ran = sleeper.ends().await;
        assert!([way.exit(), 5].contains(&ran.code.unwrap()), "{ran:?}");
        assert_eq!(Account::read(&fleet.log()).await.entries.len(), finished, "the sleeper has appended: {ran:?}");
        undisturbed.assert_same_end(&fleet).await;
    }
}
