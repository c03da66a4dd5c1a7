//! Ending with whoever started us.
//!
//! A test program that outlives a killed `cargo test` goes on building labs that nobody waits for.

use std::{os::fd::AsFd, thread};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Ends this process when the one that started it does, if that is cargo or cargo-nextest.
///
/// PR_SET_PDEATHSIG would not do: it tells of the end of the thread that started us, not of the process.
pub fn end_with_cargo() {
    if std::env::var_os("CARGO").is_none() {
        return;
    }
    let Ok(parent) = harness_lab::process::parent_ended() else { return };
    thread::spawn(move || {
        let mut fds = [PollFd::new(parent.as_fd(), PollFlags::POLLIN)];
        while poll(&mut fds, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
        std::process::exit(128 + nix::libc::SIGKILL);
    });
}
