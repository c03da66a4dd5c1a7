//! What a child does between fork(2) and execve(2).

use std::io;

use tokio::process::Command;

/// Has the kernel kill the child when the calling thread ends, however it does. The thread has to be the one that lives as
/// long as the process: one started from another ends with that.
pub(crate) fn ends_with_us(command: &mut Command) {
    let parent = std::process::id();
    let before_exec = move || {
        // SAFETY: both are system calls that take no pointer.
        let (set, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        // A parent that ended before that has sent nothing.
        match (set, u32::try_from(now) == Ok(parent)) {
            (0, true) => Ok(()),
            (0, false) => Err(io::ErrorKind::Interrupted.into()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: it neither allocates nor takes a lock, as nothing may after a fork: its errors are plain numbers.
    unsafe { command.pre_exec(before_exec) };
}
