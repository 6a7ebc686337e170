//! `pause`, `unwind`, `retry`, `resolve`: what an operator says to a deploy, and then, but for a pause, the deploy driven on. One that is
//! paused is not moved by `retry` and `resolve`: they settle what they settle, and the deploy stays paused.

use clap::{Args, ValueEnum};

use super::context::{Context, Creates, claimable, tenant_id, word};
use super::deploy::{Tells, drive};
use super::output::{Exit, Failure};
use super::progress::account_text;
use crate::audit::account;
use crate::base::TenantId;
use crate::engine::{self, Settled};
use crate::log::{DeployRow, Log};
use crate::saga::event::{Direction, Resolution};
use crate::saga::summary::TenantStatus;

#[derive(Debug, Clone, Args)]
pub(super) struct ResolveArgs {
    /// The stuck tenant
    #[arg(required_unless_present = "all")]
    pub(super) tenant: Option<String>,
    /// All stuck tenants of the deploy, which must be stuck at the same step over the same thing
    #[arg(long, requires = "yes", conflicts_with = "tenant")]
    all: bool,
    /// I have looked at all of them, or know without
    #[arg(long, requires = "all")]
    yes: bool,
    /// What is true of the step that is stuck
    #[arg(long = "as", value_name = "WHAT")]
    pub(super) what: What,
    /// Why, for the log
    #[arg(long)]
    pub(super) reason: String,
    /// The deploy; by default the one under way
    #[arg(long)]
    pub(super) deploy: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum What {
    /// It is not in effect: I have looked, or taken it back by hand
    Undone,
    /// It is in effect: where its undo failed, it stays so; where it was in doubt, it is undone with the rest
    Applied,
}

/// The deploy that was meant, once all that it takes to drive it on is at hand. Whatever is said to it leads to an unwind, of which
/// the stuck tenants are a part again.
async fn ready(context: &Context, log: &dyn Log, named: Option<&str>) -> Result<DeployRow, Failure> {
    let row = context.which(log, named).await?;
    if row.summary.outcome.is_none() {
        let statuses = [claimable(Direction::Unwind), vec![TenantStatus::Stuck]].concat();
        context.refuse_unresolved(log, row.id, &statuses).await?;
    }
    Ok(row)
}

/// Said where a pause changes nothing.
pub(super) const PAUSED_ALREADY: &str = "it was paused already, and that is the word that stands";

/// Pauses a deploy that somebody drives, or nobody. It drives nothing itself, so it needs neither the fleet nor its secrets.
pub(super) async fn pause(context: &Context, named: Option<&str>, reason: &str) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let deploy = context.which(&*log, named).await?.id;
    if !engine::pause(&*log, deploy, &word(reason)).await? {
        context.output.line(PAUSED_ALREADY);
    }
    let account = account(&*log, deploy).await?;
    context.output.answer(&account, || account_text(&account));
    Ok(Exit::Done)
}

pub(super) async fn unwind(context: &Context, named: Option<&str>, reason: &str) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let deploy = ready(context, &*log, named).await?.id;
    engine::turn(&*log, deploy, &word(reason)).await?;
    // To have been unwound is what was asked for.
    drive(context, &log, deploy, Tells::New).await.map(|exit| if exit == Exit::Unwound { Exit::Done } else { exit })
}

pub(super) async fn retry(
    context: &Context,
    named: Option<&str>,
    tenant: Option<&str>,
    reason: &str,
) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let deploy = ready(context, &*log, named).await?.id;
    let only = tenant.map(tenant_id).transpose()?;
    let chosen = engine::retry(&*log, deploy, only.as_ref(), &word(reason)).await?;
    context.output.line(format!("to be tried again: {}", names(&chosen.tenants)));
    tell_busy(context, &chosen);
    drive(context, &log, deploy, Tells::New).await
}

pub(super) async fn resolve(context: &Context, args: &ResolveArgs) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let deploy = ready(context, &*log, args.deploy.as_deref()).await?.id;
    let tenant = args.tenant.as_deref().map(tenant_id).transpose()?;
    let resolution = match args.what {
        What::Undone => Resolution::Undone,
        What::Applied => Resolution::Applied,
    };
    let word = word(&args.reason);
    let settled = match &tenant {
        Some(tenant) => engine::resolve(&*log, deploy, tenant, resolution, &word).await?,
        None => engine::resolve_all(&*log, deploy, resolution, &word).await?,
    };
    tell_busy(context, &settled);
    drive(context, &log, deploy, Tells::New).await
}

fn names(tenants: &[TenantId]) -> String {
    tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join(", ")
}

/// The deploy is driven on without them, and as long as they are stuck it ends as waiting for a human.
fn tell_busy(context: &Context, settled: &Settled) {
    if !settled.busy.is_empty() {
        let busy = names(&settled.busy);
        context.output.line(format!("being worked on at this moment, and not settled: {busy}; say it again for them"));
    }
}
