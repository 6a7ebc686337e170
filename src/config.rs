//! `windlass.toml`: what a project says about itself.
//!
//! Floor 1.5: over `base`, `fleet` and `saga`. Every key is known and typed, every path is absolute once it has been read, and an error
//! names line and key but never a value that may hold a password.

mod error;
mod file;
pub mod serve;
#[cfg(test)]
mod tests;
pub mod workflows;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::base::SystemClock;
use crate::base::limits::TOML_BYTES_MAX;
use crate::fleet::{RereadSource, SecretResolver, ServerBudgets, ServerKey, Source, SourceUrl, Variables};

pub use self::error::ConfigError;
pub use self::serve::Serve;

/// The name of the file.
pub const FILE_NAME: &str = "windlass.toml";

/// A project's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The fleet's name; by default that of the folder the file lies in. One fleet has one deploy at a time.
    pub name: String,
    /// The folder the file lies in, absolute. Relative paths start from here.
    pub base_dir: PathBuf,
    /// Where the log is. Not yet resolved: it may hold references.
    pub log_url: SourceUrl,
    /// The migration folder, absolute.
    pub release_dir: PathBuf,
    /// Where the list of tenants comes from.
    pub source: Source,
    /// The connections of each physical server.
    pub servers: Servers,
    /// How deploys are made, unless the command says otherwise.
    pub deploy: DeployDefaults,
    /// The folder of the project's own workflow files, absolute. It need not exist.
    pub workflows_dir: PathBuf,
    /// The file of the key that signs the end of a deploy, absolute; none where ends are not signed.
    pub sign_with: Option<PathBuf>,
    /// What `windlass serve` does for this project.
    pub serve: Serve,
}

/// Connections per physical server, each 1 to 10 000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// Of a server that is not named.
    pub default_connections: u32,
    /// Of those that are.
    pub named: BTreeMap<ServerKey, u32>,
}

/// How deploys are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployDefaults {
    /// The workflow's name.
    pub workflow: String,
    /// Tenants at once, over all servers; 1 to 10 000.
    pub concurrency: u32,
    /// Which tenants are asked what they have before a deploy is created.
    pub survey: Survey,
    /// Whether a migration older than an applied one may be applied.
    pub out_of_order: OutOfOrder,
    /// The schema of Windlass's own tables in PostgreSQL tenants; by default the tenant's own.
    pub ledger_schema: Option<String>,
}

/// Which tenants are asked what they have before a deploy is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Survey {
    /// All of them: changes made behind Windlass's back are seen before anything starts.
    All,
    /// Those of which the log knows nothing: the others cost no connection.
    Unknown,
}

/// What becomes of a migration that is older than one already applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutOfOrder {
    /// The deploy is refused (WL0111).
    Refuse,
    /// It is applied.
    Allow,
}

impl Config {
    /// Reads the file named, or else the `windlass.toml` of this folder or of the nearest one above it.
    ///
    /// # Errors
    /// WL0001 where there is none; WL0002 where it cannot be read or is not valid.
    pub fn find(explicit: Option<&Path>) -> Result<Self, ConfigError> {
        let path = match explicit {
            Some(path) => path.to_owned(),
            None => locate(&std::path::absolute(".").unwrap_or_default())?,
        };
        let path = std::path::absolute(&path).unwrap_or(path);
        let text = read(&path)?;
        let base_dir = path.parent().unwrap_or(&path);
        Self::parse(&text, base_dir).map_err(|error| error.at(&path))
    }

    /// Reads a configuration from its text. `base_dir` is the folder that relative paths start from.
    ///
    /// # Errors
    /// WL0002, with the line.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, ConfigError> {
        let base_dir = std::path::absolute(base_dir).unwrap_or_else(|_| base_dir.to_owned());
        let file: file::File = toml::from_str(text).map_err(|error| ConfigError::in_text(text, &error))?;
        file.into_config(base_dir)
    }

    /// The budgets of the servers.
    #[must_use]
    pub fn budgets(&self) -> ServerBudgets {
        ServerBudgets::new(self.servers.default_connections, self.servers.named.clone())
    }

    /// What resolves this fleet's URLs: variables of this process, files, and, where needed, the source once more.
    #[must_use]
    pub fn resolver(&self) -> SecretResolver {
        let plain = SecretResolver::new(Variables::Process);
        let source = self.source.clone();
        let reread = RereadSource::new(source, plain.clone(), self.base_dir.clone(), Arc::new(SystemClock));
        plain.with_source(Arc::new(reread))
    }
}

/// The nearest file, from `start` upward.
fn locate(start: &Path) -> Result<PathBuf, ConfigError> {
    let found = start.ancestors().map(|dir| dir.join(FILE_NAME)).find(|path| path.is_file());
    found.ok_or_else(|| ConfigError::Missing { place: format!("in {} or any folder above it", start.display()) })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let invalid = |reason: String| ConfigError::Invalid { path: path.to_owned(), line: None, key: None, reason };
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ConfigError::Missing { place: format!("at {}", path.display()) },
        _ => invalid(format!("it cannot be read: {error}")),
    })?;
    let mut bytes = Vec::new();
    let read = file.take(TOML_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| invalid(format!("it cannot be read: {error}")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > TOML_BYTES_MAX {
        return Err(invalid(format!("it is larger than {TOML_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text".to_owned()))
}
