//! The forecasts of one fleet, and when each is made and tried anew.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decide::forecast::history::LoadHistory;
use crate::decide::forecast::{Forecast, Trust};
use crate::decide::signal::SignalName;
use crate::domain::time::{Timestamp, after};

/// How long forecasts are believed before they are made anew.
const LIFE: Duration = Duration::from_hours(3);
/// How long a trial is believed before the fleet's last days are gone through again.
const TRIAL_LIFE: Duration = Duration::from_hours(24);

/// What is expected of each of a fleet's signals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecasts {
    made_at: Option<Timestamp>,
    by_signal: BTreeMap<SignalName, Kept>,
}

#[derive(Clone, Debug, PartialEq)]
struct Kept {
    forecast: Forecast,
    tried_at: Timestamp,
}

impl Forecasts {
    /// Whether it is time to make them anew.
    #[must_use]
    pub fn are_due(&self, now: Timestamp) -> bool {
        self.made_at.is_none_or(|at| now >= after(at, LIFE))
    }

    /// Made anew from what is known of each signal's load, for hosts that take `lead` to come. Takes a twentieth of a
    /// second a signal, and once a day half a second.
    #[must_use]
    pub fn renewed(
        &self,
        now: Timestamp,
        histories: &BTreeMap<SignalName, LoadHistory>,
        lead: Duration,
    ) -> Self {
        let renew = |(signal, history): (&SignalName, &LoadHistory)| {
            let tried = self.by_signal.get(signal).filter(|kept| {
                let stands = matches!(kept.forecast.trust, Trust::Tried(_));
                stands && now < after(kept.tried_at, TRIAL_LIFE)
            });
            let trust = tried.map(|kept| kept.forecast.trust.clone());
            let tried_at = tried.map_or(now, |kept| kept.tried_at);
            (signal.clone(), Kept { forecast: Forecast::of(history, lead, trust), tried_at })
        };
        Self { made_at: Some(now), by_signal: histories.iter().map(renew).collect() }
    }

    /// As much of each as a decision at `now` looks at.
    #[must_use]
    pub fn near(&self, now: Timestamp, lead: Duration) -> BTreeMap<SignalName, Forecast> {
        self.by_signal.iter().map(|(signal, kept)| (signal.clone(), kept.forecast.near(now, lead))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::forecast::history::{BUCKET, DAY};

    const LEAD: Duration = Duration::from_mins(5);

    fn histories(days: usize, load: impl Fn(usize) -> f64) -> BTreeMap<SignalName, LoadHistory> {
        let at = |place: usize| after(Timestamp::UNIX_EPOCH, BUCKET * u32::try_from(place).unwrap());
        let known = (0..days * DAY).map(|place| (at(place), load(place)));
        BTreeMap::from([("cpu.avg".to_owned(), LoadHistory::of(known).unwrap())])
    }

    fn later(at: Timestamp, hours: u64) -> Timestamp {
        after(at, Duration::from_hours(hours))
    }

    #[test]
    fn they_are_made_every_three_hours_and_tried_once_a_day() {
        let now = later(Timestamp::UNIX_EPOCH, 4 * 24);
        let first = histories(4, |place| 10.0 + (place % DAY) as f64);
        let made = Forecasts::default().renewed(now, &first, LEAD);
        assert!(
            Forecasts::default().are_due(now) && !made.are_due(later(now, 2)) && made.are_due(later(now, 3))
        );

        // A load like no other: another trial would come to something else.
        let other = histories(5, |place| 5.0 + (place * place % 17) as f64);
        let trust = |forecasts: &Forecasts| forecasts.by_signal["cpu.avg"].forecast.trust.clone();
        let soon = made.renewed(later(now, 3), &other, LEAD);
        assert_eq!(trust(&soon), trust(&made));
        let next_day = soon.renewed(later(now, 24), &other, LEAD);
        assert_ne!(trust(&next_day), trust(&made));
    }

    #[test]
    fn too_little_is_asked_again_each_time() {
        let now = later(Timestamp::UNIX_EPOCH, 24);
        let made = Forecasts::default().renewed(now, &histories(1, |_| 1.0), LEAD);
        let near = made.near(now, LEAD);
        assert_eq!(near["cpu.avg"].trust, Trust::TooShort { hours: 24, needed: 73 });
        assert!(near["cpu.avg"].points.is_empty());
        let made = made.renewed(later(now, 3), &histories(4, |place| (place % DAY) as f64), LEAD);
        assert!(matches!(made.near(now, LEAD)["cpu.avg"].trust, Trust::Tried(_)));
    }

    #[test]
    fn a_decision_is_given_the_points_around_it() {
        let end = later(Timestamp::UNIX_EPOCH, 4 * 24);
        let made = Forecasts::default().renewed(end, &histories(4, |place| (place % DAY) as f64), LEAD);
        let now = later(end, 1);
        let near = &made.near(now, LEAD)["cpu.avg"];
        let minutes: Vec<i64> = near.points.iter().map(|point| (point.at - now).num_minutes()).collect();
        assert_eq!(minutes, [-5, 5, 15]);
    }
}
