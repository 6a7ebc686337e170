//! Tokens: who may ask for what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::{Digest, Timestamp};

/// What the holder of a token may do. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See.
    Viewer,
    /// Push releases and start deploys.
    Deployer,
    /// Steer deploys: pause, resume, unwind, cancel, retry, resolve, rollback.
    Operator,
    /// Manage tokens.
    Admin,
}

impl Role {
    /// Every role, from the least.
    pub const ALL: &'static [Role] = &[Role::Viewer, Role::Deployer, Role::Operator, Role::Admin];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Deployer => "deployer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

/// A token to be kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its public name, which is also in the token's text.
    pub id: String,
    /// SHA-256 of its secret part.
    pub hash: Digest,
    /// What it is for, for people.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// With which fleets; all where there is none.
    pub fleets: Option<BTreeSet<String>>,
    /// The token that a session of the page was opened with: it ends with that.
    pub parent: Option<String>,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
}

/// A token as the desk keeps it. The secret is not here, nor anything that it could be had from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Token {
    /// Its public name.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// With which fleets; all where there is none.
    pub fleets: Option<BTreeSet<String>>,
    /// The token that a session was opened with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
    /// Since when it is not good any more.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub used_at: Option<Timestamp>,
}

impl Token {
    /// Whether it is good at this moment.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether its holder has to do with this fleet.
    #[must_use]
    pub fn covers(&self, fleet: &str) -> bool {
        self.fleets.as_ref().is_none_or(|fleets| fleets.contains(fleet))
    }
}
