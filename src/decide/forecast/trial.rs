//! Whether forecasts of a signal may be followed: what they would have saved on its own last days.
//!
//! Each of the last days is expected anew, from what was known when it began and nothing later. Beside it stands what a
//! target does without a forecast: it sees a load one lead late, a part of a bucket as a part. Each of the two then gets
//! the one head-room, chosen in hindsight, that leaves a thousandth of the load unserved, and the trial is won by who
//! needs fewer hosts with it. So both are judged at the same quality, as in the elasticity benchmark, and a forecast that
//! is merely bold wins nothing.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decide::forecast::history::{BUCKET, DAY, LoadHistory, last_weeks};
use crate::decide::forecast::{LEAD_MOST, season, times};
use crate::decide::wording::percent;

/// Load that may go unserved on either side, 0–1.
const UNSERVED: f64 = 0.001;
/// Days that are tried, at most.
const DAYS_MOST: usize = 7;
/// Days that must be known before the first that is tried.
const DAYS_BEFORE: usize = 2;
/// What a forecast must save of the hosts, so that it is no coincidence.
const SAVED_LEAST: f64 = 0.02;
/// Head-rooms between which the cheapest is looked for.
const HEADROOM: (f64, f64) = (-0.5, 20.0);

/// What a signal's forecasts are worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Trust {
    /// Too little load is known to try any.
    TooShort {
        /// Hours that are known.
        hours: u32,
        /// Hours that it takes.
        needed: u32,
    },
    /// The last days could not be expected at all.
    Failed {
        /// Why.
        why: String,
    },
    /// They were tried.
    Tried(Trial),
}

/// What was found on the last days.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// How many days were tried.
    pub days: u32,
    /// Hosts that it would have taken with the forecast, over those that the load took.
    pub with: f64,
    /// The same without it.
    pub without: f64,
}

impl Trial {
    /// Whether hosts would have been saved, more than by coincidence.
    #[must_use]
    pub fn is_won(&self) -> bool {
        self.with < self.without * (1.0 - SAVED_LEAST)
    }

    /// Share of the hosts that it would have saved; negative: it would have cost more.
    #[must_use]
    pub fn saved(&self) -> f64 {
        1.0 - self.with / self.without
    }
}

impl Trust {
    /// Whether they may be followed.
    #[must_use]
    pub fn is_earned(&self) -> bool {
        matches!(self, Self::Tried(trial) if trial.is_won())
    }

    /// Goes through the last days, for hosts that take `lead` to come.
    pub(super) fn of(history: &LoadHistory, lead: Duration) -> Self {
        let loads = history.loads();
        let lag = Lag::of(lead);
        let late = lag.whole + 1;
        let days = (loads.len().saturating_sub(late) / DAY).saturating_sub(DAYS_BEFORE).min(DAYS_MOST);
        if days == 0 {
            let needed = (DAYS_BEFORE + 1) * DAY + late;
            return Self::TooShort { hours: hours(loads.len()), needed: hours(needed.next_multiple_of(6)) };
        }
        let mut bench = Bench::default();
        for day in (1..=days).rev() {
            let start = loads.len() - day * DAY;
            if let Err(why) = bench.try_day(loads, start, lag) {
                return Self::Failed { why };
            }
        }
        let cost = |kept: &[f64]| cheapest(kept, &bench.came);
        Self::Tried(Trial {
            days: u32::try_from(days).unwrap_or(u32::MAX),
            with: cost(&bench.with),
            without: cost(&bench.without),
        })
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { hours, needed } => {
                write!(f, "{hours} h of load are known, and a trial takes {needed}")
            }
            Self::Failed { why } => write!(f, "no forecast can be made: {why}"),
            Self::Tried(trial) => {
                let (saved, days) = (trial.saved(), trial.days);
                let over =
                    if days == 1 { "the last day".to_owned() } else { format!("the last {days} days") };
                let (verb, share) = if saved < 0.0 { ("cost", -saved) } else { ("saved", saved) };
                write!(f, "over {over} it would have {verb} {} of the hosts", percent(share))?;
                let is_little = saved >= 0.0 && !trial.is_won();
                if is_little { write!(f, ", and {} are the least", percent(SAVED_LEAST)) } else { Ok(()) }
            }
        }
    }
}

/// How many buckets late a host comes, as whole ones and a part.
#[derive(Clone, Copy)]
struct Lag {
    whole: usize,
    part: f64,
}

impl Lag {
    fn of(lead: Duration) -> Self {
        let lead = lead.min(LEAD_MOST);
        let whole = lead.as_secs() / BUCKET.as_secs();
        let part = (lead.as_secs_f64() - (BUCKET.as_secs() * whole) as f64) / BUCKET.as_secs_f64();
        Self { whole: usize::try_from(whole).unwrap_or(0), part }
    }

    /// What stood so long before `place`, between two buckets.
    fn before(self, place: usize, of: impl Fn(usize) -> f64) -> f64 {
        let (late, later) = (of(place - self.whole), of(place - self.whole - 1));
        late + self.part * (later - late)
    }
}

/// What came, and what each side would have been ready for.
#[derive(Default)]
struct Bench {
    came: Vec<f64>,
    with: Vec<f64>,
    without: Vec<f64>,
}

impl Bench {
    fn try_day(&mut self, loads: &[f64], start: usize, lag: Lag) -> Result<(), String> {
        // The forecast begins where the first host of the day had to be asked for.
        let known = start - lag.whole - 1;
        let expected = season::expect(last_weeks(&loads[..known]), DAY + lag.whole + 1)?;
        // The first of them is of the last that was known.
        let load = |bucket: usize| expected[bucket + 1 - known].0;
        for bucket in start..start + DAY {
            let (seen, present) = (lag.before(bucket, |place| loads[place]), lag.before(bucket, load));
            let highest = (bucket - lag.whole..=bucket).map(load).fold(present, f64::max);
            self.came.push(loads[bucket]);
            self.without.push(seen);
            self.with.push(seen * times(highest, present, highest).max(1.0));
        }
        Ok(())
    }
}

/// Hosts over those that the load took, with the smallest head-room that leaves no more than [`UNSERVED`].
fn cheapest(kept: &[f64], came: &[f64]) -> f64 {
    let (total, ready): (f64, f64) = (came.iter().sum(), kept.iter().sum());
    // Of no load, or with nothing to be made larger, nothing can be said for either side.
    if total <= 0.0 || ready <= 0.0 {
        return 1.0;
    }
    let (mut low, mut high) = HEADROOM;
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        let short = came.iter().zip(kept).map(|(came, kept)| (came - kept * (1.0 + middle)).max(0.0));
        if short.sum::<f64>() > UNSERVED * total { low = middle } else { high = middle }
    }
    ready * (1.0 + high) / total
}

fn hours(buckets: usize) -> u32 {
    let hours = buckets as u64 * BUCKET.as_secs() / 3_600;
    u32::try_from(hours).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{Timestamp, after};

    const LEAD: Duration = Duration::from_mins(12);

    fn history(days: usize, load: impl Fn(usize) -> f64) -> LoadHistory {
        let at = |place: usize| after(Timestamp::UNIX_EPOCH, BUCKET * u32::try_from(place).unwrap());
        LoadHistory::of((0..days * DAY).map(|place| (at(place), load(place)))).unwrap()
    }

    /// Every morning the load is five times as high within an hour, and every evening it sinks again.
    fn office(place: usize) -> f64 {
        match place % DAY {
            hour @ 48..54 => 20.0 + 80.0 * (hour - 48) as f64 / 6.0,
            54..108 => 100.0,
            hour @ 108..114 => 100.0 - 80.0 * (hour - 108) as f64 / 6.0,
            _ => 20.0,
        }
    }

    /// Something that looks like noise and is the same each time.
    fn noise(place: usize) -> f64 {
        (place.wrapping_mul(2_654_435_761) >> 7) as f64 % 1_000.0 / 1_000.0
    }

    #[test]
    fn a_morning_that_comes_every_day_earns_trust() {
        let trust = Trust::of(&history(6, |place| office(place) + noise(place)), LEAD);
        let Trust::Tried(trial) = trust else { panic!("{trust:?}") };
        assert_eq!(trial.days, 3);
        assert!(trust.is_earned() && trial.saved() > 0.1, "{trial:?}");
    }

    #[test]
    fn noise_earns_none() {
        let trust = Trust::of(&history(10, |place| 20.0 + 30.0 * noise(place)), LEAD);
        assert!(matches!(trust, Trust::Tried(Trial { days: 7, .. })) && !trust.is_earned(), "{trust:?}");
        let flat = Trust::of(&history(4, |_| 5.0), LEAD);
        assert!(!flat.is_earned(), "{flat:?}");
        let nothing = Trust::of(&history(4, |_| 0.0), LEAD);
        assert!(!nothing.is_earned(), "{nothing:?}");
    }

    #[test]
    fn load_that_has_only_begun_earns_none() {
        let begun = Trust::of(&history(5, |place| if place >= 5 * DAY - 1 { 50.0 } else { 0.0 }), LEAD);
        let Trust::Tried(trial) = begun else { panic!("{begun:?}") };
        assert!(!trial.is_won() && trial.saved().is_finite(), "{trial:?}");
    }

    #[test]
    fn a_morning_is_worth_less_to_who_boots_in_a_moment() {
        let saved = |lead| match Trust::of(&history(6, office), lead) {
            Trust::Tried(trial) => trial.saved(),
            trust => panic!("{trust:?}"),
        };
        let [moment, minutes] = [Duration::from_secs(20), LEAD].map(saved);
        assert!(moment < minutes / 4.0, "{moment}, {minutes}");
    }

    #[test]
    fn two_days_are_too_few() {
        assert_eq!(Trust::of(&history(2, office), LEAD), Trust::TooShort { hours: 48, needed: 73 });
    }

    #[test]
    fn nothing_of_a_day_is_known_when_it_is_expected() {
        // The last day is unlike all others: whatever is expected of it comes from the others, and is wrong.
        let turned = |place: usize| if place >= 5 * DAY { office(place + DAY / 2) } else { office(place) };
        let (same, other) = (Trust::of(&history(6, office), LEAD), Trust::of(&history(6, turned), LEAD));
        let (Trust::Tried(same), Trust::Tried(other)) = (same, other) else { panic!() };
        assert!(other.with > same.with, "{other:?}, {same:?}");
    }
}
