//! What a link does to the frames that cross it: which of them leave it, when, and in what state.
//!
//! A [`Lane`] is one direction of a link, and a state machine without a clock: whoever moves frames tells it each frame
//! that enters and what time it is, and is handed what leaves. All chance comes from a seed. What becomes of a frame
//! depends on the seed, on the lane's name and on the frame's number in its lane, and on nothing that happened before: the
//! same seed, the same losses.
//!
//! Frames are numbered apart by `Class`: the kernel asks for neighbours and reports its multicast groups when it likes,
//! and must not shift what becomes of the traffic.

use std::{collections::BTreeMap, time::Duration};

use crate::{packet, stream};

mod class;
mod dice;
mod faults;
#[cfg(test)]
mod tests;

use class::Class;
pub use dice::{Dice, lane_seed};
pub use faults::{Faults, Share};

/// Nanoseconds since whatever began.
pub type Moment = u64;

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// How long a frame that is to be overtaken waits for another one to do so.
const PATIENCE: Moment = 20_000_000;
/// Frames that wait for a slow link before it drops more: the kernel's own limit for a device (DEFAULT_TX_QUEUE_LEN).
const QUEUE: usize = 1000;

/// One direction of a link.
#[derive(Debug)]
pub struct Lane {
    seed: u64,
    /// Bytes in front of the IP header.
    header: usize,
    faults: Faults,
    /// Frames that entered, by class.
    entered: [u64; 2],
    /// How many there were of the class of traffic when the present faults began.
    began: u64,
    /// Until when the link is busy with earlier frames, if it has a rate.
    busy: Moment,
    /// The latest departure so far: no frame overtakes another by jitter.
    latest: Moment,
    /// Frames that ever waited: tells those of one moment apart.
    order: u64,
    waiting: BTreeMap<(Moment, u64), Waiting>,
    /// A frame that is to be overtaken by the next one.
    held: Option<(Moment, Waiting)>,
    /// Whether whoever sends into it says nothing of itself: see [`Lane::silence`].
    silent: bool,
}

#[derive(Debug)]
struct Waiting {
    frame: Vec<u8>,
    /// The stream that it is of.
    stream: Option<u8>,
}

impl Lane {
    /// A lane without faults. `header` is the number of bytes in front of the IP header; see [`lane_seed`].
    pub fn new(seed: u64, header: usize) -> Self {
        Lane {
            seed,
            header,
            faults: Faults::default(),
            entered: [0; 2],
            began: 0,
            busy: 0,
            latest: 0,
            order: 0,
            waiting: BTreeMap::new(),
            held: None,
            silent: false,
        }
    }

    /// From now on neighbours hear nothing of whoever sends into it, neither by ARP nor by neighbour discovery, or do again.
    pub fn silence(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// From now on it does this to frames that enter. What has entered leaves as it would have.
    pub fn set(&mut self, faults: Faults) {
        self.faults = faults;
        self.began = self.entered[Class::Traffic as usize];
        self.busy = 0;
    }

    /// Loses all that is on its way, as a link does that is cut.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.held = None;
        (self.busy, self.latest) = (0, 0);
    }

    /// A frame enters. What leaves at once is handed to `out`; the frame may be altered.
    pub fn enter(&mut self, now: Moment, frame: &mut [u8], out: &mut impl FnMut(&[u8])) {
        let class = Class::of(frame, self.header);
        let number = self.entered[class as usize];
        self.entered[class as usize] += 1;
        if self.silent && class == Class::Upkeep {
            return;
        }
        if self.faults.is_none() && self.waiting.is_empty() && self.held.is_none() {
            return out(frame);
        }
        // Drawn in one order, whichever faults there are: to add one does not shift the others.
        let mut dice = Dice::new(self.seed ^ class as u64, number);
        let (lost, again, broken, overtaken) = (dice.roll(), dice.roll(), dice.roll(), dice.roll());
        let faults = &self.faults;
        let chosen = class == Class::Traffic && faults.lose.contains(&(number - self.began + 1));
        let swallowed = faults.black_hole.is_some_and(|most| frame.len() > self.header + most as usize);
        if faults.loss.hits(lost) || chosen || swallowed {
            return;
        }
        let departure = match faults.rate {
            Some(_) if self.waiting.len() >= QUEUE => return,
            Some(rate) => {
                let bits = frame.len() as u128 * 8;
                let takes = bits * 1_000_000_000 / u128::from(rate.get());
                self.busy = self.busy.max(now).saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
                self.busy
            }
            None => now,
        };
        let jitter = dice.spread(nanos(faults.jitter));
        let due = departure.saturating_add(nanos(faults.delay)).saturating_add_signed(jitter);
        let due = due.max(departure).max(self.latest);
        self.latest = due;
        if faults.corrupt.hits(broken) && frame.len() > self.header {
            let bit = dice.below((frame.len() - self.header) as u64 * 8) as usize;
            frame[self.header + bit / 8] ^= 1 << (bit % 8);
        }
        let copies = if faults.duplicate.hits(again) { 2 } else { 1 };
        if faults.reorder.hits(overtaken) && self.held.is_none() {
            let waiting = self.wait(frame);
            self.held = Some((due.saturating_add(PATIENCE), waiting));
            // Of two, one is overtaken.
            if copies == 1 {
                return;
            }
            return self.depart(now, due, frame, out);
        }
        for _ in 0..copies {
            self.depart(now, due, frame, out);
        }
        if let Some((_, held)) = self.held.take() {
            self.depart(now, due, &held.frame, out);
        }
    }

    /// Hands over what is due by now.
    pub fn leave(&mut self, now: Moment, out: &mut impl FnMut(&[u8])) {
        if self.held.as_ref().is_some_and(|(due, _)| *due <= now)
            && let Some((due, held)) = self.held.take()
        {
            self.order += 1;
            self.waiting.insert((due, self.order), held);
        }
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= now) {
            out(&first.remove().frame);
        }
    }

    /// When the next frame is due.
    pub fn due(&self) -> Option<Moment> {
        let first = self.waiting.first_key_value().map(|((due, _), _)| *due);
        let held = self.held.as_ref().map(|(due, _)| *due);
        first.into_iter().chain(held).min()
    }

    /// The frames that are on their way: of each the stream that it belongs to.
    pub fn under_way(&self) -> impl Iterator<Item = Option<u8>> + '_ {
        let held = self.held.iter().map(|(_, waiting)| waiting);
        self.waiting.values().chain(held).map(|waiting| waiting.stream)
    }

    fn depart(&mut self, now: Moment, due: Moment, frame: &[u8], out: &mut impl FnMut(&[u8])) {
        if due <= now && self.waiting.is_empty() {
            return out(frame);
        }
        self.order += 1;
        let waiting = self.wait(frame);
        self.waiting.insert((due, self.order), waiting);
    }

    fn wait(&self, frame: &[u8]) -> Waiting {
        let packet = if self.header == 0 { packet::parse_ip(frame) } else { packet::parse(frame) };
        let stream = stream::of_packet(&packet).map(|(stream, _)| stream);
        Waiting { frame: frame.to_vec(), stream }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
