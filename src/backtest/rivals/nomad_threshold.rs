//! The strategy `threshold` of the Nomad Autoscaler.
//!
//! Sources: "Threshold Strategy Plugin" of its documentation, and `plugins/builtin/strategy/threshold/plugin/plugin.go` with the
//! agent's defaults (hashicorp/nomad-autoscaler). Two checks, one for each direction; a check acts when at least 5
//! (`within_bounds_trigger`) of the numbers that its query gives lie in [lower, upper). What it does is a `delta`, a
//! `percentage` of the count (rounded up, whichever its sign) or a `value`. Every 10 s, with 5 min of rest after any
//! action. The documentation's example adds one from 70 % on and removes one below 30 %.
//!
//! Assumed: the query gives the last minute (its default window) with one number each 10 s, whichever was seen last by
//! then. The example bounds its upper check at 100 %, which a fleet that is wholly busy would be out of; the bound is
//! optional, and is left out here.

use super::nomad_target_value::{EVALUATION, is_cooling};
use super::{NOISE, Recent, ceil, group_average};
use crate::backtest::{Scaler, Second, Sight};

pub(super) const NAME: &str = "nomad-threshold";
const QUERY_WINDOW: Second = 60;
const QUERY_STEP: Second = 10;
const WITHIN_BOUNDS_TRIGGER: usize = 5;
/// The example's bounds in shares of the utilisation in their middle.
const CENTRE: f64 = 0.5;
const HIGH: f64 = 1.4;
const LOW: f64 = 0.6;

/// What a check does to the count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjustment {
    /// So many more; negative: fewer.
    Delta(i32),
    /// So many percent more; negative: fewer.
    Percentage(f64),
    /// So many.
    Value(u32),
}

impl Adjustment {
    fn of(self, count: u32) -> u32 {
        match self {
            Self::Delta(delta) => count.saturating_add_signed(delta),
            Self::Percentage(percent) => ceil(f64::from(count) * (1.0 + percent / 100.0)),
            Self::Value(value) => value,
        }
    }
}

/// One check: from where to where, and what then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Check {
    /// In bounds from here on; `None`: from nothing.
    pub lower: Option<f64>,
    /// In bounds below this; `None`: however high.
    pub upper: Option<f64>,
    /// What is done.
    pub adjustment: Adjustment,
}

impl Check {
    fn holds(&self, metric: f64) -> bool {
        self.lower.is_none_or(|lower| metric >= lower - NOISE)
            && self.upper.is_none_or(|upper| metric < upper - NOISE)
    }
}

/// The rule and what it remembers.
#[derive(Clone, Debug)]
pub struct NomadThreshold {
    checks: [Check; 2],
    /// What was seen; `None`: nobody answered.
    metrics: Recent<Option<f64>>,
    acted_at: Option<Second>,
}

impl NomadThreshold {
    /// The example, with its bounds around this utilisation, 0–1, as its own lie around 0.5.
    #[must_use]
    pub fn new(centre: f64) -> Self {
        Self::of([
            Check { lower: Some(HIGH * centre), upper: None, adjustment: Adjustment::Delta(1) },
            Check { lower: Some(0.0), upper: Some(LOW * centre), adjustment: Adjustment::Delta(-1) },
        ])
    }

    /// The documentation's example.
    #[must_use]
    pub fn documented_default() -> Self {
        Self::new(CENTRE)
    }

    /// With other checks. Where both hold, the one that gives the larger count is the safer, and is taken.
    #[must_use]
    pub fn of(checks: [Check; 2]) -> Self {
        Self { checks, metrics: Recent::default(), acted_at: None }
    }

    /// The numbers that the query gives.
    fn series(&self, now: Second) -> Vec<f64> {
        let ages = (0..QUERY_WINDOW).step_by(QUERY_STEP as usize);
        ages.filter_map(|age| self.metrics.at(now.checked_sub(age)?).flatten()).collect()
    }
}

impl Scaler for NomadThreshold {
    fn name(&self) -> &str {
        NAME
    }

    fn interval(&self) -> Second {
        EVALUATION
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        let count = sight.desired;
        self.metrics.forget(sight.now, 2 * QUERY_WINDOW);
        self.metrics.push(sight.now, group_average(sight));
        if is_cooling(self.acted_at, sight.now) {
            return count;
        }
        let series = self.series(sight.now);
        let holds = |check: &&Check| {
            series.iter().filter(|metric| check.holds(**metric)).count() >= WITHIN_BOUNDS_TRIGGER
        };
        let size = self.checks.iter().filter(holds).map(|check| check.adjustment.of(count)).max();
        let size = size.unwrap_or(count).max(1);
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
    fn five_numbers_within_bounds_act_and_four_do_not() {
        let mut rule = NomadThreshold::documented_default();
        let busy = Fleet::serving(4).all_at(0.7);
        assert_eq!(busy.ask_until(&mut rule, 0, 30, 4), 4);
        assert_eq!(busy.ask(&mut rule, 40, 4), 5);
        let idle = Fleet::serving(4).all_at(0.29);
        assert_eq!(idle.ask_until(&mut NomadThreshold::documented_default(), 0, 40, 4), 3);
    }

    #[test]
    fn the_lower_bound_is_in_and_the_upper_is_not() {
        for cpu in [0.30, 0.69] {
            let fleet = Fleet::serving(4).all_at(cpu);
            assert_eq!(fleet.ask_until(&mut NomadThreshold::documented_default(), 0, 3600, 4), 4, "{cpu}");
        }
        let full = Fleet::serving(4).all_at(1.0);
        assert_eq!(full.ask_until(&mut NomadThreshold::documented_default(), 0, 40, 4), 5);
    }

    #[test]
    fn numbers_older_than_the_query_do_not_count() {
        let mut rule = NomadThreshold::documented_default();
        let (busy, calm) = (Fleet::serving(4).all_at(0.9), Fleet::serving(4).all_at(0.5));
        busy.ask_until(&mut rule, 0, 30, 4);
        calm.ask_until(&mut rule, 40, 50, 4);
        assert_eq!(busy.ask_until(&mut rule, 60, 90, 4), 4, "at 90: four of the last six");
        assert_eq!(busy.ask(&mut rule, 100, 4), 5, "five of the last six");
    }

    #[test]
    fn looked_at_less_often_the_query_still_gives_its_numbers() {
        let mut rule = NomadThreshold::documented_default();
        let busy = Fleet::serving(4).all_at(0.9);
        let sizes = [0, 15, 30, 45].map(|now| busy.ask(&mut rule, now, 4));
        assert_eq!(sizes, [4, 4, 4, 5], "at 45 it has those of 45, 35, 25, 15 and 5");
    }

    #[test]
    fn a_minute_without_answers_gives_no_numbers() {
        let mut rule = NomadThreshold::documented_default();
        let (busy, silent) = (Fleet::serving(4).all_at(0.9), Fleet::serving(4).silent(4));
        busy.ask_until(&mut rule, 0, 30, 4);
        silent.ask_until(&mut rule, 40, 60, 4);
        assert_eq!(busy.ask_until(&mut rule, 70, 100, 4), 4);
    }

    #[test]
    fn after_an_action_it_rests_for_five_minutes() {
        let mut rule = NomadThreshold::documented_default();
        let busy = Fleet::serving(4).all_at(0.9);
        assert_eq!(busy.ask_until(&mut rule, 0, 330, 4), 5);
        assert_eq!(busy.ask(&mut rule, 340, 5), 6);
    }

    #[test]
    fn what_an_adjustment_makes_of_a_count() {
        assert_eq!(Adjustment::Delta(-3).of(2), 0);
        assert_eq!(Adjustment::Percentage(20.0).of(11), 14, "13.2");
        assert_eq!(Adjustment::Percentage(-20.0).of(11), 9, "8.8");
        assert_eq!(Adjustment::Value(7).of(2), 7);
    }

    #[test]
    fn where_both_checks_hold_the_larger_count_is_taken() {
        let check = |adjustment| Check { lower: None, upper: None, adjustment };
        let mut rule = NomadThreshold::of([check(Adjustment::Percentage(50.0)), check(Adjustment::Value(1))]);
        assert_eq!(Fleet::serving(4).all_at(0.5).ask_until(&mut rule, 0, 40, 4), 6);
    }
}
