//! `deploy`, `resume`, `rollback`, `watch`: a deploy taken, or followed, to its end.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::Selection;
use super::context::{Context, Creates, actor};
use super::output::{Exit, Failure, prepared};
use super::progress::{Follower, account_text, waits_for_human};
use crate::audit::account;
use crate::base::crash::{Point, point};
use crate::base::{Coded, DeployId, TenantId};
use crate::engine::{self, Ending, Engine, EngineError, Prepared, Settings, Stop, this_worker};
use crate::fleet::Tenant;
use crate::log::{CreateError, DeployRow, Log, LogError, TenantQuery};
use crate::saga::event::{StreamId, Trigger};
use crate::saga::summary::TenantStatus;

/// Tenants whose secrets are looked up per reading of the log.
const TENANTS_PAGE: usize = 1_000;

/// How often `--wait` looks whether the fleet is free.
const WAIT_POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Default, Args)]
pub(super) struct DeployArgs {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Where another deploy of this fleet is under way, wait for its end instead of refusing
    #[arg(long)]
    pub(super) wait: bool,
    /// Go on although tenants carry the marks of this unfinished deploy of a log that is gone for good
    #[arg(long, value_name = "DEPLOY")]
    pub(super) disown: Vec<DeployId>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct RollbackArgs {
    /// The finished deploy
    deploy: String,
    /// The workflow of the new deploy; by default that of the configuration
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
}

pub(super) async fn deploy(context: &Context, args: &DeployArgs) -> Result<Exit, Failure> {
    // Whatever is wrong with the project is found before there is a log of it.
    let mut ready = Some(context.request(&args.selection, &args.disown).await?);
    let log = context.log(Creates::Yes).await?;
    loop {
        if await_free_fleet(context, &*log, args.wait).await? == Waited::Yes {
            ready = None;
        }
        // The fleet may be another by now.
        let request = match ready.take() {
            Some(request) => request,
            None => context.request(&args.selection, &args.disown).await?,
        };
        let found = engine::prepare(&*log, &*context.gateway(), request).await.map_err(prepared)?;
        if found.changing() == 0 && found.tenants.iter().all(|of| of.survey.is_none()) {
            return Ok(nothing_to_do(context, &found));
        }
        match create(&*log, found, Trigger::Command).await {
            // Somebody was quicker, between our look and our write.
            Err(EngineError::Create(CreateError::FleetBusy { .. })) if args.wait => {}
            // Somebody's deploy has come and gone meanwhile: what was seen of the tenants is no longer so, and is looked at again.
            Err(EngineError::Create(CreateError::FleetMoved { .. })) => {}
            Err(error) => return Err(error.into()),
            Ok(deploy) => return drive(context, &log, deploy, Tells::All).await,
        }
    }
}

/// Whether another deploy of the fleet had to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Yes,
    No,
}

/// Refuses early, before every tenant is asked, when another deploy is under way; the log refuses again when it is created.
async fn await_free_fleet(context: &Context, log: &dyn Log, wait: bool) -> Result<Waited, Failure> {
    let mut waited = Waited::No;
    loop {
        let newest = log.deploys(Some(&context.config.name), 1).await?;
        let Some(busy) = newest.into_iter().find(|row| row.summary.outcome.is_none()) else { return Ok(waited) };
        if !wait {
            return Err(CreateError::FleetBusy { fleet: busy.fleet, deploy: busy.id }.into());
        }
        if waited == Waited::No {
            context.output.line(format!("waiting for deploy {} of this fleet to end", busy.id));
            waited = Waited::Yes;
        }
        tokio::time::sleep(WAIT_POLL).await;
    }
}

/// Nothing pending anywhere, and the log knew it without asking: not even a deploy is made of it.
fn nothing_to_do(context: &Context, found: &Prepared) -> Exit {
    let answer = serde_json::json!({
        "deploy": null, "release": found.release.name, "tenants": found.tenants.len(), "changing": 0,
    });
    context.output.answer(&answer, || {
        format!(
            "nothing to do: all {} tenants are on release {} (known from the log; no tenant was connected to)",
            found.tenants.len(),
            found.release.name
        )
    });
    Exit::Done
}

async fn create(log: &dyn Log, found: Prepared, trigger: Trigger) -> Result<DeployId, EngineError> {
    let deploy = DeployId::fresh();
    let new = found.into_new_deploy(deploy, trigger, actor(), this_worker())?;
    point(Point::BeforeCreate);
    log.create_deploy(new).await?;
    point(Point::AfterCreate);
    Ok(deploy)
}

pub(super) async fn rollback(context: &Context, args: &RollbackArgs) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    await_free_fleet(context, &*log, false).await?;
    let of = context.which(&*log, Some(&args.deploy)).await?.id;
    let selection = Selection { workflow: args.workflow.clone(), ..Selection::default() };
    let request = context.request(&selection, &[]).await?;
    let found = engine::prepare_rollback(&*log, &*context.gateway(), request, of).await.map_err(prepared)?;
    let left: Vec<&str> = found.left_by_hand.iter().map(TenantId::as_str).collect();
    let passed_over =
        format!("not rolled back, because a human decided to leave them as they are: {}", left.join(", "));
    if found.changing() == 0 {
        let answer =
            serde_json::json!({ "deploy": null, "rollback_of": of, "changing": 0, "left_by_hand": found.left_by_hand });
        context.output.answer(&answer, || match left.as_slice() {
            [] => format!("nothing to do: deploy {of} changed no tenant"),
            _ => format!("nothing to do: deploy {of} changed no other tenant; {passed_over}"),
        });
        return Ok(Exit::Done);
    }
    if !left.is_empty() {
        context.output.line(passed_over);
    }
    let deploy = create(&*log, found, Trigger::Rollback { of }).await?;
    drive(context, &log, deploy, Tells::All).await
}

pub(super) async fn resume(context: &Context, named: Option<&str>) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let row = context.which(&*log, named).await?;
    if let (None, Some(outcome), Some(_)) = (named, row.summary.outcome, &row.summary.seal) {
        // Whoever resumes after a crash cannot know that it came after the end: what they ask for has happened, and it went so.
        let account = account(&*log, row.id).await?;
        context.output.answer(&account, || {
            format!("nothing to resume: no deploy is under way. The newest:\n{}", account_text(&account))
        });
        return Ok(Exit::of(outcome));
    }
    refuse_unresolved(context, &*log, &row).await?;
    drive(context, &log, row.id, Tells::New).await
}

/// A deploy that another machine began must not fail, tenant by tenant, because this one lacks a variable or a file.
async fn refuse_unresolved(context: &Context, log: &dyn Log, row: &DeployRow) -> Result<(), Failure> {
    let statuses = TenantStatus::ALL.iter().copied();
    let statuses: Vec<_> = statuses.filter(|status| status.is_claimable(row.summary.direction)).collect();
    let (resolver, mut after) = (context.config.resolver(), None);
    loop {
        let query = TenantQuery { statuses: statuses.clone(), after, limit: TENANTS_PAGE };
        let page = log.tenants(row.id, &query).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.ordinal);
        for of in &page {
            let tenant: Tenant = serde_json::from_str(&of.spec).map_err(|error| LogError::Corrupt {
                place: StreamId::tenant(row.id, of.tenant.clone()).to_string(),
                reason: error.to_string(),
            })?;
            resolver.resolve(&tenant).await?;
        }
    }
}

/// What of a deploy is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// Everything.
    All,
    /// What happens from now on.
    New,
}

/// Drives a deploy to its end, showing how it goes.
pub(super) async fn drive(
    context: &Context,
    log: &Arc<dyn Log>,
    deploy: DeployId,
    tells: Tells,
) -> Result<Exit, Failure> {
    let (tell, stop) = watch::channel(Stop::Run);
    let signals = tokio::spawn(listen(tell, context.output.json));
    let settings = Settings { concurrency: context.concurrency(), ..Settings::default() };
    let engine = Engine::new(Arc::clone(log), context.gateway(), this_worker(), settings);
    let mut follower = Follower::new(Arc::clone(log), deploy, context.output);
    if tells == Tells::New {
        follower.catch_up().await;
    }
    // A task of its own: a terminal that nobody reads (Ctrl-S, a full pipe) may hold up the telling, never the driving.
    let mut running = tokio::spawn(async move { engine.run(deploy, stop).await });
    let ending = loop {
        tokio::select! {
            ending = &mut running => break ending,
            () = follower.tick() => {}
        }
    };
    signals.abort();
    follower.finish().await;
    let ending = match ending {
        Ok(ending) => ending.map_err(|error| on_the_way(&error, deploy))?,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    let account = account(&**log, deploy).await.map_err(|error| on_the_way(&error, deploy))?;
    context.output.answer(&account, || account_text(&account));
    Ok(match ending {
        Ending::Finished(outcome) => Exit::of(outcome),
        Ending::Waiting => Exit::Waiting,
        Ending::Stopped => {
            context.output.line(format!("stopped, and nothing is lost. next: windlass resume {deploy}"));
            Exit::Waiting
        }
    })
}

/// An engine that stops in the middle leaves a deploy that can be resumed; whatever its own advice, that comes after it.
fn on_the_way(error: &(impl Coded + std::fmt::Display), deploy: DeployId) -> Failure {
    let advice = error.next().unwrap_or_else(|| format!("windlass resume {deploy}"));
    let message = format!("{error}. Deploy {deploy} is as it was left, and can be resumed");
    Failure::new(error.code(), message, advice).on_the_way()
}

/// Once: start nothing more. Twice: let go at once.
async fn listen(tell: watch::Sender<Stop>, quiet: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let mut order = Stop::Run;
    loop {
        tokio::select! {
            Some(()) = interrupt.recv() => {}
            Some(()) = terminate.recv() => {}
        }
        order = if order == Stop::Run { Stop::Drain } else { Stop::Now };
        if !quiet {
            eprintln!(
                "{}",
                match order {
                    Stop::Now => "stopping now: what is under way is looked for when the deploy is resumed",
                    _ => "stopping: nothing new is started, what is running ends; once more to stop at once",
                }
            );
        }
        let _ = tell.send(order);
    }
}

/// Follows a deploy that others drive, to its end or to where a human must decide.
pub(super) async fn watch(context: &Context, named: Option<&str>) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let deploy = context.which(&*log, named).await?.id;
    let mut follower = Follower::new(Arc::clone(&log), deploy, context.output);
    let exit = loop {
        let summary = log.deploy(deploy).await?.summary;
        if let Some(outcome) = summary.outcome {
            break Exit::of(outcome);
        }
        if waits_for_human(&log.census(deploy).await?, summary.direction) {
            break Exit::Waiting;
        }
        follower.tick().await;
    };
    follower.finish().await;
    let account = account(&*log, deploy).await?;
    context.output.answer(&account, || account_text(&account));
    Ok(exit)
}
