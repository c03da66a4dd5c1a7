//! Slots: the small number of an uplink, from which its mark, its routing table and its rule priorities
//! follow.
//!
//! A slot must not move while connections live that carry its mark. So slots are given in the order of the
//! file, but an uplink that had one keeps it, and a new uplink takes the lowest that is free. One that
//! another uplink has only just given up is taken last: connections with its mark may still live.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use crate::name::UplinkName;

/// The number of an uplink, 1 to [`Slot::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Slot(NonZeroU8);

impl Slot {
    /// The highest slot, and so the greatest number of uplinks. The priority ranges in
    /// [`crate::routing::priority`] are laid out for it.
    pub const MAX: u8 = 250;

    /// A slot, if the number is in range.
    pub fn new(number: u8) -> Option<Self> {
        NonZeroU8::new(number).filter(|n| n.get() <= Self::MAX).map(Self)
    }

    /// The number itself.
    pub const fn number(self) -> u8 {
        self.0.get()
    }
}

impl TryFrom<u8> for Slot {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("a slot is a number from 1 to 250")
    }
}

impl From<Slot> for u8 {
    fn from(slot: Slot) -> Self {
        slot.number()
    }
}

/// Which uplink has which slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots(BTreeMap<UplinkName, Slot>);

impl Slots {
    /// Gives every uplink of `names` a slot no higher than `capacity`, keeping the one that it had in
    /// `previous` if that is still possible. Names beyond the capacity get none; validation has refused them.
    pub fn allocate<'a>(
        names: impl Iterator<Item = &'a UplinkName> + Clone,
        previous: &Self,
        capacity: u32,
    ) -> Self {
        let mut given: BTreeMap<UplinkName, Slot> = names
            .clone()
            .filter_map(|name| previous.0.get(name).map(|slot| (name.clone(), *slot)))
            .filter(|(_, slot)| u32::from(slot.number()) <= capacity)
            .collect();
        let kept: BTreeSet<Slot> = given.values().copied().collect();
        let given_up: BTreeSet<Slot> = previous.0.values().copied().collect();
        let (late, early): (Vec<Slot>, Vec<Slot>) = (1..=Slot::MAX)
            .filter_map(Slot::new)
            .filter(|slot| u32::from(slot.number()) <= capacity && !kept.contains(slot))
            .partition(|slot| given_up.contains(slot));
        let new: Vec<_> = names.filter(|name| !given.contains_key(*name)).cloned().collect();
        given.extend(new.into_iter().zip(early.into_iter().chain(late)));
        Self(given)
    }

    /// The slot of an uplink.
    pub fn get(&self, name: &UplinkName) -> Option<Slot> {
        self.0.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<UplinkName> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    fn numbers(slots: &Slots, words: &[&str]) -> Vec<Option<u8>> {
        names(words).iter().map(|name| slots.get(name).map(Slot::number)).collect()
    }

    #[test]
    fn slots_follow_the_file_the_first_time() {
        let slots = Slots::allocate(names(&["b", "a"]).iter(), &Slots::default(), 255);
        assert_eq!(numbers(&slots, &["b", "a"]), [Some(1), Some(2)]);
    }

    #[test]
    fn an_uplink_keeps_its_slot_when_others_come_and_go() {
        let first = Slots::allocate(names(&["a", "b", "c"]).iter(), &Slots::default(), 255);
        let second = Slots::allocate(names(&["new", "c", "a", "other"]).iter(), &first, 255);
        assert_eq!(
            numbers(&second, &["a", "b", "c", "new", "other"]),
            [Some(1), None, Some(3), Some(4), Some(5)]
        );
    }

    #[test]
    fn a_slot_just_given_up_is_taken_last() {
        let first = Slots::allocate(names(&["a", "b"]).iter(), &Slots::default(), 3);
        let second = Slots::allocate(names(&["b", "c", "d"]).iter(), &first, 3);
        assert_eq!(numbers(&second, &["b", "c", "d"]), [Some(2), Some(3), Some(1)]);
    }

    #[test]
    fn a_smaller_mask_moves_only_what_no_longer_fits() {
        let first = Slots::allocate(names(&["a", "b", "c", "d"]).iter(), &Slots::default(), 255);
        let second = Slots::allocate(names(&["b", "d"]).iter(), &first, 3);
        assert_eq!(numbers(&second, &["b", "d"]), [Some(2), Some(1)]);
    }
}
