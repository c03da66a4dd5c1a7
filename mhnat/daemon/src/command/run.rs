//! `mhnat run`: stay, and keep it so.

mod account;
mod service;
mod strife;

use std::path::Path;
use std::time::Duration;

use mhnat_core::event::Event;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use self::account::{tell, write};
use self::service::Service;
use super::config::{self, Loaded};
use super::confirm;
use super::log::{Format, Log};
use crate::book::Book;
use crate::conntrackd::Conntrackd;
use crate::engine::{self, Keeper, Turn};
use crate::failure::{Exit, Failure};
use crate::kernel::Events;
use crate::nft::{Choice, Nft};
use crate::notify::Notify;
use crate::probe::Prober;
use crate::serve::{Address, Offer, SOCKET, Server};
use crate::state::StateDir;
use crate::terminal::Terminal;

/// Between the first looks, in milliseconds, until one comes to an end.
const FIRST: [u64; 7] = [5, 10, 20, 40, 80, 160, 320];

/// What `run` was asked for.
pub(super) struct Options<'a> {
    pub(super) config: &'a Path,
    pub(super) state_dir: &'a Path,
    pub(super) nft: Option<&'a Choice>,
    pub(super) down_on_exit: bool,
    /// Where metrics can be had.
    pub(super) metrics: &'a [Address],
    pub(super) log: Format,
}

pub(super) async fn run(options: &Options<'_>, terminal: &mut Terminal) -> Result<(), Failure> {
    let Loaded { model, config } = config::load_whole(options.config, terminal)?;
    let nft = match options.nft {
        // Element by element in a kept context where that is possible.
        None => Nft::find(Some(&Choice::Library)).or_else(|_| Nft::find(None)),
        named => Nft::find(named),
    }?;
    let dir = StateDir::lock(options.state_dir)?;
    let mut conntrackd = Conntrackd::new(dir.path());
    conntrackd.want(conntrackd.wanted(&model)?);
    let state = confirm::settle(&dir, &nft, terminal).await?;
    // Before the first look, so that nothing is missed after it.
    let mut watch = Watch { events: Events::subscribe()?, signals: Signals::new()? };
    let notify = Notify::from_environment();
    let mut log = Log::new(terminal, options.log);
    Prober::allowed(&model)?;
    let book = Book::new();
    let mut servers = Vec::new();
    for address in options.metrics {
        servers.push(Server::start(address, Offer::Metrics, &book)?);
    }
    let applied = state.as_ref().and_then(|state| state.applied.as_ref());
    let mut prober = Prober::new(applied.map(|it| it.health.clone()).unwrap_or_default(), book.clone());
    let mut keeper = Keeper::new(model, config, state, &dir, &nft)?;
    let turn = first(&mut keeper, &watch.events, &mut prober).await?;
    write(&book, keeper.model(), &turn);
    tell(&mut log, &turn, prober.news());
    let own = Address::Unix(std::path::absolute(dir.path()).unwrap_or_default().join(SOCKET));
    match Server::start(&own, Offer::All, &book) {
        Ok(server) => servers.push(server),
        // All else works without it.
        Err(failure) => {
            log.terminal.warn(&failure.message, Some("`mhnat status` will not know what has happened"))
        }
    }
    notify.ready("keeping it so");

    let mut service = Service {
        keeper: &mut keeper,
        conntrackd: &mut conntrackd,
        options,
        notify: &notify,
        log: &mut log,
        book: &book,
        anew: false,
        due: None,
    };
    service.due = turn.again.map(|it| Instant::now() + it);
    service.tend();
    let outcome = service.serve(&mut watch, &mut prober).await;
    notify.stopping();
    conntrackd.stop().await;
    drop(servers);
    outcome?;
    if options.down_on_exit {
        engine::down(&dir, &nft).await?;
        log.tell(Event::TakenBack);
    }
    Ok(())
}

/// The first time, whatever is wrong ends the program: somebody is there to read it. But a link that changes in that very
/// moment is wrong for no longer than that, and who was killed in the middle of a bad hour is started again in it.
async fn first(keeper: &mut Keeper<'_>, events: &Events, prober: &mut Prober) -> Result<Turn, Failure> {
    for pause in FIRST {
        if let Ok(turn) = keeper.turn(&[], events, prober).await {
            return Ok(turn);
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    keeper.turn(&[], events, prober).await
}

struct Signals {
    hangup: Signal,
    look: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let open = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Exit::Cannot, format!("cannot receive signals: {error}")))
        };
        Ok(Self {
            hangup: open(SignalKind::hangup())?,
            look: open(SignalKind::user_defined1())?,
            terminate: open(SignalKind::terminate())?,
            interrupt: open(SignalKind::interrupt())?,
        })
    }
}

struct Watch {
    events: Events,
    signals: Signals,
}
