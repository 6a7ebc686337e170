//! One deploy through the storm: its workers, what befalls them, and how it is brought to an end afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::cause::{self, Known};
use super::chronicle::{Chronicle, Count};
use super::crew::{Crew, Ended, Part};
use super::dice::Dice;
use super::faults::{Deck, Storm};
use super::fleet::{Fleet, Sight};
use super::judge::{Case, Way, newest, stuck};
use super::release::{ANTIDOTE, Kind, POISON};
use super::servers::{Engine, Servers};
use crate::support::oracle::Account;

/// How often the course looks about.
const TICK: Duration = Duration::from_millis(15);
/// How long the workers that are left may take when nothing disturbs them any more, and how long one that is started then.
const ENDS_WITHIN: Duration = Duration::from_mins(2);
/// How often a human says that stuck tenants are to be tried again, before they decide.
const HOPES_MAX: usize = 3;
/// How often the deploy is taken up again in all, when nothing disturbs it.
const RESUMES_MAX: usize = 12;

/// What is drawn of one deploy before it begins.
#[derive(Debug)]
pub(super) struct Draw {
    way: Way,
    workers: usize,
    faults: usize,
    /// The tenant that refuses the release.
    poisoned: Option<String>,
    patient: bool,
}

/// A fleet on its way from deploy to deploy.
pub(super) struct Course {
    pub(super) fleet: Fleet,
    sights: BTreeMap<String, Sight>,
    calm: BTreeMap<Engine, Sight>,
    /// The migrations that the newest deploy brought, if it can be rolled back.
    brought: Option<Vec<usize>>,
    deploys: i64,
}

impl Course {
    /// A fleet with its first migrations in force.
    pub(super) async fn found(mut fleet: Fleet, servers: &Servers, dice: &mut Dice) -> Self {
        fleet.extend(1, None, dice);
        fleet.run(&["deploy", "--workflow", "patient"]).ends_with(0);
        fleet.run_calm(&["deploy"]).ends_with(0);
        fleet.in_force = fleet.migrations.len();
        let (sights, calm) = (fleet.sights(servers).await, fleet.calm_sights(servers).await);
        Self { fleet, sights, calm, brought: None, deploys: 1 }
    }

    fn draw(&mut self, faults_most: usize, dice: &mut Dice) -> Draw {
        let way = if self.brought.is_some() && dice.chance(60) { Way::Rollback } else { Way::Forward };
        let fails = way == Way::Forward && dice.chance(25);
        if way == Way::Forward {
            let count = dice.between(2, 5);
            let strict_at = fails.then(|| dice.between(1, count - 1));
            self.fleet.extend(count, strict_at, dice);
        }
        let has_strict =
            self.fleet.migrations[self.fleet.in_force..].iter().any(|migration| migration.kind == Kind::Strict);
        let poisoned = (fails && has_strict).then(|| dice.pick(&self.fleet.tenants).name.clone());
        Draw {
            way,
            workers: dice.between(1, 4),
            faults: dice.between(3, faults_most),
            poisoned,
            patient: dice.chance(85),
        }
    }

    /// Deploys once, through the storm, and judges where it has come to.
    pub(super) async fn deploy(
        &mut self,
        servers: &Servers,
        deck: &mut Deck,
        faults_most: usize,
        chronicle: &Chronicle,
        dice: &mut Dice,
    ) {
        let draw = self.draw(faults_most, dice);
        let names: Vec<&str> =
            self.fleet.migrations[self.fleet.in_force..].iter().map(|migration| migration.name.as_str()).collect();
        chronicle.tell(format!("{}: {draw:?} {names:?}", self.fleet.name));
        if let Some(tenant) = &draw.poisoned {
            self.inoculate(tenant, POISON, servers).await;
        }
        let mut crew = Crew::new(self.fleet.project.at(&format!("said/{:03}", self.deploys)), chronicle.clone());
        let mut storm = Storm::over(&self.fleet, servers, chronicle.clone());
        let mut pilot = Pilot { course: self, draw: &draw, chronicle };
        pilot.through(&mut storm, deck, &mut crew, dice).await;
        let unwinding = storm.unwinding;
        storm.end().await;
        chronicle.tell("calm");
        let outcome = pilot.home(&mut crew, dice).await;
        drop(crew);
        self.arrive(&draw, outcome.as_deref(), unwinding, servers, chronicle, dice).await;
    }

    async fn inoculate(&mut self, tenant: &str, sql: &str, servers: &Servers) {
        let at = self.fleet.tenants.iter().find(|of| of.name == tenant).unwrap();
        at.execute(servers, sql).await;
        self.sights.insert(tenant.to_owned(), at.sight(servers).await);
    }

    /// Counts an end, with what turned the deploy if anything did. That must have been something that the log and the storm agree on.
    async fn is_understood(&self, draw: &Draw, outcome: &str, unwind_was_said: bool, chronicle: &Chronicle) {
        let way = if draw.way == Way::Rollback { "rollback" } else { "deploy" };
        chronicle.tell(format!("{} has ended: {way} {outcome}", self.fleet.name));
        let account = Account::read(&self.fleet.log()).await;
        let known = Known { poisoned: draw.poisoned.as_deref(), patient: draw.patient, unwind_was_said };
        let turned = cause::of_turn(&account, known);
        let why = match &turned {
            Some(Ok(reason)) => format!(": {reason}"),
            Some(Err(misfit)) => {
                chronicle.find(format!("{}: {misfit}", self.fleet.name));
                String::new()
            }
            None => String::new(),
        };
        chronicle.count(Count::Deploys, format!("{way} {outcome}{why}"), 1);
        chronicle.count(Count::Checks, "stuck tenants that an operator's retry took up", cause::retried(&account));
        if outcome == "completed" && draw.poisoned.is_some() {
            chronicle.find("completed, with a tenant that cannot have taken it");
        }
        if turned.is_some() != (outcome == "unwound") {
            chronicle.find(format!("{way} {outcome}, and its log says of a turn: {turned:?}"));
        }
    }

    /// Judges, and takes note of where the fleet is now.
    async fn arrive(
        &mut self,
        draw: &Draw,
        outcome: Option<&str>,
        unwinding: bool,
        servers: &Servers,
        chronicle: &Chronicle,
        dice: &mut Dice,
    ) {
        let Some(outcome) = outcome else {
            chronicle.find(format!("{}: the deploy has not ended", self.fleet.name));
            return;
        };
        self.is_understood(draw, outcome, unwinding, chronicle).await;
        if outcome == "completed" {
            let words: &[&str] = if draw.way == Way::Rollback { &["rollback", "latest"] } else { &["deploy"] };
            self.fleet.run_calm(words).ends_with(0);
            self.calm = self.fleet.calm_sights(servers).await;
        }
        let moved: Vec<usize> = match (&draw.way, &self.brought) {
            (Way::Rollback, Some(brought)) => brought.clone(),
            _ => self.fleet.migrations[self.fleet.in_force..].iter().map(|migration| migration.number).collect(),
        };
        let counting = |number: &usize| {
            self.fleet.migrations.iter().any(|migration| migration.number == *number && migration.kind != Kind::Pair)
        };
        let counted: Vec<usize> = moved.iter().copied().filter(counting).collect();
        let case = Case {
            fleet: &self.fleet,
            servers,
            way: draw.way,
            counted: &counted,
            before: &self.sights,
            target: &self.calm,
            outcome,
        };
        self.sights = case.judge(chronicle).await;
        self.deploys += 1;
        for status in Account::read(&self.fleet.log()).await.statuses.values() {
            chronicle.count(Count::Tenants, status.clone(), 1);
        }
        self.brought = None;
        match (draw.way, outcome) {
            (Way::Forward, "completed") => {
                self.fleet.in_force = self.fleet.migrations.len();
                self.brought = Some(moved);
            }
            (Way::Rollback, "completed") => self.fleet.in_force -= moved.len(),
            _ => {}
        }
        if let Some(tenant) = &draw.poisoned {
            self.inoculate(tenant, ANTIDOTE, servers).await;
        }
        // What did not stay is tried again with the next release, or dropped.
        if dice.chance(60) {
            self.fleet.withdraw();
        }
    }
}

/// Sees one deploy to its end.
struct Pilot<'a> {
    course: &'a Course,
    draw: &'a Draw,
    chronicle: &'a Chronicle,
}

impl Pilot<'_> {
    /// What takes the deploy up as things stand: the command that begins it, as long as the log has not got it.
    fn words(&self, begun: bool) -> Vec<&'static str> {
        let workflow = if self.draw.patient { "patient" } else { "impatient" };
        match (begun, self.draw.way) {
            (true, _) => vec!["resume"],
            (false, Way::Forward) => vec!["deploy", "--workflow", workflow],
            (false, Way::Rollback) => vec!["rollback", "latest", "--workflow", workflow],
        }
    }

    fn start(&self, crew: &mut Crew, begun: bool, doom: Option<&mut Dice>) {
        let words = self.words(begun);
        if begun {
            self.chronicle.count(Count::Checks, "times that a deploy was taken up again", 1);
        }
        crew.start(Part::Worker, self.course.fleet.command(&words), words[0], doom);
    }

    /// Whether the deploy is in the log, and how it ended, if it has.
    async fn standing(&self) -> (bool, Option<String>) {
        match newest(&self.course.fleet.log()).await {
            Some((deploys, outcome)) if deploys > self.course.deploys => (true, outcome),
            _ => (false, None),
        }
    }

    /// Keeps workers at it, and does to them what the deck says.
    async fn through(&mut self, storm: &mut Storm<'_>, deck: &mut Deck, crew: &mut Crew, dice: &mut Dice) {
        let mut starts = vec![Instant::now()];
        let (mut joined, mut waits) = (false, false);
        let mut next = Instant::now() + dice.millis(0, 500);
        let mut faults = 0;
        while faults < self.draw.faults || !storm.is_over() || crew.anybody_sleeps() {
            tokio::time::sleep(TICK).await;
            storm.clear(false);
            crew.wake();
            let (begun, outcome) = self.standing().await;
            if outcome.is_some() {
                return;
            }
            if begun && !joined {
                // The others come as soon as there is something to do for them.
                joined = true;
                starts.extend((1..self.draw.workers).map(|_| Instant::now() + dice.millis(0, 300)));
            }
            let ended = crew.reap();
            let gone = ended.iter().filter(|ended| ended.part == Part::Worker).count();
            waits |= ended.iter().any(|ended| ended.code == Some(5) && ended.said.contains("waits for a human"));
            let wanted = self.draw.workers.saturating_sub(crew.workers() + starts.len());
            starts.extend((0..gone.min(wanted)).map(|_| Instant::now() + dice.millis(0, 400)));
            let due = starts.extract_if(.., |at| *at <= Instant::now()).count();
            for _ in 0..due {
                if std::mem::take(&mut waits) && dice.chance(50) {
                    crew.start(Part::Worker, self.course.fleet.command(&["retry"]), "retry", None);
                    continue;
                }
                let doom = if dice.chance(25) { Some(&mut *dice) } else { None };
                self.start(crew, begun, doom);
            }
            if faults < self.draw.faults && next <= Instant::now() && crew.workers() > 0 {
                // What cannot begin cannot be disturbed, so most of it waits for that.
                if !begun && !dice.chance(20) {
                    next = Instant::now() + dice.millis(20, 300);
                    continue;
                }
                storm.strike(deck, crew, begun, dice);
                faults += 1;
                next = Instant::now() + dice.millis(20, 600);
            }
        }
    }

    /// Nothing disturbs it any more: it has to come to its end.
    async fn home(&mut self, crew: &mut Crew, dice: &mut Dice) -> Option<String> {
        self.until_all_have_ended(crew).await;
        let mut hopes = 0;
        for _ in 0..RESUMES_MAX {
            let (begun, outcome) = self.standing().await;
            if outcome.is_some() {
                return outcome;
            }
            self.start(crew, begun, None);
            let ended = self.until_all_have_ended(crew).await;
            if ended.iter().any(|ended| ended.code == Some(5)) {
                self.decide(crew, &mut hopes, dice).await;
            } else if let Some(ended) = ended.iter().find(|ended| ended.code == Some(1)) {
                self.chronicle.find(format!("refused in calm weather: {}: {}", ended.words, ended.said));
                return None;
            }
        }
        self.standing().await.1
    }

    async fn until_all_have_ended(&self, crew: &mut Crew) -> Vec<Ended> {
        let deadline = Instant::now() + ENDS_WITHIN;
        let mut ended = Vec::new();
        loop {
            crew.wake();
            ended.extend(crew.reap());
            if crew.is_empty() {
                return ended;
            }
            if Instant::now() > deadline {
                crew.give_up();
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// A human looks at what is stuck. At first they hope.
    async fn decide(&self, crew: &mut Crew, hopes: &mut usize, dice: &mut Dice) {
        let stuck = stuck(&self.course.fleet.log()).await;
        if stuck.is_empty() {
            return;
        }
        *hopes += 1;
        for (tenant, over) in &stuck {
            self.chronicle.tell(format!("stuck: {tenant} {over}"));
            if self.draw.patient {
                self.chronicle.find(format!("{tenant} is stuck, although there were tries enough: {over}"));
            }
        }
        if *hopes <= HOPES_MAX {
            self.chronicle.count(Count::Human, "retry, of tenants for which three tries had not been enough", 1);
            crew.start(Part::Worker, self.course.fleet.command(&["retry", "--reason", "it is calm"]), "retry", None);
        } else {
            let (tenant, over) = dice.pick(&stuck);
            self.chronicle.find(format!("{tenant} stays stuck in calm weather: {over}"));
            self.chronicle.count(Count::Human, "resolve", 1);
            let words = ["resolve", tenant, "--as", "undone", "--reason", "a guess"];
            crew.start(Part::Worker, self.course.fleet.command(&words), "resolve", None);
        }
        self.until_all_have_ended(crew).await;
    }
}
