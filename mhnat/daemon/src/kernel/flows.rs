//! Connections by their mark: one dump of the conntrack table through ctnetlink
//! (linux/netfilter/nfnetlink_conntrack.h), of which only the marks are read.

use std::collections::BTreeMap;
use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::KernelError;

/// How many connections have each mark, under a mask.
pub(crate) type Marked = BTreeMap<u32, u64>;

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`.
const GET: u16 = 1 << 8 | 1;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x001 | 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `struct nlmsghdr`, and `struct nfgenmsg` behind it.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
const CTA_MARK: u16 = 8;
/// `NLA_TYPE_MASK`: without the two flags.
const TYPE_MASK: u16 = 0x3fff;

/// Counts the connections that have any bit of `mask` in their mark.
pub(crate) fn flows(mask: u32) -> Result<Marked, KernelError> {
    count(mask)
        .map_err(|source| KernelError::Refused { what: "list the tracked connections".to_owned(), source })
}

fn count(mask: u32) -> io::Result<Marked> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut found = Marked::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if datagram.is_empty() || read(&datagram, mask, &mut found)? {
            return Ok(found);
        }
    }
}

fn request() -> Vec<u8> {
    let mut out = Vec::new();
    let length = u32::try_from(HEADER + FAMILY_HEADER).unwrap_or_default();
    out.extend(length.to_ne_bytes());
    out.extend(GET.to_ne_bytes());
    out.extend(REQUEST_DUMP.to_ne_bytes());
    out.extend(1u32.to_ne_bytes());
    // No port: the kernel knows it. AF_UNSPEC asks for all families.
    out.extend([0; 4 + FAMILY_HEADER]);
    out
}

/// Adds the connections of one datagram; whether it was the last.
fn read(mut datagram: &[u8], mask: u32, found: &mut Marked) -> io::Result<bool> {
    while let Some((header, _)) = datagram.split_first_chunk::<HEADER>() {
        let [a, b, c, d, e, f, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(message) = datagram.get(HEADER..length) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of ctnetlink is cut short"));
        };
        match u16::from_ne_bytes([e, f]) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = message.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return if code == 0 { Ok(true) } else { Err(io::Error::from_raw_os_error(-code)) };
            }
            _ => {
                let mark = mark(message.get(FAMILY_HEADER..).unwrap_or_default()) & mask;
                if mark != 0 {
                    *found.entry(mark).or_default() += 1;
                }
            }
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The mark among the attributes of a connection; one without it has none.
fn mark(mut attributes: &[u8]) -> u32 {
    while let Some(([a, b, c, d], _)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let Some(value) = attributes.get(4..length) else { return 0 };
        if u16::from_ne_bytes([*c, *d]) & TYPE_MASK == CTA_MARK {
            return value.first_chunk().map_or(0, |mark| u32::from_be_bytes(*mark));
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend([0; 10]);
        out.extend(body);
        out
    }

    fn connection(mark: Option<u32>) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 0];
        body.extend(attribute(0x8001, b"tuple"));
        body.extend(mark.map(|mark| attribute(CTA_MARK, &mark.to_be_bytes())).unwrap_or_default());
        message(GET & 0xff00, &body)
    }

    #[test]
    fn marks_are_counted_under_the_mask() {
        let mut datagram = Vec::new();
        for mark in [Some(0x1_0100), Some(0x100), Some(0x200), Some(0x1_0000), None] {
            datagram.extend(connection(mark));
        }
        let mut found = Marked::new();
        assert!(!read(&datagram, 0xff00, &mut found).unwrap());
        assert!(read(&message(NLMSG_DONE, &[0; 4]), 0xff00, &mut found).unwrap());
        assert_eq!(found, Marked::from([(0x100, 2), (0x200, 1)]));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let refusal = message(NLMSG_ERROR, &(-1i32).to_ne_bytes());
        let error = read(&refusal, 0xff00, &mut Marked::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(1));
    }

    #[test]
    fn whatever_is_cut_short_ends() {
        let whole = connection(Some(0x100));
        for length in 0..whole.len() {
            let _ = read(&whole[..length], 0xff00, &mut Marked::new());
            // The same with a message length that fits, so that the attributes are cut.
            if length >= HEADER {
                let _ = read(&message(GET & 0xff00, &whole[HEADER..length]), 0xff00, &mut Marked::new());
            }
        }
        // Lengths of zero would go on for ever.
        let mut zero = whole.clone();
        zero[..4].fill(0);
        assert!(read(&zero, 0xff00, &mut Marked::new()).is_err());
        assert_eq!(mark(&[0; 64]), 0);
    }
}
