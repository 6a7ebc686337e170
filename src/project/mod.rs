//! A project: a `windlass.toml`, and everything that it leads to: its log, its tenants, its release, its workflows.
//!
//! Floor 4½: what a command and the server both start from, so that a deploy is prepared in one way, whoever asks for it.

mod error;
pub(crate) mod key;
mod whole;

pub use crate::log::Selection;
pub use error::ProjectError;
pub use key::signing_key;
pub use whole::{Creates, Project, carried_out, claimable, tenant_id};
