//! TCP flags (RFC 9293, section 3.1).

/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Reset the connection.
pub const RST: u8 = 0x04;
/// Push.
pub const PSH: u8 = 0x08;
/// The acknowledgement number counts.
pub const ACK: u8 = 0x10;
/// The urgent pointer counts.
pub const URG: u8 = 0x20;

/// Each flag with its word.
pub const NAMES: [(u8, &str); 6] =
    [(SYN, "syn"), (FIN, "fin"), (RST, "rst"), (PSH, "psh"), (ACK, "ack"), (URG, "urg")];

/// "syn+ack" and the like.
pub fn describe(flags: u8) -> String {
    let words: Vec<&str> =
        NAMES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, word)| *word).collect();
    if words.is_empty() { "no flag".to_owned() } else { words.join("+") }
}
