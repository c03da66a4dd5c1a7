// What holds for every input. Shared by the fuzz targets and by the runner in core/tests/fuzz.rs, which needs neither
// a nightly compiler nor cargo-fuzz.

use std::collections::BTreeSet;

use mhnat_core::config::{self, Rejected};
use mhnat_core::desired::{Desired, desired};
use mhnat_core::diagnostic::{Colour, render};
use mhnat_core::link::{Availability, Links};
use mhnat_core::model::Model;
use mhnat_core::nft::{Ruleset, inventories};
use mhnat_core::slot::Slots;

/// Any bytes give a model, or a message that can be shown.
pub(crate) fn config(bytes: &[u8]) -> Option<Model> {
    match config::read(bytes) {
        Ok(model) => Some(model),
        Err(Rejected::Wrong { source, diagnostics }) => {
            assert!(!diagnostics.is_empty(), "refused without a reason");
            for diagnostic in &diagnostics {
                let span = diagnostic.span.clone();
                assert!(source.get(span.clone()).is_some(), "{span:?} is no part of the text");
            }
            assert!(!render("fuzz.toml", &source, &diagnostics, Colour::Never).trim().is_empty());
            None
        }
        Err(Rejected::TooLarge | Rejected::NotText { .. }) => None,
    }
}

/// The plan of an accepted configuration is whole, whatever the links are like.
pub(crate) fn planner(model: &Model) {
    let slots = Slots::allocate(
        model.uplinks.iter().map(|uplink| &uplink.name),
        &Slots::default(),
        model.mask.capacity(),
    );
    let full = desired(model, &slots, &Availability::full());
    let none = desired(model, &slots, &Availability::observe(model, &Links::default()));
    for plan in [&full, &none] {
        check(plan);
    }
    assert_eq!(full, desired(model, &slots, &Availability::full()), "planning twice gives two plans");
    let ours = |device| none.devices.iter().any(|pair| pair.ends().contains(&device));
    assert!(none.routes.iter().all(|it| ours(&it.device)), "routes by links that do not exist");
    let _ = mhnat_core::render::plan(&full);
    if let Some(update) = none.ruleset.update(&full.ruleset) {
        assert_eq!(update.is_empty(), none.ruleset == full.ruleset, "{update}");
    }
}

fn check(plan: &Desired) {
    let text = plan.ruleset_text();
    assert_eq!(inventories(&text), plan.inventories(), "the text does not say what the ruleset is:\n{text}");
    assert!(text.is_ascii(), "nft would not take this:\n{text}");
    plan.rulesets().for_each(check_table);
}

fn check_table(ruleset: &Ruleset) {
    let mut comments = BTreeSet::new();
    for rule in ruleset.chains.iter().flat_map(|chain| &chain.rules) {
        assert!(rule.comment.len() <= 128, "nft refuses this comment: {}", rule.comment);
        assert!(comments.insert(&rule.comment), "a comment stands twice: {}", rule.comment);
        let quotes = rule.text.matches('"').count();
        assert!(quotes % 2 == 0 && !rule.comment.contains('"'), "a quote is open: {}", rule.text);
    }
    let mut names = BTreeSet::new();
    for name in ruleset.sets.iter().map(|set| &set.name).chain(ruleset.maps.iter().map(|map| &map.name)) {
        assert!(names.insert(name), "two sets or maps are called {name}");
    }
    let mut chains = BTreeSet::new();
    for chain in &ruleset.chains {
        assert!(chains.insert(&chain.name), "two chains are called {}", chain.name);
    }
    for map in &ruleset.maps {
        let keys: BTreeSet<_> = map.elements.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), map.elements.len(), "a key of {} stands twice", map.name);
        for (_, value) in map.elements.iter().filter(|_| map.value == "verdict") {
            let target = value.split_once(' ').map_or("", |(_, chain)| chain);
            let known = ruleset.chains.iter().any(|chain| chain.name == target);
            assert!(known || matches!(value.as_str(), "accept" | "drop" | "return"), "{value} leads nowhere");
        }
    }
}
