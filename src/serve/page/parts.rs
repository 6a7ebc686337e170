//! The parts of a deploy's page. Each is made by itself, so that a page that is open fetches again what has changed and nothing else.

use std::collections::BTreeMap;

use askama::Template;

use super::bar::Bar;
use super::cells::{Cell, cells, per_cell};
use super::command::{Command, offered};
use super::form::proof;
use super::text::{in_url, moment, number, sentence};
use super::waves::{Stage, stages};
use crate::audit::{
    Account, Line, actor_words, cause_words, headline, next_words, set_off_words, trigger_words, waits_for_human,
};
use crate::base::limits::PAGE_EVENTS;
use crate::base::{Code, DeployId, Digest};
use crate::log::{DeployRow, LogError, Report, ReportState, Settled, What};
use crate::saga::event::{DeployEvent, Event, StreamId};
use crate::saga::summary::TenantStatus;
use crate::serve::access::Principal;
use crate::serve::api::deploys::{Deploy, Standing};
use crate::serve::app::App;
use crate::serve::problem::{Problem, page_of};
use crate::serve::report::Standing as HowFar;

/// The parts of a page, in its order.
pub(super) const PARTS: [&str; 7] = ["headline", "commands", "cells", "failures", "waves", "timeline", "reports"];

/// A part, ready to be put into a page.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Of its text: who has this one needs no other.
    pub(super) digest: String,
    pub(super) body: String,
}

/// What the parts are made of.
pub(super) struct Seen<'a> {
    pub(super) app: &'a App,
    pub(super) principal: &'a Principal,
    pub(super) row: Option<DeployRow>,
    pub(super) deploy: Deploy,
    /// Events before this place are shown; the latest where there is none.
    pub(super) before: Option<u64>,
}

/// How a deploy stands, as a word, a colour and a sign.
pub(super) struct Mark {
    pub(super) word: &'static str,
    pub(super) tone: &'static str,
    pub(super) sign: &'static str,
}

/// The mark of a standing.
pub(super) const fn mark(standing: Standing, waits: bool) -> Mark {
    let (word, tone, sign) = match standing {
        _ if waits => ("Waits for a human", "human", "!"),
        Standing::Queued => ("Waits for its turn", "calm", "…"),
        Standing::UnderWay => ("Under way", "run", "▸"),
        Standing::Paused => ("Paused", "warn", "‖"),
        Standing::Unwinding => ("Unwinding", "warn", "↓"),
        Standing::Completed => ("Completed", "good", "✓"),
        Standing::Unwound => ("Unwound", "bad", "↺"),
        Standing::CompletedWithQuarantine => ("Completed, some set aside", "warn", "✓"),
        Standing::EndedByHand => ("Ended by hand", "warn", "✎"),
        Standing::Same => ("Same as another", "calm", "="),
        Standing::NothingToDo => ("Nothing to do", "calm", "✓"),
        Standing::Refused => ("Refused", "bad", "✕"),
        Standing::Cancelled => ("Cancelled", "calm", "–"),
    };
    Mark { word, tone, sign }
}

impl Seen<'_> {
    /// Whether nothing moves until a human decides.
    pub(super) fn waits(&self) -> bool {
        self.deploy.account.as_ref().is_some_and(|account| account.paused.is_none() && waits_for_human(account))
    }

    /// Makes a part; none where there is none of this name.
    pub(super) async fn part(&self, name: &str) -> Result<Option<Part>, Problem> {
        let Some(name) = PARTS.into_iter().find(|part| *part == name) else { return Ok(None) };
        let body = match name {
            "headline" => self.headline(),
            "commands" => self.commands(),
            "cells" => self.cells().await?,
            "failures" => self.failures(),
            "waves" => self.waves().await?,
            "timeline" => self.timeline().await?,
            _ => self.reports().await?,
        };
        let body = body.map_err(|error| Problem::new(Code::Defect, format!("a page cannot be made: {error}")))?;
        let digest = Digest::of(body.as_bytes()).short();
        Ok(Some(Part { name, digest, body }))
    }

    /// How it stands in a sentence, with the numbers as long as they change.
    fn says(&self, account: &Account) -> String {
        let moves = account.outcome.is_none() && account.paused.is_none() && !self.waits();
        let counts = if moves { format!(": {}", counts(account).label) } else { String::new() };
        format!("The deploy {}{counts}.", headline(account))
    }

    fn headline(&self) -> askama::Result<String> {
        let Deploy { id, fleet, standing, request, account, trouble, .. } = &self.deploy;
        let (what, says) = match (account, request) {
            (Some(account), _) => (trigger_words(&account.trigger, &account.release), self.says(account)),
            (None, Some(request)) => (asked_words(&request.asked.what), settled_words(request.settled.as_ref())),
            (None, None) => (String::new(), String::new()),
        };
        let trigger = account.as_ref().map(|of| &of.trigger).or(request.as_ref().map(|of| &of.asked.trigger));
        let actor = account.as_ref().map(|of| &of.actor).or(request.as_ref().map(|of| &of.asked.actor));
        let since = account.as_ref().map(|of| of.created_at).or(request.as_ref().map(|of| of.received_at));
        let ended = account.as_ref().and_then(|of| of.finished_at);
        let next = account.as_ref().filter(|of| of.outcome.is_some() || self.waits()).and_then(next_words);
        Headline {
            id: *id,
            fleet,
            mark: mark(*standing, self.waits()),
            what: sentence(&what),
            says,
            cause: account.as_ref().and_then(|of| of.cause.as_ref()).map(cause_words),
            refusal: refusal(request.as_ref().and_then(|of| of.settled.as_ref())),
            same: match request.as_ref().and_then(|of| of.settled.as_ref()) {
                Some(Settled::Same { deploy }) => Some(*deploy),
                _ => None,
            },
            trouble: trouble.as_ref().map(|of| (of.code, page_of(of.code), of.message.clone(), moment(of.since))),
            by: actor.map(actor_words).unwrap_or_default(),
            set_off: trigger.map(set_off_words).unwrap_or_default(),
            workflow: account.as_ref().map(|of| of.workflow.clone()).unwrap_or_default(),
            since: since.map(|at| (at.0, moment(at))),
            ended: ended.map(|at| (at.0, moment(at))),
            seal: account.as_ref().and_then(|of| of.seal).map(|seal| seal.short()),
            next,
            bar: account.as_ref().map(counts),
        }
        .render()
    }

    fn commands(&self) -> askama::Result<String> {
        let csrf = proof(self.principal).unwrap_or_default();
        Commands { id: self.deploy.id, csrf, offered: offered(self), tenant: None }.render()
    }

    async fn cells(&self) -> Result<askama::Result<String>, LogError> {
        let Some(account) = &self.deploy.account else { return Ok(Ok(String::new())) };
        let cells = cells(self.app, self.deploy.id, account.tenants).await?;
        let size = match cells.len() {
            ..=80 => "few",
            81..=600 => "some",
            _ => "many",
        };
        let legend = account.census.iter().map(|(status, count)| (*status, number(*count))).collect();
        let per_cell = per_cell(account.tenants);
        let unchanged = account.tenants.saturating_sub(account.changing);
        Ok(Grid {
            tenants: number(account.tenants),
            one: account.tenants == 1,
            unchanged: (unchanged > 0).then(|| number(unchanged)),
            legend,
            cells,
            size,
            per_cell: (per_cell > 1).then(|| number(per_cell)),
        }
        .render())
    }

    fn failures(&self) -> askama::Result<String> {
        let groups = self.deploy.account.iter().flat_map(|account| &account.failures).map(|group| Group {
            code: group.code,
            title: group.code.title(),
            page: page_of(group.code),
            message: group.message.clone(),
            count: number(group.count),
            one: group.count == 1,
            tenants: group.tenants.iter().map(|of| (of.to_string(), in_url(of.as_str()))).collect(),
            more: group.count.saturating_sub(group.tenants.len() as u64),
        });
        Failures { id: self.deploy.id, groups: groups.collect() }.render()
    }

    async fn waves(&self) -> Result<askama::Result<String>, LogError> {
        let Some(row) = &self.row else { return Ok(Ok(String::new())) };
        let log = &*self.app.log;
        let own = log.read(&StreamId::deploy(row.id)).await?;
        let Some(Event::Deploy(created @ DeployEvent::DeployCreated { .. })) = own.first().map(|first| &first.event)
        else {
            return Ok(Ok(String::new()));
        };
        let census = log.census(row.id).await?;
        let stages = stages(log, created, &row.summary, &census).await?;
        Ok(Waves { stages }.render())
    }

    async fn timeline(&self) -> Result<askama::Result<String>, LogError> {
        let mut lines = Vec::new();
        if self.row.is_some() {
            let events = self.app.desk.latest(self.deploy.id, self.before, PAGE_EVENTS + 1).await?;
            lines = events.into_iter().map(Line::of).collect();
        }
        let more = lines.len() > PAGE_EVENTS;
        lines.truncate(PAGE_EVENTS);
        let earlier = lines.last().filter(|_| more).map(|line| line.position);
        let lines = lines.into_iter().map(|line| Told {
            at: line.at.0,
            when: moment(line.at),
            tenant: line.tenant.map(|of| (of.to_string(), in_url(of.as_str()))),
            what: line.what,
            by: line.by.to_string(),
        });
        Ok(Timeline { id: self.deploy.id, lines: lines.collect(), earlier, paged: self.before.is_some() }.render())
    }

    async fn reports(&self) -> Result<askama::Result<String>, LogError> {
        let end = if self.row.is_some() { self.app.log.end(self.deploy.id).await? } else { 0 };
        let reports = self.app.desk.reports(self.deploy.id).await?;
        Ok(Reports { reports: reports.iter().map(|of| told(of, end)).collect() }.render())
    }

    /// All parts but those that are left out.
    pub(super) async fn parts(&self, without: &[&str]) -> Result<Vec<Part>, Problem> {
        let mut parts = Vec::with_capacity(PARTS.len());
        for name in PARTS.into_iter().filter(|name| !without.contains(name)) {
            parts.extend(self.part(name).await?);
        }
        Ok(parts)
    }
}

/// The tenants of an account by state.
fn counts(account: &Account) -> Bar {
    Bar::of(account.census.iter().map(|(status, count)| (*status, *count)))
}

/// What was asked for, in words.
pub(super) fn asked_words(what: &What) -> String {
    match what {
        What::Deploy { revision: Some(revision), .. } => format!("revision {revision}"),
        What::Deploy { release: Some(release), .. } => format!("release {}", release.short()),
        What::Deploy { .. } => "a release".to_owned(),
        What::Rollback { of, .. } => format!("rollback of deploy {of}"),
    }
}

/// What became of a request that is no deploy, in words.
pub(super) fn settled_words(settled: Option<&Settled>) -> String {
    match settled {
        None => {
            "It is durable, and begins when the deploys before it have ended and its release has been found.".to_owned()
        }
        Some(Settled::Created) => "It is about to begin.".to_owned(),
        Some(Settled::Same { .. }) => "It turned out to be what another deploy does.".to_owned(),
        Some(Settled::NothingToDo { tenants, .. }) => {
            format!("Nothing was done: all {} tenants were on the release already.", number(*tenants))
        }
        Some(Settled::Refused { .. }) => "It was refused, and nothing was touched.".to_owned(),
        Some(Settled::Cancelled { actor, reason }) => {
            format!("{} called it off before it began: {reason}", actor_words(actor))
        }
    }
}

/// Why a request was refused.
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) page: String,
    pub(super) message: String,
    pub(super) next: Option<String>,
    pub(super) tenants: Vec<(String, Code, String)>,
}

/// Why a request was refused, where it was.
pub(super) fn refusal(settled: Option<&Settled>) -> Option<Refusal> {
    let Some(Settled::Refused { code, message, next, tenants }) = settled else { return None };
    let tenants = tenants.iter().map(|(tenant, code, message)| (tenant.to_string(), *code, message.clone())).collect();
    Some(Refusal { code: *code, page: page_of(*code), message: message.clone(), next: next.clone(), tenants })
}

fn told(report: &Report, end: u64) -> Receiver {
    let state = match report.state {
        ReportState::Open if report.error.is_some() => "failing",
        ReportState::Open => "open",
        ReportState::Done => "done",
        ReportState::GivenUp => "given up",
    };
    Receiver {
        target: HowFar::of(report).to,
        state,
        bad: report.error.is_some() && report.state != ReportState::Done,
        told_all: report.position >= end,
        attempts: report.attempts,
        next_at: (report.state == ReportState::Open && report.error.is_some()).then(|| moment(report.next_at)),
        error: report.error.clone(),
    }
}

#[derive(Template)]
#[template(path = "parts/headline.html")]
struct Headline<'a> {
    id: DeployId,
    fleet: &'a str,
    mark: Mark,
    what: String,
    says: String,
    cause: Option<String>,
    refusal: Option<Refusal>,
    same: Option<DeployId>,
    trouble: Option<(Code, String, String, String)>,
    by: String,
    set_off: String,
    workflow: String,
    since: Option<(i64, String)>,
    ended: Option<(i64, String)>,
    seal: Option<String>,
    next: Option<String>,
    bar: Option<Bar>,
}

/// What an operator may say here, with a form each.
#[derive(Template)]
#[template(path = "parts/commands.html")]
pub(super) struct Commands<'a> {
    pub(super) id: DeployId,
    pub(super) csrf: &'a str,
    pub(super) offered: Vec<Command>,
    pub(super) tenant: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "parts/cells.html")]
struct Grid {
    tenants: String,
    one: bool,
    unchanged: Option<String>,
    legend: BTreeMap<TenantStatus, String>,
    cells: Vec<Cell>,
    size: &'static str,
    per_cell: Option<String>,
}

#[derive(Template)]
#[template(path = "parts/failures.html")]
struct Failures {
    id: DeployId,
    groups: Vec<Group>,
}

/// Tenants that failed for the same cause.
struct Group {
    code: Code,
    title: &'static str,
    page: String,
    message: String,
    count: String,
    one: bool,
    tenants: Vec<(String, String)>,
    more: u64,
}

#[derive(Template)]
#[template(path = "parts/waves.html")]
struct Waves {
    stages: Vec<Stage>,
}

#[derive(Template)]
#[template(path = "parts/timeline.html")]
struct Timeline {
    id: DeployId,
    lines: Vec<Told>,
    earlier: Option<u64>,
    paged: bool,
}

/// An event.
struct Told {
    at: i64,
    when: String,
    tenant: Option<(String, String)>,
    what: String,
    by: String,
}

#[derive(Template)]
#[template(path = "parts/reports.html")]
struct Reports {
    reports: Vec<Receiver>,
}

/// Somebody who is told.
struct Receiver {
    target: String,
    state: &'static str,
    bad: bool,
    told_all: bool,
    attempts: u32,
    next_at: Option<String>,
    error: Option<String>,
}
