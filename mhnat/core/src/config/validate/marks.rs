//! `[marks]`: the bits that are ours.

use super::super::raw;
use crate::diagnostic::Diagnostic;
use crate::mark::{MarkMask, MaskError};

pub(super) fn mask(raw: &raw::Marks, found: &mut Vec<Diagnostic>) -> MarkMask {
    let Some(text) = &raw.mask else { return MarkMask::DEFAULT };
    let word = text.get_ref();
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let number = digits
        .filter(|digits| digits.chars().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(number) = number else {
        found.push(
            Diagnostic::new(
                format!("{word:?} is not a mark mask"),
                text.span(),
                "expected up to eight hexadecimal digits after 0x",
            )
            .hint("for example `mask = \"0x0000ff00\"`"),
        );
        return MarkMask::DEFAULT;
    };
    MarkMask::new(number).unwrap_or_else(|error| {
        let hint = match error {
            MaskError::Zero => "give at least one bit, for example `mask = \"0x0000ff00\"`",
            MaskError::Scattered => "0x0000ff00 is such a run, 0x0000f0f0 is not",
        };
        found.push(
            Diagnostic::new(format!("{word} cannot be a mark mask"), text.span(), error.to_string())
                .hint(hint),
        );
        MarkMask::DEFAULT
    })
}
