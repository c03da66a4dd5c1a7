//! What is left to chance: each run takes one way at every fork, until all have been taken.

/// The ways taken at the forks of a run, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Choices {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    /// Which of `ways` to go at the next fork; there is at least one.
    pub(super) fn choose(&mut self, ways: usize) -> usize {
        let at = self.at;
        self.at += 1;
        match self.taken.get(at) {
            Some((way, _)) => *way,
            None => {
                self.taken.push((0, ways));
                0
            }
        }
    }

    /// Prepares the next run; `false` when there is none.
    pub(super) fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((way, ways)) = self.taken.pop() {
            if way + 1 < ways {
                self.taken.push((way + 1, ways));
                return true;
            }
        }
        false
    }
}
