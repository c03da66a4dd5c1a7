//! The one loop: takes whatever is ready, answers questions, and knows when the network is quiet.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    time::{Duration, Instant},
};

use harness_lab::{capture::Capture, lab::Lab};
use harness_model::observation::Record;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{daemon::Notices, failure::Failure, traffic::service::Services};

/// How long traffic that does not come to rest is waited for. A verdict on the middle of it would be a guess.
pub(super) const RESTLESS: Duration = Duration::from_secs(5);

/// The lab, with everything that happens in it.
pub(super) struct Reactor {
    pub(super) lab: Lab,
    pub(super) capture: Capture,
    pub(super) services: Services,
    /// What subjects that stay say of themselves.
    pub(super) notices: Vec<Rc<Notices>>,
    /// All that was seen since the beginning.
    pub(super) records: Vec<Record>,
}

impl Reactor {
    /// Takes all that is ready, without waiting. Returns whether anything was.
    pub(super) fn turn(&mut self) -> Result<bool, Failure> {
        let seen = self.drain()?;
        let served = self.services.serve();
        Ok(seen || served)
    }

    fn drain(&mut self) -> Result<bool, Failure> {
        let failed = |error: io::Error| Failure::Capture(Box::new(error));
        let count = self.capture.drain(&mut self.records).map_err(failed)?;
        self.notices.iter().try_for_each(|notices| notices.hear()).map_err(failed)?;
        Ok(count > 0)
    }

    /// Waits until something is ready, or one of `also` is, or the deadline comes.
    pub(super) fn wait(
        &self,
        also: &[(BorrowedFd<'_>, PollFlags)],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        fds.extend(self.capture.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.services.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.notices.iter().map(|notices| PollFd::new(notices.as_fd(), PollFlags::POLLIN)));
        fds.extend(also.iter().map(|(fd, flags)| PollFd::new(fd.as_fd(), *flags)));
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(Failure::Capture(Box::new(error))),
        }
    }

    /// Whether everything that was set off has happened: a fence comes through, and nothing else does.
    pub(super) fn is_quiet(&mut self) -> Result<bool, Failure> {
        let before = self.records.len();
        let served = self.services.serve();
        self.capture.fence(&mut self.records).map_err(|error| Failure::Capture(Box::new(error)))?;
        let served = self.services.serve() || served;
        Ok(!served && self.records.len() == before)
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
        }
        self.drain()?;
        match self.capture.lost().map_err(|error| Failure::Capture(Box::new(error)))? {
            0 => Ok(()),
            lost => Err(Failure::Lost(lost)),
        }
    }
}
