//! `deploy`, `resume`, `rollback`, `watch`: a deploy taken, or followed, to its end.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::Selection;
use super::context::{Context, Creates, actor, claimable};
use super::doctor::will_not_outlive;
use super::output::{Exit, Failure, Output, prepared};
use super::progress::{Follower, account_text};
use crate::audit::{Account, account};
use crate::base::crash::{Point, point};
use crate::base::limits::DEPLOYS_REMEMBERED_MAX;
use crate::base::{Code, Coded, DeployId, Digest, TenantId};
use crate::engine::{self, Ending, Engine, EngineError, Prepared, Settings, Stop, this_worker};
use crate::log::{CreateError, Log};
use crate::saga::event::{DeployOutcome, Trigger};
use crate::saga::workflow::parse_duration;

/// How often `--wait` looks whether the fleet is free.
const WAIT_POLL: Duration = Duration::from_millis(500);

/// How long `--wait` waits where it is not told: a longer deploy waits for a human, more likely than not.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// How long the last word on standard error is waited for when the driving is over.
const TOLD_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default, Args)]
pub(super) struct DeployArgs {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Where another deploy of this fleet is under way, wait for its end instead of refusing; for so long (90s, 15m, 2h), at most a day
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "24h",
          value_parser = wait)]
    pub(super) wait: Option<Duration>,
    /// Go on although tenants carry the marks of this unfinished deploy of a log that is gone for good
    #[arg(long, value_name = "DEPLOY")]
    pub(super) disown: Vec<DeployId>,
    /// With --server: the release by the name that the server finds it under
    #[arg(long, value_name = "REV", conflicts_with = "release")]
    pub(super) revision: Option<String>,
    /// With --server: the release by its digest, as `release push` shows it
    #[arg(long, value_name = "DIGEST")]
    pub(super) release: Option<Digest>,
}

/// How long is waited, as typed.
fn wait(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|time| *time <= WAIT_MAX)
        .ok_or_else(|| "write 90s, 15m or 2h, and no more than 24h".to_owned())
}

#[derive(Debug, Clone, Args)]
pub(super) struct RollbackArgs {
    /// The finished deploy
    pub(super) deploy: String,
    /// The workflow of the new deploy; by default that of the configuration
    #[arg(long, value_name = "NAME")]
    pub(super) workflow: Option<String>,
}

pub(super) async fn deploy(context: &Context, args: &DeployArgs) -> Result<Exit, Failure> {
    if args.revision.is_some() || args.release.is_some() {
        let message = "a release is named where a server looks for it; here it is that of the migration folder";
        return Err(Failure::new(Code::BadArgument, message, "windlass deploy --server URL, or without the name"));
    }
    // Whatever is wrong with the project is found before there is a log of it, and one that cannot be signed at its end is not begun.
    context.signer()?;
    let mut ready = Some(context.request(&(&args.selection).into(), &args.disown).await?);
    let log = context.log(Creates::Yes).await?;
    // Said where it is certain; what may be so (a log below /tmp) is for `doctor` to say.
    let path = context.log_path().await?;
    if let Some(reason) = will_not_outlive(&path, &["/dev/shm", "/run"]) {
        let path = path.display();
        context.output.line(format!(
            "warning: the log {path} lies {reason}: if this deploy is cut off, it can be neither resumed nor unwound (docs/serve.md: a server)"
        ));
    }
    let patience = Patience::new(args.wait);
    loop {
        if await_free_fleet(context, &*log, &patience).await? == Waited::Yes {
            ready = None;
        }
        // The fleet may be another by now.
        let request = match ready.take() {
            Some(request) => request,
            None => context.request(&(&args.selection).into(), &args.disown).await?,
        };
        let made = match engine::prepare(&*log, &*context.gateway(), request).await {
            Ok(found) if found.changing() == 0 && found.tenants.iter().all(|of| of.survey.is_none()) => {
                return Ok(nothing_to_do(context.output, found.tenants.len() as u64, Some(&found.release.name)));
            }
            Ok(found) => create(&*log, found, Trigger::Command).await,
            Err(error) => Err(error),
        };
        match made {
            // Somebody was quicker, between our look and our write.
            Err(EngineError::Create(busy @ CreateError::FleetBusy { .. })) => patience.pause(busy).await?,
            // Somebody's deploy has come and gone meanwhile: what was seen of the tenants is no longer so, and is looked at again.
            Err(EngineError::Create(CreateError::FleetMoved { .. })) => {}
            Err(error) => return Err(prepared(error)),
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

/// How long the end of another deploy is still waited for.
struct Patience {
    until: Instant,
}

impl Patience {
    /// None: not at all.
    fn new(wait: Option<Duration>) -> Self {
        Self { until: Instant::now() + wait.unwrap_or_default() }
    }

    /// Pauses before the next look, or gives up with what is in the way.
    async fn pause(&self, busy: CreateError) -> Result<(), Failure> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(busy.into());
        }
        tokio::time::sleep(left.min(WAIT_POLL)).await;
        Ok(())
    }
}

/// Refuses early, before every tenant is asked, when another deploy is under way; the log refuses again when it is created.
async fn await_free_fleet(context: &Context, log: &dyn Log, patience: &Patience) -> Result<Waited, Failure> {
    let mut waited = Waited::No;
    loop {
        let deploys = log.deploys(Some(&context.config.name), DEPLOYS_REMEMBERED_MAX).await?;
        let Some(busy) = deploys.into_iter().find(|row| row.summary.outcome.is_none()) else { return Ok(waited) };
        let id = busy.id;
        let first = waited == Waited::No;
        if first && !patience.until.saturating_duration_since(Instant::now()).is_zero() {
            context.output.line(format!("waiting for deploy {id} of this fleet to end"));
        }
        waited = Waited::Yes;
        patience.pause(CreateError::FleetBusy { fleet: busy.fleet, deploy: id }).await?;
    }
}

/// Nothing pending anywhere, and the log knew it without asking: not even a deploy is made of it.
pub(super) fn nothing_to_do(output: Output, tenants: u64, release: Option<&str>) -> Exit {
    let answer = serde_json::json!({ "deploy": null, "release": release, "tenants": tenants, "changing": 0 });
    output.answer(&answer, || match release {
        Some(release) => format!(
            "nothing to do: all {tenants} tenants are on release {release} (known from the log; no tenant was connected to)"
        ),
        None => "nothing to do: there is nothing to take back".to_owned(),
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
    context.signer()?;
    await_free_fleet(context, &*log, &Patience::new(None)).await?;
    let of = context.which(&*log, Some(&args.deploy)).await?.id;
    let selection = Selection { workflow: args.workflow.clone(), ..Selection::default() };
    let request = context.request(&(&selection).into(), &[]).await?;
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

/// Whoever resumes after a crash cannot know that it came after the end: what they ask for has happened, and it went so.
pub(super) fn nothing_to_resume(output: Output, outcome: DeployOutcome, account: &Account) -> Exit {
    output.answer(account, || {
        format!("nothing to resume: no deploy is under way. The newest:\n{}", account_text(account))
    });
    ended(outcome, account)
}

pub(super) async fn resume(context: &Context, named: Option<&str>) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let row = context.which(&*log, named).await?;
    if let (None, Some(outcome), Some(_)) = (named, row.summary.outcome, &row.summary.seal) {
        return Ok(nothing_to_resume(context.output, outcome, &account(&*log, row.id).await?));
    }
    context.refuse_unresolved(&*log, row.id, &claimable(row.summary.direction)).await?;
    if let Err(error) = engine::resumed(&*log, row.id, &actor(), &this_worker()).await {
        return Err(on_the_way(&*log, &error, row.id).await);
    }
    drive(context, &log, row.id, Tells::New).await
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
    // It was read before anything was touched.
    let signer = context.signer().map_err(|error| Failure::from(error).on_the_way())?;
    if let Some(server) = context.server_beside().await {
        let url = server.url;
        context.output.line(format!(
            "the server at {url} drives this deploy as well; stopping this command does not stop it there"
        ));
    }
    let (tell, stop) = watch::channel(Stop::Run);
    let (over, is_over) = oneshot::channel();
    let signals = tokio::spawn(listen(tell, context.output.json, is_over));
    let settings = Settings { concurrency: context.concurrency(), ..Settings::default() };
    let engine = Engine::new(Arc::clone(log), context.gateway(), this_worker(), settings)
        .knowing(context.kinds.clone())
        .signing_with(signer);
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
    drop(over);
    let _ = signals.await;
    follower.finish().await;
    let ending = match ending {
        Ok(Ok(ending)) => ending,
        Ok(Err(error)) => return Err(on_the_way(&**log, &error, deploy).await),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    let account = match account(&**log, deploy).await {
        Ok(account) => account,
        Err(error) => return Err(on_the_way(&**log, &error, deploy).await),
    };
    context.output.answer(&account, || account_text(&account));
    Ok(match ending {
        Ending::Finished(outcome) => ended(outcome, &account),
        Ending::Waiting | Ending::Paused => Exit::Waiting,
        Ending::Stopped => {
            context.output.line(format!("stopped, and nothing is lost. next: windlass resume {deploy}"));
            Exit::Waiting
        }
    })
}

/// An engine that stops in the middle leaves a deploy that can be resumed; whatever its own advice, that comes after it. One that
/// had come to its end has nothing left to resume.
async fn on_the_way(log: &dyn Log, error: &(impl Coded + Sync), deploy: DeployId) -> Failure {
    let outcome = log.deploy(deploy).await.map(|row| row.summary.outcome);
    let (stands, next) = match outcome {
        Ok(None) => ("is as it was left, and can be resumed", "windlass resume"),
        Ok(Some(DeployOutcome::Completed)) => ("had been completed before that", "windlass status"),
        Ok(Some(DeployOutcome::Unwound)) => ("had been unwound before that", "windlass status"),
        Ok(Some(_)) => ("had come to its end before that", "windlass status"),
        Err(_) => ("is as it was left, and can be resumed unless it had come to its end", "windlass status"),
    };
    let advice = error.next().unwrap_or_else(|| format!("{next} {deploy}"));
    Failure::new(error.code(), format!("{error}. Deploy {deploy} {stands}"), advice).on_the_way()
}

/// Once: start nothing more. Twice: let go at once. Until `over`, which is dropped when nothing is driven any more.
///
/// The order is given before it is told, and told beside it: a standard error that is closed or that nobody reads must not keep the
/// deploy from being stopped.
async fn listen(tell: watch::Sender<Stop>, quiet: bool, mut over: oneshot::Receiver<()>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let mut order = Stop::Run;
    let mut told = JoinSet::new();
    loop {
        tokio::select! {
            Some(()) = interrupt.recv() => {}
            Some(()) = terminate.recv() => {}
            _ = &mut over => break,
        }
        order = if order == Stop::Run { Stop::Drain } else { Stop::Now };
        let _ = tell.send(order);
        if !quiet {
            told.spawn_blocking(move || {
                let words = match order {
                    Stop::Now => "stopping now: what is under way is looked for when the deploy is resumed",
                    _ => "stopping: nothing new is started, what is running ends; once more to stop at once",
                };
                let _ = writeln!(std::io::stderr().lock(), "{words}");
            });
        }
    }
    let _ = tokio::time::timeout(TOLD_MAX, async { while told.join_next().await.is_some() {} }).await;
}

/// The exit code of a deploy that has ended.
pub(super) fn ended(outcome: DeployOutcome, account: &Account) -> Exit {
    // Where a tenant's ledger does not know what was decided, the next deploy would go by what is not so: a human has to come first.
    if account.has_untold() { Exit::Waiting } else { Exit::of(outcome) }
}

/// Follows a deploy that others drive, to its end, to a pause, or to where a human must decide.
pub(super) async fn watch(context: &Context, named: Option<&str>) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let deploy = context.which(&*log, named).await?.id;
    let mut follower = Follower::new(Arc::clone(&log), deploy, context.output);
    let exit = loop {
        let summary = log.deploy(deploy).await?.summary;
        if let Some(outcome) = summary.outcome {
            break ended(outcome, &account(&*log, deploy).await?);
        }
        // What was running when it was paused ends by itself, and starts nothing.
        if summary.paused || log.census(deploy).await?.waits_for_human(summary.direction) {
            break Exit::Waiting;
        }
        follower.tick().await;
    };
    follower.finish().await;
    let account = account(&*log, deploy).await?;
    context.output.answer(&account, || account_text(&account));
    Ok(exit)
}
