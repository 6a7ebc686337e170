//! What the storm draws: one sequence of numbers from one seed.

use std::time::Duration;

/// A source of numbers (SplitMix64): the same seed gives the same ones on every machine.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `least` to `most`, both included.
    pub(super) fn between(&mut self, least: usize, most: usize) -> usize {
        least + usize::try_from(self.next() % u64::try_from(most - least + 1).unwrap()).unwrap()
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.between(0, of.len() - 1)]
    }

    /// A time of so many milliseconds.
    pub(super) fn millis(&mut self, least: usize, most: usize) -> Duration {
        Duration::from_millis(u64::try_from(self.between(least, most)).unwrap())
    }

    pub(super) fn shuffled<T>(&mut self, mut of: Vec<T>) -> Vec<T> {
        for at in (1..of.len()).rev() {
            of.swap(at, self.between(0, at));
        }
        of
    }
}
