//! Processes: fork, pidfds, and commands that start in another network namespace.

use std::{
    ffi::OsStr,
    fs::File,
    os::fd::{AsFd, FromRawFd, OwnedFd, RawFd},
    os::unix::process::CommandExt,
    process::Command,
    sync::Arc,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask},
    unistd::{ForkResult, Pid},
};

/// A descriptor that becomes readable when the process ends. See pidfd_open(2); Linux 5.3 or later.
pub(crate) fn pidfd_open(process: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes two integers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0) };
    let fd = Errno::result(result)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// fork(2) for a process that has one thread: the child may do what it likes.
pub(crate) fn fork_alone() -> Result<ForkResult, Errno> {
    if !has_one_thread() {
        return Err(Errno::EBUSY);
    }
    // SAFETY: no other thread exists that could hold a lock, so that the child finds all of them free.
    unsafe { nix::unistd::fork() }
}

/// Runs `child` in a forked process and ends that process with its result as exit status.
///
/// Other threads of this process may hold locks, the allocator's among them, which the child finds locked for
/// ever: `run` must make system calls only.
pub(crate) fn fork_and_run(run: impl FnOnce() -> u8) -> Result<Pid, Errno> {
    // SAFETY: the child runs a function whose contract is above, and then leaves without running anything else.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => exit_now(run().into()),
    }
}

/// Asks for turns of the processor that are so long, in nanoseconds, for the calling thread but not for its children: the
/// shorter its turns, the sooner it gets one when it wakes up. See sched_setattr(2). Linux 6.12 or later; others take no
/// notice.
pub(crate) fn turns(nanos: u64) -> Result<(), Errno> {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: nanos,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the structure lives until the call returns, which only reads it, and tells its own size.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    Errno::result(result).map(drop)
}

/// Whether the calling process has one thread.
pub(crate) fn has_one_thread() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Ends the process without running handlers or flushing buffers, which a forked process shares with its parent.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) is always allowed, and does not return.
    unsafe { libc::_exit(status) }
}

/// What nohup(1) and shells in the background have a program ignore, and it hands on; whoever is started ignoring it, a
/// shell above all, could never be asked to reload.
const HANDED_ON: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];

/// A command whose process starts in a network namespace, with no signal blocked and none of those ignored that somebody
/// may have handed on.
pub(crate) fn command_in(namespace: Arc<File>, program: &OsStr) -> Command {
    let mut command = Command::new(program);
    let enter = move || {
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
        // The standard library hands the caller's mask on, and a caller that waits by signalfd has blocked some.
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        for handed_on in HANDED_ON {
            // SAFETY: no handler is installed.
            unsafe { signal(handed_on, SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only. It takes no lock and allocates nothing.
    unsafe { command.pre_exec(enter) };
    command
}
