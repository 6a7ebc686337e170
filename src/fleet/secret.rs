//! Secrets: what holds one, where they come from, and how they are kept out of sight.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::AsyncReadExt as _;

use super::error::{FleetError, Subject};
use super::template::{Masked, Reference, Values};
use super::tenant::Tenant;
use super::url::ResolvedUrl;
use crate::base::TenantId;
use crate::base::limits::SECRET_BYTES_MAX;

/// A text that must not be seen. Neither `Debug` nor `Display` shows it, and it cannot be serialised.
#[derive(Clone)]
pub struct Secret(String);

/// What stands in a secret's place.
const HIDDEN: &str = "***";

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for a driver, and for nothing that is stored or shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// `text` with every one of `secrets` replaced by `***`, also where it is percent-encoded or escaped as in a quoted text.
///
/// A short secret takes innocent text with it. That is the right way round.
#[must_use]
pub fn redact(text: &str, secrets: &[Secret]) -> String {
    let mut forms: Vec<String> = secrets
        .iter()
        .map(Secret::expose)
        .filter(|secret| !secret.is_empty())
        .flat_map(|secret| {
            let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
            [secret.to_owned(), super::url::encode(secret), encoded, secret.escape_debug().to_string()]
        })
        .collect();
    // The longest first: a secret that begins with another must not leave its end behind.
    forms.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();
    forms.iter().fold(text.to_owned(), |text, form| text.replace(form.as_str(), HIDDEN))
}

/// The passwords that the fleet's source gives in clear, looked up anew when they are needed: what `${source}` stands for.
#[async_trait]
pub trait SourceSecrets: Send + Sync {
    /// The password of one tenant.
    ///
    /// # Errors
    /// WL0003 when the source gives none for this tenant (any more); WL0204 when it cannot be read.
    async fn password(&self, tenant: &TenantId) -> Result<Secret, FleetError>;

    /// The database has refused a password that was given: it may have been changed since. What is given from now on is read anew
    /// where that has not been done just now. A source that cannot be read leaves things as they are.
    async fn read_again(&self);
}

/// Where `${env:NAME}` is looked up.
#[derive(Debug, Clone, Default)]
pub enum Variables {
    /// In this process's environment.
    #[default]
    Process,
    /// In here, for tests and embedding.
    Fixed(BTreeMap<String, Secret>),
}

impl Variables {
    fn get(&self, name: &str) -> Result<String, String> {
        match self {
            Self::Process => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => "the variable is not set".to_owned(),
                // The error of the standard library shows the value.
                std::env::VarError::NotUnicode(_) => "the variable's value is not UTF-8".to_owned(),
            }),
            Self::Fixed(map) => {
                map.get(name).map(|value| value.expose().to_owned()).ok_or_else(|| "the variable is not set".to_owned())
            }
        }
    }
}

/// Turns templates into URLs, at the moment of use. Variables and files are read anew each time; what the fleet's source gives is
/// kept in memory, and read anew where it is refused ([`SecretResolver::other_than`]).
#[derive(Clone, Default)]
pub struct SecretResolver {
    variables: Variables,
    source: Option<Arc<dyn SourceSecrets>>,
}

impl fmt::Debug for SecretResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretResolver").field("variables", &self.variables).finish_non_exhaustive()
    }
}

impl SecretResolver {
    /// Looks variables up in `variables`, and knows no `${source}` yet.
    #[must_use]
    pub fn new(variables: Variables) -> Self {
        Self { variables, source: None }
    }

    /// Also knows what the fleet's source gives.
    #[must_use]
    pub fn with_source(self, source: Arc<dyn SourceSecrets>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The URL of a tenant with its secrets in place.
    ///
    /// # Errors
    /// WL0003 naming the reference that leads nowhere; WL0205 when what it leads to makes no valid URL; WL0204 when the source
    /// has to be asked and cannot be.
    pub async fn resolve(&self, tenant: &Tenant) -> Result<ResolvedUrl, FleetError> {
        let subject = Subject::Tenant { id: tenant.id.clone() };
        tenant.target.url.resolve(&subject, &tenant.target, self).await
    }

    /// The tenant's database has refused the credentials in `refused`. The URL with others, where there are others by now: that is
    /// so for each of many tenants that were refused at once, although only the first of them makes the source be read.
    pub async fn other_than(&self, tenant: &Tenant, refused: &ResolvedUrl) -> Option<ResolvedUrl> {
        if tenant.target.url.asks_source()
            && let Some(source) = &self.source
        {
            source.read_again().await;
        }
        self.resolve(tenant).await.ok().filter(|url| url.expose() != refused.expose())
    }

    /// The values of those references that `wanted` says yes to.
    pub(super) async fn values(
        &self,
        subject: &Subject,
        masked: &Masked,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Values, FleetError> {
        let mut values = Values::new();
        for (at, reference) in masked.references.iter().enumerate().filter(|(at, _)| wanted(*at)) {
            values.insert(at, self.value(subject, reference).await?);
        }
        Ok(values)
    }

    async fn value(&self, subject: &Subject, reference: &Reference) -> Result<String, FleetError> {
        let value = match (reference, subject) {
            (Reference::Source, Subject::Tenant { id }) => match &self.source {
                Some(source) => return Ok(source.password(id).await?.expose().to_owned()),
                None => Err("the fleet's source is not at hand here".to_owned()),
            },
            _ => self.plain_value(reference).await,
        };
        value.map_err(|reason| FleetError::SecretUnresolved {
            subject: subject.clone(),
            reference: reference.to_string(),
            reason,
        })
    }

    /// The value of a reference that means the same to everybody.
    pub(super) async fn plain_value(&self, reference: &Reference) -> Result<String, String> {
        match reference {
            Reference::Env { name } => self.variables.get(name),
            Reference::File { path } => read_secret(path).await,
            Reference::Source => Err("only a tenant's password comes from the source".to_owned()),
            Reference::Column { .. } => Err("a column has a value only while the source is read".to_owned()),
        }
    }
}

/// The text of a file, without the one newline that editors put at its end.
async fn read_secret(path: &str) -> Result<String, String> {
    let said = |error: std::io::Error| format!("the file cannot be read: {error}");
    // Asked first: opening a pipe that nobody writes to would wait for ever.
    if !tokio::fs::metadata(path).await.map_err(said)?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let file = tokio::fs::File::open(path).await.map_err(said)?;
    let mut bytes = Vec::new();
    let read = file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(said)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > SECRET_BYTES_MAX {
        return Err(format!("the file is larger than {SECRET_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_stars_and_never_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn a_drivers_text_is_scrubbed_in_every_form_a_secret_takes() {
        let secrets = [Secret::new("p@ss\"w"), Secret::new("p@ss")];
        let text = r#"p@ss"w in postgres://app:p%40ss%22w@h, "p@ss\"w", p@ss"#;
        assert_eq!(redact(text, &secrets), r#"*** in postgres://app:***@h, "***", ***"#);
        assert_eq!(redact("untouched", &[Secret::new("")]), "untouched");
    }

    #[tokio::test]
    async fn a_secret_file_loses_one_newline_and_has_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        let name = path.to_str().unwrap();
        std::fs::write(&path, "two words \n\n").unwrap();
        assert_eq!(read_secret(name).await.unwrap(), "two words \n");
        std::fs::write(&path, vec![b'x'; usize::try_from(SECRET_BYTES_MAX).unwrap() + 1]).unwrap();
        assert!(read_secret(name).await.unwrap_err().contains("larger"));
        assert!(read_secret(dir.path().to_str().unwrap()).await.unwrap_err().contains("not a file"));
    }
}
