//! Kernel settings as the files below /proc/sys.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use mhnat_core::family::Family;
use mhnat_core::sysctl::{Key, Values};
use thiserror::Error;

use crate::fault;

/// A setting that could not be read or written.
#[derive(Debug, Error)]
#[error("cannot {verb} sysctl {key}")]
pub(crate) struct SysctlError {
    verb: &'static str,
    key: Key,
    source: io::Error,
}

impl SysctlError {
    /// Whether the kernel refused for lack of privileges.
    pub(crate) fn is_privilege(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}

fn file(key: &Key) -> PathBuf {
    Path::new("/proc/sys").join(key.path())
}

/// Reads settings. Those that do not exist, because an interface has gone or IPv6 is off, are left out.
pub(crate) fn read(keys: &BTreeSet<Key>) -> Result<Values, SysctlError> {
    let mut values = Values::new();
    for key in keys {
        match fault::point("read a sysctl").and_then(|()| content(&file(key))) {
            Ok(text) => {
                values.insert(key.clone(), text.trim_end().to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(SysctlError { verb: "read", key: key.clone(), source }),
        }
    }
    Ok(values)
}

/// What a setting says. The kernel gives all of it at the first read.
fn content(path: &Path) -> io::Result<String> {
    let mut bytes = [0; 128];
    let length = File::open(path)?.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned())
}

/// Writes a setting.
pub(crate) fn write(key: &Key, value: &str) -> Result<(), SysctlError> {
    fault::point("write a sysctl").and_then(|()| fs::write(file(key), value)).map_err(|source| SysctlError {
        verb: "write",
        key: key.clone(),
        source,
    })
}

/// Writes settings back in the order given, where they differ. Those that no longer exist went with their
/// interface. Every error is gathered: one setting that resists is no reason to leave the others.
pub(crate) fn restore<'a>(order: impl IntoIterator<Item = (&'a Key, &'a str)>) -> Vec<SysctlError> {
    let mut errors = Vec::new();
    let mut stuck: Vec<&str> = Vec::new();
    for (key, value) in order {
        // While a switch resists, what follows from it stays with it: else it would be on, with every
        // interface off, and the next apply would find nothing to do.
        if stuck.iter().any(|tree| key.path().starts_with(tree)) {
            continue;
        }
        // Read at this moment and not before the loop, because writing one setting changes others.
        let done = match read(&BTreeSet::from([key.clone()])) {
            Ok(current) => match current.get(key) {
                Some(now) if now != value => write(key, value),
                Some(_) | None => Ok(()),
            },
            Err(error) => Err(error),
        };
        if done.is_err() {
            let switch = Family::ALL.into_iter().find(|family| *key == Key::forwarding(*family));
            stuck.extend(switch.map(|family| match family {
                Family::V4 => "net/ipv4/",
                Family::V6 => "net/ipv6/",
            }));
        }
        errors.extend(done.err());
    }
    errors
}
