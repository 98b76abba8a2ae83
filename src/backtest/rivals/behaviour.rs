//! How far Kubernetes lets a recommendation move a workload: the default `behavior` of `autoscaling/v2`, which the HPA
//! applies to its own recommendations and to those that KEDA feeds it.
//!
//! Source: the documentation's page "Horizontal Pod Autoscaling", section "Configurable scaling behavior"
//! (kubernetes/website). A fall is held to the highest recommendation of the last 300 s. A rise is not held, but goes
//! up by at most the larger of 4 and 100 % within 15 s. Nothing limits how fast a fall goes once it is believed.

use super::{Recent, ceil};
use crate::backtest::Second;

const STABILISATION: Second = 300;
const PERIOD: Second = 15;
const PODS: u32 = 4;
const PERCENT: f64 = 100.0;

/// What was recommended and done lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Behaviour {
    recommended: Recent<u32>,
    changes: Recent<i64>,
}

impl Behaviour {
    /// The size to set, of the size that is set and the one that the metrics recommend.
    pub(super) fn apply(&mut self, now: Second, current: u32, recommended: u32) -> u32 {
        self.recommended.forget(now, STABILISATION);
        self.recommended.push(now, recommended);
        let highest = self.recommended.values().max().unwrap_or(recommended);
        let stable = current.max(recommended).min(highest);
        let size = stable.min(self.limit(now, current)).max(1);
        if size != current {
            self.changes.push(now, i64::from(size) - i64::from(current));
        }
        size
    }

    /// The size beyond which nothing may go now: what stood at the start of the period, and what may be added in it.
    fn limit(&mut self, now: Second, current: u32) -> u32 {
        self.changes.forget(now, PERIOD);
        let changed: i64 = self.changes.values().sum();
        let start = u32::try_from(i64::from(current) - changed).unwrap_or(0);
        let by_percent = ceil(f64::from(start) * (1.0 + PERCENT / 100.0));
        start.saturating_add(PODS).max(by_percent).max(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_the_larger_of_four_and_a_doubling_in_fifteen_seconds() {
        let mut behaviour = Behaviour::default();
        assert_eq!(behaviour.apply(0, 2, 100), 6, "four more than two");
        assert_eq!(behaviour.apply(10, 6, 100), 6, "the period is not over");
        assert_eq!(behaviour.apply(15, 6, 100), 12, "twice six");
        assert_eq!(behaviour.apply(30, 12, 13), 13, "no more than is wanted");
    }

    #[test]
    fn a_fall_waits_until_every_higher_recommendation_is_300_seconds_old() {
        let mut behaviour = Behaviour::default();
        assert_eq!(behaviour.apply(0, 10, 10), 10);
        assert_eq!(behaviour.apply(15, 10, 8), 10);
        for now in (30..300).step_by(15) {
            assert_eq!(behaviour.apply(now, 10, 4), 10, "at {now}");
        }
        assert_eq!(behaviour.apply(300, 10, 4), 8, "the ten is forgotten, the eight is not");
        assert_eq!(behaviour.apply(315, 8, 4), 4, "and nothing limits the step");
    }

    #[test]
    fn a_rise_is_not_stabilised() {
        let mut behaviour = Behaviour::default();
        assert_eq!(behaviour.apply(0, 10, 4), 4, "nothing higher was recommended yet");
        assert_eq!(behaviour.apply(15, 4, 7), 7);
    }
}
