//! A deploy that is paused while the engine drives it, and afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::FutureExt as _;
use windlass::audit::{account, verify};
use windlass::base::{Code, Coded as _, DeployId, TenantId};
use windlass::engine::{Ending, pause, resolve, resumed, retry, turn};
use windlass::log::Log;
use windlass::saga::event::{DeployEvent, DeployOutcome, Direction, Event, Half, Resolution, TenantEvent};
use windlass::saga::failure::{ErrorClass, Failure};
use windlass::saga::summary::TenantStatus;
use windlass::tenant::{Outcome, SessionError};

use super::TABLE;
use super::rig::{Rig, word};

const SECOND: (&str, &str) = ("CREATE TABLE b (id int)", "DROP TABLE b");

/// Says `pause` from inside a call: a log in memory answers at once.
fn pauses(log: &Arc<dyn Log>, deploy: DeployId) -> bool {
    pause(&**log, deploy, &word("a look at it")).now_or_never().expect("no wait").unwrap()
}

async fn goes_on(rig: &Rig, deploy: DeployId) {
    let word = word("");
    assert!(resumed(&*rig.log, deploy, &word.actor, &word.by).await.unwrap());
}

/// What happened in the deploy after it was paused, all streams in the order of the log.
async fn after_pause(rig: &Rig, deploy: DeployId) -> Vec<Event> {
    let events = rig.log.tail(deploy, 0, usize::MAX).await.unwrap().into_iter().map(|event| event.recorded.event);
    let mut events = events.skip_while(|event| !matches!(event, Event::Deploy(DeployEvent::DeployPaused { .. })));
    assert!(events.next().is_some(), "it is not paused");
    events.collect()
}

fn refused(tenant: &TenantId) -> SessionError {
    let failure = Failure::new(ErrorClass::Permanent, Code::StepFailed, "no");
    SessionError { tenant: tenant.clone(), failure, outcome: Outcome::NoEffect }
}

#[tokio::test]
async fn what_runs_when_its_deploy_is_paused_ends_and_nothing_more_starts_until_it_goes_on() {
    let rig = Rig::new(&["acme", "bolt", "crow"], &[TABLE, SECOND]);
    let deploy = rig.create().await;
    let (log, opened) = (Arc::clone(&rig.log), Arc::new(AtomicU32::new(0)));
    rig.on_apply(move |tenant, unit| {
        if (tenant.as_str(), unit.name.as_str()) == ("acme", "0001_m") {
            pauses(&log, deploy);
        }
        None
    });
    let counted = Arc::clone(&opened);
    rig.on_open(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        None
    });
    assert_eq!(rig.run(deploy).await, Ending::Paused);
    let after = after_pause(&rig, deploy).await;
    assert!(after.iter().all(|event| !matches!(event, Event::Tenant(of) if of.is_start())), "{after:?}");
    let ended = |step: &str| {
        after.iter().any(
            |event| matches!(event, Event::Tenant(TenantEvent::StepSucceeded { step: of, .. }) if of.as_str() == step),
        )
    };
    assert!(ended("migrate:0001_m"), "{after:?}");
    assert!(rig.log.holders(deploy).await.unwrap().is_empty());
    assert_eq!(account(&*rig.log, deploy).await.unwrap().paused.unwrap().reason, "a look at it");

    // Whoever comes to drive it finds it so, and asks no tenant.
    let before = opened.load(Ordering::SeqCst);
    assert_eq!(rig.run(deploy).await, Ending::Paused);
    assert_eq!(opened.load(Ordering::SeqCst), before);

    goes_on(&rig, deploy).await;
    rig.on_apply(|_, _| None);
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Completed));
    assert_eq!(verify(&*rig.log, deploy, &[]).await.unwrap().findings, []);
    assert_eq!(account(&*rig.log, deploy).await.unwrap().paused, None);
}

#[tokio::test]
async fn an_unwind_that_is_paused_stands_still_and_then_goes_on() {
    let rig = Rig::new(&["acme", "bolt"], &[TABLE, SECOND]);
    let deploy = rig.create().await;
    let (log, said) = (Arc::clone(&rig.log), AtomicBool::new(false));
    rig.on_apply(move |tenant, unit| {
        if unit.key.half == Half::Undo && !said.swap(true, Ordering::SeqCst) {
            pauses(&log, deploy);
        }
        let fails = (tenant.as_str(), unit.name.as_str(), unit.key.half) == ("bolt", "0002_m", Half::Act);
        fails.then(|| refused(tenant))
    });
    assert_eq!(rig.run(deploy).await, Ending::Paused);
    let after = after_pause(&rig, deploy).await;
    assert!(after.iter().all(|event| !matches!(event, Event::Tenant(of) if of.is_start())), "{after:?}");
    let undone = |event: &Event| matches!(event, Event::Tenant(TenantEvent::UndoSucceeded { .. }));
    assert!(after.iter().any(undone), "{after:?}");
    goes_on(&rig, deploy).await;
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Unwound));
    assert_eq!(verify(&*rig.log, deploy, &[]).await.unwrap().findings, []);
}

#[tokio::test]
async fn a_deploy_that_was_paused_at_its_last_migration_can_still_be_turned() {
    let rig = Rig::new(&["acme"], &[TABLE]);
    let deploy = rig.create().await;
    let log = Arc::clone(&rig.log);
    rig.on_applied(move |_, unit| {
        if unit.key.half == Half::Act {
            pauses(&log, deploy);
        }
        None
    });
    assert_eq!(rig.run(deploy).await, Ending::Paused);
    assert_eq!(rig.log.deploy(deploy).await.unwrap().summary.outcome, None);
    assert!(turn(&*rig.log, deploy, &word("not this one")).await.unwrap());
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Unwound));
}

#[tokio::test]
async fn a_turn_by_hand_ends_a_pause_in_either_direction() {
    let rig = Rig::new(&["acme"], &[TABLE]);
    let deploy = rig.create().await;
    assert!(pauses(&rig.log, deploy));
    assert!(turn(&*rig.log, deploy, &word("back")).await.unwrap());
    let summary = rig.log.deploy(deploy).await.unwrap().summary;
    assert_eq!((summary.direction, summary.paused), (Direction::Unwind, false));
    assert!(pauses(&rig.log, deploy));
    assert!(!turn(&*rig.log, deploy, &word("back, I said")).await.unwrap());
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Unwound));
}

#[tokio::test]
async fn what_is_settled_in_a_paused_deploy_is_carried_out_when_it_goes_on() {
    for resolution in [Resolution::Retry, Resolution::Undone, Resolution::Applied] {
        let rig = Rig::new(&["acme"], &[TABLE, SECOND]);
        let mended = Arc::new(AtomicBool::new(false));
        let is_mended = Arc::clone(&mended);
        rig.on_apply(move |tenant, unit| {
            let fails = matches!((unit.name.as_str(), unit.key.half), ("0002_m", Half::Act))
                || (unit.key.half == Half::Undo && !is_mended.load(Ordering::SeqCst));
            fails.then(|| refused(tenant))
        });
        let (deploy, ending) = rig.deploy().await;
        assert_eq!(ending, Ending::Waiting);
        assert!(pauses(&rig.log, deploy));
        mended.store(true, Ordering::SeqCst);
        let acme = TenantId::new("acme").unwrap();
        if resolution == Resolution::Retry {
            retry(&*rig.log, deploy, None, &word("mended")).await.unwrap();
        } else {
            if resolution == Resolution::Undone {
                rig.sql("acme", "DROP TABLE a").await;
            }
            resolve(&*rig.log, deploy, &acme, resolution, &word("looked")).await.unwrap();
        }
        assert_eq!(rig.run(deploy).await, Ending::Paused);
        assert_ne!(rig.at(deploy, "acme").await.status, TenantStatus::Stuck);
        assert!(rig.log.deploy(deploy).await.unwrap().summary.paused);
        goes_on(&rig, deploy).await;
        let outcome =
            if resolution == Resolution::Applied { DeployOutcome::EndedByHand } else { DeployOutcome::Unwound };
        assert_eq!(rig.run(deploy).await, Ending::Finished(outcome));
    }
}

#[tokio::test]
async fn the_first_who_pauses_is_the_one_who_did_and_what_has_finished_is_not_paused() {
    let rig = Rig::new(&["acme"], &[TABLE]);
    let deploy = rig.create().await;
    assert!(pauses(&rig.log, deploy));
    assert!(!pause(&*rig.log, deploy, &word("another")).await.unwrap());
    assert_eq!(account(&*rig.log, deploy).await.unwrap().paused.unwrap().reason, "a look at it");
    goes_on(&rig, deploy).await;
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Completed));
    let error = pause(&*rig.log, deploy, &word("late")).await.unwrap_err();
    assert_eq!(error.code(), Code::WrongState);
    assert!(error.to_string().contains("has finished: pause does not apply"), "{error}");
}
