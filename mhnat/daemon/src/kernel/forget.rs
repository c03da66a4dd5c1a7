//! Forgets tracked connections through ctnetlink (linux/netfilter/nfnetlink_conntrack.h): one dump of the table, and a
//! request for each that goes; or, where there are very many, one request for all that have the same signs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::iter;

use mhnat_core::chronicle::Key;
use mhnat_core::family::Family;
use mhnat_core::rehome::{Bulk, Sweep};
use netlink_sys::Socket;
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::conntrack::{self, CTA_MARK, CTA_TUPLE_ORIG, entry};
use super::{KernelError, denied, injected};
use crate::netlink::{
    ACK, DUMP, HEADER, NESTED, ask, attributes, messages, netfilter, outcome, push, request,
};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const CTA_STATUS: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_MARK_MASK: u16 = 21;
const CTA_STATUS_MASK: u16 = 26;

/// `IPS_SRC_NAT` and `IPS_DST_NAT` (linux/netfilter/nf_conntrack_common.h).
const SOURCE_TRANSLATED: u32 = 1 << 4;
const DESTINATION_TRANSLATED: u32 = 1 << 5;

/// Where `struct nlmsghdr` has its sequence number.
const SEQUENCE: std::ops::Range<usize> = 8..12;

/// With more entries than these, another look at each of them can wait.
const MANY: u64 = 4096;

/// Bytes of requests in one datagram, all of which could be refused without an answer being lost in the socket's buffer.
const AT_ONCE: usize = 16 << 10;

/// By what connections are known that are forgotten at once: mark and mask, family, and whether their destination may be
/// translated as well.
pub(crate) type Signs = (u32, u32, Family, bool);

/// How many connections have left each family of an uplink.
pub(crate) type Forgotten = BTreeMap<Key, u64>;

/// Forgets the connections of all of these sweeps, and says how many they were.
pub(super) fn forget(sweeps: &[&Sweep]) -> Result<Forgotten, KernelError> {
    if sweeps.iter().all(|it| it.is_empty()) {
        return Ok(Forgotten::new());
    }
    let what = "forget the connections of an uplink";
    injected(what)?;
    let search = Search::new(sweeps);
    netfilter(|listing| netfilter(|deleting| one_by_one(&search, listing, deleting)))
        .map(|places| search.named(&places))
        .map_err(denied(what))
}

/// How many connections the sweep would take.
pub(super) fn count(sweep: &Sweep) -> Result<Forgotten, KernelError> {
    let sweeps = [sweep];
    let search = Search::new(&sweeps);
    let mut places = Places::new();
    let counting = |socket: &Socket| {
        conntrack::dump(socket, &search.filter(), &mut |_, body| {
            if let Some(place) = search.place(body) {
                *places.entry(place).or_default() += 1;
            }
        })
    };
    netfilter(counting).map_err(denied("count the connections of a lost uplink"))?;
    Ok(search.named(&places))
}

/// What several sweeps look for: to list the table costs the kernel a look at each of its buckets, however few are
/// taken.
struct Search<'a> {
    sweeps: &'a [&'a Sweep],
    /// The legs of all sweeps in their order. Behind those of each is nothing, for what belongs to none of them.
    keys: Vec<Option<Key>>,
}

/// Numbers of connections by the place that their uplink has in a search.
type Places = BTreeMap<usize, u64>;

impl<'a> Search<'a> {
    fn new(sweeps: &'a [&'a Sweep]) -> Self {
        let keys = sweeps.iter().flat_map(|it| {
            it.uplinks().map(|(name, family)| Some((name.clone(), family))).chain(iter::once(None))
        });
        Self { sweeps, keys: keys.collect() }
    }

    /// The place of the leg that this connection leaves, if it leaves one.
    fn place(&self, body: &[u8]) -> Option<usize> {
        let entry = entry(body)?;
        let mut first = 0;
        self.sweeps.iter().find_map(|sweep| {
            let place = sweep.leaves(&entry).map(|it| first + it);
            first += sweep.uplinks().count() + 1;
            place
        })
    }

    /// What the kernel passes over by itself.
    fn filter(&self) -> Vec<u8> {
        let mut marks = self.sweeps.iter().map(|it| it.only_mark());
        let first = marks.next().flatten().filter(|first| marks.all(|it| it == Some(*first)));
        first.map(|(value, mask)| mark(value, mask)).unwrap_or_default()
    }

    fn named(&self, places: &Places) -> Forgotten {
        let mut forgotten = Forgotten::new();
        for (place, number) in places {
            if let Some(Some(key)) = self.keys.get(*place) {
                *forgotten.entry(key.clone()).or_default() += number;
            }
        }
        forgotten
    }
}

/// Forgets most connections of the sweep at once where they can be told by their signs, and says how many fewer there are
/// then; nothing where each is to be looked at. The kernel passes over empty buckets of its table then, which takes it a
/// tenth of the time that it needs to list them (`get_next_corpse()` in net/netfilter/nf_conntrack_core.c).
pub(super) fn forget_most(
    sweep: &Sweep,
    asked: &mut BTreeSet<Signs>,
) -> Result<Option<Forgotten>, KernelError> {
    let mut bulks = sweep.bulks();
    if bulks.is_empty() {
        return Ok(None);
    }
    bulks.retain(|it| asked.insert((it.mark, it.mask, it.family, it.redirected)));
    let what = "forget the connections of an uplink at once";
    injected(what)?;
    let places = netfilter(|socket| at_once(socket, &bulks)).map_err(denied(what))?;
    Ok(places.map(|it| Search::new(&[sweep]).named(&it)))
}

/// Whether there are so many entries that it is better to look at each of them later, and not at once.
pub(super) fn are_many() -> bool {
    entries().is_some_and(|it| it > MANY)
}

/// How many connections are tracked (Documentation/networking/nf_conntrack-sysctl.rst).
fn entries() -> Option<u64> {
    fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").ok()?.trim().parse().ok()
}

/// How many fewer there are after each; nothing where the kernel cannot do so.
fn at_once(socket: &Socket, bulks: &[Bulk]) -> io::Result<Option<Places>> {
    if !heeds_status(socket)? {
        return Ok(None);
    }
    let mut places = Places::new();
    for bulk in bulks {
        let before = entries();
        let mut signs = mark(bulk.mark, bulk.mask);
        push(&mut signs, CTA_STATUS, &SOURCE_TRANSLATED.to_be_bytes());
        let others = if bulk.redirected { 0 } else { DESTINATION_TRANSLATED };
        push(&mut signs, CTA_STATUS_MASK, &(SOURCE_TRANSLATED | others).to_be_bytes());
        let family = match bulk.family {
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        };
        let mut request = request(DELETE, ACK, u8::try_from(family).unwrap_or_default(), &signs);
        // Only with a version in `struct nfgenmsg` does the kernel heed the family (`ctnetlink_del_conntrack()`).
        if let Some(version) = request.get_mut(HEADER + 1) {
            *version = 1;
        }
        socket.send(&request, 0)?;
        let mut answer = Vec::with_capacity(256);
        socket.recv(&mut answer, 0)?;
        outcome(&answer)?;
        let fewer = before.zip(entries()).map(|(before, after)| before.saturating_sub(after));
        places.insert(bulk.place, fewer.unwrap_or_default());
    }
    Ok(Some(places))
}

/// Whether the kernel looks at the status at all, as it does since 5.15: before, it would forget all of the mark. It
/// refuses a mask without a value then, and knows no entry with all bits of the mark before.
fn heeds_status(socket: &Socket) -> io::Result<bool> {
    let mut signs = mark(u32::MAX, u32::MAX);
    push(&mut signs, CTA_STATUS_MASK, &SOURCE_TRANSLATED.to_be_bytes());
    match ask(socket, GET, DUMP, 0, &signs, &mut |_, _| {}) {
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(true),
        other => other.map(|()| false),
    }
}

fn one_by_one(search: &Search<'_>, listing: &Socket, deleting: &Socket) -> io::Result<Places> {
    deleting.set_cap_ack(true)?;
    let mut deletions =
        Deletions { socket: deleting, requests: Vec::new(), places: Places::new(), outcome: Ok(()) };
    // They go while the rest is listed: nobody needs room for all of them.
    conntrack::dump(listing, &search.filter(), &mut |family, body| {
        if let Some(place) = search.place(body) {
            deletions.add(place, deletion(family, body));
        }
    })?;
    deletions.send();
    deletions.outcome.map(|()| deletions.places)
}

/// Requests on their way, of which the kernel only tells what it refuses.
struct Deletions<'a> {
    socket: &'a Socket,
    requests: Vec<u8>,
    /// How many were not refused.
    places: Places,
    outcome: io::Result<()>,
}

impl Deletions<'_> {
    fn add(&mut self, place: usize, mut request: Vec<u8>) {
        // The answer carries the sequence number of its request.
        if let (Some(sequence), Ok(place)) = (request.get_mut(SEQUENCE), u32::try_from(place)) {
            sequence.copy_from_slice(&place.to_ne_bytes());
        }
        self.requests.extend(request);
        *self.places.entry(place).or_default() += 1;
        if self.requests.len() >= AT_ONCE {
            self.send();
        }
    }

    fn send(&mut self) {
        if self.requests.is_empty() || self.outcome.is_err() {
            return;
        }
        self.outcome = self.socket.send(&self.requests, 0).and_then(|_| self.heed());
        self.requests.clear();
    }

    /// Hears what was refused. The kernel has answered before the send returned.
    fn heed(&mut self) -> io::Result<()> {
        loop {
            let mut answers = Vec::with_capacity(4096);
            match self.socket.recv(&mut answers, MsgFlags::MSG_DONTWAIT.bits()) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            for answer in messages(&answers) {
                let answer = answer?;
                match outcome(answer) {
                    // It has ended by itself meanwhile.
                    Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {
                        let place =
                            answer.get(SEQUENCE).and_then(|it| it.try_into().ok()).map(u32::from_ne_bytes);
                        let place = place.and_then(|it| usize::try_from(it).ok());
                        if let Some(number) = place.and_then(|it| self.places.get_mut(&it)) {
                            *number = number.saturating_sub(1);
                        }
                    }
                    other => other?,
                }
            }
        }
    }
}

fn mark(value: u32, mask: u32) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, CTA_MARK, &value.to_be_bytes());
    push(&mut out, CTA_MARK_MASK, &mask.to_be_bytes());
    out
}

/// The request that deletes this connection, and no other that has taken its place since.
fn deletion(family: u8, body: &[u8]) -> Vec<u8> {
    let mut of_it = Vec::new();
    for (kind, value) in attributes(body) {
        match kind {
            CTA_TUPLE_ORIG => push(&mut of_it, CTA_TUPLE_ORIG | NESTED, value),
            CTA_ID | CTA_ZONE => push(&mut of_it, kind, value),
            _ => {}
        }
    }
    request(DELETE, 0, family, &of_it)
}
