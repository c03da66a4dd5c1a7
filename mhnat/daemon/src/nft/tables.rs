//! What stands in a table, asked of the kernel itself (linux/netfilter/nf_tables.h).
//!
//! Names and comments are all that is read, and the kernel gives them in a few hundred microseconds; a process
//! that lists a table costs ten times as much, and has to be understood in every version's spelling.

use std::collections::BTreeSet;
use std::io;

use mhnat_core::nft::{Inventories, Inventory, Table};
use netlink_sys::Socket;

use crate::netlink::{BODY, DUMP, ask, attribute, kind_of, malformed, netfilter, number, push};

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a message type.
pub(super) const SUBSYSTEM: u16 = 10 << 8;
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
/// `NFT_MSG_NEWGEN`.
const NEW_GENERATION: u16 = SUBSYSTEM | 15;

/// What all tables of ours are called.
pub(super) const NAME: &str = "mhnat";
const NFPROTO_UNSPEC: u8 = 0;
pub(super) const NFPROTO_INET: u8 = 1;
const NFPROTO_BRIDGE: u8 = 7;

/// How often a reading that others disturb is begun again.
const ATTEMPTS: u32 = 100;

/// Whether this process may ask at all.
pub(super) fn probe() -> io::Result<()> {
    current_generation().map(drop)
}

/// What stands in our tables that exist, all at one moment, and the generation of that moment.
pub(super) fn inventories() -> io::Result<(Inventories, u32)> {
    netfilter(undisturbed)
}

fn undisturbed(socket: &Socket) -> io::Result<(Inventories, u32)> {
    for _ in 0..ATTEMPTS {
        let before = generation(socket)?;
        let found = match read_all(socket) {
            Ok(found) => found,
            // The dump was disturbed, or the table went away between two of them.
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::NotFound) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        // Every transaction of anybody raises the number.
        if generation(socket)? == before {
            return Ok((found, before));
        }
    }
    Err(io::Error::other("other programs change their tables too fast"))
}

/// The number that every transaction of anybody raises by one.
pub(super) fn current_generation() -> io::Result<u32> {
    netfilter(generation)
}

/// Whether an event tells of a table of ours.
pub(super) fn is_about_ours(message: &[u8]) -> bool {
    kind_of(message) & 0xff00 == SUBSYSTEM
        && text(message.get(BODY..).unwrap_or_default(), NFTA_OF_TABLE) == Some(NAME.as_bytes())
}

/// The process that this event tells to have committed a transaction, as numbered in the first PID namespace.
pub(super) fn committed_by(message: &[u8]) -> Option<u32> {
    let process = || attribute(message.get(BODY..)?, NFTA_GEN_PROC_PID).and_then(number);
    if kind_of(message) == NEW_GENERATION { process() } else { None }
}

fn read_all(socket: &Socket) -> io::Result<Inventories> {
    let mut families = BTreeSet::new();
    ask(socket, GET_TABLE, DUMP, NFPROTO_UNSPEC, &[], &mut |family, message| {
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
    // With its closing zero byte.
    let mut of_table = Vec::new();
    push(&mut of_table, NFTA_OF_TABLE, &[name, &[0]].concat());
    let ours = |message: &[u8]| text(message, NFTA_OF_TABLE) == Some(name);
    ask(socket, GET_CHAIN, DUMP, family, &of_table, &mut |_, message| {
        if let Some(chain) = text(message, NFTA_CHAIN_NAME).filter(|_| ours(message)) {
            let hooked = attribute(message, NFTA_CHAIN_HOOK).is_some();
            let chains = if hooked { &mut found.base_chains } else { &mut found.plain_chains };
            chains.insert(String::from_utf8_lossy(chain).into_owned());
        }
    })?;
    ask(socket, GET_SET, DUMP, family, &of_table, &mut |_, message| {
        let flags = attribute(message, NFTA_SET_FLAGS).and_then(number).unwrap_or_default();
        // Anonymous ones belong to their rule.
        if let Some(set) =
            text(message, NFTA_SET_NAME).filter(|_| ours(message) && flags & NFT_SET_ANONYMOUS == 0)
        {
            let sets = if flags & NFT_SET_MAP == 0 { &mut found.sets } else { &mut found.maps };
            sets.insert(String::from_utf8_lossy(set).into_owned());
        }
    })?;
    ask(socket, GET_RULE, DUMP, family, &of_table, &mut |_, message| {
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
const NFTA_GEN_PROC_PID: u16 = 2;
const NFT_SET_ANONYMOUS: u32 = 1;
const NFT_SET_MAP: u32 = 8;

fn generation(socket: &Socket) -> io::Result<u32> {
    let mut found = None;
    ask(socket, GET_GENERATION, 0, NFPROTO_UNSPEC, &[], &mut |_, message| {
        found = attribute(message, NFTA_GEN_ID).and_then(number);
    })?;
    found.ok_or_else(malformed)
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

#[cfg(test)]
mod tests;
