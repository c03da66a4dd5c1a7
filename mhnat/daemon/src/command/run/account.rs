//! What the daemon has done, for its log and for whoever asks.

use mhnat_core::event::Event;
use mhnat_core::model::Model;

use super::super::log::Log;
use crate::book::{Book, stamp};
use crate::engine::{Transition, Turn};
use crate::probe::News;

/// Writes down what a turn has led to.
pub(super) fn write(book: &Book, model: &Model, turn: &Turn) {
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
pub(super) fn tell(log: &mut Log<'_>, turn: &Turn, news: impl Iterator<Item = News>) {
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
