//! `mhnat confirm` and `mhnat rollback`: keep an unconfirmed change, or take it back now; and the process that
//! takes it back when neither comes.

use std::path::Path;
use std::time::Duration;

use crate::engine::{self, Watch};
use crate::failure::{Exit, Failure};
use crate::nft::{Choice, Nft};
use crate::state::{State, StateDir, Unconfirmed};
use crate::terminal::Terminal;

/// How long another run is waited for, which may be the rollback itself.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn confirm(state_dir: &Path, terminal: &mut Terminal) -> Result<(), Failure> {
    let dir = StateDir::lock_within(state_dir, PATIENCE).await?;
    let (mut state, _) = waiting(&dir)?;
    if state.applied.is_none() {
        return Err(Failure::new(
            Exit::Failed,
            "the change was cut off in the middle, and cannot be confirmed",
        )
        .hint("`mhnat rollback` takes it back"));
    }
    state.unconfirmed = None;
    dir.write(&state)?;
    terminal.print("confirmed\n");
    Ok(())
}

pub(super) async fn rollback(
    state_dir: &Path,
    nft: Option<&Choice>,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let nft = Nft::find(nft)?;
    let dir = StateDir::lock_within(state_dir, PATIENCE).await?;
    let (_, change) = waiting(&dir)?;
    engine::roll_back(&dir, &change.former, &nft).await?;
    terminal.print("rolled back\n");
    Ok(())
}

fn waiting(dir: &StateDir) -> Result<(State, Box<Unconfirmed>), Failure> {
    let state = dir.read()?.state;
    state.and_then(|state| state.unconfirmed.clone().map(|change| (state, change))).ok_or_else(|| {
        Failure::new(Exit::Failed, "no change waits to be confirmed")
            .hint("it may have been rolled back: `mhnat status` says what is applied")
    })
}

/// Before an apply: a change that waits is not to be covered by another. One that nobody is left to take back
/// is taken back now, as was promised. Gives what is remembered then.
pub(super) async fn settle(
    dir: &StateDir,
    nft: &Nft,
    terminal: &mut Terminal,
) -> Result<Option<State>, Failure> {
    let state = dir.read()?.state;
    let Some(change) = state.as_ref().and_then(|state| state.unconfirmed.as_ref()) else {
        return Ok(state);
    };
    if engine::alive(dir.path()) {
        let now = engine::boot_time(Duration::ZERO)?;
        let left = super::status::seconds(Duration::from_millis(change.deadline.saturating_sub(now)));
        return Err(Failure::new(
            Exit::Failed,
            format!("a change waits to be confirmed, and is rolled back in {left}"),
        )
        .hint("`mhnat confirm` keeps it; `mhnat rollback` takes it back"));
    }
    engine::roll_back(dir, &change.former, nft).await?;
    terminal.warn(
        "a change before was never confirmed, and the process that would have rolled it back has died: it has \
         been rolled back now",
        None,
    );
    Ok(dir.read()?.state)
}

/// Leaves the session; the part before the runtime starts.
pub(super) fn begin(state_dir: &Path) -> Result<Watch, Failure> {
    Watch::begin(state_dir)
}

pub(super) async fn watch(
    watch: Watch,
    nft: Option<&Choice>,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    watch.serve(&Nft::find(nft)?, terminal).await
}
