//! An ICMP echo request (RFC 792, RFC 4443), and whether a packet answers it.

use crate::family::Family;

/// Bytes of the header.
const HEADER: usize = 8;

/// An echo request, known by its payload: the kernel may give it an identifier of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    family: Family,
    message: Vec<u8>,
}

impl Echo {
    /// A request. `id` is to be hard to guess.
    pub fn new(family: Family, id: u64) -> Self {
        let mut message = vec![Self::request(family), 0, 0, 0];
        let id = id.to_be_bytes();
        // Identifier and sequence number, and all of it once more.
        message.extend(&id[..4]);
        message.extend(b"mhnat   ");
        message.extend(id);
        if family == Family::V4 {
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        Self { family, message }
    }

    /// What is sent behind the IP header. In IPv6 the checksum is the kernel's business: it has the addresses.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Whether this answers it: what a socket for ICMP gives, or a raw one, which in IPv4 has the IP header as well.
    pub fn is_answered_by(&self, packet: &[u8], with_header: bool) -> bool {
        let message = match packet.first() {
            Some(first) if with_header => packet.get(usize::from(first & 0x0f) * 4..),
            _ => Some(packet),
        };
        let Some((header, payload)) = message.and_then(|it| it.split_at_checked(HEADER)) else {
            return false;
        };
        header[0] == Self::reply(self.family) && header[1] == 0 && payload == &self.message[HEADER..]
    }

    const fn request(family: Family) -> u8 {
        match family {
            Family::V4 => 8,
            Family::V6 => 128,
        }
    }

    const fn reply(family: Family) -> u8 {
        match family {
            Family::V4 => 0,
            Family::V6 => 129,
        }
    }
}

/// The checksum of the internet (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.as_chunks::<2>().0.iter().map(|it| u32::from(u16::from_be_bytes(*it))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    fn a_reply_has_the_payload_of_its_request(#[values(Family::V4, Family::V6)] family: Family) {
        let echo = Echo::new(family, 0x0123_4567_89ab_cdef);
        let mut reply = echo.message().to_vec();
        assert!(!echo.is_answered_by(&reply, false), "the request itself");
        reply[0] = Echo::reply(family);
        // The kernel's identifier in the place of ours.
        reply[4] ^= 0xff;
        assert!(echo.is_answered_by(&reply, false));
        assert!(!Echo::new(family, 1).is_answered_by(&reply, false));
        for length in 0..reply.len() {
            assert!(!echo.is_answered_by(&reply[..length], false));
        }
        let mut header = vec![0; 24];
        header[0] = 0x46;
        assert!(echo.is_answered_by(&[header, reply].concat(), true));
        assert!(!echo.is_answered_by(&[0xff], true));
    }

    #[test]
    fn the_checksum_of_a_request_is_right() {
        for id in [0, 1, u64::MAX, 0x8000_ffff_0001_fffe] {
            assert_eq!(checksum(Echo::new(Family::V4, id).message()), 0);
        }
    }
}
