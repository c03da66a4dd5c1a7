//! The other side: what a daemon that works in a state directory says.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use mhnat_core::chronicle::History;

use super::{PATIENCE, SOCKET};

/// Whether a daemon is there, and what it says.
#[derive(Debug)]
pub(crate) enum Daemon {
    /// None is.
    Absent,
    /// One was, and was killed.
    Killed,
    /// This is what it has seen.
    Works(History),
}

/// Asks the daemon that works in this directory what it has seen.
pub(crate) fn ask(directory: &Path) -> io::Result<Daemon> {
    match exchange(directory, "GET /status") {
        Ok(answer) => {
            let content = answer.split_once("\r\n\r\n").map(|(_, content)| content);
            let history = content.and_then(|it| serde_json::from_str(it).ok());
            history.map(Daemon::Works).ok_or_else(|| io::Error::other("it is of another version"))
        }
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(Daemon::Absent),
            io::ErrorKind::ConnectionRefused => Ok(Daemon::Killed),
            _ => Err(error),
        },
    }
}

/// Has the daemon that works in this directory look at the kernel now, if one does.
pub(crate) fn have_look(directory: &Path) -> io::Result<()> {
    match exchange(directory, "POST /look") {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn exchange(directory: &Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(directory.join(SOCKET))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "{request} HTTP/1.1\r\nHost: mhnat\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
