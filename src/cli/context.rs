//! What every command starts from: the project, and where answers go.

use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::output::{Failure, Output};
use crate::base::Timestamp;
use crate::base::limits::SERVER_GONE;
use crate::engine::{Word, host, is_dead, this_worker};
use crate::log::{Desk as _, Log, ServerRow, SqliteLog};
pub(super) use crate::project::{Creates, carried_out, claimable, tenant_id};
use crate::project::{Project, ProjectError};
use crate::saga::event::Actor;
use crate::step::Kinds;

/// What every command starts from.
pub(super) struct Context {
    project: Project,
    /// The log once it has been opened.
    opened: OnceLock<Arc<SqliteLog>>,
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
        Ok(Self { project: Project::find(explicit, kinds)?, opened: OnceLock::new(), output })
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
        let log = self.project.log(creates).await?;
        Ok(Arc::clone(self.opened.get_or_init(|| log)) as Arc<dyn Log>)
    }

    /// The server that is at work on the same log for the same fleet, where there is one: it does no harm, and one should know.
    pub(super) async fn server_beside(&self) -> Option<ServerRow> {
        let log = self.opened.get()?;
        let since =
            Timestamp(log.clock().now().0.saturating_sub(i64::try_from(SERVER_GONE.as_millis()).unwrap_or_default()));
        let servers = log.servers(since).await.ok()?;
        servers.into_iter().find(|server| server.fleets.contains(&self.config.name) && !is_dead(&server.worker))
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
