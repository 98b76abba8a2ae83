//! The bounds of a fleet's size at one moment: its own, and what the schedules in force make of them.
//!
//! A schedule's `min` raises the floor: of several the highest counts, and never one below the fleet's own. A schedule's
//! `max` takes the place of the fleet's own: of several the lowest counts. Where a floor is above a ceiling, which takes two
//! schedules that are in force together, the floor wins. Both were written by a person; too few hosts is an outage, and
//! too many is money, bounded by the very number that somebody wrote down as needed. A file in which a schedule's floor is
//! above the fleet's own `max`, and the schedule does not set another, is refused: a ceiling is always a number that
//! somebody wrote as one, or as a floor beside it.

use std::fmt;

use crate::decide::policy::SizePolicy;
use crate::decide::schedule::{Schedule, ScheduledSize, Standing};
use crate::domain::time::Timestamp;

/// Fewest and most hosts at one moment. `min ≤ max` if that holds of the fleet's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Never fewer.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// The schedule that the floor is from; `None`: the fleet's own.
    pub floor: Option<Scheduled>,
    /// The schedule that the ceiling is from; `None`: the fleet's own.
    pub ceiling: Option<Scheduled>,
    /// The schedule whose ceiling gives way to the floor, and that ceiling.
    pub overruled: Option<(Scheduled, u32)>,
}

/// A schedule in force, as far as bounds need to name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Its name.
    pub name: String,
    /// Until when it is in force, in words: `until 19:00 Europe/Berlin`.
    pub till: String,
}

impl Bounds {
    /// The bounds at `now`.
    #[must_use]
    pub fn at(own: &SizePolicy, schedules: &[Schedule], now: Timestamp) -> Self {
        let mut bounds = Self { min: own.min, max: own.max, floor: None, ceiling: None, overruled: None };
        let mut ceiling = None;
        for (schedule, till) in in_force(schedules, now) {
            let by = || Some(Scheduled { name: schedule.name.clone(), till: till.clone() });
            if let Some(min) = schedule.size.min().filter(|min| *min > bounds.min) {
                (bounds.min, bounds.floor) = (min, by());
            }
            if let Some(max) = schedule.size.max().filter(|max| ceiling.is_none_or(|lowest| *max < lowest)) {
                (ceiling, bounds.ceiling) = (Some(max), by());
            }
        }
        bounds.max = ceiling.unwrap_or(own.max);
        if bounds.max < bounds.min {
            bounds.overruled = bounds.ceiling.take().zip(ceiling);
            (bounds.max, bounds.ceiling) = (bounds.min, bounds.floor.clone());
        }
        bounds
    }

    /// The nearest size within the bounds.
    #[must_use]
    pub fn clamp(&self, size: u32) -> u32 {
        size.max(self.min).min(self.max)
    }

    /// What moved a size up, or down: the schedule's sentence, or the fleet's own numbers.
    pub(super) fn why(&self, from: u32) -> String {
        let (min, max) = (self.min, self.max);
        match (&self.floor, &self.ceiling) {
            (Some(by), _) if from < min => {
                format!("schedule {} raises the floor to {min} {}", by.name, by.till)
            }
            (_, Some(by)) if from > max => {
                format!("schedule {} sets the ceiling to {max} {}", by.name, by.till)
            }
            _ => self.to_string(),
        }
    }

    /// `min = 10 (schedule office-hours, until 19:00 Europe/Berlin)`.
    #[must_use]
    pub fn min_words(&self) -> String {
        format!("min = {}{}", self.min, by_words(self.floor.as_ref()))
    }

    /// The same of the ceiling.
    #[must_use]
    pub fn max_words(&self) -> String {
        let over = |(by, max): &(Scheduled, u32)| format!(", above the {max} of schedule {}", by.name);
        let over = self.overruled.as_ref().map(over).unwrap_or_default();
        format!("max = {}{}{over}", self.max, by_words(self.ceiling.as_ref()))
    }
}

fn by_words(by: Option<&Scheduled>) -> String {
    by.map(|by| format!(" (schedule {}, {})", by.name, by.till)).unwrap_or_default()
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.min_words(), self.max_words())
    }
}

/// The schedules in force, in the order of the file, each with its end in words.
pub(super) fn in_force(schedules: &[Schedule], now: Timestamp) -> impl Iterator<Item = (&Schedule, String)> {
    schedules.iter().filter_map(move |schedule| match schedule.standing(now) {
        Standing::InForce { until: Some(until), .. } => {
            Some((schedule, format!("until {}", schedule.clock(until, now))))
        }
        Standing::InForce { until: None, .. } => Some((schedule, "with no end in sight".to_owned())),
        Standing::Waiting { .. } => None,
    })
}

/// What a schedule in force does, in one sentence: `raises the floor to 10 until 19:00 Europe/Berlin`.
pub(super) fn sentence(schedule: &Schedule, till: &str) -> String {
    match schedule.size {
        ScheduledSize::Min(min) => format!("raises the floor to {min} {till}"),
        ScheduledSize::Max(max) => format!("sets the ceiling to {max} {till}"),
        ScheduledSize::Both { min, max } => {
            format!("raises the floor to {min} and sets the ceiling to {max} {till}")
        }
    }
}
