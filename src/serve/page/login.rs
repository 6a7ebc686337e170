//! From a token to a session, and back.
//!
//! A session is a token of its own, made with another as its parent: it may do what that one may, ends with it, and is in a cookie that
//! no script can read and no other site's page makes a browser send.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::form::{Fields, ours};
use super::frame::{Frame, answer, see_other};
use crate::base::limits::{NEXT_BYTES_MAX, SESSION};
use crate::base::{Code, Timestamp};
use crate::log::{NewToken, Token};
use crate::serve::access::{COOKIE, Client, Principal, Secret, Via, cookie, from_elsewhere};
use crate::serve::app::App;
use crate::serve::extract::Asks;
use crate::serve::problem::Problem;

/// Where a login leads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    frame: Frame,
    next: &'a str,
    refused: Option<&'a str>,
}

/// The path that a login leads to: one of ours, whatever was asked for.
fn own_path(next: Option<&str>) -> &str {
    let own = |path: &&str| {
        path.len() <= NEXT_BYTES_MAX
            && path.starts_with('/')
            // `//host` and `/\host` are other sites.
            && !path.starts_with("//")
            && !path.contains('\\')
            && path.bytes().all(|byte| byte.is_ascii_graphic())
            && !path.starts_with("/login")
            && !path.starts_with("/logout")
    };
    next.filter(own).unwrap_or("/")
}

fn form(next: &str, refused: Option<&str>) -> Response {
    answer(&Login { frame: Frame::new("Log in", None), next, refused })
}

/// `GET /login`: the form, or on to where it leads for whoever is in already.
pub(super) async fn show(principal: Option<Extension<Principal>>, Asks(Wanted { next }): Asks<Wanted>) -> Response {
    let next = own_path(next.as_deref());
    match principal {
        Some(_) => see_other(next),
        None => form(next, None),
    }
}

/// `POST /login`: a token for a session.
pub(super) async fn enter(
    State(app): State<Arc<App>>,
    Extension(Client(client)): Extension<Client>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    // Else another site could log somebody in under a name of its own choice.
    if from_elsewhere(&headers) {
        return Err(Problem::new(Code::NotAllowed, "this login comes from a page of another site"));
    }
    let next = own_path(fields.get("next"));
    let text = fields.get("token").unwrap_or_default().trim();
    // A session is no token to open another one with: it would outlive its own end.
    let Some(parent) = app.keys.find(text).await?.filter(|token| token.parent.is_none()) else {
        if !app.keys.refused(client.ip()) {
            let detail = "too many tokens from this address were not good";
            return Err(Problem::new(Code::TooManyRequests, detail));
        }
        let mut answer = form(next, Some("This token is not good, or not any more."));
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(answer);
    };
    let secret =
        Secret::fresh().map_err(|error| Problem::new(Code::Defect, format!("no random bytes can be had: {error}")))?;
    let expires_at = end(&parent, app.log.clock().now());
    app.desk
        .add_token(NewToken {
            id: secret.id.clone(),
            hash: secret.hash(),
            name: parent.name,
            role: parent.role,
            fleets: parent.fleets,
            parent: Some(parent.id),
            expires_at: Some(expires_at),
        })
        .await?;
    Ok(with_cookie(&app, see_other(next), secret.expose(), SESSION.as_secs()))
}

/// When a session with this parent ends.
fn end(parent: &Token, now: Timestamp) -> Timestamp {
    let longest = now.plus(SESSION);
    parent.expires_at.map_or(longest, |end| end.min(longest))
}

/// `POST /logout`: ends the session, here and wherever else its cookie may lie.
pub(super) async fn leave(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    ours(&principal, &fields)?;
    if matches!(principal.via, Via::Session { .. })
        && let Some(id) = cookie(&headers).and_then(Secret::id_in)
    {
        app.desk.revoke_token(id).await?;
    }
    Ok(with_cookie(&app, see_other("/login"), "", 0))
}

fn with_cookie(app: &App, mut answer: Response, value: &str, seconds: u64) -> Response {
    let secure = if app.settings.tls.is_some() || app.url().starts_with("https://") { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    match HeaderValue::from_str(&text) {
        Ok(cookie) => {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
            answer
        }
        Err(_) => Problem::new(Code::Defect, "a session cannot be written down").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_own_paths_alone() {
        for path in ["/deploys/1?state=stuck", "/", "/deploys/1/tenants/a%2Fb"] {
            assert_eq!(own_path(Some(path)), path);
        }
        let long = format!("/{}", "a".repeat(NEXT_BYTES_MAX));
        let elsewhere = [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "evil",
            "",
            "/a\r\nb",
            "/login?next=/",
            "/é",
            "/logout",
            long.as_str(),
        ];
        for path in elsewhere {
            assert_eq!(own_path(Some(path)), "/", "{path:?}");
        }
    }
}
