//! Whether any node is still asking for a hardware address.

use super::{Lab, LabError};

/// Bytes of `struct ndmsg`, and where its state is. See rtnetlink(7).
const HEADER: usize = 12;
const STATE: usize = 8;
/// An answer is awaited: `NUD_INCOMPLETE` and `NUD_PROBE` in linux/neighbour.h.
const PENDING: u16 = 0x01 | 0x10;

impl Lab {
    /// Whether any node waits for a neighbour's answer: if so, packets may still leave its queue.
    pub fn neighbours_pending(&mut self) -> Result<bool, LabError> {
        for node in &mut self.nodes {
            let mut pending = false;
            node.netlink
                .dump(libc::RTM_GETNEIGH, &[0; HEADER], |payload| {
                    if let Some([low, high]) = payload.get(STATE..STATE + 2) {
                        pending |= u16::from_ne_bytes([*low, *high]) & PENDING != 0;
                    }
                })
                .map_err(|source| LabError::Read { node: node.name.clone(), what: "neighbours", source })?;
            if pending {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
