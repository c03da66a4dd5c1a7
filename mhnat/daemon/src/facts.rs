//! Gathering what `audit` judges. Nothing is changed, no module is loaded on purpose, and what this user may not
//! read is written down instead.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;

use mhnat_core::audit::{Facts, ForeignRule, NftProgram};
use mhnat_core::family::Family;
use mhnat_core::nft::Table;
use mhnat_core::sysctl::Key;
use tokio::process::Command;

use crate::failure::{Failure, with_causes};
use crate::kernel::{Devices, Kernel};
use crate::nft::{Choice, NftError, Program};

/// What one setting needs, in a ruleset as small as may be. Loaded for a check only, which nft takes back.
const PROBES: &[(&str, &str)] = &[
    ("source translation", "type nat hook postrouting priority 100; oifname \"x\" masquerade"),
    ("destination translation", "type nat hook prerouting priority -100; dnat ip to 192.0.2.1"),
    ("marking this host's packets", "type route hook output priority -150; meta mark set 0x1"),
    ("connection marks", "type filter hook prerouting priority -150; ct mark set 0x1"),
    ("looking up routes in rules", "type filter hook prerouting priority -150; fib daddr type local accept"),
    ("looking up sockets in rules", "type filter hook prerouting priority -150; socket wildcard 0 accept"),
];

/// Everything that can be known.
pub(crate) async fn gather(nft: Option<&Choice>) -> Result<Facts, Failure> {
    let kernel = Kernel::open()?;
    let devices = kernel.devices().await?;
    let mut facts = Facts { host: kernel.host(&devices).await?, ..Facts::default() };
    settings(&mut facts, &devices);
    // What is asked, only the program answers.
    let named = nft.and_then(|choice| match choice {
        Choice::Program(path) => Some(path.as_path()),
        Choice::Library => None,
    });
    match Program::find(named) {
        Ok(nft) => rulesets(&mut facts, &nft).await,
        Err(NftError::NotFound) => facts.nft = NftProgram::Missing,
        Err(error) => facts.unread.push(with_causes(&error)),
    }
    legacy(&mut facts).await;
    Ok(facts)
}

fn settings(facts: &mut Facts, devices: &Devices) {
    let names = devices.names.iter().map(String::as_str);
    let mut paths: Vec<String> = names
        .chain(["all"])
        .flat_map(|name| {
            let v4 = ["rp_filter", "src_valid_mark", "promote_secondaries", "arp_ignore", "arp_announce"];
            let v6 = ["forwarding", "accept_ra"];
            let keys = v4.into_iter().map(move |it| Key::of_interface(Family::V4, name, it));
            keys.chain(v6.into_iter().map(move |it| Key::of_interface(Family::V6, name, it)))
        })
        .map(|key| key.path().to_owned())
        .collect();
    paths.extend(
        [
            "net/netfilter/nf_conntrack_count",
            "net/netfilter/nf_conntrack_max",
            "net/netfilter/nf_conntrack_tcp_loose",
            "net/bridge/bridge-nf-call-iptables",
            "net/bridge/bridge-nf-call-ip6tables",
        ]
        .map(str::to_owned),
    );
    let mut read = BTreeMap::new();
    for path in paths {
        match fs::read_to_string(Path::new("/proc/sys").join(&path)) {
            Ok(text) => {
                read.insert(path, text.trim_end().to_owned());
            }
            // The device has gone, or this kernel has no such thing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => facts.unread.push(format!("sysctl {path}: {error}")),
        }
    }
    facts.settings = read;
    let bridge = |name: &&String| Path::new("/sys/class/net").join(name).join("bridge").is_dir();
    facts.bridges = devices.names.iter().filter(bridge).cloned().collect();
}

async fn rulesets(facts: &mut Facts, nft: &Program) {
    match nft.version().await {
        Ok(Some((a, b, c))) => facts.nft = NftProgram::Version(a, b, c),
        Ok(None) => facts.unread.push("the version of nft".to_owned()),
        Err(NftError::NotFound) => {
            facts.nft = NftProgram::Missing;
            return;
        }
        Err(error) => facts.unread.push(with_causes(&error)),
    }
    match nft.everything().await {
        Ok(listing) => facts.foreign.extend(others(&listing)),
        Err(error) => {
            facts.unread.push(format!("the rulesets of others: {}", with_causes(&error)));
            // Who may not list may not probe.
            return;
        }
    }
    for (what, chain) in PROBES {
        let (hook, rule) = chain.split_once("; ").unwrap_or((chain, ""));
        let text = format!("table inet mhnat_probe {{\n\tchain c {{\n\t\t{hook};\n\t\t{rule}\n\t}}\n}}\n");
        match nft.check(&text).await {
            Ok(()) => {}
            Err(NftError::Refused { message, .. }) => facts.refused.push(((*what).to_owned(), message)),
            Err(error) => facts.unread.push(with_causes(&error)),
        }
    }
}

/// The rules of all tables but ours in what `nft list ruleset` prints.
fn others(listing: &str) -> Vec<ForeignRule> {
    let (mut table, mut chain) = (String::new(), None);
    let mut found = Vec::new();
    for line in listing.lines() {
        let depth = line.len() - line.trim_start_matches('\t').len();
        let words = line.trim().trim_end_matches(" {");
        match depth {
            0 if line.starts_with("table ") => words.clone_into(&mut table),
            1 => chain = words.strip_prefix("chain ").filter(|_| line.ends_with('{')).map(str::to_owned),
            2 if !words.starts_with("type ")
                && Table::ALL.iter().all(|ours| table != format!("table {ours}")) =>
            {
                if let Some(chain) = &chain {
                    found.push(ForeignRule {
                        place: format!("nft {table}, chain {chain}"),
                        text: words.to_owned(),
                    });
                }
            }
            _ => {}
        }
    }
    found
}

/// The rules of the old iptables. Only tables that exist are asked for: listing one makes it.
async fn legacy(facts: &mut Facts) {
    for (program, names) in
        [("iptables-legacy-save", "ip_tables_names"), ("ip6tables-legacy-save", "ip6_tables_names")]
    {
        let tables = match fs::read_to_string(Path::new("/proc/net").join(names)) {
            Ok(tables) => tables,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                facts.unread.push(format!("/proc/net/{names}: {error}"));
                continue;
            }
        };
        for table in tables.lines() {
            let output = Command::new(program).args(["-t", table]).stdin(Stdio::null()).output().await;
            match output {
                Ok(output) if output.status.success() => {
                    let text = String::from_utf8_lossy(&output.stdout);
                    facts.foreign.extend(text.lines().filter(|it| it.starts_with("-A")).map(|it| {
                        ForeignRule { place: format!("{program} -t {table}"), text: it.to_owned() }
                    }));
                }
                Ok(output) => facts.unread.push(format!("{program} -t {table}: {}", output.status)),
                Err(error) => facts.unread.push(format!("{program} -t {table}: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_others_are_found_with_their_place() {
        let listing = "table ip other {\n\tset s {\n\t\ttype mark\n\t\telements = { 0x1 }\n\t}\n\n\tchain c {\n\t\ttype \
                       filter hook input priority filter; policy accept;\n\t\tmeta mark set 0x1\n\t}\n}\n\
                       table inet mhnat {\n\tchain d {\n\t\tmeta mark set 0x100\n\t}\n}\n";
        assert_eq!(
            others(listing),
            [ForeignRule {
                place: "nft table ip other, chain c".to_owned(),
                text: "meta mark set 0x1".to_owned()
            }]
        );
    }
}
