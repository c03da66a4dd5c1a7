//! `mhnat explain`: what becomes of a packet, and why.

use ipnet::IpNet;
use mhnat_core::desired::desired;
use mhnat_core::explain::{
    Connection, Endpoint, Entry, Explanation, Fate, Outcome, Protocol, Question, Tuple, explain,
};
use mhnat_core::host::{Hop, Host, HostRoute};
use mhnat_core::link::Availability;
use mhnat_core::model::Model;
use mhnat_core::resolve::resolve;
use mhnat_core::routing::TableId;
use mhnat_core::slot::Slots;
use serde::Serialize;

use crate::cli::Explain;
use crate::failure::{Exit, Failure};
use crate::kernel::{Devices, Kernel};
use crate::state;
use crate::terminal::Terminal;

/// What is printed as JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    /// What the kernel says; nothing when it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<&'a Live>,
}

/// What the kernel says of the same packet.
#[derive(Default, Serialize)]
struct Live {
    /// Its routing decision with what the first outcome was looked up with.
    route: Option<Fate>,
    /// The entry of the connection.
    entry: Option<Entry>,
    /// Where prediction and kernel are not of one mind.
    differences: Vec<String>,
    /// What could not be asked.
    not_asked: Vec<String>,
}

pub(super) async fn run(model: &Model, arguments: &Explain, terminal: &mut Terminal) -> Result<(), Failure> {
    let (destination, protocol) = to(&arguments.to)?;
    let source = arguments.from.as_deref().map(endpoint).transpose()?;
    if source.is_some_and(|it| it.address.is_ipv4() != destination.address.is_ipv4()) {
        return Err(bad("--from and --to are of different families"));
    }
    if arguments.entry.is_some() && source.is_none() {
        return Err(bad("a packet that comes in has a source").hint("give --from ADDRESS:PORT"));
    }
    let mut question = Question {
        entry: arguments.entry.clone(),
        source,
        destination,
        protocol,
        connection: match arguments.established_mark.as_deref() {
            Some(mark) => {
                Connection::Established { mark: number(mark)?, answer: arguments.answer, entry: None }
            }
            None => Connection::New,
        },
    };
    let names = model.uplinks.iter().map(|uplink| &uplink.name);
    let previous = state::slots(&arguments.state.state_dir);
    let slots = Slots::allocate(names, &previous, model.mask.capacity());
    let mut host = Host::default();
    let mut model = model.clone();
    let mut availability = Availability::full();
    let mut live = None;
    if arguments.live {
        let kernel = Kernel::open()?;
        let mut devices = kernel.devices().await?;
        let asking = model.uplinks.iter().filter(|uplink| uplink.dynamic.gateway);
        kernel.learn(&mut devices, asking.map(|uplink| &uplink.interface)).await?;
        model = resolve(&model, &devices.links, &Kernel::families());
        availability = Availability::observe(&model, &devices.links)
            .heed(&model, &state::health(&arguments.state.state_dir));
        host = kernel.host(&devices).await?;
        live = Some((kernel, devices));
    }
    host.routes.extend(arguments.route.iter().map(|it| route(it)).collect::<Result<Vec<_>, _>>()?);
    let desired = desired(&model, &slots, &availability);
    let report = match live {
        None => (explain(&model, &desired, &host, &question), None),
        Some((kernel, devices)) => {
            let mut live = Live::default();
            live.entry = entry(&kernel, &question, &mut live);
            if let (Some(found), false, None) =
                (live.entry, arguments.new, arguments.established_mark.as_ref())
            {
                let answer = source.is_some_and(|it| found.original.source != it);
                question.connection =
                    Connection::Established { mark: found.mark, answer, entry: Some(found) };
            }
            let explanation = explain(&model, &desired, &host, &question);
            let as_new = Question { connection: Connection::New, ..question.clone() };
            let as_new = explain(&model, &desired, &host, &as_new);
            compare(&kernel, &devices, &model, &explanation, &as_new, &mut live).await?;
            (explanation, Some(live))
        }
    };
    print(&report.0, report.1.as_ref(), arguments, terminal)
}

/// The entry of the connection, if both ports are known and the kernel tells.
fn entry(kernel: &Kernel, question: &Question, live: &mut Live) -> Option<Entry> {
    let source = question.source?;
    if source.port.is_none() || question.destination.port.is_none() {
        live.not_asked.push("the connection's entry: that needs both ports".to_owned());
        return None;
    }
    match kernel.connection(Tuple { source, destination: question.destination }, question.protocol) {
        Ok(found) => found,
        Err(error) => {
            live.not_asked.push(crate::failure::with_causes(&error));
            None
        }
    }
}

/// Asks the kernel what the first outcome was asked with, and holds the connection's entry against what a new
/// connection would get. Where chance decides, one of the outcomes must agree.
async fn compare(
    kernel: &Kernel,
    devices: &Devices,
    model: &Model,
    explanation: &Explanation,
    as_new: &Explanation,
    live: &mut Live,
) -> Result<(), Failure> {
    let mut unlike = Vec::new();
    let mut agreed = false;
    for outcome in &explanation.outcomes {
        let Some(lookup) = &outcome.lookup else { continue };
        let found = kernel.lookup(devices, lookup, explanation.question.protocol).await?;
        if same(&outcome.fate, &found) {
            agreed = true;
        } else {
            unlike.push(format!(
                "routing: predicted {}, and the kernel says {}",
                short(&outcome.fate),
                short(&found)
            ));
        }
        live.route.get_or_insert(found);
    }
    // A single decision depends on nothing but the packet. With more than one outcome, each decision was
    // asked for with its own mark and destination, so that all must agree as well.
    if !unlike.is_empty() || !agreed {
        live.differences.extend(unlike);
    }
    // An entry that ends with this packet need not be what a new one would be.
    let ends = |outcome: &Outcome| matches!(outcome.fate, Fate::Forgotten { .. });
    if let Some(entry) = live.entry.filter(|_| !explanation.outcomes.iter().any(ends)) {
        let began = as_new.question.source.is_some_and(|it| it == entry.original.source);
        let fits = |outcome: &Outcome| {
            let kept = outcome.connection_mark & model.mask.bits() == entry.mark & model.mask.bits();
            let after = entry.reply.reverse();
            let source = outcome.source.address == after.source.address;
            (kept, source && outcome.destination == after.destination, after)
        };
        let all: Vec<_> = as_new.outcomes.iter().map(fits).collect();
        if began && !all.iter().any(|(mark, _, _)| *mark) {
            let mark = as_new.outcomes.first().map_or(0, |it| it.connection_mark);
            live.differences.push(format!(
                "mark: a new connection would get {mark:#x}, and the entry has {:#x}",
                entry.mark
            ));
        }
        if began
            && !all.iter().any(|(_, translated, _)| *translated)
            && let (Some((_, _, after)), Some(first)) = (all.first(), as_new.outcomes.first())
        {
            live.differences.push(format!(
                "translation: a new connection would be {} -> {}, and the entry is {} -> {}",
                first.source, first.destination, after.source, after.destination
            ));
        }
    }
    Ok(())
}

fn same(predicted: &Fate, found: &Fate) -> bool {
    match (predicted, found) {
        (
            Fate::Leaves { device, gateway, table, .. },
            Fate::Leaves { device: device_2, gateway: gateway_2, table: table_2, .. },
        ) => device == device_2 && gateway == gateway_2 && table == table_2,
        (Fate::Delivered, Fate::Delivered) | (Fate::Refused { .. }, Fate::Refused { .. }) => true,
        // A rule of ours drops it after it was routed; the kernel's routes do not know that.
        (Fate::Dropped { .. } | Fate::Forgotten { .. }, _) => true,
        _ => false,
    }
}

fn short(fate: &Fate) -> String {
    match fate {
        Fate::Leaves { device, gateway, table, .. } => {
            let gateway = gateway.map(|it| format!(" via {it}")).unwrap_or_default();
            format!("{device}{gateway} (table {table})")
        }
        Fate::Delivered => "this host".to_owned(),
        Fate::Refused { by } => format!("refused: {by}"),
        Fate::Dropped { by } => format!("dropped by {by}"),
        Fate::Forgotten { masqueraded_on } => format!("forgotten by {masqueraded_on}"),
        Fate::LeftToMain => "what main says".to_owned(),
    }
}

fn print(
    explanation: &Explanation,
    live: Option<&Live>,
    arguments: &Explain,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    if arguments.json {
        let text = serde_json::to_string_pretty(&Report { explanation, live })
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write JSON: {error}")))?;
        terminal.print(&(text + "\n"));
    } else {
        terminal.print(&explanation.text(arguments.all));
    }
    let Some(live) = live else { return Ok(()) };
    for it in &live.not_asked {
        terminal.warn(&format!("not asked: {it}"), None);
    }
    if !arguments.json {
        let entry = live.entry.map_or_else(
            || "no connection with these ends is tracked".to_owned(),
            |it| {
                format!(
                    "connection tracked as {} -> {}, answered {} -> {}, mark {:#x}",
                    it.original.source,
                    it.original.destination,
                    it.reply.source,
                    it.reply.destination,
                    it.mark
                )
            },
        );
        let route = live.route.as_ref().map(|it| format!("\nthe kernel's route: {}", short(it)));
        terminal.print(&format!("{}\n{entry}\n", route.unwrap_or_default()));
    }
    if live.differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, live.differences.join("; "))
        .hint("is the configuration applied, and did the connection begin after that?"))
}

fn bad(message: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::BadInput, message)
}

fn endpoint(text: &str) -> Result<Endpoint, Failure> {
    text.parse().map_err(|error: String| bad(error))
}

fn to(text: &str) -> Result<(Endpoint, Protocol), Failure> {
    let (end, protocol) = text.rsplit_once('/').ok_or_else(|| {
        bad(format!("{text:?} has no protocol"))
            .hint("end it with /tcp, /udp or /icmp, as in 192.0.2.80:443/tcp")
    })?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        other => return Err(bad(format!("{other:?} is none of tcp, udp, icmp"))),
    };
    Ok((endpoint(end)?, protocol))
}

fn number(text: &str) -> Result<u32, Failure> {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16));
    parsed.map_err(|_| bad(format!("{text:?} is no mark")).hint("a mark is a number such as 0x200"))
}

/// A route of table main as a person says it.
fn route(text: &str) -> Result<HostRoute, Failure> {
    let parts = text.split_once('=').and_then(|(to, device)| Some((to.parse::<IpNet>().ok()?, device)));
    let (to, device) = parts.ok_or_else(|| {
        bad(format!("{text:?} is no route")).hint("give PREFIX=DEVICE, as in 10.0.0.0/24=lan0")
    })?;
    Ok(HostRoute {
        table: TableId::MAIN,
        to,
        metric: 0,
        kind: "unicast".to_owned(),
        hops: vec![Hop { device: device.to_owned(), gateway: None }],
        source: None,
        protocol: 0,
    })
}
