//! The autoscaler of Google Compute Engine's managed instance groups.
//!
//! Source: "Autoscaling groups of instances" and "Understanding autoscaler decisions" of its documentation. The size is
//! what the peak of the load over the last 10 min (the stabilisation period) needs at the target utilisation, rounded
//! up: "1.5" too few adds two, "1.5" too many removes one. Instances that initialise (60 s by default) are left out.
//! Controls that slow scale-in and prediction are both off by default. The target where nobody names one is 0.6
//! (reference of `autoscalers`, `cpuUtilization.utilizationTarget`).
//!
//! Assumed: it looks every 15 s (the documentation says "constantly"); an instance initialises from its launch on; an
//! instance that does not answer is as busy as the others are.

use super::{Recent, ceil, count, mean};
use crate::backtest::{Scaler, Second, SeenHost, Sight};

pub(super) const NAME: &str = "gce";
const LOOK: Second = 15;
const STABILISATION: Second = 600;
const INITIALISATION: Second = 60;
const DEFAULT_TARGET: f64 = 0.6;

/// The rule and what it remembers.
#[derive(Clone, Debug)]
pub struct Gce {
    target: f64,
    initialisation: Second,
    /// Hosts that the load needed, not rounded.
    needed: Recent<f64>,
}

impl Gce {
    /// With this target utilisation, 0–1.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self { target, initialisation: INITIALISATION, needed: Recent::default() }
    }

    /// With the documented target.
    #[must_use]
    pub fn documented_default() -> Self {
        Self::new(DEFAULT_TARGET)
    }

    /// The hosts that the load of this moment needs.
    fn needs(&self, sight: &Sight<'_>) -> Option<f64> {
        let is_counted = |host: &&SeenHost| {
            host.ready_at.is_some() && host.launched_at.saturating_add(self.initialisation) <= sight.now
        };
        let counted = || sight.hosts.iter().filter(is_counted);
        let average = mean(counted().filter_map(|host| host.utilisation))?;
        Some(average * count(counted()) / self.target)
    }
}

impl Scaler for Gce {
    fn name(&self) -> &str {
        NAME
    }

    fn interval(&self) -> Second {
        LOOK
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        self.needed.forget(sight.now, STABILISATION);
        let Some(needs) = self.needs(sight) else { return sight.desired };
        self.needed.push(sight.now, needs);
        ceil(self.needed.values().fold(needs, f64::max)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fleet;
    use super::*;

    #[test]
    fn one_and_a_half_instances_more_are_two_and_fewer_are_one() {
        let fleet = Fleet::serving(3).all_at(0.9);
        assert_eq!(fleet.ask(&mut Gce::documented_default(), 1000, 3), 5, "2.7 ÷ 0.6 = 4.5");
        let idle = Fleet::serving(6).all_at(0.45);
        assert_eq!(idle.ask(&mut Gce::documented_default(), 1000, 6), 5, "2.7 ÷ 0.6 = 4.5");
    }

    #[test]
    fn the_peak_of_ten_minutes_is_kept() {
        let mut rule = Gce::new(0.5);
        assert_eq!(Fleet::serving(4).all_at(1.0).ask(&mut rule, 1000, 4), 8);
        let calm = Fleet::serving(8).all_at(0.25);
        assert_eq!(calm.ask_until(&mut rule, 1015, 1595, 8), 8);
        assert_eq!(calm.ask(&mut rule, 1600, 8), 4);
    }

    #[test]
    fn who_initialises_is_left_out() {
        let fleet = Fleet::serving(4).all_at(0.6).and(4, 980, Some(1000), Some(0.1)).and(1, 1000, None, None);
        assert_eq!(fleet.ask(&mut Gce::new(0.5), 1039, 9), 5, "4.8");
        assert_eq!(fleet.ask(&mut Gce::new(0.5), 1040, 9), 6, "(2.4 + 0.4) ÷ 0.5 = 5.6");
    }

    #[test]
    fn who_does_not_answer_is_as_busy_as_the_others() {
        let fleet = Fleet::serving(10).all_at(0.5).silent(2);
        assert_eq!(fleet.ask(&mut Gce::new(0.5), 1000, 10), 10);
    }
}
