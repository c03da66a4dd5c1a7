//! Reading one file, with every way in which that can go wrong.

use std::{
    fs::{File, FileType, Metadata},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
};

use harness_model::{
    diagnostic::{Diagnostic, nearest},
    scenario::MAX_BYTES,
};

/// What an error of the system means, without its number.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotADirectory => "a part of its path is no directory".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}

/// What a file is, if it is not one that can be read to its end.
pub(super) fn strange_kind(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => Some("a FIFO"),
        kind if kind.is_socket() => Some("a socket"),
        kind if kind.is_block_device() || kind.is_char_device() => Some("a device"),
        _ => Some("no regular file"),
    }
}

/// The text of a scenario file; or what to show of it, and what is wrong.
pub(super) fn text(path: &Path) -> Result<String, Box<(String, Diagnostic)>> {
    let nothing = |finding| Box::new((String::new(), finding));
    let unreadable =
        |error: io::Error| nothing(Diagnostic::whole(format!("cannot be read: {}", words(&error))));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if let Some(kind) = strange_kind(metadata.file_type()) {
        return Err(nothing(Diagnostic::whole(format!("is {kind}, expected a scenario file"))));
    }
    too_large(&metadata).map_err(nothing)?;
    let mut bytes = Vec::new();
    // The file may have grown, and what /proc shows has no length at all.
    let limit = MAX_BYTES as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let byte = bytes.get(at).copied().unwrap_or_default();
        let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
        // Up to the first bad byte both texts are the same, so the place is as well.
        let text = String::from_utf8_lossy(bytes).into_owned();
        let message = format!("the file is not UTF-8: byte 0x{byte:02x} in line {line}, at offset {at}");
        let span = at..at + '\u{fffd}'.len_utf8();
        Box::new((text, Diagnostic::new(&span, message, "not a character").hint("save the file as UTF-8")))
    })
}

fn too_large(metadata: &Metadata) -> Result<(), Diagnostic> {
    let size = metadata.len();
    if size <= MAX_BYTES as u64 {
        return Ok(());
    }
    let message = format!("the file has {size} bytes, expected at most {MAX_BYTES}");
    Err(Diagnostic::whole(message)
        .hint("is this a scenario? Put rulesets and configurations into files of their own"))
}

/// Why a file that a scenario names cannot be used, and what to do about it.
pub(super) fn problem_of_named(directory: &Path, name: &str) -> Option<(String, String)> {
    let path = directory.join(name);
    match std::fs::metadata(&path) {
        Ok(metadata) => {
            if let Some(kind) = strange_kind(metadata.file_type()) {
                return Some((format!("`{name}` is {kind}"), "expected a file".to_owned()));
            }
            let error = File::open(&path).err()?;
            Some((format!("`{name}` cannot be read: {}", words(&error)), "see its permissions".to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("the file `{name}` does not exist");
            Some((message, sibling(&path, name).unwrap_or_else(|| beside(directory))))
        }
        Err(error) => Some((
            format!("`{name}` cannot be read: {}", words(&error)),
            "paths are relative to the scenario file".to_owned(),
        )),
    }
}

fn beside(directory: &Path) -> String {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    format!("paths are relative to the scenario file, which is in {}", directory.display())
}

/// "did you mean", if a file of nearly that name is beside it.
pub(super) fn sibling(path: &Path, name: &str) -> Option<String> {
    let directory = path.parent()?;
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let wanted = path.file_name()?.to_str()?;
    let names: Vec<String> = std::fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let near = nearest(wanted, names.iter().map(String::as_str))?;
    let prefix = name.strip_suffix(wanted).unwrap_or_default();
    Some(format!("did you mean `{prefix}{near}`?"))
}
