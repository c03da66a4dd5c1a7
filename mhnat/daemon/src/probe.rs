//! Probes: questions through an uplink, and what becomes of them.
//!
//! What is asked when, and what follows from the answers, is decided in [`mhnat_core::health`]. Here are the time and
//! the sockets. Each question has a socket of its own, which lives until it is answered or given up: it is bound to the
//! device and the address that the uplink has at that moment, so that nothing has to be renewed when a device vanishes
//! and comes back, and no tracked connection leads a question by what was right before.

mod flight;

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mhnat_core::chronicle::Key;
use mhnat_core::family::Family;
use mhnat_core::health::{Ailments, Moment, Monitor, Outcome, Question, QuestionId};
use mhnat_core::link::{Availability, Unusable};
use mhnat_core::model::Model;
use mhnat_core::name::{IfName, UplinkName};
use mhnat_core::slot::Slots;
use nix::time::{ClockId, clock_gettime};
use tokio::task::yield_now;
use tokio::time::sleep;

use self::flight::Flight;
use crate::book::Book;
use crate::failure::Failure;

/// How a question leaves: what binds it to its uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    device: IfName,
    source: IpAddr,
    /// The uplink's mark, by which it is routed before anything else has a say in it.
    mark: u32,
}

/// A leg that is used although something speaks against it, or is not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) uplink: UplinkName,
    pub(crate) family: Family,
    /// Nothing when it is well again.
    pub(crate) despite: Option<Unusable>,
}

/// A question that is under way, by which uplink, and since when.
#[derive(Debug)]
struct Asked {
    flight: Flight,
    key: Key,
    since: Instant,
}

/// Watches over the health of uplinks.
#[derive(Debug)]
pub(crate) struct Prober {
    monitor: Monitor,
    ways: BTreeMap<(UplinkName, Family), Way>,
    flights: BTreeMap<QuestionId, Asked>,
    /// Where it is written what becomes of questions.
    book: Book,
    /// What whoever waits for changes knows of.
    told: Ailments,
    despite: BTreeMap<(UplinkName, Family), Unusable>,
    news: VecDeque<News>,
}

impl Prober {
    /// Begins with what was known before.
    pub(crate) fn new(remembered: Ailments, book: Book) -> Self {
        Self {
            told: remembered.clone(),
            monitor: Monitor::new(remembered),
            ways: BTreeMap::new(),
            flights: BTreeMap::new(),
            book,
            despite: BTreeMap::new(),
            news: VecDeque::new(),
        }
    }

    /// Whether this process may ask what the model wants to be asked. Otherwise every uplink would seem lost.
    pub(crate) fn allowed(model: &Model) -> Result<(), Failure> {
        let probes = model.uplinks.iter().filter_map(|it| it.probe.as_ref());
        probes.flat_map(|it| &it.targets).try_for_each(|target| flight::allowed(*target))
    }

    /// What the links are now, less what is not to be used for other reasons.
    pub(crate) fn judge(&mut self, model: &Model, links: Availability) -> Availability {
        self.monitor.observe(model, &links, now());
        self.told = self.monitor.ailments();
        let judged = links.heed(model, &self.told);
        self.compare(model, &judged);
        judged
    }

    /// What speaks against legs, as it was last judged by.
    pub(crate) const fn ailments(&self) -> &Ailments {
        &self.told
    }

    /// From now on, questions leave as this model says.
    pub(crate) fn lead(&mut self, model: &Model, slots: &Slots) {
        self.ways.clear();
        for uplink in &model.uplinks {
            let mark = slots.get(&uplink.name).and_then(|slot| model.mask.mark(slot));
            for (family, leg) in &uplink.legs {
                if let (Some(mark), Some(source)) = (mark, leg.preferred()) {
                    let way = Way { device: uplink.interface.clone(), source, mark: mark.bits() };
                    self.ways.insert((uplink.name.clone(), *family), way);
                }
            }
        }
    }

    /// What has become known of legs that are used although something speaks against them.
    pub(crate) fn news(&mut self) -> impl Iterator<Item = News> {
        self.news.drain(..)
    }

    /// Asks, and waits for answers, until something is to be judged anew. What was begun goes on when it is called
    /// again.
    pub(crate) async fn next(&mut self) {
        loop {
            // What has come while nobody looked is known before anything counts as missed.
            yield_now().await;
            while let Poll::Ready((id, outcome)) =
                poll_fn(|context| Poll::Ready(landed(&self.flights, context))).await
            {
                self.land(id, outcome);
            }
            let time = now();
            for question in self.monitor.due(time) {
                self.ask(&question, time);
            }
            let (monitor, book) = (&self.monitor, &self.book);
            self.flights.retain(|id, asked| {
                let awaited = monitor.awaits(*id);
                if !awaited {
                    book.open().chronicle.probe_ended(&asked.key, None);
                }
                awaited
            });
            let ailments = self.monitor.ailments();
            if ailments != self.told {
                // Once: whoever cannot act upon it tries again by a clock of its own.
                self.told = ailments;
                return;
            }
            let deadline = self.monitor.deadline();
            let wait = Duration::from_millis(deadline.map_or(0, |it| it.0.saturating_sub(time.0)));
            let flights = &self.flights;
            tokio::select! {
                (id, outcome) = poll_fn(|context| landed(flights, context)) => {
                    self.land(id, outcome);
                }
                () = sleep(wait), if deadline.is_some() => {}
            }
        }
    }

    fn land(&mut self, id: QuestionId, outcome: Outcome) {
        if let Some(Asked { key, since, .. }) = self.flights.remove(&id) {
            let round_trip = (outcome == Outcome::Answered).then(|| since.elapsed());
            self.book.open().chronicle.probe_ended(&key, round_trip);
        }
        self.monitor.answered(id, outcome, now());
    }

    fn ask(&mut self, question: &Question, time: Moment) {
        let key = (question.uplink.clone(), question.target.family());
        let (way, since) = (self.ways.get(&key), Instant::now());
        let started = way.map(|way| Flight::start(question, way));
        if !matches!(started, None | Some(Err(Outcome::Unasked))) {
            self.book.open().chronicle.probed(&key);
        }
        match started {
            Some(Ok(flight)) => {
                self.flights.insert(question.id, Asked { flight, key, since });
            }
            Some(Err(outcome)) => {
                if outcome == Outcome::Missed {
                    self.book.open().chronicle.probe_ended(&key, None);
                }
                self.monitor.answered(question.id, outcome, time);
            }
            None => self.monitor.answered(question.id, Outcome::Unasked, time),
        }
    }

    fn compare(&mut self, model: &Model, judged: &Availability) {
        let mut despite = BTreeMap::new();
        for uplink in &model.uplinks {
            for family in uplink.legs.keys().copied() {
                let key = (uplink.name.clone(), family);
                let (before, now) = (self.despite.get(&key), judged.despite(&uplink.name, family));
                // One that is given up is told of as a transition.
                if before != now.as_ref() && judged.usable(uplink, family) {
                    self.news.push_back(News { uplink: uplink.name.clone(), family, despite: now });
                }
                despite.extend(now.map(|why| (key, why)));
            }
        }
        self.despite = despite;
    }
}

/// The first question of which something is known.
fn landed(flights: &BTreeMap<QuestionId, Asked>, context: &mut Context<'_>) -> Poll<(QuestionId, Outcome)> {
    for (id, asked) in flights {
        if let Poll::Ready(outcome) = asked.flight.poll(context) {
            return Poll::Ready((*id, outcome));
        }
    }
    Poll::Pending
}

/// The time since the machine was started, with what it slept: the same for every process.
pub(crate) fn now() -> Moment {
    // A clock that every kernel has does not fail; if it did, time would stand still, and nothing be lost.
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    Moment(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
