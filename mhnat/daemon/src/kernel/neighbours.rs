//! Neighbours whose link-layer address the kernel asks for (ip-neighbour(8)).

use futures_util::TryStreamExt as _;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::Handle;

use super::{KernelError, refused};

/// Forgets the neighbours behind this device that have not answered yet.
///
/// A packet that still went to a link without a carrier has had its neighbour asked for, in vain, and the kernel asks again
/// only a second later (`retrans_time_ms`, arp(7)): until then it keeps or drops all that goes there, though the link
/// may long have been back. With the entry gone, the next packet has it asked for at once.
pub(super) async fn forget_unresolved(handle: &Handle, index: u32) -> Result<(), KernelError> {
    let what = "list neighbours";
    let mut request = handle.neighbours().get();
    request.message_mut().attributes.push(NeighbourAttribute::IfIndex(index));
    let all: Vec<NeighbourMessage> = request.execute().try_collect().await.map_err(refused(what))?;
    let unresolved = all
        .into_iter()
        .filter(|it| it.header.ifindex == index && it.header.state == NeighbourState::Incomplete);
    for neighbour in unresolved {
        let gone = handle.neighbours().del(neighbour).execute().await;
        gone.map_err(refused("forget a neighbour that has not answered"))?;
    }
    Ok(())
}
