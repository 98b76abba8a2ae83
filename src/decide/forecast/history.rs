//! The load of one signal over the last weeks, as a forecast needs it: evenly spaced, without holes.
//!
//! What counts is the highest load of every ten minutes: that is what hosts had to be there for, and a mean would hide
//! it. Three weeks of that have each weekday in them, and are few enough to be gone through in a twentieth of a second; one
//! week more is kept to try forecasts on.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DurationRound as _;
use chrono::TimeDelta;

use crate::decide::condition::Facet;
use crate::decide::signal::{Observation, split_host_signal};
use crate::domain::time::{Timestamp, after, since};

/// The span of which the highest load is kept.
pub const BUCKET: Duration = Duration::from_mins(10);
/// So many of them are a day.
pub(super) const DAY: usize = 144;
/// How far back load is of use.
pub const LOOK_BACK: Duration = Duration::from_hours(29 * 24);
/// How many buckets a forecast is made from.
const TAUGHT_BY: usize = 21 * DAY;
/// No signal is as large as this; a product of larger ones could be no number.
const VALUE_MOST: f64 = 1e300;
/// What lies before a hole that is longer than this says nothing of what comes after it.
const HOLE_MOST: usize = DAY;

/// Highest loads, a [`BUCKET`] apart.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadHistory {
    end: Timestamp,
    loads: Vec<f64>,
}

impl LoadHistory {
    /// From the highest load of each bucket that is known, by the bucket's beginning, in any order; `None`: of none.
    ///
    /// A hole is filled with what the load was a day earlier, or else just before it. Where a day and more is missing,
    /// only what came after it counts.
    #[must_use]
    pub fn of(buckets: impl IntoIterator<Item = (Timestamp, f64)>) -> Option<Self> {
        let usable =
            |(at, load): (Timestamp, f64)| (load.is_finite() && load >= 0.0).then_some((bucket(at), load));
        let known: BTreeMap<Timestamp, f64> = buckets.into_iter().filter_map(usable).collect();
        let last = *known.last_key_value()?.0;
        let mut loads: Vec<f64> = Vec::new();
        let mut next = None;
        for (at, load) in known {
            let missing = next.map_or(0, |next| whole(since(at, next)));
            if missing > HOLE_MOST {
                loads.clear();
            } else {
                for _ in 0..missing {
                    let yesterday = loads.len().checked_sub(DAY).map(|place| loads[place]);
                    loads.extend(yesterday.or_else(|| loads.last().copied()));
                }
            }
            loads.push(load);
            next = Some(after(at, BUCKET));
        }
        let surplus = loads.len().saturating_sub(whole(LOOK_BACK));
        loads.drain(..surplus);
        Some(Self { end: after(last, BUCKET), loads })
    }

    /// The highest loads, oldest first.
    pub(super) fn loads(&self) -> &[f64] {
        &self.loads
    }

    /// Whether it is shorter than anything that could be forecast: then there is nothing to reckon.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.loads.len() < 2 * DAY
    }

    /// Those that a forecast is made from.
    pub(super) fn last_weeks(&self) -> &[f64] {
        last_weeks(&self.loads)
    }

    /// The end of the last bucket.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.end
    }
}

/// The beginning of the bucket that a moment lies in.
#[must_use]
pub fn bucket(at: Timestamp) -> Timestamp {
    let width = TimeDelta::from_std(BUCKET).unwrap_or_default();
    at.duration_trunc(width).unwrap_or(at)
}

/// Of loads, those that a forecast of what comes after them is made from.
pub(super) fn last_weeks(loads: &[f64]) -> &[f64] {
    &loads[loads.len().saturating_sub(TAUGHT_BY)..]
}

/// The load behind a signal at one tick; `None`: it has no value, or no host stands under it.
#[must_use]
pub fn load_of(signal: &str, observation: &Observation) -> Option<f64> {
    let value = observation.value(signal, Facet::Heard)?;
    let hosts = match split_host_signal(signal) {
        Some(_) => f64::from(observation.hosts_asked),
        None => observation.value("hosts.healthy", Facet::Heard)?,
    };
    (hosts > 0.0 && value.abs() < VALUE_MOST).then_some(value * hosts)
}

/// How many whole buckets there are in a span.
fn whole(span: Duration) -> usize {
    usize::try_from(span.as_secs() / BUCKET.as_secs()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bucket: u32) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, BUCKET * bucket)
    }

    #[test]
    fn holes_are_filled_with_yesterday_or_with_what_was_before() {
        let day = u32::try_from(DAY).unwrap();
        let known = (0..2 * day).filter(|place| ![3, day + 7, day + 8].contains(place));
        let history = LoadHistory::of(known.map(|place| (at(place), f64::from(place)))).unwrap();
        let loads = history.loads();
        assert_eq!(loads.len(), 2 * DAY);
        assert_eq!((loads[2], loads[3], loads[4]), (2.0, 2.0, 4.0));
        assert_eq!((loads[DAY + 7], loads[DAY + 8]), (7.0, 8.0));
        assert_eq!(history.end(), at(2 * day));
    }

    #[test]
    fn what_lies_before_a_long_hole_does_not_count() {
        let history = LoadHistory::of([(at(0), 1.0), (at(1), 2.0), (at(400), 3.0), (at(401), 4.0)]).unwrap();
        assert_eq!(history.loads(), [3.0, 4.0]);
    }

    #[test]
    fn only_the_last_weeks_are_of_use_and_only_what_is_a_load() {
        let many = (0..6_000).map(|place| (at(place), f64::from(place)));
        let history = LoadHistory::of(many.chain([(at(6_000), f64::NAN), (at(6_001), -1.0)])).unwrap();
        assert_eq!((history.loads().len(), history.loads().last()), (29 * DAY, Some(&5_999.0)));
        assert_eq!(LoadHistory::of([]), None);
        assert_eq!(LoadHistory::of([(at(1), f64::INFINITY)]), None);
    }

    #[test]
    fn a_moment_belongs_to_the_bucket_that_it_lies_in() {
        let inside = after(at(5), Duration::from_secs(599));
        assert_eq!((bucket(inside), bucket(at(5)), bucket(at(6))), (at(5), at(5), at(6)));
    }
}
