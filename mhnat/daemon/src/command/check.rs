//! `mhnat check`: is the file right?

use std::path::Path;

use super::config;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(super) fn run(path: &Path, terminal: &mut Terminal) -> Result<(), Failure> {
    let model = config::load(path, terminal)?;
    terminal.print(&format!(
        "{} is right: {}, {}\n",
        path.display(),
        count(model.uplinks.len(), "uplink"),
        count(model.fan_outs.len(), "fan-out")
    ));
    Ok(())
}

/// `1 uplink`, `2 uplinks`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
