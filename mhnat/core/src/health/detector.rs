//! One target of one leg: whether it answers.
//!
//! The states are those of RFC 5880, 6.2, whose session also needs both directions before it is up. Numbers in a row
//! are counted where that has its timers.
//!
//! ```text
//!              link is well          answered               answered, rise in a row
//!   ┌──────┐ ────────────► ┌──────┐ ────────► ┌──────┐ ─────────────────────────► ┌────┐
//!   │ Idle │               │ Down │ ◄──────── │ Init │                            │ Up │
//!   └──────┘               └──────┘  missed   └──────┘                            └────┘
//!       ▲                      ▲                            missed, fall in a row    │
//!       │                      └─────────────────────────────────────────────────────┘
//!       └── link is lost, from anywhere
//! ```

use std::num::NonZeroU8;

use super::Moment;

/// The state of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its link can carry nothing, and nothing is asked.
    Idle,
    /// It does not answer, or has not been asked yet.
    Down(Lost),
    /// It has answered, but not often enough in a row.
    Init {
        /// So often in a row: at least once, and not `rise` times.
        answered: u8,
        /// Since when it is not up.
        lost: Lost,
    },
    /// It answers.
    Up {
        /// So many questions in a row had no answer, fewer than `fall`.
        missed: u8,
    },
}

/// Since when a target is not up, and whether that is because it did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) since: Moment,
    /// So many questions in a row had no answer; at `fall` it stays, and so it does when an answer comes: then it
    /// says why the target was lost.
    pub(super) missed: u8,
}

/// What happens to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Its link can carry nothing any more.
    LinkLost,
    /// Its link can carry packets.
    LinkWell,
    /// A question was answered.
    Answered,
    /// A question was not answered in time.
    Missed,
}

/// As many in a row as it takes to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) fall: NonZeroU8,
    pub(super) rise: NonZeroU8,
}

impl Phase {
    /// The state after this has happened.
    pub(super) fn next(self, event: Event, limits: Limits, now: Moment) -> Self {
        let (fall, rise) = (limits.fall.get(), limits.rise.get());
        let risen = |answered: u8, lost| {
            if answered >= rise { Self::Up { missed: 0 } } else { Self::Init { answered, lost } }
        };
        match (self, event) {
            (_, Event::LinkLost) | (Self::Idle, Event::Answered | Event::Missed) => Self::Idle,
            (Self::Idle, Event::LinkWell) => Self::Down(Lost { since: now, missed: 0 }),
            (Self::Down(_) | Self::Init { .. } | Self::Up { .. }, Event::LinkWell) => self,
            (Self::Down(lost), Event::Answered) => risen(1, lost),
            (Self::Down(lost), Event::Missed) => Self::Down(lost.once_more(fall)),
            (Self::Init { answered, lost }, Event::Answered) => risen(answered.saturating_add(1), lost),
            (Self::Init { lost, .. }, Event::Missed) => Self::Down(lost.once_more(fall)),
            (Self::Up { .. }, Event::Answered) => Self::Up { missed: 0 },
            (Self::Up { missed }, Event::Missed) if missed.saturating_add(1) < fall => {
                Self::Up { missed: missed.saturating_add(1) }
            }
            (Self::Up { .. }, Event::Missed) => Self::Down(Lost { since: now, missed: fall }),
        }
    }

    /// Whether it answers as often as it should.
    pub(super) const fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// What is known of its not being up, where it is asked at all.
    pub(super) const fn lost(self) -> Option<Lost> {
        match self {
            Self::Down(lost) | Self::Init { lost, .. } => Some(lost),
            Self::Idle | Self::Up { .. } => None,
        }
    }
}

impl Lost {
    fn once_more(self, fall: u8) -> Self {
        Self { missed: self.missed.saturating_add(1).min(fall), ..self }
    }
}
