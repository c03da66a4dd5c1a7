//! What a sandbox sees of the file system: all of it, and of its own only /proc and /run.

use std::{
    ffi::{CStr, CString},
    fs,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    mount::{MsFlags, mount},
    sys::stat::Mode,
    unistd::write,
};

use super::error::{SandboxError, Step};
use crate::sys::mount::{read_only_tree, writable};

const NONE: Option<&CStr> = None;
/// Made in the private /run.
const DIRECTORIES: [&str; 4] = ["/run/netns", "/run/mhlab", "/run/lock", "/run/tmp"];

/// Isolates the calling process, which is in a new mount namespace.
pub(super) fn isolate(keep: &[PathBuf]) -> Result<(), SandboxError> {
    let keep = keep.iter().map(|path| own_mount(path.clone())).collect::<Result<Vec<_>, _>>()?;
    mounts(&keep).map_err(|(step, errno)| SandboxError::at(step, errno))?;
    for directory in DIRECTORIES {
        fs::create_dir_all(directory).map_err(|error| {
            SandboxError::at(Step::Run, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        })?;
    }
    Ok(())
}

/// Makes a directory a mount, so that it can differ from what is around it.
fn own_mount(path: PathBuf) -> Result<CString, SandboxError> {
    let name = CString::new(path.as_os_str().as_bytes());
    let mounted = name.map_err(|_| Errno::EINVAL).and_then(|name| {
        // Not shared with the host even for the moment until `mounts` has detached all.
        mount(NONE, c"/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        mount(Some(name.as_c_str()), name.as_c_str(), NONE, MsFlags::MS_BIND, NONE)?;
        Ok(name)
    });
    mounted.map_err(|errno| SandboxError::Writable { path, source: errno.into() })
}

/// Detaches the mounts from the host's, makes them read-only, and mounts /proc and /run. Makes system calls only.
pub(super) fn mounts(keep: &[CString]) -> Result<(), (Step, Errno)> {
    mount(NONE, c"/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(|errno| (Step::PrivateMounts, errno))?;
    match read_only_tree(c"/") {
        // Linux before 5.12: a program under test could write to the host's files, as it can outside of a lab.
        Ok(()) | Err(Errno::ENOSYS) => {}
        Err(errno) => return Err((Step::ReadOnly, errno)),
    }
    for path in keep {
        match writable(path) {
            Ok(()) | Err(Errno::ENOSYS) => {}
            Err(errno) => return Err((Step::ReadOnly, errno)),
        }
    }
    // After the above, for these two are to be written to.
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(c"proc"), c"/proc", Some(c"proc"), safe, NONE).map_err(|errno| (Step::Proc, errno))?;
    guard_proc(safe).map_err(|errno| (Step::Proc, errno))?;
    // Programs under test may be put below /run and run from there.
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(c"tmpfs"), c"/run", Some(c"tmpfs"), safe, Some(c"mode=755"))
        .map_err(|errno| (Step::Run, errno))
}

/// Makes the switches of the whole machine read-only, which real root could turn from in here: /proc/sys, but for
/// /proc/sys/net, whose files are those of the namespace of whoever opens them, and the magic key.
fn guard_proc(safe: MsFlags) -> Result<(), Errno> {
    let bind = |path: &CStr, flags: MsFlags| mount(Some(path), path, NONE, MsFlags::MS_BIND | flags, NONE);
    let read_only = |path: &CStr| {
        mount(NONE, path, NONE, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | safe, NONE)
    };
    bind(c"/proc/sys/net", MsFlags::empty())?;
    bind(c"/proc/sys", MsFlags::MS_REC)?;
    read_only(c"/proc/sys")?;
    match bind(c"/proc/sysrq-trigger", MsFlags::empty()) {
        Ok(()) => read_only(c"/proc/sysrq-trigger"),
        // A kernel without CONFIG_MAGIC_SYSRQ.
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Writes to a file that exists. Makes system calls only.
pub(super) fn write_existing(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    write(file, content).map(drop)
}
