//! Interface indexes of devices that come back after they were removed.
//!
//! A device that is plugged in again is another one to the kernel, under another index. Which one is reserved here, so
//! that it can be told from the index alone which device of the plan it is: records, journeys and verdicts know the
//! planned index only.

/// Planned indexes are below this. So are those that the kernel gives to devices that a subject makes: it counts from 1.
const PLANNED: u32 = 1 << 18;
/// After so many lives the first index is free again: the largest index is 2^31 - 1 (dev_index_reserve, net/core/dev.c).
const LIVES: u32 = (1 << 31) / PLANNED;

/// The interface index of a device that has been restored so many times.
pub fn index_in_life(planned: u32, life: u32) -> u32 {
    planned + life % LIVES * PLANNED
}

/// The index that the plan has for a device, whichever life it is in.
pub fn planned_index(index: u32) -> u32 {
    index % PLANNED
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LIVES, PLANNED, index_in_life, planned_index};

    proptest! {
        #[test]
        fn a_restored_device_has_another_index_and_is_still_known(
            planned in 1..PLANNED,
            life in 0..u32::MAX - 1,
            other in 1..PLANNED,
        ) {
            let index = index_in_life(planned, life);
            prop_assert!(i32::try_from(index).is_ok());
            prop_assert_eq!(planned_index(index), planned);
            prop_assert_ne!(index, index_in_life(planned, life + 1));
            prop_assert!(planned == other || index != index_in_life(other, life));
        }
    }

    #[test]
    fn the_first_life_is_as_planned() {
        assert_eq!(index_in_life(101, 0), 101);
        assert_eq!(index_in_life(101, LIVES), 101);
    }
}
