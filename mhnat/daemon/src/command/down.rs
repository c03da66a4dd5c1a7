//! `mhnat down`: take everything back.

use std::path::Path;

use crate::engine;
use crate::failure::Failure;
use crate::nft::{Choice, Nft};
use crate::state::StateDir;
use crate::terminal::Terminal;

pub(super) async fn run(
    state_dir: &Path,
    nft: Option<&Choice>,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let nft = Nft::find(nft)?;
    let state = StateDir::lock(state_dir)?;
    let found = engine::down(&state, &nft).await?;
    terminal.print(if found { "taken back\n" } else { "nothing to take back\n" });
    Ok(())
}
