//! Asks the server.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::audit::Account;
use crate::base::limits::{CONNECT_TIMEOUT, PUSH_TIMEOUT, REQUEST_TIMEOUT, SECRET_BYTES_MAX};
use crate::base::{Code, DeployId, TenantId, Timestamp};
use crate::cli::output::{Failure, Output};
use crate::engine::Refusal;
use crate::fleet::Secret;
use crate::serve::Standing;

/// Deploys that are looked through for a part of an id.
const DEPLOYS_SEARCHED: usize = 1_000;

/// A server, as a command asks it.
pub(super) struct Remote {
    http: Client,
    base: Url,
    token: Option<Secret>,
    pub(super) fleet: Option<String>,
    pub(super) output: Output,
}

/// What a problem document says.
#[derive(Deserialize)]
struct Problem {
    code: Code,
    detail: String,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    tenants: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    tenant: TenantId,
    code: Code,
    message: String,
}

/// A deploy as the server shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Deploy {
    pub(super) standing: String,
    #[serde(default)]
    pub(super) account: Option<Account>,
    #[serde(default)]
    pub(super) request: Option<Request>,
    #[serde(default)]
    pub(super) reports: Vec<Standing>,
    #[serde(default)]
    pub(super) trouble: Option<Trouble>,
}

/// What keeps the server from moving the fleet.
#[derive(Debug, Deserialize, serde::Serialize)]
pub(super) struct Trouble {
    code: Code,
    message: String,
    since: Timestamp,
}

impl Trouble {
    /// In a line.
    pub(super) fn text(&self) -> String {
        format!(
            "the server cannot move this fleet since {}, and goes on trying: {} [{}]",
            self.since, self.message, self.code
        )
    }
}

/// What became of a request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) settled: Option<crate::log::Settled>,
}

/// A deploy in the server's list.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Brief {
    pub(super) id: DeployId,
    pub(super) standing: String,
    pub(super) created_at: Timestamp,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Brief>,
}

/// The standings that a deploy can still leave.
pub(super) fn is_open(standing: &str) -> bool {
    matches!(standing, "queued" | "under_way" | "paused" | "unwinding")
}

impl Remote {
    pub(super) fn new(
        url: &str,
        token_file: Option<&Path>,
        fleet: Option<String>,
        output: Output,
    ) -> Result<Self, Failure> {
        let bad =
            |why: String| Failure::new(Code::BadArgument, why, "the same command with --server https://HOST[:PORT]");
        let base = Url::parse(url.trim_end_matches('/')).map_err(|error| bad(format!("{url:?} is no URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(bad(format!("{url:?} is not the address of a server")));
        }
        let token = match token_file {
            Some(path) => Some(read(path)?),
            None => std::env::var("WINDLASS_TOKEN").ok().filter(|token| !token.is_empty()).map(Secret::new),
        };
        if token.is_some() && base.scheme() == "http" && !is_loopback(&base) {
            return Err(bad(
                "a token is not sent in clear over the network: the address must begin with https://".to_owned()
            ));
        }
        // Whoever comes second finds it installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http =
            Client::builder().connect_timeout(CONNECT_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
        let http = http.map_err(|error| bad(error.to_string()))?;
        Ok(Self { http, base, token, fleet, output })
    }

    /// A request to a path.
    pub(super) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        // Longer than the server gives itself: its own word is worth more than ours.
        let limit = if method == Method::PUT { PUSH_TIMEOUT } else { REQUEST_TIMEOUT } + Duration::from_secs(5);
        let request = self.http.request(method, url).timeout(limit);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    /// Sends a request, and reads the answer or the problem.
    pub(super) async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| {
                let message = format!("the server's answer is not one that this version understands: {error}");
                Failure::new(Code::ServerUnreachable, message, "windlass --version, here and there")
            });
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) else {
            let message = format!("what answers at {} is not a Windlass server: it says {status}", self.base);
            return Err(Failure::new(Code::ServerUnreachable, message, "the same command with the server's address"));
        };
        let Problem { code, detail, next, tenants } = problem;
        let refusals = tenants.into_iter().map(|Named { tenant, code, message }| Refusal { tenant, code, message });
        Err(Failure::told(code, detail, next, refusals.collect()))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            why = error.to_string();
            source = error.source();
        }
        let message = format!(
            "the server at {} does not answer ({why}); what it has taken in goes on there without this command",
            self.base
        );
        Failure::new(Code::ServerUnreachable, message, "the same command again, when it answers")
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.send(self.ask(Method::GET, path)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.send(self.ask(Method::POST, path).json(body)).await
    }

    /// A deploy as it stands.
    pub(super) async fn deploy(&self, id: DeployId) -> Result<Deploy, Failure> {
        self.get(&format!("/v1/deploys/{id}")).await
    }

    /// The query that names the fleet, where one is named.
    pub(super) fn fleet_query(&self) -> String {
        let encode =
            |name: &str| percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string();
        self.fleet.as_deref().map(|name| format!("&fleet={}", encode(name))).unwrap_or_default()
    }

    /// Deploys of the fleet, the newest first.
    pub(super) async fn deploys(&self, limit: usize) -> Result<Vec<Brief>, Failure> {
        let list: List = self.get(&format!("/v1/deploys?limit={limit}{}", self.fleet_query())).await?;
        Ok(list.items)
    }

    /// The deploy that was meant, as on the log itself: by its id, a part of it, the latest; unnamed, the one under way, else the latest.
    pub(super) async fn which(&self, named: Option<&str>) -> Result<DeployId, Failure> {
        if let Some(id) = named.and_then(|text| text.parse().ok()) {
            return Ok(id);
        }
        let rows = self.deploys(DEPLOYS_SEARCHED).await?;
        let none =
            || Failure::new(Code::DeployUnknown, "the fleet has had no deploy yet", "windlass deploy --server URL");
        let named = match named {
            None => {
                // What is under way comes before what waits behind it.
                let under_way = rows.iter().find(|row| is_open(&row.standing) && row.standing != "queued");
                let waits = || rows.iter().rev().find(|row| row.standing == "queued");
                return under_way.or_else(waits).or(latest(&rows)).map(|row| row.id).ok_or_else(none);
            }
            Some("latest") => return latest(&rows).map(|row| row.id).ok_or_else(none),
            Some(part) => part.to_ascii_lowercase(),
        };
        let matching: Vec<DeployId> =
            rows.iter().map(|row| row.id).filter(|id| id.to_string().contains(&named)).collect();
        match matching.as_slice() {
            [one] => Ok(*one),
            [] => Err(Failure::new(
                Code::DeployUnknown,
                format!("the server knows no deploy {named}"),
                "windlass status --all --server URL",
            )),
            several => {
                let message = format!("{} deploys have {named:?} in their id", several.len());
                Err(Failure::new(Code::BadArgument, message, "windlass status --all --server URL"))
            }
        }
    }
}

/// The newest that has become a deploy, and where there is none, the newest that was asked for.
fn latest(rows: &[Brief]) -> Option<&Brief> {
    let never =
        |row: &&Brief| matches!(row.standing.as_str(), "queued" | "same" | "nothing_to_do" | "refused" | "cancelled");
    rows.iter().find(|row| !never(row)).or(rows.first())
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

fn read(path: &Path) -> Result<Secret, Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("the token in {} cannot be read: {error}", path.display());
        Failure::new(Code::BadArgument, message, "the same command with --token-file FILE")
    };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(Secret::new(text.trim()))
}
