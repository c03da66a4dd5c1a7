//! A process that may do as it likes, and of which nothing is left when it dies.
//!
//! [`enter`] splits the process in two. The child is PID 1 of a PID namespace and root of its own network, mount,
//! IPC and UTS namespaces: when it dies, however it dies, the kernel kills all that it has started and frees all
//! that it has made. The parent supervises: it waits for the child, kills it when the runner dies, and passes its
//! exit status on.
//!
//! An ordinary user gets the same by way of a user namespace, in which that user is root.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, CpuSet, sched_setaffinity, unshare},
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::{ForkResult, Pid, getgid, getpid, getppid, getuid},
};

use crate::{
    lab::{LOOPBACK, link_up},
    netlink::{Batch, Netlink},
    sys,
};

mod error;
mod filesystem;
mod hint;
mod probe;
mod supervise;

pub use error::SandboxError;
use error::Step;
pub use probe::probe;

/// In what capacity a sandbox is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// As root.
    Root,
    /// As an ordinary user, or as a root without power, who is root within a user namespace.
    UserNamespace,
}

/// What to make.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// None: as root if that works, otherwise in a user namespace.
    pub privilege: Option<Privilege>,
    /// Directories that stay writable. The rest of the file system is read-only, except /run, which is private.
    pub writable: Vec<PathBuf>,
    /// The process that this one works for, its parent. None: whoever is the parent now.
    pub runner: Option<u32>,
}

/// Whether this process is a sandbox's first.
static ENTERED: AtomicBool = AtomicBool::new(false);
/// The number of a PID namespace's first process.
const FIRST: Pid = Pid::from_raw(1);

/// Enters a sandbox. Returns in its first process only; the calling process becomes the supervisor, and exits with
/// that process's status, or with 128 and the number of the signal that killed it.
///
/// The process must have one thread. What it has open stays open, and stays writable.
pub fn enter(options: &Options) -> Result<Privilege, SandboxError> {
    if !sys::process::has_one_thread() {
        return Err(SandboxError::Threads);
    }
    let runner = supervise::Runner::find(options.runner)?;
    let own = sys::process::pidfd_open(getpid()).map_err(|errno| SandboxError::at(Step::Watch, errno))?;
    let privilege = unshare_as(options.privilege).map_err(|(step, errno)| SandboxError::at(step, errno))?;

    // What is buffered now would be written twice.
    let _ = io::stdout().flush();
    match sys::process::fork_alone().map_err(|errno| SandboxError::at(Step::Fork, errno))? {
        ForkResult::Parent { child } => supervise::supervise(child, runner),
        ForkResult::Child => {
            supervise::die_with(own.as_fd())?;
            drop((own, runner));
            settle_in(options)?;
            ENTERED.store(true, Ordering::Relaxed);
            Ok(privilege)
        }
    }
}

/// Kills every other process of this sandbox; outside of one, does nothing.
pub fn end_others() {
    if ENTERED.load(Ordering::Relaxed) && getpid() == FIRST {
        // All that this process may signal, which is its PID namespace: kill(2). None is left: as good.
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }
}

/// Binds the calling thread, and all that it starts from now on, to one processor.
///
/// Frames then pass through one processor's backlog, in order; see [`crate::capture::Capture::fence`].
pub fn pin(processor: usize) -> Result<(), SandboxError> {
    let mut set = CpuSet::new();
    set.set(processor)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .map_err(|errno| SandboxError::Pin { processor, source: errno.into() })
}

/// What PID 1 does first.
fn settle_in(options: &Options) -> Result<(), SandboxError> {
    filesystem::isolate(&options.writable)?;
    // A lab needs two descriptors a node and one a capture; 1,024 is a common soft limit.
    let limit = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    limit.map_err(|errno| SandboxError::at(Step::Files, errno))?;
    loopback_up().map_err(|errno| SandboxError::at(Step::Loopback, errno))
}

fn loopback_up() -> Result<(), Errno> {
    let mut batch = Batch::default();
    batch.push(link_up(LOOPBACK, true), 0, "set lo up");
    let mut netlink =
        Netlink::route().map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    netlink.send(batch).map_err(|refusal| refusal.errno)
}

/// Moves the process, and the child that it forks next, into new namespaces. Makes system calls only.
fn unshare_as(wanted: Option<Privilege>) -> Result<Privilege, (Step, Errno)> {
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let (uid, gid) = (getuid(), getgid());
    let wanted_root = match wanted {
        None => uid.is_root(),
        Some(privilege) => privilege == Privilege::Root,
    };
    if wanted_root {
        match unshare(namespaces) {
            Ok(()) => return Ok(Privilege::Root),
            // Root in a container may lack the capability, and may have user namespaces instead.
            Err(Errno::EPERM) if wanted.is_none() => {}
            Err(errno) => return Err((Step::Namespaces, errno)),
        }
    }
    unshare(namespaces | CloneFlags::CLONE_NEWUSER).map_err(|errno| (Step::UserNamespace, errno))?;
    // An unprivileged process may map its group only after it has given up to change them: user_namespaces(7).
    filesystem::write_existing(c"/proc/self/setgroups", b"deny").map_err(|errno| (Step::Identity, errno))?;
    let map = |path, id| {
        let mut line = [0; 32];
        let mut rest = line.as_mut_slice();
        let room = rest.len();
        let _ = write!(rest, "0 {id} 1");
        let length = room - rest.len();
        filesystem::write_existing(path, &line[..length]).map_err(|errno| (Step::Identity, errno))
    };
    map(c"/proc/self/uid_map", uid.as_raw())?;
    map(c"/proc/self/gid_map", gid.as_raw())?;
    Ok(Privilege::UserNamespace)
}
