//! How the words of the lower floors look in JSON. They are said here, so that those floors need not know of a description.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::base::{Attempt, Code, DeployId, Digest, LogId, Revision, Seq, StepId, TenantId, Timestamp, WorkerId};
use crate::release::{Dialect, UndoQuality};
use crate::saga::deploy::Pause;
use crate::saga::event::{Actor, Cause, DeployOutcome, Direction, Event, Evidence, Trigger};
use crate::saga::failure::{ErrorClass, Failure};
use crate::saga::plan::UndoSource;
use crate::saga::summary::{TenantStatus, TenantSummary};

macro_rules! looks {
    ($($of:ty = $name:literal, $schema:expr;)*) => { $(
        impl PartialSchema for $of {
            fn schema() -> RefOr<Schema> {
                RefOr::T($schema)
            }
        }

        impl ToSchema for $of {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )* };
}

looks! {
    DeployId = "DeployId", uuid("A deploy.");
    LogId = "LogId", uuid("A log.");
    Digest = "Digest", pattern("A SHA-256, in hexadecimal digits.", "^[0-9a-f]{64}$");
    Code = "Code", pattern("The code of an error; each has a page.", "^WL[0-9]{4}$");
    Revision = "Revision", pattern("What a release is called by those who ask for it.", "^[A-Za-z0-9_+][A-Za-z0-9._+/-]*$");
    TenantId = "TenantId", tenant();
    StepId = "StepId", text("A step of a plan.");
    WorkerId = "WorkerId", text("A process.");
    Timestamp = "Timestamp", number("Milliseconds since 1970-01-01 UTC.");
    Seq = "Seq", number("A place in a stream, from 1.");
    Attempt = "Attempt", number("Which try, from 1.");
    TenantStatus = "TenantStatus", words("Where a tenant stands.", TenantStatus::ALL);
    Direction = "Direction", words("Which way a deploy goes.", &[Direction::Forward, Direction::Unwind, Direction::ForwardOnly]);
    DeployOutcome = "DeployOutcome", words("How a deploy ended.", &[
        DeployOutcome::Completed, DeployOutcome::Unwound, DeployOutcome::CompletedWithQuarantine, DeployOutcome::EndedByHand,
    ]);
    Dialect = "Dialect", words("The SQL of a database.", &[Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite]);
    UndoSource = "UndoSource", words("How a step is taken back.", &[
        UndoSource::NoEffect, UndoSource::Written, UndoSource::Irreversible,
    ]);
    Actor = "Actor", actor();
    Pause = "Pause", fields("A pause.", &[("actor", actor()), ("reason", text("In their words."))], &[]);
    Failure = "Failure", failure();
    Evidence = "Evidence", evidence();
    TenantSummary = "TenantSummary", tenant_summary();
    UndoQuality = "UndoQuality", undo_quality();
    Trigger = "Trigger", word_or_object("What set a deploy off: `\"command\"`, or an object whose one field says what.");
    Cause = "Cause", word_or_object("Why something turned: `\"deploy_turned\"`, or an object whose one field says why.");
    Event = "Event", fields("What happened, as the log keeps it; `type` says what, and the other fields depend on it.", &[
        ("type", text("What kind of event.")),
    ], &[]);
}

fn of_type(of: Type, what: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(of).description(Some(what))
}

fn text(what: &str) -> Schema {
    of_type(Type::String, what).into()
}

fn pattern(what: &str, pattern: &str) -> Schema {
    of_type(Type::String, what).pattern(Some(pattern)).into()
}

fn uuid(what: &str) -> Schema {
    of_type(Type::String, what).format(Some(SchemaFormat::Custom("uuid".to_owned()))).into()
}

fn number(what: &str) -> Schema {
    of_type(Type::Integer, what).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))).into()
}

fn tenant() -> Schema {
    let what = "A tenant: 1 to 200 bytes, without control characters or surrounding space.";
    // The last character and the first are no space; in between anything goes that is no control character.
    let (edge, inside) = (r"[^\s\u0000-\u001f\u007f-\u009f]", r"[^\u0000-\u001f\u007f-\u009f]");
    let pattern = format!("^{edge}({inside}*{edge})?$");
    of_type(Type::String, what).min_length(Some(1)).max_length(Some(200)).pattern(Some(pattern)).into()
}

/// The words that these values are written as, which are asked of the values themselves.
fn words<T: Serialize>(what: &str, all: &[T]) -> Schema {
    let words: Vec<serde_json::Value> = all.iter().filter_map(|one| serde_json::to_value(one).ok()).collect();
    of_type(Type::String, what).enum_values(Some(words)).into()
}

/// An object with these fields, some of which are always there.
fn fields(what: &str, always: &[(&str, Schema)], sometimes: &[(&str, Schema)]) -> Schema {
    let mut object = of_type(Type::Object, what);
    for (name, schema) in always {
        object = object.property(*name, schema.clone()).required(*name);
    }
    for (name, schema) in sometimes {
        object = object.property(*name, schema.clone());
    }
    object.into()
}

fn actor() -> Schema {
    fields("Who did it.", &[("name", text("The person, token or webhook.")), ("host", text("Where from."))], &[])
}

fn failure() -> Schema {
    fields(
        "Why a step, or an undo, did not succeed.",
        &[
            ("class", words("Whether trying again can help.", &[ErrorClass::Transient, ErrorClass::Permanent])),
            ("code", pattern("The page to look it up under.", "^WL[0-9]{4}$")),
            ("message", text("What the server, or Windlass, said.")),
        ],
        &[
            ("server_code", text("The server's own error code.")),
            ("statement", number("Which statement of the migration, from 1.")),
        ],
    )
}

fn evidence() -> Schema {
    fields(
        "What a step left behind that proves it.",
        &[
            ("statements", number("Statements run.")),
            ("elapsed_ms", number("Milliseconds it took, by the worker's clock.")),
            ("probed", of_type(Type::Boolean, "Whether it was read from the tenant's ledger rather than seen.").into()),
        ],
        &[
            ("digest", pattern("SHA-256 of what was run, where something was.", "^[0-9a-f]{64}$")),
            ("note", text("One line for people.")),
        ],
    )
}

fn tenant_summary() -> Schema {
    let or_null = |of: Type, what: &str| -> Schema {
        let of = SchemaType::Array(vec![of, Type::Null]);
        ObjectBuilder::new().schema_type(of).description(Some(what)).into()
    };
    fields(
        "A tenant of a deploy in a row.",
        &[
            ("status", words("Where it stands.", TenantStatus::ALL)),
            ("stage", number("The stage of its next step; its last one where it has none left.")),
            ("wave", number("Its wave in that stage.")),
            ("step", or_null(Type::String, "The step it is at, or failed at.")),
            ("ready_at", or_null(Type::Integer, "Not to be taken up before then.")),
            ("code", or_null(Type::String, "What went wrong last, where something did.")),
            ("message", or_null(Type::String, "The same in words.")),
        ],
        &[],
    )
}

fn undo_quality() -> Schema {
    let is = of_type(Type::String, "Whether what was there before is there again.");
    let is = is.enum_values(Some(["lossless", "lossy", "irreversible", "missing"]));
    fields("What an undo can bring back.", &[("is", is.into())], &[("because", text("What makes it lossy."))])
}

fn word_or_object(what: &str) -> Schema {
    let word = ObjectBuilder::new().schema_type(Type::String);
    let object = ObjectBuilder::new().schema_type(Type::Object);
    AnyOfBuilder::new().item(word).item(object).description(Some(what)).into()
}
