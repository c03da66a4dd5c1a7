//! From many breaks that make a test fail to few: delta debugging (Zeller, Hildebrandt: Simplifying and Isolating
//! Failure-Inducing Input, 2002), without a clock and without the test.

#[cfg(test)]
mod tests;

/// The search for the fewest of some things that still do it.
///
/// Ask [`Shrink::candidate`], try it, and tell [`Shrink::tried`]; until there is no candidate any more. The result is minimal
/// in that none of it can be left out alone.
#[derive(Debug, Clone)]
pub struct Shrink<T> {
    /// The fewest that are known to do it.
    least: Vec<T>,
    /// How many are left out at a time.
    chunk: usize,
    /// The first that is left out now.
    at: usize,
    /// Whether anything was left out since chunks became so small.
    smaller: bool,
}

impl<T: Clone> Shrink<T> {
    /// All of these together do it.
    pub fn new(all: Vec<T>) -> Self {
        let chunk = all.len().div_ceil(2);
        Shrink { least: all, chunk, at: 0, smaller: false }
    }

    /// The fewest so far.
    pub fn least(&self) -> &[T] {
        &self.least
    }

    /// What is to be tried next.
    pub fn candidate(&self) -> Option<Vec<T>> {
        (self.chunk > 0 && self.at < self.least.len()).then(|| {
            let end = (self.at + self.chunk).min(self.least.len());
            [&self.least[..self.at], &self.least[end..]].concat()
        })
    }

    /// What was tried does it as well, or it does not.
    pub fn tried(&mut self, does_it: bool) {
        let Some(candidate) = self.candidate() else { return };
        if does_it {
            self.least = candidate;
            self.smaller = true;
        } else {
            self.at += self.chunk;
        }
        if self.at < self.least.len() {
            return;
        }
        // Once around. One at a time goes around until nothing can be left out any more.
        let again = self.chunk == 1 && self.smaller;
        self.chunk = if again { 1 } else { self.chunk / 2 }.min(self.least.len());
        (self.at, self.smaller) = (0, false);
    }
}
