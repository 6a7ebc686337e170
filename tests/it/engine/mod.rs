//! The engine over real files, and over sessions that say what a real server says only rarely.

mod rig;

use rig::Rig;
use windlass::base::Code;
use windlass::engine::Ending;
use windlass::saga::event::{Half, TenantEvent};
use windlass::saga::failure::{ErrorClass, Failure};
use windlass::saga::summary::TenantStatus;
use windlass::tenant::{Outcome, SessionError};

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
