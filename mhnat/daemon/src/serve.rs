//! Answers those who ask what the daemon has seen: on a socket in the state directory for `mhnat status`, and where
//! `--metrics` says for Prometheus.
//!
//! All of it is tasks of the loop that does everything else, which sleep until somebody comes. Whoever is slow, sends
//! much or nothing at all has two seconds and a few kilobytes, and so many at a time; others wait for their turn, and the
//! loop for nobody.

mod ask;
mod http;

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use mhnat_core::chronicle::metrics::{CONTENT_TYPE, Counted};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub(crate) use self::ask::{Daemon, ask, have_look};
use self::http::{Method, Status};
use crate::book::Book;
use crate::failure::{Exit, Failure};
use crate::kernel::stranded;
use crate::nft::Nft;

/// The socket in the state directory.
pub(crate) const SOCKET: &str = "run.sock";

/// Who can be answered at a time.
const CLIENTS: usize = 8;
/// How long all that a client wants may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request, in bytes.
const REQUEST: usize = 4096;

/// Where metrics can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A port of this host for itself.
    Loopback(SocketAddr),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path.to_owned()))
            } else {
                Err("the path of a socket begins with `/`".to_owned())
            };
        }
        let address: SocketAddr = text.parse().map_err(|_| {
            "expected `unix:PATH`, or a loopback address with port, such as `127.0.0.1:9469`".to_owned()
        })?;
        if address.ip().is_loopback() {
            Ok(Self::Loopback(address))
        } else {
            Err(format!(
                "{} can be reached from elsewhere, and metrics are for this host alone: take `127.0.0.1` or `[::1]`, and \
                 a proxy that knows who asks",
                address.ip()
            ))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Loopback(address) => address.fmt(f),
        }
    }
}

/// What can be had at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// `/metrics`.
    Metrics,
    /// `/metrics`, and `/status` for `mhnat status`.
    All,
}

/// Answers for as long as it lives.
#[derive(Debug)]
pub(crate) struct Server {
    task: JoinHandle<()>,
    path: Option<PathBuf>,
}

impl Server {
    /// From now on, whoever asks there is answered.
    pub(crate) fn start(address: &Address, offer: Offer, book: &Book) -> Result<Self, Failure> {
        let cannot =
            |error: io::Error| Failure::new(Exit::Cannot, format!("cannot answer at {address}: {error}"));
        let (listener, path) = match address {
            Address::Unix(path) => {
                clear(path).map_err(cannot)?;
                (Listener::Unix(UnixListener::bind(path).map_err(cannot)?), Some(path.clone()))
            }
            Address::Loopback(address) => {
                // Of tokio's own, only binding by name is asynchronous.
                let socket = std::net::TcpListener::bind(address).map_err(cannot)?;
                socket.set_nonblocking(true).map_err(cannot)?;
                (Listener::Tcp(TcpListener::from_std(socket).map_err(cannot)?), None)
            }
        };
        Ok(Self { task: tokio::spawn(serve(listener, offer, book.clone())), path })
    }
}

/// Whoever finds no socket knows that nobody is there.
impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// Takes away a socket that somebody has left there who was killed, and nothing else.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(there) if !there.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => fs::remove_file(path),
        },
    }
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

async fn serve(listener: Listener, offer: Offer, book: Book) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok(stream) => {
                let book = book.clone();
                tokio::spawn(async move {
                    // What becomes of an answer is the client's affair.
                    let _ = timeout(PATIENCE, answer(stream, offer, &book)).await;
                    drop(place);
                });
            }
            // Such as too many open files: that passes, and does not at once.
            Err(_) => sleep(PATIENCE).await,
        }
    }
}

async fn answer(mut stream: Box<dyn Stream>, offer: Offer, book: &Book) -> io::Result<()> {
    let mut request = Vec::with_capacity(512);
    let refused = |status| http::answer(status, "text/plain", "", Method::Get);
    let answer = loop {
        match http::read(&request) {
            http::Read::Incomplete if request.len() >= REQUEST => break refused(Status::TooLarge),
            http::Read::Incomplete => {
                let room = (REQUEST - request.len()) as u64;
                if (&mut stream).take(room).read_buf(&mut request).await? == 0 {
                    return Ok(());
                }
            }
            http::Read::Wrong(status) => break refused(status),
            http::Read::Request { method, path } => {
                let (kind, text) = match (path, method, offer) {
                    ("/metrics", Method::Get | Method::Head, _) => (CONTENT_TYPE, metrics(book).await),
                    ("/status", Method::Get | Method::Head, Offer::All) => {
                        let history = book.open().chronicle.history();
                        ("application/json", serde_json::to_string(&history).unwrap_or_default())
                    }
                    ("/look", Method::Post, Offer::All) => {
                        book.look();
                        ("text/plain", String::new())
                    }
                    ("/metrics", ..) | ("/status" | "/look", _, Offer::All) => {
                        break refused(Status::NotAllowed);
                    }
                    _ => break refused(Status::NotFound),
                };
                break http::answer(Status::Ok, kind, &text, method);
            }
        }
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

/// What the kernel cannot tell now is left at nothing: the rest is worth telling.
async fn metrics(book: &Book) -> String {
    let lost = book.open().stranded.clone();
    let counting = async {
        if lost.is_empty() {
            return None;
        }
        // With very many connections this takes a while, for which nobody else is to wait.
        tokio::task::spawn_blocking(move || stranded(&lost)).await.ok()?.ok()
    };
    let stranded = counting.await.unwrap_or_default();
    let leaked = Nft::leaked().unwrap_or_default();
    book.open().chronicle.metrics(&Counted { stranded, leaked })
}

#[cfg(test)]
mod tests;
