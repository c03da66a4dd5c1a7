//! What stands in a table, asked of the kernel itself (linux/netfilter/nf_tables.h).
//!
//! Names and comments are all that is read, and the kernel gives them in a few hundred microseconds; a process
//! that lists a table costs ten times as much, and has to be understood in every version's spelling.

use std::collections::BTreeSet;
use std::io;

use mhnat_core::nft::{Inventories, Inventory, Table};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a message type.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFT_MSG_GETTABLE`.
const GET_TABLE: u16 = SUBSYSTEM | 1;
/// `NFT_MSG_GETCHAIN`.
const GET_CHAIN: u16 = SUBSYSTEM | 4;
/// `NFT_MSG_GETRULE`.
const GET_RULE: u16 = SUBSYSTEM | 7;
/// `NFT_MSG_GETSET`.
const GET_SET: u16 = SUBSYSTEM | 10;
/// `NFT_MSG_GETGEN`.
const GET_GENERATION: u16 = SUBSYSTEM | 16;

/// What all tables of ours are called.
const NAME: &str = "mhnat";
const NFPROTO_UNSPEC: u8 = 0;
const NFPROTO_INET: u8 = 1;
const NFPROTO_BRIDGE: u8 = 7;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// The kernel's lists changed during the dump.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Bytes of `struct nlmsghdr` and of `struct nfgenmsg` behind it.
const HEADER: usize = 16;
const BODY: usize = HEADER + 4;

/// The largest datagram of a dump, in bytes (netlink_dump() in net/netlink/af_netlink.c).
const DATAGRAM: usize = 32 << 10;

/// How often a reading that others disturb is begun again.
const ATTEMPTS: u32 = 100;

/// Whether this process may ask at all.
pub(super) fn probe() -> io::Result<()> {
    generation(&open()?).map(drop)
}

/// What stands in our tables that exist, all at one moment, and the generation of that moment.
pub(super) fn inventories() -> io::Result<(Inventories, u32)> {
    let socket = open()?;
    for _ in 0..ATTEMPTS {
        let before = generation(&socket)?;
        let found = match read_all(&socket) {
            Ok(found) => found,
            // The dump was disturbed, or the table went away between two of them.
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::NotFound) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        // Every transaction of anybody raises the number.
        if generation(&socket)? == before {
            return Ok((found, before));
        }
    }
    Err(io::Error::other("other programs change their tables too fast"))
}

/// The number that every transaction of anybody raises by one.
pub(super) fn current_generation() -> io::Result<u32> {
    generation(&open()?)
}

/// Whether an event tells of a table of ours.
pub(super) fn is_about_ours(message: &[u8]) -> bool {
    let kind = half(message, 4).unwrap_or_default();
    kind & 0xff00 == SUBSYSTEM
        && text(message.get(BODY..).unwrap_or_default(), NFTA_OF_TABLE) == Some(NAME.as_bytes())
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn read_all(socket: &Socket) -> io::Result<Inventories> {
    let mut families = BTreeSet::new();
    ask(socket, GET_TABLE, NLM_F_DUMP, NFPROTO_UNSPEC, None, &mut |family, message| {
        if text(message, NFTA_TABLE_NAME) == Some(NAME.as_bytes()) {
            families.insert(family);
        }
    })?;
    let existing = Table::ALL.into_iter().filter(|table| families.contains(&family_of(*table)));
    existing.map(|table| Ok((table, read(socket, family_of(table))?))).collect()
}

const fn family_of(table: Table) -> u8 {
    match table {
        Table::Inet => NFPROTO_INET,
        Table::Bridge => NFPROTO_BRIDGE,
    }
}

fn read(socket: &Socket, family: u8) -> io::Result<Inventory> {
    let name = NAME.as_bytes();
    let mut found = Inventory::default();
    let ours = |message: &[u8]| text(message, NFTA_OF_TABLE) == Some(name);
    ask(socket, GET_CHAIN, NLM_F_DUMP, family, Some(name), &mut |_, message| {
        if let Some(chain) = text(message, NFTA_CHAIN_NAME).filter(|_| ours(message)) {
            let hooked = attribute(message, NFTA_CHAIN_HOOK).is_some();
            let chains = if hooked { &mut found.base_chains } else { &mut found.plain_chains };
            chains.insert(String::from_utf8_lossy(chain).into_owned());
        }
    })?;
    ask(socket, GET_SET, NLM_F_DUMP, family, Some(name), &mut |_, message| {
        let flags = attribute(message, NFTA_SET_FLAGS).and_then(number).unwrap_or_default();
        // Anonymous ones belong to their rule.
        if let Some(set) =
            text(message, NFTA_SET_NAME).filter(|_| ours(message) && flags & NFT_SET_ANONYMOUS == 0)
        {
            let sets = if flags & NFT_SET_MAP == 0 { &mut found.sets } else { &mut found.maps };
            sets.insert(String::from_utf8_lossy(set).into_owned());
        }
    })?;
    ask(socket, GET_RULE, NLM_F_DUMP, family, Some(name), &mut |_, message| {
        let data = attribute(message, NFTA_RULE_USERDATA).filter(|_| ours(message));
        if let Some(comment) = data.and_then(comment) {
            found.comments.insert(String::from_utf8_lossy(comment).into_owned());
        }
    })?;
    Ok(found)
}

const NFTA_TABLE_NAME: u16 = 1;
/// `NFTA_CHAIN_TABLE`, `NFTA_SET_TABLE` and `NFTA_RULE_TABLE` are all the same.
const NFTA_OF_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_RULE_USERDATA: u16 = 7;
const NFTA_GEN_ID: u16 = 1;
const NFT_SET_ANONYMOUS: u32 = 1;
const NFT_SET_MAP: u32 = 8;

fn generation(socket: &Socket) -> io::Result<u32> {
    let mut found = None;
    ask(socket, GET_GENERATION, 0, NFPROTO_UNSPEC, None, &mut |_, message| {
        found = attribute(message, NFTA_GEN_ID).and_then(number);
    })?;
    found.ok_or_else(malformed)
}

/// Asks, and hands over family and attributes of every answer.
fn ask(
    socket: &Socket,
    kind: u16,
    flags: u16,
    family: u8,
    table: Option<&[u8]>,
    each: &mut dyn FnMut(u8, &[u8]),
) -> io::Result<()> {
    socket.send(&request(kind, flags, family, table)?, 0)?;
    loop {
        let datagram = receive(socket)?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let length = word(rest, 0).ok_or_else(malformed)? as usize;
            let message = rest.get(..length).filter(|it| it.len() >= HEADER).ok_or_else(malformed)?;
            let (kind, set) = (half(message, 4).unwrap_or_default(), half(message, 6).unwrap_or_default());
            if set & NLM_F_DUMP_INTR != 0 {
                drain(socket, kind)?;
                return Err(io::ErrorKind::Interrupted.into());
            }
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let code = word(message, HEADER).ok_or_else(malformed)?.cast_signed();
                    return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                }
                _ => {
                    let family = message.get(HEADER).copied().unwrap_or_default();
                    each(family, message.get(BODY..).unwrap_or_default());
                }
            }
            if flags & NLM_F_DUMP == 0 {
                return Ok(());
            }
            rest = rest.get(aligned(length)..).unwrap_or_default();
        }
    }
}

fn receive(socket: &Socket) -> io::Result<Vec<u8>> {
    let mut datagram = Vec::with_capacity(DATAGRAM);
    socket.recv(&mut datagram, 0)?;
    Ok(datagram)
}

/// Reads the rest of a disturbed dump, which would be taken for the answer to the next request.
fn drain(socket: &Socket, kind: u16) -> io::Result<()> {
    let mut last = kind == NLMSG_DONE;
    while !last {
        let datagram = receive(socket)?;
        let mut rest = datagram.as_slice();
        while let Some(length) = word(rest, 0).map(|it| it as usize).filter(|it| *it >= HEADER) {
            last |= matches!(half(rest, 4), Some(NLMSG_DONE | NLMSG_ERROR));
            rest = rest.get(aligned(length)..).unwrap_or_default();
        }
    }
    Ok(())
}

fn request(kind: u16, flags: u16, family: u8, table: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let mut message = vec![0; BODY];
    if let Some(name) = table {
        // With its closing zero byte.
        let length = u16::try_from(name.len() + 5).map_err(io::Error::other)?;
        message.extend(length.to_ne_bytes());
        message.extend(NFTA_OF_TABLE.to_ne_bytes());
        message.extend(name);
        message.push(0);
        message.resize(aligned(message.len()), 0);
    }
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    message[HEADER] = family;
    Ok(message)
}

/// The content of the first attribute of this kind.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(half(attributes, 0)?);
        // The two upper bits say whether it is nested, and its byte order.
        let kind = half(attributes, 2)? & 0x3fff;
        let content = attributes.get(4..length)?;
        if kind == wanted {
            return Some(content);
        }
        attributes = attributes.get(aligned(length)..)?;
    }
}

fn text(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    attribute(attributes, wanted)?.split(|byte| *byte == 0).next()
}

/// The comment among what nft keeps with a rule: type, length and content, a byte each for the first two
/// (`NFTNL_UDATA_RULE_COMMENT` is type 0, and ends with a zero byte).
fn comment(mut data: &[u8]) -> Option<&[u8]> {
    loop {
        let [kind, length, rest @ ..] = data else { return None };
        let content = rest.get(..usize::from(*length))?;
        if *kind == 0 {
            return content.split(|byte| *byte == 0).next();
        }
        data = rest.get(usize::from(*length)..)?;
    }
}

/// nf_tables numbers are in network byte order, netlink's own in the host's.
fn number(content: &[u8]) -> Option<u32> {
    content.first_chunk().copied().map(u32::from_be_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer of the kernel makes no sense")
}

#[cfg(test)]
mod tests;
