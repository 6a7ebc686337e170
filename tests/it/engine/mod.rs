//! The engine over real files, and over sessions that say what a real server says only rarely.

mod pause;
mod process;
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use rig::{Rig, word};

use windlass::audit::{account, verify};
use windlass::base::limits::LEASE;
use windlass::base::{Code, Coded as _, DeployId, TenantId, WorkerId};
use windlass::engine::{
    Ending, EngineError, Gateway, OpenSession, Stop, prepare_rollback, resolve, resolve_all, retry,
};
use windlass::fleet::Tenant;
use windlass::log::CreateError;
use windlass::saga::event::{DeployOutcome, Evidence, Half, Resolution, StreamId, TenantEvent, Trigger};
use windlass::saga::failure::{ErrorClass, Failure};
use windlass::saga::plan::{PlannedStep, UndoSource};
use windlass::saga::summary::TenantStatus;
use windlass::saga::workflow::StepDef;
use windlass::step::{Expand, Kinds, StepContext, StepError, StepKind, Trouble};
use windlass::tenant::{Opening, Outcome, SessionError, Survey};

const TABLE: (&str, &str) = ("CREATE TABLE a (id int)", "DROP TABLE a");

#[tokio::test]
async fn a_migration_that_tore_its_transaction_leaves_its_tenant_to_a_human() {
    for half in [Half::Act, Half::Undo] {
        let rig = Rig::new(&["acme", "bolt"], &[TABLE, ("CREATE TABLE b (id int)", "DROP TABLE b")]);
        rig.on_apply(move |tenant, unit| {
            let fails = |code, outcome| {
                let failure = Failure::new(ErrorClass::Permanent, code, "as it would be said");
                Some(SessionError { tenant: tenant.clone(), failure, outcome })
            };
            match (tenant.as_str(), unit.name.as_str(), unit.key.half) {
                ("acme", "0002_m", Half::Act) if half == Half::Undo => fails(Code::StepFailed, Outcome::NoEffect),
                ("acme", "0001_m", of) if of == half => fails(Code::TransactionBroken, Outcome::Torn),
                _ => None,
            }
        });
        let (deploy, ending) = rig.deploy().await;
        assert_eq!(ending, Ending::Waiting);
        let acme = rig.at(deploy, "acme").await;
        assert_eq!((acme.status, acme.code), (TenantStatus::Stuck, Some(Code::TransactionBroken)));
        let says_no_effect = |event: &TenantEvent| match event {
            TenantEvent::StepFailed { step, .. } | TenantEvent::UndoFailed { step, .. } => {
                step.as_str().contains("0001")
            }
            _ => false,
        };
        assert!(!rig.events(deploy, "acme").await.iter().any(says_no_effect));
    }
}

#[tokio::test]
async fn looks_that_find_an_earlier_session_at_work_are_not_counted() {
    let rig = Rig::new(&["acme"], &[TABLE]);
    let tries = AtomicU32::new(0);
    let (fails, opened) = (AtomicU32::new(0), AtomicU32::new(0));
    rig.on_apply(move |tenant, _| {
        let failure = Failure::new(ErrorClass::Transient, Code::TenantUnreachable, "gone");
        (fails.fetch_add(1, Ordering::SeqCst) == 0).then(|| SessionError {
            tenant: tenant.clone(),
            failure,
            outcome: Outcome::Unknown,
        })
    });
    // The workflow gives two tries; the earlier session is in the way for nine.
    rig.on_open(move |opening| {
        if opened.fetch_add(1, Ordering::SeqCst) == 0 || tries.fetch_add(1, Ordering::SeqCst) >= 9 {
            return None;
        }
        let class = ErrorClass::Transient;
        Some(SessionError::no_effect(&opening.tenant, class, Code::PredecessorAlive, "still at work"))
    });
    let (deploy, ending) = rig.deploy().await;
    assert_eq!(ending, Ending::Finished(DeployOutcome::Completed), "{:?}", rig.events(deploy, "acme").await);
}

#[tokio::test]
async fn what_a_human_settled_is_surveyed_by_the_next_deploy() {
    for resolution in [Resolution::Undone, Resolution::Applied, Resolution::Retry] {
        let rig = Rig::new(&["acme"], &[TABLE]);
        rig.deploy().await;
        rig.migration(2, "CREATE TABLE b (id int)", "DROP TABLE b");
        let torn = AtomicU32::new(0);
        rig.on_apply(move |tenant, unit| {
            let failure = Failure::new(ErrorClass::Permanent, Code::TransactionBroken, "torn");
            let outcome = Outcome::Torn;
            (unit.name == "0002_m" && torn.fetch_add(1, Ordering::SeqCst) == 0).then(|| SessionError {
                tenant: tenant.clone(),
                failure,
                outcome,
            })
        });
        let (deploy, ending) = rig.deploy().await;
        assert_eq!((ending, rig.at(deploy, "acme").await.status), (Ending::Waiting, TenantStatus::Stuck));
        let acme = TenantId::new("acme").unwrap();
        if resolution == Resolution::Retry {
            retry(&*rig.log, deploy, None, &word("mended")).await.unwrap();
        } else {
            resolve(&*rig.log, deploy, &acme, resolution, &word("looked")).await.unwrap();
        }
        rig.run(deploy).await;
        // Said to be applied, and it is not: its undo fails, and a human has to go on.
        let applied = resolution == Resolution::Applied;
        let status = if applied { TenantStatus::Stuck } else { TenantStatus::Unwound };
        assert_eq!(rig.at(deploy, "acme").await.status, status, "{resolution:?}");
        let record = rig.log.records("shop").await.unwrap().remove(&acme).unwrap();
        assert_eq!(record.release, None, "{resolution:?}");
    }
}

#[tokio::test]
async fn a_step_that_took_effect_by_a_humans_word_is_undone_with_the_rest() {
    for undo in ["DROP TABLE b", ""] {
        let rig = Rig::new(&["acme"], &[TABLE, ("CREATE TABLE b (id int)", undo)]);
        rig.on_apply(move |tenant, unit| {
            let failure = Failure::new(ErrorClass::Permanent, Code::TransactionBroken, "torn");
            let torn = unit.name == "0002_m" && unit.key.half == Half::Act && !unit.statements.is_empty();
            torn.then(|| SessionError { tenant: tenant.clone(), failure, outcome: Outcome::Torn })
        });
        let (deploy, ending) = rig.deploy().await;
        assert_eq!((ending, rig.at(deploy, "acme").await.status), (Ending::Waiting, TenantStatus::Stuck));
        // What a torn migration leaves: its effect, and no row.
        rig.sql("acme", "CREATE TABLE b (id int)").await;
        let acme = TenantId::new("acme").unwrap();
        resolve(&*rig.log, deploy, &acme, Resolution::Applied, &word("it is there")).await.unwrap();
        let ending = rig.run(deploy).await;
        let ledger = "SELECT name || ' ' || effect FROM windlass_ledger WHERE name = '0002_m' ORDER BY position";
        let (rows, tables) = (rig.sql("acme", ledger).await, "SELECT name FROM sqlite_schema WHERE name IN ('a', 'b')");
        if undo.is_empty() {
            // It stays: the ledger says so, by which the next deploy goes, and a human has the last word.
            let at = rig.at(deploy, "acme").await;
            assert_eq!((ending, at.code), (Ending::Waiting, Some(Code::Irreversible)));
            resolve(&*rig.log, deploy, &acme, Resolution::Applied, &word("it stays")).await.unwrap();
            assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::EndedByHand));
            assert_eq!(
                (rows, rig.sql("acme", tables).await),
                (vec!["0002_m apply".into()], vec!["a".into(), "b".into()])
            );
        } else {
            assert_eq!(ending, Ending::Finished(DeployOutcome::Unwound));
            let told = vec!["0002_m apply".to_owned(), "0002_m revert".to_owned()];
            assert_eq!((rows, rig.sql("acme", tables).await), (told, vec![]));
        }
    }
}

/// The simulator found that the ledger kept the migration, so that the next deploy left it out.
#[tokio::test]
async fn what_took_effect_in_doubt_and_was_taken_back_by_hand_is_applied_by_the_next_deploy() {
    // The ledger is told at once; only when it is asked the last time; the same after an earlier session has held the tenant for longer
    // than there are tries; never.
    for (refused, held) in [(0, 0), (1, 0), (9, 8), (u32::MAX, 0)] {
        let rig = Rig::new(&["acme"], &[TABLE]);
        let (answers, opened) = (AtomicU32::new(0), AtomicU32::new(0));
        rig.on_applied(move |tenant, _| {
            let failure = Failure::new(ErrorClass::Transient, Code::TenantUnreachable, "gone");
            let lost = || SessionError { tenant: tenant.clone(), failure, outcome: Outcome::Unknown };
            (answers.fetch_add(1, Ordering::SeqCst) == 0).then(lost)
        });
        // The session that ran it opened; neither look does; and then nobody does who has something to tell.
        rig.on_open(move |opening| {
            let tried = opened.fetch_add(1, Ordering::SeqCst);
            let code = if (3..3 + held).contains(&tried) { Code::PredecessorAlive } else { Code::TenantTimeout };
            let gone = || SessionError::no_effect(&opening.tenant, ErrorClass::Transient, code, "no");
            (tried != 0 && tried < refused.saturating_add(3)).then(gone)
        });
        let (deploy, ending) = rig.deploy().await;
        assert_eq!((ending, rig.at(deploy, "acme").await.code), (Ending::Waiting, Some(Code::InDoubt)));
        rig.sql("acme", "DROP TABLE a").await;
        let acme = TenantId::new("acme").unwrap();
        resolve(&*rig.log, deploy, &acme, Resolution::Undone, &word("dropped it")).await.unwrap();
        assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Unwound));
        let events = rig.events(deploy, "acme").await;
        let Some(TenantEvent::TenantFinished { reason, .. }) = events.last() else { panic!("{events:?}") };
        let account = account(&*rig.log, deploy).await.unwrap();
        assert_eq!(account.has_untold(), refused == u32::MAX);
        if refused == u32::MAX {
            assert!(reason.contains("could not be told that migrate:0001_m was undone"), "{reason}");
            let group = &account.failures[0];
            assert_eq!(
                (group.code, group.message.as_str(), group.tenants.len()),
                (Code::LedgerUntold, reason.as_str(), 1)
            );
            assert_eq!(rig.at(deploy, "acme").await.message.as_ref(), Some(reason));
            assert!(verify(&*rig.log, deploy, &[]).await.unwrap().findings.is_empty());
            continue;
        }
        // Were the log lost now, nothing would say that the deploy is under way.
        assert_eq!(rig.sql("acme", "SELECT state FROM windlass_fence").await, ["undone"]);
        assert!(!reason.contains("told that"), "{reason}");
        let (_, ending) = rig.deploy().await;
        assert_eq!(ending, Ending::Finished(DeployOutcome::Completed));
        let there = rig.sql("acme", "SELECT name FROM sqlite_schema WHERE name = 'a'").await;
        assert_eq!(there, ["a"]);
    }
}

/// The simulator found that the ledger kept the undo, so that the next deploy would have applied the migration again.
#[tokio::test]
async fn what_was_undone_in_doubt_and_brought_back_by_hand_is_left_out_by_the_next_deploy() {
    let mut rig = Rig::new(&["acme", "bolt"], &[TABLE]);
    // One after the other.
    let wave = "name = \"one\"\n  [[stage.wave]]\n  select = \"*\"\n  size = \"1\"\n";
    rig.workflow = rig.workflow.replace("name = \"one\"\n", wave);
    let (undone, mended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (seen, healed) = (Arc::clone(&undone), Arc::clone(&mended));
    rig.on_apply(move |tenant, _| {
        let error = || SessionError::no_effect(tenant, ErrorClass::Permanent, Code::StepFailed, "no");
        (tenant.as_str() == "bolt" && !healed.load(Ordering::SeqCst)).then(error)
    });
    rig.on_applied(move |tenant, unit| {
        let failure = Failure::new(ErrorClass::Transient, Code::TenantUnreachable, "gone");
        let lost = || SessionError { tenant: tenant.clone(), failure, outcome: Outcome::Unknown };
        (unit.key.half == Half::Undo && !seen.swap(true, Ordering::SeqCst)).then(lost)
    });
    let healed = Arc::clone(&mended);
    rig.on_open(move |opening| {
        let gone = || SessionError::no_effect(&opening.tenant, ErrorClass::Transient, Code::TenantTimeout, "no");
        (undone.load(Ordering::SeqCst) && !healed.load(Ordering::SeqCst)).then(gone)
    });
    let (deploy, ending) = rig.deploy().await;
    assert_eq!((ending, rig.at(deploy, "acme").await.code), (Ending::Waiting, Some(Code::InDoubt)));
    mended.store(true, Ordering::SeqCst);
    rig.sql("acme", "CREATE TABLE a (id int)").await;
    let acme = TenantId::new("acme").unwrap();
    resolve(&*rig.log, deploy, &acme, Resolution::Applied, &word("it is there again")).await.unwrap();
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::EndedByHand));
    let (deploy, ending) = rig.deploy().await;
    assert_eq!(ending, Ending::Finished(DeployOutcome::Completed));
    let started =
        |event: &TenantEvent| matches!(event, TenantEvent::StepStarted { step, .. } if step.as_str().contains("0001"));
    assert!(!rig.events(deploy, "acme").await.iter().any(started));
}

#[tokio::test]
async fn a_tenant_that_waits_for_its_next_try_does_not_delay_the_unwind() {
    let mut rig = Rig::new(&["acme", "bolt"], &[TABLE]);
    rig.workflow = rig.workflow.replace("first = \"1ms\", max = \"2ms\"", "first = \"1h\", max = \"1h\"");
    rig.on_apply(move |tenant, _| {
        let (class, code) = if tenant.as_str() == "acme" {
            (ErrorClass::Transient, Code::TenantTimeout)
        } else {
            (ErrorClass::Permanent, Code::StepFailed)
        };
        Some(SessionError::no_effect(tenant, class, code, "as it would be said"))
    });
    let deploy = rig.create().await;
    // Bounded by the rig's own deadline, far below the hour.
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Unwound));
}

/// While the tenants are asked, somebody else rolls the same deploy back.
struct Meanwhile<'r> {
    rig: &'r Rig,
    deploy: DeployId,
    begun: AtomicBool,
}

#[async_trait]
impl Gateway for Meanwhile<'_> {
    async fn survey(&self, tenant: &Tenant) -> Result<Survey, SessionError> {
        if !self.begun.swap(true, Ordering::SeqCst) {
            let (rig, of) = (self.rig, self.deploy);
            let prepared = prepare_rollback(&*rig.log, &*rig.gateway, rig.request().await, of).await.unwrap();
            let deploy = rig.create_from(prepared, Trigger::Rollback { of }).await;
            assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Completed));
        }
        self.rig.gateway.survey(tenant).await
    }

    async fn open(&self, _: &Tenant, _: &Opening) -> Result<OpenSession, SessionError> {
        unreachable!("nothing is touched")
    }
}

/// The simulator found that the tenants were blamed: they had lost, or had already, what the other deploy was just about.
#[tokio::test]
async fn what_another_deploy_did_meanwhile_is_no_reason_to_refuse_a_tenant() {
    let rig = Rig::new(&["acme"], &[TABLE]);
    let (deploy, _) = rig.deploy().await;
    let meanwhile = Meanwhile { rig: &rig, deploy, begun: AtomicBool::new(false) };
    let refused = prepare_rollback(&*rig.log, &meanwhile, rig.request().await, deploy).await.map(|of| of.changing());
    assert!(matches!(refused, Err(EngineError::Create(CreateError::FleetMoved { .. }))), "{refused:?}");
    // Nobody is in the way any more, and it is not in force.
    let refused = prepare_rollback(&*rig.log, &*rig.gateway, rig.request().await, deploy).await.map(|of| of.changing());
    assert!(matches!(refused, Err(EngineError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_rollback_names_the_tenants_that_a_human_left_as_they_are() {
    let mut rig = Rig::new(&["acme", "bolt"], &[("CREATE TABLE a (id int)", "")]);
    // One after the other.
    let wave = "name = \"one\"\n  [[stage.wave]]\n  select = \"*\"\n  size = \"1\"\n";
    rig.workflow = rig.workflow.replace("name = \"one\"\n", wave);
    rig.on_apply(|tenant, _| {
        let error = || SessionError::no_effect(tenant, ErrorClass::Permanent, Code::StepFailed, "no");
        (tenant.as_str() == "bolt").then(error)
    });
    let (deploy, ending) = rig.deploy().await;
    assert_eq!(ending, Ending::Waiting);
    let acme = TenantId::new("acme").unwrap();
    resolve(&*rig.log, deploy, &acme, Resolution::Applied, &word("it stays")).await.unwrap();
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::EndedByHand));
    let found = prepare_rollback(&*rig.log, &*rig.gateway, rig.request().await, deploy).await.unwrap();
    assert_eq!((found.changing(), found.left_by_hand), (0, vec![acme]));
}

#[tokio::test]
async fn a_word_about_all_stuck_tenants_passes_over_one_that_somebody_holds() {
    let mut rig = Rig::new(&["acme", "bolt", "crow"], &[TABLE, ("CREATE TABLE b (id int)", "DROP TABLE b")]);
    // One after the other.
    let wave = "name = \"one\"\n  [[stage.wave]]\n  select = \"*\"\n  size = \"1\"\n";
    rig.workflow = rig.workflow.replace("name = \"one\"\n", wave);
    rig.on_apply(|tenant, unit| {
        let scripted_undo = unit.key.half == Half::Undo && !unit.statements.is_empty();
        let fails = (tenant.as_str(), unit.name.as_str()) == ("crow", "0002_m")
            || (scripted_undo && unit.name.as_str() == "0001_m");
        fails.then(|| SessionError::no_effect(tenant, ErrorClass::Permanent, Code::StepFailed, "no"))
    });
    let (deploy, ending) = rig.deploy().await;
    assert_eq!(ending, Ending::Waiting);
    let [acme, bolt, crow] = ["acme", "bolt", "crow"].map(|name| TenantId::new(name).unwrap());
    let stuck = async |name| rig.at(deploy, name).await.status == TenantStatus::Stuck;
    let held = StreamId::tenant(deploy, bolt.clone());
    let claim = rig.log.claim_one(&held, &WorkerId("elsewhere".into()), LEASE).await.unwrap().unwrap();
    let said = resolve_all(&*rig.log, deploy, Resolution::Undone, &word("none has it")).await.unwrap();
    assert_eq!((said.tenants, said.busy), (vec![acme, crow], vec![bolt.clone()]));
    assert_eq!(rig.run(deploy).await, Ending::Waiting);
    assert!(!stuck("acme").await && stuck("bolt").await && !stuck("crow").await);
    let busy = resolve_all(&*rig.log, deploy, Resolution::Undone, &word("it neither")).await.unwrap_err();
    assert!(matches!(busy, EngineError::TenantBusy { .. }), "{busy}");
    rig.log.release(&held, claim.epoch).await.unwrap();
    resolve_all(&*rig.log, deploy, Resolution::Undone, &word("it neither")).await.unwrap();
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Unwound));
}

#[tokio::test]
async fn only_tenants_that_are_stuck_over_one_thing_are_settled_together() {
    let mut rig = Rig::new(&["acme", "bolt"], &[TABLE, ("CREATE TABLE b (id int)", "DROP TABLE b")]);
    rig.migration(3, "CREATE TABLE c (id int)", "DROP TABLE c");
    // One after the other.
    let wave = "name = \"one\"\n  [[stage.wave]]\n  select = \"*\"\n  size = \"1\"\n";
    rig.workflow = rig.workflow.replace("name = \"one\"\n", wave);
    rig.on_apply(|tenant, unit| {
        let fails = matches!(
            (tenant.as_str(), unit.name.as_str(), unit.key.half),
            ("bolt", "0003_m", Half::Act) | ("bolt", "0002_m", Half::Undo) | ("acme", "0001_m", Half::Undo)
        );
        fails.then(|| SessionError::no_effect(tenant, ErrorClass::Permanent, Code::StepFailed, "no"))
    });
    let (deploy, ending) = rig.deploy().await;
    assert_eq!(ending, Ending::Waiting);
    let error = resolve_all(&*rig.log, deploy, Resolution::Applied, &word("both stay")).await.unwrap_err();
    assert!(error.to_string().contains("migrate:0001_m WL0606; migrate:0002_m WL0606"), "{error}");
    for tenant in ["acme", "bolt"] {
        assert_eq!(rig.at(deploy, tenant).await.status, TenantStatus::Stuck);
    }
}

#[tokio::test]
async fn a_program_without_a_kind_of_step_leaves_the_deploy_to_one_that_has_it() {
    struct Nothing;
    #[async_trait]
    impl StepKind for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }
        fn summary(&self) -> &'static str {
            "does nothing"
        }
        fn expand(&self, def: &StepDef, cx: &Expand<'_>) -> Result<Vec<PlannedStep>, StepError> {
            let (id, uses, needs, with) = (def.id.clone(), "nothing".to_owned(), Vec::new(), serde_json::Value::Null);
            Ok(vec![PlannedStep { id, uses, stage: cx.stage, needs, digest: None, undo: UndoSource::NoEffect, with }])
        }
        async fn act(&self, _: &PlannedStep, _: &mut StepContext<'_>) -> Result<Evidence, Trouble> {
            Ok(Evidence::default())
        }
    }
    let mut rig = Rig::new(&["acme"], &[TABLE]);
    rig.workflow.push_str("  [[stage.step]]\n  id = \"own\"\n  uses = \"nothing\"\n  needs = [\"migrate\"]\n");
    rig.kinds = Kinds::default().with(Arc::new(Nothing));
    let deploy = rig.create().await;
    let before = rig.events(deploy, "acme").await;
    let own = std::mem::take(&mut rig.kinds);
    let (_keep, stop) = tokio::sync::watch::channel(Stop::Run);
    let error = rig.engine("stranger").run(deploy, stop).await.unwrap_err();
    assert_eq!(error.code(), Code::UnknownStepKind);
    let said = format!("deploy {deploy} has steps of a kind that this program does not have (nothing); it has check, ");
    assert!(error.to_string().starts_with(&said), "{error}");
    assert_eq!(rig.events(deploy, "acme").await, before);
    assert!(rig.log.holders(deploy).await.unwrap().is_empty());
    rig.kinds = own;
    assert_eq!(rig.run(deploy).await, Ending::Finished(DeployOutcome::Completed));
}
