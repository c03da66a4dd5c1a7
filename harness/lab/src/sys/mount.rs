//! mount_setattr(2), which changes a whole tree of mounts at once. Linux 5.12 or later.

use std::ffi::CStr;

use nix::errno::Errno;

/// Makes the mount at `path` read-only, and with it all mounts below.
///
/// Does not allocate. ENOSYS: the kernel is older than the call.
pub(crate) fn read_only_tree(path: &CStr) -> Result<(), Errno> {
    set_attributes(path, libc::AT_RECURSIVE as libc::c_uint, libc::MOUNT_ATTR_RDONLY, 0)
}

/// Makes the one mount at `path` writable again.
pub(crate) fn writable(path: &CStr) -> Result<(), Errno> {
    set_attributes(path, 0, 0, libc::MOUNT_ATTR_RDONLY)
}

fn set_attributes(path: &CStr, flags: libc::c_uint, set: u64, clear: u64) -> Result<(), Errno> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    // SAFETY: the path ends in a zero byte, the structure lives until the call returns, and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}
