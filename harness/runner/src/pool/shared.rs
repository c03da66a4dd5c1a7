//! A pool for threads that have a test each, and wait for it.

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use harness_model::event::{Event, TestId};
use tokio::{
    runtime,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{Limits, Notice, Pool, Task};

/// A pool in a thread of its own.
#[derive(Debug)]
pub struct Shared {
    give: UnboundedSender<Task>,
    waiting: Waiting,
    thread: JoinHandle<()>,
}

/// Who waits for which test.
type Waiting = Arc<Mutex<BTreeMap<TestId, mpsc::Sender<Vec<Event>>>>>;

impl Shared {
    /// Starts it.
    ///
    /// # Errors
    /// If no runtime or thread can be made, which takes some file descriptors.
    pub fn start(limits: Limits) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (give, given) = unbounded_channel();
        let waiting = Waiting::default();
        let answers = Answers(Arc::clone(&waiting));
        let serve = move || {
            let (tell, told) = unbounded_channel();
            let pool = Pool::new(limits);
            runtime
                .block_on(async { tokio::join!(pool.serve(given, tell, pending()), answers.hand_out(told)) });
        };
        let thread = thread::Builder::new().name("pool".to_owned()).spawn(serve)?;
        Ok(Shared { give, waiting, thread })
    }

    /// Runs a test, and returns its events once there is a verdict. No other thread may run the same one meanwhile.
    pub fn run(&self, task: Task) -> Vec<Event> {
        let (tell, told) = mpsc::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(task.id(), tell);
        // A pool that is gone answers nothing, and that is what the caller sees.
        let _ = self.give.send(task);
        told.recv().unwrap_or_default()
    }

    /// Returns when no process of a test is left.
    pub fn end(self) {
        drop(self.give);
        // What it panicked with has been printed.
        let _ = self.thread.join();
    }
}

/// Gives everybody the events that they wait for; at its end, also by a panic, nobody waits any more.
struct Answers(Waiting);

impl Answers {
    async fn hand_out(&self, mut told: UnboundedReceiver<Notice>) {
        while let Some(notice) = told.recv().await {
            let Notice::Over(events) = notice else { continue };
            let test = events.iter().find_map(|event| match event {
                Event::TestFinished { test, .. } => Some(test),
                _ => None,
            });
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(thread) = test.and_then(|test| waiting.remove(test)) {
                // A thread that is gone does not wait.
                let _ = thread.send(events);
            }
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
