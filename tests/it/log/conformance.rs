//! What every log must do with deploys, streams, records and questions, one function per behaviour. A new log joins by a line in the
//! macro `conformance!`.

use std::collections::BTreeSet;
use std::time::Duration;

use windlass::base::{Coded as _, DeployId, Epoch, Seq, Timestamp};
use windlass::log::{Append, AppendError, Blob, CreateError, LeaseAfter, LogError, NewTenant, TenantQuery};
use windlass::saga::event::{DeployEvent, Direction, Event, StreamId, TenantEvent, TenantOutcome};
use windlass::saga::summary::{Census, Place, TenantStatus};

use super::bench::*;

conformance! {
    a_deploy_is_created_whole_or_not_at_all
    a_fleet_has_one_unfinished_deploy
    a_deploy_that_was_planned_before_another_ran_is_refused
    what_was_appended_is_read_back_in_order
    an_epoch_that_was_succeeded_can_append_nothing
    a_writer_that_has_not_seen_the_end_can_append_nothing
    of_two_racing_appends_exactly_one_is_written
    the_first_of_several_broken_conditions_is_the_answer
    a_batch_that_is_refused_leaves_nothing
    no_start_is_written_after_the_turn_however_they_race
    a_finished_deploy_takes_nothing_but_its_seal
    what_no_caller_may_ask_is_refused_by_name
    a_record_follows_what_is_known_of_the_release
    a_record_of_another_target_says_nothing_about_the_release
    the_census_equals_a_recount
    the_tail_is_whole_ordered_and_resumable
    the_end_of_a_deploy_is_where_its_tail_has_nothing_more
    blobs_are_kept_once_under_their_digest
    raw_and_read_agree
    deploys_are_listed_newest_first
    tenants_are_listed_in_order_by_status_and_in_pages
}

async fn a_deploy_is_created_whole_or_not_at_all(bench: Bench) {
    let mut broken = new_deploy("f", vec![new_tenant("a"), new_tenant("b"), new_tenant("a")]);
    assert!(matches!(bench.log.create_deploy(broken.clone()).await, Err(CreateError::Log(LogError::Refused { .. }))));
    broken.tenants.pop();
    broken.blobs[0].bytes.push(0);
    assert!(matches!(
        bench.log.create_deploy(broken.clone()).await,
        Err(CreateError::Log(LogError::BlobAltered { .. }))
    ));
    assert!(matches!(bench.log.deploy(broken.id).await, Err(LogError::DeployUnknown { .. })));
    assert!(bench.log.blobs().await.unwrap().is_empty());
    assert!(bench.log.records("f").await.unwrap().is_empty());

    broken.blobs[0].bytes.pop();
    let whole = broken;
    bench.log.create_deploy(whole.clone()).await.unwrap();
    let row = bench.log.deploy(whole.id).await.unwrap();
    assert_eq!((row.fleet.as_str(), row.last_seq, row.created_at), ("f", Seq(1), START));
    let events = bench.log.read(&StreamId::deploy(whole.id)).await.unwrap();
    assert_eq!(events.into_iter().map(|recorded| recorded.event).collect::<Vec<_>>(), [whole.created.into()]);
    let tenants = bench.log.tenants(whole.id, &all()).await.unwrap();
    assert_eq!(names(tenants.iter().map(|row| row.tenant.as_str())), ["a", "b"]);
    assert_eq!(tenants[1].spec, "{\"id\":\"b\"}");
    assert_eq!(bench.length(&StreamId::tenant(whole.id, tenant_id("b"))).await, 1);
}

async fn a_fleet_has_one_unfinished_deploy(bench: Bench) {
    let first = bench.open(&["a"]).await;
    let mut second = new_deploy("f", vec![new_tenant("b")]);
    second.blobs = vec![Blob::new(b"of the second".to_vec())];
    let refused = bench.log.create_deploy(second.clone()).await.unwrap_err();
    assert!(matches!(&refused, CreateError::FleetBusy { fleet, deploy } if fleet == "f" && *deploy == first));
    assert_eq!(refused.next().unwrap(), format!("windlass resume {first}"));
    assert!(matches!(bench.log.blob(&second.blobs[0].digest).await, Err(LogError::BlobMissing { .. })));
    assert_eq!(bench.log.records("f").await.unwrap().len(), 1);

    bench.create("another", vec![new_tenant("a")]).await;
    bench.deploy_event(first, finished()).await;
    bench.log.create_deploy(bench.after_newest(second).await).await.unwrap();
}

/// Between the look at the tenants and the write, another deploy of the fleet came and went: the plans may be for what is no longer so.
async fn a_deploy_that_was_planned_before_another_ran_is_refused(bench: Bench) {
    let early = bench.after_newest(new_deploy("f", vec![new_tenant("a")])).await;
    let first = bench.open(&["a"]).await;
    bench.deploy_event(first, finished()).await;
    let refused = bench.log.create_deploy(early.clone()).await.unwrap_err();
    assert!(matches!(&refused, CreateError::FleetMoved { fleet, newest } if fleet == "f" && *newest == Some(first)));
    assert!(matches!(bench.log.deploy(early.id).await, Err(LogError::DeployUnknown { .. })));
    bench.log.create_deploy(bench.after_newest(early).await).await.unwrap();
}

async fn what_was_appended_is_read_back_in_order(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "a", 1).await.remove(0);
    bench.clock.advance(Duration::from_millis(7));
    let odd = TenantEvent::StepSkipped { step: "migrate:ü\"\\".into(), reason: "\u{0}\n\u{1F600}'\u{7f}".into() };
    let mut append = append_for(&claim, 1, started(), TenantStatus::Running);
    append.events.push(odd.clone().into());
    assert_eq!(bench.append(append).await.unwrap(), Seq(3));
    let read = bench.log.read(&claim.stream).await.unwrap();
    assert_eq!(read.iter().map(|recorded| recorded.seq.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(read[2].event, Event::Tenant(odd));
    assert_eq!((read[2].at, read[2].epoch, &read[2].by), (Timestamp(START.0 + 7), claim.epoch, &worker("a")));
    assert_eq!(bench.log.tenants(deploy, &all()).await.unwrap()[0].summary, summary(TenantStatus::Running, 0, 0));
}

async fn an_epoch_that_was_succeeded_can_append_nothing(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let old = bench.claim(deploy, "old", 1).await.remove(0);
    bench.clock.advance(LEASE);
    let new = bench.claim(deploy, "new", 1).await.remove(0);
    let refused = bench.append(append_for(&old, 1, started(), TenantStatus::Running)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Fenced { held, current, .. } if held == old.epoch && current == new.epoch));
    assert_eq!(bench.append(append_for(&new, 1, started(), TenantStatus::Running)).await.unwrap(), Seq(2));
}

async fn a_writer_that_has_not_seen_the_end_can_append_nothing(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "a", 1).await.remove(0);
    bench.append(append_for(&claim, 1, started(), TenantStatus::Running)).await.unwrap();
    for seen in [0, 1, 3] {
        let refused = bench.append(append_for(&claim, seen, succeeded(), TenantStatus::Running)).await.unwrap_err();
        assert!(matches!(refused, AppendError::Stale { expected, current: Seq(2), .. } if expected == Seq(seen)));
    }
    let refused = bench.append(append_to_deploy(deploy, 1, unwind())).await.unwrap_err();
    assert!(matches!(refused, AppendError::Stale { current: Seq(2), .. }));
    assert_eq!(bench.length(&claim.stream).await, 2);
}

async fn of_two_racing_appends_exactly_one_is_written(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "a", 1).await.remove(0);
    for seen in 1..=30 {
        let append = append_for(&claim, seen, started(), TenantStatus::Running);
        let (left, right) = tokio::join!(bench.append(append.clone()), bench.append(append));
        let lost = if left.is_ok() { right } else { left };
        assert!(matches!(lost, Err(AppendError::Stale { .. })), "{lost:?}");
        assert_eq!(bench.length(&claim.stream).await, seen + 1);
    }
}

async fn the_first_of_several_broken_conditions_is_the_answer(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let old = bench.claim(deploy, "old", 1).await.remove(0);
    bench.clock.advance(LEASE);
    let new = bench.claim(deploy, "new", 1).await.remove(0);
    bench.deploy_event(deploy, unwind()).await;
    let start = |claim, seen| append_for(claim, seen, started(), TenantStatus::Running);
    assert!(matches!(bench.append(start(&new, 1)).await, Err(AppendError::Turned { .. })));
    bench.deploy_event(deploy, finished()).await;
    assert!(matches!(bench.append(start(&new, 1)).await, Err(AppendError::Finished { .. })));
    assert!(matches!(bench.append(start(&new, 9)).await, Err(AppendError::Stale { .. })));
    assert!(matches!(bench.append(start(&old, 9)).await, Err(AppendError::Fenced { .. })));
}

async fn a_batch_that_is_refused_leaves_nothing(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "a", 1).await.remove(0);
    bench.deploy_event(deploy, unwind()).await;
    let before = (bench.log.raw(deploy).await.unwrap(), bench.record("f", "a").await);
    bench.clock.advance(Duration::from_secs(1));
    let mut batch = append_for(&claim, 1, succeeded(), TenantStatus::Running);
    batch.events.push(started().into());
    (batch.place, batch.lease) = (Place::At(digest("release")), LeaseAfter::Release);
    assert!(matches!(bench.append(batch.clone()).await, Err(AppendError::Turned { .. })));
    assert_eq!((bench.log.raw(deploy).await.unwrap(), bench.record("f", "a").await), before);
    assert_eq!(bench.log.holders(deploy).await.unwrap(), [worker("a")]);

    // Without the start, the same is written: outcomes of what had begun are welcome after the turn.
    batch.events.pop();
    assert_eq!(bench.append(batch).await.unwrap(), Seq(2));
}

async fn no_start_is_written_after_the_turn_however_they_race(bench: Bench) {
    let tenants: Vec<String> = (0..20).map(|index| format!("t{index:02}")).collect();
    let deploy = bench.open(&tenants.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let claims = bench.claim(deploy, "a", 20).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (index, claim) in claims.into_iter().enumerate() {
        let log = bench.log.clone();
        tasks.spawn(async move {
            for seen in 1..=20 {
                match log.append(append_for(&claim, seen, started(), TenantStatus::Running)).await {
                    Ok(_) => {}
                    Err(AppendError::Turned { .. }) => return seen - 1,
                    Err(other) => panic!("{other}"),
                }
                if index == 7 && seen == 5 {
                    log.append(append_to_deploy(deploy, 2, unwind())).await.unwrap();
                }
            }
            20
        });
    }
    let started: u64 = tasks.join_all().await.into_iter().sum();
    assert!(started < 400, "the turn came too late to prove anything");
    let events = bench.log.tail(deploy, 0, 10_000).await.unwrap();
    let turn = events.iter().position(|event| event.recorded.event == Event::Deploy(unwind())).unwrap();
    let is_start = |event: &Event| matches!(event, Event::Tenant(event) if event.is_forward_start());
    assert_eq!(events[..turn].iter().filter(|event| is_start(&event.recorded.event)).count() as u64, started);
    assert!(events[turn..].iter().all(|event| !is_start(&event.recorded.event)));
}

async fn a_finished_deploy_takes_nothing_but_its_seal(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "a", 1).await.remove(0);
    bench.deploy_event(deploy, finished()).await;
    let late = append_for(&claim, 1, succeeded(), TenantStatus::Completed);
    assert!(matches!(bench.append(late).await, Err(AppendError::Finished { .. })));
    assert!(matches!(bench.append(append_to_deploy(deploy, 3, unwind())).await, Err(AppendError::Finished { .. })));
    let seal = DeployEvent::Sealed { root: digest("root"), signature: None };
    assert_eq!(bench.append(append_to_deploy(deploy, 3, seal.clone())).await.unwrap(), Seq(4));
    assert_eq!(bench.log.deploy(deploy).await.unwrap().summary.seal, Some(digest("root")));
    assert!(matches!(bench.append(append_to_deploy(deploy, 4, seal)).await, Err(AppendError::Finished { .. })));
    bench.clock.advance(LEASE);
    assert!(bench.claim(deploy, "b", 9).await.is_empty());
    assert!(bench.log.claim_one(&claim.stream, &worker("b"), LEASE).await.unwrap().is_none());
}

async fn what_no_caller_may_ask_is_refused_by_name(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "a", 1).await.remove(0);
    let good = append_for(&claim, 1, started(), TenantStatus::Running);
    let refusals = [
        Append { events: vec![], ..good.clone() },
        Append { events: vec![unwind().into()], ..good.clone() },
        Append { summary: None, ..good.clone() },
        Append { epoch: Epoch(0), ..good.clone() },
        Append { events: vec![started().into()], ..append_to_deploy(deploy, 2, unwind()) },
    ];
    for append in refusals {
        let answer = bench.append(append).await;
        assert!(matches!(answer, Err(AppendError::Log(LogError::Refused { .. }))), "{answer:?}");
    }
    let elsewhere = StreamId::tenant(deploy, tenant_id("nobody"));
    let answer = bench.append(Append { stream: elsewhere.clone(), ..good.clone() }).await;
    assert!(matches!(answer, Err(AppendError::Log(LogError::TenantUnknown { .. }))));
    assert!(matches!(bench.log.read(&elsewhere).await, Err(LogError::TenantUnknown { .. })));
    let nowhere = StreamId::tenant(DeployId::fresh(), tenant_id("a"));
    let answer = bench.append(Append { stream: nowhere.clone(), ..good }).await;
    assert!(matches!(answer, Err(AppendError::Log(LogError::DeployUnknown { .. }))));
    assert!(matches!(bench.log.census(nowhere.deploy).await, Err(LogError::DeployUnknown { .. })));
    let again = windlass::log::NewDeploy { id: deploy, ..new_deploy("other", vec![]) };
    assert!(matches!(bench.log.create_deploy(again).await, Err(CreateError::Log(LogError::Refused { .. }))));
}

async fn a_record_follows_what_is_known_of_the_release(bench: Bench) {
    let deploy = bench.open(&["a"]).await;
    let claim = bench.claim(deploy, "w", 1).await.remove(0);
    let there = Place::At(digest("release"));
    let expected =
        [(Place::Unknown, None), (there, Some(digest("release"))), (Place::Unchanged, Some(digest("release")))];
    for (seen, (place, release)) in expected.into_iter().enumerate() {
        bench.clock.advance(Duration::from_secs(1));
        let append = append_for(&claim, seen as u64 + 1, started(), TenantStatus::Running);
        bench.append(Append { place, ..append }).await.unwrap();
        let record = bench.record("f", "a").await;
        assert_eq!((record.release, record.target), (release, digest("target")));
        assert_eq!(record.seen_at, START.plus(Duration::from_secs(seen as u64 + 1)));
    }
    assert!(bench.log.records("another").await.unwrap().is_empty());
}

async fn a_record_of_another_target_says_nothing_about_the_release(bench: Bench) {
    let first = bench.open(&["a", "b"]).await;
    for claim in bench.claim(first, "w", 2).await {
        let append = append_for(&claim, 1, ended(TenantOutcome::Completed), TenantStatus::Completed);
        bench.append(Append { place: Place::At(digest("release")), ..append }).await.unwrap();
    }
    bench.deploy_event(first, finished()).await;
    bench.create("f", vec![new_tenant("a"), NewTenant { target: digest("moved"), ..new_tenant("b") }]).await;
    assert_eq!(bench.record("f", "a").await.release, Some(digest("release")));
    let moved = bench.record("f", "b").await;
    assert_eq!((moved.release, moved.target, moved.epoch), (None, digest("moved"), Epoch(1)));
}

async fn the_census_equals_a_recount(bench: Bench) {
    let tenants = (0..12).map(|index| tenant_at(&format!("t{index}"), index % 2, index % 3)).collect();
    let deploy = bench.create("f", tenants).await;
    bench.open_wave(deploy, 1, 2).await;
    bench.settle(deploy, "t3", started(), TenantStatus::Running).await;
    bench.settle(deploy, "t4", ended(TenantOutcome::Stuck), TenantStatus::Stuck).await;
    bench.settle(deploy, "t5", ended(TenantOutcome::Completed), TenantStatus::Completed).await;
    let mut recount = Census::default();
    for row in bench.log.tenants(deploy, &all()).await.unwrap() {
        *recount.groups.entry((row.summary.status, row.summary.stage, row.summary.wave)).or_default() += 1;
    }
    let census = bench.log.census(deploy).await.unwrap();
    assert_eq!(census, recount);
    assert_eq!((census.total(), census.count(TenantStatus::Stuck)), (12, 1));
}

async fn the_tail_is_whole_ordered_and_resumable(bench: Bench) {
    let deploy = bench.open(&["a", "b"]).await;
    let other = bench.create("other", vec![new_tenant("a")]).await;
    bench.settle(deploy, "b", started(), TenantStatus::Running).await;
    bench.open_wave(other, 0, 0).await;
    bench.settle(deploy, "a", started(), TenantStatus::Running).await;
    let whole = bench.log.tail(deploy, 0, 100).await.unwrap();
    let streams = names(whole.iter().map(|event| event.stream.tenant.as_ref().map_or("-", |tenant| tenant.as_str())));
    assert_eq!(streams, ["-", "a", "b", "-", "b", "a"]);
    assert!(whole.is_sorted_by(|left, right| left.position < right.position));
    assert!(whole.iter().all(|event| event.stream.deploy == deploy));

    let (mut pieces, mut after) = (Vec::new(), 0);
    loop {
        let piece = bench.log.tail(deploy, after, 2).await.unwrap();
        let Some(last) = piece.last() else { break };
        after = last.position;
        pieces.extend(piece);
    }
    assert_eq!(pieces, whole);
    bench.deploy_event(deploy, unwind()).await;
    assert_eq!(bench.log.tail(deploy, after, 9).await.unwrap().len(), 1);
}

async fn the_end_of_a_deploy_is_where_its_tail_has_nothing_more(bench: Bench) {
    let (first, second) = (bench.open(&["a"]).await, bench.create("other", vec![new_tenant("a")]).await);
    for deploy in [first, second] {
        let last = bench.log.tail(deploy, 0, 100).await.unwrap().last().unwrap().position;
        assert_eq!(bench.log.end(deploy).await.unwrap(), last);
        assert!(bench.log.tail(deploy, last, 100).await.unwrap().is_empty());
    }
}

async fn blobs_are_kept_once_under_their_digest(bench: Bench) {
    bench.create("f", vec![]).await;
    bench.create("g", vec![]).await;
    assert_eq!(bench.log.blob(&digest("plan")).await.unwrap(), b"plan");
    let kept: BTreeSet<_> = bench.log.blobs().await.unwrap().into_iter().collect();
    assert_eq!(kept, BTreeSet::from([digest("plan"), digest("release")]));
    assert_eq!(bench.log.blobs().await.unwrap().len(), 2);
    assert!(matches!(bench.log.blob(&digest("none")).await, Err(LogError::BlobMissing { .. })));
}

async fn raw_and_read_agree(bench: Bench) {
    let deploy = bench.open(&["b", "a"]).await;
    bench.settle(deploy, "b", turned(), TenantStatus::Unwinding).await;
    let raw = bench.log.raw(deploy).await.unwrap();
    let streams = names(raw.iter().map(|raw| raw.stream.tenant.as_ref().map_or("-", |tenant| tenant.as_str())));
    assert_eq!(streams, ["-", "a", "b"]);
    assert_eq!(raw[2].summary, Some(summary(TenantStatus::Unwinding, 0, 0)));
    for stream in raw {
        let mut head = windlass::saga::chain::genesis(&stream.stream);
        for event in &stream.events {
            head = windlass::saga::chain::link(&head, event.body.as_bytes());
            assert_eq!(event.hash, head);
        }
        assert_eq!((stream.head, stream.last_seq.0), (head, stream.events.len() as u64));
        let parsed: Vec<windlass::saga::event::Recorded> =
            stream.events.iter().map(|event| serde_json::from_str(&event.body).unwrap()).collect();
        assert_eq!(bench.log.read(&stream.stream).await.unwrap(), parsed);
    }
}

async fn deploys_are_listed_newest_first(bench: Bench) {
    let mut made = Vec::new();
    for fleet in ["f", "g", "h"] {
        made.push(bench.create(fleet, vec![]).await);
        bench.clock.advance(Duration::from_millis(1));
    }
    bench.deploy_event(made[0], finished()).await;
    made.push(bench.create("f", vec![]).await);
    made.reverse();
    let ids = |rows: Vec<windlass::log::DeployRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(bench.log.deploys(None, 10).await.unwrap()), made);
    assert_eq!(ids(bench.log.deploys(None, 2).await.unwrap()), made[..2]);
    assert_eq!(ids(bench.log.deploys(Some("f"), 10).await.unwrap()), [made[0], made[3]]);
    assert_eq!(bench.log.deploy(made[0]).await.unwrap().summary.direction, Direction::Forward);
}

async fn tenants_are_listed_in_order_by_status_and_in_pages(bench: Bench) {
    let deploy = bench.open(&["d", "c", "b", "a"]).await;
    bench.settle(deploy, "c", ended(TenantOutcome::Completed), TenantStatus::Completed).await;
    let listed = async |query| {
        let rows = bench.log.tenants(deploy, &query).await.unwrap();
        rows.into_iter().map(|row| row.tenant.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(all()).await, ["d", "c", "b", "a"]);
    assert_eq!(listed(TenantQuery { after: Some(0), limit: 2, ..all() }).await, ["c", "b"]);
    assert_eq!(listed(TenantQuery { statuses: vec![TenantStatus::Pending], ..all() }).await, ["d", "b", "a"]);
}
