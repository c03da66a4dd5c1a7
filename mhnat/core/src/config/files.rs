//! Files beside the configuration that it names: which they are, and what the reader is given of them.
//!
//! Nothing is opened here. [`files`] lists the names, the caller reads them, and [`super::read_with`] makes
//! sense of what it found.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use super::MAX_BYTES;

/// The size above which a file of prefixes is refused, in bytes: room for some three hundred thousand.
pub const MAX_PREFIX_FILE_BYTES: usize = 4 << 20;

/// What became of reading each file, by its name in the configuration: at most one byte more than
/// [`MAX_PREFIX_FILE_BYTES`] of content, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, Result<Vec<u8>, String>>);

/// The names of the files that a configuration names, as they are written there. What is wrong with the
/// configuration is not said here.
pub fn files(bytes: &[u8]) -> BTreeSet<String> {
    let source = std::str::from_utf8(bytes).unwrap_or_default();
    if source.len() > MAX_BYTES {
        return BTreeSet::new();
    }
    let (tree, _) = DeTable::parse_recoverable(source);
    let Some(DeValue::Array(uplinks)) = tree.get_ref().get("uplink").map(toml::Spanned::get_ref) else {
        return BTreeSet::new();
    };
    uplinks
        .iter()
        .filter_map(|uplink| match uplink.get_ref() {
            DeValue::Table(table) => table.get("prefixes-file"),
            _ => None,
        })
        .filter_map(|value| value.get_ref().as_str().map(str::to_owned))
        .collect()
}
