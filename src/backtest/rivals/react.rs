//! React, the plainest policy of the comparisons in the literature (Ilyushkin et al., ICPE 2017).
//!
//! Source: `autoscalers/react_autoscaler.py` of atlarge-research/opendc-autoscaling-prototype. Once a minute: miss = load −
//! capacity. If nothing or more is missing, that and two more are added; if more than two are too many, they are
//! removed but for two. The prototype removes two *more* than are too many instead, which leaves it short at once, and is
//! taken for a slip of the sign: here two are kept.
//!
//! Assumed: the prototype is told the whole load, waiting work included. Here the load is measured on the hosts, and what
//! they measure cannot exceed them; so capacity is what a host does at a target below 1, by default 0.6. Hosts on the way
//! are capacity.

use super::{ceil, floor, load};
use crate::backtest::{Scaler, Second, Sight};

pub(super) const NAME: &str = "react";
const EVALUATION: Second = 60;
const SPARE: f64 = 2.0;
const DEFAULT_TARGET: f64 = 0.6;

/// The rule; it remembers nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct React {
    target: f64,
}

impl React {
    /// With a host's capacity at this utilisation, 0–1.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self { target }
    }

    /// With a capacity that leaves room to see that more is wanted.
    #[must_use]
    pub fn documented_default() -> Self {
        Self::new(DEFAULT_TARGET)
    }
}

impl Scaler for React {
    fn name(&self) -> &str {
        NAME
    }

    fn interval(&self) -> Second {
        EVALUATION
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        let Some(load) = load(sight) else { return sight.desired };
        let missing = load / self.target - f64::from(sight.desired);
        if missing >= 0.0 {
            sight.desired.saturating_add(ceil(missing + SPARE))
        } else if missing < -SPARE {
            sight.desired.saturating_sub(floor(-missing - SPARE)).max(1)
        } else {
            sight.desired
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fleet;
    use super::*;

    fn ask(hosts: usize, cpu: f64, target: f64) -> u32 {
        let desired = u32::try_from(hosts).unwrap();
        Fleet::serving(hosts).all_at(cpu).ask(&mut React::new(target), 0, desired)
    }

    #[test]
    fn what_is_missing_and_two_more_are_added() {
        assert_eq!(ask(4, 1.0, 1.0), 6, "nothing is missing, and two are added");
        assert_eq!(ask(4, 0.75, 0.5), 8, "two are missing");
        assert_eq!(ask(3, 0.75, 0.5), 7, "one and a half are missing: 3.5 are 4");
    }

    #[test]
    fn up_to_two_too_many_are_kept() {
        assert_eq!(ask(10, 0.8, 1.0), 10);
        assert_eq!(ask(10, 0.9, 1.0), 10);
    }

    #[test]
    fn more_than_two_too_many_are_removed_but_for_two() {
        assert_eq!(ask(10, 0.3, 1.0), 5, "seven are too many");
        assert_eq!(ask(10, 0.75, 1.0), 10, "two and a half are too many: half a host is none");
        assert_eq!(ask(10, 0.0, 1.0), 2);
    }

    #[test]
    fn hosts_on_the_way_are_capacity() {
        let fleet = Fleet::serving(4).all_at(1.0).and(3, 0, None, None);
        assert_eq!(fleet.ask(&mut React::new(1.0), 60, 7), 6, "four are needed, and two more are kept");
    }
}
