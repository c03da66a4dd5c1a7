//! Who dies when: the runner, the supervisor and the sandbox's first process.
//!
//! | dies | then | by |
//! | --- | --- | --- |
//! | the runner | the sandbox | the supervisor, which watches the runner's pidfd |
//! | the supervisor | the sandbox | the kernel: its parent-death signal |
//! | the sandbox's PID 1 | all its processes | the kernel: pid_namespaces(7) |
//!
//! The parent-death signal alone would not do for the runner: it is sent when the thread dies that started the
//! process, and runners have threads that come and go.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::kill,
        wait::{WaitStatus, waitpid},
    },
};

use super::{Errno, Pid, SandboxError, Signal, Step, getppid, prctl, sys};

/// The supervisor's exit status when it could not wait for its child.
const STATUS_LOST: i32 = 125;

/// The process that the sandbox works for.
pub(super) struct Runner(Option<OwnedFd>);

impl Runner {
    /// The parent, which must be the expected one if one is expected.
    pub(super) fn find(expected: Option<u32>) -> Result<Self, SandboxError> {
        let parent = getppid();
        // 0 is a parent in an outer PID namespace, of which nothing can be known.
        let pidfd = (parent.as_raw() != 0)
            .then(|| sys::process::pidfd_open(parent))
            .transpose()
            .map_err(|errno| SandboxError::at(Step::Watch, errno))?;
        // Asked again, since a process id may have been given to another process in between.
        match expected {
            Some(expected) if i64::from(getppid().as_raw()) != i64::from(expected) => {
                Err(SandboxError::RunnerGone { expected })
            }
            _ => Ok(Self(pidfd)),
        }
    }
}

/// Waits for the child, kills it if the runner dies first, and exits with its status.
pub(super) fn supervise(child: Pid, runner: Runner) -> ! {
    if let (Some(runner), Ok(pidfd)) = (&runner.0, sys::process::pidfd_open(child)) {
        let first = await_one_of(pidfd.as_fd(), runner.as_fd());
        if !first {
            // It can be gone by now, which is as good.
            let _ = kill(child, Signal::SIGKILL);
        }
    }
    let status = loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, status)) => break status,
            Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => break STATUS_LOST,
        }
    };
    sys::process::exit_now(status)
}

/// Waits until one of two processes ends, and says whether it was the first one.
fn await_one_of(first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> bool {
    let mut ends = [PollFd::new(first, PollFlags::POLLIN), PollFd::new(second, PollFlags::POLLIN)];
    while let Err(Errno::EINTR) = poll(&mut ends, PollTimeout::NONE) {}
    ends[0].any().unwrap_or_default()
}

/// Makes the calling process die with its supervisor.
pub(super) fn die_with(supervisor: BorrowedFd<'_>) -> Result<(), SandboxError> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|errno| SandboxError::at(Step::Watch, errno))?;
    // It may have died before the line above. getppid(2) would not tell: it is 0 here, dead or alive, since the
    // supervisor is outside of the PID namespace.
    let mut end = [PollFd::new(supervisor, PollFlags::POLLIN)];
    match poll(&mut end, PollTimeout::ZERO) {
        Ok(0) => Ok(()),
        _ => sys::process::exit_now(STATUS_LOST),
    }
}
