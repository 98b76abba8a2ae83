//! What of a fleet's configuration can be replayed.
//!
//! A trace tells one thing: how busy the fleet is. Of all signals that rules and targets may use, only the hosts' CPU and
//! the counts of hosts follow from that. The load is spread evenly, so every aggregate over hosts but the sum is the mean.
//! Any other signal stands at 0 in conditions, as if that resource were never what is short; a target on one is left
//! out. All of that is told, since a replay that quietly ignores half a policy would be believed.

use std::collections::{BTreeMap, BTreeSet};

use crate::backtest::shipped::SIGNAL;
use crate::config::fleet::FleetConfig;
use crate::decide::condition::Condition;
use crate::decide::policy::{Place, Policy, Rule, Target};
use crate::decide::signal::Catalog;
use crate::domain::ids::Zone;

/// Signals that the plant gives, besides the hosts' CPU.
const COUNTS: [&str; 3] = ["hosts.healthy", "hosts.in_service", "hosts.pending"];
/// Aggregates of the hosts' CPU that are its mean where every host is as busy as the others.
const SAME_AS_MEAN: [&str; 7] = ["cpu.min", "cpu.max", "cpu.p50", "cpu.p90", "cpu.p95", "cpu.p99", SIGNAL];

/// A policy as it is replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayable {
    /// The policy.
    pub policy: Policy,
    /// What is different from the fleet's file, a sentence each.
    pub notes: Vec<String>,
}

/// Nothing of the policy follows the load that a trace tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing in the fleet's file follows its hosts' CPU, which is what a trace tells; a rule or a target on cpu.avg would"
)]
pub struct NothingToReplay;

impl Replayable {
    /// Of a fleet.
    ///
    /// # Errors
    ///
    /// If no rule and no target is left.
    pub fn of(config: &FleetConfig) -> Result<Self, NothingToReplay> {
        let catalog = config.catalog();
        let mut policy = config.policy(places(config));
        let mut notes = BTreeSet::new();
        let keep_target = |target: Target| replay_target(target, &mut notes);
        policy.targets = policy.targets.into_iter().filter_map(keep_target).collect();
        let keep_rule = |rule: Rule| replay_rule(rule, &catalog, &mut notes);
        policy.rules = policy.rules.into_iter().filter_map(keep_rule).collect();
        if policy.signals().iter().all(|signal| signal != SIGNAL) {
            return Err(NothingToReplay);
        }
        Ok(Self { policy, notes: notes.into_iter().collect() })
    }
}

/// Its subnets; their zones, which only the cloud knows, are made up.
fn places(config: &FleetConfig) -> Vec<Place> {
    let subnets = config.launch.subnets.iter().enumerate();
    subnets
        .map(|(at, subnet)| Place { zone: Zone::new(format!("zone-{at}")), subnet: subnet.clone() })
        .collect()
}

fn replay_target(target: Target, notes: &mut BTreeSet<String>) -> Option<Target> {
    let signal = target.signal.as_str();
    if SAME_AS_MEAN.contains(&signal) {
        note_mean(signal, notes);
        return Some(Target { signal: SIGNAL.to_owned(), ..target });
    }
    notes.insert(format!(
        "target {} is left out: it keeps {signal}, which a trace does not tell",
        target.name
    ));
    None
}

fn replay_rule(rule: Rule, catalog: &Catalog, notes: &mut BTreeSet<String>) -> Option<Rule> {
    let mut stands_for = BTreeMap::new();
    for signal in rule.when.signals() {
        if SAME_AS_MEAN.contains(&signal.as_str()) {
            note_mean(&signal, notes);
            stands_for.insert(signal, SIGNAL);
        } else if !COUNTS.contains(&signal.as_str()) {
            notes.insert(format!("{signal} stands at 0: a trace does not tell it"));
            stands_for.insert(signal, "0.0");
        }
    }
    let text = with_signals(rule.when.text(), &stands_for);
    match Condition::parse(&text, catalog) {
        Ok(when) if !when.signals().is_empty() => Some(Rule { when, ..rule }),
        Ok(_) | Err(_) => {
            notes.insert(format!("rule {} is left out: nothing of it follows the load", rule.name));
            None
        }
    }
}

fn note_mean(signal: &str, notes: &mut BTreeSet<String>) {
    if signal != SIGNAL {
        notes.insert(format!("{signal} is {SIGNAL}: the load is spread evenly over the hosts"));
    }
}

/// An expression with other words for some of its signals.
fn with_signals(text: &str, stands_for: &BTreeMap<String, &str>) -> String {
    let mut found = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '.';
        let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len()).max(first.len_utf8());
        let word = &rest[..end];
        found.push_str(stands_for.get(word).copied().unwrap_or(word));
        rest = &rest[end..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_exchanged() {
        let stands_for = BTreeMap::from([
            ("memory.avg".to_owned(), "0.0"),
            ("qps".to_owned(), "0.0"),
            ("cpu.p95".to_owned(), SIGNAL),
        ]);
        let found = with_signals("cpu.p95>0.75||memory.avg > 1.5e-1 && (my_qps < qps)", &stands_for);
        assert_eq!(found, "cpu.avg>0.75||0.0 > 1.5e-1 && (my_qps < 0.0)");
        assert_eq!(with_signals("", &stands_for), "");
        assert_eq!(with_signals("ü|qps", &stands_for), "ü|0.0");
    }
}
