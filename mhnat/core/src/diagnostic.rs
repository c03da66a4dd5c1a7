//! Complaints about a file: each with its place, what was expected, and what may have been meant.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One complaint about one place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in one line.
    pub title: String,
    /// The bytes of the file that it is about.
    pub span: Range<usize>,
    /// What is said right under those bytes.
    pub label: String,
    /// The line of another file that it is about; `span` is then where that file is named.
    pub excerpt: Option<Excerpt>,
    /// Another place that has to do with it.
    pub related: Option<(Range<usize>, String)>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Words whose absence alone may be why it was made: not worth saying when one of them
    /// was refused, or when a line of the file cannot be read.
    pub follows_from: &'static [&'static str],
    /// The word that was refused, so that nothing could be made of it.
    pub refused: Option<String>,
}

/// A line of another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The file, as the configuration names it.
    pub path: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// The bytes of the line that the complaint is about.
    pub span: Range<usize>,
    /// What is said right under those bytes.
    pub label: String,
}

impl Diagnostic {
    /// A complaint with a title, a place, and the words to put under that place.
    pub fn new(title: impl Into<String>, span: Range<usize>, label: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            span,
            label: label.into(),
            excerpt: None,
            related: None,
            hint: None,
            follows_from: &[],
            refused: None,
        }
    }

    /// About a line of another file, named at this place.
    #[must_use]
    pub fn within(mut self, excerpt: Excerpt) -> Self {
        self.excerpt = Some(excerpt);
        self
    }

    /// With another place that has to do with it.
    #[must_use]
    pub fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marked as one that the absence of these words alone may explain.
    #[must_use]
    pub const fn follows_from(mut self, words: &'static [&'static str]) -> Self {
        self.follows_from = words;
        self
    }

    /// Marked as the refusal of a word.
    #[must_use]
    pub fn refused(mut self, word: impl Into<String>) -> Self {
        self.refused = Some(word.into());
        self
    }
}

/// Whether to write terminal escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Yes.
    Always,
    /// No.
    Never,
}

/// Prints complaints about `source`, which was read from `path`, in the order of their places.
pub fn render(path: &str, source: &str, diagnostics: &[Diagnostic], colour: Colour) -> String {
    let renderer = match colour {
        Colour::Always => Renderer::styled(),
        Colour::Never => Renderer::plain(),
    };
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    let reports: Vec<String> =
        sorted.into_iter().map(|diagnostic| renderer.render(&[report(path, source, diagnostic)])).collect();
    reports.join("\n\n") + "\n"
}

fn report<'a>(path: &'a str, source: &'a str, diagnostic: &'a Diagnostic) -> annotate_snippets::Group<'a> {
    let kind = if diagnostic.excerpt.is_some() { AnnotationKind::Context } else { AnnotationKind::Primary };
    let primary = kind.span(clamp(source, &diagnostic.span)).label(diagnostic.label.as_str());
    let mut snippet = Snippet::source(source).path(path).annotation(primary);
    if let Some((span, label)) = &diagnostic.related {
        let context = AnnotationKind::Context.span(clamp(source, span)).label(label.as_str());
        snippet = snippet.annotation(context);
    }
    let group = Level::ERROR.primary_title(diagnostic.title.as_str());
    let group = match &diagnostic.excerpt {
        Some(Excerpt { path, line, text, span, label }) => {
            let here = AnnotationKind::Primary.span(clamp(text, span)).label(label.as_str());
            let other = Snippet::source(text.as_str()).path(path.as_str()).line_start(*line).annotation(here);
            group.element(other).element(snippet)
        }
        None => group.element(snippet),
    };
    match &diagnostic.hint {
        Some(hint) => group.element(Level::HELP.with_name("hint").message(hint.as_str())),
        None => group,
    }
}

/// Keeps a span inside the file, on character borders, and on its first line: a whole table would bury the
/// message under its own text.
fn clamp(source: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    let end = floor(span.end.max(span.start));
    let line_end = source[start..end].find('\n').map_or(end, |length| start + length);
    start..line_end
}
