//! Connections by their mark.

use std::collections::BTreeMap;

use super::conntrack::{self, CTA_MARK};
use super::{KernelError, denied};
use crate::netlink::{attribute, netfilter, number};

/// How many connections have each mark, under a mask.
pub(crate) type Marked = BTreeMap<u32, u64>;

/// Counts the connections that have any bit of `mask` in their mark.
pub(crate) fn flows(mask: u32) -> Result<Marked, KernelError> {
    let mut found = Marked::new();
    netfilter(|socket| conntrack::dump(socket, &[], &mut |_, body| count(body, mask, &mut found)))
        .map_err(denied("list the tracked connections"))?;
    Ok(found)
}

/// One without a mark has no such attribute.
fn count(body: &[u8], mask: u32, found: &mut Marked) {
    let mark = attribute(body, CTA_MARK).and_then(number).unwrap_or_default() & mask;
    if mark != 0 {
        *found.entry(mark).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::push;

    #[test]
    fn marks_are_counted_under_the_mask() {
        let mut found = Marked::new();
        for mark in [Some(0x1_0100u32), Some(0x100), Some(0x200), Some(0x1_0000), None] {
            let mut body = Vec::new();
            push(&mut body, 1, b"tuple");
            if let Some(mark) = mark {
                push(&mut body, CTA_MARK, &mark.to_be_bytes());
            }
            count(&body, 0xff00, &mut found);
        }
        assert_eq!(found, Marked::from([(0x100, 2), (0x200, 1)]));
    }
}
