//! What the integration tests have and these use too.

#[path = "../../it/support/project.rs"]
#[allow(dead_code, reason = "the integration tests use the rest of it")]
pub mod project;
