//! A question to a DNS server (RFC 1035, 4.1), and whether a datagram answers it.

use crate::model::DomainName;

/// Bytes of the header.
const HEADER: usize = 12;
/// Recursion desired (RFC 1035, 4.1.1).
const RD: u8 = 0x01;
/// Response, in the first byte of the flags; the operation code follows.
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
/// Types and the class of questions.
const NS: u16 = 2;
const A: u16 = 1;
const IN: u16 = 1;

/// A question. What is asked does not matter, so it is what any server has at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsQuestion {
    datagram: Vec<u8>,
}

impl DnsQuestion {
    /// Asks for the address of a name, or for the servers of the root. `id` is to be hard to guess.
    pub fn new(id: u16, name: Option<&DomainName>) -> Self {
        let mut datagram = Vec::with_capacity(HEADER + 32);
        datagram.extend(id.to_be_bytes());
        datagram.extend([RD, 0]);
        for count in [1_u16, 0, 0, 0] {
            datagram.extend(count.to_be_bytes());
        }
        for label in name.into_iter().flat_map(DomainName::labels) {
            datagram.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            datagram.extend(label.bytes());
        }
        datagram.push(0);
        datagram.extend(if name.is_some() { A } else { NS }.to_be_bytes());
        datagram.extend(IN.to_be_bytes());
        Self { datagram }
    }

    /// What is sent.
    pub fn datagram(&self) -> &[u8] {
        &self.datagram
    }

    /// Whether this is an answer to it. What the server says of the name is of no account, a refusal included: the
    /// server was reached.
    pub fn is_answered_by(&self, datagram: &[u8]) -> bool {
        let Some((header, rest)) = datagram.split_at_checked(HEADER) else { return false };
        let [id0, id1, flags, _, questions0, questions1, ..] = *header else { return false };
        let same = [id0, id1] == self.datagram[..2] && flags & (QR | OPCODE) == QR;
        // Servers that cannot read a question leave it out of their answer.
        match u16::from_be_bytes([questions0, questions1]) {
            0 => same,
            1 => {
                let asked = &self.datagram[HEADER..];
                same && rest.get(..asked.len()).is_some_and(|it| it.eq_ignore_ascii_case(asked))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a server would: the question again, with the bit of an answer and a code.
    fn answer(to: &DnsQuestion, code: u8) -> Vec<u8> {
        let mut datagram = to.datagram().to_vec();
        datagram[2] |= QR;
        datagram[3] = 0x80 | code;
        datagram
    }

    #[test]
    fn the_root_is_asked_for_its_servers() {
        let question = DnsQuestion::new(0x1234, None);
        assert_eq!(question.datagram(), [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]);
    }

    #[test]
    fn a_name_is_asked_for_its_address() {
        let question = DnsQuestion::new(1, Some(&"ab.example.".parse().unwrap()));
        assert_eq!(&question.datagram()[12..], b"\x02ab\x07example\0\0\x01\0\x01");
    }

    #[test]
    fn any_answer_counts_and_nothing_else() {
        let question = DnsQuestion::new(7, Some(&"Example".parse().unwrap()));
        for code in [0, 1, 2, 3, 5] {
            assert!(question.is_answered_by(&answer(&question, code)));
        }
        let mut small = answer(&question, 0);
        small[13..20].make_ascii_lowercase();
        assert!(question.is_answered_by(&small));
        let mut bare = answer(&question, 1)[..12].to_vec();
        bare[5] = 0;
        assert!(question.is_answered_by(&bare));
        assert!(!question.is_answered_by(question.datagram()), "its own echo");
        assert!(
            !question.is_answered_by(&answer(&DnsQuestion::new(8, Some(&"example".parse().unwrap())), 0))
        );
        assert!(!question.is_answered_by(&answer(&DnsQuestion::new(7, None), 0)), "another question");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_looked_at(id in any::<u16>(), datagram in prop::collection::vec(any::<u8>(), 0..64)) {
            let question = DnsQuestion::new(id, None);
            if question.is_answered_by(&datagram) {
                prop_assert!(datagram.len() >= HEADER && datagram[..2] == id.to_be_bytes());
            }
        }
    }
}
