//! Where the list of tenants comes from.

mod glob;
mod query;
mod reread;
mod row;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::path::{Path, PathBuf};

use self::row::Row;
use super::error::{FleetError, Subject};
use super::secret::SecretResolver;
use super::tenant::Tenant;
use super::url::{DatabasePlace, Frozen, SourceUrl};
use crate::base::TenantId;
use crate::base::limits::FLEET_TENANTS_MAX;

pub use self::reread::RereadSource;

/// A tenant, as a person writes it into `windlass.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: TenantId,
    /// Its connection URL, perhaps with a clear password.
    pub url: SourceUrl,
    /// Its schema, where tenants share a PostgreSQL database.
    pub schema: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Where the list of tenants comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Written out.
    List(Vec<Entry>),
    /// One tenant per file; its id is the file's name without the extension.
    Glob {
        /// Which files, relative to the configuration's folder.
        pattern: String,
        /// The tenant's URL, made from `{stem}` and `{path}`. Without it the file is a SQLite database.
        url: Option<SourceUrl>,
    },
    /// One tenant per row of a query on the catalog database. The columns `id` and `url` are the tenant's, `schema` may be, and
    /// all others become labels.
    Query {
        /// The query.
        sql: String,
        /// The catalog database.
        on: SourceUrl,
        /// The tenant's URL, made from the `{columns}` of its row, instead of a column `url`.
        url: Option<SourceUrl>,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(_) => f.write_str("the list [[fleet.tenant]]"),
            Self::Glob { pattern, .. } => write!(f, "the files {pattern}"),
            Self::Query { .. } => f.write_str("the query on the catalog database"),
        }
    }
}

impl Source {
    /// Reads all tenants, sorted by id, ready for the log: their clear passwords are `${source}`, their paths absolute.
    /// `base_dir` is the folder of the configuration.
    ///
    /// # Errors
    /// WL0201 without tenants; WL0202 and WL0203 where two share an id or a database; WL0204 where the source cannot be read;
    /// WL0205 for a URL that is none; WL0003 for a reference outside a password that leads nowhere. References in passwords
    /// are not resolved.
    pub async fn read(&self, resolver: &SecretResolver, base_dir: &Path) -> Result<Vec<Tenant>, FleetError> {
        let mut rows = self.rows(resolver, base_dir).await?;
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        for (first, second) in rows.iter().zip(rows.iter().skip(1)) {
            if first.id == second.id {
                let (id, first, second) = (first.id.clone(), first.origin.clone(), second.origin.clone());
                return Err(FleetError::DuplicateTenant { id, first, second });
            }
        }
        let mut tenants = Vec::with_capacity(rows.len());
        let mut places = Places::default();
        for row in rows {
            let subject = Subject::Tenant { id: row.id.clone() };
            let frozen = row.url.freeze(&subject, row.schema.as_deref(), base_dir, resolver).await?;
            places.take(&row.id, &frozen).await?;
            tenants.push(Tenant { id: row.id, target: frozen.target, labels: row.labels });
        }
        Ok(tenants)
    }

    /// The rows of the source, in its own order; at least one.
    async fn rows(&self, resolver: &SecretResolver, base_dir: &Path) -> Result<Vec<Row>, FleetError> {
        let rows = match self {
            Self::List(entries) => entries.iter().enumerate().map(|(at, entry)| Row::listed(at, entry)).collect(),
            Self::Glob { pattern, url } => {
                glob::rows(pattern, url.as_ref(), base_dir).await.map_err(|reason| self.failed(reason))?
            }
            Self::Query { sql, on, url } => {
                let on = on.resolve(&Subject::Catalog, base_dir, resolver).await?;
                let rows = query::rows(sql, &on).await?;
                rows.read(url.as_ref()).map_err(|reason| self.failed(on.redact(&reason)))?
            }
        };
        match rows.len() {
            0 => Err(FleetError::Empty { from: self.to_string() }),
            1..=FLEET_TENANTS_MAX => Ok(rows),
            _ => Err(self.failed(format!("it gives more than {FLEET_TENANTS_MAX} tenants"))),
        }
    }

    fn failed(&self, reason: String) -> FleetError {
        FleetError::SourceFailed { from: self.to_string(), reason }
    }
}

/// Which databases are taken, and by whom. Sees what the URLs say; two names of one server are told apart only by the server.
#[derive(Default)]
struct Places(BTreeMap<String, TenantId>);

impl Places {
    async fn take(&mut self, id: &TenantId, frozen: &Frozen) -> Result<(), FleetError> {
        let location = location(frozen).await;
        match self.0.entry(location) {
            btree_map::Entry::Vacant(place) => {
                place.insert(id.clone());
                Ok(())
            }
            btree_map::Entry::Occupied(place) => Err(FleetError::SameDatabase {
                first: place.get().clone(),
                second: id.clone(),
                location: place.key().clone(),
            }),
        }
    }
}

async fn location(frozen: &Frozen) -> String {
    match (&frozen.place, &frozen.target.schema) {
        (DatabasePlace::File { path }, _) => {
            // A file that is not there yet, or cannot be looked at, is what its path says.
            let canonical = tokio::fs::canonicalize(path).await.unwrap_or_else(|_| PathBuf::from(path));
            canonical.to_string_lossy().into_owned()
        }
        (DatabasePlace::Server { server, database }, None) => format!("{server}/{database}"),
        (DatabasePlace::Server { server, database }, Some(schema)) => format!("{server}/{database}, schema {schema}"),
    }
}
