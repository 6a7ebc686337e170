//! How an engine reaches tenants: in earnest here, simulated elsewhere.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use crate::base::limits::{SURVEY_LOCK_TIMEOUT, SURVEY_STATEMENT_TIMEOUT};
use crate::base::{Code, Coded as _};
use crate::fleet::{ResolvedUrl, SecretResolver, ServerBudgets, Tenant};
use crate::saga::failure::ErrorClass;
use crate::tenant::{Conn, Opening, Session, SessionError, Survey, Surveying};

/// A session with the connection permit of its server.
pub struct OpenSession {
    /// The session.
    pub session: Box<dyn Session>,
    /// Given back when the session has been closed or dropped.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// A way to reach tenants.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Looks at a tenant without touching it.
    async fn survey(&self, tenant: &Tenant) -> Result<Survey, SessionError>;

    /// Opens a session.
    async fn open(&self, tenant: &Tenant, opening: &Opening) -> Result<OpenSession, SessionError>;
}

/// The real one: secrets are resolved at the moment of use, and no server sees more connections than its budget.
pub struct RealGateway {
    resolver: SecretResolver,
    budgets: Arc<ServerBudgets>,
}

impl RealGateway {
    /// A gateway over these secrets and budgets.
    #[must_use]
    pub fn new(resolver: SecretResolver, budgets: Arc<ServerBudgets>) -> Self {
        Self { resolver, budgets }
    }

    async fn url(&self, tenant: &Tenant) -> Result<ResolvedUrl, SessionError> {
        self.resolver.resolve(tenant).await.map_err(|error| {
            // Nothing about the tenant: a variable, a file or the catalog of this machine is not there now. It may be in a moment,
            // and must not lower the fleet before that was tried.
            SessionError::no_effect(&tenant.id, ErrorClass::Transient, error.code(), error.to_string())
        })
    }

    async fn conn(&self, tenant: &Tenant, url: ResolvedUrl) -> (Conn, OwnedSemaphorePermit) {
        let permit = self.budgets.acquire(&url.server()).await;
        (Conn::new(tenant.id.clone(), url), permit)
    }

    async fn open_at(&self, tenant: &Tenant, url: ResolvedUrl, opening: &Opening) -> Result<OpenSession, SessionError> {
        let (conn, permit) = self.conn(tenant, url).await;
        let session = crate::tenant::open(&conn, opening).await?;
        Ok(OpenSession { session, permit: Some(permit) })
    }
}

#[async_trait]
impl Gateway for RealGateway {
    async fn survey(&self, tenant: &Tenant) -> Result<Survey, SessionError> {
        let url = self.url(tenant).await?;
        let (conn, _permit) = self.conn(tenant, url).await;
        let surveying = Surveying {
            lock_timeout: SURVEY_LOCK_TIMEOUT,
            statement_timeout: SURVEY_STATEMENT_TIMEOUT,
            ledger_schema: tenant.target.ledger_schema.clone(),
        };
        crate::tenant::survey(&conn, &surveying).await
    }

    async fn open(&self, tenant: &Tenant, opening: &Opening) -> Result<OpenSession, SessionError> {
        let url = self.url(tenant).await?;
        match self.open_at(tenant, url.clone(), opening).await {
            Err(error) if error.failure.code == Code::TenantDenied => {
                // A password may have been changed while the deploy ran: nothing has been done with the old one.
                match self.resolver.other_than(tenant, &url).await {
                    Some(url) => self.open_at(tenant, url, opening).await,
                    None => Err(error),
                }
            }
            result => result,
        }
    }
}
