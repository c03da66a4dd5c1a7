//! The part of nft's language that our rulesets are written in, read back strictly.
//!
//! The text of a rule is what reaches the kernel, so it is the text that is read here, not what the modes
//! meant by it. What this grammar does not have is refused; a property test over configurations shows that
//! no plan contains such a rule.

use thiserror::Error;

/// Why a rule could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not understood at {0:?}")]
pub struct Unread(pub String);

/// One part of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// Goes on only if the left side is, or is not, one of the right.
    Match { left: Expr, negated: bool, right: Right },
    /// Ends with the verdict that a map has for a key.
    VerdictMap { key: Expr, map: Elements },
    /// Sets a mark.
    SetMark { target: MarkOf, value: Expr },
    /// Translates an address, a port, or both.
    Nat { kind: Nat, family: Option<&'static str>, to: Option<Expr>, port: Option<Expr> },
    /// Keeps the packet from conntrack.
    NoTrack,
    /// Ends with a verdict.
    Verdict(Verdict),
    /// Remembers something in a set or map; nothing changes for this packet.
    Remember(String),
    /// Has no bearing on the way of a packet, such as a counter.
    Aside(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkOf {
    Packet,
    Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nat {
    Destination,
    Source,
    Masquerade,
    Redirect,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Reject,
    Return,
    Continue,
    Jump(String),
    Goto(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Written out, each as nft writes it.
    Values(Vec<String>),
    /// A set or the keys of a map of the table.
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    Named(String),
    Written(Vec<(String, String)>),
}

/// Something with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Field(Field),
    /// As nft writes it.
    Literal(String),
    And(Box<Self>, u32),
    Or(Box<Self>, u32),
    Concat(Vec<Self>),
    Map(Box<Self>, Elements),
    /// `numgen` or `jhash`: a number below the modulus, from the offset on, that cannot be known beforehand.
    Chance {
        what: String,
        modulus: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    InName,
    OutName,
    Protocol,
    Family,
    /// The address family in the name makes the rule one of that family only.
    Address {
        family: &'static str,
        destination: bool,
    },
    Port {
        protocol: &'static str,
        destination: bool,
    },
    PacketMark,
    ConnectionMark,
    State,
    Status,
    Direction,
    Original {
        family: &'static str,
        destination: bool,
    },
    OriginalPort {
        destination: bool,
    },
    /// Where the answers of the connection go.
    ReplyDestination {
        family: &'static str,
    },
    /// The kind of an address, by the routes of this host. `on_device` asks for one device only.
    AddressType {
        destination: bool,
        on_device: bool,
    },
    SocketWildcard,
    TcpFlags,
}

/// Reads the matches and statements of a rule.
pub(super) fn read(text: &str) -> Result<Vec<Statement>, Unread> {
    let tokens = tokens(text);
    let mut reader = Reader { tokens: &tokens, at: 0 };
    let mut out = Vec::new();
    while reader.peek().is_some() {
        out.push(reader.statement()?);
    }
    Ok(out)
}

/// Reads a verdict, as elements of verdict maps have it.
pub(super) fn verdict(text: &str) -> Result<Verdict, Unread> {
    let tokens = tokens(text);
    let mut reader = Reader { tokens: &tokens, at: 0 };
    let found = reader.verdict().ok_or_else(|| Unread(text.to_owned()))?;
    if reader.peek().is_some() { Err(Unread(text.to_owned())) } else { Ok(found) }
}

fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            _ if quoted => word.push(c),
            '{' | '}' | ',' | '(' | ')' => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
                out.push(c.to_string());
            }
            _ if c.is_whitespace() => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

struct Reader<'a> {
    tokens: &'a [String],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&str> {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> Option<&str> {
        self.tokens.get(self.at + by).map(String::as_str)
    }

    fn next(&mut self) -> Result<String, Unread> {
        let token = self.tokens.get(self.at).cloned().ok_or_else(|| Unread("the end".to_owned()))?;
        self.at += 1;
        Ok(token)
    }

    /// Takes these words if they come next.
    fn take(&mut self, words: &[&str]) -> bool {
        let there = (0..).zip(words).all(|(by, word)| self.ahead(by) == Some(word));
        if there {
            self.at += words.len();
        }
        there
    }

    fn expect(&mut self, word: &str) -> Result<(), Unread> {
        if self.take(&[word]) { Ok(()) } else { Err(self.unread()) }
    }

    fn unread(&self) -> Unread {
        Unread(self.tokens[self.at.min(self.tokens.len())..].join(" "))
    }

    fn verdict(&mut self) -> Option<Verdict> {
        for (word, verdict) in [
            ("accept", Verdict::Accept),
            ("drop", Verdict::Drop),
            ("return", Verdict::Return),
            ("continue", Verdict::Continue),
        ] {
            if self.take(&[word]) {
                return Some(verdict);
            }
        }
        let make: fn(String) -> Verdict = match self.peek()? {
            "goto" => Verdict::Goto,
            "jump" => Verdict::Jump,
            _ => return None,
        };
        self.at += 1;
        self.next().ok().map(make)
    }

    fn statement(&mut self) -> Result<Statement, Unread> {
        if let Some(verdict) = self.verdict() {
            return Ok(Statement::Verdict(verdict));
        }
        if self.take(&["reject"]) {
            // Which answer is sent does not matter to the way of this packet.
            self.at = self.tokens.len();
            return Ok(Statement::Verdict(Verdict::Reject));
        }
        if self.take(&["notrack"]) {
            return Ok(Statement::NoTrack);
        }
        if self.take(&["counter"]) {
            if self.take(&["packets"]) {
                self.next()?;
                self.expect("bytes")?;
                self.next()?;
            }
            return Ok(Statement::Aside("counter".to_owned()));
        }
        for (word, target) in [("meta", MarkOf::Packet), ("ct", MarkOf::Connection)] {
            if self.take(&[word, "mark", "set"]) {
                return Ok(Statement::SetMark { target, value: self.expr()? });
            }
        }
        if self.take(&["tcp", "option", "maxseg", "size", "set"]) {
            let size = self.tokens[self.at..].join(" ");
            self.at = self.tokens.len();
            return Ok(Statement::Aside(format!("largest segment {size}")));
        }
        if let Some(nat) = self.nat()? {
            return Ok(nat);
        }
        if matches!(self.peek(), Some("update" | "add" | "delete"))
            && self.ahead(1).is_some_and(|word| word.starts_with('@'))
        {
            self.at += 1;
            let name = self.next()?;
            self.expect("{")?;
            while !self.take(&["}"]) {
                self.next()?;
            }
            return Ok(Statement::Remember(name.trim_start_matches('@').to_owned()));
        }
        let left = self.expr()?;
        if self.take(&["vmap"]) {
            return Ok(Statement::VerdictMap { key: left, map: self.elements()? });
        }
        if matches!(left, Expr::Literal(_)) {
            return Err(self.unread());
        }
        let negated = self.take(&["!="]);
        if !negated {
            self.take(&["=="]);
        }
        Ok(Statement::Match { left, negated, right: self.right()? })
    }

    fn nat(&mut self) -> Result<Option<Statement>, Unread> {
        let kind = match self.peek() {
            Some("dnat") => Nat::Destination,
            Some("snat") => Nat::Source,
            Some("masquerade") => Nat::Masquerade,
            Some("redirect") => Nat::Redirect,
            _ => return Ok(None),
        };
        self.at += 1;
        let (mut family, mut to, mut port) = (None, None, None);
        match kind {
            Nat::Masquerade => {}
            Nat::Redirect => {
                if self.take(&["to"]) {
                    let word = self.next()?;
                    let number = word.strip_prefix(':').filter(|it| number(it).is_some()).map(str::to_owned);
                    port = Some(Expr::Literal(number.ok_or(Unread(word))?));
                }
            }
            Nat::Destination | Nat::Source => {
                // `ip addr . port` says in older words that the map's values have a port.
                family = ["ip6", "ip"].into_iter().find(|word| self.take(&[word]));
                self.take(&["addr", ".", "port"]);
                self.expect("to")?;
                to = Some(self.expr()?);
                if self.take(&[":"]) {
                    port = Some(self.expr()?);
                }
            }
        }
        while ["random", "fully-random", "persistent"].into_iter().any(|word| self.take(&[word])) {}
        Ok(Some(Statement::Nat { kind, family, to, port }))
    }

    fn right(&mut self) -> Result<Right, Unread> {
        if let Some(name) = self.peek().and_then(|word| word.strip_prefix('@')) {
            let name = name.to_owned();
            self.at += 1;
            return Ok(Right::Named(name));
        }
        let mut values = Vec::new();
        let braces = self.take(&["{"]);
        loop {
            values.push(self.concatenated()?);
            if !self.take(&[","]) {
                break;
            }
        }
        if braces {
            self.expect("}")?;
        }
        Ok(Right::Values(values))
    }

    /// Words joined by dots, as one string.
    fn concatenated(&mut self) -> Result<String, Unread> {
        let mut text = self.value()?;
        while self.take(&["."]) {
            text = format!("{text} . {}", self.value()?);
        }
        Ok(text)
    }

    fn value(&mut self) -> Result<String, Unread> {
        match self.peek() {
            Some("{" | "}" | "," | "(" | ")" | "." | "&" | "|" | "/" | "==" | "!=") | None => {
                Err(self.unread())
            }
            Some(_) => self.next(),
        }
    }

    fn elements(&mut self) -> Result<Elements, Unread> {
        if let Some(name) = self.peek().and_then(|word| word.strip_prefix('@')) {
            let name = name.to_owned();
            self.at += 1;
            return Ok(Elements::Named(name));
        }
        self.expect("{")?;
        let mut written = Vec::new();
        while !self.take(&["}"]) {
            let key = self.concatenated()?;
            self.expect(":")?;
            let mut value = Vec::new();
            while !matches!(self.peek(), Some("," | "}") | None) {
                value.push(self.next()?);
            }
            written.push((key, value.join(" ")));
            self.take(&[","]);
        }
        Ok(Elements::Written(written))
    }

    fn expr(&mut self) -> Result<Expr, Unread> {
        let mut expr = self.concat()?;
        while self.take(&["map"]) {
            expr = Expr::Map(Box::new(expr), self.elements()?);
        }
        Ok(expr)
    }

    fn concat(&mut self) -> Result<Expr, Unread> {
        let first = self.masked()?;
        if self.peek() != Some(".") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take(&["."]) {
            parts.push(self.masked()?);
        }
        Ok(Expr::Concat(parts))
    }

    fn masked(&mut self) -> Result<Expr, Unread> {
        let mut expr = if self.take(&["("]) {
            let inner = self.expr()?;
            self.expect(")")?;
            inner
        } else {
            self.primary()?
        };
        loop {
            if self.take(&["&"]) {
                expr = Expr::And(Box::new(expr), self.number()?);
            } else if self.take(&["|"]) {
                expr = Expr::Or(Box::new(expr), self.number()?);
            } else {
                return Ok(expr);
            }
        }
    }

    fn number(&mut self) -> Result<u32, Unread> {
        let word = self.next()?;
        number(&word).ok_or(Unread(word))
    }

    fn primary(&mut self) -> Result<Expr, Unread> {
        if self.take(&["numgen"]) {
            let kind = self.next()?;
            let (modulus, _) = self.modulus()?;
            return Ok(Expr::Chance { what: format!("numgen {kind}"), modulus });
        }
        if self.take(&["jhash"]) {
            let from = self.at;
            self.concat()?;
            let of = self.tokens[from..self.at].join(" ");
            let (modulus, seed) = self.modulus()?;
            return Ok(Expr::Chance { what: format!("jhash {of}{seed}"), modulus });
        }
        if self.take(&["fib"]) {
            let destination = match self.next()?.as_str() {
                "daddr" => true,
                "saddr" => false,
                _ => return Err(self.unread()),
            };
            let on_device = self.take(&[".", "oif"]) || self.take(&[".", "iif"]);
            self.expect("type")?;
            return Ok(Expr::Field(Field::AddressType { destination, on_device }));
        }
        if let Some(field) = FIELDS.iter().find(|(words, _)| self.take(words)) {
            return Ok(Expr::Field(field.1.clone()));
        }
        self.value().map(Expr::Literal)
    }

    fn modulus(&mut self) -> Result<(u32, String), Unread> {
        self.expect("mod")?;
        let modulus = self.number()?;
        let mut seed = String::new();
        if self.take(&["seed"]) {
            seed = format!(" seed {}", self.next()?);
        }
        if self.take(&["offset"]) && self.number()? != 0 {
            return Err(self.unread());
        }
        Ok((modulus, seed))
    }
}

/// A number as nft writes it.
pub(super) fn number(word: &str) -> Option<u32> {
    word.strip_prefix("0x").map_or_else(|| word.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
}

const fn address(family: &'static str, destination: bool) -> Field {
    Field::Address { family, destination }
}

const fn port(protocol: &'static str, destination: bool) -> Field {
    Field::Port { protocol, destination }
}

const FIELDS: &[(&[&str], Field)] = &[
    (&["iifname"], Field::InName),
    (&["oifname"], Field::OutName),
    (&["meta", "iifname"], Field::InName),
    (&["meta", "oifname"], Field::OutName),
    (&["meta", "l4proto"], Field::Protocol),
    (&["meta", "nfproto"], Field::Family),
    (&["meta", "mark"], Field::PacketMark),
    (&["ct", "mark"], Field::ConnectionMark),
    (&["ct", "state"], Field::State),
    (&["ct", "status"], Field::Status),
    (&["ct", "direction"], Field::Direction),
    (&["ct", "original", "ip", "saddr"], Field::Original { family: "ip", destination: false }),
    (&["ct", "original", "ip", "daddr"], Field::Original { family: "ip", destination: true }),
    (&["ct", "original", "ip6", "saddr"], Field::Original { family: "ip6", destination: false }),
    (&["ct", "original", "ip6", "daddr"], Field::Original { family: "ip6", destination: true }),
    (&["ct", "reply", "ip", "daddr"], Field::ReplyDestination { family: "ip" }),
    (&["ct", "reply", "ip6", "daddr"], Field::ReplyDestination { family: "ip6" }),
    (&["ct", "original", "proto-src"], Field::OriginalPort { destination: false }),
    (&["ct", "original", "proto-dst"], Field::OriginalPort { destination: true }),
    (&["ip", "saddr"], address("ip", false)),
    (&["ip", "daddr"], address("ip", true)),
    (&["ip6", "saddr"], address("ip6", false)),
    (&["ip6", "daddr"], address("ip6", true)),
    (&["ip", "protocol"], Field::Protocol),
    (&["tcp", "sport"], port("tcp", false)),
    (&["tcp", "dport"], port("tcp", true)),
    (&["udp", "sport"], port("udp", false)),
    (&["udp", "dport"], port("udp", true)),
    (&["th", "sport"], port("", false)),
    (&["th", "dport"], port("", true)),
    (&["tcp", "flags"], Field::TcpFlags),
    (&["socket", "wildcard"], Field::SocketWildcard),
];
