//! Reads `[[candidate]]`: policies that are tried beside the one in force. A table that a candidate writes takes the place
//! of the fleet's whole; what it does not write is the fleet's own.

use std::time::Duration;

use crate::config::fleet::read::{read_cooldown, read_scale_in, read_size, refuse_duplicate};
use crate::config::fleet::rules::{self, NAME};
use crate::config::fleet::{CandidateConfig, schedules};
use crate::config::reader::{Section, key};
use crate::decide::policy::{Cooldown, Rule, ScaleIn, SizePolicy, Target};
use crate::decide::schedule::Schedule;
use crate::decide::signal::Catalog;

/// Most candidates of one fleet: each is a decision more at every tick.
const MOST_CANDIDATES: usize = 4;

/// The fleet's own, for what a candidate does not write.
pub(super) struct Own<'a> {
    pub(super) size: SizePolicy,
    pub(super) schedules: &'a [Schedule],
    pub(super) rules: &'a [Rule],
    pub(super) targets: &'a [Target],
    pub(super) cooldown: Cooldown,
    pub(super) scale_in: &'a ScaleIn,
    pub(super) interval: Duration,
}

/// `own`: none where the fleet's own size could not be read, and nothing comes of the file.
pub(super) fn read(
    file: &mut Section<'_, '_>,
    own: Option<&Own<'_>>,
    catalog: &Catalog,
) -> Vec<CandidateConfig> {
    let mut taken = Vec::new();
    file.each(
        key("candidate", "A policy that is evaluated beside the one in force, recorded, and never acted on."),
        MOST_CANDIDATES,
        |section| read_candidate(section, &mut taken, own, catalog),
    )
}

fn read_candidate(
    section: &mut Section<'_, '_>,
    taken: &mut Vec<String>,
    own: Option<&Own<'_>>,
    catalog: &Catalog,
) -> Option<CandidateConfig> {
    let name = section
        .required(key("name", "The candidate's name, unique in the fleet.").example("\"calmer\""), &NAME);
    if let Some(name) = &name {
        refuse_duplicate(section, taken, name);
    }
    let interval = own.map_or(Duration::ZERO, |own| own.interval);
    let written =
        ["size", "rule", "target", "schedule", "cooldown", "scale_in"].map(|table| section.has(table));
    let size = section.table_if_there(key("size", "In place of the fleet's [size]."), read_size);
    let rules = rules::read_rules(section, catalog);
    let targets = rules::read_targets(section, catalog);
    let bounds = size.or(own.map(|own| own.size));
    let schedules = schedules::read(section, bounds.as_ref());
    let cooldown = section
        .table_if_there(key("cooldown", "In place of the fleet's [cooldown]."), |cooldown| {
            Some(read_cooldown(cooldown))
        });
    let scale_in = section
        .table_if_there(key("scale_in", "In place of the fleet's [scale_in]."), |scale_in| {
            Some(read_scale_in(scale_in, interval))
        });
    if written == [false; 6] {
        let remedy = "differs in nothing from the fleet's policy: write what it does otherwise, such as [[candidate.rule]]";
        section.missing("rule", remedy);
    }
    let (own, [_, has_rules, has_targets, has_schedules, ..]) = (own?, written);
    let pick = |has: bool| has.then_some(());
    Some(CandidateConfig {
        name: name?.value,
        size: bounds?,
        rules: pick(has_rules).map_or_else(|| own.rules.to_vec(), |()| rules),
        targets: pick(has_targets).map_or_else(|| own.targets.to_vec(), |()| targets),
        schedules: pick(has_schedules).map_or_else(|| own.schedules.to_vec(), |()| schedules),
        cooldown: cooldown.unwrap_or(own.cooldown),
        scale_in: scale_in.unwrap_or_else(|| own.scale_in.clone()),
    })
}
