//! Processes, once they run: the ends of commands, and of whoever started us.

use std::{io, os::fd::OwnedFd, process::Child};

use nix::unistd::Pid;

use crate::sys::process;

/// A descriptor that becomes readable when a command ends, for whoever waits for other things as well.
///
/// # Errors
/// As pidfd_open(2).
pub fn ended(child: &Child) -> io::Result<OwnedFd> {
    let process = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(process::pidfd_open(Pid::from_raw(process))?)
}

/// A descriptor that becomes readable when the process that started this one ends.
///
/// # Errors
/// As pidfd_open(2).
pub fn parent_ended() -> io::Result<OwnedFd> {
    Ok(process::pidfd_open(nix::unistd::getppid())?)
}
