//! What is wrong with a file, told once and well: the place, what was expected, and a hint.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One finding about a source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The finding in one sentence, lowercase, without a full stop.
    pub message: String,
    /// Where it is: a range of bytes; empty for a finding about the whole file.
    pub span: Range<usize>,
    /// What stands beside the marked place.
    pub label: String,
    /// Other places that matter, each with its note.
    pub related: Vec<(Range<usize>, String)>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A finding at a place.
    pub fn new(span: &Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Diagnostic {
            message: message.into(),
            span: span.clone(),
            label: label.into(),
            related: Vec::new(),
            hint: None,
        }
    }

    /// A finding about a whole file, without a place in it.
    pub fn whole(message: impl Into<String>) -> Self {
        Diagnostic::new(&(0..0), message, "")
    }

    /// The same finding with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same finding with another place that matters.
    #[must_use]
    pub fn related(mut self, span: &Range<usize>, note: impl Into<String>) -> Self {
        self.related.push((span.clone(), note.into()));
        self
    }
}

/// Renders all findings of one file, in the order of their places, separated by blank lines.
///
/// `name` is how the user called the file; `colour` is whether a terminal shows the text.
pub fn render(name: &str, source: &str, findings: &[Diagnostic], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut ordered: Vec<&Diagnostic> = findings.iter().collect();
    ordered.sort_by_key(|finding| finding.span.start);
    let texts: Vec<String> =
        ordered.into_iter().map(|finding| one(&renderer, name, source, finding)).collect();
    texts.join("\n\n")
}

fn one(renderer: &Renderer, name: &str, source: &str, finding: &Diagnostic) -> String {
    let whole = finding.span.is_empty() && finding.label.is_empty();
    let title = if whole { format!("{name}: {}", finding.message) } else { finding.message.clone() };
    let title = Level::ERROR.primary_title(title);
    let mut groups: Vec<Group<'_>> = Vec::new();
    if whole {
        groups.push(Group::with_title(title));
    } else {
        let mut snippet = Snippet::source(source).path(name).fold(true);
        snippet = snippet.annotation(
            AnnotationKind::Primary.span(clamp(source, &finding.span)).label(finding.label.as_str()),
        );
        for (span, note) in &finding.related {
            snippet =
                snippet.annotation(AnnotationKind::Context.span(clamp(source, span)).label(note.as_str()));
        }
        groups.push(title.element(snippet));
    }
    if let Some(hint) = &finding.hint {
        groups.push(Group::with_title(Level::HELP.secondary_title(hint.as_str())));
    }
    renderer.render(&groups)
}

/// Keeps a span on the first line of its value: a table spans many lines, but one line says where it is.
fn clamp(source: &str, span: &Range<usize>) -> Range<usize> {
    let start = span.start.min(source.len());
    let end = span.end.min(source.len()).max(start);
    let line = source.get(start..end).and_then(|text| text.find('\n')).map_or(end, |at| start + at);
    start..line.max(start)
}

/// The known word that is nearest to a mistyped one, if any is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .filter_map(|candidate| Some((distance(&word, &candidate.to_lowercase())?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How far two words are apart, in halves of a slip of the finger; None if too far for one to be meant by the other.
fn distance(word: &str, candidate: &str) -> Option<usize> {
    let (shorter, longer) = (word.len().min(candidate.len()), word.len().max(candidate.len()));
    let slips = strsim::damerau_levenshtein(word, candidate);
    let near = (slips <= 1 + longer / 4 && slips < longer).then_some(2 * slips);
    // A word that is cut short or carried on, such as `proto` or `nftables`.
    let begins = shorter >= 3 && (word.starts_with(candidate) || candidate.starts_with(word));
    near.into_iter().chain(begins.then_some(3)).min()
}

/// A finding about a word that is not known, with what may have been meant: the nearest word, or all of them.
pub fn hint_known<'a>(
    finding: Diagnostic,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() { finding } else { finding.hint(known_words(word, known)) }
}

/// A hint for a word that is not known: the nearest one, or all of them.
pub fn known_words<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "nothing is known here".to_owned(),
        None => {
            let list: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("known here: {}", list.join(", "))
        }
    }
}

/// "a, b or c".
pub fn listed<T: ToString>(items: impl IntoIterator<Item = T>, last: &str) -> String {
    let mut items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match (items.pop(), items.is_empty()) {
        (None, _) => String::new(),
        (Some(only), true) => only,
        (Some(end), false) => format!("{} {last} {end}", items.join(", ")),
    }
}
