//! The mark at the head of a probe's payload: readable in any packet dump, untouched by address translation.

/// Which exchange a packet belongs to, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    /// Question or answer.
    pub kind: TokenKind,
    /// Unique in a run.
    pub id: u32,
}

/// Direction of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenKind {
    /// From the one who asks.
    Question,
    /// From the service that was asked.
    Answer,
}

impl Token {
    /// Bytes that a token takes.
    pub const LENGTH: usize = 15;
    const HEAD: &'static [u8; 5] = b"mhlab";

    /// The token as it stands in a payload: `mhlab?0000002a` and a line break; an answer has `!` for `?`.
    pub fn bytes(self) -> [u8; Token::LENGTH] {
        let mut bytes = [0; Token::LENGTH];
        bytes[..5].copy_from_slice(Self::HEAD);
        bytes[5] = match self.kind {
            TokenKind::Question => b'?',
            TokenKind::Answer => b'!',
        };
        bytes[6..14].copy_from_slice(format!("{:08x}", self.id).as_bytes());
        bytes[14] = b'\n';
        bytes
    }

    /// The token at the head of a payload.
    pub fn read(payload: &[u8]) -> Option<Token> {
        let payload = payload.get(..Token::LENGTH)?;
        let kind = match (&payload[..5], payload[5], payload[14]) {
            (head, b'?', b'\n') if head == Self::HEAD => TokenKind::Question,
            (head, b'!', b'\n') if head == Self::HEAD => TokenKind::Answer,
            _ => return None,
        };
        let digits = std::str::from_utf8(&payload[6..14]).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        Some(Token { kind, id: u32::from_str_radix(digits, 16).ok()? })
    }

    /// What a service makes of a stream of questions: the same bytes, each question's mark as an answer's. Takes them
    /// out of `stream`, but for a tail that may be the beginning of a mark.
    pub fn answer_stream(stream: &mut Vec<u8>) -> Vec<u8> {
        let mut at = 0;
        while at < stream.len() {
            let rest = &stream[at..];
            let head = &rest[..rest.len().min(Self::HEAD.len())];
            if !Self::HEAD.starts_with(head) {
                at += 1;
            } else if rest.len() < Self::LENGTH {
                break;
            } else if let Some(answer) = Token::read(rest).and_then(|_| Token::answer(&rest[..Self::LENGTH]))
            {
                stream[at..at + Self::LENGTH].copy_from_slice(&answer);
                at += Self::LENGTH;
            } else {
                at += 1;
            }
        }
        let tail = stream.split_off(at);
        std::mem::replace(stream, tail)
    }

    /// What a service makes of a question: the same payload as an answer. None if there is no question in it.
    pub fn answer(payload: &[u8]) -> Option<Vec<u8>> {
        let token = Token::read(payload).filter(|token| token.kind == TokenKind::Question)?;
        let mut answer = payload.to_vec();
        answer[..Token::LENGTH].copy_from_slice(&Token { kind: TokenKind::Answer, ..token }.bytes());
        Some(answer)
    }
}
