//! Packet and connection marks: 32 bits that all software on a host shares, of which a mask is ours.

use std::fmt;
use std::num::NonZeroU32;

use serde::Serialize;
use thiserror::Error;

use crate::slot::Slot;

/// Why a number is not a usable mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MaskError {
    /// No bits at all.
    #[error("a mask of zero leaves no bit for a mark")]
    Zero,
    /// Bits with holes between them.
    #[error("the bits of the mask must be next to each other")]
    Scattered,
}

/// The bits of a mark that are ours, one contiguous run. No other bit is ever written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MarkMask(NonZeroU32);

impl MarkMask {
    /// The mask when the configuration names none: the second-lowest byte. No byte is free everywhere; in
    /// this one lie marks of kube-proxy (0x4000, 0x8000), Cilium (0x0f00) and wg-quick (0xca6c), beside which
    /// the file must name another mask.
    pub const DEFAULT: Self = match NonZeroU32::new(0x0000_ff00) {
        Some(mask) => Self(mask),
        None => unreachable!(),
    };

    /// A mask, if its bits are contiguous.
    ///
    /// # Errors
    /// When `bits` is zero or has holes.
    pub fn new(bits: u32) -> Result<Self, MaskError> {
        let mask = NonZeroU32::new(bits).ok_or(MaskError::Zero)?;
        let run = bits >> bits.trailing_zeros();
        if run & run.wrapping_add(1) == 0 { Ok(Self(mask)) } else { Err(MaskError::Scattered) }
    }

    /// The bits of the mask.
    pub const fn bits(self) -> u32 {
        self.0.get()
    }

    /// How many marks fit: all values but zero, which means that no uplink was chosen.
    pub const fn capacity(self) -> u32 {
        self.bits() >> self.0.trailing_zeros()
    }

    /// The mark of a slot, or nothing when the mask has too few bits for it.
    pub fn mark(self, slot: Slot) -> Option<Mark> {
        let number = u32::from(slot.number());
        (number <= self.capacity()).then(|| Mark { bits: number << self.0.trailing_zeros(), mask: self })
    }
}

/// Hexadecimal with all eight digits, as nft prints marks.
impl fmt::Display for MarkMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The mark of one uplink: never zero, never outside its mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mark {
    bits: u32,
    mask: MarkMask,
}

impl Mark {
    /// The mark's own bits.
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// The mask that it lives in.
    pub const fn mask(self) -> MarkMask {
        self.mask
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.bits)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0x0000_ff00, Ok(255))]
    #[case(0xffff_ffff, Ok(u32::MAX))]
    #[case(0x8000_0000, Ok(1))]
    #[case(0x0000_0003, Ok(3))]
    #[case(0, Err(MaskError::Zero))]
    #[case(0x0000_f0f0, Err(MaskError::Scattered))]
    fn masks(#[case] bits: u32, #[case] capacity: Result<u32, MaskError>) {
        assert_eq!(MarkMask::new(bits).map(MarkMask::capacity), capacity);
    }

    #[rstest]
    #[case(0x0000_ff00, 1, Some(0x0000_0100))]
    #[case(0x0000_ff00, 250, Some(0x0000_fa00))]
    #[case(0x0000_0003, 3, Some(3))]
    #[case(0x0000_0003, 4, None)]
    #[case(0x8000_0000, 1, Some(0x8000_0000))]
    fn marks_stay_inside_the_mask(#[case] mask: u32, #[case] slot: u8, #[case] bits: Option<u32>) {
        let mask = MarkMask::new(mask).unwrap();
        assert_eq!(mask.mark(Slot::new(slot).unwrap()).map(Mark::bits), bits);
    }
}
