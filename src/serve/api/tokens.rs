//! Tokens: made, listed, ended. Who manages tokens gives nobody more than they have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::openapi::{Conflict, Malformed, Missing, TooLarge, WrongKind};
use crate::base::limits::{TOKEN_LIFETIME_MAX, TOKEN_NAME_CHARS_MAX};
use crate::base::{Code, Timestamp};
use crate::log::{NewToken, Role, Token};
use crate::serve::access::{Principal, Secret};
use crate::serve::app::App;
use crate::serve::extract::{At, Body};
use crate::serve::problem::Problem;

/// Tokens, by age. What they are cannot be shown: it is not kept.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Tokens {
    items: Vec<Token>,
}

/// Whether somebody with these fleets may manage a token for those: all of them are theirs.
fn within(principal: &Principal, fleets: Option<&BTreeSet<String>>) -> bool {
    match (&principal.fleets, fleets) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(ours), Some(theirs)) => theirs.is_subset(ours),
    }
}

/// The tokens
///
/// All that are, and were, but for sessions of the page. Whoever has to do with some fleets alone sees the tokens for those.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens",
    responses((status = 200, description = "The tokens, by age.", body = Tokens)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Tokens>, Problem> {
    let mut items = app.desk.tokens().await?;
    items.retain(|token| within(&principal, token.fleets.as_ref()));
    Ok(Json(Tokens { items }))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct MakeToken {
    /// What it is for; the log names whoever uses it so. Without control characters.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$",
        example = "ci of the shop"
    )]
    name: String,
    /// What its holder may do.
    role: Role,
    /// With which fleets of this server; all where it is not said.
    #[serde(default)]
    #[schema(min_items = 1)]
    fleets: Option<BTreeSet<String>>,
    /// For how many seconds it is good; for ever where it is not said.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 315_360_000)]
    // A float, because JSON knows only one kind of number: 60.0 is 60.
    expires_in_seconds: Option<f64>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct MadeToken {
    /// What it is named by.
    id: String,
    /// The token itself. It is shown this once.
    token: String,
    name: String,
    role: Role,
    fleets: Option<BTreeSet<String>>,
    expires_at: Option<Timestamp>,
}

impl MakeToken {
    /// Refuses what makes no sense, or gives more than the giver has.
    fn check(&self, app: &App, principal: &Principal) -> Result<(), Problem> {
        let bad = |what: String| Err(Problem::new(Code::BadArgument, what));
        let chars = self.name.chars().count();
        if !(1..=TOKEN_NAME_CHARS_MAX).contains(&chars) || self.name.chars().any(char::is_control) {
            return bad(format!("a name is 1 to {TOKEN_NAME_CHARS_MAX} characters, without control characters"));
        }
        let longest = TOKEN_LIFETIME_MAX.as_secs_f64();
        let fits = |seconds: f64| (1.0..=longest).contains(&seconds) && seconds.fract() == 0.0;
        if !self.expires_in_seconds.is_none_or(fits) {
            return bad(format!("a token is good for 1 to {longest} whole seconds, or for ever"));
        }
        if self.fleets.as_ref().is_some_and(BTreeSet::is_empty) {
            return bad("a token for no fleet is good for nothing: name one, or leave `fleets` out".to_owned());
        }
        if !within(principal, self.fleets.as_ref()) || self.role > principal.role {
            let detail = "a token cannot give more than the one that makes it: name fleets that yours has to do with";
            return Err(Problem::new(Code::NotAllowed, detail));
        }
        let elsewhere = self.fleets.iter().flatten().find(|fleet| app.fleet(Some(fleet)).is_none());
        if let Some(fleet) = elsewhere {
            return Err(Problem::new(Code::NoSuchThing, format!("this server has no fleet {fleet:?}")));
        }
        Ok(())
    }
}

/// Makes a token
///
/// The answer holds the token itself. It is shown this once: the log keeps only its digest.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", request_body = MakeToken,
    responses(
        (status = 201, description = "The token.", body = MadeToken),
        Malformed, Missing, TooLarge, WrongKind
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<MakeToken>,
) -> Result<Response, Problem> {
    new.check(&app, &principal)?;
    let secret = Secret::fresh()
        .map_err(|error| Problem::new(Code::LogUnavailable, format!("no random bytes can be had: {error}")))?;
    let MakeToken { name, role, fleets, expires_in_seconds } = new;
    let expires_at = expires_in_seconds.map(|seconds| app.log.clock().now().plus(Duration::from_secs_f64(seconds)));
    let token = NewToken {
        id: secret.id.clone(),
        hash: secret.hash(),
        name: name.clone(),
        role,
        fleets: fleets.clone(),
        parent: None,
        expires_at,
    };
    app.desk.add_token(token).await?;
    tracing::info!(token = secret.id, by = principal.name, role = role.as_str(), "a token was made");
    let made = MadeToken { token: secret.expose().to_owned(), id: secret.id, name, role, fleets, expires_at };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Ends a token
///
/// And the sessions of the page that were opened with it. Not the one that the request came with.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The eight characters behind `wl_`.")),
    responses((status = 204, description = "It is not good any more."), Missing, Conflict),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    At(id): At<String>,
) -> Result<StatusCode, Problem> {
    let known = app.desk.tokens().await?.into_iter().find(|token| token.id == id);
    let good = known.filter(|token| token.revoked_at.is_none() && within(&principal, token.fleets.as_ref()));
    if good.is_none() {
        return Err(Problem::new(Code::NoSuchThing, format!("no token named {id:?} is good: there is nothing to end")));
    }
    if principal.token.as_deref() == Some(id.as_str()) {
        let detail = format!("{id} is the token that you came with; end it with another one");
        return Err(Problem::new(Code::WrongState, detail).next(format!("windlass token revoke {id}")));
    }
    if !app.desk.revoke_token(&id).await? {
        return Err(Problem::new(Code::NoSuchThing, format!("token {id} has been ended a moment ago")));
    }
    tracing::info!(token = id, by = principal.name, "a token was ended");
    Ok(StatusCode::NO_CONTENT)
}
