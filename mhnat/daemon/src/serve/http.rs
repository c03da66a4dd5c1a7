//! As much of HTTP/1.1 (RFC 9112) as an answer to `GET /metrics` takes: each connection is for one request without a
//! body.

/// What was made of the bytes that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// There is more to come.
    Incomplete,
    /// A request for this path.
    Request { method: Method, path: &'a str },
    /// Nothing that is answered otherwise.
    Wrong(Status),
}

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    /// As with `Get`, but what stands above the body is enough.
    Head,
    Post,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    Malformed,
    NotFound,
    NotAllowed,
    TooLarge,
}

impl Status {
    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::Malformed => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::NotAllowed => "405 Method Not Allowed",
            Self::TooLarge => "431 Request Header Fields Too Large",
        }
    }
}

/// Reads a request. Fields of its header are of no account.
pub(super) fn read(bytes: &[u8]) -> Read<'_> {
    if !bytes.windows(4).any(|it| it == b"\r\n\r\n") {
        return Read::Incomplete;
    }
    let line = bytes.split(|byte| *byte == b'\r').next().and_then(|line| std::str::from_utf8(line).ok());
    let words: Vec<&str> = line.map(|line| line.split(' ').collect()).unwrap_or_default();
    match words[..] {
        [method, target, version] if version.starts_with("HTTP/1.") && target.starts_with('/') => {
            let path = target.split('?').next().unwrap_or(target);
            match method {
                "GET" => Read::Request { method: Method::Get, path },
                "HEAD" => Read::Request { method: Method::Head, path },
                "POST" => Read::Request { method: Method::Post, path },
                _ => Read::Wrong(Status::NotAllowed),
            }
        }
        _ => Read::Wrong(Status::Malformed),
    }
}

/// An answer, after which the connection ends.
pub(super) fn answer(status: Status, kind: &str, content: &str, method: Method) -> Vec<u8> {
    let allow = if status == Status::NotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    let mut out = format!(
        "HTTP/1.1 {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        status.line(),
        content.len()
    );
    if method != Method::Head {
        out.push_str(content);
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_prometheus_asks("GET /metrics HTTP/1.1\r\nHost: localhost:9469\r\n\r\n", Read::Request { method: Method::Get, path: "/metrics" })]
    #[case::with_a_query("GET /metrics?a=b HTTP/1.1\r\n\r\n", Read::Request { method: Method::Get, path: "/metrics" })]
    #[case::older("GET / HTTP/1.0\r\n\r\n", Read::Request { method: Method::Get, path: "/" })]
    #[case::without_body("HEAD /metrics HTTP/1.1\r\n\r\n", Read::Request { method: Method::Head, path: "/metrics" })]
    #[case::nothing("", Read::Incomplete)]
    #[case::cut_off("GET /metrics HTTP/1.1\r\nHost: x\r\n", Read::Incomplete)]
    #[case::to_do_something("POST /look HTTP/1.1\r\n\r\n", Read::Request { method: Method::Post, path: "/look" })]
    #[case::another_method("PUT /metrics HTTP/1.1\r\n\r\n", Read::Wrong(Status::NotAllowed))]
    #[case::another_version("GET /metrics HTTP/2\r\n\r\n", Read::Wrong(Status::Malformed))]
    #[case::no_path("GET metrics HTTP/1.1\r\n\r\n", Read::Wrong(Status::Malformed))]
    #[case::no_words("\r\n\r\n", Read::Wrong(Status::Malformed))]
    fn requests(#[case] bytes: &str, #[case] expected: Read<'_>) {
        assert_eq!(read(bytes.as_bytes()), expected);
    }

    #[test]
    fn what_is_no_text_is_no_request() {
        assert_eq!(read(b"GET /\xff HTTP/1.1\r\n\r\n"), Read::Wrong(Status::Malformed));
    }

    #[test]
    fn an_answer_tells_its_length_and_ends_the_connection() {
        let whole = answer(Status::Ok, "text/plain", "a\n", Method::Get);
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\na\n";
        assert_eq!(String::from_utf8(whole).unwrap(), expected);
        let head = answer(Status::Ok, "text/plain", "a\n", Method::Head);
        assert_eq!(head, expected.trim_end_matches("a\n").as_bytes());
    }
}
