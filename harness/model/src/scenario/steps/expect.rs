//! What must be so after a step.

use std::ops::Range;

use super::{
    super::{
        Entries, EntryChange, Expect, Findings, StreamExpect,
        names::Names,
        raw,
        spanned::{At, NumberOrText},
        words,
    },
    action::Kind,
    pattern,
};
use crate::{
    diagnostic::Diagnostic,
    topology::{LinkId, NodeId},
};

/// What a step expects; without a word about it, an exchange is expected to be answered.
///
/// `kind` is None for a step whose action could not be told: that has been reported.
pub(super) fn expect(
    given: Option<&At<raw::Expect>>,
    kind: Option<Kind>,
    names: Names<'_>,
    findings: &mut Findings,
) -> Expect {
    let exchanges = kind.is_some_and(Kind::exchanges);
    let runs = kind == Some(Kind::Run);
    let Some(at) = given else {
        return Expect { answered: exchanges.then_some(true), exit: runs.then_some(0), ..Expect::default() };
    };
    let value = &at.value;
    if let Some(kind) = kind {
        misplaced(value, kind, findings);
    }
    let answered = value.answered.as_ref().map(|answered| answered.value);
    if let (Some(error), Some(answered)) =
        (&value.error, value.answered.as_ref().filter(|answered| answered.value))
    {
        findings.push(
            Diagnostic::new(
                &error.span,
                "an exchange is answered or ends with an error, not both",
                "contradicts `answered = true`",
            )
            .related(&answered.span, "answered"),
        );
    }
    let mut endpoint = |text: &Option<At<String>>| names.endpoint(text.as_ref()?, findings);
    let (reply_from, seen_from, seen_to) =
        (endpoint(&value.reply_from), endpoint(&value.seen_from), endpoint(&value.seen_to));
    let mut link = |text: &Option<At<String>>| -> Option<LinkId> { names.link(text.as_ref()?, findings) };
    let (by, reply_by) = (link(&value.by), link(&value.reply_by));
    let reached = value.reached.as_ref().and_then(|name| names.node(name, findings));
    let (path, reply_path) = (nodes(&value.path, names, findings), nodes(&value.reply_path, names, findings));
    let mut packets: Vec<_> =
        value.seen.iter().filter_map(|at| pattern::seen(at, kind, names, findings)).collect();
    packets.extend(value.never.iter().filter_map(|at| pattern::never(at, kind, names, findings)));
    let implied = exchanges && value.error.is_none() && !says_where(value);
    Expect {
        // A wrong source makes the answer useless to the application, so it is not "answered" then; whoever
        // asks about the reply itself, or about the question only, says so.
        answered: answered.or(implied.then_some(true)),
        error: value.error.as_ref().map(|error| error.value),
        reply_from,
        seen_from,
        seen_to,
        reached,
        by,
        reply_by,
        path,
        reply_path,
        packets,
        stream: stream(value, findings),
        conntrack: value.conntrack.iter().filter_map(|at| pattern::entries(at, names, findings)).collect(),
        changes: changes(value, names, findings),
        exit: value.exit.as_ref().map(|exit| exit.value).or(runs.then_some(0)),
        output: value.output.as_ref().map(|text| text.value.clone()),
    }
}

fn changes(value: &raw::Expect, names: Names<'_>, findings: &mut Findings) -> Vec<(EntryChange, Entries)> {
    let created = value.created.iter().map(|at| (EntryChange::Created, at));
    let destroyed = value.destroyed.iter().map(|at| (EntryChange::Destroyed, at));
    let both = created.chain(destroyed);
    both.filter_map(|(change, at)| Some((change, pattern::entries(at, names, findings)?))).collect()
}

fn stream(value: &raw::Expect, findings: &mut Findings) -> StreamExpect {
    let mut count = |text: &Option<At<NumberOrText>>| words::count(text.as_ref()?, findings);
    let (lost, reply_lost, leaked) = (count(&value.lost), count(&value.reply_lost), count(&value.leaked));
    let (duplicated, reordered) = (count(&value.duplicated), count(&value.reordered));
    let mut time = |text: &Option<At<String>>| words::time_limit(text.as_ref()?, findings);
    let (outage, recovery) = (time(&value.outage), time(&value.recovery));
    StreamExpect { lost, reply_lost, duplicated, reordered, leaked, outage, recovery }
}

fn nodes(
    path: &Option<At<Vec<At<String>>>>,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Vec<NodeId>> {
    let path = path.as_ref()?;
    if path.value.is_empty() {
        findings.push(
            Diagnostic::new(
                &path.span,
                "no packet has a way without a node",
                "expected every node on the way",
            )
            .hint("such as [\"client\", \"router\", \"server\"]"),
        );
    }
    Some(path.value.iter().filter_map(|name| names.node(name, findings)).collect())
}

type Place<'e> = Option<&'e Range<usize>>;

fn place<T>(at: &Option<At<T>>) -> Place<'_> {
    at.as_ref().map(|at| &at.span)
}

/// Words about a stream.
fn about_stream(value: &raw::Expect) -> [(&'static str, Place<'_>); 7] {
    [
        ("lost", place(&value.lost)),
        ("reply-lost", place(&value.reply_lost)),
        ("duplicated", place(&value.duplicated)),
        ("reordered", place(&value.reordered)),
        ("outage", place(&value.outage)),
        ("recovery", place(&value.recovery)),
        ("leaked", place(&value.leaked)),
    ]
}

/// Words about the answer's way.
fn about_reply(value: &raw::Expect) -> [(&'static str, Place<'_>); 2] {
    [("reply-by", place(&value.reply_by)), ("reply-path", place(&value.reply_path))]
}

/// Words about the question's way.
fn about_question(value: &raw::Expect) -> [(&'static str, Place<'_>); 5] {
    [
        ("seen-from", place(&value.seen_from)),
        ("seen-to", place(&value.seen_to)),
        ("reached", place(&value.reached)),
        ("by", place(&value.by)),
        ("path", place(&value.path)),
    ]
}

fn says_where(value: &raw::Expect) -> bool {
    let ways = about_reply(value).into_iter().chain(about_question(value));
    value.reply_from.is_some() || ways.into_iter().any(|(_, place)| place.is_some())
}

/// Words that this action cannot answer.
fn misplaced(value: &raw::Expect, kind: Kind, findings: &mut Findings) {
    let exchanges = kind.exchanges();
    let mut only = |fits: bool, (word, place): (&str, Place<'_>), needs: &str| {
        if let Some(span) = place.filter(|_| !fits) {
            let message = format!("`{word}` says nothing about this action");
            findings.push(Diagnostic::new(span, message, format!("expected with {needs} only")));
        }
    };
    let exchange = "`request`, `open` or `say`";
    only(exchanges, ("answered", place(&value.answered)), exchange);
    only(exchanges, ("error", place(&value.error)), exchange);
    only(exchanges, ("reply-from", place(&value.reply_from)), exchange);
    let ends = kind == Kind::End;
    for word in about_reply(value) {
        only(exchanges || ends, word, "`request`, `open`, `say` or `end`");
    }
    for word in about_question(value) {
        only(exchanges || ends || kind == Kind::Inject, word, "`request`, `open`, `say`, `inject` or `end`");
    }
    for word in about_stream(value) {
        only(ends, word, "`end`");
    }
    only(kind == Kind::Run, ("exit", place(&value.exit)), "`run`");
    only(kind == Kind::Run, ("output", place(&value.output)), "`run`");
}
