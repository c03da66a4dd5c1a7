//! Staying right: what `mhnat run` does whenever the kernel tells that something has changed.
//!
//! What has changed does not matter, only what is: links, tables, rules and routes are looked at again, and what
//! differs from what they should be is mended. So events may be lost, come in any order, or be our own. What is known
//! beforehand is what our tables hold, so that a change of state costs the elements that differ and not a reload; as
//! soon as anybody else touches them they are loaded anew.
//!
//! A look takes the longer the more there is. So what follows from an event about a link is done before it, as if
//! nothing else had changed; the look comes behind it all the same.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mhnat_core::converge;
use mhnat_core::desired::desired;
use mhnat_core::device;
use mhnat_core::family::Family;
use mhnat_core::health::Ailments;
use mhnat_core::link::{Availability, Unusable};
use mhnat_core::model::Model;
use mhnat_core::name::UplinkName;
use mhnat_core::nft::replacement;
use mhnat_core::rehome::{Drains, Sweep};
use mhnat_core::sysctl::SysctlPlan;

use super::change::{Change, ReadBack};
use super::execute_all;
use super::observe::{Picture, judge, links};
use super::sweeping::{Sweeping, Swept};
use crate::failure::Failure;
use crate::kernel::{Events, Kernel, LinkNews};
use crate::nft::{Loader, Nft};
use crate::probe::{Prober, now};
use crate::state::{Applied, Config, State, StateDir};

/// When it is looked once more after something was loaded of which it is not sure that it stayed alone.
pub(crate) const AGAIN: Duration = Duration::from_millis(20);

/// What is kept right, and what is known of it.
pub(crate) struct Keeper<'a> {
    dir: &'a StateDir,
    nft: &'a Nft,
    kernel: Kernel,
    model: Model,
    config: Config,
    state: State,
    /// How it was at the last turn.
    last: Option<Picture>,
    /// What legs were at their worst since, as far as it is known of turns that failed and by the traces that it has left:
    /// packets have followed it.
    meanwhile: Availability,
    /// The generation of the kernel's tables at which ours hold what the last turn wanted; nothing while that is in
    /// doubt.
    loaded: Option<u32>,
    /// Connections on their way out.
    sweeping: Sweeping,
    /// Which connections may stay for a time.
    drains: Drains,
    /// What speaks against legs whose links are well.
    health: Ailments,
    /// What has changed and was not given away: what comes behind it did not succeed.
    untold: Vec<Transition>,
    /// By what connections are known that stay on uplinks which are lost, where that was not given away.
    stranded: Option<Sweep>,
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
    /// From its beginning to the last change, without the look at what it did.
    pub(crate) took: Duration,
    /// By what connections are known that stay on uplinks which are lost; the same as before when not given.
    pub(crate) stranded: Option<Sweep>,
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
        Ok(Self {
            dir,
            nft,
            kernel: Kernel::open()?,
            model,
            config,
            state: state.map_or_else(State::new, Ok)?,
            last: None,
            meanwhile: Availability::full(),
            loaded: None,
            sweeping: Sweeping::default(),
            drains: Drains::default(),
            health: Ailments::default(),
            untold: Vec::new(),
            stranded: None,
        })
    }

    /// From the next turn on, this is how it should be.
    pub(crate) fn reconfigure(&mut self, model: Model, config: Config) {
        self.model = model;
        self.config = config;
    }

    /// How it should be.
    pub(crate) const fn model(&self) -> &Model {
        &self.model
    }

    /// Somebody has touched our tables.
    pub(crate) fn doubt(&mut self) {
        self.loaded = None;
    }

    /// Waits until connections have been forgotten; for ever, while none are on their way out.
    pub(crate) async fn swept(&mut self) -> Result<Swept, Failure> {
        self.sweeping.next().await
    }

    /// When connections are to be looked for once more, by a turn.
    pub(crate) fn sweep_due(&self) -> Option<Duration> {
        self.sweeping.due()
    }

    /// Looks, and mends. What follows from the news is done before.
    pub(crate) async fn turn(
        &mut self,
        news: &[LinkNews],
        events: &Events,
        prober: &mut Prober,
    ) -> Result<Turn, Failure> {
        let begun = Instant::now();
        let mut turn = Turn::default();
        self.ask_neighbours_anew(news).await;
        if let Some(picture) = self.forestall(news, events, prober).await {
            turn.took = begun.elapsed();
            turn.mended = true;
            self.follow(picture, false);
        }
        let (devices, model, links) = links(&self.model, &self.kernel).await?;
        let seen = prober.judge(&model, links);
        self.health = prober.ailments().clone();
        let known = self.last.as_ref().map(|it| &it.desired).zip(self.loaded);
        let picture = Picture::take((devices, model, seen), Some(&self.state), known, &self.kernel).await?;
        prober.lead(&picture.model, &picture.slots);
        if let Some(last) = &self.last {
            // A link that went and came between two looks. What began meanwhile has found another way.
            self.meanwhile.worsen(&Availability::lacking(&last.model, &last.wanted(), &picture.routing));
        }
        let commands = self.commands(&picture);
        // Our tables were not there, or not as we knew them: somebody may have begun something without them.
        let gap = !commands.is_empty() && self.loaded != Some(picture.generation);
        if differs(&picture, &commands) {
            turn.mended = true;
            if let Err(failure) = self.mend(&picture, &commands, events).await {
                self.meanwhile.worsen(&picture.availability);
                return Err(failure);
            }
            turn.took = begun.elapsed();
        }
        if turn.mended || !self.remembers(&picture) {
            self.remember(&picture)?;
        }
        self.follow(picture, gap);
        let unsure = (turn.mended && self.loaded.is_none()).then_some(AGAIN);
        let drained = self.drains.deadline().map(|it| it.since(now()));
        turn.transitions = std::mem::take(&mut self.untold);
        turn.stranded = self.stranded.take();
        turn.again = [unsure, self.sweeping.due(), drained].into_iter().flatten().min();
        Ok(turn)
    }

    /// Before anything is sent to a link that is back. Whatever fails here, the kernel asks again by itself in a second.
    async fn ask_neighbours_anew(&self, news: &[LinkNews]) {
        let last: BTreeMap<u32, &LinkNews> = news.iter().map(|it| (it.index, it)).collect();
        let is_uplink =
            |it: &LinkNews| self.model.uplinks.iter().any(|uplink| uplink.interface.as_str() == it.name);
        for (index, _) in last.into_iter().filter(|(_, it)| it.carries() && is_uplink(it)) {
            self.kernel.forget_unresolved(index).await.ok();
        }
    }

    /// Does what follows from the news, where that is elements, rules and routes and nothing else, and gives how it is
    /// then. Whatever fails is left to the look that comes behind it: with a device, the kernel has taken its routes away
    /// already, and one that is just up may not take them yet.
    async fn forestall(
        &mut self,
        news: &[LinkNews],
        events: &Events,
        prober: &mut Prober,
    ) -> Option<Picture> {
        let (last, generation) = (self.last.as_ref()?, self.loaded?);
        let mut devices = last.devices.clone();
        if !devices.hear(news) {
            return None;
        }
        let (model, links) = judge(&self.model, &devices);
        let availability = prober.judge(&model, links);
        self.health = prober.ailments().clone();
        let desired = desired(&model, &last.slots, &availability);
        let present = &last.desired;
        let commands = desired.update(present)?;
        let (before, wanted) = (present.routing(), desired.routing());
        let elsewhere = desired.devices != present.devices || desired.sysctls != present.sysctls;
        if elsewhere || (commands.is_empty() && before == wanted) || Nft::generation().ok()? != generation {
            return None;
        }
        let steps = converge::steps(&before, &wanted);
        execute_all(&steps.before_ruleset, &devices);
        self.loaded = None;
        self.nft.load(&commands).await.ok()?;
        execute_all(&steps.after_ruleset, &devices);
        let last = self.last.as_ref()?;
        let picture = Picture {
            model,
            devices,
            availability,
            tables: desired.inventories(),
            generation,
            routing: wanted,
            slots: last.slots.clone(),
            desired,
            present: last.present.clone(),
            pairs: device::Steps::default(),
            values: last.values.clone(),
            sysctls: SysctlPlan::default(),
        };
        self.loaded = if commands.is_empty() { Some(generation) } else { alone(generation, events).ok()? };
        Some(picture)
    }

    /// Does what is lacking, in the order in which nothing is misled, and looks at what was done.
    async fn mend(&mut self, picture: &Picture, commands: &str, events: &Events) -> Result<(), Failure> {
        let (kernel, nft) = (self.kernel.clone(), self.nft);
        let change = Change { kernel: &kernel, nft, picture, commands, loading: Cell::new(false) };
        // Unless something is loaded, our tables stay as they are, whatever becomes of the rest.
        let loads = !commands.is_empty();
        if loads {
            self.loaded = None;
        }
        let read = self.change(&change).await?;
        change.verify(read).await?.end().await?;
        if loads {
            self.loaded = alone(picture.generation, events)?;
        }
        Ok(())
    }

    /// What legs were at their worst since the last turn that succeeded.
    fn before(&self) -> Option<Availability> {
        let mut before = self.last.as_ref()?.availability.clone();
        before.worsen(&self.meanwhile);
        Some(before)
    }

    /// What the new picture means for connections: only now is there another way.
    fn follow(&mut self, picture: Picture, gap: bool) {
        let transitions = self.transitions(&picture);
        let before = self.before();
        let over = self.drains.note(&picture.model, before.as_ref(), &picture.availability, now());
        if !transitions.is_empty() {
            let seen = self.last.as_ref().map_or(&picture.model, |it| &it.model);
            let lost = Sweep::stranded(&picture.model, seen, &picture.slots, &picture.availability);
            self.stranded = Some(lost);
        }
        let other = over || !transitions.is_empty() || self.meanwhile != Availability::full();
        let mut sweeps = self.sweeps(&picture, before.as_ref(), other);
        sweeps.extend(gap.then(|| Sweep::of_gap(&picture.model)));
        self.meanwhile = Availability::full();
        self.drains.forget_returned();
        self.sweeping.begin(sweeps, &picture.model, &picture.availability);
        self.untold.extend(transitions);
        self.last = Some(picture);
    }

    /// What turns our tables into what they should be, as little as is known to be enough.
    fn commands(&self, picture: &Picture) -> String {
        let known = self.last.as_ref().filter(|_| self.loaded == Some(picture.generation));
        let elements = known.and_then(|it| picture.desired.update(&it.desired));
        elements.unwrap_or_else(|| replacement(&picture.tables, &picture.desired.ruleset_text()))
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
        let new = sysctls.keep.iter().any(|(key, value)| self.state.kept.get(key) != Some(value));
        if new || self.state.slots != *slots {
            let mut next = self.state.clone();
            next.kept.extend(sysctls.keep.clone());
            if next.slots != *slots {
                (next.slots, next.applied) = (slots.clone(), None);
            }
            self.dir.write(&next)?;
            self.state = next;
        }
        change.forward(Loader::later(), &self.state.kept, || ()).await
    }

    /// Writes down what is in force.
    fn remember(&mut self, picture: &Picture) -> Result<(), Failure> {
        let Picture { sysctls, desired, .. } = picture;
        self.state.slots.clone_from(&picture.slots);
        self.state.kept.extend(sysctls.keep.clone());
        self.state.kept.retain(|key, _| !sysctls.obsolete.contains(key));
        self.state.applied = Some(Applied {
            config: self.config.clone(),
            ruleset: desired.ruleset_text(),
            devices: desired.devices.clone(),
            routing: picture.wanted(),
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

    fn sweeps(&self, picture: &Picture, before: Option<&Availability>, other: bool) -> Vec<Sweep> {
        let Picture { model, slots, availability: now, .. } = picture;
        let mut sweeps = Vec::new();
        if other {
            let seen = self.last.as_ref().map_or(model, |it| &it.model);
            sweeps.push(Sweep::of_loss(model, seen, slots, now, &self.drains));
        }
        if self.last.is_none() || self.meanwhile != Availability::full() {
            // Addresses may have come and gone.
            sweeps.push(Sweep::of_stale(model, slots, now));
        }
        if let Some((last, before)) = self.last.as_ref().zip(before) {
            sweeps.push(Sweep::of_change(&last.model, model, slots, now));
            if other {
                sweeps.push(Sweep::of_return(model, slots, before, now, &self.drains));
            }
        }
        sweeps.retain(|it| !it.is_empty());
        sweeps
    }
}

/// The generation of the kernel's tables after our own change, if it was the only one since this. What has come by now
/// tells of it.
fn alone(before: u32, events: &Events) -> Result<Option<u32>, Failure> {
    let ours = Nft::generation()?;
    events.forget_tables();
    let alone = ours == before.wrapping_add(1) && Nft::generation()? == ours;
    Ok(alone.then_some(ours))
}

/// Whether anything in the kernel is not as it should be.
fn differs(picture: &Picture, commands: &str) -> bool {
    let Picture { pairs, sysctls, routing, .. } = picture;
    !commands.is_empty()
        || *routing != picture.wanted()
        || !(pairs.first.is_empty() && pairs.last.is_empty())
        || !(sysctls.open.is_empty() && sysctls.forward.is_empty() && sysctls.obsolete.is_empty())
}
