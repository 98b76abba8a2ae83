//! What was observed of a fleet at its last evaluation, each signal beside the lines that it may cross.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::decide::condition::Facet;
use crate::decide::policy::{Rule, Target};
use crate::decide::signal::Observation;
use crate::domain::time::to_micros;
use crate::view::fleet::rule::action_words;

/// What was observed at one evaluation.
#[derive(Debug, Serialize, ToSchema)]
pub struct Observed {
    /// When.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// Hosts in service whose page gave a fresh sample.
    pub hosts_heard: u32,
    /// Hosts in service that were asked.
    pub hosts_asked: u32,
    /// The size recommended, before any guard; null: nothing could be recommended.
    pub recommended: Option<u32>,
    /// What went wrong while it was taken: one line a fault.
    pub faults: Vec<String>,
    /// Every signal that has a value or a threshold, by name.
    pub signals: Vec<SignalStatus>,
}

/// One signal against its thresholds.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignalStatus {
    /// Its full name, as expressions write it.
    pub name: String,
    /// Its value over the hosts that were heard; null: it has none.
    pub value: Option<f64>,
    /// What it would be if every silent host were at 0 %; null: it has no value.
    pub if_idle: Option<f64>,
    /// What it would be if every silent host were at 100 %; null: it has no value.
    pub if_busy: Option<f64>,
    /// What rules compare it with, and the values at which targets keep it.
    pub thresholds: Vec<ThresholdRow>,
}

/// A number that a signal is compared with.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThresholdRow {
    /// Whose it is: `rule hot`, `target cpu-60`.
    pub source: String,
    /// With the signal on the left: `>`, `>=`, `<`, `<=`, `==` or `!=`; of a target: `target`.
    pub comparison: &'static str,
    /// The number.
    pub value: f64,
    /// Of a target: the relative distance within which nothing is done.
    pub tolerance: Option<f64>,
    /// What the rule does once its condition is sustained, in words; of a target: null.
    pub action: Option<String>,
}

impl Observed {
    /// Works it out.
    #[must_use]
    pub fn of(config: Option<&FleetConfig>, observation: &Observation) -> Self {
        Self {
            at: to_micros(observation.at),
            hosts_heard: observation.hosts_heard,
            hosts_asked: observation.hosts_asked,
            recommended: observation.recommended,
            faults: observation.faults.clone(),
            signals: signals(config, observation),
        }
    }
}

fn signals(config: Option<&FleetConfig>, observation: &Observation) -> Vec<SignalStatus> {
    let rules = config.map_or(&[][..], |config| &config.rules);
    let targets = config.map_or(&[][..], |config| &config.targets);
    let mut names: Vec<String> = observation.values.keys().cloned().collect();
    names.extend(rules.iter().flat_map(|rule| rule.when.signals()));
    names.extend(targets.iter().map(|target| target.signal.clone()));
    names.sort_unstable();
    names.dedup();
    let status = |name: String| SignalStatus {
        value: observation.value(&name, Facet::Heard),
        if_idle: observation.value(&name, Facet::IfIdle),
        if_busy: observation.value(&name, Facet::IfBusy),
        thresholds: thresholds(rules, targets, &name),
        name,
    };
    names.into_iter().map(status).collect()
}

fn thresholds(rules: &[Rule], targets: &[Target], signal: &str) -> Vec<ThresholdRow> {
    let of_rules = rules.iter().flat_map(|rule| {
        rule.when.thresholds().into_iter().filter(|threshold| threshold.signal == signal).map(|threshold| {
            ThresholdRow {
                source: format!("rule {}", rule.name),
                comparison: threshold.comparison,
                value: threshold.value,
                tolerance: None,
                action: Some(action_words(rule.action)),
            }
        })
    });
    let of_targets = targets.iter().filter(|target| target.signal == signal).map(|target| ThresholdRow {
        source: format!("target {}", target.name),
        comparison: "target",
        value: target.value,
        tolerance: Some(target.tolerance),
        action: None,
    });
    of_rules.chain(of_targets).collect()
}
