//! `mhnat plan --diff`: what would an apply change?

use std::path::Path;

use super::config;
use crate::engine;
use crate::failure::{Exit, Failure, Outcome};
use crate::nft::{Choice, Nft};
use crate::state::look;
use crate::terminal::Terminal;

pub(super) async fn run(
    path: &Path,
    json: bool,
    state_dir: &Path,
    nft: Option<&Choice>,
    terminal: &mut Terminal,
) -> Result<Outcome, Failure> {
    let model = config::load(path, terminal)?;
    let nft = Nft::find(nft)?;
    let changes = engine::compare(&model, look(state_dir)?.state, &nft).await?;
    let text = if json {
        serde_json::to_string_pretty(&changes)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write JSON: {error}")))?
            + "\n"
    } else if changes.is_empty() {
        "nothing would change\n".to_owned()
    } else {
        changes.text(terminal.output_colour())
    };
    terminal.print(&text);
    Ok(if changes.is_empty() { Outcome::Done } else { Outcome::Differs })
}
