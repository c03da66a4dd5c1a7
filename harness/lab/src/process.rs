//! Processes, once they run: the ends of commands, and of whoever started us.

use std::{
    io,
    os::fd::OwnedFd,
    process::{Child, ExitStatus},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::waitpid,
    },
    unistd::Pid,
};

use crate::sys::process;

/// A descriptor that becomes readable when a command ends, for whoever waits for other things as well.
///
/// # Errors
/// As pidfd_open(2).
pub fn ended(child: &Child) -> io::Result<OwnedFd> {
    Ok(process::pidfd_open(id(child)?)?)
}

/// Sends a signal to a command that has not been waited for.
///
/// # Errors
/// As kill(2).
pub fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    Ok(kill(id(child)?, signal)?)
}

/// Kills a command and all of its process group, and returns when none of them is left. The command must lead the group
/// and must not have been waited for: until then its number, and so the group's, is nobody else's.
///
/// # Errors
/// As wait(2).
pub fn end_group(leader: &mut Child) -> io::Result<ExitStatus> {
    let group = id(leader)?;
    match killpg(group, Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(errno.into()),
    }
    let status = leader.wait()?;
    // Whoever lost its parent is a child of the sandbox's first process, which is the caller.
    let members = Pid::from_raw(-group.as_raw());
    loop {
        match waitpid(members, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Ok(status),
        }
    }
}

/// Lets the calling thread have the processor soon after it has something to do, however busy the machine is with others.
/// What it starts is scheduled as ever. A kernel that cannot do so leaves it as it is.
pub fn prompt() {
    // The least that the kernel takes (include/uapi/linux/sched/types.h).
    const TURN: u64 = 100_000;
    let _ = process::turns(TURN);
}

fn id(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// A descriptor that becomes readable when the process that started this one ends.
///
/// # Errors
/// As pidfd_open(2).
pub fn parent_ended() -> io::Result<OwnedFd> {
    Ok(process::pidfd_open(nix::unistd::getppid())?)
}
