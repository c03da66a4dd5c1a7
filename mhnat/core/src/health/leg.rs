//! One leg: its targets together, what they are asked and when, and how often it was lost.

use super::damping::Damper;
use super::detector::{Event, Limits, Lost, Phase};
use super::{Ailment, Moment, Outcome, QuestionId, targets};
use crate::family::Family;
use crate::link::Unusable;
use crate::model::{Dampening, DomainName, Need, Probe, Target};

/// A leg that is watched.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    probe: Option<Probe>,
    targets: Vec<Asked>,
    damper: Option<Damper>,
    /// Whether the link can carry packets; unknown before the first look.
    link: Option<bool>,
    /// Whether nothing spoke against it when it was last looked at, other than the number of its losses.
    sound: bool,
    /// When nothing spoke against it at all.
    well: Moment,
    /// What was known before the first look.
    before: Option<Ailment>,
}

/// A target with the question that is under way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    target: Target,
    phase: Phase,
    /// When it is asked next.
    next: Moment,
    /// The question that is under way, and when it has no answer.
    waits: Option<(QuestionId, Moment)>,
}

impl Tracked {
    pub(super) fn new(before: Option<Ailment>, now: Moment) -> Self {
        let well = before.map_or(now, |it| it.well);
        Self { probe: None, targets: Vec::new(), damper: None, link: None, sound: true, well, before }
    }

    /// What the file says now. Targets that stay keep their state, and new ones are taken for well.
    pub(super) fn configure(
        &mut self,
        probe: Option<&Probe>,
        dampening: Option<Dampening>,
        family: Family,
        now: Moment,
    ) {
        if self.probe.as_ref() != probe || self.link.is_none() {
            let fresh = match (self.link, self.before) {
                (Some(false), _) => Phase::Idle,
                (None, Some(Ailment { why: Unusable::Unanswered { times, .. }, well })) => {
                    Phase::Down(Lost { since: well, missed: times })
                }
                (None, Some(Ailment { why: Unusable::Unproven { .. }, well })) => {
                    Phase::Down(Lost { since: well, missed: 0 })
                }
                (Some(true) | None, _) => Phase::Up { missed: 0 },
            };
            let known = std::mem::take(&mut self.targets);
            self.targets = targets(probe, family)
                .map(|target| {
                    let phase = known.iter().find(|it| it.target == target).map_or(fresh, |it| it.phase);
                    Asked { target, phase, next: now, waits: None }
                })
                .collect();
            self.probe = probe.cloned();
        }
        if self.damper.as_ref().map(Damper::settings) != dampening {
            self.damper = dampening.map(|settings| Damper::new(settings, now));
        }
    }

    /// What the link is now.
    pub(super) fn link(&mut self, well: bool, now: Moment) {
        if self.link.is_none() {
            // It may have been so for long: nothing was lost just now.
            self.sound = false;
        }
        let event = match (self.link, well) {
            (None | Some(true), true) | (Some(false), false) => None,
            (Some(false), true) => Some(Event::LinkWell),
            (None | Some(true), false) => Some(Event::LinkLost),
        };
        self.link = Some(well);
        if let (Some(event), Some(limits)) = (event, self.limits()) {
            for it in &mut self.targets {
                it.phase = it.phase.next(event, limits, now);
                (it.next, it.waits) = (now, None);
            }
        }
        self.take_stock(now);
    }

    /// Time has passed: what has no answer by now has none.
    pub(super) fn pass(&mut self, now: Moment) {
        if let Some(limits) = self.limits() {
            for it in &mut self.targets {
                if it.waits.take_if(|(_, deadline)| *deadline <= now).is_some() {
                    it.phase = it.phase.next(Event::Missed, limits, now);
                }
            }
        }
        self.take_stock(now);
    }

    /// What is asked now.
    pub(super) fn ask(&mut self, now: Moment, number: &mut u64) -> Vec<(QuestionId, Target)> {
        let (Some(probe), Some(true)) = (&self.probe, self.link) else { return Vec::new() };
        let due = self.targets.iter_mut().filter(|it| it.waits.is_none() && it.next <= now);
        due.map(|it| {
            let id = QuestionId(*number);
            *number = number.wrapping_add(1);
            it.next = now.next_tick(probe.interval);
            it.waits = Some((id, now.after(probe.timeout)));
            (id, it.target)
        })
        .collect()
    }

    pub(super) fn answered(&mut self, id: QuestionId, outcome: Outcome, now: Moment) {
        let Some(limits) = self.limits() else { return };
        for it in &mut self.targets {
            if it.waits.take_if(|(waited, _)| *waited == id).is_some() {
                let event = match outcome {
                    Outcome::Answered => Event::Answered,
                    Outcome::Missed => Event::Missed,
                    Outcome::Unasked => continue,
                };
                it.phase = it.phase.next(event, limits, now);
            }
        }
        self.take_stock(now);
    }

    pub(super) fn awaits(&self, id: QuestionId) -> bool {
        self.targets.iter().any(|it| it.waits.is_some_and(|(waited, _)| waited == id))
    }

    /// When something happens by itself.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let asking = self.targets.iter().filter(|_| self.link == Some(true));
        let waits = asking.map(|it| it.waits.map_or(it.next, |(_, deadline)| deadline));
        waits.chain(self.damper.as_ref().and_then(Damper::reuse)).min()
    }

    /// What speaks against it, where its link does not.
    pub(super) fn ailment(&self) -> Option<Ailment> {
        if self.link != Some(true) {
            return None;
        }
        let rests = || self.damper.as_ref().is_some_and(Damper::suppressed).then_some(Unusable::Dampened);
        let why = self.unanswered().or_else(rests)?;
        Some(Ailment { why, well: self.well })
    }

    pub(super) fn name(&self) -> Option<&DomainName> {
        self.probe.as_ref()?.name.as_ref()
    }

    fn limits(&self) -> Option<Limits> {
        self.probe.as_ref().map(|it| Limits { fall: it.fall, rise: it.rise })
    }

    /// Why its targets are not enough.
    fn unanswered(&self) -> Option<Unusable> {
        let probe = self.probe.as_ref()?;
        let enough = match probe.need {
            Need::Any => self.targets.iter().any(|it| it.phase.is_up()) || self.targets.is_empty(),
            Need::All => self.targets.iter().all(|it| it.phase.is_up()),
        };
        if enough {
            return None;
        }
        let lost = || self.targets.iter().filter_map(|it| Some((it.phase.lost()?, it.target)));
        // The one that decided it: where one is enough the last that was lost, otherwise the first.
        let (decided, target) = match probe.need {
            Need::Any => lost().max_by_key(|(lost, _)| lost.since),
            Need::All => lost().min_by_key(|(lost, _)| lost.since),
        }?;
        if decided.missed < probe.fall.get() {
            return Some(Unusable::Unproven { target, times: probe.rise.get() });
        }
        let others = match probe.need {
            Need::Any => u8::try_from(lost().count().saturating_sub(1)).unwrap_or(u8::MAX),
            Need::All => 0,
        };
        Some(Unusable::Unanswered { target, times: probe.fall.get(), others })
    }

    /// Counts losses, and remembers when it was well.
    fn take_stock(&mut self, now: Moment) {
        let sound = self.link == Some(true) && self.unanswered().is_none();
        if let Some(damper) = &mut self.damper {
            damper.pass(now);
            if self.sound && !sound {
                damper.loss(now);
            }
        }
        let rests = self.damper.as_ref().is_some_and(Damper::suppressed);
        if sound && !rests {
            self.well = now;
        }
        self.sound = sound;
    }
}
