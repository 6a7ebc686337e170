//! What every log must do with leases: who is handed what, for how long, and under which epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass::base::limits::{LEASE_AHEAD_MAX, RETRY_PAUSE_MAX};
use windlass::base::{Clock as _, Epoch, Seq};
use windlass::log::{Append, AppendError, LeaseAfter, NewTenant};
use windlass::saga::event::{Direction, TenantOutcome};
use windlass::saga::summary::TenantStatus;

use super::bench::*;

conformance! {
    a_claim_goes_by_the_deploys_order_and_its_limit
    a_wave_that_is_not_open_is_not_handed_out
    a_tenant_between_two_tries_is_not_handed_out_before_its_time
    a_turn_ends_the_wait_for_another_try
    a_lease_that_has_run_out_is_taken_over_under_a_new_epoch
    what_was_written_before_the_clock_was_set_back_is_not_waited_for
    a_heartbeat_prolongs_what_is_held_and_tells_what_is_lost
    a_lease_that_its_holder_has_forgotten_runs_out
    a_worker_is_not_handed_what_it_still_holds
    a_claim_tells_how_the_deploy_stands
    a_lease_given_back_is_free_at_once
    a_stale_release_does_nothing
    an_expelled_worker_holds_nothing
    only_what_needs_work_is_claimable
    next_ready_is_when_waiting_ends
    epochs_grow_over_all_deploys_of_a_tenant
}

async fn a_claim_goes_by_the_deploys_order_and_its_limit(bench: Bench) {
    let tenants = vec![tenant_at("d", 0, 1), tenant_at("c", 0, 0), tenant_at("b", 0, 0), tenant_at("a", 0, 0)];
    let deploy = bench.create("f", tenants).await;
    bench.open_wave(deploy, 0, 1).await;
    assert!(bench.claimed(deploy, "w", 0).await.is_empty());
    assert_eq!(bench.claimed(deploy, "w", 2).await, ["c", "b"]);
    assert_eq!(bench.claimed(deploy, "v", 9).await, ["a", "d"]);
    assert!(bench.claimed(deploy, "w", 9).await.is_empty());
    let held = bench.log.tenants(deploy, &all()).await.unwrap();
    assert_eq!(held[1].owner, Some(worker("w")));
    assert_eq!(held[1].lease_until, START.plus(LEASE));
}

async fn a_wave_that_is_not_open_is_not_handed_out(bench: Bench) {
    let tenants = vec![tenant_at("a", 0, 0), tenant_at("b", 0, 1), tenant_at("c", 1, 0)];
    let deploy = bench.create("f", tenants).await;
    assert!(bench.claimed(deploy, "w", 9).await.is_empty());
    bench.open_wave(deploy, 0, 0).await;
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["a"]);
    bench.open_wave(deploy, 0, 1).await;
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["b"]);
    bench.open_wave(deploy, 1, 0).await;
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["c"]);
}

async fn a_tenant_between_two_tries_is_not_handed_out_before_its_time(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "w", 1).await.remove(0);
    let mut append = append_for(&claim, 1, started(), TenantStatus::Running);
    append.lease = LeaseAfter::Release;
    append.summary.as_mut().unwrap().ready_at = Some(START.plus(Duration::from_millis(500)));
    bench.append(append).await.unwrap();
    bench.clock.advance(Duration::from_millis(499));
    assert!(bench.claim(deploy, "w", 1).await.is_empty());
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.claim(deploy, "w", 1).await[0].events.len(), 2);
}

async fn a_turn_ends_the_wait_for_another_try(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "w", 1).await.remove(0);
    let mut wait = append_for(&claim, 1, started(), TenantStatus::Running);
    wait.lease = LeaseAfter::Release;
    wait.summary.as_mut().unwrap().ready_at = Some(START.plus(Duration::from_secs(30)));
    bench.append(wait.clone()).await.unwrap();
    assert!(bench.claim(deploy, "w", 1).await.is_empty());
    bench.deploy_event(deploy, unwind()).await;
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), None, "it is free already");
    let claim = bench.claim(deploy, "w", 1).await.remove(0);
    // An undo's pause is kept.
    let mut wait = append_for(&claim, 2, turned(), TenantStatus::Unwinding);
    wait.lease = LeaseAfter::Release;
    let soon = START.plus(Duration::from_secs(30));
    wait.summary.as_mut().unwrap().ready_at = Some(soon);
    bench.append(wait).await.unwrap();
    assert!(bench.claim(deploy, "w", 1).await.is_empty());
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), Some(soon));
}

async fn a_lease_that_has_run_out_is_taken_over_under_a_new_epoch(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let first = bench.claim(deploy, "first", 1).await.remove(0);
    bench.clock.advance(Duration::from_millis(14_999));
    assert!(bench.claim(deploy, "second", 1).await.is_empty());
    assert!(bench.log.claim_one(&first.stream, &worker("second"), LEASE).await.unwrap().is_none());
    bench.clock.advance(Duration::from_millis(1));
    let second = bench.claim(deploy, "second", 1).await.remove(0);
    assert_eq!((first.epoch, second.epoch), (Epoch(1), Epoch(2)));
    assert_eq!(bench.log.holders(deploy).await.unwrap(), [worker("second")]);
    assert_eq!(bench.record("f", "a").await.epoch, Epoch(2));
}

async fn what_was_written_before_the_clock_was_set_back_is_not_waited_for(bench: Bench) {
    let deploy = bench.open(&["a", "b"]).await;
    let waiting = bench.claim(deploy, "first", 1).await.remove(0);
    let mut wait = append_for(&waiting, 1, started(), TenantStatus::Running);
    wait.lease = LeaseAfter::Release;
    wait.summary.as_mut().unwrap().ready_at = Some(START.plus(Duration::from_secs(30)));
    bench.append(wait).await.unwrap();
    let held = bench.claim(deploy, "first", 1).await.remove(0);
    assert_eq!(held.tenant, tenant_id("b"));
    // By a little: everything counts as it was written.
    bench.clock.set_back(Duration::from_secs(5));
    assert!(bench.claim(deploy, "second", 9).await.is_empty());
    assert!(bench.log.claim_one(&held.stream, &worker("second"), LEASE).await.unwrap().is_none());
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), Some(START.plus(LEASE)));
    // By more than any lease lasts: nobody who is alive has that one.
    bench.clock.set_back(LEASE_AHEAD_MAX);
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), Some(START.plus(Duration::from_secs(30))));
    // Its holder is alive after all, and says so: it is a lease like any other again.
    let ours = BTreeMap::from([(tenant_id("b"), held.epoch)]);
    assert_eq!(bench.log.heartbeat(deploy, &worker("first"), &ours, LEASE).await.unwrap(), ours);
    assert!(bench.claim(deploy, "second", 9).await.is_empty());
    bench.clock.set_back(LEASE_AHEAD_MAX);
    assert_eq!(bench.claimed(deploy, "second", 9).await, ["b"]);
    // By more than any pause between two tries.
    bench.clock.set_back(RETRY_PAUSE_MAX);
    assert_eq!(bench.claimed(deploy, "third", 9).await, ["a", "b"]);
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), Some(bench.clock.now().plus(LEASE)));
}

async fn a_heartbeat_prolongs_what_is_held_and_tells_what_is_lost(bench: Bench) {
    let deploy = bench.open(&["a", "b"]).await;
    bench.claim(deploy, "w", 2).await;
    bench.clock.advance(Duration::from_secs(10));
    let both = BTreeMap::from([(tenant_id("a"), Epoch(1)), (tenant_id("b"), Epoch(1))]);
    assert_eq!(bench.log.heartbeat(deploy, &worker("w"), &both, LEASE).await.unwrap(), both);
    bench.clock.advance(Duration::from_secs(10));
    assert!(bench.claim(deploy, "thief", 2).await.is_empty(), "the heartbeat prolonged nothing");
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(bench.claimed(deploy, "thief", 1).await, ["a"]);
    // The lease of b has run out too, but nobody took it: it is still good, and good again for longer.
    let held = bench.log.heartbeat(deploy, &worker("w"), &both, LEASE).await.unwrap();
    assert_eq!(held, BTreeMap::from([(tenant_id("b"), Epoch(1))]));
    assert!(bench.claim(deploy, "thief", 2).await.is_empty());
}

/// A worker that has lost track of a tenant (its driver died) must not keep it for ever.
async fn a_lease_that_its_holder_has_forgotten_runs_out(bench: Bench) {
    let deploy = bench.open(&["a", "b"]).await;
    bench.claim(deploy, "w", 2).await;
    let only_a = BTreeMap::from([(tenant_id("a"), Epoch(1)), (tenant_id("b"), Epoch(7))]);
    bench.clock.advance(Duration::from_secs(10));
    let held = bench.log.heartbeat(deploy, &worker("w"), &only_a, LEASE).await.unwrap();
    assert_eq!(held, BTreeMap::from([(tenant_id("a"), Epoch(1))]));
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(bench.claimed(deploy, "v", 2).await, ["b"]);
}

/// A process that slept past its lease still has its tenants in hand: handing it one of them again would drive it twice.
async fn a_worker_is_not_handed_what_it_still_holds(bench: Bench) {
    let deploy = bench.open(&["a", "b"]).await;
    let claim = bench.claim(deploy, "w", 1).await.remove(0);
    bench.clock.advance(LEASE * 2);
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["b"]);
    bench.log.release(&claim.stream, claim.epoch).await.unwrap();
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["a"]);
}

async fn a_claim_tells_how_the_deploy_stands(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    assert_eq!(bench.log.claim(deploy, &worker("w"), 1, LEASE).await.unwrap().summary.direction, Direction::Forward);
    let row = bench.log.deploy(deploy).await.unwrap();
    bench.deploy_event(deploy, unwind()).await;
    let claims = bench.log.claim(deploy, &worker("v"), 1, LEASE).await.unwrap();
    assert_eq!(claims.summary, bench.log.deploy(deploy).await.unwrap().summary);
    assert_ne!(claims.summary, row.summary);
}

async fn a_lease_given_back_is_free_at_once(bench: Bench) {
    let deploy = bench.open(&["a", "b"]).await;
    let claims = bench.claim(deploy, "w", 2).await;
    bench.log.release(&claims[0].stream, claims[0].epoch).await.unwrap();
    let leave = append_for(&claims[1], 1, started(), TenantStatus::Running);
    bench.append(Append { lease: LeaseAfter::Release, ..leave }).await.unwrap();
    assert!(bench.log.holders(deploy).await.unwrap().is_empty());
    assert_eq!(bench.claimed(deploy, "v", 9).await, ["a", "b"]);
}

async fn a_stale_release_does_nothing(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let old = bench.claim(deploy, "old", 1).await.remove(0);
    bench.clock.advance(LEASE);
    bench.claim(deploy, "new", 1).await;
    bench.log.release(&old.stream, old.epoch).await.unwrap();
    assert_eq!(bench.log.holders(deploy).await.unwrap(), [worker("new")]);
}

async fn an_expelled_worker_holds_nothing(bench: Bench) {
    let deploy = bench.open(&["a", "b", "c"]).await;
    let dead = bench.claim(deploy, "dead", 2).await.remove(0);
    bench.claim(deploy, "alive", 1).await;
    assert_eq!(bench.log.holders(deploy).await.unwrap(), [worker("alive"), worker("dead")]);
    assert_eq!(bench.log.expel(deploy, &worker("dead")).await.unwrap(), 2);
    assert_eq!(bench.log.holders(deploy).await.unwrap(), [worker("alive")]);
    assert_eq!(bench.claimed(deploy, "alive", 9).await, ["a", "b"]);
    let late = bench.append(append_for(&dead, 1, started(), TenantStatus::Running)).await;
    assert!(matches!(late, Err(AppendError::Fenced { .. })));
}

async fn only_what_needs_work_is_claimable(bench: Bench) {
    let names = ["pending", "running", "failed", "unwinding", "stuck", "completed", "unwound"];
    let tenants = names
        .iter()
        .map(|name| NewTenant { summary: summary(TenantStatus::parse(name).unwrap(), 0, 0), ..new_tenant(name) });
    let deploy = bench.create("f", tenants.collect()).await;
    bench.open_wave(deploy, 0, 0).await;
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["pending", "running", "unwinding"]);
    bench.deploy_event(deploy, unwind()).await;
    assert_eq!(bench.claimed(deploy, "w", 9).await, ["failed", "completed"]);
    let stuck = bench.take(deploy, "human", "stuck").await;
    assert_eq!(stuck.epoch, Epoch(1));
}

async fn next_ready_is_when_waiting_ends(bench: Bench) {
    let tenants = vec![tenant_at("a", 0, 0), tenant_at("b", 0, 0), tenant_at("c", 0, 1)];
    let deploy = bench.create("f", tenants).await;
    bench.open_wave(deploy, 0, 0).await;
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), None, "all that is open is free already");
    let claims = bench.claim(deploy, "w", 9).await;
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), Some(START.plus(LEASE)));
    let soon = START.plus(Duration::from_secs(2));
    let mut wait = append_for(&claims[0], 1, started(), TenantStatus::Running);
    wait.summary.as_mut().unwrap().ready_at = Some(soon);
    bench.append(wait.clone()).await.unwrap();
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), Some(START.plus(LEASE)), "a is still held");
    bench.append(Append { expect: Seq(2), lease: LeaseAfter::Release, ..wait }).await.unwrap();
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), Some(soon));
    let stuck = append_for(&claims[1], 1, ended(TenantOutcome::Stuck), TenantStatus::Stuck);
    bench.append(stuck).await.unwrap();
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.log.next_ready(deploy).await.unwrap(), None, "a is due, b waits for a human, c for its wave");
}

async fn epochs_grow_over_all_deploys_of_a_tenant(bench: Bench) {
    let first = bench.open(&["a"]).await;
    bench.settle(first, "a", started(), TenantStatus::Running).await;
    assert_eq!(bench.take(first, "w", "a").await.epoch, Epoch(2));
    bench.deploy_event(first, finished()).await;

    let second = bench.open(&["a"]).await;
    let claim = bench.claim(second, "w", 1).await.remove(0);
    assert_eq!(claim.epoch, Epoch(3));
    bench.deploy_event(second, finished()).await;

    // A ledger that has seen more holders than this log knows of: a restored or another log.
    let third = bench.create("f", vec![NewTenant { epoch: Epoch(40), ..new_tenant("a") }]).await;
    bench.open_wave(third, 0, 0).await;
    assert_eq!(bench.claim(third, "w", 1).await[0].epoch, Epoch(41));
    bench.deploy_event(third, finished()).await;
    let fourth =
        bench.create("f", vec![NewTenant { epoch: Epoch(7), target: digest("moved"), ..new_tenant("a") }]).await;
    bench.open_wave(fourth, 0, 0).await;
    assert_eq!(bench.claim(fourth, "w", 1).await[0].epoch, Epoch(42));
}
