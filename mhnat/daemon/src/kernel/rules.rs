//! Policy rules, as `FRA_*` attributes (linux/fib_rules.h).

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use mhnat_core::family::Family;
use mhnat_core::routing::{Action, PROTOCOL, Rule, Selector, TableId};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion};

use super::{KernelError, injected, lacks_family, refused};

pub(super) async fn ours(handle: &Handle) -> Result<BTreeSet<Rule>, KernelError> {
    let mut rules = BTreeSet::new();
    for (family, version) in [(Family::V4, IpVersion::V4), (Family::V6, IpVersion::V6)] {
        injected("list the rules")?;
        let mut stream = Box::pin(handle.rule().get(version).execute());
        let mut messages = Vec::new();
        loop {
            match stream.try_next().await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                // A kernel without IPv6 has no rules of it.
                Err(error) if family == Family::V6 && lacks_family(&error) => break,
                Err(error) => return Err(refused(format!("list the {family} rules"))(error)),
            }
        }
        for message in messages.iter().filter(|it| is_ours(it)) {
            let rule = parse(family, message).ok_or_else(|| {
                let priority = message.attributes.iter().find_map(|it| match it {
                    RuleAttribute::Priority(priority) => Some(*priority),
                    _ => None,
                });
                KernelError::Stranger(format!("an {family} rule at priority {}", priority.unwrap_or(0)))
            })?;
            rules.insert(rule);
        }
    }
    Ok(rules)
}

fn is_ours(message: &RuleMessage) -> bool {
    message
        .attributes
        .iter()
        .any(|it| matches!(it, RuleAttribute::Protocol(protocol) if u8::from(*protocol) == PROTOCOL))
}

/// The rule, if it is one that we write.
fn parse(family: Family, message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    let (mut priority, mut table) = (0, u32::from(header.table));
    let (mut source, mut mark, mut mask, mut suppressed, mut here) = (None, None, None, None, false);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(it) => priority = *it,
            RuleAttribute::Table(it) => table = *it,
            RuleAttribute::Source(it) => source = Some(*it),
            RuleAttribute::Iifname(it) if it == "lo" => here = true,
            RuleAttribute::FwMark(it) => mark = Some(*it),
            RuleAttribute::FwMask(it) => mask = Some(*it),
            // The kernel sends -1 for "none".
            RuleAttribute::SuppressPrefixLen(it) => suppressed = Some(*it).filter(|it| *it != u32::MAX),
            RuleAttribute::Protocol(_) => {}
            RuleAttribute::SuppressIfGroup(u32::MAX) => {}
            _ => return None,
        }
    }
    let whole = header.src_len == family.host_prefix();
    let selector = match (source, mark, mask, here) {
        (None, None, None, false) => Selector::All,
        (Some(address), None, None, false) if whole => Selector::From(address),
        (Some(address), None, None, true) if whole => Selector::SentFrom(address),
        (None, Some(mark), Some(mask), false) => Selector::Mark { mark, mask },
        _ => return None,
    };
    let table = TableId::from_number(table);
    let action = match (header.action, suppressed) {
        (RuleAction::ToTable, Some(0)) => Action::LookupWithoutDefault(table),
        (RuleAction::ToTable, None) => Action::Lookup(table),
        (RuleAction::Unreachable, None) => Action::Unreachable,
        _ => return None,
    };
    Some(Rule { action, priority, selector, family })
}

pub(super) fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = match rule.family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    let mut add = |attribute| message.attributes.push(attribute);
    add(RuleAttribute::Priority(rule.priority));
    add(RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
    let action = match rule.action {
        Action::Lookup(table) => {
            add(RuleAttribute::Table(table.number()));
            RuleAction::ToTable
        }
        Action::LookupWithoutDefault(table) => {
            add(RuleAttribute::Table(table.number()));
            add(RuleAttribute::SuppressPrefixLen(0));
            RuleAction::ToTable
        }
        Action::Unreachable => RuleAction::Unreachable,
    };
    let source = match rule.selector {
        Selector::All => None,
        Selector::Mark { mark, mask } => {
            add(RuleAttribute::FwMark(mark));
            add(RuleAttribute::FwMask(mask));
            None
        }
        Selector::From(address) => {
            add(RuleAttribute::Source(address));
            Some(address)
        }
        Selector::SentFrom(address) => {
            add(RuleAttribute::Source(address));
            add(RuleAttribute::Iifname("lo".to_owned()));
            Some(address)
        }
    };
    message.header.action = action;
    message.header.src_len = source.map_or(0, |address: IpAddr| Family::of(address).host_prefix());
    message
}
