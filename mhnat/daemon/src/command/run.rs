//! `mhnat run`: stay, and keep it so.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use mhnat_core::event::Event;
use mhnat_core::model::Model;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::check::count;
use super::config::{self, Loaded};
use super::confirm;
use super::log::{Format, Log};
use crate::book::{Book, stamp};
use crate::conntrackd::{Conntrackd, Tended};
use crate::engine::{self, AGAIN, Keeper, Swept, Transition, Turn};
use crate::failure::{Exit, Failure};
use crate::kernel::Events;
use crate::nft::{Choice, Nft};
use crate::notify::Notify;
use crate::probe::{News, Prober};
use crate::serve::{Address, Offer, SOCKET, Server};
use crate::state::StateDir;
use crate::terminal::Terminal;

/// When a change that failed is tried again, at first and at last.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A change that failed may have met another one of which nobody has told yet: the next look follows at once, and only
/// what fails again is told.
const SECOND_LOOK: Duration = Duration::from_millis(5);

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
    service.tend().await;
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

struct Service<'s, 'k, 't> {
    keeper: &'s mut Keeper<'k>,
    conntrackd: &'s mut Conntrackd,
    options: &'s Options<'s>,
    notify: &'s Notify,
    log: &'s mut Log<'t>,
    book: &'s Book,
    /// Whether the next turn brings what was not there before.
    anew: bool,
    /// When there is a turn even if nothing happens.
    due: Option<Instant>,
}

impl Service<'_, '_, '_> {
    /// Until a signal ends it.
    async fn serve(&mut self, watch: &mut Watch, prober: &mut Prober) -> Result<(), Failure> {
        let Watch { events, signals } = watch;
        let mut retry = RETRY.0;
        // What links have done behind the look that did not succeed.
        let mut meanwhile = Vec::new();
        let mut failures = 0_u32;
        let mut changes: VecDeque<Instant> = VecDeque::new();
        loop {
            let due = self.due;
            let mut news = std::mem::take(&mut meanwhile);
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => self.reload(),
                // Somebody knows that something has happened, and what it is does not matter.
                _ = signals.look.recv() => {}
                () = self.book.asked_to_look() => {}
                () = async { if let Some(due) = due { sleep_until(due).await } }, if due.is_some() => {}
                () = prober.next() => {}
                ended = self.conntrackd.happened() => if let Some(how) = ended {
                    self.log.tell(Event::ConntrackdEnded { how });
                },
                swept = self.keeper.swept() => {
                    self.swept(swept);
                    meanwhile = news;
                    continue;
                }
                happened = events.next() => {
                    news.extend(happened.links);
                    if happened.tables {
                        self.keeper.doubt();
                    }
                }
            }
            self.due = None;
            let turn = match self.keeper.turn(&news, events, prober).await {
                Ok(turn) => turn,
                Err(failure) => {
                    self.book.open().chronicle.failed();
                    failures += 1;
                    let happened = events.so_far();
                    if happened.tables {
                        self.keeper.doubt();
                    }
                    // What it meant to find was overtaken, and is not worth a word.
                    let overtaken = !happened.links.is_empty();
                    meanwhile = happened.links;
                    if overtaken || failures == 1 {
                        let pause = if overtaken { Duration::ZERO } else { SECOND_LOOK };
                        self.due = Some(Instant::now() + pause);
                        continue;
                    }
                    self.notify.status(&failure.message);
                    let Failure { message, hint, .. } = failure;
                    self.log.tell(Event::Failed { message, hint, retry });
                    self.due = Some(Instant::now() + retry);
                    retry = (retry * 2).min(RETRY.1);
                    continue;
                }
            };
            (retry, failures) = (RETRY.0, 0);
            let anew = std::mem::take(&mut self.anew);
            let unasked = turn.mended && turn.transitions.is_empty() && !anew;
            if unasked {
                self.book.open().chronicle.reasserted();
            }
            write(self.book, self.keeper.model(), &turn);
            tell(self.log, &turn, prober.news());
            self.due = turn.again.map(|it| Instant::now() + it);
            self.tend().await;
            if unasked {
                let now = Instant::now();
                changes.push_back(now);
                changes.retain(|it| now.duration_since(*it) < PEACE);
                if changes.len() > STRIFE {
                    self.log.tell(Event::Strife);
                    tokio::time::sleep(PEACE).await;
                }
            }
        }
    }

    /// Connections are gone, and are looked for once more.
    fn swept(&mut self, swept: Result<Swept, Failure>) {
        let again = match swept {
            Ok(swept) => {
                self.write_swept(&swept);
                self.tell_swept(swept);
                self.keeper.sweep_due()
            }
            Err(Failure { message, hint, .. }) => {
                self.log.tell(Event::Failed { message, hint, retry: RETRY.1 });
                Some(RETRY.1)
            }
        };
        self.due = self.due.into_iter().chain(again.map(|it| Instant::now() + it)).min();
    }

    fn write_swept(&self, Swept { forgotten, closed, .. }: &Swept) {
        let mut book = self.book.open();
        for (key, number) in forgotten {
            book.chronicle.rehomed(key, *number);
        }
        book.chronicle.closed(*closed);
    }

    fn tell_swept(&mut self, Swept { forgotten, took, closed, unclosed }: Swept) {
        let connections: u64 = forgotten.values().sum();
        if connections > 0 {
            self.log.tell(Event::Rehomed { connections, took });
        }
        if closed > 0 {
            self.log.tell(Event::Closed { sockets: closed });
        }
        if let Some(failure) = unclosed {
            self.log.tell(Event::Unclosed { message: failure.message });
        }
    }

    /// What shares connections runs behind the state that it needs.
    async fn tend(&mut self) {
        match self.conntrackd.tend().await {
            Ok(Tended::Same) => {}
            Ok(Tended::Stopped) => self.log.tell(Event::SharingEnds),
            Ok(Tended::Started) => {
                self.log.tell(Event::Sharing);
                // Some settings exist only once connection tracking is in use.
                self.due = Some(Instant::now() + AGAIN);
            }
            Err(Failure { message, hint, .. }) => self.log.tell(Event::SharingFailed { message, hint }),
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
                let file = config.path.display().to_string();
                self.log.tell(Event::Reloaded { file, contents: contents(&model) });
                self.anew = true;
                self.keeper.reconfigure(model, config);
                self.notify.ready("keeping it so");
            }
            Err(failure) => {
                self.notify.ready(&format!("the configuration before stays in force: {}", failure.message));
                let Failure { message, hint, report, .. } = failure;
                self.log.tell(Event::Kept { message, hint, report });
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

/// Writes down what a turn has led to.
fn write(book: &Book, model: &Model, turn: &Turn) {
    let Turn { transitions, mended, stranded, took, again: _ } = turn;
    let mut book = book.open();
    let time = stamp();
    book.chronicle.looked();
    book.chronicle.keep(model);
    for Transition { uplink, family, unusable } in transitions {
        book.chronicle.transition(model, &(uplink.clone(), *family), *unusable, time);
    }
    if *mended || !transitions.is_empty() {
        book.chronicle.in_force(*took);
    }
    if let Some(stranded) = stranded {
        book.stranded.clone_from(stranded);
    }
}

/// Tells what a turn has led to, and what has become known meanwhile.
fn tell(log: &mut Log<'_>, turn: &Turn, news: impl Iterator<Item = News>) {
    let Turn { transitions, mended, stranded: _, took, again: _ } = turn;
    log.all_is_well();
    for Transition { uplink, family, unusable } in transitions {
        let (uplink, family) = (uplink.clone(), *family);
        log.tell(match *unusable {
            None => Event::Carries { uplink, family },
            Some(why) => Event::Lost { uplink, family, why },
        });
    }
    if *mended {
        log.tell(Event::InForce { took: *took });
    }
    for News { uplink, family, despite } in news {
        log.tell(match despite {
            None => Event::Well { uplink, family },
            Some(why) => Event::Despite { uplink, family, why },
        });
    }
}
