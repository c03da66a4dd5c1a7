//! The one loop: takes whatever is ready, answers questions, keeps streams going, and knows when the network is quiet.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use harness_lab::{capture::Capture, lab::Lab, relay::Relay};
use harness_model::observation::Record;
use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

use super::{
    daemon::Notices,
    failure::Failure,
    traffic::{service::Services, stream::Streams},
};

/// How long traffic that does not come to rest is waited for. A verdict on the middle of it would be a guess.
pub(super) const RESTLESS: Duration = Duration::from_secs(5);
/// Between two looks at what is always looked at when something is ready anyway.
const ROUND: Duration = Duration::from_secs(1);

/// The lab, and everything that happens in it.
pub(super) struct Reactor {
    pub(super) lab: Lab,
    pub(super) hub: Hub,
    /// Where mhnat is, for commands that start it themselves.
    pub(super) mhnat: Option<PathBuf>,
}

/// What happens in a lab. Apart from it, so that it goes on while the lab is changed.
pub(super) struct Hub {
    pub(super) relay: Relay,
    pub(super) capture: Capture,
    pub(super) services: Services,
    /// What subjects that stay say of themselves.
    pub(super) notices: Vec<Rc<Notices>>,
    pub(super) streams: Streams,
    /// All that was seen since the beginning; of streams, what is alike is told once a step.
    pub(super) records: Vec<Record>,
    /// Frames seen.
    pub(super) frames: u64,
    /// Just captured, before it is sorted out.
    fresh: Vec<Record>,
}

impl Reactor {
    pub(super) fn new(
        lab: Lab,
        relay: Relay,
        capture: Capture,
        services: Services,
        streams: Streams,
    ) -> Self {
        let (notices, records, fresh) = (Vec::new(), Vec::new(), Vec::new());
        let hub = Hub { relay, capture, services, notices, streams, records, frames: 0, fresh };
        Reactor { lab, hub, mhnat: None }
    }

    /// Changes the lab.
    ///
    /// The kernel takes milliseconds over some changes, as it waits for all processors to have noticed. Streams must go
    /// on meanwhile, for what they lose is just what they are there to tell: then the change is made by another thread.
    pub(super) fn change<T: Send>(
        &mut self,
        change: impl FnOnce(&mut Lab) -> T + Send,
    ) -> Result<T, Failure> {
        let Reactor { lab, hub, .. } = self;
        if !hub.streams.are_running() {
            return Ok(change(lab));
        }
        let failed = |error: io::Error| Failure::Capture(Box::new(error));
        let (mut here, there) = UnixStream::pair().map_err(failed)?;
        here.set_nonblocking(true).map_err(failed)?;
        thread::scope(|scope| {
            let other = scope.spawn(move || {
                // Its end is told by closing, which a panic does as well.
                let _there = there;
                change(lab)
            });
            while !matches!(here.read(&mut [0]), Ok(0)) {
                if !hub.turn()? {
                    hub.wait(&[(here.as_fd(), PollFlags::POLLIN)], Instant::now() + ROUND)?;
                }
            }
            other.join().map_err(|_| Failure::Scenario("the change of the lab failed".to_owned()))
        })
    }
}

impl Hub {
    /// Takes all that is ready, without waiting, and sends what is due. Returns whether anything was ready but streams.
    pub(super) fn turn(&mut self) -> Result<bool, Failure> {
        self.streams.progress().map_err(Failure::Scenario)?;
        // What it moves is captured at the other end: no news of its own.
        self.relay.turn();
        let seen = self.drain()?;
        let served = self.services.serve(&mut self.streams);
        Ok(seen || served)
    }

    fn drain(&mut self) -> Result<bool, Failure> {
        let failed = |error: io::Error| Failure::Capture(Box::new(error));
        self.capture.drain(&mut self.fresh).map_err(failed)?;
        self.notices.iter().try_for_each(|notices| notices.hear()).map_err(failed)?;
        Ok(self.sort_out())
    }

    /// Files what was captured. Returns whether it was more than packets of running streams.
    fn sort_out(&mut self) -> bool {
        let mut news = false;
        self.frames += self.fresh.len() as u64;
        for record in self.fresh.drain(..) {
            news |= self.streams.file(record, &mut self.records);
        }
        news
    }

    /// Waits until something is ready, or one of `also` is, or the deadline comes, or a stream's next packet is due.
    pub(super) fn wait(
        &self,
        also: &[(BorrowedFd<'_>, PollFlags)],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        fds.extend(self.capture.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.relay.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.services.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.streams.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.notices.iter().map(|notices| PollFd::new(notices.as_fd(), PollFlags::POLLIN)));
        fds.extend(also.iter().map(|(fd, flags)| PollFd::new(fd.as_fd(), *flags)));
        let due = self.streams.due().into_iter().chain(self.relay.due()).min();
        let deadline = due.map_or(deadline, |due| due.min(deadline));
        let left = deadline.saturating_duration_since(Instant::now());
        // Not poll(2), which counts in milliseconds: a stream has several packets in one.
        match ppoll(&mut fds, Some(TimeSpec::from_duration(left)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(Failure::Capture(Box::new(error))),
        }
    }

    /// Whether everything that was set off has happened: a fence comes through, and nothing else does, but streams; nor is
    /// anything on its way through the relay.
    pub(super) fn is_quiet(&mut self) -> Result<bool, Failure> {
        self.streams.progress().map_err(Failure::Scenario)?;
        // Frames are there to be carried as soon as they are sent, and have arrived when they were carried.
        self.relay.turn();
        let served = self.services.serve(&mut self.streams);
        self.capture.fence(&mut self.fresh).map_err(|error| Failure::Capture(Box::new(error)))?;
        let seen = self.sort_out();
        let served = self.services.serve(&mut self.streams) || served;
        Ok(!served && !seen && !self.is_relaying())
    }

    /// Whether anything but packets of running streams is on its way through the relay.
    fn is_relaying(&self) -> bool {
        self.relay.under_way().any(|stream| stream.is_none_or(|number| !self.streams.runs(number)))
    }

    /// Waits for what is on its way through the relay, if anything is.
    pub(super) fn await_relay(&self) -> Result<(), Failure> {
        match self.is_relaying() {
            true => self.wait(&[], Instant::now() + ROUND),
            false => Ok(()),
        }
    }

    /// Goes on until a moment that a step names.
    pub(super) fn watch_until(&mut self, deadline: Instant) -> Result<(), Failure> {
        while Instant::now() < deadline {
            if !self.turn()? {
                self.wait(&[], deadline)?;
            }
        }
        Ok(())
    }

    /// Lets everything happen that was set off.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let limit = Instant::now() + RESTLESS;
        while !self.is_quiet()? {
            if Instant::now() > limit {
                return Err(Failure::Restless(RESTLESS.as_secs()));
            }
            self.await_relay()?;
        }
        self.drain()?;
        match self.capture.lost().map_err(|error| Failure::Capture(Box::new(error)))? {
            0 => Ok(()),
            lost => Err(Failure::Lost(lost)),
        }
    }

    /// Puts the records of a step, from the first one on, into the order of time, and ends it.
    ///
    /// Sockets are drained one after the other; only the stamps tell the order across them.
    pub(super) fn close_step(&mut self, first: usize) {
        self.records[first..].sort_by_key(|record| record.at);
        self.streams.forget_kinds();
    }
}
