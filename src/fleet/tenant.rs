//! One tenant, as the log keeps it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::url::UrlTemplate;
use crate::base::TenantId;

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// SQLite: one file per tenant.
    Sqlite,
    /// MySQL and MariaDB.
    Mysql,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
            Self::Mysql => "mysql",
        })
    }
}

/// One customer's database or schema. Stored in the durable log as it is, so it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// What the customer's own systems call it.
    pub id: TenantId,
    /// Where it is.
    pub target: Target,
    /// What selectors choose by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Where a tenant is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The engine, known from the URL's scheme when the source was read.
    pub engine: Engine,
    /// The connection URL, its passwords as references.
    pub url: UrlTemplate,
    /// The tenant's schema, where tenants share a PostgreSQL database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The schema of Windlass's own tables (PostgreSQL); none for the tenant's own. Part of where the tenant is, and so frozen with
    /// its deploy: evidence that was written to one ledger must never be looked for in another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_schema: Option<String>,
}
