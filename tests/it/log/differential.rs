//! The same random history of calls gives the same answers on every log.

use std::time::Duration;

use proptest::prelude::*;
use windlass::base::{Attempt, DeployId, Epoch, Seq, TenantId};
use windlass::log::{Append, LeaseAfter, NewDeploy, NewTenant, TenantQuery};
use windlass::saga::event::{DeployEvent, Event, StreamId, TenantEvent, TenantOutcome};
use windlass::saga::summary::{Place, TenantStatus, TenantSummary};

use super::bench::{self, *};

const TENANTS: [&str; 4] = ["a", "b", "c", "d"];
const WORKERS: [&str; 2] = ["w", "v"];
const FLEETS: [&str; 2] = ["f", "g"];
const DEPLOYS: usize = 4;
/// Longer than some leases of the histories and shorter than others.
const STEP_MS: u64 = 700;

/// One call. Deploys, tenants and workers by their index, so that shrinking leads to the first of each.
#[derive(Debug, Clone)]
enum Call {
    Create { deploy: usize, fleet: usize, tenants: Vec<(TenantSummary, u64, bool)> },
    AppendToDeploy { deploy: usize, off: u64, event: DeployEvent },
    AppendToTenant { deploy: usize, tenant: usize, off: (u64, u64), events: Vec<TenantEvent>, to: Outcome },
    Claim { deploy: usize, worker: usize, limit: usize, lease_ms: u64 },
    ClaimOne { deploy: usize, tenant: usize, worker: usize, lease_ms: u64 },
    Heartbeat { deploy: usize, worker: usize, lease_ms: u64 },
    Release { deploy: usize, tenant: usize, off: u64 },
    Expel { deploy: usize, worker: usize },
    Wait { ms: u64 },
    SetBack { ms: u64 },
}

#[derive(Debug, Clone)]
struct Outcome {
    summary: TenantSummary,
    place: Place,
    lease: LeaseAfter,
}

fn summaries() -> impl Strategy<Value = TenantSummary> {
    // Mostly there is more to do, where something may be done: else few claims would find anything.
    let statuses = prop_oneof![2 => Just(TenantStatus::Running), 1 => proptest::sample::select(TenantStatus::ALL)];
    let low = || prop_oneof![3 => Just(0_u32), 1 => Just(1_u32)];
    (statuses, low(), low(), proptest::option::of(0_u64..4 * STEP_MS)).prop_map(|(status, stage, wave, ready)| {
        let ready_at = ready.map(|ready| START.plus(Duration::from_millis(ready)));
        let code = ready.map(|_| windlass::base::Code::StepFailed);
        TenantSummary { ready_at, code, message: code.map(|_| "it's \"wrong\"".into()), ..summary(status, stage, wave) }
    })
}

fn deploy_events() -> impl Strategy<Value = DeployEvent> {
    prop_oneof![
        4 => (0_u32..2, 0_u32..2).prop_map(|(stage, wave)| DeployEvent::WaveOpened { stage, wave }),
        1 => Just(unwind()),
        1 => Just(paused()),
        1 => Just(resumed()),
        1 => Just(finished()),
        1 => Just(DeployEvent::Sealed { root: digest("root"), signature: None }),
    ]
}

fn tenant_events() -> impl Strategy<Value = TenantEvent> {
    let undo = TenantEvent::UndoStarted { step: "migrate".into(), attempt: Attempt(1) };
    prop_oneof![Just(started()), Just(undo), Just(succeeded()), Just(turned()), Just(ended(TenantOutcome::Stuck))]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let places = prop_oneof![Just(Place::Unchanged), Just(Place::Unknown), Just(Place::At(digest("release")))];
    let leases = prop_oneof![Just(LeaseAfter::Keep), Just(LeaseAfter::Release)];
    (summaries(), places, leases).prop_map(|(summary, place, lease)| Outcome { summary, place, lease })
}

/// How far a writer is off the mark: mostly not at all.
fn off() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(0_u64), 1 => Just(1_u64)]
}

fn calls() -> impl Strategy<Value = Call> {
    let deploy = || prop_oneof![3 => Just(0), 1 => 0..DEPLOYS];
    let (tenant, worker) = (|| 0..TENANTS.len(), || 0..WORKERS.len());
    let lease = || prop_oneof![Just(STEP_MS / 2), Just(STEP_MS * 3)];
    let tenants = proptest::collection::vec((summaries(), 0_u64..4, any::<bool>()), 0..=TENANTS.len());
    prop_oneof![
        2 => (deploy(), 0..FLEETS.len(), tenants)
            .prop_map(|(deploy, fleet, tenants)| Call::Create { deploy, fleet, tenants }),
        3 => (deploy(), off(), deploy_events())
            .prop_map(|(deploy, off, event)| Call::AppendToDeploy { deploy, off, event }),
        6 => (deploy(), tenant(), (off(), off()), proptest::collection::vec(tenant_events(), 0..3), outcomes())
            .prop_map(|(deploy, tenant, off, events, to)| Call::AppendToTenant { deploy, tenant, off, events, to }),
        4 => (deploy(), worker(), 0_usize..4, lease())
            .prop_map(|(deploy, worker, limit, lease_ms)| Call::Claim { deploy, worker, limit, lease_ms }),
        2 => (deploy(), tenant(), worker(), lease())
            .prop_map(|(deploy, tenant, worker, lease_ms)| Call::ClaimOne { deploy, tenant, worker, lease_ms }),
        2 => (deploy(), worker(), lease())
            .prop_map(|(deploy, worker, lease_ms)| Call::Heartbeat { deploy, worker, lease_ms }),
        1 => (deploy(), tenant(), off()).prop_map(|(deploy, tenant, off)| Call::Release { deploy, tenant, off }),
        1 => (deploy(), worker()).prop_map(|(deploy, worker)| Call::Expel { deploy, worker }),
        2 => (1..STEP_MS).prop_map(|ms| Call::Wait { ms }),
        1 => prop_oneof![1..STEP_MS, 60_000..7_200_000_u64].prop_map(|ms| Call::SetBack { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_log_answers_the_same_to_the_same_history(history in proptest::collection::vec(calls(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let ids: Vec<DeployId> = (0..DEPLOYS).map(|_| DeployId::fresh()).collect();
            let (left, right) = (memory(), sqlite().await);
            // Most histories are about a deploy that is there and open.
            let opening = [
                Call::Create { deploy: 0, fleet: 0, tenants: vec![(summary(TenantStatus::Pending, 0, 0), 0, false); 3] },
                Call::AppendToDeploy { deploy: 0, off: 0, event: DeployEvent::WaveOpened { stage: 0, wave: 0 } },
            ];
            for call in opening.iter().chain(&history) {
                prop_assert_eq!(answer(&left, &ids, call).await, answer(&right, &ids, call).await, "to {:?}", call);
            }
            for deploy in &ids {
                prop_assert_eq!(everything(&left, *deploy).await, everything(&right, *deploy).await);
            }
            Ok(())
        })?;
    }
}

/// The answer to a call, in a form that compares.
async fn answer(bench: &Bench, ids: &[DeployId], call: &Call) -> String {
    let lease = |ms: &u64| Duration::from_millis(*ms);
    let stream = |deploy: &usize, tenant: &usize| StreamId::tenant(ids[*deploy], tenant_id(TENANTS[*tenant]));
    let worker = |index: &usize| worker(WORKERS[*index]);
    match call {
        Call::Create { deploy, fleet, tenants } => {
            let new = creation(ids[*deploy], FLEETS[*fleet], tenants);
            // Planned after the newest one, but for a few that somebody else has overtaken.
            let new = if tenants.len() == 1 { new } else { bench.after_newest(new).await };
            format!("{:?}", bench.log.create_deploy(new).await)
        }
        Call::AppendToDeploy { deploy, off, event } => {
            let seen = bench.log.deploy(ids[*deploy]).await.map_or(0, |row| row.last_seq.0);
            format!("{:?}", bench.append(append_to_deploy(ids[*deploy], seen + off, event.clone())).await)
        }
        Call::AppendToTenant { deploy, tenant, off, events, to } => {
            let stream = stream(deploy, tenant);
            let (seen, epoch) = standing(bench, &stream).await;
            let append = Append {
                stream,
                expect: Seq(seen.0 + off.0),
                epoch: Epoch(epoch.0.saturating_sub(off.1)),
                events: events.iter().cloned().map(Event::Tenant).collect(),
                summary: Some(to.summary.clone()),
                place: to.place,
                lease: to.lease,
                by: bench::worker("w"),
            };
            format!("{:?}", bench.append(append).await)
        }
        Call::Claim { deploy, worker: by, limit, lease_ms } => {
            format!("{:?}", bench.log.claim(ids[*deploy], &worker(by), *limit, lease(lease_ms)).await)
        }
        Call::ClaimOne { deploy, tenant, worker: by, lease_ms } => {
            format!("{:?}", bench.log.claim_one(&stream(deploy, tenant), &worker(by), lease(lease_ms)).await)
        }
        Call::Heartbeat { deploy, worker: by, lease_ms } => {
            // Most of what is there, and some of it under an epoch that is over.
            let rows = bench.log.tenants(ids[*deploy], &TenantQuery { limit: 99, ..TenantQuery::default() }).await;
            let held = rows.unwrap_or_default().into_iter().map(|row| {
                let off = u64::from((row.epoch.0 + row.ordinal).is_multiple_of(3));
                (row.tenant, Epoch(row.epoch.0.saturating_sub(off)))
            });
            format!("{:?}", bench.log.heartbeat(ids[*deploy], &worker(by), &held.collect(), lease(lease_ms)).await)
        }
        Call::Release { deploy, tenant, off } => {
            let stream = stream(deploy, tenant);
            let (_, epoch) = standing(bench, &stream).await;
            format!("{:?}", bench.log.release(&stream, Epoch(epoch.0.saturating_sub(*off))).await)
        }
        Call::Expel { deploy, worker: by } => format!("{:?}", bench.log.expel(ids[*deploy], &worker(by)).await),
        Call::SetBack { ms } => {
            bench.clock.set_back(Duration::from_millis(*ms));
            String::new()
        }
        Call::Wait { ms } => {
            bench.clock.advance(Duration::from_millis(*ms));
            String::new()
        }
    }
}

fn creation(id: DeployId, fleet: &str, tenants: &[(TenantSummary, u64, bool)]) -> NewDeploy {
    let tenants = TENANTS.iter().zip(tenants).map(|(name, (summary, epoch, moved))| NewTenant {
        summary: summary.clone(),
        epoch: Epoch(*epoch),
        target: digest(if *moved { "moved" } else { "target" }),
        ..new_tenant(name)
    });
    NewDeploy { id, ..new_deploy(fleet, tenants.collect()) }
}

/// The length and the epoch of a tenant's stream; zero where it is not there.
async fn standing(bench: &Bench, stream: &StreamId) -> (Seq, Epoch) {
    let tenant: Option<&TenantId> = stream.tenant.as_ref();
    let rows = bench.log.tenants(stream.deploy, &all()).await.unwrap_or_default();
    let row = rows.into_iter().find(|row| Some(&row.tenant) == tenant);
    row.map_or_else(Default::default, |row| (row.last_seq, row.epoch))
}

/// Everything that a log can be asked about a deploy.
async fn everything(bench: &Bench, deploy: DeployId) -> Vec<String> {
    let log = &bench.log;
    let mut said = vec![
        format!("{:?}", log.deploy(deploy).await),
        format!("{:?}", log.deploys(None, 9).await),
        format!("{:?}", log.tenants(deploy, &all()).await),
        format!("{:?}", log.raw(deploy).await),
        format!("{:?}", log.census(deploy).await),
        format!("{:?}", log.tail(deploy, 0, 999).await),
        format!("{:?}", log.holders(deploy).await),
        format!("{:?}", log.next_ready(deploy).await),
        format!("{:?}", log.blobs().await),
        format!("{:?}", log.fleets().await),
    ];
    for fleet in FLEETS {
        said.push(format!("{:?}", log.records(fleet).await));
    }
    for tenant in TENANTS {
        said.push(format!("{:?}", log.read(&StreamId::tenant(deploy, tenant_id(tenant))).await));
    }
    said
}

fn all() -> TenantQuery {
    TenantQuery { limit: 99, ..TenantQuery::default() }
}
