//! `mhnat apply`: make it so.

use std::path::Path;
use std::time::Duration;

use super::check::count;
use super::config::{self, Loaded};
use super::confirm;
use super::status::seconds;
use crate::engine::{self, Done};
use crate::failure::Failure;
use crate::nft::{Choice, Nft};
use crate::state::StateDir;
use crate::terminal::Terminal;

pub(super) async fn run(
    path: &Path,
    time: Option<Duration>,
    state_dir: &Path,
    nft: Option<&Choice>,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    // nft starts while the file is read, but what is wrong with the file is said first.
    let nft = Nft::find(nft).and_then(|nft| Ok((nft.loader()?, nft)));
    let Loaded { model, config } = config::load_whole(path, terminal)?;
    let (loader, nft) = nft?;
    let dir = StateDir::lock(state_dir)?;
    let state = confirm::settle(&dir, &nft, terminal).await?;
    let Done { nft_rules, policy_rules, routes, sysctls, unusable, lacking_gateway } =
        engine::apply(&model, config, state, time, &dir, &nft, loader).await?;
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
    if let Some(time) = time {
        terminal.print(&format!("rolled back in {} unless `mhnat confirm` comes before\n", seconds(time)));
    }
    Ok(())
}
