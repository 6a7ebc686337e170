//! What can be wrong with a fleet.

use std::fmt;

use crate::base::{Code, Coded, TenantId};

/// Whose connection an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A tenant's.
    Tenant {
        /// Which.
        id: TenantId,
    },
    /// That of the catalog database, which the list of tenants is read from.
    Catalog,
    /// That of the log, as `windlass.toml` names it.
    Log,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant { id } => write!(f, "tenant {id}"),
            Self::Catalog => f.write_str("the catalog database"),
            Self::Log => f.write_str("the log"),
        }
    }
}

/// A fleet that cannot be read, reached or chosen from. No message holds a secret: they are built from references, reasons
/// and scrubbed texts of drivers, never from URLs.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A reference leads nowhere.
    #[error("{reference} in the connection URL of {subject} cannot be resolved: {reason}; nothing was connected to")]
    SecretUnresolved {
        /// Whose URL holds it.
        subject: Subject,
        /// The reference as written, `${env:NAME}`.
        reference: String,
        /// Why, without the value.
        reason: String,
    },
    /// No tenants.
    #[error("no tenants come from {from}: there is nothing to deploy to")]
    Empty {
        /// The source.
        from: String,
    },
    /// One id twice.
    #[error("two tenants have the id {id}: {first} and {second}")]
    DuplicateTenant {
        /// The id.
        id: TenantId,
        /// Where it stands first.
        first: String,
        /// Where it stands again.
        second: String,
    },
    /// Two ids, one database.
    #[error("tenants {first} and {second} are the same database, {location}: a release would be applied to it twice")]
    SameDatabase {
        /// One tenant.
        first: TenantId,
        /// The other.
        second: TenantId,
        /// Server, database and schema, or the file.
        location: String,
    },
    /// The source cannot be read, or gives something that is not a tenant.
    #[error("the list of tenants cannot be read from {from}: {reason}")]
    SourceFailed {
        /// The source.
        from: String,
        /// Why; secrets scrubbed.
        reason: String,
    },
    /// A URL that is none.
    #[error("the connection URL of {subject} is not valid: {reason}")]
    BadUrl {
        /// Whose.
        subject: Subject,
        /// Why, without any part of the URL that could be secret.
        reason: String,
    },
    /// Ids that nobody has.
    #[error("no tenant has the id {}; the fleet has {known} tenants", .ids.join(", "))]
    UnknownTenant {
        /// The ids, as given.
        ids: Vec<String>,
        /// How many tenants there are.
        known: usize,
    },
    /// A selector that does not read.
    #[error("the selector {text:?} is not valid at character {position}: {reason}")]
    BadSelector {
        /// The selector.
        text: String,
        /// From 1, in characters.
        position: usize,
        /// What is wrong there.
        reason: String,
    },
}

impl Coded for FleetError {
    fn code(&self) -> Code {
        match self {
            Self::SecretUnresolved { .. } => Code::SecretUnresolved,
            Self::Empty { .. } => Code::FleetEmpty,
            Self::DuplicateTenant { .. } => Code::DuplicateTenant,
            Self::SameDatabase { .. } => Code::SameDatabase,
            Self::SourceFailed { .. } => Code::SourceFailed,
            Self::BadUrl { .. } => Code::BadTenantUrl,
            Self::UnknownTenant { .. } => Code::UnknownTenant,
            Self::BadSelector { .. } => Code::BadSelector,
        }
    }

    fn next(&self) -> Option<String> {
        let next = match self {
            Self::SecretUnresolved { .. } => {
                "set the variable or create the file on this machine, then run the command again"
            }
            Self::Empty { .. } => "add tenants under [[fleet.tenant]], or a source under [fleet], in windlass.toml",
            Self::DuplicateTenant { .. } => "give each tenant an id of its own in the fleet's source",
            Self::SameDatabase { .. } => "remove one of the two, or give each its own database or schema",
            Self::SourceFailed { .. } => "correct [fleet] in windlass.toml, then: windlass tenants list",
            Self::BadUrl { .. } => "correct the URL in the fleet's source, then: windlass tenants list",
            Self::UnknownTenant { .. } => "windlass tenants list",
            Self::BadSelector { .. } => "for example: --select 'label.plan = pro and not label.region in (eu, us)'",
        };
        Some(next.to_owned())
    }
}
