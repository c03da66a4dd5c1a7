//! What a daemon tells its manager. See sd_notify(3).

use std::{
    cell::Cell,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
};

/// The largest message that is read whole.
const LARGEST: usize = 4096;

/// The socket that a daemon writes to.
///
/// It has a path, since an abstract name would be one of the network namespace, and the daemon's is another (unix(7)).
///
/// Its queue takes a few messages (net.unix.max_dgram_qlen), behind which a daemon waits: the loop reads them all the time.
pub(in crate::worker) struct Notices {
    socket: UnixDatagram,
    path: PathBuf,
    /// Whether it is ready by what was said since this was last forgotten.
    ready: Cell<bool>,
}

impl Notices {
    pub(super) fn listen(path: PathBuf) -> io::Result<Self> {
        let socket = UnixDatagram::bind(&path)?;
        socket.set_nonblocking(true)?;
        Ok(Notices { socket, path, ready: Cell::new(false) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets what was said so far.
    pub(super) fn forget(&self) -> io::Result<()> {
        self.hear()?;
        self.ready.set(false);
        Ok(())
    }

    /// Whether it is ready, by what was heard.
    pub(super) fn ready(&self) -> bool {
        self.ready.get()
    }

    /// Hears all that was said, without waiting.
    pub(in crate::worker) fn hear(&self) -> io::Result<()> {
        let mut buffer = [0; LARGEST];
        loop {
            // File descriptors that come along are closed by the kernel: sd_notify_barrier(3) waits for just that.
            match self.socket.recv(&mut buffer) {
                Ok(length) => self.ready.set(after(self.ready.get(), &buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether whoever was ready, or not, is ready after this message: one assignment a line.
fn after(ready: bool, message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').fold(ready, |ready, line| match line {
        b"READY=1" => true,
        b"RELOADING=1" => false,
        _ => ready,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::after;

    #[rstest]
    #[case::ready(&["READY=1"], true)]
    #[case::among_others(&["STATUS=up\nREADY=1\nMAINPID=7"], true)]
    #[case::with_a_line_break(&["READY=1\n"], true)]
    #[case::nothing(&[], false)]
    #[case::something_else(&["READY=0", "STATUS=READY=1", " READY=1", "READY=11"], false)]
    #[case::reloading(&["READY=1", "RELOADING=1\nMONOTONIC_USEC=5"], false)]
    #[case::reloaded(&["RELOADING=1\nMONOTONIC_USEC=5", "STATUS=half way", "READY=1"], true)]
    #[case::not_utf_8(&["READY=1", "STATUS=\u{fffd}"], true)]
    fn a_daemon_is_ready_when_it_says_so(#[case] messages: &[&str], #[case] expected: bool) {
        assert_eq!(messages.iter().fold(false, |ready, message| after(ready, message.as_bytes())), expected);
    }
}
