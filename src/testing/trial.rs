//! Deploys to one fresh tenant, each with one thing going wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::broken::{Broken, Tried};
use super::director::{Directed, Director, Moment, Wrong};
use super::session::{Between, WatchedGateway};
use super::world::{Place, World};
use crate::audit::{timeline, verify};
use crate::base::{DeployId, StepId, SystemClock, TenantId, WorkerId};
use crate::config::workflows::BUILT_IN;
use crate::engine::{
    Ending, Engine, Gateway, OutOfOrder, RealGateway, Request, Settings, Stop, SurveyMode, Word, prepare, turn,
};
use crate::fleet::{Entry, RereadSource, SecretResolver, ServerBudgets, Source, SourceUrl, Variables};
use crate::log::{Log, MemoryLog};
use crate::release::{Migration, Release, Script, Undo};
use crate::saga::event::{Actor, Cause, DeployEvent, DeployOutcome, Event, Half, StreamId, Trigger};
use crate::saga::workflow::Workflow;
use crate::step::{Kinds, StepKind};

/// What is tried: a release under a workflow, on tenants of a world.
pub struct Trial {
    release: Release,
    workflow: Workflow,
    workflow_text: String,
    kinds: Kinds,
    world: Box<dyn World>,
    shows: Shows,
}

/// Whether a deploy can be seen in its tenant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Yes,
    No,
}

impl Trial {
    /// All migrations of a release under the workflow `all-or-nothing`.
    pub fn of_release(release: Release, world: impl World + 'static) -> Result<Self, Broken> {
        let text = BUILT_IN.first().map(|(_, text)| *text).unwrap_or_default();
        Self::of_workflow(text, release, world)
    }

    /// All migrations of a release under a workflow, given as its text.
    pub fn of_workflow(text: &str, release: Release, world: impl World + 'static) -> Result<Self, Broken> {
        let workflow = Workflow::parse("the workflow", text).map_err(Broken::untried)?;
        let (workflow_text, world) = (text.to_owned(), Box::new(world));
        Ok(Self { release, workflow, workflow_text, kinds: Kinds::default(), world, shows: Shows::Yes })
    }

    /// A step kind of your own, as the only step of a workflow, with these parameters.
    pub fn of_step(kind: Arc<dyn StepKind>, with: toml::Table, world: impl World + 'static) -> Result<Self, Broken> {
        let mut step = toml::Table::new();
        step.insert("id".to_owned(), kind.name().into());
        step.insert("uses".to_owned(), kind.name().into());
        step.insert("with".to_owned(), with.into());
        let table = |key: &str, value: toml::Value| toml::Table::from_iter([(key.to_owned(), value)]);
        let mut stage = table("step", vec![toml::Value::from(step)].into());
        stage.insert("name".to_owned(), "one".into());
        let mut workflow = table("stage", vec![toml::Value::from(stage)].into());
        workflow.insert("name".to_owned(), "one-step".into());
        // A deploy without a migration has nothing to do. No step of this workflow runs it.
        let script = |file: &str| Script::new(file.to_owned(), "SELECT 1;\n");
        let migration = Migration::new("1", "nothing".to_owned(), script("up"), Undo::Written(script("down")));
        let release = Release::new(None, vec![migration.map_err(Broken::untried)?]).map_err(Broken::untried)?;
        Ok(Self::of_workflow(&workflow.to_string(), release, world)?.knowing(Kinds::default().with(kind)))
    }

    /// The same, where the workflow may use these kinds of step.
    #[must_use]
    pub fn knowing(self, kinds: Kinds) -> Self {
        Self { kinds, ..self }
    }

    /// The same, of a deploy that leaves nothing to be seen in its tenant. Of any other, a [`World::look`] that shows no difference is
    /// taken for a look at the wrong place.
    #[must_use]
    pub fn leaving_nothing_to_see(self) -> Self {
        Self { shows: Shows::No, ..self }
    }
}

/// One deploy that was run.
struct Ran {
    log: Arc<dyn Log>,
    deploy: DeployId,
    ending: Ending,
    before: String,
    after: String,
    passed: Vec<Moment>,
    last_step: Option<StepId>,
}

/// What is done to a deploy.
#[derive(Default)]
struct Course {
    wrong: Option<(usize, Wrong)>,
    /// The deploy is turned once this step has acted.
    turns_at: Option<StepId>,
}

impl Trial {
    async fn request(&self, source: &Source, secrets: &SecretResolver) -> Result<Request, Broken> {
        Ok(Request {
            fleet: "trial".to_owned(),
            release: self.release.clone(),
            workflow: self.workflow.clone(),
            workflow_text: self.workflow_text.clone(),
            tenants: source.read(secrets, Path::new(".")).await.map_err(Broken::untried)?,
            whole_fleet: true,
            survey: SurveyMode::All,
            out_of_order: OutOfOrder::Refuse,
            disowned: BTreeSet::new(),
            new_databases: BTreeSet::new(),
            concurrency: 1,
            kinds: self.kinds.clone(),
        })
    }

    /// A deploy to a fresh tenant, to its end or to where a human must decide.
    async fn run(&self, course: Course) -> Result<Ran, Broken> {
        let place = self.world.fresh().await.map_err(Broken::untried)?;
        let before = self.world.look(&place).await.map_err(Broken::untried)?;
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        let source = source(&place)?;
        let plain = SecretResolver::new(Variables::Process);
        let reread = RereadSource::new(source.clone(), plain.clone(), PathBuf::from("."), Arc::new(SystemClock));
        let secrets = plain.with_source(Arc::new(reread));
        let real = RealGateway::new(secrets.clone(), Arc::new(ServerBudgets::new(2, [])));
        let director = Director::new(course.wrong, course.turns_at);
        let gateway: Arc<dyn Gateway> = Arc::new(WatchedGateway::new(real, Arc::clone(&director) as Arc<dyn Between>));
        let prepared =
            prepare(&*log, &*gateway, self.request(&source, &secrets).await?).await.map_err(Broken::refused)?;
        let last_step = prepared.tenants.first().and_then(|of| of.plan.steps().last()).map(|step| step.id.clone());
        let deploy = DeployId::fresh();
        let word = word();
        let new = prepared.into_new_deploy(deploy, Trigger::Command, word.actor.clone(), word.by.clone());
        log.create_deploy(new.map_err(Broken::untried)?).await.map_err(Broken::untried)?;
        let kinds = self.kinds.clone().each(|kind| Arc::new(Directed { kind, director: Arc::clone(&director) }));
        let ending = lives(&log, &gateway, &kinds, deploy, &director).await?;
        let after = self.world.look(&place).await.map_err(Broken::untried)?;
        Ok(Ran { log, deploy, ending, before, after, passed: director.passed(), last_step })
    }
}

/// One engine after the other, each taking up what the one before it left by dying, until the deploy rests.
async fn lives(
    log: &Arc<dyn Log>,
    gateway: &Arc<dyn Gateway>,
    kinds: &Kinds,
    deploy: DeployId,
    director: &Director,
) -> Result<Ending, Broken> {
    let (_keep, stop) = watch::channel(Stop::Run);
    let mut life = 0;
    loop {
        life += 1;
        let worker = WorkerId(format!("trial-{life}"));
        let settings = Settings { concurrency: 1, ..Settings::default() };
        let engine = Engine::new(Arc::clone(log), Arc::clone(gateway), worker.clone(), settings);
        let engine = engine.knowing(kinds.clone());
        let running = engine.run(deploy, stop.clone());
        tokio::pin!(running);
        loop {
            tokio::select! {
                ended = &mut running => return ended.map_err(Broken::untried),
                () = director.died() => break,
                () = director.turn() => {
                    turn(&**log, deploy, &word()).await.map_err(Broken::untried)?;
                    director.turned();
                }
            }
        }
        // What its leases would tell in time is known here at once.
        log.expel(deploy, &worker).await.map_err(Broken::untried)?;
    }
}

/// A fleet of one.
fn source(place: &Place) -> Result<Source, Broken> {
    let id = TenantId::new("trial").map_err(Broken::untried)?;
    let url = SourceUrl::from(place.url.as_str());
    Ok(Source::List(vec![Entry { id, url, schema: place.schema.clone(), labels: BTreeMap::new() }]))
}

/// Who runs the trials.
fn word() -> Word {
    let actor = Actor { name: "trial".to_owned(), host: crate::engine::host() };
    Word { actor, by: WorkerId("trial".to_owned()), reason: "the trial turns here".to_owned() }
}

impl Ran {
    /// What is wrong with its end, if something is: the outcome, the tenant, the log.
    async fn fault(&self, outcome: DeployOutcome, tenant: &str) -> Result<Option<String>, Broken> {
        if self.ending != Ending::Finished(outcome) {
            let ended = match self.ending {
                Ending::Finished(ended) => format!("ended as {ended:?}"),
                Ending::Waiting => "is stuck and waits for a human".to_owned(),
                Ending::Paused => "was paused".to_owned(),
                Ending::Stopped => "stopped".to_owned(),
            };
            return Ok(Some(format!("the deploy should have ended as {outcome:?}, and it {ended}")));
        }
        if let Some(difference) = difference(tenant, &self.after) {
            return Ok(Some(format!("the tenant is not what it should be: {difference}")));
        }
        let report = verify(&*self.log, self.deploy, &[]).await.map_err(Broken::untried)?;
        Ok(report.findings.first().map(|found| format!("the log does not verify: {}", found.message)))
    }

    /// The step that turned the deploy by failing.
    async fn failed_at(&self) -> Result<Option<StepId>, Broken> {
        let own = self.log.read(&StreamId::deploy(self.deploy)).await.map_err(Broken::untried)?;
        Ok(own.into_iter().find_map(|recorded| match recorded.event {
            Event::Deploy(DeployEvent::DirectionSet { cause: Cause::TenantFailed { step, .. }, .. }) => Some(step),
            _ => None,
        }))
    }

    async fn broken(&self, promise: &'static str, moment: Option<&Moment>, what: String) -> Result<Broken, Broken> {
        let lines = timeline(&*self.log, self.deploy, None).await.map_err(Broken::untried)?;
        let history = lines.into_iter().map(|line| {
            let tenant = line.tenant.map(|_| "tenant: ").unwrap_or_default();
            format!("{} {tenant}{}", line.at, line.what)
        });
        Ok(Broken {
            promise: Some(promise),
            step: moment.map(|moment| moment.step.to_string()),
            moment: moment.map(ToString::to_string),
            what,
            history: history.collect(),
        })
    }

    async fn must(
        &self,
        promise: &'static str,
        moment: Option<&Moment>,
        outcome: DeployOutcome,
        tenant: &str,
    ) -> Result<(), Broken> {
        match self.fault(outcome, tenant).await? {
            Some(what) => Err(self.broken(promise, moment, what).await?),
            None => Ok(()),
        }
    }
}

/// The first line in which two looks differ.
fn difference(wanted: &str, seen: &str) -> Option<String> {
    let mut lines = (wanted.split_inclusive('\n'), seen.split_inclusive('\n'));
    loop {
        match (lines.0.next(), lines.1.next()) {
            (None, None) => return None,
            (wanted, seen) if wanted == seen => {}
            (wanted, seen) => {
                // The ends of lines are shown only where they are the difference.
                let ends = |line: Option<&str>| line.is_none_or(|line| line.ends_with('\n'));
                let ended = ends(wanted) && ends(seen);
                let shown = |line: &str| format!("{:?}", line.strip_suffix('\n').filter(|_| ended).unwrap_or(line));
                let line = |line: Option<&str>| line.map_or_else(|| "nothing".to_owned(), shown);
                return Some(format!("where {} should be seen there is {}", line(wanted), line(seen)));
            }
        }
    }
}

/// Runs one deploy for each moment that `at` chooses, with that going wrong there, and checks each as `holds` says.
async fn at_each(
    trial: &Trial,
    promise: &'static str,
    reference: &Ran,
    turns_at: Option<&StepId>,
    wrong: Wrong,
    at: impl Fn(&Moment) -> bool,
    (outcome, tenant): (DeployOutcome, impl Fn(&Ran) -> String),
) -> Result<Tried, Broken> {
    let mut tried = Tried { promise, steps: Vec::new(), moments: Vec::new() };
    for (number, moment) in reference.passed.iter().enumerate().filter(|(_, moment)| moment.may(wrong) && at(moment)) {
        let ran = trial.run(Course { wrong: Some((number, wrong)), turns_at: turns_at.cloned() }).await?;
        if ran.passed.get(number) != Some(moment) {
            let what =
                "the deploy did not come by here again: it goes another way each time, and cannot be tried".to_owned();
            return Err(ran.broken(promise, Some(moment), what).await?);
        }
        ran.must(promise, Some(moment), outcome, &tenant(&ran)).await?;
        if wrong == Wrong::Refused {
            let failed = ran.failed_at().await?;
            if failed.as_ref() != Some(&moment.step) {
                let said = failed.map_or_else(|| "no step".to_owned(), |step| format!("step {step}"));
                let what = format!("the log says that {said} failed");
                return Err(ran.broken(promise, Some(moment), what).await?);
            }
        }
        let step = moment.step.to_string();
        if tried.steps.last() != Some(&step) {
            tried.steps.push(step);
        }
        tried.moments.push(moment.to_string());
    }
    if tried.moments.is_empty() {
        return Err(Broken::untried(
            "there is nothing that could go wrong: no step of the plan has anything to do, or to undo",
        ));
    }
    Ok(tried)
}

/// Makes every step fail, and every statement of it that can fail by itself: the deploy must end unwound, over that step, and the tenant
/// must look as it did before.
pub async fn fails_cleanly_at_every_step(trial: &Trial) -> Result<Tried, Broken> {
    const PROMISE: &str = "fails cleanly at every step";
    let reference = trial.undisturbed(PROMISE).await?;
    let at = |moment: &Moment| moment.half == Half::Act;
    let end = (DeployOutcome::Unwound, |ran: &Ran| ran.before.clone());
    at_each(trial, PROMISE, &reference, None, Wrong::Refused, at, end).await
}

/// Lets the process die before and after every step on the way up, and before and after everything that a step does to the tenant; the
/// deploy is resumed, and must end as an undisturbed one, with a tenant that looks the same.
pub async fn repeats_safely(trial: &Trial) -> Result<Tried, Broken> {
    const PROMISE: &str = "repeats safely";
    let reference = trial.undisturbed(PROMISE).await?;
    let at = |moment: &Moment| moment.half == Half::Act;
    let end = (DeployOutcome::Completed, |_: &Ran| reference.after.clone());
    at_each(trial, PROMISE, &reference, None, Wrong::Dies, at, end).await
}

/// Lets the deploy turn when its last step has acted, and the process die before and after every undo, and before and after everything
/// that an undo does to the tenant; the deploy is resumed, and must end unwound, with the tenant as it was before.
pub async fn undo_repeats_safely(trial: &Trial) -> Result<Tried, Broken> {
    const PROMISE: &str = "the undo repeats safely";
    let last = trial.undisturbed(PROMISE).await?.last_step;
    let reference = trial.run(Course { wrong: None, turns_at: last.clone() }).await?;
    reference.must(PROMISE, None, DeployOutcome::Unwound, &reference.before).await?;
    let at = |moment: &Moment| moment.half == Half::Undo;
    let end = (DeployOutcome::Unwound, |ran: &Ran| ran.before.clone());
    at_each(trial, PROMISE, &reference, last.as_ref(), Wrong::Dies, at, end).await
}

impl Trial {
    /// A deploy in which nothing goes wrong, which must complete; and that a look at a tenant shows what is there and nothing else.
    async fn undisturbed(&self, promise: &'static str) -> Result<Ran, Broken> {
        let ran = self.run(Course::default()).await?;
        ran.must(promise, None, DeployOutcome::Completed, &ran.after).await?;
        if self.shows == Shows::Yes && ran.before == ran.after {
            let what = "a completed deploy cannot be seen in the look at its tenant: the look is at the wrong place, or does not show \
                        enough (`leaving_nothing_to_see` is for deploys that leave nothing)";
            return Err(Broken::untried(what));
        }
        let again = self.run(Course::default()).await?;
        let which = [
            ("two fresh tenants", &ran.before, &again.before),
            ("two tenants after undisturbed deploys", &ran.after, &again.after),
        ];
        for (of, one, other) in which {
            if let Some(difference) = difference(one, other) {
                let what =
                    format!("{of} do not look alike: {difference}. Leave out of the look what differs each time");
                return Err(again.broken(promise, None, what).await?);
            }
        }
        Ok(ran)
    }
}
