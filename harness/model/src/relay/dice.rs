//! Chance, from a seed.

/// A sequence of numbers that look random: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
/// 2014), whose state is any number, and of which two sequences that begin at different ones are unrelated.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

/// The increment of SplitMix64: 2^64 by the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Parts of a million.
pub(super) const MILLION: u64 = 1_000_000;

impl Dice {
    /// The sequence of a seed for one of the things that are decided by it.
    pub fn new(seed: u64, thing: u64) -> Self {
        Dice { state: mixed(seed).wrapping_add(mixed(thing.wrapping_add(GOLDEN))) }
    }

    /// A number of 64 bits.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mixed(self.state)
    }

    /// A number below a limit; 0 for the limit 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The upper half of the product: every number is as likely as any other, but for one part in 2^64 of the limit.
        ((u128::from(self.number()) * u128::from(limit)) >> 64) as u64
    }

    /// A number of parts of a million: see [`Share::hits`](super::Share::hits).
    pub(super) fn roll(&mut self) -> u32 {
        self.below(MILLION) as u32
    }

    /// A number between so much less and so much more than nothing.
    pub(super) fn spread(&mut self, most: u64) -> i64 {
        let most = most.min(i64::MAX as u64 / 2);
        self.below(2 * most + 1) as i64 - most as i64
    }
}

/// The seed of one direction of a link, from the seed of the run.
pub fn lane_seed(seed: u64, link: &str, direction: u64) -> u64 {
    link.bytes().fold(mixed(seed ^ direction), |state, byte| mixed(state ^ u64::from(byte)))
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
