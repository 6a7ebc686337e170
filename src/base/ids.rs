//! Identifiers and counters, each with a type of its own so that none can stand in for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::limits::TENANT_ID_BYTES_MAX;

macro_rules! uuid_id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh one. UUID version 7: ids made later sort later, as far as clocks can be trusted; no decision rests on
            /// that order.
            #[must_use]
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(DeployId, "One deploy: one saga, one release, one set of tenants.");
uuid_id!(LogId, "One log, from its creation on. Tenant ledgers carry it, so that a lost or a wrong log is noticed.");

/// A tenant's id: what the customer's own systems call it. 1 to 200 bytes, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

/// The text cannot be a tenant id.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is not a tenant id: 1 to {TENANT_ID_BYTES_MAX} bytes, without control characters or surrounding space"
)]
pub struct BadTenantId {
    text: String,
}

impl TenantId {
    /// Checks and wraps.
    ///
    /// # Errors
    /// When the text is empty, too long, or holds a control character or surrounding white space.
    pub fn new(text: impl Into<String>) -> Result<Self, BadTenantId> {
        let text = text.into();
        let fits = !text.is_empty() && text.len() <= TENANT_ID_BYTES_MAX;
        if !fits || text.chars().any(char::is_control) || text.trim() != text {
            return Err(BadTenantId { text: text.chars().take(TENANT_ID_BYTES_MAX).collect() });
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = BadTenantId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(StepId, "A step within a tenant's plan: `preflight`, `migrate:0007_add_email`.");
text_id!(
    WorkerId,
    "One worker process: host, process namespace, process id and start, so that a dead one can be told."
);

macro_rules! counter {
    ($name:ident, $int:ty, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(Seq, u64, "The place of an event in its stream, from 1; 0 is the empty stream.");
counter!(
    Epoch,
    u64,
    "How many holders a tenant's lease has had. Grows with each new holder, over all deploys, and fences the old one."
);
counter!(Attempt, u32, "Which try of a step this is, from 1.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_with_a_control_character_or_no_text_is_refused() {
        assert!(TenantId::new("acme").is_ok());
        assert!(TenantId::new("").is_err());
        assert!(TenantId::new("a\nb").is_err());
        assert!(TenantId::new(" acme").is_err());
        assert!(TenantId::new("x".repeat(201)).is_err());
    }
}
