//! Counters that packets put into sets of ours, asked of the kernel itself (linux/netfilter/nf_tables.h).

use std::collections::BTreeMap;
use std::io;

use mhnat_core::desired::counters;
use mhnat_core::family::Family;
use mhnat_core::name::IfName;
use netlink_sys::Socket;

use super::tables::{NAME, NFPROTO_INET, SUBSYSTEM};
use crate::netlink::{DUMP, ask, attribute, attributes, netfilter, push};

/// `NFT_MSG_GETSETELEM`.
const GET_ELEMENTS: u16 = SUBSYSTEM | 13;

const NFTA_LIST_TABLE: u16 = 1;
const NFTA_LIST_SET: u16 = 2;
const NFTA_LIST_ELEMENTS: u16 = 3;
const NFTA_ELEM_KEY: u16 = 1;
const NFTA_ELEM_EXPR: u16 = 7;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_COUNTER_PACKETS: u16 = 2;

/// Packets that were kept from leaving, by the interface that they would have left by.
pub(crate) type Leaked = BTreeMap<(IfName, Family), u64>;

pub(super) fn leaked() -> io::Result<Leaked> {
    netfilter(read)
}

fn read(socket: &Socket) -> io::Result<Leaked> {
    let mut found = Leaked::new();
    for family in Family::ALL {
        let mut request = Vec::new();
        push(&mut request, NFTA_LIST_TABLE, &[NAME.as_bytes(), &[0]].concat());
        push(&mut request, NFTA_LIST_SET, &[counters(family).as_bytes(), &[0]].concat());
        let outcome = ask(socket, GET_ELEMENTS, DUMP, NFPROTO_INET, &request, &mut |_, message| {
            let list = attribute(message, NFTA_LIST_ELEMENTS).unwrap_or_default();
            for (interface, packets) in attributes(list).filter_map(|(_, it)| element(it)) {
                found.insert((interface, family), packets);
            }
        });
        match outcome {
            // Nothing translates in that family, or nothing is applied.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Somebody has changed a table meanwhile: what was read until then is not less than it was.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
    }
    Ok(found)
}

fn element(content: &[u8]) -> Option<(IfName, u64)> {
    let key = attribute(attribute(content, NFTA_ELEM_KEY)?, NFTA_DATA_VALUE)?;
    let name = std::str::from_utf8(key.split(|byte| *byte == 0).next()?).ok()?;
    let counter = attribute(attribute(content, NFTA_ELEM_EXPR)?, NFTA_EXPR_DATA)?;
    let packets = attribute(counter, NFTA_COUNTER_PACKETS)?;
    Some((name.parse().ok()?, u64::from_be_bytes(packets.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::NESTED;

    fn nested(kind: u16, parts: &[(u16, &[u8])]) -> Vec<u8> {
        let (mut inner, mut out) = (Vec::new(), Vec::new());
        for (kind, content) in parts {
            push(&mut inner, *kind, content);
        }
        push(&mut out, kind | NESTED, &inner);
        out
    }

    #[test]
    fn a_counter_is_read_with_its_interface() {
        let mut name = [0; 16];
        name[..4].copy_from_slice(b"ppp0");
        let key = nested(NFTA_ELEM_KEY, &[(NFTA_DATA_VALUE, &name)]);
        let counter = nested(NFTA_EXPR_DATA, &[(1, &84u64.to_be_bytes()), (2, &3u64.to_be_bytes())]);
        let mut content = key.clone();
        push(&mut content, NFTA_ELEM_EXPR | NESTED, &counter);
        assert_eq!(element(&content), Some(("ppp0".parse().unwrap(), 3)));
        assert_eq!(element(&key), None);
        for length in 0..content.len() {
            assert!(element(&content[..length]).is_none(), "{length}");
        }
    }
}
