//! Reading protocols with ports, and addresses with a port.

use std::net::{IpAddr, SocketAddr};

use toml::Spanned;

use super::super::words::nearest;
use super::addresses::{Placed, address};
use crate::diagnostic::Diagnostic;
use crate::model::{Ports, Transport};

/// Protocol and ports of a word such as `tcp/5001` or `udp/5000-5010`.
pub(super) fn ports(word: &Placed<&str>, found: &mut Vec<Diagnostic>) -> Option<Placed<(Transport, Ports)>> {
    let complain = |label: String| {
        Diagnostic::new(format!("{:?} is not a port", word.value), word.span.clone(), label)
            .hint("expected for example \"tcp/5001\" or \"udp/5000-5010\"")
    };
    let Some((protocol, ports)) = word.value.split_once('/') else {
        found.push(complain("expected protocol and port with `/` between them".to_owned()));
        return None;
    };
    let protocol = match protocol {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        other => {
            // A protocol that exists is not another one misspelt.
            let misspelt = !matches!(other, "sctp" | "dccp" | "icmp" | "udplite");
            let meant = nearest(other, ["tcp", "udp"].into_iter()).filter(|_| misspelt);
            let label = meant.map_or_else(
                || "only tcp and udp have ports here".to_owned(),
                |meant| format!("perhaps `{meant}` was meant"),
            );
            found.push(complain(label));
            None
        }
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let ports = if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
        let ports = Ports::new(first, last);
        if ports.is_none() {
            found.push(complain(
                if first > last { "the range ends before it begins" } else { "port 0 cannot be asked" }
                    .to_owned(),
            ));
        }
        ports
    } else {
        found.push(complain("a port is a number from 1 to 65535".to_owned()));
        None
    };
    Some(Placed { value: (protocol?, ports?), span: word.span.clone() })
}

/// An address that may have a port, such as `10.5.5.201`, `10.5.5.201:22` or `[2001:db8::1]:22`.
pub(super) fn socket(
    text: &Spanned<String>,
    what: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<(Placed<IpAddr>, Option<u16>)> {
    let word = text.get_ref().as_str();
    let (host, port) = match word.parse::<SocketAddr>() {
        Ok(socket) => (socket.ip().to_string(), Some(socket.port())),
        // A wrong port would otherwise be blamed on the address before it.
        Err(_) => match word.rsplit_once(':').filter(|_| word.parse::<IpAddr>().is_err()) {
            Some((host, _)) if is_host(host) => (host.to_owned(), Some(0)),
            Some(_) | None => (word.to_owned(), None),
        },
    };
    if port == Some(0) {
        found.push(
            Diagnostic::new(
                format!("{word:?} has no port that can be asked"),
                text.span(),
                "a port is a number from 1 to 65535",
            )
            .hint("leave it out to keep the port that was asked"),
        );
        return None;
    }
    let placed = address(&Placed { value: host.as_str(), span: text.span() }, what, found)?;
    Some((placed, port))
}

fn is_host(word: &str) -> bool {
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    bare.unwrap_or(word).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("tcp/1", Some((Transport::Tcp, 1, 1)))]
    #[case("udp/65535", Some((Transport::Udp, 65535, 65535)))]
    #[case("udp/5000-5010", Some((Transport::Udp, 5000, 5010)))]
    #[case("tcp/7-7", Some((Transport::Tcp, 7, 7)))]
    #[case("tcp/0", None)]
    #[case("tcp/65536", None)]
    #[case("tcp/2-1", None)]
    #[case("tcp/-1", None)]
    #[case("tcp/", None)]
    #[case("sctp/1", None)]
    #[case("5001", None)]
    fn words_for_ports(#[case] word: &str, #[case] expected: Option<(Transport, u16, u16)>) {
        let mut found = Vec::new();
        let read = ports(&Placed { value: word, span: 0..word.len() }, &mut found);
        let expected = expected.map(|(protocol, first, last)| (protocol, Ports::new(first, last).unwrap()));
        assert_eq!(read.map(|it| it.value), expected);
        assert_eq!(found.is_empty(), expected.is_some(), "{found:?}");
    }

    #[rstest]
    #[case("192.0.2.1", Some(("192.0.2.1", None)))]
    #[case("192.0.2.1:9001", Some(("192.0.2.1", Some(9001))))]
    #[case("2001:db8::1", Some(("2001:db8::1", None)))]
    #[case("[2001:db8::1]:9001", Some(("2001:db8::1", Some(9001))))]
    #[case("192.0.2.1:0", None)]
    #[case("192.0.2.1:65536", None)]
    #[case("[2001:db8::1]:x", None)]
    #[case("[2001:db8::1]", None)]
    fn addresses_with_a_port(#[case] word: &str, #[case] expected: Option<(&str, Option<u16>)>) {
        let mut found = Vec::new();
        let text = Spanned::new(0..word.len(), word.to_owned());
        let read = socket(&text, "a far host", &mut found).map(|(address, port)| (address.value, port));
        assert_eq!(read, expected.map(|(address, port)| (address.parse().unwrap(), port)));
        assert_eq!(found.len(), usize::from(expected.is_none()), "{found:?}");
    }
}
