//! Which tracked connections begin anew when an uplink is lost or comes back.
//!
//! The kernel decides for each connection once: its uplink, its source. When the uplink is lost, whoever sends on it
//! goes nowhere for as long as it keeps sending. Forgetting the connection makes its next packet the first of another,
//! which takes the uplink that is right now. Only where there is one, and only those connections are forgotten whose
//! uplink was chosen here: who asked an address of ours knows that address, and goes on asking it.

mod causes;
mod drain;

use std::collections::BTreeSet;
use std::net::IpAddr;

pub(crate) use self::causes::given_as_source;
pub use self::drain::Drains;
use crate::explain::Entry;
use crate::family::Family;
use crate::link::{Availability, is_global};
use crate::model::{Model, Uplink};
use crate::name::UplinkName;

/// The connections that are to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    leaving: Vec<Leaving>,
    mask: u32,
    /// Whether every connection has the mark of its uplink.
    marked: bool,
    /// Whether rules that reset know connections by that mark, and not by their source.
    by_mark: bool,
    /// Where a connection that goes there was not sent by choice: addresses of ours, and fan-outs by one uplink.
    bound: BTreeSet<IpAddr>,
    /// From where probes are sent to whom. They belong to their uplink, and to nobody's connection.
    probes: BTreeSet<(IpAddr, IpAddr)>,
    /// The addresses of another node, which chose for its connections and marked them.
    peers: BTreeSet<IpAddr>,
    /// Families in which connections are looked for that began while there was nobody to translate them.
    untranslated: BTreeSet<Family>,
    /// Whether some of which both ends are translated stay: who asked an address of ours from inside, or a fan-out by one
    /// uplink.
    some_redirected_stay: bool,
}

/// One family of an uplink that connections are to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaving {
    uplink: UplinkName,
    family: Family,
    mark: u32,
    sources: Vec<(IpAddr, IpAddr)>,
    why: Why,
    /// Whether TCP is reset by rules, which know it by what would be forgotten.
    resets: bool,
    /// This host's own addresses there.
    own: Vec<IpAddr>,
    /// Destinations that go on using it.
    keeps: Vec<ipnet::IpNet>,
}

/// Why connections leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It carries nothing.
    Lost,
    /// It stood in for an uplink that is back.
    StoodIn,
    /// These sources are not its own any more. Only those leave that have one of them.
    Changed,
    /// Nobody knows what sources it had. Those leave that were given another one than these.
    Stale,
}

/// Connections of one family with this mark under the mask that have another source than they began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// The mark of their uplink.
    pub mark: u32,
    /// The bits of it that count.
    pub mask: u32,
    /// IPv4 or IPv6.
    pub family: Family,
    /// Whether those that have another destination as well are among them.
    pub redirected: bool,
    /// The place of the uplink among [`Sweep::uplinks`].
    pub place: usize,
}

impl Sweep {
    /// What of it is right still, in a state that has changed again since: nothing leaves an uplink that is back, or
    /// that is needed again.
    pub fn hold(&mut self, model: &Model, now: &Availability) {
        self.leaving.retain(|it| {
            let Some(uplink) = model.uplink(&it.uplink) else { return false };
            let mut another = model.uplinks.iter().filter(|other| takes_any(other, it.family, now));
            match it.why {
                Why::Lost => is_left(model, uplink, it.family, now),
                Why::StoodIn => another.any(|other| other.metric < uplink.metric),
                Why::Changed => true,
                Why::Stale => uplink.legs.get(&it.family).is_some_and(|leg| leg.addresses == it.own),
            }
        });
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.leaving.is_empty() && self.untranslated.is_empty()
    }

    /// The uplinks that connections leave.
    pub fn uplinks(&self) -> impl Iterator<Item = (&UplinkName, Family)> {
        self.leaving.iter().map(|it| (&it.uplink, it.family))
    }

    /// The mark and its mask that all of them have, where only one uplink is left and each connection has a mark.
    pub fn only_mark(&self) -> Option<(u32, u32)> {
        let of_mark = |it: &&Leaving| self.marked && !matches!(it.why, Why::Changed | Why::Stale);
        let first = self.leaving.first().filter(of_mark)?;
        self.leaving.iter().all(|it| it.mark == first.mark).then_some((first.mark, self.mask))
    }

    /// What the kernel can be asked to forget at once, without a look at each connection: nothing if some with these
    /// signs are to stay. It is not all of the sweep: others of it were not translated.
    pub fn bulks(&self) -> Vec<Bulk> {
        // With what stood in goes what this host has sent there by its own choice, which is to stay.
        let alike = |it: &Leaving| it.why == Why::Lost && it.keeps.is_empty() && !it.resets;
        // Who asked an address of ours has another destination than he asked for or no other source. Marks of another
        // node's connections mean something else here.
        if !self.marked || !self.peers.is_empty() || !self.leaving.iter().all(alike) {
            return Vec::new();
        }
        let translating = self.leaving.iter().enumerate().filter(|(_, it)| !it.sources.is_empty());
        let bulk = |(place, it): (usize, &Leaving)| Bulk {
            mark: it.mark,
            mask: self.mask,
            family: it.family,
            redirected: !self.some_redirected_stay,
            place,
        };
        translating.map(bulk).collect()
    }

    /// Whether each uplink that connections leave translates most of them, so that the rest can wait.
    pub fn is_mostly_bulks(&self) -> bool {
        self.bulks().len() == self.leaving.len()
    }

    /// Whether sockets of this host are to be closed as well.
    pub fn closes_any(&self) -> bool {
        self.leaving.iter().any(|it| it.resets)
    }

    /// Whether a TCP socket of this host between these addresses can send nothing any more, and is to be closed so that
    /// its application knows, if the connection was opened here.
    pub fn closes(&self, own: IpAddr, peer: IpAddr) -> bool {
        self.leaving.iter().any(|it| it.resets && it.own.contains(&own))
            && !self.bound.contains(&peer)
            && !self.probes.contains(&(own, peer))
    }

    /// Whether this connection is one of them.
    pub fn takes(&self, entry: &Entry) -> bool {
        self.leaves(entry).is_some()
    }

    /// The uplink that this connection leaves, by its place among [`Self::uplinks`], if it is one of them. Behind the last
    /// are those that began while there were no rules, and have none.
    pub fn leaves(&self, entry: &Entry) -> Option<usize> {
        let (original, reply) = (entry.original, entry.reply);
        let to = original.destination.address;
        let family = Family::of(to);
        let peers = [to, reply.destination.address];
        if self.bound.contains(&to)
            || self.probes.contains(&(original.source.address, to))
            || peers.iter().any(|it| self.peers.contains(it))
        {
            return None;
        }
        let mark = entry.mark & self.mask;
        if self.untranslated.contains(&family)
            && mark == 0
            && !entry.answered
            && (reply.source.address, reply.destination.address) == (to, original.source.address)
            && is_global(to)
            && !self.bound.contains(&original.source.address)
        {
            return Some(self.leaving.len());
        }
        // Who has bound an address of ours has chosen its uplink, and would have the same entry again.
        let chosen = self.bound.contains(&original.source.address)
            && reply.destination.address == original.source.address;
        self.leaving
            .iter()
            .enumerate()
            .filter(|(_, it)| !(chosen && it.why == Why::StoodIn))
            .filter(|(_, it)| it.family == family && !it.keeps.iter().any(|net| net.contains(&to)))
            .filter(|(_, it)| !(it.resets && entry.tcp && (mark == it.mark || !self.by_mark)))
            .find(|(_, it)| {
                let source = reply.destination.address;
                let translated = source != original.source.address;
                let is_given = it.sources.iter().any(|(first, last)| (*first..=*last).contains(&source));
                match it.why {
                    Why::Lost | Why::StoodIn => mark == it.mark || (mark == 0 && translated && is_given),
                    Why::Changed => translated && is_given,
                    Why::Stale => mark == it.mark && translated && !is_given,
                }
            })
            .map(|(place, _)| place)
    }
}

/// Whether what this uplink carried is to begin anew: it carries nothing, and another does.
pub(crate) fn is_left(model: &Model, uplink: &Uplink, family: Family, now: &Availability) -> bool {
    !now.usable(uplink, family) && model.uplinks.iter().any(|other| takes_any(other, family, now))
}

/// Whether what nobody sent anywhere may leave by this uplink now.
pub(crate) fn takes_any(uplink: &Uplink, family: Family, now: &Availability) -> bool {
    uplink.metric.is_some() && now.usable(uplink, family)
}

#[cfg(test)]
mod tests;
