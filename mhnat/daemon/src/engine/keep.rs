//! Staying right: what `mhnat run` does whenever the kernel tells that something has changed.
//!
//! What has changed does not matter, only what is: links, tables, rules and routes are looked at again, and what
//! differs from what they should be is mended. So events may be lost, come in any order, or be our own. What is known
//! beforehand is what our tables hold, so that a change of state costs the elements that differ and not a reload; as
//! soon as anybody else touches them they are loaded anew.

use std::cell::Cell;
use std::time::{Duration, Instant};

use mhnat_core::family::Family;
use mhnat_core::health::Ailments;
use mhnat_core::link::{Availability, Unusable};
use mhnat_core::model::Model;
use mhnat_core::name::UplinkName;
use mhnat_core::nft::{Inventories, Ruleset, replacement};
use mhnat_core::rehome::{Drains, Sweep};

use super::change::{Change, ReadBack};
use super::observe::{Picture, links};
use crate::failure::Failure;
use crate::kernel::{Events, Kernel};
use crate::nft::{Loader, Nft};
use crate::probe::{Prober, now};
use crate::state::{Applied, Config, State, StateDir};

/// When connections are looked for once more.
pub(crate) const AGAIN: Duration = Duration::from_millis(20);

/// What is kept right, and what is known of it.
pub(crate) struct Keeper<'a> {
    dir: &'a StateDir,
    nft: &'a Nft,
    kernel: Kernel,
    model: Model,
    config: Config,
    state: State,
    /// What our tables hold; nothing while that is in doubt.
    loaded: Option<Loaded>,
    /// How it was at the last turn.
    last: Option<Last>,
    /// What was looked for among the connections, and is once more: one may have been on its way when the state changed.
    again: Vec<Sweep>,
    /// Which connections may stay for a time.
    drains: Drains,
    /// What speaks against legs whose links are well.
    health: Ailments,
}

struct Loaded {
    ruleset: Ruleset,
    bridge: Ruleset,
    inventories: Inventories,
}

struct Last {
    /// With the addresses that dynamic uplinks had.
    model: Model,
    availability: Availability,
}

/// One leg of an uplink can carry packets, or cannot any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) uplink: UplinkName,
    pub(crate) family: Family,
    /// Why not; nothing when it can.
    pub(crate) unusable: Option<Unusable>,
}

/// What one look has led to.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) transitions: Vec<Transition>,
    /// Whether anything in the kernel was not as it should be.
    pub(crate) mended: bool,
    /// Connections that begin anew.
    pub(crate) forgotten: u64,
    /// Sockets of this host that were closed.
    pub(crate) closed: u64,
    /// Why sockets were not closed that should be. Everything else was done.
    pub(crate) unclosed: Option<Failure>,
    /// From the first look to the last change, without the look at what it did.
    pub(crate) took: Duration,
    /// What it took to find those connections and to forget them.
    pub(crate) forgetting: Duration,
    /// When another turn is due even if nothing happens.
    pub(crate) again: Option<Duration>,
}

impl<'a> Keeper<'a> {
    /// Knows nothing yet: the first turn loads everything, in the place of what there is.
    pub(crate) fn new(
        model: Model,
        config: Config,
        state: Option<State>,
        dir: &'a StateDir,
        nft: &'a Nft,
    ) -> Result<Self, Failure> {
        let state = state.map_or_else(State::new, Ok)?;
        let (kernel, again, health) = (Kernel::open()?, Vec::new(), Ailments::default());
        Ok(Self {
            dir,
            nft,
            kernel,
            model,
            config,
            state,
            loaded: None,
            last: None,
            again,
            drains: Drains::default(),
            health,
        })
    }

    /// From the next turn on, this is how it should be.
    pub(crate) fn reconfigure(&mut self, model: Model, config: Config) {
        self.model = model;
        self.config = config;
    }

    /// Somebody has touched our tables.
    pub(crate) fn doubt(&mut self) {
        self.loaded = None;
    }

    /// Looks, and mends.
    pub(crate) async fn turn(&mut self, events: &Events, prober: &mut Prober) -> Result<Turn, Failure> {
        let begun = Instant::now();
        let (devices, model, links) = links(&self.model, &self.kernel).await?;
        let seen = prober.judge(&model, links);
        self.health = prober.ailments().clone();
        let picture = Picture::take((devices, model, seen), Some(&self.state), &self.kernel).await?;
        prober.lead(&picture.model, &picture.slots);
        let commands = self.commands(&picture);
        let mut turn = Turn { transitions: self.transitions(&picture), ..Turn::default() };
        turn.mended = differs(&picture, &commands);
        self.mend(&picture, &commands, begun, events, &mut turn).await?;
        let Picture { model, availability, .. } = picture;
        self.last = Some(Last { model, availability });
        Ok(turn)
    }

    /// Does what is to be done, in the order in which nothing is misled.
    async fn mend(
        &mut self,
        picture: &Picture,
        commands: &str,
        begun: Instant,
        events: &Events,
        turn: &mut Turn,
    ) -> Result<(), Failure> {
        let (kernel, nft) = (self.kernel.clone(), self.nft);
        let change = Change { kernel: &kernel, nft, picture, commands, loading: Cell::new(false) };
        let lacking = turn.mended || !self.remembers(picture);
        let read = if lacking { Some(self.change(&change).await?) } else { None };
        turn.took = begun.elapsed();
        let changed = Instant::now();
        // Only now is there another way. Nobody waits for what comes after it.
        let before = self.last.as_ref().map(|it| &it.availability);
        let over = self.drains.note(&picture.model, before, &picture.availability, now());
        let sweeps = self.sweeps(picture, over || !turn.transitions.is_empty());
        let mut all = std::mem::take(&mut self.again);
        for sweep in &mut all {
            // An uplink that was lost may be back by now, and have connections that are right.
            sweep.hold(&picture.model, &picture.availability);
        }
        all.extend(sweeps.iter().cloned());
        for sweep in all.iter().filter(|it| !it.is_empty()) {
            match Kernel::forget(sweep) {
                Ok(forgotten) => turn.forgotten += forgotten,
                Err(error) => {
                    // Looked for at the next turn, as far as the links are still so.
                    self.again = all;
                    return Err(error.into());
                }
            }
        }
        for sweep in &all {
            match Kernel::close(sweep) {
                Ok(closed) => turn.closed += closed,
                Err(error) => turn.unclosed = Some(error.into()),
            }
        }
        self.drains.forget_returned();
        turn.forgetting = changed.elapsed();
        let more = !sweeps.is_empty();
        self.again = sweeps;
        if let Some(read) = read {
            self.confirm(&change, read, events).await?;
        }
        let drained = self.drains.deadline().map(|it| it.since(now()));
        turn.again = if more || (lacking && self.loaded.is_none()) { Some(AGAIN) } else { drained };
        Ok(())
    }

    /// What turns our tables into what they should be, as little as is known to be enough.
    fn commands(&self, picture: &Picture) -> String {
        let desired = &picture.desired;
        let known = self.loaded.as_ref().filter(|it| it.inventories == picture.tables);
        let elements = known.and_then(|it| {
            let ruleset = desired.ruleset.update(&it.ruleset)?;
            Some(ruleset + &desired.bridge.update(&it.bridge)?)
        });
        elements.unwrap_or_else(|| replacement(&picture.tables, &desired.ruleset_text()))
    }

    /// Whether what is on disk says what there should be.
    fn remembers(&self, picture: &Picture) -> bool {
        self.state.slots == picture.slots
            && self
                .state
                .applied
                .as_ref()
                .is_some_and(|it| it.config == self.config && it.health == self.health)
    }

    /// Does what is lacking.
    async fn change<'c>(&mut self, change: &Change<'c>) -> Result<ReadBack<'c>, Failure> {
        let Picture { sysctls, slots, .. } = change.picture;
        // What `down` needs is on disk before it is needed. A flap needs nothing that is not there already.
        let mut next = self.state.clone();
        next.kept.extend(sysctls.keep.clone());
        if next.slots != *slots {
            (next.slots, next.applied) = (slots.clone(), None);
        }
        if next != self.state {
            self.dir.write(&next)?;
            self.state = next;
        }
        let outcome = change.forward(Loader::later(), &self.state.kept, || ()).await;
        if outcome.is_err() {
            self.loaded = None;
        }
        outcome
    }

    /// Looks at what was done, and remembers it.
    async fn confirm<'c>(
        &mut self,
        change: &Change<'c>,
        read: ReadBack<'c>,
        events: &Events,
    ) -> Result<(), Failure> {
        let Picture { generation, sysctls, desired, .. } = change.picture;
        let loaded = self.loaded.take();
        change.verify(read).await?.end().await?;
        self.loaded = if change.commands.is_empty() {
            loaded
        } else {
            // What has come by now tells of our own change, as long as it is the only one.
            let ours = Nft::generation()?;
            events.forget_tables();
            let alone = ours == generation.wrapping_add(1) && Nft::generation()? == ours;
            alone.then(|| Loaded {
                ruleset: desired.ruleset.clone(),
                bridge: desired.bridge.clone(),
                inventories: desired.inventories(),
            })
        };
        self.state.kept.retain(|key, _| !sysctls.obsolete.contains(key));
        self.state.applied = Some(Applied {
            config: self.config.clone(),
            ruleset: desired.ruleset_text(),
            devices: desired.devices.clone(),
            routing: change.picture.wanted(),
            health: self.health.clone(),
        });
        Ok(self.dir.write(&self.state)?)
    }

    fn transitions(&self, picture: &Picture) -> Vec<Transition> {
        let why = |name: &UplinkName, family: Family| {
            picture.availability.unusable().find(|it| it.0 == name && it.1 == family).map(|it| it.2)
        };
        let legs = picture.model.legs().map(|(uplink, family, _)| (uplink, family));
        legs.filter(|(uplink, family)| {
            let before = self.last.as_ref().map(|it| it.availability.usable(uplink, *family));
            before != Some(picture.availability.usable(uplink, *family))
        })
        .map(|(uplink, family)| Transition {
            uplink: uplink.name.clone(),
            family,
            unusable: why(&uplink.name, family),
        })
        .collect()
    }

    fn sweeps(&self, picture: &Picture, other: bool) -> Vec<Sweep> {
        let Picture { model, slots, availability: now, .. } = picture;
        let mut sweeps = Vec::new();
        if other {
            let seen = self.last.as_ref().map_or(model, |it| &it.model);
            sweeps.push(Sweep::of_loss(model, seen, slots, now, &self.drains));
        }
        if let Some(last) = &self.last {
            sweeps.push(Sweep::of_change(&last.model, model, slots, now));
            if other {
                sweeps.push(Sweep::of_return(model, slots, &last.availability, now, &self.drains));
            }
        }
        sweeps.retain(|it| !it.is_empty());
        sweeps
    }
}

/// Whether anything in the kernel is not as it should be.
fn differs(picture: &Picture, commands: &str) -> bool {
    let Picture { pairs, sysctls, routing, .. } = picture;
    !commands.is_empty()
        || *routing != picture.wanted()
        || !(pairs.first.is_empty() && pairs.last.is_empty())
        || !(sysctls.open.is_empty() && sysctls.forward.is_empty() && sysctls.obsolete.is_empty())
}
