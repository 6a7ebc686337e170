//! `[serve]` as it is written, before it is checked.
//!
//! What can be wrong with a value is found after the file has been read, so that the error can name its key whole: the reader of TOML
//! knows a line and, within an array, no key.

mod webhook;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::url::{GitUrl, HttpUrl, Query};
use super::{FolderTemplate, Git, NOTIFY_EVENTS, Notify, ReleaseSources, Serve, Tls, Traces, WhenBusy};
use crate::base::limits::{
    GIT_TIMEOUT_MAX, NOTIFY_MAX, REQUESTS_PER_SECOND, REQUESTS_PER_SECOND_MAX, SERVE_PROJECTS_MAX, WEBHOOKS_MAX,
};
use crate::config::ConfigError;
use crate::fleet::SecretRef;
use crate::saga::workflow::parse_duration;

/// How many events one receiver names.
const NOTIFY_EVENTS_MAX: usize = 100;

/// How long a visit to a git repository takes at most where nothing is set.
const GIT_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct File {
    listen: Option<String>,
    url: Option<String>,
    #[serde(deserialize_with = "texts")]
    projects: Vec<String>,
    tls: Option<WrittenTls>,
    when_busy: WhenBusy,
    requests_per_second: Option<i64>,
    release: WrittenRelease,
    webhook: Vec<webhook::Written>,
    notify: Vec<WrittenNotify>,
    traces: Option<WrittenTraces>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTls {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRelease {
    folder: Option<String>,
    git: Option<WrittenGit>,
    pushed: bool,
}

impl Default for WrittenRelease {
    fn default() -> Self {
        Self { folder: None, git: None, pushed: true }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGit {
    url: String,
    path: Option<PathBuf>,
    timeout: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNotify {
    url: String,
    secret: String,
    #[serde(default, deserialize_with = "some_texts")]
    events: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTraces {
    otlp: String,
}

/// A list of texts, refused as a whole: the reader knows the key of a list, and not that of what stands in it.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = |value| match value {
        toml::Value::String(text) => Some(text),
        _ => None,
    };
    let listed = match toml::Value::deserialize(deserializer)? {
        toml::Value::Array(values) => values.into_iter().map(text).collect(),
        _ => None,
    };
    listed.ok_or_else(|| D::Error::custom("it must be a list of texts"))
}

fn some_texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    texts(deserializer).map(Some)
}

/// A number of requests a second.
fn rate(number: i64) -> Result<NonZeroU32, ConfigError> {
    let fits = u32::try_from(number).ok().filter(|number| *number <= REQUESTS_PER_SECOND_MAX).and_then(NonZeroU32::new);
    fits.ok_or_else(|| {
        invalid("serve.requests_per_second", format!("{number} is not between 1 and {REQUESTS_PER_SECOND_MAX}"))
    })
}

fn invalid(key: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::invalid(key, reason)
}

/// Refuses a list that is too long.
fn at_most(key: &str, length: usize, max: usize) -> Result<(), ConfigError> {
    if length > max { Err(invalid(key, format!("there are {length}, and there may be {max}"))) } else { Ok(()) }
}

fn http_url(key: &str, text: &str, query: Query) -> Result<HttpUrl, ConfigError> {
    HttpUrl::new(text, query).map_err(|reason| invalid(key, reason))
}

fn secret(key: &str, text: &str, base_dir: &Path) -> Result<SecretRef, ConfigError> {
    SecretRef::new(text, base_dir).map_err(|error| invalid(key, error.reason))
}

impl File {
    pub(in crate::config) fn into_serve(self, base_dir: &Path) -> Result<Serve, ConfigError> {
        at_most("serve.webhook", self.webhook.len(), WEBHOOKS_MAX)?;
        at_most("serve.notify", self.notify.len(), NOTIFY_MAX)?;
        let default = Serve::default();
        let listen = self.listen.map_or(Ok(default.listen), |text| {
            let reason = "it must be an address and a port: 127.0.0.1:8400, or [::1]:8400";
            text.parse::<SocketAddr>().map_err(|_| invalid("serve.listen", reason))
        })?;
        let mut webhooks = Vec::new();
        let mut names = BTreeSet::new();
        for (at, written) in self.webhook.into_iter().enumerate() {
            let webhook = written.into_webhook(at, base_dir)?;
            if !names.insert(webhook.name.clone()) {
                let key = format!("serve.webhook {}, name", webhook.name);
                return Err(invalid(&key, "two webhooks have it, and it is a part of their URL"));
            }
            webhooks.push(webhook);
        }
        let notify = self.notify.into_iter().enumerate().map(|(at, written)| written.into_notify(at, base_dir));
        Ok(Serve {
            listen,
            url: self.url.map(|url| http_url("serve.url", &url, Query::Refused)).transpose()?,
            projects: projects(&self.projects, base_dir)?,
            tls: self.tls.map(|tls| Tls { cert: base_dir.join(tls.cert), key: base_dir.join(tls.key) }),
            when_busy: self.when_busy,
            requests_per_second: self.requests_per_second.map_or(Ok(REQUESTS_PER_SECOND), rate)?,
            release: self.release.into_sources(base_dir)?,
            webhooks,
            notify: notify.collect::<Result<_, _>>()?,
            traces: self.traces.map(WrittenTraces::into_traces).transpose()?,
        })
    }
}

fn projects(written: &[String], base_dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    const KEY: &str = "serve.projects";
    at_most(KEY, written.len(), SERVE_PROJECTS_MAX)?;
    if written.iter().any(String::is_empty) {
        return Err(invalid(KEY, "a project is a folder, or a file, and one of them is empty"));
    }
    let paths: Vec<PathBuf> = written.iter().map(|path| base_dir.join(path)).collect();
    let different: BTreeSet<&PathBuf> = paths.iter().collect();
    if different.len() < paths.len() {
        return Err(invalid(KEY, "a project is there twice"));
    }
    Ok(paths)
}

impl WrittenRelease {
    fn into_sources(self, base_dir: &Path) -> Result<ReleaseSources, ConfigError> {
        let folder = self
            .folder
            .map(|text| FolderTemplate::new(text, base_dir).map_err(|reason| invalid("serve.release.folder", reason)));
        let git = self.git.map(WrittenGit::into_git);
        Ok(ReleaseSources { folder: folder.transpose()?, git: git.transpose()?, pushed: self.pushed })
    }
}

impl WrittenGit {
    fn into_git(self) -> Result<Git, ConfigError> {
        let key = |name: &str| format!("serve.release.git.{name}");
        let url = GitUrl::new(&self.url).map_err(|reason| invalid(&key("url"), reason))?;
        let path = inside(&self.path.unwrap_or_else(|| "migrations".into()))
            .ok_or_else(|| invalid(&key("path"), "it must be a folder inside the repository, without .. and -"))?;
        let timeout = self.timeout.as_deref().map_or(Some(GIT_TIMEOUT), parse_duration);
        let legal = timeout.filter(|timeout| (Duration::from_secs(1)..=GIT_TIMEOUT_MAX).contains(timeout));
        let timeout = legal.ok_or_else(|| invalid(&key("timeout"), "it must be 1s to 1h: write 60s or 5m"))?;
        Ok(Git { url, path, timeout })
    }
}

/// A relative path in its plain parts: none leads out, none reads as an option.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => {
                let name = name.to_str()?;
                if name.starts_with(['-', ':']) || name.chars().any(char::is_control) {
                    return None;
                }
                plain.push(name);
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

impl WrittenNotify {
    fn into_notify(self, at: usize, base_dir: &Path) -> Result<Notify, ConfigError> {
        let key = |name: &str| format!("serve.notify {}, {name}", at + 1);
        let is_event = |event: &String| match event.strip_suffix(".*") {
            Some(of) => matches!(of, "deploy" | "request"),
            None => NOTIFY_EVENTS.contains(&event.as_str()),
        };
        if let Some(events) = &self.events {
            at_most(&key("events"), events.len(), NOTIFY_EVENTS_MAX)?;
            if events.is_empty() || !events.iter().all(is_event) {
                let known = NOTIFY_EVENTS.join(", ");
                return Err(invalid(
                    &key("events"),
                    format!("it must name events ({known}), or deploy.* and request.*"),
                ));
            }
        }
        Ok(Notify {
            url: http_url(&key("url"), &self.url, Query::Allowed)?,
            secret: secret(&key("secret"), &self.secret, base_dir)?,
            events: self.events,
        })
    }
}

impl WrittenTraces {
    fn into_traces(self) -> Result<Traces, ConfigError> {
        Ok(Traces { otlp: http_url("serve.traces.otlp", &self.otlp, Query::Refused)? })
    }
}
