//! Tokens as their holders have them.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::base::limits::{REFUSED_PER_MINUTE_MAX, TOKEN_USED_EXACTLY};
use crate::base::{Clock, Digest};
use crate::log::{Desk, LogError, Token};
use crate::serve::addresses::one;

/// What every token begins with, so that a scanner for leaked secrets can know it.
const PREFIX: &str = "wl_";

/// Random bytes of a secret: nobody guesses 256 bits, so a plain digest of them is safe to keep.
const SECRET_BYTES: usize = 32;

/// Random bytes of a token's public name.
const ID_BYTES: usize = 4;

/// A token's text. Shown once, to whoever made it.
#[derive(Clone)]
pub struct Secret {
    /// Its public name.
    pub id: String,
    text: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.id)
    }
}

impl Secret {
    /// A fresh one.
    ///
    /// # Errors
    /// When the system has no random bytes to give.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        Ok(Self { id, text })
    }

    /// The public name in a token's text.
    #[must_use]
    pub fn id_in(text: &str) -> Option<&str> {
        text.strip_prefix(PREFIX)?.split_once('_').map(|(id, _)| id)
    }

    /// What is handed to its holder.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> Digest {
        hash(&self.text)
    }
}

/// What is kept of a token's text.
fn hash(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// Who may come in, and how often.
pub struct Keys {
    desk: Arc<dyn Desk>,
    clock: Arc<dyn Clock>,
    requests: DefaultKeyedRateLimiter<IpAddr>,
    refusals: DefaultKeyedRateLimiter<IpAddr>,
}

impl Keys {
    /// Reads tokens from this desk.
    #[must_use]
    pub fn new(desk: Arc<dyn Desk>, clock: Arc<dyn Clock>, requests_per_second: NonZeroU32) -> Self {
        Self {
            desk,
            clock,
            requests: RateLimiter::keyed(Quota::per_second(requests_per_second)),
            refusals: RateLimiter::keyed(Quota::per_minute(REFUSED_PER_MINUTE_MAX)),
        }
    }

    /// The token with this text, if it is good now. It is looked up by its digest, so no comparison with a secret tells how much of a
    /// guess was right.
    pub async fn find(&self, text: &str) -> Result<Option<Token>, LogError> {
        if !text.starts_with(PREFIX) || text.len() > 100 {
            return Ok(None);
        }
        let token = self.desk.token(&hash(text)).await?.filter(|token| token.is_good(self.clock.now()));
        // Known to the minute, and no reason to keep anybody out: a log that cannot be written can still be looked at.
        let now = self.clock.now();
        if let Some(token) = &token
            && token.used_at.is_none_or(|at| at.until(now) >= TOKEN_USED_EXACTLY)
            && let Err(error) = self.desk.token_used(&token.id).await
        {
            tracing::debug!(%error, "it could not be noted that a token was used");
        }
        Ok(token)
    }

    /// Whether there is any token, good or not any more: then nobody comes in without one. That the last one has expired must not open
    /// the door.
    pub async fn any(&self) -> Result<bool, LogError> {
        Ok(!self.desk.tokens().await?.is_empty())
    }

    /// Whether an address may ask once more.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        self.requests.check_key(&one(client)).is_ok()
    }

    /// Takes down that something an address sent was refused; whether it may go on like that.
    #[must_use]
    pub fn refused(&self, client: IpAddr) -> bool {
        self.refusals.check_key(&one(client)).is_ok()
    }

    /// Forgets addresses that have not been heard of.
    pub fn tidy(&self) {
        self.requests.retain_recent();
        self.refusals.retain_recent();
    }
}
