//! The file as it is written, before it is checked as a whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{Config, ConfigError, DeployDefaults, OutOfOrder, Servers, Survey, serve};
use crate::base::TenantId;
use crate::fleet::{Entry, ServerKey, Source, SourceUrl};

/// The most connections of a server, and the most tenants at once.
const PARALLEL_MAX: i64 = 10_000;

/// Bytes of a fleet's name, a workflow's name and a PostgreSQL identifier.
const NAME_BYTES_MAX: usize = 200;
const SCHEMA_BYTES_MAX: usize = 63;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    name: Option<String>,
    #[serde(default)]
    log: Log,
    #[serde(default)]
    release: Release,
    #[serde(default)]
    fleet: Fleet,
    #[serde(default)]
    server: BTreeMap<String, Server>,
    #[serde(default)]
    deploy: Deploy,
    #[serde(default)]
    workflows: Workflows,
    #[serde(default)]
    audit: Audit,
    #[serde(default)]
    serve: serve::File,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Log {
    url: SourceUrl,
}

impl Default for Log {
    fn default() -> Self {
        Self { url: "sqlite://windlass.db".into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Release {
    dir: PathBuf,
}

impl Default for Release {
    fn default() -> Self {
        Self { dir: "migrations".into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Workflows {
    dir: PathBuf,
}

impl Default for Workflows {
    fn default() -> Self {
        Self { dir: "workflows".into() }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Audit {
    sign_with: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Fleet {
    source: Option<Listed>,
    #[serde(default)]
    tenant: Vec<WrittenTenant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTenant {
    id: TenantId,
    url: SourceUrl,
    schema: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, Label>,
}

/// A label's value. `canary = true` and `shard = 7` are written without quotes as often as with them.
struct Label(String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(text)),
            toml::Value::Integer(number) => Ok(Self(number.to_string())),
            toml::Value::Boolean(flag) => Ok(Self(flag.to_string())),
            _ => Err(D::Error::custom("a label's value is a text, a whole number, true or false")),
        }
    }
}

/// A source other than the list.
#[derive(Deserialize)]
#[serde(try_from = "WrittenSource")]
struct Listed(Source);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: { glob = … } or { sql = …, on = … }")]
struct WrittenSource {
    sql: Option<String>,
    on: Option<SourceUrl>,
    glob: Option<String>,
    url: Option<SourceUrl>,
}

impl TryFrom<WrittenSource> for Listed {
    type Error = &'static str;

    fn try_from(written: WrittenSource) -> Result<Self, Self::Error> {
        match written {
            WrittenSource { sql: Some(sql), on: Some(on), glob: None, url } => Ok(Self(Source::Query { sql, on, url })),
            WrittenSource { sql: None, on: None, glob: Some(pattern), url } => Ok(Self(Source::Glob { pattern, url })),
            WrittenSource { glob: None, .. } => Err("a source is either { sql, on } or { glob }, and may have a url"),
            WrittenSource { .. } => Err("a source has a glob, or sql and on, not both"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    #[serde(deserialize_with = "parallel")]
    connections: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Deploy {
    workflow: String,
    #[serde(deserialize_with = "parallel")]
    concurrency: u32,
    survey: Survey,
    out_of_order: OutOfOrder,
    ledger_schema: Option<String>,
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            workflow: "all-or-nothing".to_owned(),
            concurrency: 16,
            survey: Survey::All,
            out_of_order: OutOfOrder::Refuse,
            ledger_schema: None,
        }
    }
}

fn parallel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let legal = (1..=PARALLEL_MAX).contains(&number).then(|| u32::try_from(number).ok()).flatten();
    legal.ok_or_else(|| D::Error::custom(format!("{number} is not between 1 and {PARALLEL_MAX}")))
}

impl File {
    pub(super) fn into_config(self, base_dir: PathBuf) -> Result<Config, ConfigError> {
        let folder =
            base_dir.file_name().map_or_else(|| "fleet".to_owned(), |name| name.to_string_lossy().into_owned());
        let name = self.name.unwrap_or(folder);
        check_text("name", &name, NAME_BYTES_MAX)?;
        check_text("deploy.workflow", &self.deploy.workflow, NAME_BYTES_MAX)?;
        if let Some(schema) = &self.deploy.ledger_schema {
            check_text("deploy.ledger_schema", schema, SCHEMA_BYTES_MAX)?;
        }
        let deploy = DeployDefaults {
            workflow: self.deploy.workflow,
            concurrency: self.deploy.concurrency,
            survey: self.deploy.survey,
            out_of_order: self.deploy.out_of_order,
            ledger_schema: self.deploy.ledger_schema,
        };
        Ok(Config {
            name,
            log_url: self.log.url,
            release_dir: base_dir.join(self.release.dir),
            source: self.fleet.into_source()?,
            servers: servers(self.server)?,
            deploy,
            workflows_dir: base_dir.join(self.workflows.dir),
            sign_with: self.audit.sign_with.map(|path| base_dir.join(path)),
            serve: self.serve.into_serve(&base_dir)?,
            base_dir,
        })
    }
}

impl Fleet {
    fn into_source(self) -> Result<Source, ConfigError> {
        match self.source {
            Some(_) if !self.tenant.is_empty() => {
                Err(ConfigError::invalid("fleet", "tenants come from source or from [[fleet.tenant]], not from both"))
            }
            Some(Listed(source)) => Ok(source),
            None => Ok(Source::List(self.tenant.into_iter().map(WrittenTenant::into_entry).collect())),
        }
    }
}

impl WrittenTenant {
    fn into_entry(self) -> Entry {
        let labels = self.labels.into_iter().map(|(name, Label(value))| (name, value)).collect();
        Entry { id: self.id, url: self.url, schema: self.schema, labels }
    }
}

fn servers(written: BTreeMap<String, Server>) -> Result<Servers, ConfigError> {
    let mut servers = Servers { default_connections: 8, named: BTreeMap::new() };
    for (name, Server { connections }) in written {
        if name == "default" {
            servers.default_connections = connections;
        } else if servers.named.insert(ServerKey::new(&name), connections).is_some() {
            return Err(ConfigError::invalid(&format!("server.{name}"), "it is there twice, in upper and lower case"));
        }
    }
    Ok(servers)
}

fn check_text(key: &str, text: &str, bytes_max: usize) -> Result<(), ConfigError> {
    if text.trim().is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        let rule = format!("it must be a text of 1 to {bytes_max} bytes, without control characters");
        return Err(ConfigError::invalid(key, rule));
    }
    Ok(())
}
