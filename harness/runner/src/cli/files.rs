//! Report files: refused before anything runs if they cannot be written, and never seen half written.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use super::{Stop, args::ReportTarget};

/// Refuses what could not be written after the run.
pub(super) fn check(targets: &[ReportTarget]) -> Result<(), Stop> {
    let mut seen = BTreeSet::new();
    for target in targets {
        let name = target.file.as_ref().map_or("-".to_owned(), |file| file.display().to_string());
        let refuse = |why: &str| Stop::BadInput(format!("the report {}={name} {why}", target.format));
        if !seen.insert(target.file.as_deref().map(place)) {
            return Err(refuse("goes where another report goes (hint: give each a file of its own)"));
        }
        if let Some(file) = &target.file {
            writable(file).map_err(|why| refuse(&why))?;
        }
    }
    Ok(())
}

/// Where a file really is, so that a link to it stays a link.
fn place(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())
}

fn writable(file: &Path) -> Result<(), String> {
    let denied = "cannot be written: permission denied".to_owned();
    match fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => return Err("is a directory, expected a file".to_owned()),
        Ok(metadata) if !metadata.is_file() => {
            // A device or a FIFO is written in place.
            return access(file, AccessFlags::W_OK).map_err(|_| denied);
        }
        Ok(_) | Err(_) => {}
    }
    let place = place(file);
    let directory = directory(&place);
    match fs::metadata(directory) {
        Ok(metadata) if !metadata.is_dir() => {
            return Err(format!("cannot be written: {} is no directory", directory.display()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!(
                "cannot be written: the directory {} does not exist (hint: `mkdir -p` makes it)",
                directory.display()
            ));
        }
        Ok(_) | Err(_) => {}
    }
    access(directory, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| match error {
        nix::Error::EROFS => "cannot be written: the file system is read-only".to_owned(),
        _ => denied,
    })
}

/// Writes a report: a reader sees the old file or the new one.
pub(super) fn write(file: &Path, text: &str) -> Result<(), Stop> {
    let failed = |error: io::Error| Stop::Cannot(format!("{} cannot be written: {error}", file.display()));
    if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(file, text).map_err(failed);
    }
    let place = place(file);
    let mut name = std::ffi::OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let fresh = directory(&place).join(name);
    fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &place)).map_err(|error| {
        // It may not be there, which is as well.
        let _ = fs::remove_file(&fresh);
        failed(error)
    })
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
