//! Stands before every route: who is it, and may they?

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, Method, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Need, need};
use crate::base::{Code, Digest};
use crate::log::{LogError, Role, Token};
use crate::saga::event::Actor;
use crate::serve::app::App;
use crate::serve::metrics::Who;
use crate::serve::problem::Problem;

/// The cookie that a session of the page lies in.
pub(in crate::serve) const COOKIE: &str = "windlass_session";

/// Where a request comes from. Put into it by the listener.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub SocketAddr);

/// How somebody came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// Over a loopback address of a server without tokens.
    Open,
    /// With a token.
    Token,
    /// With a session of the page; what its forms must carry.
    Session {
        /// What no other site can know.
        csrf: String,
    },
}

/// Whoever asks.
#[derive(Debug, Clone)]
pub struct Principal {
    /// For people and for the log.
    pub name: String,
    /// The token's public name; none for who needs none.
    pub token: Option<String>,
    /// What they may do.
    pub role: Role,
    /// With which fleets; all where there is none.
    pub fleets: Option<BTreeSet<String>>,
    /// How they came in.
    pub via: Via,
    /// Where from.
    pub client: SocketAddr,
}

impl Principal {
    /// Who the log will say it was.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { name: self.name.clone(), host: self.client.ip().to_string() }
    }

    /// Whether they have to do with this fleet.
    #[must_use]
    pub fn covers(&self, fleet: &str) -> bool {
        self.fleets.as_ref().is_none_or(|fleets| fleets.contains(fleet))
    }

    fn of(token: Token, via: Via, client: SocketAddr) -> Self {
        let Token { id, name, role, fleets, parent, .. } = token;
        Self { name, token: Some(parent.unwrap_or(id)), role, fleets, via, client }
    }
}

/// What the forms of a session carry: another site can make a browser send the cookie, and cannot read it.
pub(in crate::serve) fn csrf(session: &str) -> String {
    Digest::of(format!("form of windlass\n{session}").as_bytes()).to_string()
}

/// Refuses whoever may not use a route, and puts a [`Principal`] into the request of whoever may.
pub async fn guard(State(app): State<Arc<App>>, matched: MatchedPath, request: Request, next: Next) -> Response {
    let Some(need) = need(request.method(), matched.as_str()) else {
        return Problem::new(Code::NotAllowed, "this route is not open to anybody").into_response();
    };
    let Some(Client(client)) = request.extensions().get::<Client>().copied() else {
        return Problem::new(Code::Defect, "the listener did not say where this request comes from").into_response();
    };
    if !app.keys.admits(client.ip()) {
        return Problem::new(Code::TooManyRequests, "too many requests from this address").into_response();
    }
    let local = local_name(&request);
    let headers = request.headers();
    // Whether the process is alive must not hang on the log: where anybody is let in, only who shows something, or would be shown a page, is
    // looked at, and who cannot be is nobody.
    let is_nobody = need == Need::Nothing && bearer(headers).or(cookie(headers)).is_none() && !is_page(&request);
    let principal = if is_nobody { Ok(None) } else { identify(&app, headers, local, client).await };
    let principal = match principal {
        Ok(principal) => principal,
        Err(_) if !matches!(need, Need::Role(_)) => None,
        Err(error) => return Problem::of(&error).into_response(),
    };
    if let Need::Role(role) = need {
        let principal = match principal {
            Some(principal) if principal.role >= role => principal,
            Some(principal) => return too_little(&principal, role).into_response(),
            None if is_page(&request) => return Redirect::to(&login_path(&request)).into_response(),
            None => return unknown(&app, request.headers(), client).into_response(),
        };
        if let Err(problem) = not_from_elsewhere(&request, &principal) {
            return problem.into_response();
        }
        return admitted(principal, request, next).await;
    }
    match principal {
        Some(principal) => admitted(principal, request, next).await,
        None => next.run(request).await,
    }
}

/// Lets somebody in, and has the answer say who it was, for the record of accesses.
async fn admitted(principal: Principal, mut request: Request, next: Next) -> Response {
    let who = Who::of(&principal);
    request.extensions_mut().insert(principal);
    let mut answer = next.run(request).await;
    answer.extensions_mut().insert(who);
    answer
}

/// What a browser wants to show goes to the login instead of being told off in JSON.
fn is_page(request: &Request) -> bool {
    let html = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/html"));
    request.method() == Method::GET && request.headers().get(header::ACCEPT).is_some_and(html)
}

/// The login, from which it goes on to what was asked for.
fn login_path(request: &Request) -> String {
    match request.uri().path_and_query().map(http::uri::PathAndQuery::as_str) {
        None | Some("/") => "/login".to_owned(),
        Some(wanted) => format!("/login?next={}", utf8_percent_encode(wanted, NON_ALPHANUMERIC)),
    }
}

fn too_little(principal: &Principal, needed: Role) -> Problem {
    let detail =
        format!("this needs the role {}, and {} is {}", needed.as_str(), principal.name, principal.role.as_str());
    Problem::new(Code::NotAllowed, detail).next("windlass token list")
}

/// Nobody guesses with nothing: only tokens that are not good are counted.
fn unknown(app: &App, headers: &HeaderMap, client: SocketAddr) -> Problem {
    let guess = bearer(headers).or(cookie(headers)).is_some();
    if guess && !app.keys.refused(client.ip()) {
        return Problem::new(Code::TooManyRequests, "too many tokens that are not good came from this address");
    }
    let detail = "there is no token with this request, or it is not good (any more)";
    Problem::new(Code::NotAuthenticated, detail).next(
        "send Authorization: Bearer TOKEN; on the server's machine: windlass token create --name NAME --role viewer",
    )
}

/// Who it is; none where nothing says so.
async fn identify(
    app: &App,
    headers: &HeaderMap,
    local: bool,
    client: SocketAddr,
) -> Result<Option<Principal>, LogError> {
    if let Some(text) = bearer(headers) {
        return Ok(app.keys.find(text).await?.map(|token| Principal::of(token, Via::Token, client)));
    }
    if let Some(text) = cookie(headers) {
        let session = app.keys.find(text).await?.filter(|token| token.parent.is_some());
        if let Some(token) = session {
            return Ok(Some(Principal::of(token, Via::Session { csrf: csrf(text) }, client)));
        }
    }
    // Behind a proxy everybody comes from this machine.
    let proxied = PROXIED.iter().any(|name| headers.contains_key(*name));
    let open = !proxied && client.ip().is_loopback() && app.bound.ip().is_loopback() && local;
    if !open || app.keys.any().await? {
        return Ok(None);
    }
    let name = "loopback".to_owned();
    Ok(Some(Principal { name, token: None, role: Role::Admin, fleets: None, via: Via::Open, client }))
}

pub(in crate::serve) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(in crate::serve) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// What proxies say of whom they speak for.
const PROXIED: [&str; 6] =
    ["forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Whether the client calls the server by a name of this machine: a browser that was sent here under another name says so.
fn local_name(request: &Request) -> bool {
    // HTTP/2 has the name in the address, HTTP/1 in a header; what says neither is no browser.
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = request.uri().authority().map(http::uri::Authority::as_str).or(header) else { return true };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// What changes something must not come from a page of another site; what is no browser has a token that no other site has.
fn not_from_elsewhere(request: &Request, principal: &Principal) -> Result<(), Problem> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || principal.via == Via::Token || !from_elsewhere(request.headers()) {
        return Ok(());
    }
    Err(Problem::new(Code::NotAllowed, "this request comes from a page of another site, and nothing was done"))
}

/// Whether a page of another site made a browser send this. Browsers say where a request comes from; what is no browser says nothing.
pub(in crate::serve) fn from_elsewhere(headers: &HeaderMap) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (header("sec-fetch-site"), header("origin"), header("host")) {
        (Some(site), _, _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, at)| at != host),
        (None, Some(_), None) => true,
        (None, None, _) => false,
    }
}
