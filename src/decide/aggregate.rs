//! From the hosts' samples to what is observed of the fleet.
//!
//! Percentiles are nearest-rank: `p95` of twenty hosts is the nineteenth from below, always a value that some host
//! really has. Of four hosts `p90`, `p95`, `p99` and `max` are the same one.
//!
//! A host in service that gave no sample is not left out: it stands in at rest and at full load, and the value becomes
//! an interval. Full load is 100 % for signals that have one, or whatever the busiest host that was heard has. For
//! signals that have none (bytes per second, a scrape of the user's) the busiest host heard is the only measure there
//! is, and it counts for something only if a quorum was heard; otherwise the signal has no value.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::census::amount;
use crate::decide::signal::{BOUNDED_HOST_SIGNALS, Observation, SignalName, Value, split_host_signal};
use crate::domain::ids::InstanceId;
use crate::domain::time::Timestamp;

/// Most faults that an observation keeps.
const MOST_FAULTS: usize = 20;

/// What one tick brought in.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// When, by the database's clock.
    pub at: Timestamp,
    /// The hosts in service whose pages were asked for.
    pub asked: &'a [InstanceId],
    /// Per host that was heard: its signals, without suffix.
    pub hosts: &'a BTreeMap<InstanceId, BTreeMap<String, f64>>,
    /// Per query that gave a number: its value.
    pub queries: &'a BTreeMap<String, f64>,
    /// How many hosts the fleet has, by state.
    pub counts: HostCounts,
    /// Share of hosts that must be heard where silent ones cannot stand in at 100 %.
    pub quorum: f64,
    /// The signals that rules and targets use; the average of every other host signal is kept too, for people.
    pub needed: &'a BTreeSet<SignalName>,
    /// What went wrong, one line each.
    pub faults: &'a [String],
}

/// How many hosts a fleet has, for the signals about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounts {
    /// Healthy in every target group.
    pub healthy: u32,
    /// Healthy or unhealthy: once in service, and not on the way out.
    pub in_service: u32,
    /// On the way into service.
    pub pending: u32,
}

/// What is observed of the fleet at this tick; `recommended` is left to the decision.
#[must_use]
pub fn observe(sample: &Sample<'_>) -> Observation {
    let mut values: BTreeMap<SignalName, Value> = BTreeMap::new();
    let heard: Vec<&BTreeMap<String, f64>> = sample
        .asked
        .iter()
        .filter_map(|host| sample.hosts.get(host))
        .filter(|page| !page.is_empty())
        .collect();
    for name in wanted(sample, &heard) {
        if let Some((signal, aggregate)) = split_host_signal(&name)
            && let Some(value) = over_hosts(sample, &heard, signal, aggregate)
        {
            values.insert(name, value);
        }
    }
    let queries = sample.queries.iter().filter(|(_, value)| value.is_finite());
    values.extend(queries.map(|(name, value)| (name.clone(), Value::exact(*value))));
    let counts = [
        ("hosts.healthy", sample.counts.healthy),
        ("hosts.in_service", sample.counts.in_service),
        ("hosts.pending", sample.counts.pending),
    ];
    values.extend(counts.map(|(name, count)| (name.to_owned(), Value::exact(f64::from(count)))));
    Observation {
        at: sample.at,
        values,
        hosts_heard: amount(heard.len()),
        hosts_asked: amount(sample.asked.len()),
        recommended: None,
        candidates: BTreeMap::new(),
        faults: sample.faults.iter().take(MOST_FAULTS).cloned().collect(),
        quarantined: Vec::new(),
        unserved: Vec::new(),
        trails: BTreeMap::new(),
    }
}

/// The aggregates to compute: what is used, and the average of everything that was measured.
fn wanted(sample: &Sample<'_>, heard: &[&BTreeMap<String, f64>]) -> BTreeSet<SignalName> {
    let averages = heard.iter().flat_map(|page| page.keys()).map(|signal| format!("{signal}.avg"));
    let needed = sample.needed.iter().filter(|name| split_host_signal(name).is_some()).cloned();
    averages.chain(needed).collect()
}

/// One aggregate of one signal over the hosts that were asked.
fn over_hosts(
    sample: &Sample<'_>,
    heard: &[&BTreeMap<String, f64>],
    signal: &str,
    aggregate: &str,
) -> Option<Value> {
    let mut values: Vec<f64> =
        heard.iter().filter_map(|page| page.get(signal).copied()).filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let (lowest, highest) = (*values.first()?, *values.last()?);
    let silent = sample.asked.len() - values.len();
    let bounded = BOUNDED_HOST_SIGNALS.contains(&signal);
    let enough = values.len() as f64 + 1e-9 >= sample.quorum * sample.asked.len() as f64;
    if silent > 0 && !bounded && !enough {
        return None;
    }
    let idle = lowest.min(0.0);
    let busy = if bounded { highest.max(1.0) } else { highest };
    let with = |stand_in: f64| {
        let mut all = values.clone();
        all.resize(sample.asked.len(), stand_in);
        all.sort_by(f64::total_cmp);
        reduce(&all, aggregate)
    };
    let value = Value { heard: reduce(&values, aggregate)?, if_idle: with(idle)?, if_busy: with(busy)? };
    [value.heard, value.if_idle, value.if_busy].into_iter().all(f64::is_finite).then_some(value)
}

/// One number from many, sorted.
fn reduce(sorted: &[f64], aggregate: &str) -> Option<f64> {
    let sum = sorted.iter().sum::<f64>();
    match aggregate {
        "avg" => Some(sum / sorted.len() as f64),
        "sum" => Some(sum),
        "min" => sorted.first().copied(),
        "max" => sorted.last().copied(),
        "p50" => ranked(sorted, 50),
        "p90" => ranked(sorted, 90),
        "p95" => ranked(sorted, 95),
        "p99" => ranked(sorted, 99),
        _ => None,
    }
}

/// The smallest value that so many percent of all do not exceed.
fn ranked(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}
