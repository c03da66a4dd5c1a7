//! The moment at which the kernel has taken a transaction of the nft program. The program itself needs as long again to
//! end, for which nobody has to wait who is told (`nf_tables_gen_notify()` in net/netfilter/nf_tables_api.c).

use std::fs;
use std::future::{pending, poll_fn};
use std::os::unix::fs::MetadataExt as _;
use std::pin::Pin;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket as _, TokioSocket};

use super::NftError;
use super::tables::committed_by;
use crate::fault;
use crate::netlink::{NFT_GROUP, messages, subscribe};

/// Bytes of commands up to which it pays to be told: every object that a transaction changes is told as well.
const FEW: usize = 64 << 10;

/// The inode of the first PID namespace (`PROC_PID_INIT_INO` in linux/proc_ns.h). The kernel tells process numbers as
/// they are there.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// A subscription to what is committed.
pub(super) struct Commits(TokioSocket);

impl Commits {
    /// From now on, none is missed. Nothing where it does not pay, or cannot be told who committed: then the end of the
    /// program says so.
    pub(super) fn watch(commands: &str) -> Option<Self> {
        let known = || fs::metadata("/proc/self/ns/pid").is_ok_and(|it| it.ino() == FIRST_PID_NAMESPACE);
        if commands.len() > FEW || !known() {
            return None;
        }
        subscribe(NETLINK_NETFILTER, &[NFT_GROUP]).ok().map(Self)
    }

    /// Returns when this process has committed a transaction; never, if that cannot be told any more.
    pub(super) async fn by(&mut self, process: u32) {
        loop {
            let mut datagram = Vec::with_capacity(FEW);
            if poll_fn(|context| self.0.poll_recv(context, &mut datagram)).await.is_err() {
                return pending().await;
            }
            if messages(&datagram).map_while(Result::ok).any(|it| committed_by(it) == Some(process)) {
                return;
            }
        }
    }
}

/// A ruleset that is in force. Where the program that loaded it has still to end, it can yet say that something was
/// wrong.
pub(crate) struct InForce<'a>(Option<Ending<'a>>);

/// What the program does after its transaction.
pub(super) type Ending<'a> = Pin<Box<dyn Future<Output = Result<(), NftError>> + 'a>>;

impl<'a> InForce<'a> {
    /// Nobody is left who could say anything.
    pub(super) const fn finally() -> Self {
        Self(None)
    }

    /// The program is about to end.
    pub(super) fn but_for(ending: Ending<'a>) -> Self {
        Self(Some(ending))
    }

    /// Waits for the end.
    pub(crate) async fn end(self) -> Result<(), NftError> {
        fault::point("wait for nft to end").map_err(NftError::Read)?;
        match self.0 {
            None => Ok(()),
            Some(ending) => ending.await,
        }
    }
}
