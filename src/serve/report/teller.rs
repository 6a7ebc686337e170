//! The one task that sees to it that others are told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use reqwest::Client;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::post::Refused;
use super::story::{Story, What};
use super::tell::{self, Message, Say, Telling, failed};
use super::{Target, story};
use crate::base::limits::{
    KEEPER_PAUSE_MAX, PAGE_DEFAULT, PAGE_MAX, REPORT_CANCEL_WAIT, REPORT_LOOK, REPORT_OPEN_LOOK, REPORT_TIMEOUT,
    REPORTS_AT_ONCE_MAX, REPORTS_LOOKED_AT_MAX, REPORTS_TO_ONE_MAX,
};
use crate::base::{Coded as _, DeployId};
use crate::log::{LogError, Report, ReportState, RequestState, Settled};
use crate::serve::app::App;
use crate::serve::keeper::passes;

/// Events that are read from the log at a time.
const PAGE: usize = 1_000;

/// Tells whoever is to be told, until the server ends; then lets what is being sent be sent.
pub(in crate::serve) async fn tell(app: Arc<App>, client: Client) {
    let mut stop = app.stop.clone();
    let mut teller = Teller::new(app, client);
    let mut pause = REPORT_LOOK;
    while !teller.app.stopping() {
        match teller.round().await {
            Ok(()) => pause = REPORT_LOOK,
            Err(error) => {
                tracing::warn!(%error, "others cannot be told at the moment; trying again");
                pause = (pause * 2).min(KEEPER_PAUSE_MAX);
            }
        }
        tokio::select! {
            () = teller.ended(), if !teller.tasks.is_empty() => {}
            _ = stop.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    let rest = async { while teller.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(REPORT_TIMEOUT, rest).await.is_err() {
        tracing::warn!("somebody is told again by the next server: the answer does not come");
    }
}

/// What is being told: of which deploy, to whom, and over which route.
struct Busy {
    deploy: DeployId,
    target: String,
    route: String,
}

struct Teller {
    app: Arc<App>,
    client: Client,
    tasks: JoinSet<()>,
    busy: HashMap<Id, Busy>,
    /// Stories that are being told, as far as they have been read.
    stories: BTreeMap<DeployId, Story>,
    /// Deploys whose reports were seen to.
    opened: HashSet<DeployId>,
    opened_at: Option<Instant>,
}

impl Teller {
    fn new(app: Arc<App>, client: Client) -> Self {
        Self {
            app,
            client,
            tasks: JoinSet::new(),
            busy: HashMap::new(),
            stories: BTreeMap::new(),
            opened: HashSet::new(),
            opened_at: None,
        }
    }

    /// Waits until something has been told, or could not be.
    async fn ended(&mut self) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.settle(&ended);
        }
    }

    fn settle(&mut self, ended: &Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => {
                tracing::error!(%error, "a defect has ended the telling of somebody; it begins anew");
                error.id()
            }
        };
        self.busy.remove(&id);
    }

    /// Starts telling whatever is due and has room.
    async fn round(&mut self) -> Result<(), LogError> {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.settle(&ended);
        }
        self.open().await?;
        let due = self.app.desk.due_reports(REPORTS_LOOKED_AT_MAX).await?;
        let named: HashSet<DeployId> = due.iter().map(|report| report.deploy).collect();
        self.stories.retain(|deploy, _| named.contains(deploy));
        let mut unreadable = HashMap::new();
        for deploy in &named {
            match self.read(*deploy).await {
                Ok(()) => {}
                Err(error) if passes(&error) => return Err(error),
                // What is wrong with one deploy is no reason to be silent about the others.
                Err(error) => drop(unreadable.insert(*deploy, error)),
            }
        }
        let crowded = due.len() >= REPORTS_LOOKED_AT_MAX;
        for report in due {
            if self.tasks.len() >= REPORTS_AT_ONCE_MAX {
                break;
            }
            match unreadable.get(&report.deploy) {
                Some(error) => {
                    tracing::error!(deploy = %report.deploy, %error, "nobody can be told of this deploy");
                    let refused = Refused::new(format!("its events cannot be read [{}]", error.code()));
                    self.app.desk.note_report(failed(report, &refused, self.app.log.clock().now())).await?;
                }
                None => self.consider(report, crowded).await?,
            }
        }
        Ok(())
    }

    /// Starts telling a report, where there is something to tell and nobody is at it.
    async fn consider(&mut self, report: Report, crowded: bool) -> Result<(), LogError> {
        let Some(target) = Target::read(&report.target) else {
            let error = Some("another version of Windlass has made it".to_owned());
            return self.app.desk.note_report(Report { state: ReportState::GivenUp, error, ..report }).await;
        };
        let route = target.route();
        let same = |busy: &&Busy| busy.deploy == report.deploy && busy.target == report.target;
        if self.busy.values().any(|busy| same(&busy)) {
            return Ok(());
        }
        if self.busy.values().filter(|busy| busy.route == route).count() >= REPORTS_TO_ONE_MAX {
            return self.put_back(report, crowded).await;
        }
        let Some(story) = self.stories.get(&report.deploy) else { return Ok(()) };
        // Another server's, which has webhooks of its own.
        if !story.fleet().is_some_and(|fleet| self.app.fleets.contains_key(fleet)) {
            return self.put_back(report, crowded).await;
        }
        if let Some(other) = same_as(story).filter(|_| !matches!(target, Target::Notify { .. })) {
            // It is told of the other deploy in place of this one, from that one's beginning.
            self.app.desk.open_report(other, &report.target).await?;
            return self.app.desk.note_report(Report { state: ReportState::Done, ..report }).await;
        }
        let message = if target == Target::Traces {
            match story.moments.last().map(|moment| &moment.what) {
                Some(What::Finished { .. }) => None,
                // It never became a deploy: there is nothing to trace.
                Some(What::Settled(_)) => Some(Message { place: story::SETTLED, last: true, say: Say::Nothing }),
                _ => return self.put_back(report, crowded).await,
            }
        } else {
            let url = format!("{}/deploys/{}", self.app.url(), report.deploy);
            match tell::next(story, &report, &target, &self.app.settings, &url) {
                Some(message) => Some(message),
                // What came after the last moment that was told says nothing to this target.
                None if story.is_over() => {
                    let place = story.moments.last().map_or(report.position, |moment| moment.place);
                    Some(Message { place, last: true, say: Say::Nothing })
                }
                None => return self.put_back(report, crowded).await,
            }
        };
        let busy = Busy { deploy: report.deploy, target: report.target.clone(), route };
        let telling = Telling { app: Arc::clone(&self.app), client: self.client.clone(), report, target, message };
        let id = self.tasks.spawn(telling.run()).id();
        self.busy.insert(id, busy);
        Ok(())
    }

    /// There is nothing to tell now. Where more are due than are looked at, it makes room for the others.
    async fn put_back(&self, report: Report, crowded: bool) -> Result<(), LogError> {
        if !crowded {
            return Ok(());
        }
        let next_at = self.app.log.clock().now().plus(REPORT_OPEN_LOOK);
        self.app.desk.note_report(Report { next_at, ..report }).await
    }

    /// Reads on in a story.
    async fn read(&mut self, deploy: DeployId) -> Result<(), LogError> {
        let mut story = self.stories.remove(&deploy).unwrap_or_else(|| Story::new(deploy));
        let read = self.read_on(&mut story).await;
        self.stories.insert(deploy, story);
        read
    }

    async fn read_on(&self, story: &mut Story) -> Result<(), LogError> {
        if story.is_over() {
            return Ok(());
        }
        if story.begun.is_none() {
            // In this order: what is settled as a deploy has one, and one that was called off while it was being created too.
            let request = self.app.desk.request(story.deploy).await?;
            match self.app.log.deploy(story.deploy).await {
                Ok(_) => self.hear(story).await?,
                Err(LogError::DeployUnknown { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(request) = request.filter(|request| !self.may_still_begin(request)) {
                story.asked(request);
            }
            return Ok(());
        }
        self.hear(story).await
    }

    /// Whether a request that was called off may be a deploy in a moment: whoever was creating it could not know.
    fn may_still_begin(&self, request: &crate::log::Request) -> bool {
        request.state == RequestState::Cancelled
            && request.settled_at.is_some_and(|at| {
                let now = self.app.log.clock().now();
                at.believed(now, REPORT_CANCEL_WAIT).until(now) < REPORT_CANCEL_WAIT
            })
    }

    async fn hear(&self, story: &mut Story) -> Result<(), LogError> {
        loop {
            let page = self.app.log.tail(story.deploy, story.read, PAGE).await?;
            for event in &page {
                story.hear(event);
            }
            if page.len() < PAGE || story.is_over() {
                return Ok(());
            }
        }
    }

    /// Sees to it that those who are told of everything are told of what a command began, and of what was asked for before they were
    /// configured and is not over.
    async fn open(&mut self) -> Result<(), LogError> {
        let targets: Vec<String> = Target::standing(&self.app.settings).map(|target| target.text()).collect();
        if targets.is_empty() || self.opened_at.is_some_and(|at| at.elapsed() < REPORT_OPEN_LOOK) {
            return Ok(());
        }
        for fleet in self.app.fleets.keys() {
            // The one that is under way is the newest.
            let deploys = self.app.log.deploys(Some(fleet), PAGE_DEFAULT).await?;
            let of_deploys =
                deploys.iter().filter(|row| row.summary.outcome.is_none() || row.created_at >= self.app.started_at);
            let waiting = self.app.desk.requests(Some(fleet), Some(RequestState::Queued), None, PAGE_MAX).await?;
            let ids = of_deploys.map(|row| row.id).chain(waiting.iter().map(|request| request.id));
            for id in ids.filter(|id| !self.opened.contains(id)).collect::<Vec<_>>() {
                for target in &targets {
                    self.app.desk.open_report(id, target).await?;
                }
                self.opened.insert(id);
            }
        }
        self.opened_at = Some(Instant::now());
        Ok(())
    }
}

/// The deploy that a request turned out to be the same as.
fn same_as(story: &Story) -> Option<DeployId> {
    match story.moments.last().map(|moment| &moment.what) {
        Some(What::Settled(Settled::Same { deploy })) => Some(*deploy),
        _ => None,
    }
}
