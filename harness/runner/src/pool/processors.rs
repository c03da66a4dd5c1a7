//! Which processor a test runs on.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The processors that tests may use, and how many tests each has.
#[derive(Debug)]
pub(super) struct Processors {
    numbers: Vec<usize>,
    tests: Vec<usize>,
    next: usize,
}

/// How many were made in this process: threads that run one test each begin at different processors.
static MADE: AtomicUsize = AtomicUsize::new(0);

impl Processors {
    /// From a list that is not empty.
    pub(super) fn new(numbers: Vec<usize>) -> Self {
        // Processes that run one test each do so as well; nextest counts them.
        let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok().and_then(|slot| slot.parse().ok());
        let slot = slot.unwrap_or_else(|| std::process::id() as usize);
        let next = slot.wrapping_add(MADE.fetch_add(1, Ordering::Relaxed)) % numbers.len();
        Processors { tests: vec![0; numbers.len()], numbers, next }
    }

    /// The one with the fewest tests, for one that counts for so many; among equals, in turn.
    pub(super) fn take(&mut self, weight: usize) -> usize {
        let turn = |at: &usize| (at + self.numbers.len() - self.next) % self.numbers.len();
        let best = (0..self.numbers.len()).min_by_key(|at| (self.tests[*at], turn(at))).unwrap_or(0);
        self.tests[best] += weight;
        self.next = (best + 1) % self.numbers.len();
        self.numbers[best]
    }

    /// A test on it is over.
    pub(super) fn give_back(&mut self, number: usize, weight: usize) {
        if let Some(at) = self.numbers.iter().position(|own| *own == number) {
            self.tests[at] = self.tests[at].saturating_sub(weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Processors;

    #[test]
    fn tests_are_spread_and_the_free_processor_comes_first() {
        let mut processors = Processors { numbers: vec![3, 5, 9], tests: vec![0; 3], next: 1 };
        assert_eq!([(); 4].map(|()| processors.take(1)), [5, 9, 3, 5]);
        processors.give_back(9, 1);
        assert_eq!(processors.take(2), 9);
        assert_eq!([(); 3].map(|()| processors.take(1)), [3, 5, 9]);
    }
}
