//! What `mhnat run` has seen, for whoever asks while it works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use mhnat_core::chronicle::Chronicle;
use mhnat_core::rehome::Sweep;
use mhnat_core::stamp::Stamp;
use tokio::sync::Notify;

/// One book, of which everybody who writes or reads has a handle.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    content: Arc<Mutex<Content>>,
    /// Somebody wants the kernel to be looked at.
    look: Arc<Notify>,
}

/// What stands in it.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) chronicle: Chronicle,
    /// By what connections are known that stay on uplinks which are lost now.
    pub(crate) stranded: Sweep,
}

impl Book {
    /// Begins now.
    pub(crate) fn new() -> Self {
        let chronicle = Chronicle::new(stamp());
        let content = Content { chronicle, stranded: Sweep::default() };
        Self { content: Arc::new(Mutex::new(content)), look: Arc::default() }
    }

    /// To read or to write, for a moment: all of it happens in one thread, and nobody waits while he has it.
    pub(crate) fn open(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the kernel looked at once more, now.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// Waits until somebody wants that.
    pub(crate) async fn asked_to_look(&self) {
        self.look.notified().await;
    }
}

/// Now.
pub(crate) fn stamp() -> Stamp {
    // A clock before 1970 is wrong in any case.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
