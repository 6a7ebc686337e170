//! The passwords that a source gives in clear, without keeping them anywhere but in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::Source;
use crate::base::limits::SOURCE_REREAD_MIN;
use crate::base::{Clock, TenantId, Timestamp};
use crate::fleet::error::{FleetError, Subject};
use crate::fleet::secret::{Secret, SecretResolver, SourceSecrets};
use crate::fleet::url::SourceUrl;

/// Answers `${source}` by reading the source again: once, when the first password is asked for, and again when a tenant is
/// missing from the last reading, for it may have been born since, or when its password is refused, for it may have been changed.
/// Never more often than every [`SOURCE_REREAD_MIN`].
pub struct RereadSource {
    source: Source,
    resolver: SecretResolver,
    base_dir: PathBuf,
    clock: Arc<dyn Clock>,
    /// Locked over a reading, so that many tenants asking at once read the source once.
    last: Mutex<Option<Reading>>,
}

struct Reading {
    at: Timestamp,
    urls: BTreeMap<TenantId, SourceUrl>,
}

impl RereadSource {
    /// Will read `source` with the references that `resolver` knows. `base_dir` is the folder of the configuration.
    #[must_use]
    pub fn new(source: Source, resolver: SecretResolver, base_dir: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { source, resolver, base_dir, clock, last: Mutex::new(None) }
    }

    async fn url(&self, tenant: &TenantId) -> Result<Option<SourceUrl>, FleetError> {
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        if let Some(reading) = &*last
            && (reading.urls.contains_key(tenant) || reading.at.until(now) < SOURCE_REREAD_MIN)
        {
            return Ok(reading.urls.get(tenant).cloned());
        }
        let rows = self.source.rows(&self.resolver, &self.base_dir).await?;
        let urls: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id, row.url)).collect();
        let url = urls.get(tenant).cloned();
        *last = Some(Reading { at: now, urls });
        Ok(url)
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

    async fn refused(&self, _tenant: &TenantId) -> bool {
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        // A reading this young is as good as one of now; and many tenants refused at once read the source once.
        let old = last.as_ref().is_some_and(|reading| reading.at.until(now) >= SOURCE_REREAD_MIN);
        if old {
            *last = None;
        }
        old
    }
}
