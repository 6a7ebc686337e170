//! A session, and somebody who is asked before and told after everything that it does.

use std::sync::Arc;

use async_trait::async_trait;

use crate::base::TenantId;
use crate::engine::{Gateway, OpenSession};
use crate::fleet::Tenant;
use crate::release::stepwise::{Facts, Middle};
use crate::saga::event::Half;
use crate::tenant::{
    Applied, Begun, CheckOutcome, InForce, LedgerKey, Mend, Mended, Opening, Outcomes, Print, Probe, Session,
    SessionError, Stepwise, Survey, Unit, Written,
};

/// What a session is about to do, or has done, to its tenant.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    /// Statements in one transaction with their ledger row.
    Apply(&'a Unit),
    /// A tombstone.
    Void(&'a LedgerKey),
    /// The row that says that a statement is about to be run by itself.
    Intend(&'a LedgerKey, u32),
    /// A statement by itself.
    RunAlone(Half, &'a str),
    /// The row that says that a statement has taken effect.
    Settle(&'a LedgerKey, u32),
    /// Such a row taken out.
    Forget(&'a LedgerKey, u32),
    /// Statements in one transaction with the row that says that they are done.
    RunWithOutcome(&'a LedgerKey, &'a [String]),
    /// The end of a step whose statements went one by one.
    Finish(&'a Unit),
    /// A query that changes nothing.
    Check(&'a str),
}

impl Call<'_> {
    /// The statements that it runs, in order; none where it only writes down.
    #[must_use]
    pub fn statements(&self) -> Vec<&str> {
        match self {
            Self::Apply(unit) => unit.statements.iter().map(String::as_str).collect(),
            Self::RunAlone(_, statement) | Self::Check(statement) => vec![statement],
            Self::RunWithOutcome(_, statements) => statements.iter().map(String::as_str).collect(),
            Self::Void(_) | Self::Intend(..) | Self::Settle(..) | Self::Forget(..) | Self::Finish(_) => Vec::new(),
        }
    }
}

impl std::fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.statements().first()) {
            (Self::Void(_), _) => f.write_str("the tombstone"),
            (Self::Intend(_, number), _) => write!(f, "the intent of statement {number}"),
            (Self::Settle(_, number), _) => write!(f, "the outcome of statement {number}"),
            (Self::Forget(_, number), _) => write!(f, "the intent of statement {number} taken out"),
            (Self::Finish(_), _) => f.write_str("the ledger row"),
            (Self::Apply(_), None) => f.write_str("the ledger row, without statements"),
            (Self::Apply(unit), Some(_)) => write!(f, "the transaction of {} statements", unit.statements.len()),
            (_, Some(first)) => write!(f, "{first}"),
            (_, None) => f.write_str("no statement"),
        }
    }
}

/// Somebody who stands between the engine and its tenants.
#[async_trait]
pub trait Between: Send + Sync {
    /// Before a session is opened. An error is what the engine hears instead.
    async fn opening(&self, opening: &Opening) -> Result<(), SessionError> {
        let _ = opening;
        Ok(())
    }

    /// Before something is done. An error is what the engine hears, and nothing is done.
    async fn before(&self, tenant: &TenantId, call: &Call<'_>) -> Result<(), SessionError> {
        let _ = (tenant, call);
        Ok(())
    }

    /// After something was done without an error. An error is what the engine hears.
    async fn after(&self, tenant: &TenantId, call: &Call<'_>) -> Result<(), SessionError> {
        let _ = (tenant, call);
        Ok(())
    }
}

/// A gateway whose sessions go through somebody's hands.
pub struct WatchedGateway<G> {
    real: G,
    between: Arc<dyn Between>,
}

impl<G> WatchedGateway<G> {
    /// The sessions of `real`, with `between` standing before them.
    pub fn new(real: G, between: Arc<dyn Between>) -> Self {
        Self { real, between }
    }
}

#[async_trait]
impl<G: Gateway> Gateway for WatchedGateway<G> {
    async fn survey(&self, tenant: &Tenant) -> Result<Survey, SessionError> {
        self.real.survey(tenant).await
    }

    async fn open(&self, tenant: &Tenant, opening: &Opening) -> Result<OpenSession, SessionError> {
        self.between.opening(opening).await?;
        let OpenSession { session: real, permit } = self.real.open(tenant, opening).await?;
        let session = Box::new(Watched { tenant: tenant.id.clone(), real, between: Arc::clone(&self.between) });
        Ok(OpenSession { session, permit })
    }
}

struct Watched {
    tenant: TenantId,
    real: Box<dyn Session>,
    between: Arc<dyn Between>,
}

/// Does one thing between the two questions.
macro_rules! watched {
    ($self:ident, $call:expr, $done:expr) => {{
        let call = $call;
        $self.between.before(&$self.tenant, &call).await?;
        let done = $done.await?;
        $self.between.after(&$self.tenant, &call).await?;
        Ok(done)
    }};
}

#[async_trait]
impl Stepwise for Watched {
    async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError> {
        self.real.begun(key).await
    }

    async fn intend(&mut self, key: &LedgerKey, number: u32, before: &str) -> Result<Written, SessionError> {
        watched!(self, Call::Intend(key, number), self.real.intend(key, number, before))
    }

    async fn run_alone(&mut self, half: Half, statement: &str) -> Result<(), SessionError> {
        watched!(self, Call::RunAlone(half, statement), self.real.run_alone(half, statement))
    }

    async fn settle(&mut self, key: &LedgerKey, number: u32, after: &str) -> Result<(), SessionError> {
        watched!(self, Call::Settle(key, number), self.real.settle(key, number, after))
    }

    async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError> {
        watched!(self, Call::Forget(key, number), self.real.forget(key, number))
    }

    async fn run_with_outcome(
        &mut self,
        key: &LedgerKey,
        number: u32,
        statements: &[String],
    ) -> Result<Written, SessionError> {
        let call = Call::RunWithOutcome(key, statements);
        watched!(self, call, self.real.run_with_outcome(key, number, statements))
    }

    async fn say_again(&mut self, statement: &str) -> Result<(), SessionError> {
        self.real.say_again(statement).await
    }

    async fn finish(&mut self, unit: &Unit, outcomes: Outcomes) -> Result<Applied, SessionError> {
        watched!(self, Call::Finish(unit), self.real.finish(unit, outcomes))
    }

    async fn print(&mut self, facts: &Facts) -> Result<Print, SessionError> {
        self.real.print(facts).await
    }

    async fn mend(&mut self, middle: &Middle, before: &str, when: Mend) -> Result<Mended, SessionError> {
        self.real.mend(middle, before, when).await
    }

    async fn renew(&mut self) {
        self.real.renew().await;
    }
}

#[async_trait]
impl Session for Watched {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn server(&self) -> &str {
        self.real.server()
    }

    fn in_force(&self) -> &[InForce] {
        self.real.in_force()
    }

    fn probe(&self, key: &LedgerKey) -> Probe {
        self.real.probe(key)
    }

    async fn apply(&mut self, unit: &Unit) -> Result<Applied, SessionError> {
        watched!(self, Call::Apply(unit), self.real.apply(unit))
    }

    async fn void(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        watched!(self, Call::Void(key), self.real.void(key))
    }

    async fn check(&mut self, sql: &str) -> Result<CheckOutcome, SessionError> {
        watched!(self, Call::Check(sql), self.real.check(sql))
    }

    async fn close(self: Box<Self>) {
        self.real.close().await;
    }
}
