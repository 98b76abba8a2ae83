//! The strategy `target-value` of the Nomad Autoscaler.
//!
//! Sources: "Target Value Strategy Plugin" of its documentation, and `plugins/builtin/strategy/target-value/plugin/plugin.go`
//! with the agent's defaults (hashicorp/nomad-autoscaler). Every 10 s: factor = metric ÷ target; within 0.01 of 1 nothing
//! is done, else size = ⌈count × factor⌉. After any action nothing is done for 5 min.
//!
//! Assumed: the metric is the mean utilisation of the hosts that answer. The target by default is 0.7, that of the
//! documentation's example.

use super::{NOISE, ceil, group_average};
use crate::backtest::{Scaler, Second, Sight};

pub(super) const NAME: &str = "nomad-target-value";
pub(super) const EVALUATION: Second = 10;
pub(super) const COOLDOWN: Second = 300;
const THRESHOLD: f64 = 0.01;
const DEFAULT_TARGET: f64 = 0.7;

/// The rule and what it remembers.
#[derive(Clone, Debug)]
pub struct NomadTargetValue {
    target: f64,
    acted_at: Option<Second>,
}

impl NomadTargetValue {
    /// With this target utilisation, 0–1.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self { target, acted_at: None }
    }

    /// With the target of the documentation's example.
    #[must_use]
    pub fn documented_default() -> Self {
        Self::new(DEFAULT_TARGET)
    }
}

/// Whether an action was so short a time ago that nothing may be done.
pub(super) fn is_cooling(acted_at: Option<Second>, now: Second) -> bool {
    acted_at.is_some_and(|at| now < at.saturating_add(COOLDOWN))
}

impl Scaler for NomadTargetValue {
    fn name(&self) -> &str {
        NAME
    }

    fn interval(&self) -> Second {
        EVALUATION
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        let count = sight.desired;
        if is_cooling(self.acted_at, sight.now) {
            return count;
        }
        let Some(metric) = group_average(sight) else { return count };
        let factor = metric / self.target;
        if (factor - 1.0).abs() <= THRESHOLD + NOISE {
            return count;
        }
        let size = ceil(f64::from(count) * factor).max(1);
        if size != count {
            self.acted_at = Some(sight.now);
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fleet;
    use super::*;

    #[test]
    fn ten_at_eighty_for_seventy_are_twelve() {
        let mut rule = NomadTargetValue::documented_default();
        assert_eq!(Fleet::serving(10).all_at(0.8).ask(&mut rule, 0, 10), 12, "11.43");
    }

    #[test]
    fn within_a_hundredth_nothing_is_done() {
        for (cpu, size) in [(0.505, 100), (0.495, 100), (0.506, 102), (0.494, 99)] {
            let fleet = Fleet::serving(100).all_at(cpu);
            assert_eq!(fleet.ask(&mut NomadTargetValue::new(0.5), 0, 100), size, "{cpu}");
        }
    }

    #[test]
    fn after_an_action_it_rests_for_five_minutes_whatever_happens() {
        let mut rule = NomadTargetValue::new(0.5);
        assert_eq!(Fleet::serving(4).all_at(0.4).ask(&mut rule, 100, 5), 4);
        let busy = Fleet::serving(4).all_at(1.0);
        assert_eq!(busy.ask_until(&mut rule, 110, 390, 4), 4);
        assert_eq!(busy.ask(&mut rule, 400, 4), 8);
    }

    #[test]
    fn an_answer_that_changes_nothing_is_no_action() {
        let mut rule = NomadTargetValue::new(0.5);
        assert_eq!(Fleet::serving(2).all_at(0.45).ask(&mut rule, 0, 2), 2, "1.8 are 2");
        assert_eq!(Fleet::serving(2).all_at(1.0).ask(&mut rule, 10, 2), 4);
    }
}
