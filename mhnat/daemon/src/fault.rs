//! Faults on demand: every operation on the kernel or on a file passes a point, and a test makes one fail.
//!
//! `MHNAT_FAULT` is `fail:N` (the N-th operation of this process fails with `EIO`), `fail-from:N` (it and all
//! that follow) or `kill:N` (the process ends there as by SIGKILL); `MHNAT_FAULT_LOG` names a file to which
//! every point passed is appended. Without the feature `fault-injection` a point is nothing at all, and with
//! it a release does not compile.

#[cfg(all(feature = "fault-injection", not(debug_assertions)))]
compile_error!("fault-injection is for tests: a release must not heed MHNAT_FAULT");

use std::io;

/// Passes the point before an operation.
#[cfg(not(feature = "fault-injection"))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "with the feature, it fails when a test asks for it")]
pub(crate) const fn point(_name: &str) -> io::Result<()> {
    Ok(())
}

/// Passes the point before an operation.
#[cfg(feature = "fault-injection")]
pub(crate) fn point(name: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU32, Ordering};

    static PASSED: AtomicU32 = AtomicU32::new(0);
    let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(path) = std::env::var_os("MHNAT_FAULT_LOG") {
        let mut log = std::fs::File::options().create(true).append(true).open(path)?;
        writeln!(log, "{number} {name}")?;
    }
    let Ok(order) = std::env::var("MHNAT_FAULT") else { return Ok(()) };
    let Some((kind, at)) = order.split_once(':') else { return Ok(()) };
    let at: u32 = at.parse().map_err(io::Error::other)?;
    match kind {
        "fail" if number == at => Err(nix::errno::Errno::EIO.into()),
        "fail-from" if number >= at => Err(nix::errno::Errno::EIO.into()),
        "kill" if number == at => {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)?;
            Ok(())
        }
        _ => Ok(()),
    }
}
