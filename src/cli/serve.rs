//! `serve`, `token`: the server, and who may ask it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tokio::sync::watch;

use super::context::{Context, Creates};
use super::output::{Exit, Failure, table};
use crate::base::{Clock as _, Code, SystemClock};
use crate::engine::Stop;
use crate::log::{Desk as _, NewToken, Role, Token};
use crate::project::Project;
use crate::saga::workflow::parse_duration;
use crate::serve::{Secret, Server, start};

#[derive(Debug, Clone, Args)]
pub(super) struct ServeArgs {
    /// The address and port to listen on; by default that of the configuration, or else 127.0.0.1:8400
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and show it, once
    Create(CreateArgs),
    /// List the tokens, without what they are
    List,
    /// End a token, and the sessions of the page that were opened with it
    Revoke {
        /// The eight characters behind wl_
        id: String,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct CreateArgs {
    /// What it is for; the log names whoever uses it so
    #[arg(long)]
    name: String,
    /// What its holder may do; each may do what the ones before it may
    #[arg(long, value_enum)]
    role: RoleArg,
    /// Only with these fleets
    #[arg(long, value_name = "NAME,NAME…", value_delimiter = ',')]
    fleet: Vec<String>,
    /// For how long it is good (90s, 15m, 24h); for ever where it is not said
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    /// See
    Viewer,
    /// Push releases and start deploys
    Deployer,
    /// Steer deploys
    Operator,
    /// Manage tokens
    Admin,
}

/// As other times are typed, and days besides.
fn lifetime(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let time = days.map(|days| Duration::from_hours(24) * days).or_else(|| parse_duration(text));
    time.filter(|time| !time.is_zero()).ok_or_else(|| "write 90d, 24h or 15m".to_owned())
}

pub(super) async fn serve(project: Project, args: &ServeArgs, output: super::output::Output) -> Result<Exit, Failure> {
    let kinds = project.kinds.clone();
    let server = start(project, args.listen, &kinds).await?;
    let (url, bound) = (server.url(), server.bound());
    let fleets: Vec<String> = server.fleets().map(str::to_owned).collect();
    let open = server.is_open().await?;
    output.answer(&json!({ "url": url, "listening": bound, "fleets": fleets, "open": open }), || {
        let who = if open {
            "there is no token in the log: whoever is on this machine may do everything. `windlass token create` changes that"
        } else {
            "a token is needed"
        };
        format!("serving {} at {url} (listening on {bound}); {who}", fleets.join(", "))
    });
    run(server).await;
    output.line("the server has ended; whatever was under way goes on when it is started again");
    Ok(Exit::Done)
}

/// Serves until SIGTERM or Ctrl-C: once drains, twice ends at once.
async fn run(server: Server) {
    let tell = server.stopper();
    let signals = tokio::spawn(listen(tell));
    server.run().await;
    signals.abort();
}

async fn listen(tell: watch::Sender<Stop>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            Some(()) = interrupt.recv() => {}
            Some(()) = terminate.recv() => {}
        }
        let order = if *tell.borrow() == Stop::Run { Stop::Drain } else { Stop::Now };
        tracing::info!(?order, "told to end");
        let _ = tell.send(order);
    }
}

pub(super) async fn token(context: &Context, command: TokenCommand) -> Result<Exit, Failure> {
    let desk = context.project().log(Creates::Yes).await?;
    match command {
        TokenCommand::Create(args) => {
            let role = match args.role {
                RoleArg::Viewer => Role::Viewer,
                RoleArg::Deployer => Role::Deployer,
                RoleArg::Operator => Role::Operator,
                RoleArg::Admin => Role::Admin,
            };
            let secret = Secret::fresh().map_err(|error| {
                Failure::new(
                    Code::Defect,
                    format!("no random bytes can be had: {error}"),
                    "the same command, in a moment",
                )
            })?;
            let fleets = Some(BTreeSet::from_iter(args.fleet)).filter(|fleets| !fleets.is_empty());
            let expires_at = args.expires.map(|time| SystemClock.now().plus(time));
            let (id, hash) = (secret.id.clone(), secret.hash());
            let name = args.name;
            desk.add_token(NewToken {
                id: id.clone(),
                hash,
                name: name.clone(),
                role,
                fleets: fleets.clone(),
                parent: None,
                expires_at,
            })
            .await?;
            let answer = json!({
                "id": id, "token": secret.expose(), "name": name, "role": role, "fleets": fleets, "expires_at": expires_at,
            });
            context.output.answer(&answer, || {
                format!(
                    "{}\n\nThis is the token; it is not shown again, and the log keeps only its digest. It is named {id}: \
                     windlass token revoke {id}",
                    secret.expose()
                )
            });
            Ok(Exit::Done)
        }
        TokenCommand::List => {
            let tokens = desk.tokens().await?;
            context.output.answer(&tokens, || {
                if tokens.is_empty() {
                    return "there is no token: a server on a loopback address lets whoever is on the machine do everything".to_owned();
                }
                table(&tokens.iter().map(row).collect::<Vec<_>>())
            });
            Ok(Exit::Done)
        }
        TokenCommand::Revoke { id } => {
            let id = id.strip_prefix("wl_").unwrap_or(&id).split('_').next().unwrap_or_default().to_owned();
            if !desk.revoke_token(&id).await? {
                let message = format!("no token named {id} is good: there is nothing to end");
                return Err(Failure::new(Code::BadArgument, message, "windlass token list"));
            }
            context.output.answer(&json!({ "revoked": id }), || format!("token {id} is not good any more"));
            Ok(Exit::Done)
        }
    }
}

fn row(token: &Token) -> [String; 5] {
    let now = SystemClock.now();
    let fleets = token
        .fleets
        .as_ref()
        .map_or("all fleets".to_owned(), |fleets| fleets.iter().cloned().collect::<Vec<_>>().join(","));
    let state = match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(end)) if end <= now => format!("expired {end}"),
        (None, Some(end)) => format!("until {end}"),
        (None, None) => "for ever".to_owned(),
    };
    [token.id.clone(), token.name.clone(), token.role.as_str().to_owned(), fleets, state]
}
