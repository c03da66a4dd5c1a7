//! The largest packet that an uplink carries, and the TCP segment that fits into it.

use serde::{Deserialize, Serialize};

use crate::family::Family;

/// The size of the largest packet in bytes, IP header included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtu(u16);

impl Mtu {
    /// A size, unless it is less than every IPv4 host accepts (RFC 1122, 3.3.3: 576) or more than a packet can
    /// have.
    pub fn new(bytes: u32) -> Option<Self> {
        u16::try_from(bytes).ok().filter(|it| *it >= 576).map(Self)
    }

    /// The least that a link has for this family: RFC 8200 wants 1280 for IPv6.
    pub const fn least(family: Family) -> Self {
        match family {
            Family::V4 => Self(576),
            Family::V6 => Self(1280),
        }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u16 {
        self.0
    }

    /// The largest segment that TCP may agree on (RFC 9293, 3.7.1): without the IP header and 20 bytes of TCP
    /// header, options not counted.
    pub const fn segment(self, family: Family) -> u16 {
        match family {
            Family::V4 => self.0 - 40,
            Family::V6 => self.0 - 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1400, Some((1360, 1340)))]
    #[case(1500, Some((1460, 1440)))]
    #[case(576, Some((536, 516)))]
    #[case(65_535, Some((65_495, 65_475)))]
    #[case(575, None)]
    #[case(65_536, None)]
    fn segments_fit_beside_their_headers(#[case] bytes: u32, #[case] segments: Option<(u16, u16)>) {
        let mtu = Mtu::new(bytes);
        assert_eq!(mtu.map(|it| (it.segment(Family::V4), it.segment(Family::V6))), segments);
    }
}
