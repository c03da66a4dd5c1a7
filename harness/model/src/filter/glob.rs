//! Patterns with `*` and `?`.

/// A pattern that a whole text must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Vec<char>);

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        Glob(pattern.chars().collect())
    }

    /// Goes back to the last star only, so the time is bounded by the product of both lengths.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut pattern_at, mut text_at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while text_at < text.len() {
            match self.0.get(pattern_at) {
                Some('*') => {
                    star = Some((pattern_at, text_at));
                    pattern_at += 1;
                }
                Some(&wanted) if wanted == '?' || wanted == text[text_at] => {
                    pattern_at += 1;
                    text_at += 1;
                }
                _ => match star.as_mut() {
                    Some((star_at, covered)) => {
                        *covered += 1;
                        pattern_at = *star_at + 1;
                        text_at = *covered;
                    }
                    None => return false,
                },
            }
        }
        self.0[pattern_at..].iter().all(|&rest| rest == '*')
    }
}
