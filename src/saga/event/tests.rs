//! The written form of every event, to the byte: a contract with every log that exists.

use super::*;
use crate::base::SigningKey;
use crate::saga::testing::{failure, operator};

const DIGEST: &str = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";

/// The key of the first test vector of RFC 8032, and its signature of [`DIGEST`] as another program made it.
const SECRET: &str = "ed25519-secret:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const KEY: &str = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const SIGNATURE: &str = "f9a2ba8349a75f80f42e3aa8b171d4aa1844bacc8e31eea650a9fca3c102c43175d5e76546e200c8afcde00b1f57501b2b2dbceaa77b2ea811fe03b1a4e9c50b";

fn signature() -> Signature {
    SigningKey::from_file_text(SECRET).unwrap().sign(&digest())
}

fn digest() -> Digest {
    DIGEST.parse().unwrap()
}

fn deploy_id() -> DeployId {
    "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()
}

fn tenant_failed() -> Cause {
    let mut failure = failure("no such table").with_server_code("42P01").at_statement(2);
    failure.class = crate::saga::failure::ErrorClass::Transient;
    Cause::TenantFailed { tenant: TenantId::new("acme").unwrap(), step: "a".into(), failure }
}

/// A deploy for which its actor answers.
fn with_overrides(mut created: DeployEvent) -> DeployEvent {
    if let DeployEvent::DeployCreated { overrides, .. } = &mut created {
        *overrides = Overrides::new([deploy_id()].into(), [TenantId::new("acme").unwrap()].into());
    }
    created
}

/// The creation of a deploy, by everything that can set one off.
fn creations() -> Vec<(DeployEvent, String)> {
    let created = |trigger| DeployEvent::DeployCreated {
        release: digest(),
        release_name: "2026-08".into(),
        workflow: digest(),
        workflow_name: "all-or-nothing".into(),
        tenants: digest(),
        tenant_count: 3,
        changing: 3,
        fleet: "shops".into(),
        waves: vec![2, 1],
        trigger: Box::new(trigger),
        actor: operator(),
        previous: None,
        overrides: None,
    };
    let created_json = |trigger: &str| {
        format!(
            r#"{{"type":"deploy_created","release":"{DIGEST}","release_name":"2026-08","workflow":"{DIGEST}","workflow_name":"all-or-nothing","tenants":"{DIGEST}","tenant_count":3,"changing":3,"fleet":"shops","waves":[2,1],"trigger":{trigger},"actor":{{"name":"ada","host":"desk"}}}}"#
        )
    };
    vec![
        (created(Trigger::Command), created_json(r#""command""#)),
        (
            created(Trigger::Rollback { of: deploy_id() }),
            created_json(r#"{"rollback":{"of":"01890a5d-ac96-774b-bcce-b302099a8057"}}"#),
        ),
        (
            created(Trigger::Webhook {
                webhook: "github".into(),
                sender: "github".into(),
                delivery: "d-1".into(),
                event: "deployment".into(),
                revision: "a1b2".into(),
                environment: Some("production".into()),
            }),
            created_json(
                r#"{"webhook":{"webhook":"github","sender":"github","delivery":"d-1","event":"deployment","revision":"a1b2","environment":"production"}}"#,
            ),
        ),
        (
            created(Trigger::Webhook {
                webhook: "ci".into(),
                sender: "standard".into(),
                delivery: "d-2".into(),
                event: "release".into(),
                revision: "7".into(),
                environment: None,
            }),
            created_json(
                r#"{"webhook":{"webhook":"ci","sender":"standard","delivery":"d-2","event":"release","revision":"7"}}"#,
            ),
        ),
        (created(Trigger::Api { revision: Some("a1b2".into()) }), created_json(r#"{"api":{"revision":"a1b2"}}"#)),
        (created(Trigger::Api { revision: None }), created_json(r#"{"api":{}}"#)),
        (with_overrides(created(Trigger::Command)), {
            let answered = format!(r#""overrides":{{"disowned":["{}"],"new_databases":["acme"]}}}}"#, deploy_id());
            created_json(r#""command""#).replace(r#""host":"desk"}}"#, &format!(r#""host":"desk"}},{answered}"#))
        }),
    ]
}

/// Every deploy event, as it is written.
fn deploy_events() -> Vec<(DeployEvent, String)> {
    let set = |direction, cause| DeployEvent::DirectionSet { direction, cause };
    let account = [
        (TenantOutcome::Completed, 1),
        (TenantOutcome::Unwound, 2),
        (TenantOutcome::Untouched, 3),
        (TenantOutcome::Quarantined, 4),
        (TenantOutcome::Stuck, 5),
        (TenantOutcome::Abandoned, 6),
    ];
    let finished = |outcome, account: &[(TenantOutcome, u64)]| DeployEvent::DeployFinished {
        outcome,
        account: account.iter().copied().collect(),
    };
    let mut events = creations();
    events.extend([
        (DeployEvent::StageEntered { stage: 1 }, r#"{"type":"stage_entered","stage":1}"#.into()),
        (DeployEvent::WaveOpened { stage: 1, wave: 2 }, r#"{"type":"wave_opened","stage":1,"wave":2}"#.into()),
        (
            set(Direction::Unwind, tenant_failed()),
            r#"{"type":"direction_set","direction":"unwind","cause":{"tenant_failed":{"tenant":"acme","step":"a","failure":{"class":"transient","code":"WL0606","message":"no such table","server_code":"42P01","statement":2}}}}"#.into(),
        ),
        (
            set(Direction::ForwardOnly, Cause::Operator { actor: operator(), reason: "so".into() }),
            r#"{"type":"direction_set","direction":"forward_only","cause":{"operator":{"actor":{"name":"ada","host":"desk"},"reason":"so"}}}"#.into(),
        ),
        (
            finished(DeployOutcome::CompletedWithQuarantine, &account),
            r#"{"type":"deploy_finished","outcome":"completed_with_quarantine","account":{"completed":1,"unwound":2,"untouched":3,"quarantined":4,"stuck":5,"abandoned":6}}"#.into(),
        ),
        (
            finished(DeployOutcome::Completed, &[]),
            r#"{"type":"deploy_finished","outcome":"completed","account":{}}"#.into(),
        ),
        (
            finished(DeployOutcome::Unwound, &[]),
            r#"{"type":"deploy_finished","outcome":"unwound","account":{}}"#.into(),
        ),
        (
            finished(DeployOutcome::EndedByHand, &[]),
            r#"{"type":"deploy_finished","outcome":"ended_by_hand","account":{}}"#.into(),
        ),
        (
            DeployEvent::DeployResumed { actor: operator() },
            r#"{"type":"deploy_resumed","actor":{"name":"ada","host":"desk"}}"#.into(),
        ),
        (
            DeployEvent::DeployPaused { actor: operator(), reason: "lunch".into() },
            r#"{"type":"deploy_paused","actor":{"name":"ada","host":"desk"},"reason":"lunch"}"#.into(),
        ),
        (
            DeployEvent::Sealed { root: digest(), signature: None },
            format!(r#"{{"type":"sealed","root":"{DIGEST}"}}"#),
        ),
        (
            DeployEvent::Sealed { root: digest(), signature: Some(Box::new(signature())) },
            format!(r#"{{"type":"sealed","root":"{DIGEST}","signature":{{"key":"{KEY}","signature":"{SIGNATURE}"}}}}"#),
        ),
    ]);
    events
}

const FAILURE: &str = r#"{"class":"permanent","code":"WL0606","message":"no"}"#;

/// A look for evidence, with everything that it can find.
fn looks() -> Vec<(TenantEvent, String)> {
    let looked = |half, found| TenantEvent::StepProbed { step: "a".into(), half, found };
    let unknown = |retry| Found::Unknown { failure: failure("no"), retry };
    let at = Retry::At(Timestamp(1_700_000_000_123));
    vec![
        (
            looked(Half::Act, Found::Applied),
            r#"{"type":"step_probed","step":"a","half":"act","found":"applied"}"#.into(),
        ),
        (
            looked(Half::Undo, Found::NotApplied),
            r#"{"type":"step_probed","step":"a","half":"undo","found":"not_applied"}"#.into(),
        ),
        (
            looked(Half::Act, Found::Partial { statements: 2 }),
            r#"{"type":"step_probed","step":"a","half":"act","found":{"partial":{"statements":2}}}"#.into(),
        ),
        (
            looked(Half::Act, unknown(at)),
            format!(
                r#"{{"type":"step_probed","step":"a","half":"act","found":{{"unknown":{{"failure":{FAILURE},"retry":{{"at":1700000000123}}}}}}}}"#
            ),
        ),
    ]
}

/// Every tenant event, as it is written.
fn tenant_events() -> Vec<(TenantEvent, String)> {
    use TenantEvent as E;
    let step = || StepId::from("a");
    let evidence = Evidence {
        digest: Some(digest()),
        statements: 3,
        elapsed_ms: 12,
        probed: false,
        note: Some("3 columns checked".into()),
    };
    let resolved =
        |resolution| E::TenantResolved { step: step(), resolution, actor: operator(), reason: "looked".into() };
    let finished = |outcome| E::TenantFinished { outcome, reason: "so".into(), code: None };
    let at = Retry::At(Timestamp(1_700_000_000_123));
    let mut events = looks();
    events.extend([
        (
            E::TenantPlanned { plan: digest(), waves: vec![0, 1], from: Some(digest()) },
            format!(r#"{{"type":"tenant_planned","plan":"{DIGEST}","waves":[0,1],"from":"{DIGEST}"}}"#),
        ),
        (
            E::StepStarted { step: step(), attempt: Attempt(1) },
            r#"{"type":"step_started","step":"a","attempt":1}"#.into(),
        ),
        (
            E::StepSucceeded { step: step(), evidence: evidence.clone() },
            format!(
                r#"{{"type":"step_succeeded","step":"a","evidence":{{"digest":"{DIGEST}","statements":3,"elapsed_ms":12,"probed":false,"note":"3 columns checked"}}}}"#
            ),
        ),
        (
            E::StepFailed { step: step(), failure: failure("no"), retry: Retry::No, in_effect: 0 },
            format!(r#"{{"type":"step_failed","step":"a","failure":{FAILURE},"retry":"no"}}"#),
        ),
        (
            E::StepFailed { step: step(), failure: failure("no"), retry: at, in_effect: 2 },
            format!(
                r#"{{"type":"step_failed","step":"a","failure":{FAILURE},"retry":{{"at":1700000000123}},"in_effect":2}}"#
            ),
        ),
        (
            E::StepSkipped { step: step(), reason: "not here".into() },
            r#"{"type":"step_skipped","step":"a","reason":"not here"}"#.into(),
        ),
        (E::TenantTurned { cause: Cause::DeployTurned }, r#"{"type":"tenant_turned","cause":"deploy_turned"}"#.into()),
        (
            E::UndoStarted { step: step(), attempt: Attempt(2) },
            r#"{"type":"undo_started","step":"a","attempt":2}"#.into(),
        ),
        (
            E::UndoSucceeded { step: step(), evidence: Evidence { probed: true, ..Evidence::default() } },
            r#"{"type":"undo_succeeded","step":"a","evidence":{"statements":0,"elapsed_ms":0,"probed":true}}"#.into(),
        ),
        (
            E::UndoFailed { step: step(), failure: failure("no"), retry: at },
            format!(r#"{{"type":"undo_failed","step":"a","failure":{FAILURE},"retry":{{"at":1700000000123}}}}"#),
        ),
        (
            E::UndoSkipped { step: step(), reason: "no effect".into() },
            r#"{"type":"undo_skipped","step":"a","reason":"no effect"}"#.into(),
        ),
        (
            E::TenantFinished { outcome: TenantOutcome::Stuck, reason: "so".into(), code: Some(Code::InDoubt) },
            r#"{"type":"tenant_finished","outcome":"stuck","reason":"so","code":"WL0611"}"#.into(),
        ),
    ]);
    for (resolution, word) in
        [(Resolution::Retry, "retry"), (Resolution::Undone, "undone"), (Resolution::Applied, "applied")]
    {
        let json = format!(
            r#"{{"type":"tenant_resolved","step":"a","resolution":"{word}","actor":{{"name":"ada","host":"desk"}},"reason":"looked"}}"#
        );
        events.push((resolved(resolution), json));
    }
    for (outcome, word) in [
        (TenantOutcome::Completed, "completed"),
        (TenantOutcome::Unwound, "unwound"),
        (TenantOutcome::Untouched, "untouched"),
        (TenantOutcome::Quarantined, "quarantined"),
        (TenantOutcome::Abandoned, "abandoned"),
    ] {
        events.push((finished(outcome), format!(r#"{{"type":"tenant_finished","outcome":"{word}","reason":"so"}}"#)));
    }
    events
}

fn every_event() -> Vec<(Event, String)> {
    let deploy = deploy_events().into_iter().map(|(event, json)| (Event::from(event), json));
    deploy.chain(tenant_events().into_iter().map(|(event, json)| (Event::from(event), json))).collect()
}

#[test]
fn every_event_is_written_to_the_byte_and_reads_back_as_what_it_was() {
    for (event, json) in every_event() {
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
    }
}

/// Adding a variant to either enum breaks the matches below until it has its golden line.
#[test]
fn every_variant_has_its_golden_line() {
    let deploy = |event: &DeployEvent| match event {
        DeployEvent::DeployCreated { .. } => 0,
        DeployEvent::StageEntered { .. } => 1,
        DeployEvent::WaveOpened { .. } => 2,
        DeployEvent::DirectionSet { .. } => 3,
        DeployEvent::DeployFinished { .. } => 4,
        DeployEvent::Sealed { .. } => 5,
        DeployEvent::DeployResumed { .. } => 6,
        DeployEvent::DeployPaused { .. } => 7,
    };
    let tenant = |event: &TenantEvent| match event {
        TenantEvent::TenantPlanned { .. } => 0,
        TenantEvent::StepStarted { .. } => 1,
        TenantEvent::StepProbed { .. } => 2,
        TenantEvent::StepSucceeded { .. } => 3,
        TenantEvent::StepFailed { .. } => 4,
        TenantEvent::StepSkipped { .. } => 5,
        TenantEvent::TenantTurned { .. } => 6,
        TenantEvent::UndoStarted { .. } => 7,
        TenantEvent::UndoSucceeded { .. } => 8,
        TenantEvent::UndoFailed { .. } => 9,
        TenantEvent::UndoSkipped { .. } => 10,
        TenantEvent::TenantResolved { .. } => 11,
        TenantEvent::TenantFinished { .. } => 12,
    };
    let seen = |numbers: Vec<usize>| numbers.into_iter().collect::<BTreeSet<_>>().len();
    assert_eq!(seen(deploy_events().iter().map(|(event, _)| deploy(event)).collect()), 8);
    assert_eq!(seen(tenant_events().iter().map(|(event, _)| tenant(event)).collect()), 13);
}

#[test]
fn an_event_that_lacks_a_field_is_an_error_and_never_another_event() {
    let defaulted = ["code", "from", "in_effect", "overrides", "signature"];
    for (event, json) in every_event() {
        let serde_json::Value::Object(whole) = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
        for field in whole.keys().filter(|field| !defaulted.contains(&field.as_str())) {
            let mut short = whole.clone();
            short.remove(field);
            let read = serde_json::from_value::<Event>(short.into());
            assert!(read.is_err(), "{event:?} without {field} read as {read:?}");
        }
        let mut renamed = whole.clone();
        renamed.insert("type".into(), "something_else".into());
        assert!(serde_json::from_value::<Event>(renamed.into()).is_err());
    }
}

#[test]
fn an_event_that_a_later_windlass_has_added_a_field_to_is_still_read() {
    let json = r#"{"type":"step_started","step":"a","attempt":1,"colour":"blue"}"#;
    let event = TenantEvent::StepStarted { step: "a".into(), attempt: Attempt(1) };
    assert_eq!(serde_json::from_str::<Event>(json).unwrap(), Event::Tenant(event));
}

#[test]
fn evidence_of_which_little_is_known_reads_back() {
    let json = r#"{"type":"step_succeeded","step":"a","evidence":{}}"#;
    let event = TenantEvent::StepSucceeded { step: "a".into(), evidence: Evidence::default() };
    assert_eq!(serde_json::from_str::<Event>(json).unwrap(), Event::Tenant(event));
}

#[test]
fn a_recorded_event_reads_back_and_keeps_its_order_of_fields() {
    let json =
        r#"{"seq":3,"at":1700000000123,"by":"desk/1/2","epoch":7,"event":{"type":"wave_opened","stage":0,"wave":1}}"#;
    let recorded: Recorded = serde_json::from_str(json).unwrap();
    assert_eq!((recorded.seq, recorded.epoch), (Seq(3), Epoch(7)));
    assert_eq!(serde_json::to_string(&recorded).unwrap(), json);
}

#[test]
fn only_step_started_is_a_forward_start() {
    for (event, json) in tenant_events() {
        assert_eq!(event.is_forward_start(), json.contains(r#""type":"step_started""#));
    }
}

#[test]
fn a_step_and_an_undo_are_what_a_pause_keeps_from_starting() {
    for (event, json) in tenant_events() {
        let announced = [r#""type":"step_started""#, r#""type":"undo_started""#];
        assert_eq!(event.is_start(), announced.iter().any(|kind| json.contains(kind)));
    }
}
