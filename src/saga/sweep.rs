//! The sweep: every small deploy × everything that can go wrong in it × a turn at every moment × a pause at every moment, ended at every
//! later one × a death at every moment, each carried on to its end, and every end held against those that are reached without a death
//! and without a pause.
//! Exhaustive, and counted: `docs/reliability/sweep.md` has the numbers and the command that repeats them.
//!
//! "At every moment" is literal: between any two small steps of the model in [`super::sim`], so before and after each append, between what
//! the database did and its append, and between two statements of a step that commit one by one. What a group commit writes at once
//! is written event by event here, so every prefix is tried, also those that a real log never ends in.
//!
//! What is folded, and why that leaves nothing out:
//!
//! - *Plans.* The machine reads a plan in its one order of steps, in which each needs only earlier ones. So the graphs over steps 0 to n - 1
//!   with edges from lower to higher numbers are all the plans of n steps there are, up to the names of the steps: 1, 2, 8, 64 and
//!   1024 of them. Graphs that are isomorphic and come in another order are tried all the same.
//! - *Fates* are drawn when they are first met. A run in which a step was never undone stands for all worlds that differ in how that would have
//!   gone.
//! - *Equal states.* What the machines, workers and databases do next is a function of the state that [`Fleet::mark`] writes down: of
//!   states with equal marks one is carried on, and how many courses lead from it is counted and not walked again. That makes every
//!   prefix cheap: most of what a recovery leads to has been seen.
//! - *Tenants* that differ in nothing but their order are interchangeable.

mod ends;
mod families;
mod offers;
mod report;
mod tests;

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::ends::{End, Ends};
use super::sim::{Fleet, Memory, Odometer};
use super::summary::TenantStatus;

/// What a search tries, beside everything that can go wrong in a database.
#[derive(Debug, Clone, Copy)]
struct Reach {
    /// How often the worker of each tenant dies.
    deaths: &'static [u32],
    /// How many decisions a human takes about stuck steps.
    decisions: u32,
    /// Whether somebody turns the deploy by hand, at any moment.
    by_hand: bool,
    /// Whether somebody pauses the deploy, at any moment, and lets it go on at any later one.
    pauses: bool,
    order: Order,
    memory: Memory,
}

/// Who moves when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Everybody at any time: every interleaving.
    Any,
    /// Every interleaving of two tenants that matters. They reach each other only through the deploy's row and the census
    /// ([`super::sim::Tenant::step`] takes the one, `DeployState::next` the other), so moves of the two commute until the deploy
    /// moves: it is enough that the second stands still at each of its moments in turn, while the first goes to its end or as far as
    /// it is let, and the deploy after it; then the second goes on, and the first only where the second cannot.
    SecondStops,
    /// The same after the second has stopped.
    FirstGoes,
    SecondGoesOn,
}

/// How many courses lead from a state to an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Courses {
    undisturbed: u128,
    /// With one death or more.
    recovered: u128,
}

impl AddAssign for Courses {
    fn add_assign(&mut self, other: Self) {
        // Of two tenants in every interleaving there are too many to count.
        self.undisturbed = self.undisturbed.saturating_add(other.undisturbed);
        self.recovered = self.recovered.saturating_add(other.recovered);
    }
}

/// What a search, or several, went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    deploys: u64,
    /// Different states of log, databases and workers, each carried on once.
    states: u64,
    prefixes: u64,
    /// Those of them from which a worker that knew nothing but the log came to an end, in every way that could follow.
    recovered: u64,
    /// In them, the deaths of a worker: before an append, after it, and between what the database did and its append.
    deaths: [u64; 3],
    courses: Courses,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.deploys += other.deploys;
        self.states += other.states;
        self.prefixes += other.prefixes;
        self.recovered += other.recovered;
        self.deaths.iter_mut().zip(other.deaths).for_each(|(deaths, other)| *deaths += other);
        self.courses += other.courses;
    }
}

/// A deploy in the middle of a course.
#[derive(Clone)]
struct Node<'p> {
    fleet: Fleet<'p>,
    decisions: u32,
    turned_by_hand: bool,
    /// It is paused, or was.
    paused: bool,
    order: Order,
}

/// What a worker of one tenant can read in the log: which tenant, its fold, and the deploy's row.
type Prefix = (usize, Vec<u8>);

/// Goes through all courses of one deploy.
struct Search {
    reach: Reach,
    /// Tenants can be told apart by their order only.
    alike: bool,
    /// What was found from each state; none while it is being looked at.
    seen: HashMap<Vec<u8>, Option<Courses>>,
    /// The rests of a tenant at which the fold has been offered everything.
    offered: HashSet<Vec<u8>>,
    deaths: [u64; 3],
    /// What was in the log at some moment at which the tenant's worker could die.
    prefixes: HashSet<Prefix>,
    /// What was in the log when no worker had the tenant, and all that followed has ended well.
    recovered: HashSet<Prefix>,
    ends: Ends,
}

impl Search {
    fn new(reach: Reach, alike: bool) -> Self {
        Self {
            reach,
            alike,
            seen: HashMap::new(),
            offered: HashSet::new(),
            deaths: [0; 3],
            prefixes: HashSet::new(),
            recovered: HashSet::new(),
            ends: Ends::new(alike),
        }
    }

    /// Goes through everything within reach of this fleet, and checks how it ended: how far it came, and what it found.
    fn of(fleet: Fleet<'_>, reach: Reach, alike: bool) -> (Count, Option<String>) {
        let mut search = Self::new(reach, alike);
        let end = catch_unwind(AssertUnwindSafe(|| {
            let courses = search.from(fleet);
            search.ends.check();
            courses
        }));
        let count = search.count(end.as_ref().copied().unwrap_or_default());
        match end {
            Err(panic) => (count, Some(said(&*panic))),
            Ok(_) if count.recovered != count.prefixes => (count, Some("a prefix was not recovered from".to_owned())),
            Ok(_) => (count, None),
        }
    }

    fn count(&self, courses: Courses) -> Count {
        Count {
            deploys: 1,
            states: self.seen.len() as u64,
            prefixes: self.prefixes.len() as u64,
            recovered: self.prefixes.intersection(&self.recovered).count() as u64,
            deaths: self.deaths,
            courses,
        }
    }

    fn from(&mut self, fleet: Fleet<'_>) -> Courses {
        self.explore(&Node { fleet, decisions: 0, turned_by_hand: false, paused: false, order: self.reach.order })
    }

    fn explore(&mut self, node: &Node<'_>) -> Courses {
        let mut mark = node.fleet.mark(self.alike, self.reach.memory);
        let by_people = [u8::from(node.turned_by_hand), u8::from(node.paused), u8::try_from(node.decisions).unwrap()];
        mark.extend(by_people.into_iter().chain([node.order as u8]));
        match self.seen.get(&mark) {
            Some(Some(courses)) => return *courses,
            Some(None) => panic!("it goes round in circles: {:?}", node.fleet.census()),
            None => self.seen.insert(mark.clone(), None),
        };
        for tenant in &node.fleet.tenants {
            if tenant.is_asking() && self.offered.insert(tenant.log_mark()) {
                offers::check(tenant);
            }
        }
        let courses = self.moves(node);
        self.seen.insert(mark, Some(courses));
        self.note_prefixes(node);
        courses
    }

    /// Whatever follows here has ended well.
    fn note_prefixes(&mut self, node: &Node<'_>) {
        for ((at, tenant), deaths) in node.fleet.tenants.iter().enumerate().zip(self.reach.deaths) {
            let prefix = || (at, node.fleet.read_mark(at));
            if !tenant.is_held() {
                self.recovered.insert(prefix());
            } else if tenant.deaths < *deaths {
                self.prefixes.insert(prefix());
            }
        }
    }

    fn moves(&mut self, node: &Node<'_>) -> Courses {
        let mut courses = Courses::default();
        let moved = self.own_moves(node, &mut courses) | self.pause(node, &mut courses);
        for (at, deaths) in (0..).zip(self.reach.deaths) {
            let tenant = &node.fleet.tenants[at];
            if let Some(moment) = tenant.moment().filter(|_| tenant.deaths < *deaths) {
                let mut after = node.clone();
                after.fleet.tenants[at].crash();
                self.deaths[moment as usize] += 1;
                let after = self.explore(&after);
                courses += Courses { undisturbed: 0, recovered: after.undisturbed.saturating_add(after.recovered) };
            }
        }
        if self.reach.by_hand && node.fleet.may_turn() {
            let mut after = node.clone();
            after.fleet.turn();
            after.turned_by_hand = true;
            courses += self.explore(&after);
        }
        if !moved {
            courses += self.rest(node);
        }
        courses
    }

    /// What the tenants' workers and the coordinator do by themselves; false where nobody moves.
    fn own_moves(&mut self, node: &Node<'_>, courses: &mut Courses) -> bool {
        match node.order {
            Order::Any => {
                let mut moved = self.coordinate(node, courses);
                for at in 0..node.fleet.tenants.len() {
                    moved |= self.work(node, at, courses);
                }
                moved
            }
            Order::SecondStops => {
                self.coordinate(node, courses);
                self.work(node, 1, courses);
                *courses += self.explore(&Node { order: Order::FirstGoes, ..node.clone() });
                true
            }
            Order::FirstGoes => {
                if !self.coordinate(node, courses) && !self.work(node, 0, courses) {
                    *courses += self.explore(&Node { order: Order::SecondGoesOn, ..node.clone() });
                }
                true
            }
            Order::SecondGoesOn => {
                self.work(node, 1, courses) || self.coordinate(node, courses) || self.work(node, 0, courses)
            }
        }
    }

    /// Somebody pauses the deploy, or lets a paused one go on; false where nothing more would happen without.
    fn pause(&mut self, node: &Node<'_>, courses: &mut Courses) -> bool {
        let is_paused = node.fleet.is_paused();
        if !is_paused && (node.paused || !self.reach.pauses || !node.fleet.may_pause()) {
            return false;
        }
        let mut after = node.clone();
        if is_paused {
            after.fleet.resume();
        } else {
            after.fleet.pause();
        }
        after.paused = true;
        *courses += self.explore(&after);
        is_paused
    }

    /// One small step of a worker, in every way in which it can go.
    fn work(&mut self, node: &Node<'_>, at: usize, courses: &mut Courses) -> bool {
        if !node.fleet.tenants[at].is_wanted(node.fleet.deploy.summary()) {
            return false;
        }
        let mut choices = Odometer::default();
        loop {
            let mut after = node.clone();
            after.fleet.work(at, &mut choices);
            *courses += self.explore(&after);
            if !choices.advance() {
                return true;
            }
        }
    }

    /// One half of a decision: to take it, or to append it.
    fn coordinate(&mut self, node: &Node<'_>, courses: &mut Courses) -> bool {
        if node.fleet.proposal.is_none() && node.fleet.decision().is_none() {
            return false;
        }
        let mut after = node.clone();
        if after.fleet.proposal.is_some() {
            after.fleet.append();
        } else {
            after.fleet.decide();
        }
        *courses += self.explore(&after);
        true
    }

    /// Nobody moves by himself: an end, unless a human decides about a stuck tenant.
    fn rest(&mut self, node: &Node<'_>) -> Courses {
        node.fleet.check_end();
        self.ends.add(End::of(&node.fleet, node.turned_by_hand), &node.fleet, node.paused, self.reach.memory);
        let mut courses = Courses { undisturbed: 1, ..Courses::default() };
        let stuck = |at: &usize| node.fleet.tenants[*at].status() == TenantStatus::Stuck;
        if node.decisions < self.reach.decisions {
            for at in (0..node.fleet.tenants.len()).filter(stuck) {
                let mut choices = Odometer::default();
                loop {
                    let mut after = node.clone();
                    after.decisions += 1;
                    after.fleet.tenants[at].resolve(&mut choices);
                    courses += self.explore(&after);
                    if !choices.advance() {
                        break;
                    }
                }
            }
        }
        courses
    }
}

/// What a failed check said, in its first line.
fn said(panic: &(dyn Any + Send)) -> String {
    let whole = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    whole.and_then(|said| said.lines().next()).unwrap_or("it panicked").to_owned()
}
