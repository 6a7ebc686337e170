//! Secrets outside of connection URLs: those of webhooks and tokens, which a configuration names and never holds.

use std::fmt;
use std::path::Path;

use super::secret::{Secret, SecretResolver};
use super::template::{Columns, Fault, Masked, Reference, Segment, segments};
use crate::base::{Code, Coded};

/// Bytes of the text with the references in it.
const TEXT_BYTES_MAX: usize = 1_000;

/// A text whose secret part is a reference: `${env:GITHUB_WEBHOOK_SECRET}`, `windlass:${file:/run/secrets/hook}`.
///
/// A text without any reference is none: what stands in the file in clear is no secret. What stands beside a reference is not shown
/// either, since somebody may have begun to write a secret there.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRef(Masked);

/// The text cannot be a secret's. It is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BadReference {
    /// Why.
    pub reason: String,
}

/// A reference leads nowhere, or to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reference}, named by {key} in windlass.toml, cannot be resolved: {reason}")]
pub struct UnresolvedSecret {
    /// The key of the configuration that names it.
    pub key: String,
    /// As written, `${env:NAME}`.
    pub reference: String,
    /// Why, without the value.
    pub reason: String,
}

impl Coded for UnresolvedSecret {
    fn code(&self) -> Code {
        Code::SecretUnresolved
    }

    fn next(&self) -> Option<String> {
        Some("set the variable or create the file on this machine, then run the command again".to_owned())
    }
}

impl SecretRef {
    /// Reads it. Relative paths start from `base_dir`.
    ///
    /// # Errors
    /// When the text holds no reference, or one that is not understood.
    pub fn new(text: &str, base_dir: &Path) -> Result<Self, BadReference> {
        let bad = |reason: &str| BadReference { reason: reason.to_owned() };
        if text.len() > TEXT_BYTES_MAX {
            return Err(bad(&format!("it is longer than {TEXT_BYTES_MAX} bytes")));
        }
        let mut masked = Masked::parse(text, Columns::Literal).map_err(|fault| match fault {
            Fault::Url { reason } => BadReference { reason },
            Fault::Reference { reference, reason } => BadReference { reason: format!("{reference}: {reason}") },
        })?;
        if masked.references.is_empty() {
            return Err(bad("a secret does not stand in the file itself: name it as ${env:NAME} or ${file:/path}"));
        }
        if masked.references.contains(&Reference::Source) {
            return Err(bad("${source} is a tenant's password and nothing else: write ${env:NAME} or ${file:/path}"));
        }
        masked.absolute_files(base_dir);
        Ok(Self(masked))
    }

    /// The secret itself, read anew: variables of the process, files. `key` is the configuration's key, for the error.
    ///
    /// # Errors
    /// WL0003 naming the reference that leads nowhere, or to an empty text: everybody knows that one.
    pub async fn resolve(&self, key: &str, resolver: &SecretResolver) -> Result<Secret, UnresolvedSecret> {
        let mut text = String::new();
        for segment in segments(&self.0.text) {
            let reference = match segment {
                Segment::Text(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Segment::Mark(at) => self.0.references.get(at),
            };
            let Some(reference) = reference else { continue };
            let value = resolver.plain_value(reference).await;
            let filled =
                value.and_then(|value| if value.is_empty() { Err("it is empty".to_owned()) } else { Ok(value) });
            text.push_str(&filled.map_err(|reason| UnresolvedSecret {
                key: key.to_owned(),
                reference: reference.to_string(),
                reason,
            })?);
        }
        Ok(Secret::new(text))
    }
}

/// The references alone.
impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.0.references.iter().map(ToString::to_string).collect();
        write!(f, "SecretRef({})", shown.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fleet::Variables;

    fn parse(text: &str) -> Result<SecretRef, BadReference> {
        SecretRef::new(text, Path::new("/srv/shop"))
    }

    async fn resolve(text: &str) -> Result<String, UnresolvedSecret> {
        let known = [("PW", "hunter2"), ("EMPTY", "")];
        let variables = known.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect();
        let resolver = SecretResolver::new(Variables::Fixed(BTreeMap::clone(&variables)));
        Ok(parse(text).unwrap().resolve("serve.x", &resolver).await?.expose().to_owned())
    }

    #[test]
    fn a_secret_in_clear_is_refused_and_never_repeated() {
        for text in ["hunter2", "", "${exec:hunter2}", "${hunter2}", "${source}", "hunter2${", "hunter2\n${env:PW}"] {
            let error = parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(parse(&format!("${{env:{}}}", "A".repeat(TEXT_BYTES_MAX))).unwrap_err().reason.contains("longer"));
        assert_eq!(format!("{:?}", parse("hunter2${env:PW}").unwrap()), "SecretRef(${env:PW})");
        assert_eq!(format!("{:?}", parse("${file:pw}").unwrap()), "SecretRef(${file:/srv/shop/pw})");
    }

    #[tokio::test]
    async fn references_are_filled_in_where_they_stand() {
        assert_eq!(resolve("${env:PW}").await.unwrap(), "hunter2");
        assert_eq!(resolve("ci:${env:PW}!$${").await.unwrap(), "ci:hunter2!${");
    }

    #[tokio::test]
    async fn a_reference_that_leads_nowhere_is_named_and_so_is_one_that_leads_to_nothing() {
        let error = resolve("${env:NOT_SET}").await.unwrap_err();
        assert_eq!(error.code(), Code::SecretUnresolved);
        assert_eq!(
            error.to_string(),
            "${env:NOT_SET}, named by serve.x in windlass.toml, cannot be resolved: the variable is not set"
        );
        assert!(resolve("x${env:EMPTY}").await.unwrap_err().to_string().contains("it is empty"));
    }
}
