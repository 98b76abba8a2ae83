//! Forecasts in a replay: made from the load of the replay itself so far, as often as the loop makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::decide::forecast::history::{LOOK_BACK, LoadHistory, bucket, load_of};
use crate::decide::forecast::{Forecast, Forecasts};
use crate::decide::policy::Policy;
use crate::decide::signal::{Observation, SignalName};
use crate::domain::time::{Timestamp, before};

/// What is known of the load so far, and what is expected of it.
#[derive(Debug)]
pub(super) struct Foreseen {
    signals: BTreeSet<SignalName>,
    highest: BTreeMap<SignalName, BTreeMap<Timestamp, f64>>,
    forecasts: Forecasts,
}

impl Foreseen {
    pub(super) fn by(policy: &Policy) -> Self {
        let signals = policy.forecast_signals();
        Self { signals, highest: BTreeMap::new(), forecasts: Forecasts::default() }
    }

    /// Takes note of an observation; what is expected at its time by those before it.
    pub(super) fn at(&mut self, seen: &Observation, lead: Duration) -> BTreeMap<SignalName, Forecast> {
        if self.signals.is_empty() {
            return BTreeMap::new();
        }
        if self.forecasts.are_due(seen.at) {
            let (end, oldest) = (bucket(seen.at), before(seen.at, LOOK_BACK));
            for known in self.highest.values_mut() {
                *known = known.split_off(&oldest);
            }
            let over = |known: &BTreeMap<Timestamp, f64>| {
                known.range(..end).map(|(at, load)| (*at, *load)).collect()
            };
            let histories = self.highest.iter().filter_map(|(signal, known)| {
                let known: Vec<(Timestamp, f64)> = over(known);
                Some((signal.clone(), LoadHistory::of(known)?))
            });
            self.forecasts = self.forecasts.renewed(seen.at, &histories.collect(), lead);
        }
        for signal in &self.signals {
            if let Some(load) = load_of(signal, seen) {
                let known = self.highest.entry(signal.clone()).or_default();
                let most = known.entry(bucket(seen.at)).or_insert(load);
                *most = load.max(*most);
            }
        }
        self.forecasts.near(seen.at, lead)
    }
}
