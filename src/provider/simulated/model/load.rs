//! The load: requests per second as a pure function of time, and who shares it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::TargetGroupArn;
use crate::domain::time::{Timestamp, since};

/// Requests per second over time.
#[derive(Clone, Debug, PartialEq)]
pub enum Curve {
    /// Always the same.
    Constant {
        /// Requests per second.
        rps: f64,
    },
    /// One value, then another.
    Step {
        /// Before.
        before: f64,
        /// After.
        after: f64,
        /// When it changes.
        at: Duration,
    },
    /// Around a mean, never below zero.
    Sine {
        /// In the middle.
        mean: f64,
        /// How far up and down.
        amplitude: f64,
        /// How long one up and down takes.
        period: Duration,
    },
    /// Straight lines between points.
    Points(Points),
}

impl Curve {
    /// Whether its numbers make a load at all.
    pub(in crate::provider::simulated) fn is_sound(&self) -> bool {
        let good = |value: &f64| value.is_finite() && *value >= 0.0;
        match self {
            Self::Constant { rps } => good(rps),
            Self::Step { before, after, .. } => good(before) && good(after),
            Self::Sine { mean, amplitude, period } => good(mean) && good(amplitude) && !period.is_zero(),
            Self::Points(points) => points.0.iter().all(|(at, value)| at.is_finite() && good(value)),
        }
    }

    /// Requests per second, so long after the start.
    #[must_use]
    pub fn rps(&self, elapsed: Duration) -> f64 {
        match self {
            Self::Constant { rps } => *rps,
            Self::Step { before, after, at } => {
                if elapsed < *at {
                    *before
                } else {
                    *after
                }
            }
            Self::Sine { mean, amplitude, period } => {
                let turns = elapsed.as_secs_f64() / period.as_secs_f64();
                (mean + amplitude * (turns * std::f64::consts::TAU).sin()).max(0.0)
            }
            Self::Points(points) => points.value(elapsed.as_secs_f64()),
        }
    }
}

/// What follows the last point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtEnd {
    /// Its value, for ever.
    #[default]
    Hold,
    /// The first point again.
    Repeat,
}

/// At least one point, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Points(Vec<(f64, f64)>, AtEnd);

impl Points {
    /// `None` where there is no point, or one is not later than the one before it.
    pub(in crate::provider::simulated) fn new(points: Vec<(f64, f64)>, at_end: AtEnd) -> Option<Self> {
        let in_order = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (in_order && !points.is_empty()).then_some(Self(points, at_end))
    }

    fn value(&self, seconds: f64) -> f64 {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return 0.0 };
        let span = last.0 - first.0;
        let at = match self.1 {
            AtEnd::Repeat if seconds > last.0 && span > 0.0 => first.0 + (seconds - first.0) % span,
            AtEnd::Repeat | AtEnd::Hold => seconds,
        };
        let next = self.0.partition_point(|point| point.0 <= at);
        match (next.checked_sub(1).map(|index| self.0[index]), self.0.get(next)) {
            (None, _) => first.1,
            (Some(before), None) => before.1,
            (Some(before), Some(after)) => {
                before.1 + (after.1 - before.1) * (at - before.0) / (after.0 - before.0)
            }
        }
    }
}

/// Who shares a load.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LoadTarget {
    /// The healthy targets of one group, evenly.
    TargetGroup(TargetGroupArn),
    /// The running instances that carry a tag, evenly: for fleets that have no balancer.
    Tagged {
        /// The tag's key.
        key: String,
        /// Its value.
        value: String,
    },
}

/// A curve in force since a moment.
#[derive(Clone, Debug)]
pub(super) struct ActiveLoad {
    /// The curve.
    pub(super) curve: Curve,
    /// Its time zero.
    pub(super) since: Timestamp,
}

impl ActiveLoad {
    pub(super) fn rps(&self, at: Timestamp) -> f64 {
        self.curve.rps(since(at, self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(curve: &Curve, seconds: f64) -> f64 {
        curve.rps(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn points_are_joined_by_straight_lines() {
        let points = vec![(10.0, 100.0), (20.0, 200.0), (40.0, 0.0)];
        let curve = Curve::Points(Points::new(points.clone(), AtEnd::Hold).unwrap());
        for (seconds, rps) in
            [(0.0, 100.0), (10.0, 100.0), (15.0, 150.0), (20.0, 200.0), (30.0, 100.0), (99.0, 0.0)]
        {
            assert!((at(&curve, seconds) - rps).abs() < 1e-9, "{seconds}");
        }
        let again = Curve::Points(Points::new(points, AtEnd::Repeat).unwrap());
        assert!((at(&again, 45.0) - 150.0).abs() < 1e-9);
    }

    #[test]
    fn a_sine_never_asks_for_less_than_nothing() {
        let curve = Curve::Sine { mean: 10.0, amplitude: 50.0, period: Duration::from_mins(1) };
        assert!((at(&curve, 15.0) - 60.0).abs() < 1e-9);
        assert!(at(&curve, 45.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_step_changes_at_its_moment() {
        let curve = Curve::Step { before: 1.0, after: 9.0, at: Duration::from_secs(5) };
        assert!((at(&curve, 4.9) - 1.0).abs() < f64::EPSILON);
        assert!((at(&curve, 5.0) - 9.0).abs() < f64::EPSILON);
    }
}
