//! The command line: what is typed, and how it is answered.
//!
//! Every command takes `--json`. A terminal gets live progress, a pipe plain lines. The exit codes are a contract: see [`Exit`].

mod audit;
mod context;
mod demo;
mod deploy;
mod doctor;
mod export;
mod file;
mod init;
mod keys;
mod operate;
mod output;
mod plan;
mod progress;
mod remote;
mod serve;
mod show;
mod status;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::audit::{AuditCommand, Demand};
use self::context::Context;
pub use self::output::Exit;
use self::output::{Failure, Output};
use crate::base::Code;
use crate::project;
use crate::step::Kinds;

/// Takes a release to every tenant database, as one deploy that resumes after a crash and unwinds exactly what it did.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// The configuration; by default the windlass.toml of this folder or of the nearest one above it
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON, one object
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    server: remote::ServerArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a windlass.toml and an empty migration folder here
    Init,
    /// Show what each tenant would get, and how it would be undone; touches nothing
    Plan(Selection),
    /// Take the release to the fleet, and see it to its end
    Deploy(deploy::DeployArgs),
    /// Show how a deploy stands
    Status {
        /// The deploy: its id, a part of it that no other has, or "latest"
        deploy: Option<String>,
        /// List the fleet's deploys, the newest first
        #[arg(long)]
        all: bool,
        /// Name every tenant
        #[arg(long)]
        tenants: bool,
    },
    /// Follow a deploy to its end without driving it
    Watch {
        /// The deploy; by default the one under way
        deploy: Option<String>,
    },
    /// Let a deploy start nothing more until it is resumed; what is running ends
    Pause {
        /// The deploy; by default the one under way
        deploy: Option<String>,
        /// Why, for the log
        #[arg(long)]
        reason: String,
    },
    /// Take an unfinished deploy up again, in the direction it had
    Resume {
        /// The deploy; by default the one under way, or else the newest, of which the end is told
        deploy: Option<String>,
    },
    /// Turn an unfinished deploy round: undo what it did, where it did it
    Unwind {
        /// The deploy; by default the one under way
        deploy: Option<String>,
        /// Why, for the log
        #[arg(long, default_value = "no reason given")]
        reason: String,
    },
    /// Undo a finished deploy, as a deploy of its own
    Rollback(deploy::RollbackArgs),
    /// Let stuck tenants try again
    Retry {
        /// The deploy; by default the one under way
        deploy: Option<String>,
        /// Only this tenant
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        /// Why, for the log
        #[arg(long, default_value = "no reason given")]
        reason: String,
    },
    /// Settle a stuck tenant by your word
    Resolve(operate::ResolveArgs),
    /// The fleet
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// The release
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// What happened, and whether the log still says so
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The shapes that a deploy can have
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Look at the configuration, the log, the release and every tenant, and say what is wrong
    Doctor,
    /// Serve webhooks, an API and a page, and keep the deploys of the fleet going
    Serve(serve::ServeArgs),
    /// The tokens by which others may ask the server
    #[command(subcommand)]
    Token(serve::TokenCommand),
    /// See it work: 24 SQLite tenants, a release that one of them cannot take, and everyone lowered again
    Demo {
        /// The folder to make; it must not exist, or be one that an earlier demo made
        #[arg(long, default_value = "windlass-demo", value_name = "DIR")]
        dir: PathBuf,
    },
}

/// Which tenants, and in which way.
#[derive(Debug, Clone, Default, Args)]
struct Selection {
    /// The workflow; by default that of the configuration
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only these tenants
    #[arg(long, value_name = "ID,ID…", conflicts_with = "select")]
    only: Option<String>,
    /// Only tenants that this selector matches, as in: label.plan = "pro" and not id = acme
    #[arg(long, value_name = "SELECTOR")]
    select: Option<String>,
    /// This tenant's database was really created anew: that it has no ledger is right, and it gets every migration
    #[arg(long, value_name = "ID")]
    new_database: Vec<String>,
}

impl From<&Selection> for project::Selection {
    fn from(typed: &Selection) -> Self {
        Self {
            workflow: typed.workflow.clone(),
            only: typed.only.clone(),
            select: typed.select.clone(),
            new_databases: typed.new_database.clone(),
        }
    }
}

#[derive(Debug, Subcommand)]
enum TenantsCommand {
    /// List the tenants, where they are, and the release the log knows them to be on
    List {
        /// Only tenants that this selector matches
        #[arg(long, value_name = "SELECTOR")]
        select: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ReleaseCommand {
    /// Send the release to a server (--server), which then can deploy it
    Push {
        /// Also have the server find it under this name: a commit, a tag
        #[arg(long, value_name = "REV")]
        revision: Option<String>,
        /// The migration folder; by default that of the windlass.toml here
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Show the migrations of the release, and how each is undone
    Show {
        /// Every statement, as it would be sent
        #[arg(long)]
        statements: bool,
        /// The dialect to read them by: postgres, mysql or sqlite; by default that of the fleet
        #[arg(long, value_name = "DIALECT")]
        dialect: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum WorkflowCommand {
    /// List the workflows
    List,
    /// Show one, checked
    Show {
        /// Its name
        name: String,
    },
    /// Its steps as a graph, in Graphviz' language
    Graph {
        /// Its name
        name: String,
    },
}

/// All of the `windlass` program. `kinds` are those that workflows may use: [`Kinds::default`], and any of your own.
#[must_use]
pub fn main(kinds: Kinds) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, and are no mistake.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    let said = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("WINDLASS_LOG"))
        .with_writer(std::io::stderr)
        // A standard error that is gone is nothing to fail over, and saying so there panics.
        .log_internal_errors(false);
    // One object a line, for programs; anything else is for people.
    match std::env::var("WINDLASS_LOG_FORMAT").as_deref() {
        Ok("json") => said.json().flatten_event(true).with_current_span(false).init(),
        _ => said.init(),
    }
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let exit = runtime.block_on(async {
                outlive_limits();
                run(cli, kinds).await
            });
            // Nothing that is still running matters any more: the log has what counts.
            runtime.shutdown_background();
            exit.into()
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "the runtime cannot be started: {error}");
            Exit::Refused.into()
        }
    }
}

/// A write beyond the limit on the size of files is to fail, like any on a disk that is full, and not to end the process: a signal that is
/// heard does not. Nobody has to listen.
fn outlive_limits() {
    use tokio::signal::unix::{SignalKind, signal};
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
}

/// Carries out what was typed. The answer is on standard output, what went wrong on standard error.
pub async fn run(cli: Cli, kinds: Kinds) -> Exit {
    let output = Output::new(cli.json);
    match dispatch(cli, kinds, output).await {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    }
}

async fn dispatch(cli: Cli, kinds: Kinds, output: Output) -> Result<Exit, Failure> {
    match cli.command {
        // These need no project.
        Command::Init => return init::init(output),
        Command::Demo { dir } => return demo::demo(&dir, output).await,
        Command::Audit(AuditCommand::Keygen { file }) => return keys::keygen(&file, output),
        Command::Audit(AuditCommand::Key { file }) => return keys::show_key(&file, output),
        Command::Audit(AuditCommand::Verify { export: Some(file), key, whole_log, .. }) => {
            return audit::check_export(&file, &key, Demand::of(whole_log), output).await;
        }
        _ => {}
    }
    if let Some(url) = cli.server.named().filter(|_| !matches!(cli.command, Command::Serve(_) | Command::Token(_))) {
        return remote::dispatch(cli.command, &url, &cli.server, cli.config, output).await;
    }
    let context = Context::find(cli.config.as_deref(), output, kinds)?;
    match cli.command {
        Command::Serve(args) => serve::serve(context.into_project(), &args, output).await,
        Command::Token(command) => serve::token(&context, command).await,
        Command::Init | Command::Demo { .. } => Ok(Exit::Done),
        Command::Plan(selection) => plan::plan(&context, &selection).await,
        Command::Deploy(args) => deploy::deploy(&context, &args).await,
        Command::Status { deploy, all, tenants } => {
            let what = if all { status::What::Deploys } else { status::What::One { deploy, tenants } };
            status::status(&context, what).await
        }
        Command::Watch { deploy } => deploy::watch(&context, deploy.as_deref()).await,
        Command::Pause { deploy, reason } => operate::pause(&context, deploy.as_deref(), &reason).await,
        Command::Resume { deploy } => deploy::resume(&context, deploy.as_deref()).await,
        Command::Unwind { deploy, reason } => operate::unwind(&context, deploy.as_deref(), &reason).await,
        Command::Rollback(args) => deploy::rollback(&context, &args).await,
        Command::Retry { deploy, tenant, reason } => {
            operate::retry(&context, deploy.as_deref(), tenant.as_deref(), &reason).await
        }
        Command::Resolve(args) => operate::resolve(&context, &args).await,
        Command::Tenants(TenantsCommand::List { select }) => show::tenants(&context, select.as_deref()).await,
        Command::Release(ReleaseCommand::Push { .. }) => Err(Failure::new(
            Code::BadArgument,
            "a release is pushed to a server, and none was named",
            "windlass release push --server URL",
        )),
        Command::Release(ReleaseCommand::Show { statements, dialect }) => {
            show::release(
                &context,
                if statements { show::Depth::Statements } else { show::Depth::Migrations },
                dialect.as_deref(),
            )
            .await
        }
        Command::Audit(command) => audit::audit(&context, command).await,
        Command::Workflow(WorkflowCommand::List) => Ok(show::workflows(&context)),
        Command::Workflow(WorkflowCommand::Show { name }) => show::workflow(&context, &name),
        Command::Workflow(WorkflowCommand::Graph { name }) => show::graph(&context, &name),
        Command::Doctor => doctor::doctor(&context).await,
    }
}
