//! The API's description of itself.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use windlass::serve::{ROUTES, document};

#[test]
fn the_description_is_the_one_in_the_documentation() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("WINDLASS_BLESS").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document(), "docs/openapi.json is another one: WINDLASS_BLESS=1 writes it anew");
}

#[test]
fn every_route_for_programs_is_described_and_nothing_else() {
    let document: Value = serde_json::from_str(document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let (mut described, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert((method.to_ascii_uppercase(), path.clone()));
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    let for_programs = |path: &str| path.starts_with("/v1/") || matches!(path, "/healthz" | "/readyz");
    let routes = ROUTES.iter().filter(|(_, path, _)| for_programs(path));
    let routes: BTreeSet<_> = routes.map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
    assert_eq!(described, routes);
}

#[test]
fn every_refusal_that_is_described_is_a_problem_document() {
    let document: Value = serde_json::from_str(document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let kinds: Vec<&String> =
                    answer["content"].as_object().into_iter().flat_map(|all| all.keys()).collect();
                let is_problem = kinds == ["application/problem+json"];
                assert_eq!(is_problem, status.starts_with(['4', '5']), "{method} {path} {status}: {kinds:?}");
            }
        }
    }
}
