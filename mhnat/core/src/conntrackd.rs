//! The configuration of conntrackd(8) that follows from `[sync]`, see conntrackd.conf(5).
//!
//! - No external cache: what the other node tells goes into the kernel at once. An answer must find its connection
//!   there, whichever node it comes by, and when the other node dies nobody has to be told.
//! - No filter by state of TCP: the answer to the first packet is the one that matters.
//! - What is between a node itself and others is none of the other's business. Only the ends of a connection count:
//!   one that is led to a host behind is shared although it asks an address of the node.
//! - Windows are not tracked, because each node may see only half of a connection.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::IpNet;

use crate::family::Family;
use crate::model::{Model, Sync, SyncMode};

/// Whose connections are never shared: of the host with itself, and of its links.
const ALWAYS: [&str; 3] = ["127.0.0.0/8", "::1", "fe80::/10"];

/// Beyond this a connection that is gone has room as well, while the other node has not confirmed that it knows.
const SPARE: u32 = 2;

/// How much larger the buffer for what the kernel tells may become when it was too small.
const GROWTH: u32 = 4;

/// How many connections one chain of the table of conntrackd has when it is full.
const LOAD: u32 = 8;

/// The file; nothing without `[sync]`. Its lock and its socket are in `directory`, an absolute path.
pub fn config(model: &Model, directory: &str) -> Option<String> {
    let sync = model.sync.as_ref()?;
    let (mode, queue) = match sync.mode {
        // Only this one has something to send again.
        SyncMode::Ftfw => ("FTFW", format!("\t\tResendQueueSize {}\n", sync.queue)),
        SyncMode::Notrack => ("NOTRACK", String::new()),
    };
    let ip = match Family::of(sync.address) {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    let Sync { peer, address, interface, port, connections, buffer, .. } = sync;
    let limit = connections.saturating_mul(SPARE);
    let ignored: String = ignored(model, sync).iter().fold(String::new(), |mut out, word| {
        let family = if word.contains(':') { "IPv6" } else { "IPv4" };
        let _ = writeln!(out, "\t\t\t{family}_address {word}");
        out
    });
    let (sockets, netlink) = match *buffer {
        0 => (String::new(), String::new()),
        size => (
            format!("\t\tSndSocketBuffer {size}\n\t\tRcvSocketBuffer {size}\n"),
            format!(
                "\tNetlinkBufferSize {size}\n\tNetlinkBufferSizeMaxGrowth {}\n",
                size.saturating_mul(GROWTH)
            ),
        ),
    };
    Some(format!(
        "\
Sync {{
	Mode {mode} {{
{queue}		DisableExternalCache yes
		StartupResync yes
	}}
	UDP {{
		{ip}_address {address}
		{ip}_Destination_Address {peer}
		Port {port}
		Interface {interface}
{sockets}		Checksum yes
	}}
	Options {{
		TCPWindowTracking no
	}}
}}
General {{
	Systemd no
	HashSize {buckets}
	HashLimit {limit}
	LogFile no
	Syslog no
	LockFile {directory}/conntrackd.lock
	UNIX {{
		Path {directory}/conntrackd.ctl
	}}
{netlink}	NetlinkOverrunResync yes
	NetlinkEventsReliable no
	Filter From Userspace {{
		Protocol Accept {{
			TCP
			UDP
		}}
		Address Ignore {{
{ignored}		}}
	}}
}}
",
        buckets = limit / LOAD,
    ))
}

/// As conntrackd takes them: addresses and prefixes, each once.
fn ignored(model: &Model, sync: &Sync) -> Vec<String> {
    let legs = model.uplinks.iter().flat_map(|uplink| uplink.legs.values());
    let looped = model.replies.looped().into_iter().flat_map(|it| it.servers.values());
    let own = legs.flat_map(|leg| &leg.addresses).chain(looped).chain([&sync.address, &sync.peer]);
    let full_nat = model.forwards.iter().filter_map(|it| it.full_nat.as_ref());
    let nets: BTreeSet<IpNet> =
        own.chain(full_nat).map(|it| IpNet::from(*it)).chain(sync.ignore.iter().copied()).collect();
    let words = nets.iter().map(|net| match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    });
    ALWAYS.into_iter().map(str::to_owned).chain(words).collect()
}

#[cfg(test)]
mod tests;
