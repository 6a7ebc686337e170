//! What lies before the steps of a tenant: how each try of an act, an undo and a look for evidence goes.

use crate::saga::failure::ErrorClass;
use crate::saga::retry::RetryPolicy;

/// Where a run's choices come from.
pub trait Choose {
    /// One of `0..of`. Zero is the quiet choice.
    fn pick(&mut self, of: usize) -> usize;
}

/// Goes through every sequence of choices, in the manner of an odometer: the last choice moves first.
#[derive(Default)]
pub struct Odometer {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Odometer {
    /// Sets up the next run; false after the last.
    pub fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((taken, of)) = self.taken.pop() {
            if taken + 1 < of {
                self.taken.push((taken + 1, of));
                return true;
            }
        }
        false
    }
}

impl Choose for Odometer {
    fn pick(&mut self, of: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        let (taken, was_of) = self.taken[self.at];
        assert_eq!(of, was_of, "a run is a function of its choices");
        self.at += 1;
        taken
    }
}

/// How an act, an undo or a look for evidence goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// At the first try.
    Works,
    /// A transient failure, then it works.
    WorksSecond,
    /// A failure for good.
    Fails,
    /// A transient failure, however often it is tried.
    Tires,
}

/// What is drawn from, unless something else is said.
pub const ANY: &[Fate] = &[Fate::Works, Fate::WorksSecond, Fate::Fails];
/// Nothing goes wrong.
pub const WORKS: &[Fate] = &[Fate::Works];
/// Never a failure for good, and tries that run out.
pub const TIRING: &[Fate] = &[Fate::Works, Fate::WorksSecond, Fate::Tires];

/// A fate, drawn when it is first met, and how often it was.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// From which it is drawn.
    pub of: &'static [Fate],
    pub fate: Option<Fate>,
    pub met: u32,
    /// A human has removed the cause: it works from now on, whatever it did before.
    pub mended: bool,
    /// It has worked, and is not met again.
    pub passed: bool,
}

impl Default for Draw {
    fn default() -> Self {
        Self { of: ANY, fate: None, met: 0, mended: false, passed: false }
    }
}

impl Draw {
    /// One try: `Err` says of what kind the failure is.
    pub fn meet(&mut self, choose: &mut dyn Choose) -> Result<(), ErrorClass> {
        if self.mended {
            return Ok(());
        }
        let fate = *self.fate.get_or_insert_with(|| self.of[choose.pick(self.of.len())]);
        self.met += 1;
        match fate {
            Fate::WorksSecond if self.met > 1 => Ok(()),
            Fate::WorksSecond | Fate::Tires => Err(ErrorClass::Transient),
            Fate::Works => Ok(()),
            Fate::Fails => Err(ErrorClass::Permanent),
        }
    }

    /// The same for something that is not asked for again once it has worked. A worker that died may have met it once more than its log
    /// says, so each of `deaths` allows for one.
    pub fn meet_until_it_works(&mut self, deaths: u32, choose: &mut dyn Choose) -> Result<(), ErrorClass> {
        let end = self.meet(choose);
        let due = match self.fate {
            Some(Fate::Works | Fate::Fails) => 1,
            Some(Fate::WorksSecond) => 2,
            Some(Fate::Tires) => RetryPolicy::default().attempts,
            None => 0,
        };
        assert!(self.met <= due + deaths, "tried {} times where {:?} is due", self.met, self.fate);
        self.passed |= end.is_ok();
        end
    }

    /// Forgets what was drawn.
    pub fn forget(&mut self) {
        *self = Self { of: self.of, ..Self::default() };
    }
}

/// What lies before one step.
#[derive(Debug, Clone, Default)]
pub struct Luck {
    /// Its statements, or the step as a whole.
    pub acts: Vec<Draw>,
    pub undos: Vec<Draw>,
    pub look: Draw,
    /// The session of a further try, where statements are in effect already.
    pub reach: Draw,
}

impl Luck {
    pub fn of(commits: u32) -> Self {
        let draws = vec![Draw::default(); commits.max(1) as usize];
        Self { acts: draws.clone(), undos: draws, ..Self::default() }
    }
}
