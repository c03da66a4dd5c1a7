//! What probes look like on the wire, and which packets answer them.

mod dns;
mod echo;

pub use self::dns::DnsQuestion;
pub use self::echo::Echo;
