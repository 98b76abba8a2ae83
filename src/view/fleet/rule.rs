//! How near each rule is to what it waits for.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::decide::condition::Truth;
use crate::decide::policy::{Rule, RuleAction};
use crate::domain::time::{after, to_micros};
use crate::store::StoredFleet;

/// Observations that are shown of one rule: a rule may look at a thousand, and nobody reads them.
const SHOWN_MAX: usize = 60;

/// One rule and the observations that it looks at.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleStatus {
    /// Its name.
    pub name: String,
    /// Its condition, as it is written.
    pub when: String,
    /// What it does, in words: `add 2`.
    pub action: String,
    /// At least so many observations must hold…
    pub hits_needed: u32,
    /// …of the last so many.
    pub of: u32,
    /// So many hold.
    pub hits: u32,
    /// The observations that count, oldest first, at most 60: those since the fleet's last change of size.
    pub window: Vec<RuleSample>,
    /// When it last fired; null: never.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub fired_at: Option<DateTime<Utc>>,
    /// When it may fire again; null: it has not fired.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub cools_until: Option<DateTime<Utc>>,
}

/// What a rule says of one observation.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleSample {
    /// When it was taken.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// Whether the condition held; null: it could not be told.
    pub holds: Option<bool>,
}

/// How every rule stands, in the order of the file.
pub(super) fn statuses(config: Option<&FleetConfig>, stored: &StoredFleet) -> Vec<RuleStatus> {
    let Some(config) = config else { return Vec::new() };
    config.rules.iter().map(|rule| status(config, rule, stored)).collect()
}

fn status(config: &FleetConfig, rule: &Rule, stored: &StoredFleet) -> RuleStatus {
    let since = stored.memory.last_change;
    let counted = stored.window.iter().rev().filter(|seen| since.is_none_or(|since| seen.at > since));
    let mut window: Vec<RuleSample> = counted
        .take(rule.sustained.of as usize)
        .map(|seen| RuleSample {
            at: to_micros(seen.at),
            holds: match rule.truth(seen) {
                Truth::Holds => Some(true),
                Truth::Fails => Some(false),
                Truth::Unknown => None,
            },
        })
        .collect();
    let hits = window.iter().filter(|sample| sample.holds == Some(true)).count();
    window.truncate(SHOWN_MAX);
    window.reverse();
    let of_direction =
        if rule.action.is_out() { config.cooldown.scale_out } else { config.cooldown.scale_in };
    let fired_at = stored.memory.rules_fired.get(&rule.name).copied();
    RuleStatus {
        name: rule.name.clone(),
        when: rule.when.text().to_owned(),
        action: action_words(rule.action),
        hits_needed: rule.sustained.hits,
        of: rule.sustained.of,
        hits: u32::try_from(hits).unwrap_or(u32::MAX),
        window,
        fired_at,
        cools_until: fired_at.map(|at| after(at, rule.cooldown.unwrap_or(of_direction))),
    }
}

/// What a rule does, as its file would say it without the brackets.
pub(super) fn action_words(action: RuleAction) -> String {
    match action {
        RuleAction::Add(count) => format!("add {count}"),
        RuleAction::Remove(count) => format!("remove {count}"),
        RuleAction::AddPercent(percent) => format!("add {percent} %"),
        RuleAction::RemovePercent(percent) => format!("remove {percent} %"),
    }
}

/// Every signal that a fleet's rules and targets use, by name.
#[must_use]
pub fn signals_used(config: &FleetConfig) -> BTreeSet<String> {
    let of_rules = config.rules.iter().flat_map(|rule| rule.when.signals());
    of_rules.chain(config.targets.iter().map(|target| target.signal.clone())).collect()
}
