//! `mhnat apply`: make it so.

use std::path::Path;

use mhnat_core::model::Model;

use super::check::count;
use crate::engine::{self, Applied};
use crate::failure::Failure;
use crate::nft::{Choice, Nft};
use crate::state::StateDir;
use crate::terminal::Terminal;

pub(super) async fn run(
    model: &Model,
    state_dir: &Path,
    nft: Option<&Choice>,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let nft = Nft::find(nft)?;
    let state = StateDir::lock(state_dir)?;
    let Applied { nft_rules, policy_rules, routes, sysctls, unusable, lacking_gateway } =
        engine::apply(model, &state, &nft).await?;
    for (name, family, reason) in unusable {
        terminal.warn(
            &format!("uplink {name} is not usable for {family}: {reason}"),
            Some("apply again when that has changed"),
        );
    }
    for (name, family) in lacking_gateway {
        terminal.warn(
            &format!("uplink {name} has no {family} gateway, and its interface is not point-to-point"),
            Some("give `gateway`, unless all of the world is on that link"),
        );
    }
    terminal.print(&format!(
        "applied: {}, {}, {}, {} remembered\n",
        count(nft_rules, "nft rule"),
        count(policy_rules, "policy rule"),
        count(routes, "route"),
        count(sysctls, "sysctl"),
    ));
    Ok(())
}
