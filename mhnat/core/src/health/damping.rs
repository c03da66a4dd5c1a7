//! A link that is lost again and again is not used until it has been quiet for a while (RFC 2439, 4.2).
//!
//! Each loss adds a penalty, and what is there halves in each half-life. Above one limit the link is not used any more;
//! below a lower one it is again. The penalty has a ceiling, from which it takes the longest time allowed to come down.

use super::Moment;
use crate::model::Dampening;

/// The figure of merit of one leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damper {
    settings: Dampening,
    /// The points at `at`.
    points: f64,
    at: Moment,
    suppressed: bool,
}

impl Damper {
    /// Nothing has happened yet.
    pub(super) const fn new(settings: Dampening, now: Moment) -> Self {
        Self { settings, points: 0.0, at: now, suppressed: false }
    }

    pub(super) const fn settings(&self) -> Dampening {
        self.settings
    }

    /// The link was lost once.
    pub(super) fn loss(&mut self, now: Moment) {
        self.pass(now);
        let Dampening { penalty, suppress, .. } = self.settings;
        self.points = (self.points + f64::from(penalty)).min(self.ceiling());
        if self.points >= f64::from(suppress) {
            self.suppressed = true;
        }
    }

    /// Time has passed.
    pub(super) fn pass(&mut self, now: Moment) {
        self.points = self.points_at(now);
        self.at = self.at.max(now);
        if self.suppressed && self.points <= f64::from(self.settings.reuse) {
            self.suppressed = false;
        }
    }

    /// Whether the link is not to be used.
    pub(super) const fn suppressed(&self) -> bool {
        self.suppressed
    }

    /// When it may be used again, where it may not.
    pub(super) fn reuse(&self) -> Option<Moment> {
        let half_lives = (self.points / f64::from(self.settings.reuse)).log2().max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and at most `longest`, which fits; `as` saturates"
        )]
        let wait = (half_lives * f64::from(self.settings.half_life.0)).ceil() as u64;
        self.suppressed.then_some(Moment(self.at.0.saturating_add(wait)))
    }

    fn points_at(&self, now: Moment) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "what is lost is less than a millisecond")]
        let passed = now.0.saturating_sub(self.at.0) as f64;
        self.points * (-passed / f64::from(self.settings.half_life.0)).exp2()
    }

    /// From as many points it takes the longest time to come down.
    fn ceiling(&self) -> f64 {
        let Dampening { half_life, reuse, longest, .. } = self.settings;
        f64::from(reuse) * (f64::from(longest.0) / f64::from(half_life.0)).exp2()
    }
}
