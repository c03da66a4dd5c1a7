use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use rstest::rstest;

use super::*;

#[rstest]
#[case("unix:/run/mhnat/metrics.sock", Ok("unix:/run/mhnat/metrics.sock"))]
#[case("127.0.0.1:9469", Ok("127.0.0.1:9469"))]
#[case("127.9.9.9:1", Ok("127.9.9.9:1"))]
#[case("[::1]:9469", Ok("[::1]:9469"))]
#[case("unix:metrics.sock", Err("begins with `/`"))]
#[case("0.0.0.0:9469", Err("0.0.0.0 can be reached from elsewhere"))]
#[case("[2001:db8::1]:9469", Err("2001:db8::1 can be reached from elsewhere"))]
#[case("localhost:9469", Err("expected `unix:PATH`"))]
#[case("9469", Err("expected `unix:PATH`"))]
fn addresses(#[case] text: &str, #[case] expected: Result<&str, &str>) {
    match (text.parse::<Address>(), expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected),
        (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
        (found, _) => panic!("{found:?}"),
    }
}

/// Runs a server on a port of its own, and beside it what a client does.
fn with_server(offer: Offer, client: impl FnOnce(SocketAddr) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _server = Server::start(&Address::Loopback(free), offer, &Book::new()).unwrap();
        tokio::task::spawn_blocking(move || client(free)).await.unwrap();
    });
}

fn asked(at: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn whoever_asks_is_answered() {
    with_server(Offer::Metrics, |at| {
        let answer = asked(at, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("\nmhnat_turn_duration_seconds_count 0\n"), "{answer}");
        assert!(asked(at, b"GET /status HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        for request in ["DELETE /metrics", "POST /metrics"] {
            let answer = asked(at, format!("{request} HTTP/1.1\r\n\r\n").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        }
        assert!(asked(at, b"POST /look HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(asked(at, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    });
    with_server(Offer::All, |at| {
        assert!(asked(at, b"GET /status HTTP/1.1\r\n\r\n").contains("\"reasserted\":0"));
        assert!(asked(at, b"POST /look HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn a_request_without_end_is_refused() {
    with_server(Offer::Metrics, |at| {
        assert!(asked(at, &[b'x'; REQUEST]).starts_with("HTTP/1.1 431 "));
    });
}

#[test]
fn whoever_says_nothing_keeps_nobody_waiting() {
    with_server(Offer::Metrics, |at| {
        let silent: Vec<_> = (1..CLIENTS).map(|_| TcpStream::connect(at).unwrap()).collect();
        let begun = Instant::now();
        assert!(asked(at, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        // With all places taken, one is free when the patience with the others has ended.
        let more: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(at).unwrap()).collect();
        assert!(asked(at, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
        drop((silent, more));
    });
}

#[test]
fn only_what_a_killed_daemon_has_left_is_taken_away() {
    let directory = std::env::temp_dir().join(format!("mhnat-serve-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let start = || Server::start(&Address::Unix(path.clone()), Offer::All, &Book::new());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let server = start().unwrap();
        assert!(start().unwrap_err().message.contains("in use"));
        drop(server);
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        assert!(start().unwrap_err().message.contains("exists"));
    });
    fs::remove_dir_all(&directory).unwrap();
}
