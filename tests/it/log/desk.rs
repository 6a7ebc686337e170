//! What every desk must do, one function per behaviour.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use windlass::base::limits::REQUESTS_QUEUED_MAX;
use windlass::base::{Coded as _, DeployId, Timestamp, WorkerId};
use windlass::log::{
    Asked, Blob, Delivery, Desk, NewRequest, NewToken, PushedRelease, Report, ReportState, RequestState, Role,
    Selection, ServerRow, Settled, TakeError, TakenIn, What, WhenBusy,
};
use windlass::saga::event::{DeployEvent, DeployOutcome, Trigger};

use super::bench::*;

/// A request for a release that only its name is known of.
fn named(fleet: &str, revision: &str) -> NewRequest {
    let what = What::Deploy {
        revision: Some(revision.into()),
        release: None,
        environment: None,
        selection: Selection::default(),
    };
    NewRequest {
        id: DeployId::fresh(),
        fleet: fleet.into(),
        asked: Asked { what, trigger: Trigger::Api { revision: Some(revision.into()) }, actor: actor() },
        release: None,
        deliveries: Vec::new(),
        when_busy: WhenBusy::Queue,
        reports: Vec::new(),
    }
}

fn delivered(fleet: &str, revision: &str, id: &str) -> NewRequest {
    let content = Some(digest(revision));
    let deliveries = vec![Delivery { source: "api:ada".into(), id: id.into(), content }];
    NewRequest { deliveries, ..named(fleet, revision) }
}

#[tokio::test]
async fn a_request_is_durable_and_a_delivery_that_comes_again_is_it() {
    let (_bench, desk) = desk().await;
    let new = delivered("f", "v1", "d-1");
    let id = new.id;
    assert_eq!(desk.take_in(new.clone()).await.unwrap(), TakenIn::New(id));
    let kept = desk.request(id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.received_at, kept.asked), (RequestState::Queued, START, new.asked));
    assert_eq!(desk.take_in(delivered("f", "v1", "d-1")).await.unwrap(), TakenIn::Replay(id));
    let reused = desk.take_in(delivered("f", "v2", "d-1")).await.unwrap_err();
    assert!(matches!(&reused, TakeError::Reused { deploy, .. } if *deploy == id), "{reused}");
    assert_eq!(reused.next().unwrap(), format!("windlass status {id}"));
    desk.settle(id, Settled::Created).await.unwrap();
    assert_eq!(desk.take_in(delivered("f", "v1", "d-1")).await.unwrap(), TakenIn::Replay(id), "long after");
    assert_eq!(desk.requests(None, None, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_asked_for_twice_is_one_request_as_long_as_it_counts() {
    let (bench, desk) = desk().await;
    let answers = join_all((0..20).map(|_| desk.take_in(named("f", "v1")))).await;
    let answers: Vec<TakenIn> = answers.into_iter().map(Result::unwrap).collect();
    let ids: BTreeSet<DeployId> = answers.iter().map(|answer| answer.deploy()).collect();
    let new = answers.iter().filter(|answer| matches!(answer, TakenIn::New(_))).count();
    assert_eq!((ids.len(), new), (1, 1), "{answers:?}");
    let first = answers[0].deploy();
    assert!(matches!(desk.take_in(named("f", "v2")).await.unwrap(), TakenIn::New(_)));
    assert!(matches!(desk.take_in(named("another", "v1")).await.unwrap(), TakenIn::New(_)));

    // Its deploy goes up, and completes: from then on it may be asked for again, since a tenant may have come.
    let mut deploy = new_deploy("f", vec![new_tenant("a")]);
    deploy.id = first;
    bench.log.create_deploy(deploy).await.unwrap();
    desk.settle(first, Settled::Created).await.unwrap();
    assert_eq!(desk.take_in(named("f", "v1")).await.unwrap(), TakenIn::Same(first), "under way");
    bench.deploy_event(first, finished()).await;
    assert!(matches!(desk.take_in(named("f", "v1")).await.unwrap(), TakenIn::New(id) if id != first));
}

#[tokio::test]
async fn what_has_failed_or_was_called_off_can_be_asked_for_again() {
    let (bench, desk) = desk().await;
    let refused = Settled::Refused {
        code: windlass::base::Code::RevisionUnknown,
        message: "none".into(),
        next: None,
        tenants: Vec::new(),
    };
    for how in [
        refused,
        Settled::Cancelled { actor: actor(), reason: "so".into() },
        Settled::NothingToDo { tenants: 2, release: None },
    ] {
        let first = desk.take_in(named("f", "v1")).await.unwrap().deploy();
        assert!(desk.settle(first, how.clone()).await.unwrap());
        assert!(!desk.settle(first, Settled::Created).await.unwrap(), "settled once, for ever");
        let kept = desk.request(first).await.unwrap().unwrap();
        assert_eq!((kept.state, kept.settled), (how.state(), Some(how)));
    }
    let unwound = desk.take_in(named("f", "v1")).await.unwrap().deploy();
    let mut deploy = new_deploy("f", vec![new_tenant("a")]);
    deploy.id = unwound;
    bench.log.create_deploy(deploy).await.unwrap();
    desk.settle(unwound, Settled::Created).await.unwrap();
    let end = DeployEvent::DeployFinished { outcome: DeployOutcome::Unwound, account: [].into() };
    bench.deploy_event(unwound, unwind()).await;
    bench.deploy_event(unwound, end).await;
    assert!(matches!(desk.take_in(named("f", "v1")).await.unwrap(), TakenIn::New(id) if id != unwound));
}

#[tokio::test]
async fn who_may_not_wait_is_refused_while_the_fleet_is_busy_and_nothing_is_kept() {
    let (bench, desk) = desk().await;
    let under_way = bench.open(&["a"]).await;
    let impatient = NewRequest { when_busy: WhenBusy::Refuse, ..delivered("f", "v1", "d") };
    let refused = desk.take_in(impatient.clone()).await.unwrap_err();
    assert!(matches!(&refused, TakeError::Busy { deploy, .. } if *deploy == under_way), "{refused}");
    assert!(desk.requests(None, None, None, 10).await.unwrap().is_empty());
    bench.deploy_event(under_way, finished()).await;
    let waiting = desk.take_in(named("f", "v2")).await.unwrap().deploy();
    let refused = desk.take_in(impatient.clone()).await.unwrap_err();
    assert!(matches!(&refused, TakeError::Busy { deploy, .. } if *deploy == waiting), "{refused}");
    desk.settle(waiting, Settled::NothingToDo { tenants: 1, release: None }).await.unwrap();
    assert_eq!(desk.take_in(impatient.clone()).await.unwrap(), TakenIn::New(impatient.id));
}

#[tokio::test]
async fn as_many_wait_as_may_in_the_order_in_which_they_came() {
    let (_bench, desk) = desk().await;
    let mut first = None;
    for number in 0..REQUESTS_QUEUED_MAX {
        let id = desk.take_in(named("f", &format!("v{number}"))).await.unwrap().deploy();
        first.get_or_insert(id);
    }
    let refused = desk.take_in(named("f", "one more")).await.unwrap_err();
    assert!(matches!(refused, TakeError::QueueFull { waiting: REQUESTS_QUEUED_MAX, .. }), "{refused}");
    assert!(matches!(desk.take_in(named("another", "v1")).await.unwrap(), TakenIn::New(_)));
    assert_eq!(desk.next_queued("f").await.unwrap().unwrap().id, first.unwrap());
    desk.settle(first.unwrap(), Settled::Created).await.unwrap();
    assert!(matches!(desk.take_in(named("f", "one more")).await.unwrap(), TakenIn::New(_)));
}

#[tokio::test]
async fn two_names_of_one_release_are_one_request_once_it_is_found() {
    let (bench, desk) = desk().await;
    let (first, second) = (named("f", "tag"), named("f", "commit"));
    for new in [&first, &second] {
        assert_eq!(desk.take_in(new.clone()).await.unwrap(), TakenIn::New(new.id));
    }
    let release = Blob::new(b"the release".to_vec());
    assert_eq!(desk.found(first.id, release.clone()).await.unwrap(), None);
    assert_eq!(bench.log.blob(&release.digest).await.unwrap(), release.bytes);
    assert_eq!(desk.found(second.id, release.clone()).await.unwrap(), Some(first.id));
    let kept = desk.request(second.id).await.unwrap().unwrap();
    assert_eq!(kept.settled, Some(Settled::Same { deploy: first.id }));
    assert_eq!(desk.next_queued("f").await.unwrap().unwrap().id, first.id);
    let by_digest = What::Deploy {
        revision: None,
        release: Some(release.digest),
        environment: None,
        selection: Selection::default(),
    };
    let mut third = named("f", "-");
    third.asked.what = by_digest;
    assert_eq!(desk.take_in(third).await.unwrap(), TakenIn::Same(first.id));
    assert!(desk.found(DeployId::fresh(), release).await.is_err());
}

#[tokio::test]
async fn what_was_asked_for_and_made_is_listed_once_by_id() {
    let (bench, desk) = desk().await;
    let mut expected = BTreeSet::new();
    for number in 0..10 {
        expected.insert(desk.take_in(named("f", &format!("v{number}"))).await.unwrap().deploy());
    }
    let made = *expected.iter().nth(4).unwrap();
    let mut deploy = new_deploy("f", vec![new_tenant("a")]);
    deploy.id = made;
    bench.log.create_deploy(deploy).await.unwrap();
    bench.deploy_event(made, finished()).await;
    expected.insert(bench.create("f", vec![new_tenant("a")]).await);
    desk.take_in(named("another", "v1")).await.unwrap();
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = desk.listed("f", before, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        listed.extend(page);
        // What comes meanwhile moves nothing.
        desk.take_in(named("f", &format!("later {}", listed.len()))).await.unwrap();
    }
    assert!(listed.iter().map(|of| of.id).eq(expected.iter().rev().copied()));
    assert!(listed.iter().all(|of| of.row.as_ref().is_none_or(|row| row.id == of.id)));
    let of = listed.iter().find(|of| of.id == made).unwrap();
    assert!(of.row.is_some() && of.request.is_some());
    assert!(listed[0].request.is_none(), "begun by a command");
}

#[tokio::test]
async fn a_revision_is_what_it_was_when_it_was_first_seen() {
    let (_bench, desk) = desk().await;
    assert_eq!(desk.revision("f", "v1").await.unwrap(), None);
    let seen = join_all((0..8).map(|n| {
        let desk = &desk;
        async move { desk.see_revision("f", "v1", digest(&n.to_string())).await.unwrap() }
    }))
    .await;
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    assert_eq!(desk.revision("f", "v1").await.unwrap(), Some(seen[0]));
    assert_eq!(desk.see_revision("another", "v1", digest("x")).await.unwrap(), digest("x"));
}

fn pushed(fleet: &str, bytes: &str, at: i64) -> PushedRelease {
    PushedRelease {
        fleet: fleet.into(),
        digest: digest(bytes),
        name: bytes.into(),
        migrations: 1,
        bytes: bytes.len() as u64,
        pushed_at: Timestamp(at),
        pushed_by: "ada".into(),
    }
}

#[tokio::test]
async fn a_pushed_release_is_kept_once_for_its_fleet_and_listed_newest_first() {
    let (bench, desk) = desk().await;
    for name in ["a", "b", "c", "d", "e"] {
        assert!(desk.push_release(pushed("f", name, 0), name.into()).await.unwrap());
        assert!(!desk.push_release(pushed("f", name, 0), name.into()).await.unwrap());
        if name != "c" {
            bench.clock.advance(Duration::from_secs(1));
        }
    }
    assert_eq!(bench.log.blob(&digest("a")).await.unwrap(), b"a");
    assert!(desk.has_release("f", &digest("a")).await.unwrap());
    assert!(!desk.has_release("another", &digest("a")).await.unwrap());
    assert_eq!(desk.pushed("another", &digest("a")).await.unwrap(), None);
    let all: Vec<String> = desk.releases("f", None, 10).await.unwrap().into_iter().map(|of| of.name).collect();
    assert_eq!((all[0].as_str(), all.last().unwrap().as_str(), all.len()), ("e", "a", 5));
    let (mut paged, mut behind) = (Vec::new(), None);
    while let Some(of) = desk.releases("f", behind, 1).await.unwrap().pop() {
        behind = Some((of.pushed_at, of.digest));
        paged.push(of.name);
    }
    assert_eq!(paged, all, "also of two that were pushed at the same moment");
    // One that a command has deployed, and one that was found.
    bench.open(&["t"]).await;
    assert!(desk.has_release("f", &digest("release")).await.unwrap());
    desk.see_revision("f", "v9", digest("found")).await.unwrap();
    assert!(desk.has_release("f", &digest("found")).await.unwrap());
}

#[tokio::test]
async fn what_is_known_of_tenants_comes_in_pages_by_id() {
    let (bench, desk) = desk().await;
    bench.create("f", ["b", "a", "ü", "c"].map(new_tenant).into()).await;
    bench.create("another", vec![new_tenant("z")]).await;
    let (mut names, mut after) = (Vec::new(), None);
    while let Some((tenant, _)) = desk.known_tenants("f", after.as_ref(), 1).await.unwrap().pop() {
        names.push(tenant.to_string());
        after = Some(tenant);
    }
    assert_eq!(names, ["a", "b", "c", "ü"]);
}

#[tokio::test]
async fn how_far_somebody_was_told_never_goes_back() {
    let (bench, desk) = desk().await;
    let new = NewRequest { reports: vec!["hub".into()], ..named("f", "v1") };
    desk.take_in(new.clone()).await.unwrap();
    desk.open_report(new.id, "hub").await.unwrap();
    desk.open_report(new.id, "chat").await.unwrap();
    let due = desk.due_reports(10).await.unwrap();
    assert_eq!(due.iter().map(|of| of.target.as_str()).collect::<Vec<_>>(), ["chat", "hub"]);
    let told = Report { position: 9, attempts: 0, ..due[1].clone() };
    desk.note_report(told.clone()).await.unwrap();
    // A sender that was slow says what it knew.
    desk.note_report(Report { position: 4, attempts: 1, error: Some("502".into()), ..told.clone() }).await.unwrap();
    let stands = desk.reports(new.id).await.unwrap().into_iter().find(|of| of.target == "hub").unwrap();
    assert_eq!((stands.position, stands.attempts, stands.error.as_deref()), (9, 1, Some("502")));
    let later = Timestamp(START.0 + 5_000);
    desk.note_report(Report { next_at: later, ..stands.clone() }).await.unwrap();
    assert_eq!(desk.due_reports(10).await.unwrap().len(), 1, "not before its time");
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(desk.due_reports(10).await.unwrap().len(), 2);
    assert_eq!(desk.reports_standing().await.unwrap(), (2, 1, 0));
    desk.note_report(Report { state: ReportState::GivenUp, ..stands }).await.unwrap();
    assert_eq!(desk.reports_standing().await.unwrap(), (1, 0, 1));
}

#[tokio::test]
async fn who_was_to_be_told_later_than_anybody_waits_is_told_now() {
    let (bench, desk) = desk().await;
    let new = NewRequest { reports: vec!["hub".into()], ..named("f", "v1") };
    desk.take_in(new).await.unwrap();
    let report = desk.due_reports(10).await.unwrap().remove(0);
    let due = async || desk.due_reports(10).await.unwrap().len();
    // In somebody's hand.
    assert!(desk.claim_report(&report, START.plus(Duration::from_secs(12))).await.unwrap());
    assert_eq!(due().await, 0);
    bench.clock.set_back(Duration::from_secs(10));
    assert_eq!(due().await, 0, "it may still be");
    bench.clock.set_back(Duration::from_hours(1));
    assert_eq!(due().await, 1, "nobody holds it for an hour");
    bench.clock.advance(Duration::from_secs(3_610));
    // It has failed, and waits for as long as it was asked to.
    let until = START.plus(Duration::from_hours(20));
    desk.note_report(Report { next_at: until, attempts: 9, failing_since: Some(START), ..report }).await.unwrap();
    bench.clock.set_back(Duration::from_hours(3));
    assert_eq!(due().await, 0);
    bench.clock.set_back(Duration::from_hours(2));
    assert_eq!(due().await, 1, "nobody waits for more than a day");
}

fn token(id: &str, parent: Option<&str>, expires_at: Option<Timestamp>) -> NewToken {
    NewToken {
        id: id.into(),
        hash: digest(id),
        name: format!("of {id}"),
        role: Role::Operator,
        fleets: Some(["f".to_owned()].into()),
        parent: parent.map(str::to_owned),
        expires_at,
    }
}

#[tokio::test]
async fn a_token_ends_with_the_sessions_that_were_opened_with_it() {
    let (bench, desk) = desk().await;
    let end = Timestamp(START.0 + 1_000);
    for new in [token("a", None, None), token("b", None, Some(end)), token("s", Some("a"), Some(end))] {
        desk.add_token(new).await.unwrap();
    }
    let found = desk.token(&digest("a")).await.unwrap().unwrap();
    assert!(found.is_good(START) && found.covers("f") && !found.covers("another"));
    let listed: Vec<String> = desk.tokens().await.unwrap().into_iter().map(|of| of.id).collect();
    assert_eq!(listed, ["a", "b"], "sessions are not listed");
    assert!(!desk.token(&digest("b")).await.unwrap().unwrap().is_good(end));
    assert!(desk.revoke_token("a").await.unwrap());
    assert!(!desk.revoke_token("a").await.unwrap());
    for id in ["a", "s"] {
        assert!(!desk.token(&digest(id)).await.unwrap().unwrap().is_good(START), "{id}");
    }
    assert!(!desk.revoke_token("nobody's").await.unwrap());
    // Used: to the minute.
    desk.token_used("b").await.unwrap();
    bench.clock.advance(Duration::from_secs(59));
    desk.token_used("b").await.unwrap();
    assert_eq!(desk.token(&digest("b")).await.unwrap().unwrap().used_at, Some(START));
    bench.clock.advance(Duration::from_secs(1));
    desk.token_used("b").await.unwrap();
    assert_eq!(desk.token(&digest("b")).await.unwrap().unwrap().used_at, Some(Timestamp(START.0 + 60_000)));
    // A session that is over goes when the next token is made.
    desk.add_token(token("c", None, None)).await.unwrap();
    assert_eq!(desk.token(&digest("s")).await.unwrap(), None);
}

#[tokio::test]
async fn a_server_is_there_as_long_as_it_gives_signs_of_life() {
    let (_bench, desk) = desk().await;
    let server = |name: &str, seen: i64| ServerRow {
        worker: WorkerId::from(name),
        url: format!("http://{name}"),
        fleets: vec!["f".into()],
        started_at: START,
        seen_at: Timestamp(seen),
    };
    for row in [server("a", 1), server("b", 5), server("a", 9)] {
        desk.server_seen(row).await.unwrap();
    }
    let names = |rows: Vec<ServerRow>| rows.into_iter().map(|row| row.worker.to_string()).collect::<Vec<_>>();
    assert_eq!(names(desk.servers(Timestamp(0)).await.unwrap()), ["a", "b"]);
    assert_eq!(names(desk.servers(Timestamp(6)).await.unwrap()), ["a"]);
    desk.server_gone(&WorkerId::from("a")).await.unwrap();
    assert_eq!(names(desk.servers(Timestamp(0)).await.unwrap()), ["b"]);
}
