//! How a deploy goes, while it goes: read back from the log, so that the driver and a watcher elsewhere see the same.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::output::{Output, table};
use crate::audit::{Account, Line, actor_words, cause_words, headline, next_words, part_words, trigger_words};
use crate::base::{Code, DeployId, count};
use crate::log::Log;
use crate::saga::event::{DeployEvent, Direction, Event, Found, Half, TenantEvent, TenantOutcome};
use crate::saga::failure::Retry;
use crate::saga::summary::TenantStatus;

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How often a pipe is told how far it is, at the most.
const TELL: Duration = Duration::from_secs(2);

/// Fleets up to this size are followed tenant by tenant.
const SMALL_FLEET: u64 = 50;

/// Failures told one by one; the rest are counted, and grouped in the account.
const FAILURES_TOLD: u64 = 10;

/// Events read at a time.
const PAGE: usize = 1_000;

/// How many tenants stand where; none is zero.
type Counts = BTreeMap<TenantStatus, u64>;

/// Where a deploy is followed: in the log itself, or through a server that has it. What cannot be read now is none, and asked for again.
#[async_trait]
pub(super) trait Watched: Send + Sync {
    /// How often it is worth looking.
    fn look(&self) -> Duration;

    /// The place of its last event.
    async fn end(&self) -> Option<u64>;

    /// Events after a place.
    async fn tail(&self, after: u64, limit: usize) -> Option<Vec<Line>>;

    /// How many tenants stand where.
    async fn counts(&self) -> Option<Counts>;
}

/// A deploy in the log.
struct InLog {
    log: Arc<dyn Log>,
    deploy: DeployId,
}

#[async_trait]
impl Watched for InLog {
    fn look(&self) -> Duration {
        LOOK
    }

    async fn end(&self) -> Option<u64> {
        self.log.end(self.deploy).await.ok()
    }

    async fn tail(&self, after: u64, limit: usize) -> Option<Vec<Line>> {
        let events = self.log.tail(self.deploy, after, limit).await.ok()?;
        Some(events.into_iter().map(Line::of).collect())
    }

    async fn counts(&self) -> Option<Counts> {
        let census = self.log.census(self.deploy).await.ok()?;
        let counts = TenantStatus::ALL.iter().map(|status| (*status, census.count(*status)));
        Some(counts.filter(|(_, count)| *count > 0).collect())
    }
}

pub(super) struct Follower {
    watched: Box<dyn Watched>,
    deploy: DeployId,
    output: Output,
    after: u64,
    tenants: u64,
    small: bool,
    failures: u64,
    told: Option<(Instant, Counts)>,
    drawn: bool,
}

impl Follower {
    pub(super) fn new(log: Arc<dyn Log>, deploy: DeployId, output: Output) -> Self {
        Self::of(Box::new(InLog { log, deploy }), deploy, output)
    }

    /// Of a deploy wherever it is.
    pub(super) fn of(watched: Box<dyn Watched>, deploy: DeployId, output: Output) -> Self {
        Self { watched, deploy, output, after: 0, tenants: 0, small: false, failures: 0, told: None, drawn: false }
    }

    /// Passes over what has happened so far, but for what the deploy is: for a deploy that is taken up again.
    pub(super) async fn catch_up(&mut self) {
        if let Some(end) = self.watched.end().await {
            self.catch_up_to(end).await;
        }
    }

    /// The same, up to a place in the log.
    pub(super) async fn catch_up_to(&mut self, end: u64) {
        let Some(first) = self.watched.tail(0, 1).await else { return };
        self.after = end;
        if let Some(Line { event: Event::Deploy(created), .. }) = first.first()
            && let Some(line) = self.deploy_words(created)
        {
            self.output.line(line);
        }
    }

    /// Waits a little, then tells what is new. What cannot be read now is told later: following is no reason to stop driving.
    pub(super) async fn tick(&mut self) {
        tokio::time::sleep(self.watched.look()).await;
        self.tell().await;
        if self.output.json {
            return;
        }
        let Some(census) = self.watched.counts().await else { return };
        if self.output.live {
            self.draw(&census);
        } else if !self.small {
            self.tell_pipe(census);
        }
    }

    /// Tells what is left.
    pub(super) async fn finish(&mut self) {
        self.tell().await;
        self.wipe();
    }

    async fn tell(&mut self) {
        if self.output.json {
            return;
        }
        loop {
            let Some(page) = self.watched.tail(self.after, PAGE).await else { return };
            let Some(last) = page.last() else { return };
            self.after = last.position;
            for event in &page {
                if let Some(line) = self.words(event) {
                    self.wipe();
                    self.output.line(line);
                }
            }
        }
    }

    fn words(&mut self, line: &Line) -> Option<String> {
        let of = line.tenant.as_ref();
        match &line.event {
            Event::Deploy(event) => self.deploy_words(event),
            Event::Tenant(TenantEvent::StepFailed { failure, retry: Retry::No, in_effect, .. }) => {
                self.failures += 1;
                let part = part_words(*in_effect);
                let line = format!("  {} failed: {} [{}]{part}", of?, failure.message, failure.code);
                (self.failures <= FAILURES_TOLD).then_some(line)
            }
            Event::Tenant(TenantEvent::StepFailed { step, failure, retry: Retry::At(_), in_effect }) if self.small => {
                let part = part_words(*in_effect);
                Some(format!("  {} {step}: {}{part}, will be tried again", of?, failure.message))
            }
            Event::Tenant(TenantEvent::StepProbed { step, half, found }) if self.small => {
                let half = if *half == Half::Undo { "undo of " } else { "" };
                let found = match found {
                    Found::Applied => "applied".to_owned(),
                    Found::NotApplied => "not applied".to_owned(),
                    Found::Partial { statements } => format!("applied up to statement {statements}"),
                    Found::Unknown { .. } => "not known yet".to_owned(),
                };
                Some(format!("  {} {half}{step} was under way: {found}", of?))
            }
            Event::Tenant(TenantEvent::TenantFinished { outcome, reason, code }) => {
                let calls = *outcome == TenantOutcome::Stuck || *code == Some(Code::LedgerUntold);
                let told = self.small || calls;
                let json = serde_json::to_value(outcome).unwrap_or_default();
                let what = json.as_str().unwrap_or_default();
                let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
                let reason = if calls { format!(": {reason}{code}") } else { String::new() };
                told.then(|| format!("  {} {what}{reason}", of.map(ToString::to_string).unwrap_or_default()))
            }
            Event::Tenant(_) => None,
        }
    }

    fn deploy_words(&mut self, event: &DeployEvent) -> Option<String> {
        Some(match event {
            DeployEvent::DeployCreated { release_name, workflow_name, tenant_count, changing, trigger, .. } => {
                self.tenants = *tenant_count;
                self.small = *tenant_count <= SMALL_FLEET;
                let what = trigger_words(trigger, release_name);
                format!(
                    "deploy {}: {what}, {}, {changing} to change, {workflow_name}",
                    self.deploy,
                    count(*tenant_count, "tenant")
                )
            }
            DeployEvent::WaveOpened { stage, wave } => format!("wave {} of stage {} is open", wave + 1, stage + 1),
            DeployEvent::DirectionSet { direction: Direction::Unwind, cause } => {
                format!("the deploy turns: undoing what it did. Cause: {}", cause_words(cause))
            }
            DeployEvent::DirectionSet { direction, .. } => format!("direction: {direction:?}"),
            DeployEvent::DeployResumed { actor } => format!("resumed by {}", actor_words(actor)),
            DeployEvent::DeployPaused { actor, reason } => {
                let who = actor_words(actor);
                format!("the deploy is paused: what is running ends, nothing more starts. By {who}: {reason}")
            }
            DeployEvent::StageEntered { .. } | DeployEvent::DeployFinished { .. } | DeployEvent::Sealed { .. } => {
                return None;
            }
        })
    }

    /// A line that is written over.
    fn draw(&mut self, census: &Counts) {
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "\r\x1b[2K{}", bar(census));
        let _ = out.flush();
        self.drawn = true;
    }

    fn wipe(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stdout().lock(), "\r\x1b[2K");
        }
    }

    fn tell_pipe(&mut self, census: Counts) {
        let due = self.told.as_ref().is_none_or(|(at, before)| at.elapsed() >= TELL && *before != census);
        if due && !census.is_empty() {
            self.output.line(format!("  {}", counts(&census)));
            self.told = Some((Instant::now(), census));
        }
    }
}

/// How far it is, on one line.
fn bar(census: &Counts) -> String {
    const WIDTH: u64 = 24;
    let total = census.values().sum::<u64>().max(1);
    let of = |status| census.get(&status).copied().unwrap_or_default();
    let moving = of(TenantStatus::Pending) + of(TenantStatus::Running) + of(TenantStatus::Unwinding);
    let filled = (total - moving.min(total)) * WIDTH / total;
    let cell = |at| if at < filled { '█' } else { '·' };
    format!("  {} {}", (0..WIDTH).map(cell).collect::<String>(), counts(census))
}

fn counts(census: &Counts) -> String {
    let parts: Vec<String> =
        census.iter().filter(|(_, n)| **n > 0).map(|(status, n)| format!("{n} {status}")).collect();
    parts.join(", ")
}

/// The account, for people.
pub(super) fn account_text(account: &Account) -> String {
    let mut text = format!("deploy {} {}\n", account.deploy, headline(account));
    let what = trigger_words(&account.trigger, &account.release);
    let facts = [
        ["fleet".to_owned(), account.fleet.clone()],
        ["what".to_owned(), format!("{what}, workflow {}", account.workflow)],
        ["when".to_owned(), format!("{} by {}@{}", account.created_at, account.actor.name, account.actor.host)],
        [
            "tenants".to_owned(),
            account.census.iter().map(|(status, n)| format!("{n} {status}")).collect::<Vec<_>>().join(", "),
        ],
    ];
    text.push_str(&table(&facts));
    for group in &account.failures {
        let more = group.count - group.tenants.len() as u64;
        let names = group.tenants.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text.push_str(&format!("  {names}{more}: {} [{}]\n", group.message, group.code));
    }
    if let Some(next) = next_words(account) {
        text.push_str(&format!("next: {next}\n"));
    }
    text
}
