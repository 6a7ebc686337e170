//! How a deploy goes, while it goes: read back from the log, so that the driver and a watcher elsewhere see the same.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::output::{Output, span, table};
use crate::audit::{Account, actor_words, cause_words, part_words, pause_words, trigger_words};
use crate::base::{Code, DeployId, count};
use crate::log::{Log, TailEvent};
use crate::saga::event::{
    DeployEvent, DeployOutcome, Direction, Event, Found, Half, Recorded, TenantEvent, TenantOutcome, Trigger,
};
use crate::saga::failure::Retry;
use crate::saga::summary::{Census, TenantStatus, stands_still};

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

pub(super) struct Follower {
    log: Arc<dyn Log>,
    deploy: DeployId,
    output: Output,
    after: u64,
    tenants: u64,
    small: bool,
    failures: u64,
    told: Option<(Instant, Census)>,
    drawn: bool,
}

impl Follower {
    pub(super) fn new(log: Arc<dyn Log>, deploy: DeployId, output: Output) -> Self {
        Self { log, deploy, output, after: 0, tenants: 0, small: false, failures: 0, told: None, drawn: false }
    }

    /// Passes over what has happened so far, but for what the deploy is: for a deploy that is taken up again.
    pub(super) async fn catch_up(&mut self) {
        let Ok(end) = self.log.end(self.deploy).await else { return };
        let Ok(first) = self.log.tail(self.deploy, 0, 1).await else { return };
        self.after = end;
        if let Some(TailEvent { recorded: Recorded { event: Event::Deploy(created), .. }, .. }) = first.first()
            && let Some(line) = self.deploy_words(created)
        {
            self.output.line(line);
        }
    }

    /// Waits a little, then tells what is new. What cannot be read now is told later: following is no reason to stop driving.
    pub(super) async fn tick(&mut self) {
        tokio::time::sleep(LOOK).await;
        self.tell().await;
        if self.output.json {
            return;
        }
        let Ok(census) = self.log.census(self.deploy).await else { return };
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
            let Ok(page) = self.log.tail(self.deploy, self.after, PAGE).await else { return };
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

    fn words(&mut self, event: &TailEvent) -> Option<String> {
        let of = event.stream.tenant.as_ref();
        match &event.recorded.event {
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
                format!("paused by {}: {reason}. What is running ends, nothing more starts", actor_words(actor))
            }
            DeployEvent::StageEntered { .. } | DeployEvent::DeployFinished { .. } | DeployEvent::Sealed { .. } => {
                return None;
            }
        })
    }

    /// A line that is written over.
    fn draw(&mut self, census: &Census) {
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

    fn tell_pipe(&mut self, census: Census) {
        let due = self.told.as_ref().is_none_or(|(at, before)| at.elapsed() >= TELL && *before != census);
        if due && census.total() > 0 {
            self.output.line(format!("  {}", counts(&census)));
            self.told = Some((Instant::now(), census));
        }
    }
}

/// How far it is, on one line.
fn bar(census: &Census) -> String {
    const WIDTH: u64 = 24;
    let total = census.total().max(1);
    let moving = census.count(TenantStatus::Pending)
        + census.count(TenantStatus::Running)
        + census.count(TenantStatus::Unwinding);
    let filled = (total - moving.min(total)) * WIDTH / total;
    let cell = |at| if at < filled { '█' } else { '·' };
    format!("  {} {}", (0..WIDTH).map(cell).collect::<String>(), counts(census))
}

fn counts(census: &Census) -> String {
    let of = |status: &TenantStatus| (census.count(*status), status.as_str());
    let parts: Vec<String> =
        TenantStatus::ALL.iter().map(of).filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    parts.join(", ")
}

/// The account, for people.
pub(super) fn account_text(account: &Account) -> String {
    let took =
        account.finished_at.map(|end| format!(" after {}", span(account.created_at.until(end)))).unwrap_or_default();
    let id = account.deploy;
    let head = match (account.outcome, account.direction) {
        (Some(_), _) if account.has_untold() => {
            format!(
                "deploy {id} has ended{took}, and a human must bring the ledger of some tenants in line before the next one"
            )
        }
        (Some(DeployOutcome::Completed), _) => match &account.trigger {
            Trigger::Rollback { of } => {
                format!("deploy {id} completed{took}: what deploy {of} had changed is taken back")
            }
            _ => format!("deploy {id} completed{took}: every tenant is on the release"),
        },
        (Some(DeployOutcome::Unwound), _) => format!("deploy {id} was unwound{took}: the fleet is as it was before"),
        (Some(DeployOutcome::CompletedWithQuarantine), _) => {
            format!("deploy {id} completed{took}; some tenants were set aside")
        }
        (Some(DeployOutcome::EndedByHand), _) => {
            format!("deploy {id} was unwound{took}, and some tenants were left as they are by decision")
        }
        (None, _) if let Some(pause) = &account.paused => format!("deploy {id} is paused {}", pause_words(pause)),
        (None, _) if waits(account) => {
            let stuck = account.census.get(&TenantStatus::Stuck).copied().unwrap_or_default();
            format!("deploy {id} waits for a human: {} stuck, and nothing else moves", count(stuck, "tenant"))
        }
        (None, Direction::Unwind) => format!("deploy {id} is being unwound"),
        (None, _) => format!("deploy {id} is under way"),
    };
    let mut text = format!("{head}\n");
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
    if let Some(next) = next(account) {
        text.push_str(&format!("next: {next}\n"));
    }
    text
}

/// Whether nothing moves any more until a human decides.
fn waits(account: &Account) -> bool {
    stands_still(account.census.keys().copied(), account.direction)
}

/// The command that comes next.
fn next(account: &Account) -> Option<String> {
    let id = account.deploy;
    let stuck = account.census.contains_key(&TenantStatus::Stuck);
    let irreversible = account.failures.iter().all(|group| group.code == Code::Irreversible);
    match account.outcome {
        Some(_) if account.has_untold() => Some(format!(
            "bring these ledgers in line by hand, as docs/errors/{}.md says; then deploy again",
            Code::LedgerUntold
        )),
        None if account.paused.is_some() => Some(format!("windlass resume {id}")),
        None if stuck && irreversible => Some(format!(
            "leave it in effect: windlass resolve TENANT --as applied --deploy {id} --reason … (--all --yes for TENANT: all of them)"
        )),
        None if stuck => Some(format!(
            "mend what the message says, then: windlass retry {id}; or settle it: windlass resolve TENANT --as undone|applied --deploy {id} --reason …"
        )),
        None => Some(format!("windlass resume {}", account.deploy)),
        Some(DeployOutcome::Unwound) if !account.failures.is_empty() => Some(match account.trigger {
            Trigger::Rollback { of } => format!("mend the cause, then: windlass rollback {of}"),
            _ => "mend the cause, then: windlass deploy".to_owned(),
        }),
        Some(_) => None,
    }
}
