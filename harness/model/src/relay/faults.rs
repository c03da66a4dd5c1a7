//! What can be wrong with one direction of a link.

use std::{collections::BTreeSet, num::NonZeroU64, time::Duration};

use serde::Serialize;

use super::dice::MILLION;

/// What one direction of a link does to frames. Nothing, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// How long a frame takes.
    pub delay: Duration,
    /// So much less or more than that. No frame overtakes another by it.
    pub jitter: Duration,
    /// Frames that are lost.
    pub loss: Share,
    /// Packets that are lost, by their number since this began, from 1; neighbour discovery and the like do not count.
    pub lose: BTreeSet<u64>,
    /// Frames that arrive twice.
    pub duplicate: Share,
    /// Frames that arrive behind the next one.
    pub reorder: Share,
    /// Frames of which one bit is turned, behind the link's own header.
    pub corrupt: Share,
    /// Bits a second.
    pub rate: Option<NonZeroU64>,
    /// IP packets of more bytes than this vanish without a word.
    pub black_hole: Option<u32>,
}

impl Faults {
    /// Whether all that enters leaves at once.
    pub fn is_none(&self) -> bool {
        // Each is named, so that a new one cannot be forgotten.
        let Faults { delay, jitter, loss, lose, duplicate, reorder, corrupt, rate, black_hole } = self;
        let shares = [loss, duplicate, reorder, corrupt].into_iter().all(|share| *share == Share::NONE);
        let times = delay.is_zero() && jitter.is_zero();
        shares && times && lose.is_empty() && rate.is_none() && black_hole.is_none()
    }

    /// Whether chance has a say in what it does.
    pub fn is_random(&self) -> bool {
        let shares = [self.loss, self.duplicate, self.reorder, self.corrupt];
        shares.into_iter().any(|share| share != Share::NONE && share != Share::ALL) || !self.jitter.is_zero()
    }
}

/// A part of all frames, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Share(u32);

impl Share {
    /// No frame.
    pub const NONE: Share = Share(0);
    /// Every frame.
    pub const ALL: Share = Share(MILLION as u32);

    /// So many millionths; None above all of them.
    pub fn millionths(number: u32) -> Option<Self> {
        (number <= Self::ALL.0).then_some(Share(number))
    }

    /// Whether it holds for a frame whose number, drawn from a million, is this one.
    pub(super) fn hits(self, roll: u32) -> bool {
        roll < self.0
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}
