//! What a service manager is told (sd_notify(3)): that the service is ready, reloads, stops, and how it is.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::time::{ClockId, clock_gettime};

/// Whoever started this process and wants to know.
#[derive(Debug)]
pub(crate) struct Notify(Option<OsString>);

impl Notify {
    /// Nobody, unless the environment names a socket.
    pub(crate) fn from_environment() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET").filter(|it| !it.is_empty()))
    }

    /// All is as it should be.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is being read again; [`Self::ready`] ends that.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from).unwrap_or_default();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// How it is, in a line.
    pub(crate) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={status}"));
    }

    /// The end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Nobody waits for an answer, so that a manager that is gone is no failure.
    fn tell(&self, message: &str) {
        let Some(name) = &self.0 else { return };
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            _ => SocketAddr::from_pathname(name),
        };
        let _ =
            address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address));
    }
}
