//! Puts a server together, and takes it apart again.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::access::Keys;
use super::accounts::Accounts;
use super::app::{App, Fleet};
use super::hook::Secrets;
use super::keeper::{keep, met_defect};
use super::live::Pulses;
use super::router::router;
use super::server::{self, serve};
use super::source::{SourceError, Sources};
use super::webhook::check_secret;
use super::{metrics, report};
use crate::base::limits::{
    DELIVERIES_AT_ONCE_MAX, DRAIN_TIMEOUT, EXPORTS_MAX, KEEPER_LOOK, KEEPER_PAUSE_MAX, PUSHES_MAX, SERVER_SEEN,
};
use crate::base::{Code, Coded, SystemClock};
use crate::config::FILE_NAME;
use crate::config::serve::{Serve, Tls};
use crate::engine::{Stop, this_worker};
use crate::fleet::UnresolvedSecret;
use crate::log::{Desk, Log, LogError, ServerRow, SqliteLog};
use crate::project::{Creates, Project, ProjectError};
use crate::step::Kinds;

/// The server cannot be started. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The project, or one of the others, cannot be worked with.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// Where releases come from cannot be right.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Another project has another log.
    #[error("project {} has the log {theirs}, and this server has {ours}: the projects of one server share one log", path.display())]
    OtherLog {
        /// The project's folder or file.
        path: PathBuf,
        /// Its log.
        theirs: String,
        /// The server's.
        ours: String,
    },
    /// Two projects have one name.
    #[error("two projects are both fleet {name}")]
    SameFleet {
        /// The name.
        name: String,
    },
    /// The address cannot be bound.
    #[error("the address {address} cannot be listened on: {reason}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// A public address without tokens.
    #[error(
        "{address} can be reached from other machines, and the log has no token: whoever reaches it could deploy. Nothing is served"
    )]
    Open {
        /// Which.
        address: String,
    },
    /// A secret of a webhook can prove nothing.
    #[error("a secret of the webhook {webhook} can prove nothing: {reason}")]
    Secret {
        /// Which.
        webhook: String,
        /// Why not; never a part of it.
        reason: String,
    },
    /// No secret of a webhook can be read.
    #[error(transparent)]
    Unresolved(#[from] UnresolvedSecret),
    /// Nobody could be told of deploys.
    #[error("reports to others cannot be sent from here: {reason}")]
    Client {
        /// What the system says.
        reason: String,
    },
    /// The certificate cannot be used.
    #[error("the certificate in {} cannot be used: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl Coded for ServeError {
    fn code(&self) -> Code {
        match self {
            ServeError::Project(error) => error.code(),
            ServeError::Source(error) => error.code(),
            ServeError::Log(error) => error.code(),
            ServeError::OtherLog { .. } | ServeError::SameFleet { .. } | ServeError::Secret { .. } => {
                Code::ConfigInvalid
            }
            ServeError::Unresolved(error) => error.code(),
            ServeError::Bind { .. } | ServeError::Open { .. } | ServeError::Client { .. } | ServeError::Tls { .. } => {
                Code::NotServed
            }
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            ServeError::Project(error) => error.next(),
            ServeError::Source(error) => error.next(),
            ServeError::Log(error) => error.next(),
            ServeError::Unresolved(error) => error.next(),
            ServeError::Open { .. } => Some("windlass token create --name admin --role admin".to_owned()),
            _ => Some("mend [serve] in windlass.toml, then: windlass serve".to_owned()),
        }
    }
}

/// A server that is bound and has not begun to answer.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    tell: watch::Sender<Stop>,
    client: reqwest::Client,
}

/// Puts a server together: reads the projects, opens the log, binds the address.
///
/// # Errors
/// [`ServeError`]; then nothing was touched but that the log was made, where there was none.
pub async fn start(project: Project, listen: Option<SocketAddr>, kinds: &Kinds) -> Result<Server, ServeError> {
    let mut settings = project.config.serve.clone();
    settings.listen = listen.unwrap_or(settings.listen);
    let tls = settings.tls.as_ref().map(acceptor).transpose()?;
    let home = project.config.name.clone();
    let ours = project.log_path().await?;
    let mut projects = vec![project];
    for path in &settings.projects {
        let file = if path.is_dir() { path.join(FILE_NAME) } else { path.clone() };
        let other = Project::find(Some(&file), kinds.clone())?;
        let theirs = other.log_path().await?;
        if std::path::absolute(&theirs).ok() != std::path::absolute(&ours).ok() {
            let shown = |path: &Path| path.display().to_string();
            return Err(ServeError::OtherLog { path: path.clone(), theirs: shown(&theirs), ours: shown(&ours) });
        }
        projects.push(other);
    }
    check_secrets(&projects[0]).await?;
    let clock = Arc::new(SystemClock);
    let log: Arc<SqliteLog> = projects[0].log(Creates::Yes).await?;
    let desk: Arc<dyn Desk> = Arc::clone(&log) as Arc<dyn Desk>;
    let keys = Keys::new(Arc::clone(&desk), clock, settings.requests_per_second);
    let private = settings.listen.ip().is_loopback() && stays_here(&settings);
    if !private && !keys.any().await? {
        let address = settings.url.as_ref().map_or_else(|| settings.listen.to_string(), |url| url.origin().to_owned());
        return Err(ServeError::Open { address });
    }
    let mut fleets = BTreeMap::new();
    for project in projects {
        let name = project.config.name.clone();
        let sources = Sources::of(&project.config.serve.release)?;
        sources.clean().await;
        if fleets.insert(name.clone(), Arc::new(Fleet::new(project, sources))).is_some() {
            return Err(ServeError::SameFleet { name });
        }
    }
    let client = report::client().map_err(|reason| ServeError::Client { reason })?;
    metrics::record();
    let bind = |error: std::io::Error| ServeError::Bind { address: settings.listen, reason: error.to_string() };
    let listener = TcpListener::bind(settings.listen).await.map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    let (tell, stop) = watch::channel(Stop::Run);
    let log: Arc<dyn Log> = log;
    let started_at = log.clock().now();
    let connections = server::room();
    let app = App {
        log,
        desk,
        fleets,
        home,
        settings,
        bound,
        worker: this_worker(),
        stop,
        keys,
        connections,
        pulses: Pulses::new(connections),
        secrets: Secrets::default(),
        deliveries: Semaphore::new(DELIVERIES_AT_ONCE_MAX),
        pushes: Semaphore::new(PUSHES_MAX),
        exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        accounts: Accounts::default(),
        started_at,
    };
    Ok(Server { app: Arc::new(app), listener, tls, tell, client })
}

/// Whether nobody from elsewhere is meant to reach the server: with an address of another name, a proxy stands before it, and whoever
/// comes through that comes from this machine.
fn stays_here(settings: &Serve) -> bool {
    let local = |origin: &str| {
        let host = origin.split_once("://").map_or(origin, |(_, rest)| rest);
        let host = host
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(host, |(host, _)| host);
        host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    settings.url.as_ref().is_none_or(|url| local(url.origin()))
}

/// Refuses secrets that cannot prove anything: better now than at the first delivery. While they are changed one may be missing.
async fn check_secrets(project: &Project) -> Result<(), ServeError> {
    let resolver = project.config.resolver();
    for webhook in &project.config.serve.webhooks {
        let (mut good, mut missing) = (false, None);
        for reference in &webhook.secrets {
            match reference.resolve("serve.webhook.secrets", &resolver).await {
                Ok(secret) => {
                    check_secret(webhook.sender, &secret).map_err(|reason| ServeError::Secret {
                        webhook: webhook.name.clone(),
                        reason: reason.to_owned(),
                    })?;
                    good = true;
                }
                Err(error) => missing = Some(error),
            }
        }
        match missing {
            Some(error) if !good => return Err(error.into()),
            Some(error) => tracing::warn!(webhook = webhook.name, %error, "a secret of this webhook cannot be read"),
            None => {}
        }
    }
    Ok(())
}

/// The certificate, for a listener.
fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let bad = |path: &Path, reason: String| ServeError::Tls { path: path.to_owned(), reason };
    let chain = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(&tls.cert, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| bad(&tls.key, error.to_string()))?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&tls.cert, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| bad(&tls.cert, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Server {
    /// How others reach it.
    #[must_use]
    pub fn url(&self) -> String {
        self.app.url()
    }

    /// What it came to listen on.
    #[must_use]
    pub fn bound(&self) -> SocketAddr {
        self.app.bound
    }

    /// Tells it to end: drain, or at once.
    #[must_use]
    pub fn stopper(&self) -> watch::Sender<Stop> {
        self.tell.clone()
    }

    /// Whether nobody needs a token.
    ///
    /// # Errors
    /// When the log fails.
    pub async fn is_open(&self) -> Result<bool, LogError> {
        Ok(!self.app.keys.any().await?)
    }

    /// The names of the fleets.
    pub fn fleets(&self) -> impl Iterator<Item = &str> {
        self.app.fleets.keys().map(String::as_str)
    }

    /// Serves until it is told to stop. Then it takes no more connections, starts nothing, lets running steps end for
    /// [`DRAIN_TIMEOUT`], and gives back what it holds: any other process can go on from there at once.
    pub async fn run(self) {
        let Server { app, listener, tls, tell, client } = self;
        let mut keepers = JoinSet::new();
        for fleet in app.fleets.values() {
            let (app, fleet) = (Arc::clone(&app), Arc::clone(fleet));
            keepers.spawn(async move {
                let what = format!("what keeps fleet {} going", fleet.name());
                for_ever(&app, &what, || met_defect(&app, &fleet), || keep(Arc::clone(&app), Arc::clone(&fleet))).await;
            });
        }
        let tells = Arc::clone(&app);
        let telling = tokio::spawn(async move {
            for_ever(&tells, "the telling of others", || {}, || report::tell(Arc::clone(&tells), client.clone())).await;
        });
        let heart = tokio::spawn(heartbeat(Arc::clone(&app)));
        let answering = serve(listener, tls, app.connections, router(&app), app.stop.clone());
        let limit = drain_limit(app.stop.clone(), tell);
        let limit = tokio::spawn(limit);
        tokio::join!(answering, async { while keepers.join_next().await.is_some() {} });
        // What has ended by now is told by the next server; what is being told, to its end.
        if let Err(error) = telling.await {
            tracing::error!(%error, "a defect has ended the telling of others");
        }
        limit.abort();
        heart.abort();
        if let Err(error) = app.desk.server_gone(&app.worker).await {
            tracing::warn!(%error, "the log could not be told that this server has ended");
        }
    }
}

/// After a while a drain becomes an end at once.
async fn drain_limit(mut stop: watch::Receiver<Stop>, tell: watch::Sender<Stop>) {
    if stop.wait_for(|stop| *stop != Stop::Run).await.is_err() {
        return;
    }
    let now = stop.wait_for(|stop| *stop == Stop::Now);
    if tokio::time::timeout(DRAIN_TIMEOUT, now).await.is_err() {
        tracing::warn!("steps that have not ended are let go of: they are looked for when the deploy is resumed");
        let _ = tell.send(Stop::Now);
    }
}

/// Does something until the server ends, also after a defect of ours has ended the task that does it. One that is met again and again is
/// met more and more seldom. `told` of each.
async fn for_ever<F>(app: &App, what: &str, told: impl Fn(), begin: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut stop = app.stop.clone();
    let mut pause = KEEPER_LOOK;
    while !app.stopping() {
        let since = Instant::now();
        let Err(error) = tokio::spawn(begin()).await else { return };
        if since.elapsed() > KEEPER_PAUSE_MAX {
            pause = KEEPER_LOOK;
        }
        tracing::error!(%error, ?pause, "a defect has ended {what}; it begins anew");
        told();
        let _ = tokio::time::timeout(pause, stop.wait_for(|stop| *stop != Stop::Run)).await;
        pause = (pause * 2).min(KEEPER_PAUSE_MAX);
    }
}

/// Says in the log that the server is there, so that commands on the same log can say so.
async fn heartbeat(app: Arc<App>) {
    loop {
        let server = ServerRow {
            worker: app.worker.clone(),
            url: app.url(),
            fleets: app.fleets.keys().cloned().collect(),
            started_at: app.started_at,
            seen_at: app.log.clock().now(),
        };
        if let Err(error) = app.desk.server_seen(server).await {
            tracing::debug!(%error, "no sign of life this time");
        }
        app.keys.tidy();
        metrics::tidy();
        tokio::time::sleep(SERVER_SEEN).await;
    }
}
