//! `mhnat run`: stay, and keep it so.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use mhnat_core::model::Model;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::check::count;
use super::config::{self, Loaded};
use super::confirm;
use crate::conntrackd::{Conntrackd, Tended};
use crate::engine::{self, AGAIN, Keeper, Swept, Transition, Turn};
use crate::failure::{Exit, Failure};
use crate::kernel::Events;
use crate::nft::{Choice, Nft};
use crate::notify::Notify;
use crate::probe::{News, Prober};
use crate::state::StateDir;
use crate::terminal::Terminal;

/// When a change that failed is tried again, at first and at last.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Between the first looks, in milliseconds, until one comes to an end.
const FIRST: [u64; 7] = [5, 10, 20, 40, 80, 160, 320];

/// More changes than this in a second, none of which a link has caused, are another program's work against ours.
const STRIFE: usize = 10;
const PEACE: Duration = Duration::from_secs(1);

/// What `run` was asked for.
pub(super) struct Options<'a> {
    pub(super) config: &'a Path,
    pub(super) state_dir: &'a Path,
    pub(super) nft: Option<&'a Choice>,
    pub(super) down_on_exit: bool,
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
    let mut log = Log { terminal, warned: None, unclosed: false };
    Prober::allowed(&model)?;
    let applied = state.as_ref().and_then(|state| state.applied.as_ref());
    let mut prober = Prober::new(applied.map(|it| it.health.clone()).unwrap_or_default());
    let mut keeper = Keeper::new(model, config, state, &dir, &nft)?;
    let turn = first(&mut keeper, &watch.events, &mut prober).await?;
    log.turn(&turn);
    log.health(prober.news());
    notify.ready("keeping it so");

    let mut service = Service {
        keeper: &mut keeper,
        conntrackd: &mut conntrackd,
        options,
        notify: &notify,
        log: &mut log,
        due: None,
    };
    service.due = turn.again.map(|it| Instant::now() + it);
    service.tend().await;
    let outcome = service.serve(&mut watch, &mut prober).await;
    notify.stopping();
    conntrackd.stop().await;
    outcome?;
    if options.down_on_exit {
        engine::down(&dir, &nft).await?;
        terminal.print("taken back\n");
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
            terminate: open(SignalKind::terminate())?,
            interrupt: open(SignalKind::interrupt())?,
        })
    }
}

struct Watch {
    events: Events,
    signals: Signals,
}

struct Service<'s, 'k, 't> {
    keeper: &'s mut Keeper<'k>,
    conntrackd: &'s mut Conntrackd,
    options: &'s Options<'s>,
    notify: &'s Notify,
    log: &'s mut Log<'t>,
    /// When there is a turn even if nothing happens.
    due: Option<Instant>,
}

impl Service<'_, '_, '_> {
    /// Until a signal ends it.
    async fn serve(&mut self, watch: &mut Watch, prober: &mut Prober) -> Result<(), Failure> {
        let Watch { events, signals } = watch;
        let mut retry = RETRY.0;
        let mut changes: VecDeque<Instant> = VecDeque::new();
        loop {
            let due = self.due;
            let mut news = Vec::new();
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => self.reload(),
                () = async { if let Some(due) = due { sleep_until(due).await } }, if due.is_some() => {}
                () = prober.next() => {}
                ended = self.conntrackd.happened() => if let Some(how) = ended { self.log.ended(&how) },
                swept = self.keeper.swept() => {
                    self.swept(swept);
                    continue;
                }
                happened = events.next() => {
                    news = happened.links;
                    if happened.tables {
                        self.keeper.doubt();
                    }
                }
            }
            self.due = None;
            let turn = match self.keeper.turn(&news, events, prober).await {
                Ok(turn) => turn,
                Err(failure) => {
                    self.log.failed(&failure, retry);
                    self.notify.status(&failure.message);
                    self.due = Some(Instant::now() + retry);
                    retry = (retry * 2).min(RETRY.1);
                    continue;
                }
            };
            retry = RETRY.0;
            self.log.turn(&turn);
            self.log.health(prober.news());
            self.due = turn.again.map(|it| Instant::now() + it);
            self.tend().await;
            if turn.mended && turn.transitions.is_empty() {
                let now = Instant::now();
                changes.push_back(now);
                changes.retain(|it| now.duration_since(*it) < PEACE);
                if changes.len() > STRIFE {
                    self.log.strife();
                    tokio::time::sleep(PEACE).await;
                }
            }
        }
    }

    /// Connections are gone, and are looked for once more.
    fn swept(&mut self, swept: Result<Swept, Failure>) {
        let again = match swept {
            Ok(swept) => {
                self.log.swept(swept);
                self.keeper.sweep_due()
            }
            Err(failure) => {
                self.log.failed(&failure, RETRY.1);
                Some(RETRY.1)
            }
        };
        self.due = self.due.into_iter().chain(again.map(|it| Instant::now() + it)).min();
    }

    /// What shares connections runs behind the state that it needs.
    async fn tend(&mut self) {
        match self.conntrackd.tend().await {
            Ok(Tended::Same) => {}
            Ok(Tended::Stopped) => self.log.line("connections are not shared any more"),
            Ok(Tended::Started) => {
                self.log.line("conntrackd is started, to share connections with the other node");
                // Some settings exist only once connection tracking is in use.
                self.due = Some(Instant::now() + AGAIN);
            }
            Err(failure) => self.log.terminal.fail(&failure),
        }
    }

    /// A file with mistakes changes nothing.
    fn reload(&mut self) {
        self.notify.reloading();
        let loaded = config::load_whole(self.options.config, self.log.terminal)
            .and_then(|it| Prober::allowed(&it.model).map(|()| it))
            .and_then(|it| Ok((self.conntrackd.wanted(&it.model)?, it)));
        match loaded {
            Ok((wanted, Loaded { model, config })) => {
                self.conntrackd.want(wanted);
                self.log.line(&format!("read {} again: {}", config.path.display(), contents(&model)));
                self.keeper.reconfigure(model, config);
                self.notify.ready("keeping it so");
            }
            Err(failure) => {
                self.log.terminal.fail(&failure);
                self.log.line("the configuration before stays in force");
                self.notify.ready(&format!("the configuration before stays in force: {}", failure.message));
            }
        }
    }
}

fn contents(model: &Model) -> String {
    let Model { uplinks, fan_outs, forwards, .. } = model;
    let parts = [(uplinks.len(), "uplink"), (fan_outs.len(), "fan-out"), (forwards.len(), "forward")];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| count(number, what))
        .collect();
    parts.join(", ")
}

/// What is told of what happens, a line each; a service manager adds the time.
struct Log<'t> {
    terminal: &'t mut Terminal,
    /// What was last warned of, which is not repeated while it lasts.
    warned: Option<String>,
    /// Whether it was told that sockets cannot be closed here.
    unclosed: bool,
}

impl Log<'_> {
    fn line(&mut self, line: &str) {
        self.terminal.print(&format!("{line}\n"));
    }

    fn turn(&mut self, turn: &Turn) {
        let Turn { transitions, mended, took, again: _ } = turn;
        self.warned = None;
        for Transition { uplink, family, unusable } in transitions {
            match unusable {
                None => self.line(&format!("uplink {uplink} carries {family}")),
                Some(why) => self.line(&format!("uplink {uplink} does not carry {family}: {why}")),
            }
        }
        if *mended {
            self.line(&format!("in force after {:.2} ms", took.as_secs_f64() * 1e3));
        }
    }

    fn swept(&mut self, swept: Swept) {
        let Swept { forgotten, took, closed, unclosed } = swept;
        if forgotten > 0 {
            let number = usize::try_from(forgotten).unwrap_or(usize::MAX);
            let verb = if number == 1 { "begins" } else { "begin" };
            let took = took.as_secs_f64() * 1e3;
            self.line(&format!("{} {verb} anew after {took:.2} ms", count(number, "connection")));
        }
        if closed > 0 {
            let number = usize::try_from(closed).unwrap_or(usize::MAX);
            self.line(&format!("{} of this host closed", count(number, "socket")));
        }
        if let Some(failure) = unclosed
            && !std::mem::replace(&mut self.unclosed, true)
        {
            self.terminal.warn(
                &failure.message,
                Some("this host's own connections by a lost uplink wait there; those of hosts behind it are reset"),
            );
        }
    }

    fn health(&mut self, news: impl Iterator<Item = News>) {
        for News { uplink, family, despite } in news {
            match despite {
                None => self.line(&format!("uplink {uplink} is well again in {family}")),
                Some(why) => {
                    self.line(&format!(
                        "uplink {uplink} carries {family} for want of another, although {why}"
                    ));
                }
            }
        }
    }

    fn failed(&mut self, failure: &Failure, retry: Duration) {
        if self.warned.as_ref() != Some(&failure.message) {
            let hint = format!("tried again in {} ms, and whenever something changes", retry.as_millis());
            self.terminal.warn(&failure.message, Some(failure.hint.as_deref().unwrap_or(&hint)));
            self.warned = Some(failure.message.clone());
        }
    }

    fn ended(&mut self, how: &str) {
        let hint =
            "what it said stands above; it is started again, and the other node is asked for what it knows";
        self.terminal.warn(&format!("conntrackd has ended: {how}"), Some(hint));
    }

    fn strife(&mut self) {
        self.terminal.warn(
            "another program keeps changing what mhnat has put into the kernel",
            Some("`mhnat audit` names those that manage rules, routes or nft tables"),
        );
    }
}
