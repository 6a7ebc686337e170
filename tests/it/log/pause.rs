//! What every log must do with a deploy that is paused.

use windlass::base::Seq;
use windlass::log::{AppendError, LeaseAfter};
use windlass::saga::event::{DeployEvent, Event, TenantEvent};
use windlass::saga::summary::TenantStatus;

use super::bench::*;

conformance! {
    a_paused_deploy_hands_nobody_out_until_it_goes_on
    a_turned_deploy_that_is_paused_hands_nobody_out
    while_a_deploy_is_paused_neither_half_of_a_step_starts
    what_was_running_when_it_was_paused_is_recorded
    a_tenant_of_a_paused_deploy_may_be_taken_for_a_humans_word
    a_turn_by_hand_ends_the_pause
    no_start_is_written_during_a_pause_however_they_race
}

fn undo_started() -> TenantEvent {
    TenantEvent::UndoStarted { step: "migrate".into(), attempt: windlass::base::Attempt(1) }
}

async fn a_paused_deploy_hands_nobody_out_until_it_goes_on(bench: Bench) {
    let deploy = bench.open(&["a", "b"]).await;
    assert_eq!(bench.claimed(deploy, "w", 1).await, ["a"]);
    bench.deploy_event(deploy, paused()).await;
    let claims = bench.log.claim(deploy, &worker("w"), 9, LEASE).await.unwrap();
    assert_eq!((claims.tenants.len(), claims.summary.paused, claims.last_seq), (0, true, Seq(3)));
    // Not the free one, and not the one whose lease runs out.
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), None);
    bench.clock.advance(LEASE);
    assert!(bench.claimed(deploy, "v", 9).await.is_empty());
    bench.deploy_event(deploy, resumed()).await;
    let claims = bench.log.claim(deploy, &worker("v"), 9, LEASE).await.unwrap();
    assert_eq!((claims.tenants.len(), claims.summary.paused, claims.last_seq), (2, false, Seq(4)));
}

async fn a_turned_deploy_that_is_paused_hands_nobody_out(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    bench.deploy_event(deploy, unwind()).await;
    bench.deploy_event(deploy, paused()).await;
    assert!(bench.claimed(deploy, "w", 9).await.is_empty());
    bench.deploy_event(deploy, resumed()).await;
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["a"]);
}

async fn while_a_deploy_is_paused_neither_half_of_a_step_starts(bench: Bench) {
    for turn in [false, true] {
        let fleet = if turn { "turned" } else { "forward" };
        let deploy = bench.create(fleet, vec![new_tenant("a")]).await;
        bench.open_wave(deploy, 0, 0).await;
        let claim = bench.claim(deploy, "a", 1).await.remove(0);
        if turn {
            bench.deploy_event(deploy, unwind()).await;
        }
        bench.deploy_event(deploy, paused()).await;
        let before = bench.log.raw(deploy).await.unwrap();
        let mut undo = append_for(&claim, 1, turned(), TenantStatus::Unwinding);
        undo.events.push(undo_started().into());
        assert!(matches!(bench.append(undo.clone()).await, Err(AppendError::Paused { .. })));
        let start = append_for(&claim, 1, started(), TenantStatus::Running);
        match bench.append(start.clone()).await {
            Err(AppendError::Paused { .. }) if !turn => {}
            Err(AppendError::Turned { .. }) if turn => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.log.raw(deploy).await.unwrap(), before);
        bench.deploy_event(deploy, resumed()).await;
        bench.append(if turn { undo } else { start }).await.unwrap();
    }
}

async fn what_was_running_when_it_was_paused_is_recorded(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "a", 1).await.remove(0);
    bench.append(append_for(&claim, 1, started(), TenantStatus::Running)).await.unwrap();
    bench.deploy_event(deploy, paused()).await;
    bench.clock.advance(LEASE / 2);
    let held = [(claim.tenant.clone(), claim.epoch)].into();
    assert_eq!(bench.log.heartbeat(deploy, &worker("a"), &held, LEASE).await.unwrap(), held);
    let mut end = append_for(&claim, 2, succeeded(), TenantStatus::Running);
    end.lease = LeaseAfter::Release;
    assert_eq!(bench.append(end).await.unwrap(), Seq(3));
    assert!(bench.log.holders(deploy).await.unwrap().is_empty());
}

async fn a_tenant_of_a_paused_deploy_may_be_taken_for_a_humans_word(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    bench.deploy_event(deploy, paused()).await;
    bench.settle(deploy, "a", succeeded(), TenantStatus::Running).await;
    assert!(bench.log.deploy(deploy).await.unwrap().summary.paused);
}

async fn a_turn_by_hand_ends_the_pause(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    bench.deploy_event(deploy, paused()).await;
    bench.deploy_event(deploy, unwind()).await;
    assert!(!bench.log.deploy(deploy).await.unwrap().summary.paused);
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["a"]);
}

async fn no_start_is_written_during_a_pause_however_they_race(bench: Bench) {
    let tenants: Vec<String> = (0..20).map(|index| format!("t{index:02}")).collect();
    let deploy = bench.open(&tenants.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let claims = bench.claim(deploy, "a", 20).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (index, claim) in claims.into_iter().enumerate() {
        let log = bench.log.clone();
        tasks.spawn(async move {
            let mut seen = 1;
            let mut refused = 0;
            while seen <= 20 {
                let event = if index % 2 == 0 { started() } else { undo_started() };
                match log.append(append_for(&claim, seen, event, TenantStatus::Running)).await {
                    Ok(_) => seen += 1,
                    // Somebody lets it go on in the end.
                    Err(AppendError::Paused { .. }) => {
                        refused += 1;
                        tokio::task::yield_now().await;
                    }
                    Err(other) => panic!("{other}"),
                }
                if index == 7 && seen == 6 && refused == 0 {
                    log.append(append_to_deploy(deploy, 2, paused())).await.unwrap();
                }
                if index == 7 && refused == 9 {
                    log.append(append_to_deploy(deploy, 3, resumed())).await.unwrap();
                    refused += 1;
                }
            }
            refused
        });
    }
    let refused: u64 = tasks.join_all().await.into_iter().sum();
    assert!(refused > 0, "nobody has met the pause");
    let events = bench.log.tail(deploy, 0, 10_000).await.unwrap();
    let place =
        |of: &DeployEvent| events.iter().position(|event| event.recorded.event == Event::Deploy(of.clone())).unwrap();
    let between = &events[place(&paused())..place(&resumed())];
    assert!(between.iter().all(|event| !matches!(&event.recorded.event, Event::Tenant(of) if of.is_start())));
    let starts = events.iter().filter(|event| matches!(&event.recorded.event, Event::Tenant(of) if of.is_start()));
    assert_eq!(starts.count(), 400, "each was written once, before the pause or after it");
}
