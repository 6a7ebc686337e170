//! What can go wrong with a tenant database.

use crate::base::{Code, Coded, Epoch, TenantId};
use crate::saga::failure::{ErrorClass, Failure};

/// A session, or an act in it, failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .failure.message)]
pub struct SessionError {
    /// Which tenant.
    pub tenant: TenantId,
    /// What happened, with class and code. The message holds no secret.
    pub failure: Failure,
    /// Whether the act may have taken effect.
    pub outcome: Outcome,
}

/// Whether an act that failed may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not: the server said so, or was never asked.
    NoEffect,
    /// The connection was lost before the answer: only the ledger knows.
    Unknown,
    /// The text ended its own transaction: a part of it may stay, and no ledger row says which. Only a human can see.
    Torn,
}

impl SessionError {
    /// An error that is known to have had no effect.
    #[must_use]
    pub fn no_effect(tenant: &TenantId, class: ErrorClass, code: Code, message: impl Into<String>) -> Self {
        Self { tenant: tenant.clone(), failure: Failure::new(class, code, message), outcome: Outcome::NoEffect }
    }

    /// The session cannot be opened because a later worker holds the tenant.
    #[must_use]
    pub fn fenced(tenant: &TenantId, held: Epoch, current: Epoch) -> Self {
        let message =
            format!("tenant {tenant} is held by a later worker (epoch {current}, ours is {held}); nothing was done");
        Self::no_effect(tenant, ErrorClass::Permanent, Code::TenantFenced, message)
    }
}

impl Coded for SessionError {
    fn code(&self) -> Code {
        self.failure.code
    }
}
