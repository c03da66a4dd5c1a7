//! `mhnat plan`: what would be in the kernel?

use std::path::Path;

use mhnat_core::conntrackd;
use mhnat_core::desired::desired;
use mhnat_core::link::Availability;
use mhnat_core::render;
use mhnat_core::slot::Slots;

use super::config;
use crate::failure::{Exit, Failure};
use crate::state;
use crate::terminal::Terminal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Nft,
    Json,
}

pub(super) fn run(
    path: &Path,
    format: Format,
    state_dir: &Path,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let model = config::load(path, terminal)?;
    // Uplinks that are applied keep their numbers, so they belong into the plan. Whoever may not read them
    // sees the numbers of a first apply.
    let previous = state::slots(state_dir);
    let names = model.uplinks.iter().map(|uplink| &uplink.name);
    let slots = Slots::allocate(names, &previous, model.mask.capacity());
    let desired = desired(&model, &slots, &Availability::full());
    let text = match format {
        Format::Text => {
            let directory = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
            let file = conntrackd::config(&model, &directory.to_string_lossy());
            render::notes(&model) + &render::plan(&desired) + &render::conntrackd(file.as_deref())
        }
        Format::Nft => desired.ruleset_text(),
        Format::Json => {
            serde_json::to_string_pretty(&desired)
                .map_err(|error| Failure::new(Exit::Failed, format!("cannot write JSON: {error}")))?
                + "\n"
        }
    };
    terminal.print(&text);
    Ok(())
}
