//! Windlass killed: with -9 at every point where it may die, with its tenants' server, from the keyboard, and paused past its lease.
//!
//! Each sweep first lets a deploy pass undisturbed and has it count how often it passes each point. Then, for every passage, a
//! fresh copy of the fleet is deployed to, the process kills itself there, and another takes the deploy up again. Where that ends is
//! compared with where the undisturbed run ended, by SQL that is not Windlass' own.

mod fleet;
mod home;
mod judge;
mod judged;
mod mariadb;
mod release;
mod running;
mod server;
mod signals;
mod sweep;

use fleet::Way;
use home::Engine;
use sweep::{Chosen, sweep};

use crate::support::postgres::Admin;

/// Of a session: that it waits at a gate.
const AT_THE_GATE: &str = "wait_event IS NOT DISTINCT FROM 'PgSleep'";

/// Waits until a deploy stands at the gate that this connection holds closed.
async fn until_it_waits(gatekeeper: &mut Admin) {
    let sessions = "SELECT FROM pg_stat_activity WHERE datname = current_database()";
    gatekeeper.until(&format!("SELECT EXISTS ({sessions} AND {AT_THE_GATE})")).await;
}

#[test]
fn a_deploy_killed_at_any_passage_of_any_point_completes_on_sqlite() {
    sweep(Engine::Sqlite, Way::Forward, 1, Chosen::All);
}

#[test]
fn an_unwind_killed_at_any_passage_of_any_point_lowers_everyone_on_sqlite() {
    sweep(Engine::Sqlite, Way::Unwind, 1, Chosen::All);
}

#[test]
fn a_deploy_killed_at_any_point_completes_on_postgres() {
    sweep(Engine::Postgres, Way::Forward, 1, Chosen::FirstMiddleLast);
}

#[test]
fn an_unwind_killed_at_any_point_lowers_everyone_on_postgres() {
    sweep(Engine::Postgres, Way::Unwind, 1, Chosen::FirstMiddleLast);
}

#[test]
fn deploys_of_many_tenants_at_a_time_that_are_killed_complete_or_lower_everyone() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for way in [Way::Forward, Way::Unwind] {
            sweep(engine, way, 4, Chosen::Drawn(25));
        }
    }
}

#[test]
fn a_rollback_that_is_killed_takes_everyone_back() {
    sweep(Engine::Sqlite, Way::Rollback, 1, Chosen::FirstMiddleLast);
    sweep(Engine::Postgres, Way::Rollback, 4, Chosen::Drawn(15));
}

#[test]
fn a_deploy_killed_at_any_point_completes_on_mariadb() {
    sweep(Engine::MariaDb, Way::Forward, 1, Chosen::FirstMiddleLast);
}

#[test]
fn an_unwind_killed_at_any_point_lowers_everyone_on_mariadb() {
    sweep(Engine::MariaDb, Way::Unwind, 1, Chosen::FirstMiddleLast);
}

#[test]
fn deploys_of_many_mariadb_tenants_at_a_time_that_are_killed_complete_or_lower_everyone() {
    for way in [Way::Forward, Way::Unwind] {
        sweep(Engine::MariaDb, way, 4, Chosen::Drawn(25));
    }
}

#[test]
fn a_rollback_that_is_killed_takes_everyone_back_on_mariadb() {
    sweep(Engine::MariaDb, Way::Rollback, 1, Chosen::FirstMiddleLast);
}
