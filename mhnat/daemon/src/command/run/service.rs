//! The loop of the daemon: whatever happens leads to a turn, and what a turn has led to is told.

use std::time::Duration;

use mhnat_core::event::Event;
use mhnat_core::model::Model;
use tokio::time::{Instant, sleep_until};

use super::super::check::count;
use super::super::config::{self, Loaded};
use super::super::log::Log;
use super::account::{tell, write};
use super::strife::Strife;
use super::{Options, Watch};
use crate::book::Book;
use crate::conntrackd::{Conntrackd, Tended};
use crate::engine::{AGAIN, Keeper, Swept};
use crate::failure::Failure;
use crate::notify::Notify;
use crate::probe::Prober;

/// When a change that failed is tried again, at first and at last.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A change that failed may have met another one of which nobody has told yet: the next look follows at once, and only
/// what fails again is told.
const SECOND_LOOK: Duration = Duration::from_millis(5);

pub(super) struct Service<'s, 'k, 't> {
    pub(super) keeper: &'s mut Keeper<'k>,
    pub(super) conntrackd: &'s mut Conntrackd,
    pub(super) options: &'s Options<'s>,
    pub(super) notify: &'s Notify,
    pub(super) log: &'s mut Log<'t>,
    pub(super) book: &'s Book,
    /// Whether the next turn brings what was not there before.
    pub(super) anew: bool,
    /// When there is a turn even if nothing happens.
    pub(super) due: Option<Instant>,
}

impl Service<'_, '_, '_> {
    /// Until a signal ends it.
    pub(super) async fn serve(&mut self, watch: &mut Watch, prober: &mut Prober) -> Result<(), Failure> {
        let Watch { events, signals } = watch;
        let mut retry = RETRY.0;
        // What links have done behind the look that did not succeed.
        let mut meanwhile = Vec::new();
        let mut failures = 0_u32;
        let mut strife = Strife::default();
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
                    if let Some(truce) = strife.truce(Instant::now())
                        && news.is_empty()
                        && !happened.addresses
                    {
                        self.due = self.due.into_iter().chain([truce]).min();
                        continue;
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
            self.tend();
            if unasked {
                let now = Instant::now();
                if strife.note(now) {
                    self.log.tell(Event::Strife);
                }
                if let Some(truce) = strife.truce(now) {
                    let sweep = self.keeper.sweep_due().map(|it| now + it);
                    self.due = sweep.into_iter().chain([truce]).min();
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
    pub(super) fn tend(&mut self) {
        match self.conntrackd.tend() {
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
