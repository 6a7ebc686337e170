//! The API's description of itself, by `OpenAPI` 3.1.
//!
//! What a handler takes and answers stands with the handler. What stands before all of them (tokens, limits) is added here, out of the
//! table of routes that the server itself goes by.

mod schema;

use std::sync::LazyLock;

use axum::response::Response;
use http::{HeaderMap, Method};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::response::Response as Answer;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, Schema};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::tag::tagged_bytes;
use super::{deploys, events, export, list, releases, server, steer, tenants, tokens, workflows};
use crate::serve::access::{Need, need};
use crate::serve::health;
use crate::serve::problem::ProblemBody;

/// An answer that says why something was not done.
fn refusal(what: &str) -> Answer {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(what).content("application/problem+json", content).build()
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $what:literal;)*) => { $(
        $(#[$doc])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<String, RefOr<Answer>> {
                [($status.to_owned(), RefOr::T(refusal($what)))].into()
            }
        }
    )* };
}

refusals! {
    /// The request cannot be read.
    Malformed = "400", "The request cannot be read, or makes no sense.";
    /// What it names is not there.
    Missing = "404", "What it names is not there, or not for this token.";
    /// What it asks for does not go with what is.
    Conflict = "409", "That cannot be done as things stand.";
    /// Its body is larger than may be.
    TooLarge = "413", "The body is too large; nothing of it was kept.";
    /// Its body is not JSON.
    WrongKind = "415", "The body is not application/json.";
    /// It is well-formed and cannot be done.
    Unfit = "422", "What is asked for is understood, and cannot be done.";
}

/// The client has what it would be answered with.
pub(super) struct Unchanged;

impl IntoResponses for Unchanged {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Answer>> {
        let answer = ResponseBuilder::new().description("It is what the client has.").build();
        [("304".to_owned(), RefOr::T(answer))].into()
    }
}

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Windlass",
        description = "Deploys of releases to fleets of tenant databases: asked for, watched, steered, read back. Times are milliseconds since \
                       1970-01-01 UTC.",
    ),
    paths(
        health::healthz, health::readyz, show, server::server,
        list::list, deploys::create, deploys::show, events::page, events::live, tenants::of_deploy, tenants::of_deploy_one,
        steer::pause, steer::resume, steer::unwind, steer::cancel, steer::retry, steer::resolve, steer::rollback,
        tenants::of_fleet, workflows::list, workflows::show,
        releases::list, releases::show, releases::push,
        export::export, tokens::list, tokens::create, tokens::revoke,
    ),
    components(schemas(ProblemBody, export::Format)),
    modifiers(&Common),
    tags(
        (name = "deploys", description = "Deploys: asked for, watched, steered."),
        (name = "fleets", description = "Fleets: their tenants, and the workflows that their deploys go by."),
        (name = "releases", description = "Releases: pushed, listed, looked through."),
        (name = "audit", description = "What happened, out of the log."),
        (name = "tokens", description = "Who may ask."),
        (name = "server", description = "The server itself."),
    ),
)]
struct Document;

/// What every route may answer, and what each asks for.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("wl_<id>_<secret>").build();
        let components = document.components.get_or_insert_default();
        components.security_schemes.insert("token".to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                complete(&method, path, operation);
                plain_headers(operation);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    let all = [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// What an operation is called: `get_deploys_id_events`.
fn name(method: &Method, path: &str) -> String {
    let words = path.split('/').filter(|word| !word.is_empty() && *word != "v1");
    let words = words.map(|word| word.trim_matches(['{', '}']).replace('.', "_"));
    std::iter::once(method.as_str().to_ascii_lowercase()).chain(words).collect::<Vec<_>>().join("_")
}

fn complete(method: &Method, path: &str, operation: &mut Operation) {
    operation.operation_id = Some(name(method, path));
    let mut add = |status: &str, what: &str| {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(refusal(what)));
    };
    add("408", "It took too long.");
    add("429", "Too many requests at once, or as many of something as may be.");
    add("500", "A defect, or damage in the log.");
    add("503", "The log cannot be had at the moment, or the server is about to end.");
    if let Some(Need::Role(role)) = need(method, path) {
        add("401", "There is no good token with it.");
        add("403", "The token may not do this.");
        operation.security = Some(vec![SecurityRequirement::new::<_, _, String>("token", [])]);
        let needs = format!("Needs the role {}, or one that may do more.", role.as_str());
        let before = operation.description.take().filter(|text| !text.is_empty());
        operation.description = Some(before.map_or(needs.clone(), |text| format!("{text}\n\n{needs}")));
    }
}

/// What a header may hold where it is there: a header is left out, and never null.
fn plain_headers(operation: &mut Operation) {
    let headers = operation.parameters.iter_mut().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    });
    for header in headers.filter(|parameter| parameter.parameter_in == ParameterIn::Header) {
        if let Some(RefOr::T(Schema::Object(object))) = &mut header.schema
            && let SchemaType::Array(types) = &mut object.schema_type
        {
            types.retain(|of| *of != Type::Null);
        }
    }
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    // It is made of numbers and texts, which can always be written.
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// The document, as it is served and as it stands in `docs/openapi.json`.
#[must_use]
pub fn document() -> &'static str {
    &TEXT
}

/// This document
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "server",
    responses((status = 200, description = "The document.", body = serde_json::Value, headers(("ETag" = String))), Unchanged),
)]
pub(super) async fn show(headers: HeaderMap) -> Response {
    tagged_bytes(&headers, document().into())
}
