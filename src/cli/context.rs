//! What every command starts from: the project, and where answers go.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use super::output::{Failure, Output};
use crate::engine::{Word, host, this_worker};
use crate::log::Log;
pub(super) use crate::project::{Creates, carried_out, claimable, tenant_id};
use crate::project::{Project, ProjectError};
use crate::saga::event::Actor;
use crate::step::Kinds;

/// What every command starts from.
pub(super) struct Context {
    project: Project,
    pub(super) output: Output,
}

impl Deref for Context {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

impl Context {
    pub(super) fn find(explicit: Option<&Path>, output: Output, kinds: Kinds) -> Result<Self, Failure> {
        Ok(Self { project: Project::find(explicit, kinds)?, output })
    }

    /// The project itself.
    pub(super) const fn project(&self) -> &Project {
        &self.project
    }

    /// The project alone.
    pub(super) fn into_project(self) -> Project {
        self.project
    }

    /// The log; `Creates::No` for commands that only read one.
    pub(super) async fn log(&self, creates: Creates) -> Result<Arc<dyn Log>, ProjectError> {
        Ok(self.project.log(creates).await?)
    }
}

/// Who is at the keyboard.
pub(super) fn actor() -> Actor {
    let name = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    Actor { name: name.or_else(user_number).unwrap_or_else(|| "unknown".to_owned()), host: host() }
}

/// Services and containers often have no `USER`; the owner of a process's own folder is who it runs as.
fn user_number() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").ok().map(|own| format!("uid-{}", own.uid()))
}

/// What is said to a deploy, by whom, through this process.
pub(super) fn word(reason: &str) -> Word {
    Word { actor: actor(), by: this_worker(), reason: reason.to_owned() }
}
