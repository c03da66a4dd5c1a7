//! Deleting one rule of the subject, to prove that some scenario would notice.

use std::path::Path;

use harness_model::event::CommandRun;

use super::{commands, failure::Failure, reactor::Reactor};

/// A rule as `nft -a list ruleset` shows it.
struct Rule {
    table: String,
    chain: String,
    text: String,
    handle: String,
}

/// Deletes the `n`-th rule of all tables of a node. The command's output is the rule's text; status 1 and an empty
/// text say that there is no such rule.
pub(super) fn delete(reactor: &mut Reactor, node: usize, n: usize) -> Result<CommandRun, Failure> {
    let nft = commands::find("nft")?;
    let listing = commands::run(
        reactor,
        node,
        &nft,
        &["-a", "list", "ruleset"],
        Path::new("/"),
        "nft -a list ruleset",
    )?;
    let command = format!("delete rule {n}");
    if listing.status != 0 {
        return Err(Failure::Subject {
            command: listing.command,
            status: listing.status,
            output: listing.output,
        });
    }
    let Some(rule) = rules(&listing.output).into_iter().nth(n) else {
        return Ok(CommandRun { command, status: 1, output: String::new() });
    };
    let family_and_table: Vec<&str> = rule.table.split_whitespace().collect();
    let mut arguments = vec!["delete", "rule"];
    arguments.extend(family_and_table);
    arguments.extend([rule.chain.as_str(), "handle", &rule.handle]);
    let run = commands::run(reactor, node, &nft, &arguments, Path::new("/"), &command)?;
    if run.status != 0 {
        return Err(Failure::Subject { command, status: run.status, output: run.output });
    }
    Ok(CommandRun { command, status: 0, output: format!("{} {}: {}", rule.table, rule.chain, rule.text) })
}

/// Every rule of a listing.
fn rules(listing: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    let (mut table, mut chain) = (String::new(), None::<String>);
    for line in listing.lines().map(str::trim) {
        let (text, handle) = match line.rsplit_once(" # handle ") {
            Some((text, handle)) => (text.trim(), handle.trim()),
            None => (line, ""),
        };
        let name = |word: &str| {
            text.strip_prefix(word).and_then(|rest| rest.strip_suffix('{')).map(|rest| rest.trim().to_owned())
        };
        if let Some(found) = name("table ") {
            table = found;
            chain = None;
        } else if let Some(found) = name("chain ") {
            chain = Some(found);
        } else if text == "}" {
            chain = None;
        } else if let Some(chain) = chain.as_ref().filter(|_| !handle.is_empty()) {
            rules.push(Rule {
                table: table.clone(),
                chain: chain.clone(),
                text: text.to_owned(),
                handle: handle.to_owned(),
            });
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::rules;

    #[test]
    fn rules_are_found_among_sets_and_policies() {
        let listing = "table inet mhnat { # handle 4\n\tmap m { # handle 2\n\t\ttype ipv4_addr : ipv4_addr\n\
            \t\telements = { 192.0.2.1 : 198.51.100.1 }\n\t}\n\n\tchain post { # handle 1\n\
            \t\ttype nat hook postrouting priority 100; policy accept;\n\
            \t\toifname \"w1\" masquerade comment \"a { b }\" # handle 7\n\t}\n}\n\
            table ip x { # handle 5\n\tchain c { # handle 1\n\t\tdrop # handle 3\n\t}\n}\n";
        let found: Vec<(String, String, String)> =
            rules(listing).into_iter().map(|rule| (rule.table, rule.chain, rule.handle)).collect();
        let text =
            |table: &str, chain: &str, handle: &str| (table.to_owned(), chain.to_owned(), handle.to_owned());
        assert_eq!(found, [text("inet mhnat", "post", "7"), text("ip x", "c", "3")]);
    }
}
