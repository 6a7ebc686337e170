//! The passwords that a source gives in clear, without keeping them anywhere but in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::Source;
use crate::base::limits::{SOURCE_REREAD_MIN, SOURCE_REREAD_REFUSED_MIN};
use crate::base::{Clock, TenantId, Timestamp};
use crate::fleet::error::{FleetError, Subject};
use crate::fleet::secret::{Secret, SecretResolver, SourceSecrets};
use crate::fleet::url::SourceUrl;

/// Answers `${source}` by reading the source again: once, when the first password is asked for; again when a tenant is missing from
/// the last reading, for it may have been born since, at most every [`SOURCE_REREAD_MIN`]; and again when a password is refused, for it
/// may have been changed, at most every [`SOURCE_REREAD_REFUSED_MIN`].
///
/// A reading is given up only for a better one: a source that cannot be read now costs nobody the passwords that are known. And it is
/// not asked at once by everyone who waits for it: its failure is theirs, too.
pub struct RereadSource {
    source: Source,
    resolver: SecretResolver,
    base_dir: PathBuf,
    clock: Arc<dyn Clock>,
    /// Locked over a reading, so that many tenants asking at once read the source once.
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    urls: Option<BTreeMap<TenantId, SourceUrl>>,
    /// When the source was last asked.
    at: Option<Timestamp>,
    /// What came of it, where that was nothing.
    trouble: Option<String>,
}

impl RereadSource {
    /// Will read `source` with the references that `resolver` knows. `base_dir` is the folder of the configuration.
    #[must_use]
    pub fn new(source: Source, resolver: SecretResolver, base_dir: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { source, resolver, base_dir, clock, last: Mutex::default() }
    }

    async fn url(&self, tenant: &TenantId) -> Result<Option<SourceUrl>, FleetError> {
        let mut last = self.last.lock().await;
        if last.known(tenant).is_none() {
            self.read(&mut last, SOURCE_REREAD_MIN).await;
        }
        match (last.known(tenant), &last.trouble) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, None) => Ok(None),
            (None, Some(reason)) => {
                Err(FleetError::SourceFailed { from: self.source.to_string(), reason: reason.clone() })
            }
        }
    }

    /// Reads the source, unless it was asked within `apart`.
    async fn read(&self, last: &mut Last, apart: Duration) {
        let now = self.clock.now();
        if last.at.is_some_and(|at| at.until(now) < apart) {
            return;
        }
        match self.source.rows(&self.resolver, &self.base_dir).await {
            Ok(rows) => {
                last.urls = Some(rows.into_iter().map(|row| (row.id, row.url)).collect());
                last.trouble = None;
            }
            Err(FleetError::SourceFailed { reason, .. }) => last.trouble = Some(reason),
            Err(error) => last.trouble = Some(error.to_string()),
        }
        // Its end, not its beginning: where the source takes long to fail, those who waited for it must not ask it in turn.
        last.at = Some(self.clock.now());
    }
}

impl Last {
    fn known(&self, tenant: &TenantId) -> Option<&SourceUrl> {
        self.urls.as_ref().and_then(|urls| urls.get(tenant))
    }
}

#[async_trait]
impl SourceSecrets for RereadSource {
    async fn password(&self, tenant: &TenantId) -> Result<Secret, FleetError> {
        let subject = Subject::Tenant { id: tenant.clone() };
        let gone = |reason: String| FleetError::SecretUnresolved {
            subject: subject.clone(),
            reference: "${source}".to_owned(),
            reason,
        };
        let Some(url) = self.url(tenant).await? else {
            return Err(gone(format!("{} gives no such tenant any more", self.source)));
        };
        let password = url.clear_password(&subject, &self.base_dir, &self.resolver).await?;
        password.ok_or_else(|| gone(format!("{} gives no password for it any more", self.source)))
    }

    async fn read_again(&self) {
        let mut last = self.last.lock().await;
        self.read(&mut last, SOURCE_REREAD_REFUSED_MIN).await;
    }
}
