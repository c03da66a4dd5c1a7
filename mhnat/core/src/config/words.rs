//! Known words, and the nearest to one that is not known.

use toml::Spanned;

use crate::diagnostic::Diagnostic;

/// What a word stands for that must be one of these. `complaint` gives title and hint for one that is not.
pub(super) fn one_of<T: Copy>(
    text: &Spanned<String>,
    words: &[(&str, T)],
    found: &mut Vec<Diagnostic>,
    complaint: impl FnOnce(&str) -> (String, &'static str),
) -> Option<T> {
    let word = text.get_ref().as_str();
    let known = words.iter().find(|(known, _)| *known == word);
    if known.is_none() {
        let all = || words.iter().map(|(known, _)| *known);
        let expected = format!("expected {}", alternatives(all()));
        let label = nearest(word, all()).map_or(expected, |meant| format!("perhaps `{meant}` was meant"));
        let (title, hint) = complaint(word);
        found.push(Diagnostic::new(title, text.span(), label).hint(hint));
    }
    known.map(|(_, meaning)| *meaning)
}

/// The candidate most like `word`, if one is like enough to have been meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase().replace('_', "-");
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(lower.len()) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `a`, `a or b`, `a, b or c`, each in backticks.
pub(super) fn alternatives<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::missing_letter("interfce", Some("interface"))]
    #[case::swapped("metirc", Some("metric"))]
    #[case::case("Gateway", Some("gateway"))]
    #[case::plural("gateways", Some("gateway"))]
    #[case::something_else("colour", None)]
    #[case::short("x", None)]
    fn nearest_word(#[case] word: &str, #[case] expected: Option<&str>) {
        assert_eq!(nearest(word, ["interface", "metric", "gateway"].into_iter()), expected);
    }

    #[rstest]
    #[case(&["a"], "`a`")]
    #[case(&["a", "b"], "`a` or `b`")]
    #[case(&["a", "b", "c"], "`a`, `b` or `c`")]
    fn lists(#[case] words: &[&str], #[case] text: &str) {
        assert_eq!(alternatives(words.iter().copied()), text);
    }
}
