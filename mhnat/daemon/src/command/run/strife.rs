//! Another program that keeps changing what is ours: each answer to it would be answered in turn, for ever and with
//! every processor.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// More changes than this in a second, none of which a link has caused, are another program's work against ours.
const MOST: usize = 10;
const SECOND: Duration = Duration::from_secs(1);

/// What others have done to ours of late.
#[derive(Debug, Default)]
pub(super) struct Strife {
    changes: VecDeque<Instant>,
    truce: Option<Instant>,
}

impl Strife {
    /// Takes note of a change that nobody asked for. True if it is one too many: from now on there is a truce.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        self.changes.retain(|it| now.duration_since(*it) < SECOND);
        self.changes.push_back(now);
        let one_too_many = self.changes.len() > MOST && self.truce(now).is_none();
        if one_too_many {
            self.truce = Some(now + SECOND);
        }
        one_too_many
    }

    /// Until when what others do to ours is left as it is, if it is left so. What links do is not.
    pub(super) fn truce(&self, now: Instant) -> Option<Instant> {
        self.truce.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_changes_in_a_second_are_mended_and_the_next_waits() {
        let (mut strife, begun) = (Strife::default(), Instant::now());
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        assert!((0..10).all(|it| !strife.note(at(it * 90))));
        assert_eq!(strife.truce(at(900)), None);
        assert!(strife.note(at(950)));
        assert_eq!(strife.truce(at(951)), Some(at(1950)));
        assert!(!strife.note(at(960)), "told once");
        assert_eq!(strife.truce(at(1950)), None);
    }

    #[test]
    fn changes_that_come_one_by_one_are_no_strife() {
        let (mut strife, begun) = (Strife::default(), Instant::now());
        assert!((0..100).all(|it| !strife.note(begun + Duration::from_millis(it * 100))));
    }
}
