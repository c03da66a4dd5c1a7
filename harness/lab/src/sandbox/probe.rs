//! Whether this machine lets this user make sandboxes at all.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::wait::waitpid,
    unistd::{pipe2, write},
};

use super::{Privilege, SandboxError, error::Step, filesystem, unshare_as};
use crate::sys;

/// Answers of the probe's processes: one byte and an error number.
const ROOT: u8 = 0;
const USER_NAMESPACE: u8 = 1;
/// Plus the step that failed.
const FAILED: u8 = 2;

/// Makes a sandbox in another process and throws it away: in what capacity that worked, or why it did not.
///
/// May be called by a process with many threads.
pub fn probe() -> Result<Privilege, SandboxError> {
    let failed = |errno| SandboxError::at(Step::Fork, errno);
    let (answer, question) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    let child = sys::process::fork_and_run(|| try_all(question.as_fd())).map_err(failed)?;
    drop(question);
    let mut bytes = Vec::new();
    let read = File::from(answer).read_to_end(&mut bytes);
    while waitpid(child, None) == Err(Errno::EINTR) {}
    let (&[outcome, a, b, c, d], Ok(_)) = (bytes.as_slice(), read) else {
        return Err(SandboxError::ProbeKilled);
    };
    let errno = Errno::from_raw(i32::from_ne_bytes([a, b, c, d]));
    match outcome {
        ROOT => Ok(Privilege::Root),
        USER_NAMESPACE => Ok(Privilege::UserNamespace),
        step => {
            Err(Step::of(step - FAILED)
                .map_or(SandboxError::ProbeKilled, |step| SandboxError::at(step, errno)))
        }
    }
}

/// Enters new namespaces, and has a child try the rest, which only a process within can. System calls only.
fn try_all(answer: BorrowedFd<'_>) -> u8 {
    let privilege = match unshare_as(None) {
        Ok(Privilege::Root) => ROOT,
        Ok(Privilege::UserNamespace) => USER_NAMESPACE,
        Err(failure) => return fail(answer, failure),
    };
    let child = sys::process::fork_and_run(|| match filesystem::mounts(&[]) {
        Ok(()) => say(answer, privilege, 0),
        Err(failure) => fail(answer, failure),
    });
    match child {
        Ok(child) => {
            while waitpid(child, None) == Err(Errno::EINTR) {}
            0
        }
        Err(errno) => fail(answer, (Step::Fork, errno)),
    }
}

fn fail(answer: BorrowedFd<'_>, (step, errno): (Step, Errno)) -> u8 {
    say(answer, FAILED + step as u8, errno as i32)
}

fn say(answer: BorrowedFd<'_>, outcome: u8, errno: i32) -> u8 {
    let [a, b, c, d] = errno.to_ne_bytes();
    u8::from(write(answer, &[outcome, a, b, c, d]).is_err())
}
