//! Commands against a server (`--server URL`): the same words and the same exit codes as on the log itself.

mod client;
mod deploy;
mod look;
mod steer;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use self::client::Remote;
use super::output::{Exit, Failure, Output};
use super::{Command, ReleaseCommand};
use crate::base::Code;
use crate::config::Config;

/// Where the server is, and who asks.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ServerArgs {
    /// Have a server do it (`WINDLASS_SERVER`), instead of this process
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// The file of the token that the server asks for; by default the token itself is taken from `WINDLASS_TOKEN`
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Which of the server's fleets; by default that of the windlass.toml here, or else the server's own
    #[arg(long, global = true, value_name = "NAME")]
    fleet: Option<String>,
}

impl ServerArgs {
    /// The server that was named, where one was.
    pub(super) fn named(&self) -> Option<String> {
        self.server.clone().or_else(|| std::env::var("WINDLASS_SERVER").ok()).filter(|url| !url.is_empty())
    }
}

/// Carries a command out on a server.
pub(super) async fn dispatch(
    command: Command,
    url: &str,
    args: &ServerArgs,
    config: Option<PathBuf>,
    output: Output,
) -> Result<Exit, Failure> {
    // A project here says which fleet is meant, and where its migrations are; a pipeline may well have none.
    let project = match &config {
        Some(path) => Some(Config::find(Some(path))?),
        None => Config::find(None).ok(),
    };
    let fleet = args.fleet.clone().or_else(|| project.as_ref().map(|project| project.name.clone()));
    let remote = Arc::new(Remote::new(url, args.token_file.as_deref(), fleet, output)?);
    match command {
        Command::Deploy(args) => deploy::deploy(&remote, &args, project.as_ref()).await,
        Command::Rollback(args) => deploy::rollback(&remote, &args).await,
        Command::Release(ReleaseCommand::Push { revision, dir }) => {
            deploy::push(&remote, project.as_ref(), dir, revision.as_deref()).await
        }
        Command::Status { deploy, all, tenants } => look::status(&remote, deploy.as_deref(), all, tenants).await,
        Command::Watch { deploy } => look::watch(&remote, deploy.as_deref()).await,
        Command::Resume { deploy } => steer::resume(&remote, deploy.as_deref()).await,
        Command::Pause { deploy, reason } => steer::pause(&remote, deploy.as_deref(), &reason).await,
        Command::Unwind { deploy, reason } => steer::unwind(&remote, deploy.as_deref(), &reason).await,
        Command::Retry { deploy, tenant, reason } => steer::retry(&remote, deploy.as_deref(), tenant, &reason).await,
        Command::Resolve(args) => steer::resolve(&remote, &args).await,
        _ => Err(Failure::new(
            Code::BadArgument,
            "this command works on the log itself, and not through a server; nothing was done",
            "the same command without --server, where the log is",
        )),
    }
}
